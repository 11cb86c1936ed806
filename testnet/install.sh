# shellcheck shell=bash
# Sourced by test.sh and testnet/launch.sh: makes sure that ffmpeg, a C compiler and Rust are there.

# Prints what cannot be done here and what to do instead, then stops.
install_refuse() {
    printf 'leoma: %s\n' "$1" >&2
    exit 1
}

# Installs Debian packages, as root or through sudo; says the exact command where neither is possible.
install_packages() {
    local command="apt-get update && apt-get install --yes --no-install-recommends $*"
    if ! command -v apt-get >/dev/null; then
        install_refuse "missing: $*. Install them with this system's package manager and run this again."
    fi
    local root=()
    if [ "$(id -u)" -ne 0 ]; then
        if ! command -v sudo >/dev/null || ! { sudo -n true 2>/dev/null || [ -t 0 ]; }; then
            install_refuse "missing: $*. Run this as root, then try again: $command"
        fi
        root=(sudo)
    fi
    printf 'leoma: installing %s\n' "$*" >&2
    "${root[@]}" apt-get update -qq || install_refuse "apt-get update failed. Run by hand: $command"
    "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install --yes -qq --no-install-recommends "$@" >/dev/null ||
        install_refuse "installing failed. Run by hand: $command"
}

install_prerequisites() {
    local missing=()
    if ! { command -v ffmpeg && command -v ffprobe; } >/dev/null; then missing+=(ffmpeg); fi
    if ! command -v cc >/dev/null; then missing+=(gcc libc6-dev); fi
    if ! command -v c++ >/dev/null; then missing+=(g++); fi
    if ! command -v make >/dev/null; then missing+=(make); fi
    if [ "${#missing[@]}" -gt 0 ]; then install_packages "${missing[@]}"; fi
    if ! command -v cargo >/dev/null && [ -f "$HOME/.cargo/env" ]; then
        # shellcheck source=/dev/null
        source "$HOME/.cargo/env"
    fi
    command -v cargo >/dev/null ||
        install_refuse "Rust is missing. Install it from https://rustup.rs and run this again."
    export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$HOME/.cache/leoma/target}"
}
