"""What a runbook may do whatever is found: checked, asked for, carried out once, shown."""

from __future__ import annotations

import pathlib
import typing as t

import pytest
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.errors import RecordError
from ansible_collections.sre.runbooks.plugins.plugin_utils._run.procedure import procedure_offers, steps_of
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems import shipped

from tests.unit.test_session import KINDS, SICK, WELL, Runs

Json = dict[str, t.Any]
ISOLATE: Json = {"mitigation": "isolate_client", "targets": [{"role": "billing"}]}
WORDS = {"mitigate": "isolate_client", "approval": "auto"}


class Drill(Runs):
    """Runs of a runbook that has a step of its own."""

    def open(self, words: Json | None = None, **changes: t.Any) -> Json:
        return super().open(words, procedure=[ISOLATE], **changes)


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
]


@pytest.mark.parametrize(("declared", "message"), WRONG)
def test_what_is_no_step_is_refused_before_anything_is_touched(declared: object, message: str) -> None:
    with pytest.raises(RecordError, match=message):
        steps_of(declared, shipped())


SYSTEMS = [
    ("all of its kind", [], ["db", "db2"]),
    ("those that are named", ["db2"], ["db2"]),
    ("one that the run is not about", ["db9"], []),
]


@pytest.mark.parametrize(("name", "systems", "expected"), SYSTEMS, ids=[row[0] for row in SYSTEMS])
def test_whose_step_it_is(name: str, systems: list[str], expected: list[str]) -> None:
    steps = steps_of([{**ISOLATE, "systems": systems}], shipped())
    offers = procedure_offers(steps, {**KINDS, "db2": ["postgresql"]}, shipped())
    assert [offer["system"] for offer in offers] == expected
