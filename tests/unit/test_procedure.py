"""What a runbook may do whatever is found: checked, asked for, carried out once, shown."""

from __future__ import annotations

import dataclasses
import datetime
import pathlib
import typing as t

import pytest
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.errors import RecordError
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.inputs import Words
from ansible_collections.sre.runbooks.plugins.plugin_utils._run.plan import steps_for
from ansible_collections.sre.runbooks.plugins.plugin_utils._run.procedure import procedure_offers, steps_of
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems import shipped

from tests.unit.test_session import KINDS, SICK, WELL, Runs

Json = dict[str, t.Any]
SHIPPED = shipped()
DECLARABLE = dataclasses.replace(SHIPPED.mitigations["isolate_client"], declarable=True)
# As a kind of system would ship one whose undo needs no more than its targets' names.
CATALOGUE = dataclasses.replace(SHIPPED, mitigations={**SHIPPED.mitigations, "isolate_client": DECLARABLE})
ISOLATE: Json = {"mitigation": "isolate_client", "targets": [{"role": "billing"}]}
WORDS = {"mitigate": "isolate_client", "approval": "auto"}


class Drill(Runs):
    """Runs of a runbook that has a step of its own."""

    catalogue = CATALOGUE
    procedure: t.Sequence[Json] = (ISOLATE,)

    def open(self, words: Json | None = None, **changes: t.Any) -> Json:
        return super().open(words, procedure=self.procedure, **changes)


@pytest.fixture
def runs(tmp_path: pathlib.Path) -> t.Iterator[Drill]:
    found = Drill(tmp_path)
    yield found
    found.kill()


def acted(runs: Runs) -> int:
    return [module for module, _args in runs.vendors.calls].count("postgresql_backend")


def test_a_step_needs_no_finding(runs: Drill) -> None:
    assert runs.play(WORDS, before=WELL) is None
    assert acted(runs) == 1
    assert runs.incident["state"] == "resolved"


def test_a_step_needs_no_diagnosis_in_this_run(runs: Drill) -> None:
    session = runs.session(runs.open(WORDS))
    assert [step["targets"] for step in session.executor.plan("db", 300, 1)] == [[{"role": "billing"}]]


def test_a_step_is_only_done_when_it_is_asked_for(runs: Drill) -> None:
    assert runs.play(before=WELL) is None
    assert acted(runs) == 0


def test_what_is_done_soon_after_the_end_is_proven_again(runs: Drill) -> None:
    runs.play(WORDS, before=WELL)
    assert runs.play(WORDS, before=WELL) is None
    assert (runs.incident["state"], runs.incident["epoch"]) == ("resolved", 1)
    assert "not recovered" in str(runs.play(WORDS, before=WELL, after=SICK))
    assert (runs.incident["state"], runs.incident["epoch"]) == ("open", 2)


def test_without_approval_nothing_is_done(runs: Drill) -> None:
    assert "was not approved" in str(runs.play({**WORDS, "approval": "prompt"}, before=WELL))
    assert acted(runs) == 0


def test_what_is_found_goes_before_what_is_declared(runs: Drill) -> None:
    shown = [line.rpartition("=")[2] for line in rows(runs, SICK) if line.startswith(("DO", "STEP"))]
    assert shown == ["cancel_queued_ddl", "isolate_client"]


def rows(runs: Runs, facts: list[Json]) -> list[str]:
    session = runs.session(runs.open())
    runs.read(session, "diagnose", facts)
    session.judge("diagnose")
    return t.cast("list[str]", session.screen([])[0])


def test_the_screen_shows_the_steps_with_what_to_type(runs: Drill) -> None:
    shown = rows(runs, WELL)
    (step,) = [line for line in shown if line.startswith("STEP")]
    assert step.endswith("-e mitigate=isolate_client")
    assert any("role billing on db" in line for line in shown)


WRONG = [
    ("isolate_client", "is a list of steps"),
    (["isolate_client"], "a step of runbook_procedure has mitigation, targets and perhaps systems"),
    ([{**ISOLATE, "when": "now"}], "perhaps systems, unlike"),
    ([{**ISOLATE, "mitigation": "reboot"}], "there is no mitigation 'reboot'"),
    ([{**ISOLATE, "targets": [{"name": "billing"}]}], "a target of isolate_client lacks role"),
    ([{**ISOLATE, "targets": [{"role": None}]}], "a target of isolate_client lacks role"),
    ([{**ISOLATE, "targets": []}], "has a list of targets, not an empty one"),
    ([{**ISOLATE, "targets": None}], "has a list of targets"),
    ([{**ISOLATE, "systems": "db"}], "perhaps a list of systems"),
    ([{**ISOLATE, "systems": ["dbb"]}], "isolate_client cannot be done on dbb: no postgresql"),
    ([{**ISOLATE, "systems": ["api"]}], "isolate_client cannot be done on api"),
    ([{**ISOLATE, "mitigation": ["isolate_client"]}], "there is no mitigation"),
    ([{"mitigation": "raise_connection_limit", "targets": [{"role": "x"}]}], "acts only on what a finding names"),
]


