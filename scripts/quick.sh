#!/usr/bin/env bash
# The loop of a change: style and types, everything pure, and one scenario, drawn by the time. `make quick` calls it.
set -uo pipefail
cd "$(dirname "$0")/.."
failed=0
step() {
    local name=$1 started=$SECONDS
    shift
    "$@"
    local status=$?
    echo "== $name: $((SECONDS - started)) s"
    return "$status"
}
log=$(mktemp)
trap 'rm -f "$log"' EXIT
step lint make --no-print-directory lint >"$log" 2>&1 &
lint=$!
step unit python -m pytest -q tests/unit || failed=1
wait "$lint" || failed=1
cat "$log"
step scenario python -m tests.scenarios --sample 1 --draw "${SEED:-$RANDOM}" --seeds 1 || failed=1
echo "quick: $([ "$failed" -eq 0 ] && echo ok || echo FAILED), $SECONDS s"
exit "$failed"
