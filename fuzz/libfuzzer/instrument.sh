#!/bin/sh
# cargo calls this in place of rustc (RUSTC_WRAPPER): rustc's path and its arguments follow.
# It adds the counters that libFuzzer reads, but only to crates that parse: in hash functions,
# curves and checksums they would cost most of the time and tell nothing. What runs while
# things are built gets none; only cargo's --target tells it apart.
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
case ${target:+$crate} in
northstar_libfuzzer | northstar_fuzz | northstar_sys) ;;
northstar_* | backhand | base64 | granit_parser | hex | lzma_rust2 | semver | serde_json | \
    serde_saphyr | toml | toml_parser | winnow)
    set -- "$@" -Cpasses=sancov-module \
        -Cllvm-args=-sanitizer-coverage-level=3 \
        -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
        -Cllvm-args=-sanitizer-coverage-pc-table
    ;;
esac
exec "$rustc" "$@"
