#!/usr/bin/env bash
# Everything that checks; a failed step does not hide the next. `make test` calls it.
# What is played of scenarios and sweep is drawn by a seed from the commit, which is printed; SEED=… repeats it, SAMPLE=all plays all.
set -uo pipefail
cd "$(dirname "$0")/.."
SEED=${SEED:-$((16#$(git rev-parse --short=7 HEAD 2>/dev/null || echo 1)))}
SAMPLE=${SAMPLE:-12}
logs=.cache/test
rm -rf "$logs"
mkdir -p "$logs"
step() {
    local name=$1 started=$SECONDS
    shift
    echo "== $name: $*"
    if "$@" 2>&1 | tee "$logs/$name.out"; then
        echo "== $name: ok, $((SECONDS - started)) s" | tee -a "$logs/passed"
    else
        echo "== $name: FAILED, $((SECONDS - started)) s" | tee -a "$logs/failed"
    fi
}
quietly() {
    local log=$logs/$1.log
    shift
    if "$@" >"$log" 2>&1; then grep -E "passed|failed|ansible \[core" "$log" || tail -n 3 "$log"; else cat "$log"; return 1; fi
}
# What needs no lab runs on both cores; beside a lab it would take the time that its users are measured by.
style() {
    step lint make --no-print-directory lint
    step sanity quietly sanity scripts/sanity.sh
    step importer scripts/importer.sh
}
pure() {
    step unit python -m pytest tests/unit
    step mutations python -m tests.mutations
    step contract python -m tests.contract
}
echo "seed of what is sampled: $SEED (SEED=$SEED make test repeats it)"
style >"$logs/style" 2>&1 &
pure >"$logs/pure" 2>&1
wait
cat "$logs/style" "$logs/pure"
step live python -m pytest tests/live
step scenarios python -m tests.scenarios --sample "$SAMPLE" --draw "$SEED" --seeds 1
step scenarios-15 python -m tests.scenarios --sample 4 --draw "$SEED" --seeds 2 --postgresql 15
step sweep python -m tests.sweep --sample "$([ "$SAMPLE" = all ] && echo 100000 || echo 4)" --seed "$SEED"
step molecule quietly molecule make --no-print-directory molecule
step oldest quietly oldest scripts/oldest.sh
passed=$(cat "$logs/passed" 2>/dev/null | wc -l)
failed=$(cat "$logs/failed" 2>/dev/null | wc -l)
echo "steps: $passed passed, $failed failed; $SECONDS s"
[ "$failed" -eq 0 ] && exit 0
# The end of a log is what is read first, and sometimes all that is kept.
while read -r _ name _; do
    echo "== what ${name%:} said of its failure"
    grep -E "^(FAILED|ERROR|E  )|WRONG|NOT noticed|[1-9][0-9]* failed|[Ee]rror:|MISSED" "$logs/${name%:}.out" | cut -c 1-300 | tail -n 12
done <"$logs/failed"
cat "$logs/failed"
exit 1
