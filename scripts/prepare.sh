#!/bin/sh
# Makes a bare clone ready. Plain sh: it runs before any dependency exists.
#   prepare.sh            Node's version, npm packages, system packages
#   prepare.sh packages   Node's version and npm packages only
#   prepare.sh tests      all of that, and the programs that tests run: without one its tests are skipped
set -eu
cd "$(dirname "$0")/.."

say() { echo "prepare: $*" >&2; }
die() { say "$@"; exit 1; }

check_node() {
  command -v node >/dev/null || die "inpod needs Node 20.20 or newer, and there is no node on PATH"
  command -v npm >/dev/null || die "inpod needs npm, which comes with Node, and there is none on PATH"
  node -e 'const [a, b] = process.versions.node.split("."); process.exit(a > 20 || (a == 20 && b >= 20) ? 0 : 1)' ||
    die "inpod needs Node 20.20 or newer, and $(command -v node) is $(node --version)"
}

# node_modules/.package-lock.json is what npm writes when an installation is complete.
install_npm_packages() {
  installed=node_modules/.package-lock.json
  if [ -e "$installed" ] && [ -z "$(find package-lock.json -newer "$installed")" ]; then return; fi
  say "installing the npm packages"
  output=$(npm ci --no-audit --no-fund 2>&1 </dev/null) || { printf '%s\n' "$output" >&2; die "npm ci failed"; }
  # npm keeps the file's time when nothing in it changed.
  touch "$installed"
}

# nft and ip are in sbin, which is not on every user's PATH.
has() { PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin command -v "$1" >/dev/null; }

# What we ship in C is linked statically, and includes the kernel's headers.
links_statically() {
  has cc || return 1
  out=$(mktemp)
  status=0
  printf '#include <linux/seccomp.h>\nint main(void) { return 0; }\n' |
    cc -static -x c -o "$out" - 2>/dev/null || status=1
  rm -f "$out"
  return "$status"
}

# pick APT DNF APK: the words of the package manager that is here
pick() {
  case $manager in
    apt-get) echo "$1" ;;
    dnf) echo "$2" ;;
    *) echo "$3" ;;
  esac
}

find_package_manager() {
  manager=
  for m in apt-get dnf apk; do
    if [ -z "$manager" ] && has "$m"; then manager=$m; fi
  done
}

check_system_packages() {
  find_package_manager
  missing=
  has nft || missing="$missing nftables"
  has ip || missing="$missing $(pick iproute2 iproute iproute2)"
  if ! has unshare || ! has nsenter || ! has setpriv; then
    missing="$missing $(pick util-linux util-linux 'util-linux util-linux-misc setpriv')"
  fi
  links_statically ||
    missing="$missing $(pick 'gcc libc6-dev' 'gcc glibc-devel glibc-static kernel-headers' 'gcc musl-dev linux-headers')"
  # shellcheck disable=SC2086 # a list of words
  [ -z "$missing" ] || install_system_packages ${missing# }
}

# What prepare.sh installs must be there, or it ends.
install_system_packages() {
  install=$(installation "$@")
  [ -n "$install" ] || die "please install these packages, or what they are called here: $*"
  [ "$(id -u)" = 0 ] || die "system packages are missing; please run: sudo $install"
  run_installation 300 "$install" || die "this failed: $install"
}

# installation PACKAGE...: the command that installs them; empty without a package manager that we know
installation() {
  case $manager in
    apt-get) echo "apt-get install -y --no-install-recommends $*" ;;
    dnf) echo "dnf install -y $*" ;;
    apk) echo "apk add $*" ;;
  esac
}

# run_installation SECONDS COMMAND
run_installation() {
  say "running: $2"
  export DEBIAN_FRONTEND=noninteractive
  [ "$manager" != apt-get ] || timeout 120 apt-get update -qq >&2 || say "apt-get update failed; trying without"
  # shellcheck disable=SC2086 # a list of words
  timeout "$1" $2 >&2 </dev/null
}

# On Alpine every program is one of musl, and there is no musl-gcc.
package_of() {
  case $1 in
    musl-gcc) pick musl-tools musl-gcc '' ;;
    curl | zsh | fish | ksh | mksh | tmux | entr | rsync | fio | git | vim | haproxy | openssl | wrk) echo "$1" ;;
    nginx) pick nginx-light nginx nginx ;;
    h2load) pick nghttp2-client nghttp2 nghttp2 ;;
    iptables-legacy) pick iptables iptables-legacy iptables-legacy ;;
    sqlite3) pick sqlite3 sqlite sqlite ;;
    python3) echo python3 ;;
    python3-grpcio) pick python3-grpcio python3-grpcio py3-grpcio ;;
    javac) pick default-jdk-headless java-latest-openjdk-devel openjdk21 ;;
    go) pick golang-go golang go ;;
    rustc) pick rustc rust rust ;;
    # The other architecture that inpod is for: what it ships in C must compile there, too.
    aarch64-linux-gnu-gcc) pick 'gcc-aarch64-linux-gnu libc6-dev-arm64-cross' '' '' ;;
    qemu-aarch64-static) pick qemu-user-static qemu-user-static qemu-aarch64 ;;
    busybox) pick busybox-static busybox busybox-static ;;
    # Debian leaves to chance what podman makes containers, networks and user namespaces with. Its crun
    # refuses machines with both versions of cgroups, runc does not.
    podman) pick 'podman runc netavark aardvark-dns iptables uidmap slirp4netns' 'podman runc' 'podman runc' ;;
  esac
}

