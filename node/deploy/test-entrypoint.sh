#!/usr/bin/env bash
# Which user the entrypoint chooses, and which wallets it finds, with a stand-in for leoma. It needs
# root and setpriv, as in the image; without them it says so and checks nothing.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
if [ "$(id -u)" != 0 ] || ! command -v setpriv >/dev/null; then
  echo "skipped: needs root and setpriv"
  exit 0
fi
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
chmod 0755 "$work"
mkdir -p "$work/bin" "$work/state" "$work/wallets/default/hotkeys"
cat >"$work/bin/leoma" <<'STANDIN'
#!/bin/sh
key="${WALLET_PATH:-}/${WALLET_NAME:-default}/hotkeys/${HOTKEY_NAME:-default}"
readable=no; [ -r "$key" ] && readable=yes
caps="$(sed -n 's/^CapEff:\t//p' /proc/self/status)"
echo "uid=$(id -u) gid=$(id -g) args=$* key=$readable caps=$caps path=${WALLET_PATH-unset}."
STANDIN
chmod 0755 "$work/bin/leoma"
hotkey="$work/wallets/default/hotkeys/default"

expect() { # what, expected part of the output, command…
  local what="$1" expected="$2" output
  shift 2
  output="$(env -u WALLET_PATH -u LEOMA_CONFIG PATH="$work/bin:$PATH" LEOMA_STATE_DIR="$work/state" "$@" 2>&1)" || true
  if ! grep -qF -- "$expected" <<<"$output"; then
    printf 'FAIL %s: expected %s in:\n%s\n' "$what" "$expected" "$output"
    exit 1
  fi
  printf 'ok   %s\n' "$what"
}
run() { expect "$1" "$2" WALLET_PATH="$work/wallets" "${@:3}"; }
nothing="caps=0000000000000000"

echo secret >"$hotkey"
chmod 0600 "$hotkey"
chown 1234:2345 "$hotkey"
run "a hotkey of mode 0600 is read as its owner" \
  "uid=1234 gid=2345 args=serve key=yes $nothing" "$here/entrypoint.sh" leoma serve
run "serve alone is the same command" "uid=1234 gid=2345 args=serve " "$here/entrypoint.sh" serve
run "no command is serve" "args=serve " "$here/entrypoint.sh"
run "any other command runs too" "args=wallet list " "$here/entrypoint.sh" wallet list
# As `docker run --env-file` passes a file that was written for a shell.
# shellcheck disable=SC2016,SC2088 # the literal texts are meant
for path in '~/wallets' '"~/wallets"' '$HOME/wallets' "'\${HOME}/wallets'" "\"$work/wallets\""; do
  expect "WALLET_PATH=$path" "uid=1234 gid=2345 args=serve key=yes $nothing path=$work/wallets." \
    HOME="$work" WALLET_PATH="$path" "$here/entrypoint.sh"
done
expect "quoted PUID and names" "running as 4321:4321 (PUID and PGID)" \
  WALLET_PATH="$work/wallets" WALLET_NAME='"default"' PUID='"4321"' "$here/entrypoint.sh"
expect "quoted names" "running as 1234:2345 (the owner of the hotkey)" \
  WALLET_PATH="$work/wallets" WALLET_NAME='"default"' HOTKEY_NAME="'default'" "$here/entrypoint.sh"
expect "a configuration file says where the wallets are" "path=unset." \
  LEOMA_CONFIG="$work/leoma.toml" "$here/entrypoint.sh"
expect "WALLET_PATH wins over it" "path=$work/wallets." \
  LEOMA_CONFIG="$work/leoma.toml" WALLET_PATH="$work/wallets" "$here/entrypoint.sh"
run "the choice is said" "running as 1234:2345 (the owner of the hotkey)" "$here/entrypoint.sh"
run "PUID and PGID win" "uid=4321 gid=5432 args=serve key=no" PUID=4321 PGID=5432 "$here/entrypoint.sh"
[ "$(stat -c %u "$work/state")" = 4321 ] || { echo "FAIL the state belongs to another"; exit 1; }
echo "ok   the state belongs to whoever runs"
chown 0:0 "$hotkey"
run "a hotkey of root is read as root without privileges" \
  "uid=0 gid=0 args=serve key=yes $nothing" "$here/entrypoint.sh"
rm -r "$work/wallets"
run "without a wallet it is the image's own user" "uid=10001 gid=10001" "$here/entrypoint.sh"
