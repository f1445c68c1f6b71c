#!/bin/sh
# npm run e2e [-- FILE...]: every scenario of e2e/, or those of the files named, on a real cluster: that
# of KUBECONFIG, else the one of e2e/cluster, started for this run unless it is up. INPOD_AGENT_IMAGE
# names the agent's image otherwise than the CLI does, so that several checkouts can share a cluster.
set -eu
cd "$(dirname "$0")/.."
. scripts/run-tests.sh

own_kubeconfig=/var/lib/lab/kubeconfig
run_seconds=${INPOD_E2E_SECONDS:-1200}
work=$(mktemp -d)
started=

clean() {
  rm -rf "$work"
  [ -z "$started" ] || timeout -k 10 90 e2e/cluster/cluster down
}
trap clean EXIT

sh scripts/prepare.sh tests
npm run --silent build

if [ -z "${KUBECONFIG:-}" ]; then
  if ! e2e/cluster/cluster ready 2>/dev/null; then
    timeout -k 10 90 e2e/cluster/cluster down || true # what a restarted machine kept of one
    started=yes
    within 1800 e2e/cluster/cluster up 2
  fi
  KUBECONFIG=$own_kubeconfig
fi
export KUBECONFIG
echo "== cluster of $KUBECONFIG"
if [ "$KUBECONFIG" = "$own_kubeconfig" ]; then
  PATH=/var/cache/lab/bin:$PATH
  within 300 npm run --silent agent-image -- --out "$work/agent.tar" \
    ${INPOD_AGENT_IMAGE:+--image "$INPOD_AGENT_IMAGE"}
  within 120 e2e/cluster/cluster load "$work/agent.tar"
else
  echo "its nodes must be able to pull the agent's image, or have it already"
fi

if [ $# -gt 0 ]; then
  printf '%s\n' "$@" >"$work/files"
  suite "e2e" "$run_seconds" 1 900000 "$work/e2e.tap" <"$work/files"
else
  # Most of them wait most of the time. Whole nodes and their daemons are killed when nobody else is there.
  for file in e2e/*.test.ts; do echo "$file"; done >"$work/all"
  grep -v -e '-nodes\.test\.ts$' "$work/all" >"$work/files"
  suite "e2e" "$run_seconds" 3 900000 "$work/e2e.tap" <"$work/files"
  grep -e '-nodes\.test\.ts$' "$work/all" >"$work/files"
  suite "e2e of nodes" "$run_seconds" 1 900000 "$work/nodes.tap" <"$work/files"
fi
finish
