"""``make trainee``: something is broken in the lab, you are on call. When users are well again you are told what it was.

FAULT=name breaks that and nothing else; GIVE_UP=minutes ends the exercise by itself (30 by default).
"""

from __future__ import annotations

import os
import random
import sys
import time

from tests import harness
from tests.lab import faults
from tests.lab.__main__ import up
from tests.lab.state import Lab, LabError, wait_until

# What an engineer can find and relieve with the runbook.
EXERCISES = (
    "queued-ddl", "queued-lock", "blocking", "blocking-deep", "blocking-at-work", "two-roots", "prepared-orphan",
    "connection-leak", "long-query", "stale-statistics", "missing-index", "invalid-index",
)  # fmt: skip
DECOYS = (None, "decoy-elsewhere", "busy-report")
WELL_SECONDS = 5.0

ALARM = """
== 03:12. The pager: "API p95 over 500 ms, errors rising". You are on call for this lab.

   look      ansible-playbook playbooks/runbook_db_degradation.yml -i inventories/lab
   by hand   LAB=trainee python -m tests.lab status
   the page  docs/runbooks/db-degradation.md

   All channels are off. The clock runs; this terminal tells when users are well again (Ctrl-C gives up).
"""


def well_for_a_while(lab: Lab) -> bool:
    """Whether users have been well without a break."""
    began = time.monotonic()
    while time.monotonic() - began < WELL_SECONDS:
        if faults.suffers(lab):
            return False
        time.sleep(0.25)
    return True


def exercise(lab: Lab, fault: str, decoy: str | None, minutes: float) -> int:
    """Breaks, waits for the engineer, tells. Returns 0 when users were well again in time."""
    if decoy:
        faults.break_it(lab, decoy, seed=random.randrange(1000))
    faults.break_it(lab, fault, seed=random.randrange(1000))
    harness.suffering(lab, locks=faults.FAULTS[fault].locks)
    print(ALARM, flush=True)
    began = time.monotonic()
    solved = False
    try:
        wait_until(lambda: well_for_a_while(lab), 60 * minutes, "the recovery", 0.5)
        solved = True
    except (LabError, KeyboardInterrupt):
        pass
    seconds = round(time.monotonic() - began - (WELL_SECONDS if solved else 0))
    print(f"\n== {'users are well again after' if solved else 'not solved in'} {seconds // 60} min {seconds % 60} s")
    print(f"   it was {fault}: {(faults.FAULTS[fault].begin.__doc__ or '').splitlines()[0]}")
    if decoy:
        print(f"   and beside it, harmless, {decoy}: {(faults.FAULTS[decoy].begin.__doc__ or '').splitlines()[0]}")
    return 0 if solved else 1


def main() -> int:
    lab = Lab.named("trainee")
    lab.end()
    print("== starting the lab", flush=True)
    try:
        up(lab, (), "18", {})
        harness.settle(lab)
        fault = os.environ.get("FAULT") or random.choice(EXERCISES)
        decoy = None if os.environ.get("FAULT") else random.choice(DECOYS)
        return exercise(lab, fault, decoy, float(os.environ.get("GIVE_UP", "30")))
    finally:
        lab.end()


if __name__ == "__main__":
    sys.exit(main())
