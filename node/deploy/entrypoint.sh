#!/bin/sh
# Starts leoma as the owner of the mounted wallet, so that a hotkey of mode 0600 can be read without
# running as root. PUID and PGID choose another user. `leoma serve` and `serve` both work.
set -eu

say() { printf 'entrypoint: %s\n' "$*" >&2; }

[ "${1:-}" = leoma ] && shift
[ $# -gt 0 ] || set -- serve

# A setting as leoma reads it: `docker run --env-file` keeps quotes, and no shell expands the home.
# shellcheck disable=SC2016,SC2088 # the literal texts are meant
meant() {
  text="$1"
  case "$text" in
    '"'*'"') text="${text#?}"; text="${text%?}" ;;
    "'"*"'") text="${text#?}"; text="${text%?}" ;;
  esac
  case "$text" in
    '~' | '~/'*) text="${HOME:-/root}${text#'~'}" ;;
    '$HOME' | '$HOME/'*) text="${HOME:-/root}${text#'$HOME'}" ;;
    '${HOME}' | '${HOME}/'*) text="${HOME:-/root}${text#'${HOME}'}" ;;
  esac
  printf '%s' "$text"
}

# Where the wallets are: as set, or the first of the usual mounts that holds anything. What was not
# set is passed on only where no file may say otherwise: a variable wins over wallet_path in it.
wallets="$(meant "${WALLET_PATH:-}")"
if [ -n "$wallets" ]; then
  export WALLET_PATH="$wallets"
else
  wallets=/root/.bittensor/wallets
  for folder in /wallets /root/.bittensor/wallets; do
    if [ -n "$(ls -A "$folder" 2>/dev/null)" ]; then
      wallets="$folder"
      [ -n "${LEOMA_CONFIG:-}" ] || export WALLET_PATH="$wallets"
      break
    fi
  done
fi

# The user was chosen with `docker run --user`: there is nothing to drop.
if [ "$(id -u)" != 0 ]; then
  exec leoma "$@"
fi

wallet="$(meant "${WALLET_NAME:-}")" key="$(meant "${HOTKEY_NAME:-}")"
hotkey="$wallets/${wallet:-default}/hotkeys/${key:-default}"
puid="$(meant "${PUID:-}")" pgid="$(meant "${PGID:-}")"
if [ -n "$puid" ]; then
  uid="$puid" gid="${pgid:-$puid}" why="PUID and PGID"
elif [ -e "$hotkey" ]; then
  uid="$(stat -c %u "$hotkey")" gid="$(stat -c %g "$hotkey")" why="the owner of the hotkey"
elif [ -e "$wallets" ] && [ "$(stat -c %u "$wallets")" != 0 ]; then
  uid="$(stat -c %u "$wallets")" gid="$(stat -c %g "$wallets")" why="the owner of the wallets"
else
  uid=10001 gid=10001 why="the image's own user: no wallet is mounted"
fi
say "running as $uid:$gid ($why), wallets in $wallets"

# A volume that another user wrote, or that is new.
state="$(meant "${LEOMA_STATE_DIR:-}")"
state="${state:-/state}"
if [ -d "$state" ] && [ "$(stat -c %u "$state")" != "$uid" ]; then
  chown -R "$uid:$gid" "$state" || say "$state cannot be given to $uid: is it read-only?"
fi

# Where the hotkey is root's own, the process stays root and loses every privilege of root.
if [ "$uid" = 0 ]; then
  say "the hotkey belongs to root: chown it, or set PUID and PGID, to run as another user"
  exec setpriv --no-new-privs --bounding-set=-all --inh-caps=-all -- leoma "$@"
fi
exec setpriv --reuid="$uid" --regid="$gid" --clear-groups --no-new-privs --inh-caps=-all \
  --bounding-set=-all -- leoma "$@"
