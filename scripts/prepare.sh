#!/bin/sh
# Makes a bare clone ready. Plain sh: it runs before any dependency exists.
#   prepare.sh            Node's version, npm packages, system packages
#   prepare.sh packages   Node's version and npm packages only
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

check_system_packages() {
  manager=
  for m in apt-get dnf apk; do
    if [ -z "$manager" ] && has "$m"; then manager=$m; fi
  done

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

  optional=
  for tool in musl-gcc curl python3 java go; do
    has "$tool" || optional="$optional $tool"
  done
  [ -z "$optional" ] || say "tests that need these programs are skipped:$optional"
}

install_system_packages() {
  case $manager in
    apt-get) install="apt-get install -y --no-install-recommends $*" ;;
    dnf) install="dnf install -y $*" ;;
    apk) install="apk add $*" ;;
    *) die "please install these packages, or what they are called here: $*" ;;
  esac
  [ "$(id -u)" = 0 ] || die "system packages are missing; please run: sudo $install"
  say "installing $*"
  export DEBIAN_FRONTEND=noninteractive
  [ "$manager" != apt-get ] || timeout 120 apt-get update -qq >&2 || say "apt-get update failed; trying without"
  timeout 300 $install >&2 </dev/null || die "this failed: $install"
}

check_node
install_npm_packages
[ "${1:-}" = packages ] || check_system_packages
