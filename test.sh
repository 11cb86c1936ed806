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

# CUDA's backend is built only where there is a driver. With --all, the kernels of a GPU are tested on Vulkan.
mapfile -t features < <(build_features)
all=false
if [ "${1:-}" = --all ]; then
  all=true
  features+=(--features leoma-scoring/vulkan)
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
# share one build.
cargo build --workspace --bins --tests --locked "${features[@]}"
if [ "$#" -gt 0 ]; then
  run "" "" "$@"
  exit
fi

logs="$(mktemp -d)"
trap 'rm -r "$logs"' EXIT
failed=0
# Floods are measured, and blame for them fades with time: nothing else runs beside these.
others=" and not test(whole_subnet::)"
if have cargo-nextest; then
  run " and binary(hostile)" "" 2>&1 | tee "$logs/floods" || failed=$?
  others+=" and not binary(hostile)"
fi
# Whole subnets mostly wait for their chain's blocks, so they run beside everything else. What they do
# has its blocks to be done in; the other tests take the time that is left.
set -m # a process group of its own, so that an interrupt ends all of it
run " and test(whole_subnet::)" whole_subnet:: >"$logs/subnets" 2>&1 &
subnets=$!
set +m
trap 'kill -- "-$subnets" 2>/dev/null || true; rm -r "$logs"' EXIT
renice -n 10 -p "$BASHPID" >/dev/null
run "$others" "--skip whole_subnet::" 2>&1 | tee "$logs/others" || failed=$?
if $all; then cargo test --workspace --doc --locked "${features[@]}" || failed=$?; fi
say "waiting for the tests of whole subnets"
wait "$subnets" || failed=$?
cat "$logs/subnets"
if [ "$failed" -ne 0 ]; then
  # Why each test failed, shortly and last: where only the end of a long output is kept, it is this.
  say "what the tests that failed said first:"
  awk '/ panicked at / { left = 9 } left > 0 { print substr($0, 1, 600); left-- }' \
    "$logs/"*
fi
exit "$failed"
