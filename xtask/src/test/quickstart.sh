#!/bin/sh
# The quick start of the README in the guest, command by command. What builds has been built on the host, so that
# cargo finds everything up to date. Called in the root of the workspace.
set -eu

target=${CARGO_TARGET_DIR:-target}
nstar=$target/release/nstar

fail() {
    echo "quick start: $*" >&2
    exit 1
}

# Waits until a command succeeds, for at most five minutes: cargo takes its time under emulation.
await() {
    { set +x; } 2> /dev/null
    end=$(($(date +%s) + 300))
    until "$@" > /dev/null 2>&1; do
        [ "$(date +%s)" -lt "$end" ] || fail "waited in vain for: $*"
        sleep 1
    done
    set -x
}

# Whether there is a device-mapper device.
mapped() {
    [ -e /sys/block/dm-0 ]
}

set -x
cargo run --bin northstar &
daemon=$!
"$nstar" --help
await "$nstar" -j list

"$nstar" -j start hello-world
if "$nstar" -j start hello-world > "$TMPDIR/second"; then
    fail "a second start of a running container succeeded"
fi
grep -q start_container_started "$TMPDIR/second" || fail "wrong answer: $(cat "$TMPDIR/second")"
mapped || fail "no device-mapper device while hello-world runs"
"$nstar" -j kill hello-world

"$nstar" shutdown
wait "$daemon"
! mapped || fail "a device-mapper device is left"
