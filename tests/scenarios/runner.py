"""Plays scenarios against a live lab with the shipped playbook, and scores what the runbook and a naive baseline say."""

from __future__ import annotations

import dataclasses
import pathlib
import random
import time
import typing as t

import yaml

from tests import harness
from tests.lab import faults, observer
from tests.lab.__main__ import CLOUD, CLUSTER
from tests.lab.aws import world
from tests.lab.kubernetes.api import Api
from tests.lab.state import Lab, LabError, wait_until

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
    approval: str | None = None
    variables: Json = dataclasses.field(default_factory=dict)
    postgresql: tuple[str, ...] = ("15", "18")
    preventive: bool = False
    paths: tuple[str, ...] = ()
    runbook: str = "db_degradation"
    shows: tuple[str, ...] = ()


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
    names = ("decoys", "causes", "forbidden", "untouched", "paths", "shows")
    lists = {name: tuple(data.pop(name, ())) for name in names}
    default = Scenario.postgresql if path.parent.name == "db_degradation" else ("18",)
    data["postgresql"] = tuple(data.get("postgresql", default))
    fields: Json = {"name": path.stem, "runbook": path.parent.name, "breaks": tuple(data.pop("break")), **lists, **data}
    return Scenario(**fields)


def scenarios(*runbooks: str) -> list[Scenario]:
    """Those of some runbooks, or of all."""
    return [load(path) for runbook in runbooks or GROUNDS for path in sorted((FOLDER / runbook).glob("*.yml"))]


def sampled(every: t.Sequence[Scenario], number: int, seed: int) -> list[Scenario]:
    """So many of the scenarios, drawn, in their order; one of each runbook's verdicts first."""
    drawn = random.Random(seed).sample(list(every), len(every))
    verdicts = {(one.runbook, one.verdict): one for one in reversed(drawn)}
    first = [one for one in drawn if verdicts[one.runbook, one.verdict] is one]
    return sorted([*first, *(one for one in drawn if one not in first)][:number], key=lambda one: (one.runbook, one.name))


def culprits(scenario: Scenario, told: t.Mapping[str, Json]) -> set[tuple[str, str]]:
    """The true causes, as (finding, pid)."""
    sessions = sessions_of(scenario, told)
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
    with faults.superuser(lab) as cursor:
        cursor.execute(NAIVE, (seconds,))
        row = cursor.fetchone()
    return str(row[0]) if row else None


def newest_rollout(lab: Lab) -> str | None:
    """The Deployment whose newest ReplicaSet is the youngest: what people blame first."""
    sets = Api.of(lab).get("/apis/apps/v1/namespaces/custody/replicasets")["items"]
    newest = max(sets, key=lambda one: (one["metadata"]["creationTimestamp"], one["metadata"]["name"]), default=None)
    return f"custody/Deployment/{newest['metadata']['ownerReferences'][0]['name']}" if newest else None


def newest_start(lab: Lab) -> str | None:
    """What CloudTrail knows of instances that were started: the seed's own question."""
    asked = {"AttributeKey": "EventName", "AttributeValue": "RunInstances"}
    events = world.client(lab, "cloudtrail").lookup_events(LookupAttributes=[asked], MaxResults=1)["Events"]
    return str(events[0]["EventId"]) if events else None


@dataclasses.dataclass(frozen=True)
class Ground:
    """What a runbook's scenarios are played on: the lab's parts (none: the database's), and whom a naive look names."""

    parts: tuple[str, ...]
    naive: t.Callable[[Lab], str | None]


GROUNDS = {
    "db_degradation": Ground((), lambda lab: longest_running(lab, 1.0)),
    "auth_failure": Ground(CLUSTER, newest_rollout),
    "error_rate": Ground(CLUSTER, newest_rollout),
    "api_outage": Ground(CLOUD, newest_start),
}


def naive(lab: Lab, scenario: Scenario, told: t.Mapping[str, Json]) -> float:
    """What one gets who names what a naive look names."""
    named = GROUNDS[scenario.runbook].naive(lab)
    if not scenario.causes:
        return 1.0 if named is None else 0.0
    roles = {cause["session"] for cause in scenario.causes}
    guilty = [session for session in sessions_of(scenario, told) if session["role"] in roles]
    keys = {session["key"] or str(session["pid"]) for session in guilty}
    return 1.0 if len(keys) == 1 and named in keys | {str(session["pid"]) for session in guilty} else 0.0


def break_all(lab: Lab, scenario: Scenario, seed: int) -> dict[str, Json]:
    told = {name: faults.break_it(lab, name, seed) for name in (*scenario.decoys, *scenario.breaks)}
    felt = [faults.FAULTS[name] for name in scenario.breaks if faults.FAULTS[name].felt]
    if felt:
        harness.suffering(lab, locks=any(kind.locks for kind in felt))
    if any(session["application"] in faults.REPORTS for one in told.values() for session in one["sessions"]):
        wait_until(lambda: longest_running(lab, 2.0) is not None, 10, "statements that have run for two seconds", 0.1)
    return told


