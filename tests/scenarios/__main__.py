"""``python -m tests.scenarios [--seeds 1 2 3] [name ...]``: plays scenarios and prints their scores."""

from __future__ import annotations

import argparse
import sys

from tests import harness
from tests.lab.state import Lab
from tests.scenarios.runner import GROUNDS, Played, Scenario, play, sampled, scenarios

WANTED = 1.0
BASELINE_AT_MOST = 0.6


def main() -> int:
    options = argparse.ArgumentParser(prog="python -m tests.scenarios", description=__doc__)
    options.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    options.add_argument("--postgresql", default="18")
    options.add_argument("--sample", default="all", help="play so many of them, each verdict among them")
    options.add_argument("--draw", type=int, default=1, help="which ones")
    options.add_argument("names", nargs="*")
    asked = options.parse_args()
    chosen = [one for one in scenarios() if asked.postgresql in one.postgresql and (not asked.names or one.name in asked.names)]
    if asked.sample != "all":
        chosen = sampled(chosen, int(asked.sample), asked.draw)
    results: list[Played] = []
    print(f"{'scenario':<22} {'seed':>4} {'score':>6} {'naive':>6} {'run':>7}", flush=True)
    for runbook, ground in GROUNDS.items():
        own = [one for one in chosen if one.runbook == runbook]
        if own:
            with harness.a_lab("scenarios", ground.parts, postgresql=asked.postgresql) as lab:
                results += [played(lab, scenario, seed) for scenario in own for seed in asked.seeds]
    return summary(results, whole=asked.sample == "all" and not asked.names)


def played(lab: Lab, scenario: Scenario, seed: int) -> Played:
    """The result of one, printed."""
    result = play(lab, scenario, seed)
    print(f"{result.scenario:<22} {seed:>4} {result.score:>6.2f} {result.baseline:>6.2f} {result.seconds:>5.1f} s", flush=True)
    for complaint in result.wrong:
        print(f"    WRONG {result.scenario}: {complaint}", flush=True)
    return result


def summary(results: list[Played], *, whole: bool) -> int:
    """Prints the means and says whether they are good enough; of a few the baseline's says nothing."""
    score = sum(result.score for result in results) / len(results)
    baseline = sum(result.baseline for result in results) / len(results)
    failed = [result for result in results if result.score < WANTED or result.wrong]
    print(f"score {score:.2f} (wanted {WANTED}) · naive baseline {baseline:.2f} (at most {BASELINE_AT_MOST})")
    print(f"scenarios: {len(results) - len(failed)} passed, {len(failed)} failed")
    return 1 if failed or (whole and baseline > BASELINE_AT_MOST) else 0


if __name__ == "__main__":
    sys.exit(main())
