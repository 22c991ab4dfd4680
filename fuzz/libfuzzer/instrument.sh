#!/bin/sh
# cargo calls this in place of rustc (RUSTC_WRAPPER): rustc's path and its arguments follow.
# It adds the counters that libFuzzer reads to the crates that NORTHSTAR_FUZZ_CRATES names. In hash
# functions, curves and checksums they would cost most of the time and tell nothing; nor do those of
# the manifest where the manifest is always the same. What runs while things are built gets none: only
# cargo's --target tells it apart.
rustc=$1
shift
crate=
target=
previous=
for argument; do
    case $previous in
    --crate-name) crate=$argument ;;
    --target) target=$argument ;;
    esac
    previous=$argument
done
case " ${NORTHSTAR_FUZZ_CRATES-} " in
*" ${target:+$crate} "*)
    set -- "$@" -Cpasses=sancov-module \
        -Cllvm-args=-sanitizer-coverage-level=3 \
        -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
        -Cllvm-args=-sanitizer-coverage-pc-table
    ;;
esac
exec "$rustc" "$@"
