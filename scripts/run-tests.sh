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

# tally TITLE STATUS TAP: adds what the runner wrote in TAP. The last summary counts: a test's
# own output stands in the same file as comments.
tally() {
  p=$(sed -n 's/^# pass \([0-9]*\)$/\1/p' "$3" | tail -n 1)
  f=$(sed -n 's/^# fail \([0-9]*\)$/\1/p' "$3" | tail -n 1)
  c=$(sed -n 's/^# cancelled \([0-9]*\)$/\1/p' "$3" | tail -n 1)
  p=${p:-0}
  f=$((${f:-0} + ${c:-0}))
  if [ "$f" = 0 ] && [ "$2" != 0 ]; then
    [ "$2" = 124 ] && why="not finished in time" || why="exit status $2"
    echo "FAILED: $1: $why" >&2
    f=1
  elif [ "$f" = 0 ] && [ "$p" = 0 ]; then
    echo "FAILED: $1: no test ran" >&2
    f=1
  fi
  passed=$((passed + p))
  failed=$((failed + f))
}

# The closing line, which .ci/run reads, and the exit status.
finish() {
  echo "$passed passed, $failed failed"
  [ "$failed" = 0 ]
}
