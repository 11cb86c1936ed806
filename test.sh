#!/usr/bin/env bash
# Runs the whole test suite. Installs what it needs first; see testnet/install.sh.
#
# Usage: ./test.sh [arguments for cargo test]
set -euo pipefail
cd "$(dirname "$0")"
# shellcheck source=testnet/install.sh
source testnet/install.sh
install_prerequisites

# The whole-system tests start the two programs, so these are built first, with the same features as the tests.
cargo build --workspace --bins --locked
exec cargo test --workspace --locked "$@"