@pytest.mark.parametrize(("declared", "message"), WRONG)
def test_what_is_no_step_is_refused_before_anything_is_touched(declared: object, message: str) -> None:
    with pytest.raises(RecordError, match=message):
        steps_of(declared, CATALOGUE, KINDS)


SYSTEMS = [
    ("all of its kind", [], ["db", "db2"]),
    ("those that are named", ["db2"], ["db2"]),
]
BOTH = {**KINDS, "db2": ["postgresql"]}


@pytest.mark.parametrize(("name", "systems", "expected"), SYSTEMS, ids=[row[0] for row in SYSTEMS])
def test_whose_step_it_is(name: str, systems: list[str], expected: list[str]) -> None:
    steps = steps_of([{**ISOLATE, "systems": systems}], CATALOGUE, BOTH)
    assert [offer["system"] for offer in procedure_offers(steps, BOTH, CATALOGUE)] == expected


def test_several_steps_of_a_mitigation_are_one_so_that_its_cap_counts_them_all() -> None:
    steps = steps_of([ISOLATE, ISOLATE, {**ISOLATE, "targets": [{"role": "batch"}]}], CATALOGUE, KINDS)
    (offer,) = procedure_offers(steps, KINDS, CATALOGUE)
    assert offer["targets"] == [{"role": "billing"}, {"role": "batch"}]


def offered(system: str, role: str) -> Json:
    return {"mitigation": "isolate_client", "system": system, "finding": "db.connection_leak", "preventive": False,
            "by_name": False, "targets": [{"role": role}]}  # fmt: skip


VERDICT: Json = {"verdict": "cause_found", "findings": [], "offers": [offered("db", "reporting")]}
PLANS = [
    ("the verdict's own where it offers one", "db", [], ["reporting"]),
    ("the one of the verdict that was named", "db", ["reporting"], ["reporting"]),
    ("a declared one that was named, beside the verdict's", "db", ["billing"], ["billing"]),
    ("the declared one on another system", "db2", [], ["billing"]),
]


@pytest.mark.parametrize(("name", "system", "only", "expected"), PLANS, ids=[row[0] for row in PLANS])
def test_what_is_done_of_what_is_found_and_what_is_declared(name: str, system: str, only: list[str], expected: list[str]) -> None:
    declared = procedure_offers(steps_of([ISOLATE], CATALOGUE, BOTH), BOTH, CATALOGUE)
    words = Words(mitigate=("isolate_client",), only={"isolate_client": only} if only else {})
    (step,) = steps_for(system, ["postgresql"], words, VERDICT, [], 0, CATALOGUE, declared)
    assert [target["role"] for target in step.targets] == expected


def failing(_args: Json) -> Json:
    return {"failed": True, "changed": False, "msg": "the server refused"}


def test_a_step_that_fails_after_the_end_does_not_make_the_incident_nothing(runs: Drill) -> None:
    runs.play(WORDS, before=WELL)
    runs.vendors.answers["postgresql_backend"] = failing
    assert "the server refused" in str(runs.play(WORDS, before=WELL))
    assert runs.incident["state"] == "resolved"
    runs.now += datetime.timedelta(days=30)
    runs.play(before=WELL)
    assert len(list(runs.root.glob("db-*/incident.json"))) == 2, "the first one's record is kept"


def test_what_was_something_is_not_closed_as_nothing_where_nothing_is_proven(runs: Drill) -> None:
    runs.play(WORDS, before=WELL)
    unsettled = [WELL[0], {**WELL[1], "settled": False}]
    assert "not recovered" in str(runs.play(WORDS, before=WELL, after=unsettled, declare="never"))
    assert runs.incident["state"] == "open"


def test_a_drill_that_breaks_something_is_told(runs: Drill) -> None:
    runs.play(WORDS, before=WELL)
    runs.vendors.calls = []
    runs.play(WORDS, before=WELL, after=SICK)
    assert "Reopened: the same trouble is back." in str(runs.vendors.calls)


def test_a_run_that_was_killed_as_it_reopened_tells_nobody_that_it_is_back(runs: Drill) -> None:
    runs.play(WORDS, before=WELL)
    session = runs.session(runs.open())
    session.context.reopen()
    session.end()
    runs.vendors.calls = []
    runs.play(before=WELL)
    assert "Reopened" not in str(runs.vendors.calls)
    assert runs.incident["state"] == "resolved"
