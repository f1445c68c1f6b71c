# shellcheck shell=sh
# What test.sh and e2e.sh share: runs with a deadline, and the tally of what they found.

passed=0
failed=0
current=

# A signal ends the run in progress too; the shell alone would wait for it.
interrupted() {
  trap - INT TERM HUP
  [ -z "$current" ] || kill -TERM "$current" 2>/dev/null || true
  [ -z "$current" ] || wait "$current" || true
  exit 130
}
trap interrupted INT TERM HUP

# within SECONDS COMMAND...: its exit status; 124 after the deadline, when its process group was ended.
# In the background, so that a signal to this shell is handled at once.
within() {
  seconds=$1
  shift
  timeout -k 10 "$seconds" "$@" &
  current=$!
  status=0
  wait "$current" || status=$?
  current=
  return "$status"
}

# counted TITLE COMMAND...: one check that passes or fails as a whole
counted() {
  title=$1
  shift
  echo "== $title"
  if "$@"; then
    passed=$((passed + 1))
  else
    echo "FAILED: $title" >&2
    failed=$((failed + 1))
  fi
}

# suite TITLE SECONDS AT-ONCE TEST-MS TAP [PREFIX...]: runs the test files of standard input, by PREFIX node, and adds
# what was found. On a busy machine a deadline may pass for nothing: a few files that failed are run once more, alone,
# and what fails again has failed. A test that needs it is named: it is to be mended.
suite() {
  title=$1 seconds=$2 at_once=$3 test_ms=$4 tap=$5
  shift 5
  files=$(cat)
  echo "== $title"
  if [ -z "$files" ]; then
    echo "FAILED: $title: there are no test files" >&2
    failed=$((failed + 1))
    return
  fi
  run_files "$at_once" "$@"
  count "$tap"
  again=$(failed_files "$tap")
  if [ "$status" != 124 ] && [ -n "$again" ] && [ "$(echo "$again" | wc -l)" -le 4 ]; then
    first_passed=$p first_failed=$f
    names=$(sed -n 's/^ *not ok [0-9]* - //p' "$tap")
    files=$again
    echo "== $title: once more: $(echo "$again" | tr '\n' ' ')"
    run_files 1 "$@"
    count "$tap"
    [ "$f" != 0 ] || echo "$names" | sed 's/^/NEEDED A SECOND TRY: /' >&2
    p=$((first_passed + (first_failed > f ? first_failed - f : 0)))
  fi
  if [ "$f" = 0 ] && [ "$status" != 0 ]; then
    [ "$status" = 124 ] && why="not finished in time" || why="exit status $status"
    echo "FAILED: $title: $why" >&2
    f=1
  elif [ "$f" = 0 ] && [ "$p" = 0 ]; then
    echo "FAILED: $title: no test ran" >&2
    f=1
  fi
  passed=$((passed + p))
  failed=$((failed + f))
}

# run_files AT-ONCE [PREFIX...]: $files into $tap, within $seconds; leaves its exit status in $status
run_files() {
  concurrency=$1
  shift
  status=0
  # shellcheck disable=SC2086 # our own file names: no spaces in them
  within "$seconds" "$@" node --import tsx --test "--test-concurrency=$concurrency" \
    "--test-timeout=$test_ms" --test-reporter=spec --test-reporter-destination=stdout \
    --test-reporter=tap --test-reporter-destination="$tap" $files || status=$?
  [ -e "$tap" ] || : >"$tap"
}

# failed_files TAP: the files of the tests that failed, each once
failed_files() {
  awk '/^ *not ok /{ bad = 1; next } /^ *ok /{ bad = 0; next }
    bad && /^ *location: /{ sub(/^ *location: ./, ""); sub(/:[0-9]+:[0-9]+.*$/, ""); print; bad = 0 }' "$1" |
    sort -u
}

# count TAP: how many passed ($p) and failed ($f). The last summary counts: a test's own output stands in the same
# file as comments.
count() {
  p=$(sed -n 's/^# pass \([0-9]*\)$/\1/p' "$1" | tail -n 1)
  f=$(sed -n 's/^# fail \([0-9]*\)$/\1/p' "$1" | tail -n 1)
  c=$(sed -n 's/^# cancelled \([0-9]*\)$/\1/p' "$1" | tail -n 1)
  p=${p:-0}
  f=$((${f:-0} + ${c:-0}))
}

# The closing line, which .ci/run reads, and the exit status.
finish() {
  echo "$passed passed, $failed failed"
  [ "$failed" = 0 ]
}
