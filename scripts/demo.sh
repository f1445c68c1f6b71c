#!/bin/sh
# npm run demo: a local process takes the place of a pod that a sandbox on this machine plays.
set -eu
cd "$(dirname "$0")/.."
sh scripts/prepare.sh
npm run --silent build
exec node --import tsx sandbox/src/demo.ts "$@"
