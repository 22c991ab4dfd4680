#!/bin/sh
# Builds, packs and signs all examples into target/northstar/repository, where northstar.toml looks for them.
# Arguments are handed on: see `cargo xtask examples --help`.
set -eu
cd "$(dirname "$0")/.."
exec cargo xtask examples "$@"
