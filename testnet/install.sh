# shellcheck shell=bash
# Sourced by test.sh, testnet/launch.sh and .ci/run, which set $root, the checkout: makes sure that ffmpeg, a C compiler and Rust are there, and for tests Vulkan.
# Installs what is missing on Debian and Ubuntu; says the exact command where it may not.

say() { printf '%s\n' "$*" >&2; }
fail() {
  say "leoma: $*"
  exit 1
}
have() { command -v "$1" >/dev/null 2>&1; }

# Packages whose programs are missing, one after the other.
missing_packages() {
  { have ffmpeg && have ffprobe; } || echo ffmpeg
  # A C compiler with its libraries' headers; ring, aws-lc and SQLite are built from C sources.
  { have cc && have c++ && have make && echo 'int main(void){return 0;}' | cc -x c -o /dev/null - 2>/dev/null; } || echo build-essential
}

# install_missing [PACKAGE...]: installs what is missing, and these packages.
install_missing() {
  local packages
  mapfile -t packages < <(missing_packages)
  packages+=("$@")
  [ "${#packages[@]}" -eq 0 ] && return 0
  local as_root=()
  if [ "$(id -u)" -ne 0 ]; then as_root=(sudo); fi
  local by_hand="${as_root[*]:+sudo }apt-get update && ${as_root[*]:+sudo }apt-get install -y ${packages[*]}"
  have apt-get || fail "missing: ${packages[*]}; this system has no apt-get, install them with its own package manager"
  if [ "${#as_root[@]}" -gt 0 ]; then
    have sudo || fail "missing: ${packages[*]}, and there is no sudo; run as root: ${by_hand//sudo /}"
    # Without a terminal nobody could type a password.
    if [ ! -t 0 ] && ! sudo -n true 2>/dev/null; then
      fail "missing: ${packages[*]}, and sudo asks for a password; run: $by_hand"
    fi
  fi
  say "installing ${packages[*]}"
  "${as_root[@]}" apt-get update -qq || fail "package lists could not be updated; run: $by_hand"
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}" >&2 ||
    fail "could not install ${packages[*]}; run: $by_hand"
}

# Vulkan on the CPU, for the tests of a GPU's kernels. Without it they are skipped, and say so.
install_for_tests() {
  compgen -G '/usr/share/vulkan/icd.d/lvp_icd*.json' >/dev/null && return 0
  local as_root=()
  if [ "$(id -u)" -ne 0 ]; then as_root=(sudo -n); fi
  { have apt-get && say "installing mesa-vulkan-drivers" && "${as_root[@]}" apt-get update -qq &&
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends mesa-vulkan-drivers >&2; } ||
    say "leoma: mesa-vulkan-drivers could not be installed; the kernels of a GPU are not tested here"
}

# unpack_promtool FOLDER: puts the program there that checks Prometheus's rules. Its package would also
# start a server, so it is only unpacked. Without it the check is skipped, and says so.
unpack_promtool() {
  local work as_root=()
  if [ "$(id -u)" -ne 0 ]; then as_root=(sudo -n); fi
  work="$(mktemp -d)"
  say "downloading promtool"
  (
    # The package lists may be old, or not there yet.
    cd "$work" &&
      { apt-get download prometheus ||
        { "${as_root[@]}" apt-get update && apt-get download prometheus; }; } &&
      dpkg-deb -x prometheus_*.deb package &&
      mkdir -p "$1" && cp package/usr/bin/promtool "$1"
  ) >/dev/null 2>&1 ||
    say "leoma: promtool could not be downloaded; the alert rules are not checked here"
  rm -r "$work"
}

# What .ci/run needs beyond the tests.
install_for_ci() {
  find_rust
  have shellcheck || install_missing shellcheck
  have cargo-deny || { say "building cargo-deny" && cargo install cargo-deny --locked --debug --quiet; }
  local promtool="$CARGO_TARGET_DIR/promtool"
  have promtool || [ -x "$promtool/promtool" ] || unpack_promtool "$promtool"
  # Without a browser its tests are skipped, and say so.
  local browser=()
  have chromium || have chromium-browser || browser+=(chromium)
  have npm || browser+=(npm)
  [ "${#browser[@]}" -eq 0 ] || (install_missing "${browser[@]}") || true
}

# Inside the checkout, rustup takes the version that rust-toolchain.toml names.
# shellcheck disable=SC2154 # $root
find_rust() {
  if ! have cargo && [ -x "$HOME/.cargo/bin/cargo" ]; then PATH="$HOME/.cargo/bin:$PATH"; fi
  have cargo || fail "Rust is missing; install it with: curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh"
  (cd "$root" && cargo --version >/dev/null 2>&1) ||
    fail "the Rust version of rust-toolchain.toml is not installed; run in $root: rustup toolchain install"
}

# Scoring on NVIDIA GPUs costs minutes of building: it is left out where there is no driver.
build_features() {
  if ldconfig -p 2>/dev/null | grep -q 'libcuda\.so\.1'; then return 0; fi
  echo --no-default-features
}
