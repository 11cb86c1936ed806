#!/usr/bin/env bash
# Builds the image from the Dockerfile, and runs it as operators do: a wallet of mode 0600 that
# belongs to somebody else, a root that cannot be written, the compose file and `.env` of June, and
# ours, as two validators of a local subnet that `leoma-testnet launch` starts.
#
#   node/deploy/test-image.sh [--binary PROGRAM] [--image-only]
#
# PROGRAM is a `leoma` that is built already, with `leoma-testnet` beside it; the Dockerfile's own
# stage would compile for a quarter of an hour. --image-only leaves the subnet out. BASE names a base
# image; without one, Debian's is made with debootstrap, as no registry is asked.
#
# It needs root, and installs podman, buildah and runc from Debian where they are missing. Where that
# cannot be done, it says so and checks nothing. Images are kept in ~/.cache/leoma/containers, apart
# from this machine's other images.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
here="$root/node/deploy"
target="${CARGO_TARGET_DIR:-$root/target}"
cache="${XDG_CACHE_HOME:-$HOME/.cache}/leoma/containers"
image=localhost/leoma
# The owner of the wallets: no user of this machine.
uid=1234 gid=2345
most_megabytes=450
most_start_ms=1000
# A start waits 20 s for a second machine with the same hotkey, and self-tests the scorer.
ready_within=180

binary="" image_only=no
while [ $# -gt 0 ]; do
  case "$1" in
    --binary) binary="$2"; shift 2 ;;
    --image-only) image_only=yes; shift ;;
    *) sed -n '2,15s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 2 ;;
  esac
done
if [ -z "$binary" ]; then
  for binary in "$target/release/leoma" "$target/debug/leoma"; do [ -x "$binary" ] && break; done
fi

skip() { echo "skipped: $*"; exit 0; }
say() { printf -- '-- %s\n' "$*"; }
ok() { printf 'ok   %s\n' "$*"; }
fail() {
  printf 'FAIL %s\n' "$*"
  exit 1
}
milliseconds() { date +%s%3N; }

[ "$(id -u)" = 0 ] || skip "needs root"
[ -x "$binary" ] || skip "there is no built program: cargo build -p leoma, or --binary PROGRAM"
missing=""
for name in podman buildah runc catatonit; do
  command -v "$name" >/dev/null || missing="$missing $name"
done
if [ -n "$missing" ]; then
  command -v apt-get >/dev/null || skip "missing:$missing"
  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
    --no-install-recommends podman buildah runc conmon netavark aardvark-dns catatonit uidmap \
    debootstrap; } >/dev/null || skip "cannot be installed:$missing"
fi
work="$(mktemp -d)"
chmod 0755 "$work"
mkdir -p "$cache"
# runc, because crun refuses machines with both versions of cgroups; limits that need no privilege.
cat >"$work/containers.conf" <<'CONF'
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1000:1000"]
CONF
cat >"$work/storage.conf" <<CONF
[storage]
driver = "overlay"
runroot = "$cache/run"
graphroot = "$cache/storage"
CONF
export CONTAINERS_CONF="$work/containers.conf" CONTAINERS_STORAGE_CONF="$work/storage.conf"
# Without systemd podman complains that it cannot run health checks by itself: they are run below.
podman() { command podman "$@" 2> >(grep -v 'systemd connection' >&2); }

launcher="" api=""
stop_all() {
  podman rm --all --force --volumes >/dev/null 2>&1 || true
  for process in $api $launcher; do kill -INT "$process" 2>/dev/null || true; done
  for process in $api $launcher; do wait "$process" 2>/dev/null || true; done
  rm -rf "$work"
}
trap stop_all EXIT

