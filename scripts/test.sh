#!/usr/bin/env bash
# Everything that checks, one step after the other; a failed step does not hide the next. `make test` calls it.
set -uo pipefail
cd "$(dirname "$0")/.."
passed=0
failed=()
step() {
    local name=$1 started=$SECONDS
    shift
    echo "== $name: $*"
    if "$@"; then
        passed=$((passed + 1))
        echo "== $name: ok, $((SECONDS - started)) s"
    else
        failed+=("$name")
        echo "== $name: FAILED, $((SECONDS - started)) s"
    fi
}
quietly() {
    local log=.cache/$1.log
    shift
    mkdir -p .cache
    if "$@" >"$log" 2>&1; then grep -E "passed|failed|ansible \[core" "$log" || tail -n 3 "$log"; else cat "$log"; return 1; fi
}
step lint make --no-print-directory lint
step sanity quietly sanity scripts/sanity.sh
step importer scripts/importer.sh
step unit python -m pytest tests/unit
step live python -m pytest tests/live
step scenarios python -m tests.scenarios --seeds "${SCENARIO_SEED:-1}"
step scenarios-15 python -m tests.scenarios queued_ddl blocking_deep connections_refused missing_index stale_statistics --seeds 2 --postgresql 15
step sweep python -m tests.sweep --sample 4 --seed "${SWEEP_SEED:-7}"
step molecule quietly molecule make --no-print-directory molecule
step mutations python -m tests.mutations
step oldest quietly oldest scripts/oldest.sh
step contract python -m tests.contract
echo "steps: $passed passed, ${#failed[@]} failed"
[ ${#failed[@]} -eq 0 ] || { echo "failed: ${failed[*]}"; exit 1; }
