"""Plays scenarios against a live lab with the shipped playbook, and scores what the runbook and a naive baseline say."""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
import typing as t

import psycopg2
import yaml

from tests import harness
from tests.lab import faults
from tests.lab.postgres import dsn
from tests.lab.state import Lab, wait_until

FOLDER = pathlib.Path(__file__).parent
Json = dict[str, t.Any]

# The first thing that people type: what has been running for longest? (the seed's own query)
NAIVE = """
SELECT pid FROM pg_stat_activity
WHERE state = 'active' AND backend_type = 'client backend' AND pid <> pg_backend_pid()
  AND extract(epoch FROM now() - query_start) > %s
ORDER BY now() - query_start DESC LIMIT 1
"""


@dataclasses.dataclass(frozen=True)
class Scenario:
    """One scenario as its file says it."""

    name: str
    description: str
    breaks: tuple[str, ...]
    decoys: tuple[str, ...]
    verdict: str
    causes: tuple[Json, ...]
    forbidden: tuple[str, ...]
    untouched: tuple[str, ...]
    mitigation: str | None = None
    alert: str | None = None


@dataclasses.dataclass(frozen=True)
class Played:
    """The score of one scenario with one seed, the baseline's, and everything that was not as it must be."""

    scenario: str
    seed: int
    score: float
    baseline: float
    wrong: tuple[str, ...]
    seconds: float


def load(path: pathlib.Path) -> Scenario:
    data = yaml.safe_load(path.read_text())
    lists = {name: tuple(data.pop(name, ())) for name in ("decoys", "causes", "forbidden", "untouched")}
    fields: Json = {"name": path.stem, "breaks": tuple(data.pop("break")), **lists, **data}
    return Scenario(**fields)


def scenarios(runbook: str = "db_degradation") -> list[Scenario]:
    return [load(path) for path in sorted((FOLDER / runbook).glob("*.yml"))]


def culprits(scenario: Scenario, told: t.Mapping[str, Json]) -> set[tuple[str, str]]:
    """The true causes, as (finding, pid)."""
    sessions = [session for name in scenario.breaks for session in told[name]["sessions"]]
    return {
        (cause["id"], session["key"] or str(session["pid"]))
        for cause in scenario.causes
        for session in sessions
        if session["role"] == cause["session"]
    }


def named_causes(played: harness.Run) -> set[tuple[str, str]]:
    return {(cause["id"], cause["subject"]["key"]) for cause in played.causes}


def score(named: set[tuple[str, str]], true: set[tuple[str, str]], offered: int, verdict_as_expected: bool) -> float:
    """A missed cause counts 0, else the share of the named causes that are true; where nothing is to be found, 1 only
    if the verdict says so and nothing is offered."""
    if not true:
        return 1.0 if verdict_as_expected and not named and not offered else 0.0
    return len(named & true) / len(named) if true <= named else 0.0


def longest_running(lab: Lab, seconds: float) -> str | None:
    """The pid of the statement that has been running for longest, if that is longer than the seconds."""
    with contextlib.closing(psycopg2.connect(dsn(lab, "postgres"))) as connection, connection.cursor() as cursor:
        cursor.execute(NAIVE, (seconds,))
        row = cursor.fetchone()
    return str(row[0]) if row else None


def naive(lab: Lab, true: set[tuple[str, str]]) -> float:
    """What one gets who names the longest-running statement."""
    named = longest_running(lab, 1.0)
    if not true:
        return 1.0 if named is None else 0.0
    return 1.0 if {named} == {pid for _, pid in true} else 0.0


def break_all(lab: Lab, scenario: Scenario, seed: int) -> dict[str, Json]:
    told = {name: faults.break_it(lab, name, seed) for name in (*scenario.decoys, *scenario.breaks)}
    if scenario.breaks:
        harness.suffering(lab)
    wait_until(lambda: longest_running(lab, 2.0) is not None, 10, "statements that have run for two seconds", 0.1)
    return told


def run(lab: Lab, root: pathlib.Path, scenario: Scenario) -> harness.Run:
    options = ["-e", f"mitigate={scenario.mitigation}"] if scenario.mitigation else []
    variables = dict(harness.ALL_CHANNELS)
    if scenario.alert:
        (root / "alert.txt").write_text(scenario.alert)
        variables["incident_alert_file"] = str(root / "alert.txt")
    return harness.play(lab, root, *options, variables=variables)


def complaints(lab: Lab, scenario: Scenario, told: t.Mapping[str, Json], played: harness.Run) -> t.Iterator[str]:
    """Everything beside the named causes that must hold after the run."""
    if played.code:
        yield f"exit {played.code}: {played.output[-800:]}"
    named = {cause["id"] for cause in played.causes}
    if named & set(scenario.forbidden):
        yield f"named what is forbidden: {', '.join(sorted(named & set(scenario.forbidden)))}"
    sessions = [session for one in told.values() for session in one["sessions"] if session["role"] in scenario.untouched]
    alive = harness.sessions(lab)
    gone = [session["pid"] for session in sessions if alive.get(session["pid"]) != session["backend_start"]]
    if gone:
        yield f"did not stay untouched: {gone}"
    if scenario.mitigation and played.incident["state"] != "resolved":
        yield f"relieved, and the incident is {played.incident['state']}"
    if not scenario.causes and harness.writes(lab):
        yield f"nothing is wrong, and somebody was told: {len(harness.writes(lab))} writes"
    offered = {offer["mitigation"] for offer in played.cause["offers"]}
    if scenario.mitigation and scenario.mitigation not in offered:
        yield f"{scenario.mitigation} was not offered"


def play(lab: Lab, scenario: Scenario, seed: int) -> Played:
    """Breaks, runs, judges, heals."""
    harness.settle(lab)
    with harness.a_root() as root:
        told = break_all(lab, scenario, seed)
        true = culprits(scenario, told)
        baseline = naive(lab, true)
        played = run(lab, root, scenario)
        named, findings = named_causes(played), played.cause
        points = score(named, true, len(findings["offers"]), findings["verdict"] == scenario.verdict)
        wrong = tuple(complaints(lab, scenario, told, played))
    harness.settle(lab)
    return Played(scenario.name, seed, points, baseline, wrong, played.seconds)
