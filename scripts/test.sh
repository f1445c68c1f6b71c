#!/bin/sh
# npm test: the checks, then every test as the invoking user; as root, those of $ordinary_folders
# once more as an ordinary user, because a developer's inpod rarely runs as root.
set -eu
cd "$(dirname "$0")/.."
. scripts/run-tests.sh

# Whose tests must pass without any right.
ordinary_folders="packages/tap packages/files packages/layer packages/session packages/ports packages/routes packages/agent packages/cli sandbox conformance"
ordinary_id=12345
run_seconds=800
# A file's tests have deadlines of their own, which say what has not come. This one is for who hangs without one.
file_ms=300000
# Files at once. Many wait most of the time: one more than processors.
at_once=$(($(nproc) + 1))

work=$(mktemp -d)
chmod 755 "$work"
trap 'rm -rf "$work"' EXIT

# test_files FOLDER...: the test files in them, one in a line
test_files() {
  for folder in "$@"; do
    for file in "$folder"/test/*.test.ts; do
      [ ! -e "$file" ] || echo "$file"
    done
  done
}

as_ordinary_user() {
  setpriv --reuid "$ordinary_id" --regid "$ordinary_id" --clear-groups \
    --inh-caps=-all --bounding-set=-all -- "$@"
}

# usable_path: of PATH what the ordinary user may enter: /root is often closed to others
usable_path() {
  usable=
  IFS=:
  for entry in $PATH /usr/local/bin /usr/bin /bin /usr/sbin; do
    case ":$usable:" in *":$entry:"*) continue ;; esac
    if as_ordinary_user test -x "$entry"; then usable=$usable:$entry; fi
  done
  unset IFS
  echo "${usable#:}"
}

# readable_checkout: a folder with this checkout that the ordinary user can read
readable_checkout() {
  here=$(pwd -P)
  hidden=$(as_ordinary_user sh -c 'cd -- "$1" 2>/dev/null || { echo "$1"; exit; }
    find . \( -path ./.git -o -path ./dist/.lock -o -path ./.cache/conformance \) -prune -o ! -readable -print -quit' - "$here")
  if [ -z "$hidden" ]; then
    echo "$here"
    return
  fi
  echo "an ordinary user cannot read $hidden: the tests use a copy of the checkout" >&2
  mkdir "$work/checkout"
  # tar keeps the times, by which the build knows that nothing is due.
  tar -cf - --exclude=./.git --exclude=./.cache/conformance . | tar -xf - -C "$work/checkout" --no-same-owner --mode=u+rw,go+rX 2>/dev/null ||
    cp -a . "$work/checkout"
  chown -R "$ordinary_id:$ordinary_id" "$work/checkout"
  echo "$work/checkout"
}

run_as_ordinary_user() {
  mkdir "$work/home" "$work/tmp"
  : >"$work/ordinary.tap"
  chown "$ordinary_id:$ordinary_id" "$work/home" "$work/tmp" "$work/ordinary.tap"
  checkout=$(readable_checkout)
  path=$(usable_path)
  # Only what a fresh login has, and how Go reaches its modules.
  set -- env -i "PATH=$path" "HOME=$work/home" "TMPDIR=$work/tmp" USER=inpod-test LOGNAME=inpod-test \
    SHELL=/bin/sh "LANG=${LANG:-C.UTF-8}" "TERM=${TERM:-dumb}"
  for name in GOPROXY GOFLAGS GOSUMDB GOTOOLCHAIN CI; do
    value=$(printenv "$name" || true)
    [ -z "$value" ] || set -- "$@" "$name=$value"
  done
  cd "$checkout"
  # shellcheck disable=SC2086 # a list of folders
  test_files $ordinary_folders >"$work/ordinary.files"
  suite "tests as an ordinary user" "$run_seconds" "$at_once" "$file_ms" "$work/ordinary.tap" \
    setpriv --reuid "$ordinary_id" --regid "$ordinary_id" --clear-groups \
    --inh-caps=-all --bounding-set=-all -- "$@" <"$work/ordinary.files"
}

sh scripts/prepare.sh tests
counted "build" within 300 npm run --silent build
if [ "$failed" != 0 ]; then finish; exit 1; fi
counted "checks" within 300 npm run --silent check

test_files packages/* sandbox scripts conformance >"$work/files"
[ "$(id -u)" != 0 ] || export INPOD_ORDINARY_RUN_FOLLOWS=yes
suite "tests as $(id -un)" "$run_seconds" "$at_once" "$file_ms" "$work/all.tap" <"$work/files"
if [ "$(id -u)" = 0 ]; then run_as_ordinary_user; fi
finish
