"""``make screens``: docs/screens.md, what the runbook shows, from real runs on the lab, in terminals of 80 and of 100 columns."""

from __future__ import annotations

import dataclasses
import shutil
import sys
import typing as t

from tests import harness
from tests.lab.state import PROJECT, Lab
from tests.scenarios.runner import break_all, scenarios

PAGE = PROJECT / "docs" / "screens.md"
WIDTHS = (80, 100)
# Where a user has it: in the folder in which the command is typed.
RECORDS = PROJECT / "incidents"


@dataclasses.dataclass(frozen=True)
class Case:
    """A screen: its title, the scenario that it is of, and the variables that make it another one."""

    title: str
    scenario: str
    variables: t.Mapping[str, t.Any] = dataclasses.field(default_factory=dict)


CASES = (
    Case("A cause", "queued_ddl"),
    Case("Two causes", "two_causes_locks"),
    Case("A cause that is only likely", "role_limit"),
    Case("No cause can be shown", "unproven_outside"),
    Case("The database cannot be reached", "healthy", {"runbooks_db_port": 1}),
    Case("Healthy", "healthy"),
    Case("Healthy, with a risk", "healthy_polled"),
)


def screen(printed: str) -> list[str]:
    """The screen's lines: what stands between the empty lines around it."""
    lines = printed.splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("INCIDENT"))
    last = next(number for number, line in enumerate(lines) if number > first and not line)
    return [line.replace(f"{PROJECT}/", "").replace(str(PROJECT), ".") for line in lines[first:last]]


def shown(lab: Lab, case: Case) -> t.Iterator[str]:
    harness.settle(lab)
    (scenario,) = [one for one in scenarios() if one.name == case.scenario]
    break_all(lab, scenario, 1)
    yield from (f"## {case.title}", "")
    for width in WIDTHS:
        variables = {**harness.ALL_CHANNELS, "incident_declare": "confirmed", **scenario.variables, **case.variables}
        if scenario.paths:
            variables["recovery_check_urls"] = [harness.probe_of(lab, path) for path in scenario.paths]
        played = harness.play(lab, RECORDS, variables=variables, env={"COLUMNS": str(width)})
        lines = screen(played.printed)
        shutil.rmtree(RECORDS)
        longest = max(len(line) for line in lines)
        print(f"{case.title} at {width}: {len(lines)} lines, the longest has {longest}", flush=True)
        yield from (f"At {width} columns:", "", "```text", *lines, "```", "")
    harness.heal_all(lab)


def main() -> int:
    if RECORDS.exists():
        raise SystemExit(f"{RECORDS} is there, and the screens' records would be put into it: move it away first")
    head = [
        "# What the runbook shows", "",
        "Seven screens, generated from real runs on the lab by `make screens`; names, pids and times are those of that day.",
        "How to read them: [database degradation](runbooks/db-degradation.md).", "",
    ]  # fmt: skip
    harness.write_page(PAGE, head, lambda lab: (line for case in CASES for line in shown(lab, case)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
