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
find_rust
cd "$root"
# The whole-system tests start both programs, so these are built first.
cargo build --workspace --bins --locked
exec cargo test --workspace --locked "$@"
