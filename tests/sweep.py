"""``make sweep``: interrupts the runbook at every write of a good run, in every way, and lets it recover.

For each write k of each vendor: an error, no answer, a lost answer after the write was done, and the run killed (its whole
group, or only its main process); also killed at the moment when the database's statement is cancelled. Then the same
command is typed again until it is green. The vendors' final state, and the order of what they were told, must be those of
the good run, each effect once.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import itertools
import json
import os
import pathlib
import random
import re
import signal
import subprocess
import sys
import time
import typing as t

from tests import harness
from tests.lab import faults
from tests.lab.sim import control
from tests.lab.state import Lab

Json = dict[str, t.Any]
MITIGATE = ("-e", "mitigate=cancel_queued_ddl")
VARIABLES = {**harness.ALL_CHANNELS, "incident_http_timeout": 1.0, "recovery_check_timeout": 1.0}
WAYS = ("500", "timeout", "lost", "lost-and-listed-late", "null", "cut", "kill-group", "kill-main")
# As long as a listing lags that a run must not be deceived by.
LAG_SECONDS = 5.0
MOST_RERUNS = 3


@dataclasses.dataclass(frozen=True)
class Case:
    """One interruption: at the k-th write of a vendor, or (vendor ``database``) when the statement is cancelled."""

    vendor: str
    write: int
    way: str


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What an interrupted run and its reruns left behind."""

    state: Json
    effects: list[str]
    reruns: int
    last: harness.Run
    maybe: int
    problems: tuple[str, ...]


def masked(value: t.Any) -> str:
    """Data as text, without times and ids (pids are ids)."""
    text = json.dumps(value, sort_keys=True)
    text = re.sub(r"db_degradation-lab-db-\d{8}T\d{4}Z", "INCIDENT", text)
    text = re.sub(r"Q\d{6}LAB|inc\d{9}", "ID", text)
    return re.sub(r"pid \d+", "pid N", text)


def effects(lab: Lab) -> list[str]:
    """What the vendors really did, in order, vendor by vendor."""
    found = []
    for vendor in harness.VENDORS:
        done = [entry for entry in control.writes(lab, vendor) if entry["done"] and 200 <= (entry["status"] or 200) < 300]
        found += [masked([vendor, entry["method"], entry["path"], entry["body"]]) for entry in done]
    return found


def once_only(effect: str) -> bool:
    """Whether an effect is one that nobody can look up, which is made at most once."""
    vendor, _, path, _ = json.loads(effect)
    return bool(vendor == "mail" or path.endswith(("/status_updates", "/responder_requests")))


def final_state(lab: Lab) -> Json:
    """The vendors' state as people see it."""
    pager, page = control.state(lab, "pagerduty"), control.state(lab, "statuspage")
    return {
        "pagerduty": [
            masked([one["title"], one["status"], one["urgency"], [note["content"] for note in pager["notes"][one["id"]]]])
            for one in pager["incidents"]
        ],
        "statuspage": [
            masked(
                [one["name"], one["status"], [[update["status"], update["body"]] for update in reversed(one["incident_updates"])]]
            )
            for one in page["incidents"]
        ],
        "components": {part["name"]: part["status"] for part in page["components"]},
    }


def arm(lab: Lab, case: Case, pid_file: pathlib.Path) -> None:
    if case.vendor == "database":
        return
    kind = "kill-after" if case.way.startswith("kill") else case.way.partition("-")[0]
    fault = {"write": case.write, "kind": kind, "pid_file": str(pid_file), "group": case.way == "kill-group", "seconds": 5.0}
    late = [{"kind": "lag", "seconds": LAG_SECONDS}] if case.way.endswith("late") else []
    control.set_faults(lab, case.vendor, fault, *late)


def kill_when_cancelled(lab: Lab, case: Case, process: subprocess.Popen[bytes]) -> None:
    """Kills the run as soon as the migration's session tells that its statement was cancelled."""
    while process.poll() is None:
        if (lab.read("faults/queued-ddl.json") or {}).get("ended"):
            (os.killpg if case.way == "kill-group" else os.kill)(process.pid, signal.SIGKILL)
            return
        time.sleep(0.002)


def interrupted(lab: Lab, root: pathlib.Path, case: Case | None) -> harness.Run:
    """The first run, interrupted as the case says."""
    pid_file, output = root / "pid", root / "output"
    if case is not None:
        arm(lab, case, pid_file)
    started = time.monotonic()
    process = harness.start(lab, root / "incidents", *MITIGATE, output=output, variables=VARIABLES)
    pid_file.write_text(str(process.pid))
    if case is not None and case.vendor == "database":
        kill_when_cancelled(lab, case, process)
    code = process.wait(timeout=120)
    return harness.Run(code, harness.rows(output.read_text()), time.monotonic() - started, root / "incidents")