missing_test_programs() {
  for program in tmux entr musl-gcc curl python3 javac go rustc busybox podman zsh fish ksh mksh aarch64-linux-gnu-gcc qemu-aarch64-static git rsync sqlite3 vim fio haproxy openssl iptables-legacy nginx wrk h2load; do
    has "$program" || printf ' %s' "$program"
  done
  # The system's own Python: that is where packages of the system are seen.
  /usr/bin/python3 -c 'import grpc' 2>/dev/null || printf ' python3-grpcio'
}

check_test_programs() {
  missing=$(missing_test_programs)
  [ -n "$missing" ] || return 0
  packages=
  for program in $missing; do packages="$packages $(package_of "$program")"; done
  install=
  # shellcheck disable=SC2086 # a list of words
  [ -z "${packages# }" ] || install=$(installation $packages)
  if [ "$(id -u)" = 0 ] && [ -n "$install" ]; then
    run_installation 600 "$install" || say "this failed: $install"
    missing=$(missing_test_programs)
    install=
  fi
  [ -z "$missing" ] ||
    say "tests that need these programs are skipped:$missing${install:+; to run them too: sudo $install}"
}

# Everybody may use it, as by udev's own rule: on machines without udev only root may, and tests were skipped.
open_fuse_device() {
  [ "$(id -u)" = 0 ] && [ -c /dev/fuse ] || return 0
  [ -n "$(find /dev/fuse -perm -0006)" ] || chmod 666 /dev/fuse || say "/dev/fuse is root's alone"
}

# Test programs for file systems, from Rust's registry; built once for this checkout.
install_file_suite() {
  has cargo || return 0 # their tests say so
  for crate in fsx@0.3.2 pjdfstest@0.2.2; do
    [ ! -e ".cache/file-suite/bin/${crate%@*}" ] || continue
    say "building $crate"
    timeout 400 cargo install --quiet --locked --root .cache/file-suite "$crate" >&2 </dev/null ||
      say "this failed: cargo install $crate; its tests are skipped"
  done
}

# Programs that tests start, from npm's registry: none of inpod's own packages needs them.
install_node_programs() {
  folder=.cache/node-programs
  [ ! -e "$folder/node_modules/.bin/nodemon" ] || return 0
  say "installing yarn and nodemon"
  timeout 120 npm install --prefix "$folder" --ignore-scripts --no-audit --no-fund --silent \
    yarn@1.22.22 nodemon@3.1.10 >&2 </dev/null || say "this failed: npm install yarn nodemon; their tests are skipped"
}

# Name resolvers that users' machines have, for tests that run them in namespaces of their own. Unpacked only: installed
# they would take over this machine's /etc/resolv.conf.
unpack_resolvers() {
  folder=.cache/resolvers
  [ ! -e "$folder/complete" ] && has apt-get && has dpkg-deb || return 0
  packages="systemd-resolved libsystemd-shared libnss-resolve dbus-daemon libdbus-1-3 dnsmasq-base unbound"
  say "unpacking $packages into $folder"
  rm -rf "$folder"
  mkdir -p "$folder/packages"
  # shellcheck disable=SC2086 # a list of words
  download_packages "$folder/packages" $packages $(libraries_of $packages) || {
    [ "$(id -u)" != 0 ] || timeout 120 apt-get update -qq >&2 || true
    # One by one, so that an unknown one is missed alone.
    # shellcheck disable=SC2086
    for package in $packages $(libraries_of $packages); do
      download_packages "$folder/packages" "$package" || say "there is no $package: its tests are skipped"
    done
  }
  for package in "$folder"/packages/*.deb; do
    [ ! -e "$package" ] || dpkg-deb -x "$package" "$folder"
  done
  rm -rf "$folder/packages" "$folder/usr/share"
  [ ! -e "$folder/usr" ] || : >"$folder/complete" # without a network it is tried again
}

# libraries_of PACKAGE...: what an installation of them would bring that this machine has not
libraries_of() {
  timeout 120 apt-get -s -qq install --no-install-recommends "$@" 2>/dev/null </dev/null |
    awk '$1 == "Inst" && $3 !~ /^\[/ { print $2 }' | grep -vxF "$(printf '%s\n' "$@")" || true
}

# download_packages FOLDER PACKAGE...
download_packages() (
  cd "$1"
  shift
  timeout 120 apt-get -o APT::Sandbox::User=root download -qq "$@" >&2 </dev/null
)

check_node
install_npm_packages
case ${1:-} in
  packages) ;;
  tests) check_system_packages; check_test_programs; install_file_suite; install_node_programs; unpack_resolvers; open_fuse_device ;;
  *) check_system_packages ;;
esac