# The same as the public image of Debian: no lists of packages, no manuals.
make_base() {
  command -v debootstrap >/dev/null || skip "there is no base image, and no debootstrap to make one"
  say "making a base image (a minute)"
  debootstrap --variant=minbase bookworm "$work/base" >"$work/debootstrap.log" 2>&1 ||
    skip "debootstrap failed: $(tail -n 1 "$work/debootstrap.log")"
  rm -rf "$work"/base/var/cache/apt/archives/*.deb "$work"/base/var/cache/apt/*.bin \
    "$work"/base/var/lib/apt/lists/* "$work"/base/usr/share/{man,locale,info}
  find "$work/base/usr/share/doc" -type f ! -name copyright -delete
  tar -C "$work/base" -c . | podman import --quiet - localhost/leoma-base >/dev/null
  rm -rf "$work/base"
}

# A program that was built where the C library is newer than the base image's does not start in it.
check_program() { # base image
  local said
  said="$(podman run --rm --network none --volume "$(realpath "$binary"):/leoma:ro" "$1" \
    /leoma --version 2>&1)" && return
  case "$said" in
    *GLIBC*) skip "$binary needs a newer C library than $1 has: build it in rust:1.95-bookworm" ;;
    *) fail "$binary in $1: $said" ;;
  esac
}

build() {
  local base="${BASE:-localhost/leoma-base}"
  podman image exists "$base" || make_base
  check_program "$base"
  say "building from the Dockerfile, with $binary"
  local log="$work/build.log" started
  started="$(milliseconds)"
  buildah build --isolation chroot --layers --format docker --target runtime \
    --build-arg BASE="$base" --build-arg BUILD_BASE="$base" --build-arg CUDA_PACKAGES= \
    --tag "$image-runtime" --file "$root/Dockerfile" "$root" >"$log" 2>&1 ||
    { tail -n 20 "$log"; fail "the build"; }
  cp "$binary" "$work/leoma"
  strip "$work/leoma" 2>/dev/null || true
  local container
  container="$(buildah from "$image-runtime")"
  buildah copy --quiet --chmod 0755 "$container" "$work/leoma" /usr/local/bin/leoma >/dev/null
  buildah commit --quiet --format docker --rm "$container" "$image" >/dev/null
  ok "built in $((($(milliseconds) - started) / 1000)) s"
}

size_of() { podman image inspect --format '{{.Size}}' "$1"; }

measure_size() {
  local runtime whole program
  runtime="$(($(size_of "$image-runtime") / 1000000))"
  whole="$(($(size_of "$image") / 1000000))"
  program="$((whole - runtime))"
  say "image: $runtime MB, and $program MB of program, without CUDA libraries"
  case "$binary" in
    */release/*) [ "$whole" -le "$most_megabytes" ] || fail "more than $most_megabytes MB" ;;
    *) say "the program was not built with --release: its size is not compared with $most_megabytes MB" ;;
  esac
}

# Docker's default profile, made from podman's: nobody without privileges makes a namespace.
stricter_seccomp() {
  python3 - /usr/share/containers/seccomp.json <<'PY'
import json, sys
profile = json.load(open(sys.argv[1]))
gated = {"unshare", "setns", "mount", "umount", "umount2", "pivot_root", "open_tree", "move_mount",
         "fsopen", "fsconfig", "fsmount", "fspick", "mount_setattr", "clone", "clone3"}
for rule in profile["syscalls"]:
    if rule["action"] == "SCMP_ACT_ALLOW" and not rule.get("includes", {}).get("caps"):
        rule["names"] = [name for name in rule["names"] if name not in gated]
profile["syscalls"] = [rule for rule in profile["syscalls"] if rule["names"]]
flags = {"index": 0, "value": 0x7E020000, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}
profile["syscalls"] += [
    {"names": ["clone"], "action": "SCMP_ACT_ALLOW", "args": [flags]},
    {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38},
]
json.dump(profile, sys.stdout)
PY
}

# A field of one check of `leoma preflight --json`, which fails as a whole: it has no settings here.
jail() {
  { podman run --rm --network none --read-only --tmpfs /tmp "$@" "$image" \
    leoma preflight --json 2>/dev/null || true; } | python3 -c '
import json, sys
check = next(one for one in json.load(sys.stdin)["checks"] if one["name"] == "decoder jail")
print(check["outcome"], check["finding"])'
}

check_users_and_walls() {
  local said
  said="$(podman run --rm --network none --user 10001 "$image" leoma --version)"
  ok "runs with --user 10001: $said"
  local wallets="$work/wallets"
  mkdir -p "$wallets/default/hotkeys"
  "$binary" wallet new-hotkey --wallet-path "$wallets" >/dev/null 2>&1 </dev/null
  chmod 0600 "$wallets/default/hotkeys/default"
  chown -R "$uid:$gid" "$wallets"
  said="$(podman run --rm --network none --read-only --volume "$wallets:/root/.bittensor/wallets:ro" \
    "$image" leoma wallet verify 2>&1)" || fail "a hotkey of mode 0600 is not read: $said"
  grep -q "running as $uid:$gid (the owner of the hotkey)" <<<"$said" || fail "$said"
  ok "a hotkey of mode 0600 that belongs to $uid is read, as $uid, on a root that cannot be written"
  stricter_seccomp >"$work/seccomp.json"
  said="$(jail --user 10001)"
  [ "${said%% *}" != fail ] || fail "the jail under podman's seccomp profile: $said"
  ok "the jail under podman's seccomp profile: $said"
  said="$(jail --user 10001 --security-opt "seccomp=$work/seccomp.json")"
  [ "${said%% *}" != fail ] || fail "the jail under Docker's seccomp profile: $said"
  ok "the jail under Docker's seccomp profile: $said"
}

# From the container's start to the first answer. It has no chain, which it does not need to be alive.
measure_start() {
  podman create --name leoma-start --network host --env LEOMA_HTTP_LISTEN=127.0.0.1:19090 \
    --env NETWORK=ws://127.0.0.1:9 --env R2_ENDPOINT=http://127.0.0.1:9 --env R2_SOURCE_BUCKET=source \
    --env R2_VIDEOS_READ_ACCESS_KEY=key --env R2_VIDEOS_READ_SECRET_KEY=secret \
    --env R2_OWN_BUCKET=mine-1 --env R2_OWN_WRITE_ACCESS_KEY=key --env R2_OWN_WRITE_SECRET_KEY=secret \
    --volume "$work/wallets:/root/.bittensor/wallets:ro" "$image" >/dev/null
  podman start leoma-start >/dev/null &
  local began="" now
  for _ in $(seq 500); do
    if curl -fs -o /dev/null http://127.0.0.1:19090/livez; then
      now="$(milliseconds)"
      began="$(podman inspect --format '{{.State.StartedAt.UnixMilli}}' leoma-start)"
      break
    fi
    sleep 0.02
  done
  wait -n
  [ -n "$began" ] || { podman logs leoma-start; fail "/livez does not answer"; }
  local took=$((now - began))
  [ "$took" -le "$most_start_ms" ] || fail "/livez answers after $took ms, more than $most_start_ms"
  ok "/livez answers $took ms after the container's start"
  podman healthcheck run leoma-start || fail "the image's health check"
  ok "the image's health check passes while the validator starts"
  podman rm --force --volumes leoma-start >/dev/null
}

compose() { # folder, arguments…
  (cd "$1" && HOME="$1/home" PYTHONPATH="$cache/compose" LEOMA_IMAGE="$image" \
    python3 -m podman_compose --in-pod false --project-name "$(basename "$1")" \
    --file docker-compose.yml --file local.yml "${@:2}") 2>&1 | grep -v 'systemd connection' || true
}

find_compose() {
  [ -e "$cache/compose/podman_compose.py" ] ||
    python3 -m pip install --quiet --target "$cache/compose" podman-compose==1.6.0 2>/dev/null ||
    skip "podman-compose cannot be installed (pip): the compose files were not run"
}

# The compose file and the `.env` of June as they are, without a network: the validator waits for its
# chain, is alive, and says of each variable that it does not use why.
check_june_unchanged() {
  local folder="$work/unchanged" said name
  mkdir -p "$folder/home/.bittensor"
  cp -r --preserve=all "$work/wallets" "$folder/home/.bittensor/wallets"
  cp "$root/node/tests/june/docker-compose.yml" "$folder/"
  cp "$root/node/tests/june/env" "$folder/.env"
  echo 'services: { validator: { network_mode: none } }' >"$folder/local.yml"
  compose "$folder" up --detach --no-build validator >"$folder/up.log"
  for _ in $(seq 100); do
    podman exec leoma-validator leoma health >"$folder/health.log" 2>&1 && break
    sleep 0.2
  done
  said="$(podman logs leoma-validator 2>&1)"
  podman exec leoma-validator leoma health >/dev/null ||
    { cat "$folder/up.log" "$folder/health.log"; fail "June's compose file: $said"; }
  grep -q "running as $uid:$gid (the owner of the hotkey)" <<<"$said" || fail "June's user: $said"
  for name in EPOCH_LEN LEOMA_ENV WATCHTOWER_POLL_INTERVAL API_HOST API_PORT; do
    grep -q "$name is not used here, because" <<<"$said" || fail "$name is ignored silently: $said"
  done
  ok "the compose file and .env of June, unchanged: alive as $uid, what is not used is named"
  # A stop that was asked for is no failure, even before the start is over.
  check_stop leoma-validator
  podman rm --force --volumes leoma-validator >/dev/null
}

start_subnet() {
  local programs
  programs="$(cd "$(dirname "$binary")" && pwd)"
  [ -x "$programs/leoma-testnet" ] || skip "there is no leoma-testnet beside $binary: no subnet"
  say "starting a subnet of four validators, and waiting until it has agreed (some minutes)"
  LEOMA_BIN_DIR="$programs" "$programs/leoma-testnet" launch --validators 4 --miners 3 --epochs 1 \
    --judge local --keep --dir "$work/subnet" >"$work/launch.log" 2>&1 &
  launcher=$!
}

until_agreed() {
  until grep -q 'stays up until' "$work/launch.log"; do
    kill -0 "$launcher" 2>/dev/null || { tail -n 30 "$work/launch.log"; fail "the subnet"; }
    sleep 2
  done
}

of_validator() { sed -n "s/^$2=\"\\(.*\\)\"$/\\1/p" "$work/subnet/validator-$1/.env"; }
# An expression of the JSON on standard input, which is `it`.
field() { python3 -c "import json, sys; it = json.load(sys.stdin); print($1)"; }

# `leoma api`, to which the two containers report.
start_api() {
  mkdir -p "$work/api"
  (cd "$work/api" && exec env \
    NETWORK="$(of_validator 1 NETWORK)" NETUID="$(of_validator 1 NETUID)" \
    R2_ENDPOINT="$(of_validator 1 R2_ENDPOINT)" R2_SOURCE_BUCKET="$(of_validator 1 R2_SOURCE_BUCKET)" \
    R2_VIDEOS_READ_ACCESS_KEY="$(of_validator 1 R2_VIDEOS_READ_ACCESS_KEY)" \
    R2_VIDEOS_READ_SECRET_KEY="$(of_validator 1 R2_VIDEOS_READ_SECRET_KEY)" \
    LEOMA_LOCAL_NETWORK=true LEOMA_STATE_DIR="$work/api/state" LEOMA_API_LISTEN=127.0.0.1:18000 \
    LEOMA_HTTP_LISTEN=127.0.0.1:18001 "$binary" api) >"$work/api.log" 2>&1 &
  api=$!
}

# Stops validator $1 on the host, and starts it from compose file $2 in folder $3.
move_into_container() {
  local number="$1" file="$2" folder="$3" address process wallet
  address="$(of_validator "$number" LEOMA_HTTP_LISTEN)"
  process="$(curl -fsS "http://$address/status" | field 'it["pid"]')"
  kill -TERM "$process"
  for _ in $(seq 60); do curl -fs -o /dev/null "http://$address/livez" || break; sleep 1; done
  mkdir -p "$folder/home/.bittensor/wallets"
  cp "$file" "$folder/docker-compose.yml"
  "$here/june.py" "$root/node/tests/june/env" "$work/subnet" "$number" "$folder" http://127.0.0.1:18000
  wallet="$(of_validator "$number" WALLET_NAME)"
  cp -r "$work/subnet/wallets/$wallet" "$folder/home/.bittensor/wallets/"
  chmod 0600 "$folder/home/.bittensor/wallets/$wallet"/hotkeys/*
  chown -R "$uid:$gid" "$folder/home/.bittensor/wallets"
  compose "$folder" up --detach --no-build validator >"$folder/up.log"
}

until_ready() { # container, address, folder
  local end=$((SECONDS + ready_within))
  until curl -fs -o /dev/null "http://$2/readyz"; do
    if [ "$SECONDS" -ge "$end" ]; then
      cat "$3/up.log"
      podman logs --tail 30 "$1" || true
      curl -s "http://$2/readyz" || true
      fail "$1 is not ready within $ready_within s"
    fi
    sleep 1
  done
}

check_container() { # container, address
  podman logs "$1" 2>&1 | grep -q "running as $uid:$gid (the owner of the hotkey)" ||
    fail "$1 does not run as the owner of its hotkey"
  # Beside it run the init of the compose file and, for a moment, the health check.
  local running
  running="$(podman top "$1" huser comm args | awk '$2 == "leoma" && / serve/')"
  if [ -z "$running" ] || grep -qv "^$uid " <<<"$running"; then
    fail "$1 runs as another user: $(podman top "$1" huser comm args)"
  fi
  podman exec "$1" leoma health --ready >/dev/null || fail "leoma health in $1"
  ok "$1 is ready: runs as $uid, a hotkey of mode 0600, leoma health agrees"
}

# Until both have set an epoch's weights and sampled a task from inside their containers.
until_they_take_part() {
  local end=$((SECONDS + 600)) address
  for address in "$@"; do
    until curl -fs "http://$address/status" | field 'it["tasks_sampled"] > 0 and any(
        epoch["state"] == "set" for epoch in it["epochs"])' 2>/dev/null | grep -q True; do
      [ "$SECONDS" -lt "$end" ] || { curl -s "http://$address/status"; fail "$address takes no part"; }
      sleep 3
    done
    ok "$address has sampled a task and set an epoch's weights"
  done
}

check_reports() {
  local valid
  valid="$(curl -fsS http://127.0.0.1:18000/miners/list | field 'it["valid_count"]')"
  [ "$valid" -gt 0 ] || fail "the API was told of no valid miner"
  local samples
  samples="$(curl -fsS 'http://127.0.0.1:18000/samples/list' | field 'len(it)')"
  [ "$samples" -gt 0 ] || fail "the API was told of no sample"
  ok "leoma api was told of $valid valid miners and $samples samples at API_URL"
}

check_stop() { # container
  local began code
  began="$(milliseconds)"
  podman stop --time 60 "$1" >/dev/null
  code="$(podman inspect --format '{{.State.ExitCode}}' "$1")"
  [ "$code" = 0 ] || fail "$1 ended with $code after SIGTERM"
  ok "$1 stopped by itself in $(($(milliseconds) - began)) ms"
}

build
measure_size
check_users_and_walls
measure_start
find_compose
check_june_unchanged
[ "$image_only" = no ] || exit 0
start_subnet
until_agreed
start_api
june="$(of_validator 3 LEOMA_HTTP_LISTEN)" ours="$(of_validator 4 LEOMA_HTTP_LISTEN)"
say "validator 3 from the compose file and .env of June, validator 4 from ours"
move_into_container 3 "$root/node/tests/june/docker-compose.yml" "$work/june"
until_ready leoma-validator "$june" "$work/june"
check_container leoma-validator "$june"
sed 's/container_name: leoma-validator$/container_name: leoma-validator-4/' "$root/docker-compose.yml" \
  >"$work/ours.yml"
move_into_container 4 "$work/ours.yml" "$work/ours"
until_ready leoma-validator-4 "$ours" "$work/ours"
check_container leoma-validator-4 "$ours"
until_they_take_part "$june" "$ours"
check_reports
"$binary" smoke "$(of_validator 1 LEOMA_HTTP_LISTEN)" "$(of_validator 2 LEOMA_HTTP_LISTEN)" "$june" "$ours"
check_stop leoma-validator
check_stop leoma-validator-4
