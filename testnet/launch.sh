#!/usr/bin/env bash
# Starts a whole subnet on this machine and waits until its validators agree on the same weights.
#
#   ./testnet/launch.sh --validators 4 --miners 6 --epochs 2 --json out.json
#
# Installs what is missing on Debian and Ubuntu, builds, and passes its arguments on to `leoma-testnet launch`
# (`--help` lists them). Exit code 0: every validator set the same weights on chain for the expected winner.
# LEOMA_PROFILE=release builds optimised programs; CARGO_TARGET_DIR is honoured.
set -euo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
caller="$PWD"

# shellcheck source=testnet/install.sh
source "$root/testnet/install.sh"

build() {
  local profile="${LEOMA_PROFILE:-dev}"
  say "building (the first time takes some minutes)"
  local features
  mapfile -t features < <(build_features)
  (cd "$root" && cargo build --locked --profile "$profile" -p leoma -p leoma-testnet --bins "${features[@]}") ||
    fail "the build failed"
  local folder="$profile"
  if [ "$profile" = dev ]; then folder=debug; fi
  local target="${CARGO_TARGET_DIR:-$root/target}"
  # A relative CARGO_TARGET_DIR counts from where cargo runs.
  case "$target" in /*) ;; *) target="$root/$target" ;; esac
  programs="$target/$folder"
}

install_missing
find_rust
build
cd "$caller"
LEOMA_BIN_DIR="$programs" exec "$programs/leoma-testnet" launch "$@"