def play(lab: Lab, case: Case | None) -> Outcome:
    """One case from a fresh fault to the end of the last rerun."""
    harness.settle(lab)
    with harness.a_root() as root:
        told = faults.break_it(lab, "queued-ddl", seed=1)
        harness.suffering(lab)
        last = interrupted(lab, root, case)
        reruns = 0
        while last.code and reruns < MOST_RERUNS:
            reruns += 1
            last = harness.play(lab, root / "incidents", *MITIGATE, variables=VARIABLES)
        problems = tuple(wrong(lab, root, told, last))
        return Outcome(final_state(lab), effects(lab), reruns, last, maybe_sent(root / "incidents"), problems)


def maybe_sent(root: pathlib.Path) -> int:
    """How many messages the record calls maybe sent."""
    lines = [json.loads(line) for path in root.glob("*/outbox.jsonl") for line in path.read_text().splitlines()]
    return sum(line["op"] == "maybe" for line in lines)


def wrong(lab: Lab, root: pathlib.Path, told: Json, last: harness.Run) -> t.Iterator[str]:
    if last.code:
        yield f"still not green: {last.output[-600:]}"
    if not harness.alive(lab, harness.of_role(told, "report")[0]):
        yield "the innocent report did not survive"
    ddl = harness.of_role(told, "ddl")[0]
    ended = [one for one in lab.read("faults/queued-ddl.json")["ended"] if one["pid"] == ddl["pid"]]
    if [one["outcome"] for one in ended] != ["57014"]:
        yield f"the migration should have been cancelled once: {ended}"
    if len(list((root / "incidents").glob("*/incident.json"))) != 1:
        yield "there should be one incident"


def compare(good: Outcome, case: Case, outcome: Outcome) -> list[str]:
    problems = list(outcome.problems)
    if case.vendor == "database" and not any("Done: " in one for one in outcome.effects):
        good = without_mitigated(good)
    if outcome.state != good.state:
        problems.append(f"the final state differs: {outcome.state}")
    missing = [one for one in good.effects if one not in outcome.effects]
    # What cannot be looked up may be missing, if the record says that nobody can tell; it is never there twice.
    excused = [one for one in missing if once_only(one)][: outcome.maybe]
    if outcome.effects != [one for one in good.effects if one not in excused]:
        missing = [one for one in missing if one not in excused]
        extra = list(outcome.effects)
        for one in good.effects:
            with contextlib.suppress(ValueError):
                extra.remove(one)
        problems.append(f"the effects differ: missing {missing}, extra {extra}")
    return problems


UNKNOWN = " Not known whether cancel_queued_ddl was carried out."


def without_mitigated(good: Outcome) -> Outcome:
    """What a good run leaves, without what is told of a mitigation: killed before the outcome was written down, nobody knows
    whether it was carried out, and nobody is told that it was."""
    text = json.dumps(good.state).replace("and the cause is gone.", f"and the cause is gone.{UNKNOWN}")
    state = json.loads(text)
    texts = ("Done: cancel_queued_ddl", "We have taken measures", "being verified")
    state = {
        **state,
        "pagerduty": [_without(one, texts) for one in state["pagerduty"]],
        "statuspage": [_without(one, texts) for one in state["statuspage"]],
    }
    effects_left = [one.replace("and the cause is gone.", f"and the cause is gone.{UNKNOWN}") for one in good.effects
                    if not any(text in one for text in texts)]  # fmt: skip
    return dataclasses.replace(good, state=state, effects=effects_left)


def _without(incident: str, texts: t.Sequence[str]) -> str:
    parts = json.loads(incident)
    parts[-1] = [one for one in parts[-1] if not any(text in json.dumps(one) for text in texts)]
    return json.dumps(parts)


def cases(good: Outcome) -> list[Case]:
    counts = {vendor: sum(json.loads(one)[0] == vendor for one in good.effects) for vendor in harness.VENDORS}
    found = [
        Case(vendor, write, way)
        for vendor, count in counts.items()
        for write, way in itertools.product(range(1, count + 1), WAYS)
    ]
    return found + [Case("database", 1, way) for way in WAYS if way.startswith("kill")]


def main() -> int:
    options = argparse.ArgumentParser(prog="python -m tests.sweep", description=__doc__)
    options.add_argument("--sample", type=int, help="how many cases, drawn from the seed; all by default")
    options.add_argument("--seed", type=int, default=1)
    asked = options.parse_args()
    failed = told = 0
    with harness.a_lab("sweep") as lab:
        good = play(lab, None)
        if good.problems:
            print("\n".join(good.problems))
            return 1
        chosen = cases(good)
        if asked.sample:
            chosen = random.Random(asked.seed).sample(chosen, min(asked.sample, len(chosen)))
        print(f"a good run makes {len(good.effects)} writes; {len(chosen)} interruptions", flush=True)
        print(f"{'at':<16} {'how':<11} {'reruns':>6} {'maybe sent':>10}  result", flush=True)
        for case in chosen:
            outcome = play(lab, case)
            problems = compare(good, case, outcome)
            failed += bool(problems)
            at = f"{case.vendor} {case.write}"
            print(
                f"{at:<16} {case.way:<11} {outcome.reruns:>6} {outcome.maybe:>10}  {'; '.join(problems) or 'as the good run'}",
                flush=True,
            )
            told += outcome.maybe
    print(f"maybe sent, all in all: {told}")
    print(f"sweep: {len(chosen) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
