#!/usr/bin/env bash
# Runs the whole test suite; installs what it needs first (see testnet/install.sh).
#
#   ./test.sh [arguments for cargo test]
#
# CARGO_TARGET_DIR is honoured.
set -euo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
# shellcheck source=testnet/install.sh
source "$root/testnet/install.sh"

install_missing
install_for_tests
find_rust
cd "$root"
# The whole-system tests start both programs, so these are built first.
cargo build --workspace --bins --locked
if [ "$#" -gt 0 ]; then exec cargo test --workspace --locked "$@"; fi

# Everything is built before anything runs: two runs share one build.
cargo test --workspace --locked --no-run
# Whole subnets wait for their chain's blocks most of the time, so they run beside everything else, shown at the end.
log="$(mktemp)"
set -m # a process group of its own, so that an interrupt ends all of it
cargo test --workspace --locked --test subnets >"$log" 2>&1 &
subnets=$!
set +m
trap 'kill -- "-$subnets" 2>/dev/null || true; rm -f "$log"' EXIT
failed=0
cargo test --workspace --locked -- --skip whole_subnet:: || failed=$?
say "waiting for the tests of whole subnets"
wait "$subnets" || failed=$?
cat "$log"
exit "$failed"