def sessions_of(scenario: Scenario, told: t.Mapping[str, Json]) -> list[Json]:
    return [session for name in scenario.breaks for session in told[name]["sessions"]]


def run(lab: Lab, root: pathlib.Path, scenario: Scenario) -> harness.Run:
    options = ["-e", f"mitigate={scenario.mitigation}"] if scenario.mitigation else []
    options += ["-e", f"approval={scenario.approval}"] if scenario.approval else []
    variables = {**harness.ALL_CHANNELS, **scenario.variables}
    if scenario.paths:
        variables["recovery_check_urls"] = [harness.probe_of(lab, path) for path in scenario.paths]
    if scenario.alert:
        (root / "alert.txt").write_text(scenario.alert)
        variables["incident_alert_file"] = str(root / "alert.txt")
    return harness.play(lab, root, *options, variables=variables, playbook=f"playbooks/runbook_{scenario.runbook}.yml")


def complaints(lab: Lab, scenario: Scenario, told: t.Mapping[str, Json], played: harness.Run) -> t.Iterator[str]:
    """Everything beside the named causes that must hold after the run."""
    if played.code:
        yield f"exit {played.code}: {' · '.join(said(played))}"
    named = {cause["id"] for cause in played.causes}
    if named & set(scenario.forbidden):
        yield f"named what is forbidden: {', '.join(sorted(named & set(scenario.forbidden)))}"
    sessions = [session for one in told.values() for session in one["sessions"] if session["role"] in scenario.untouched]
    alive = harness.sessions(lab) if sessions else {}
    gone = [session["pid"] for session in sessions if alive.get(session["pid"]) != session["backend_start"]]
    if gone:
        yield f"did not stay untouched: {gone}"
    if scenario.mitigation and played.incident["state"] != "resolved":
        yield f"relieved, and the incident is {played.incident['state']}"
    if scenario.verdict == "healthy" and harness.writes(lab):
        yield f"nothing is wrong, and somebody was told: {len(harness.writes(lab))} writes"
    offered = {offer["mitigation"] for offer in played.cause["offers"]}
    for name in (scenario.mitigation or "").split(","):
        if name and name.partition(":")[0] not in offered:
            yield f"{name} was not offered"
    for text in scenario.shows:
        if text not in played.output:
            yield f"does not show {text!r}"


def said(played: harness.Run) -> list[str]:
    """What the run said of how it ended, on one line: a CI keeps lines, and few of them."""
    lines = [line.strip() for line in played.output.splitlines()]
    ends = ("before", "after", "MITIGATED", "NOT ", "FAILED", "failed", "refused", "[ERROR]", "fatal")
    return [line for line in lines if line.startswith(ends)][:8] or lines[-8:]


def play(lab: Lab, scenario: Scenario, seed: int, attempts: int = 3) -> Played:
    """Breaks, runs, judges, heals. What the lab could not do is a red scenario, and does not hide those after it. Where
    nothing is broken and the witness saw users suffer all the same (the machine was busy), it is played again.
    """
    try:
        harness.settle(lab)
        started = time.time()
        played = _play(lab, scenario, seed)
    except LabError as error:
        return Played(scenario.name, seed, 0.0, 0.0, (f"the lab: {error}",), 0.0)
    finally:
        harness.heal_all(lab)
    seen = [look for look in observer.since(lab, started) if not harness.well(look)]
    if scenario.breaks or not (played.wrong and seen) or attempts == 1:
        return played
    print(f"    again {scenario.name}: nothing is broken, and the witness saw {seen[-1]}", flush=True)
    return play(lab, scenario, seed, attempts - 1)


def _play(lab: Lab, scenario: Scenario, seed: int) -> Played:
    with harness.a_root() as root:
        told = break_all(lab, scenario, seed)
        true = culprits(scenario, told)
        baseline = naive(lab, scenario, told)
        played = run(lab, root, scenario)
        named, findings = named_causes(played), played.cause
        offers = [offer for offer in findings["offers"] if not (scenario.preventive and offer["preventive"])]
        points = score(named, true, len(offers), findings["verdict"] == scenario.verdict)
        wrong = list(complaints(lab, scenario, told, played))
        if points < 1.0:
            seen = [f"{one['id']} {one['confidence']} {one['subject']['key']}" for one in findings["findings"]]
            wrong.append(f"{findings['verdict']}, named {sorted(named)} where {sorted(true)} are to be named; seen: {seen}")
            wrong += [f"not known: {gap}" for gap in findings["gaps"]]
    return Played(scenario.name, seed, points, baseline, tuple(wrong), played.seconds)
