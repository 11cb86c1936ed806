#!/usr/bin/env bash
# Runs the tests; installs what they need first (see testnet/install.sh).
#
#   ./test.sh           the quick tests
#   ./test.sh --all     the slow ones and the documentation's examples too
#   ./test.sh NAME...   the quick tests whose names contain one of these; after --all, slow ones too
#
# CARGO_TARGET_DIR is honoured.
set -euo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
# shellcheck source=testnet/install.sh
source "$root/testnet/install.sh"

# The kernels of a GPU are tested on Vulkan with --all. Otherwise the GPU's backend is built only where there is a driver.
mapfile -t features < <(build_features)
all=false
if [ "${1:-}" = --all ]; then
  all=true
  features=(--all-features)
  shift
fi

# run NEXTEST-FILTER CARGO-TEST-FILTER NAME...: runs a part of the tests. Slow ones are marked
# `#[ignore]`, and so are processes that other tests start by name, which never run by themselves.
run() {
  local nextest="not test(/as_worker::|worker_process\$/)$1"
  local cargo=(--skip as_worker:: --skip worker_process)
  local words=()
  read -ra words <<<"$2"
  shift 2
  if have cargo-nextest; then
    local slow=()
    if $all; then slow=(--run-ignored all); fi
    cargo nextest run --workspace --tests --locked --no-fail-fast "${features[@]}" "${slow[@]}" -E "$nextest" "$@"
  else
    if $all; then cargo+=(--include-ignored); fi
    cargo test --workspace --tests --locked --no-fail-fast "${features[@]}" -- "${cargo[@]}" "${words[@]}" "$@"
  fi
}

install_missing
if $all; then install_for_tests; fi
find_rust
cd "$root"
# Everything is built before anything runs: whole-system tests start both programs, and two runs
# share one build. With the tests, the programs are built once, with the features of both.
cargo build --workspace --bins --tests --locked "${features[@]}"
if [ "$#" -gt 0 ]; then
  run "" "" "$@"
  exit
fi

# Whole subnets mostly wait for their chain's blocks, so they run beside everything else.
log="$(mktemp)"
set -m # a process group of its own, so that an interrupt ends all of it
run " and test(whole_subnet::)" whole_subnet:: >"$log" 2>&1 &
subnets=$!
set +m
trap 'kill -- "-$subnets" 2>/dev/null || true; rm -f "$log"' EXIT
failed=0
run " and not test(whole_subnet::)" "--skip whole_subnet::" || failed=$?
if $all; then cargo test --workspace --doc --locked "${features[@]}" || failed=$?; fi
say "waiting for the tests of whole subnets"
wait "$subnets" || failed=$?
cat "$log"
exit "$failed"
