"""Which mitigations may be carried out, and how a run must end."""

from __future__ import annotations

import re
import typing as t

import pytest
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.errors import RecordError
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.history import alerted_since
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.inputs import Words
from ansible_collections.sre.runbooks.plugins.plugin_utils._run.plan import Step, ending, steps_for
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems import shipped

Json = dict[str, t.Any]
CANCEL = "cancel_queued_ddl"
TARGET = {"pid": 1, "backend_start": "s"}
ASKED = Words(mitigate=(CANCEL,))
ISOLATE = "isolate_client"
BILLING, LEDGER = ({"role": name, "connection_limit": -1} for name in ("billing", "ledger"))
ONE = Words(mitigate=(ISOLATE,), only={ISOLATE: ["billing"]})


def verdict(kind: str = "cause_found", system: str | None = "db", **changes: t.Any) -> Json:
    offers = [{"mitigation": CANCEL, "system": system, "targets": [TARGET], "by_name": False}] if system else []
    offers += changes.pop("more", [])
    return {"verdict": kind, "offers": offers, "findings": [], "measured": [{}], "gaps": [], **changes}


OUTCOME = {"kind": "outcome", "effect": CANCEL, "system": "db", "epoch": 0}
DONE, FAILED = {**OUTCOME, "status": "done", "changed": True}, {**OUTCOME, "status": "failed", "changed": False}
INTENT = {"kind": "intent", "effect": CANCEL, "system": "db", "epoch": 0}
FINDING = {"mitigations": [CANCEL], "subject": {"system": "db"}, "targets": {CANCEL: [TARGET]}}
BY_NAME = [{"mitigation": ISOLATE, "system": "db", "targets": [BILLING, LEDGER], "by_name": True}]
UNOFFERED = Words(mitigate=(CANCEL,), mitigate_unoffered=True, reason="I see it")
STEPS: list[tuple[str, Words, Json | None, list[Json], list[Step]]] = [
    ("nothing asked", Words(), verdict(), [], []),
    ("offered here", ASKED, verdict(), [], [Step(CANCEL, "db", (TARGET,))]),
    ("offered on another system only", ASKED, verdict(system="db2"), [], []),
    ("done by a run that was killed", ASKED, verdict("healthy", None), [INTENT], [Step(CANCEL, "db", (), before="unknown")]),
    ("done before", ASKED, verdict("healthy", None), [INTENT, DONE], [Step(CANCEL, "db", (), before="done")]),
    ("done, and then tried again in vain", ASKED, verdict("healthy", None), [INTENT, DONE, INTENT, FAILED],
     [Step(CANCEL, "db", (), before="done")]),
    ("begun by a run that was killed, and still sick", ASKED, verdict(), [INTENT], [Step(CANCEL, "db", (TARGET,))]),
    ("not offered, but a finding names a target", UNOFFERED, verdict("healthy", None, findings=[FINDING]), [],
     [Step(CANCEL, "db", (TARGET,))]),
    ("one of several, by name", ONE, verdict(more=BY_NAME), [], [Step(ISOLATE, "db", (BILLING,))]),
    ("one of those that are offered", Words(mitigate=(CANCEL,), only={CANCEL: ["1"]}), verdict(), [], [Step(CANCEL, "db", (TARGET,))]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "words", "found", "events", "expected"), STEPS, ids=[one[0] for one in STEPS])
def test_steps(name: str, words: Words, found: Json | None, events: list[Json], expected: list[Step]) -> None:
    assert steps_for("db", ["postgresql"], words, found, events, 0, shipped()) == expected


def test_a_system_is_handed_only_what_its_own_kinds_do() -> None:
    """Two acting roles on one host: neither gets the other's steps."""
    assert steps_for("db", ["edge"], ASKED, verdict(), [], 0, shipped()) == []


ALIKE = [{"schema": "a", "name": "b.c"}, {"schema": "a.b", "name": "c"}]
REFUSED: list[tuple[Words, Json | None, list[Json], str]] = [
    (ASKED, None, [], "no fresh findings"),
    (ASKED, verdict("healthy", None), [], "was refused: the verdict is healthy and offers no mitigation"),
    (ASKED, verdict("unproven", None), [], "verdict is unproven"),
    (ASKED, verdict("unproven", None), [INTENT], "verdict is unproven"),
    (ASKED, verdict("healthy", None), [INTENT, FAILED], "was refused: the verdict is healthy"),
    (ASKED, verdict("healthy", None), [{**INTENT, "epoch": 1}], "was refused"),
    (Words(mitigate=("terminate_blockers",)), verdict(), [], "offers cancel_queued_ddl"),
    (UNOFFERED, verdict("healthy", None), [], "no finding on db names anything"),
    (Words(mitigate=(ISOLATE,)), verdict(more=BY_NAME), [], r"needs the name of one.*isolate_client:NAME \(billing, ledger\)"),
    (
        Words(mitigate=(ISOLATE,), only={ISOLATE: ["app"]}),
        verdict(more=BY_NAME),
        [],
        "not offered for app, but for billing, ledger",
    ),
    (Words(mitigate=(CANCEL,), only={CANCEL: ["2"]}), verdict(), [], "not offered for 2, but for 1"),
    (
        Words(mitigate=("create_index",), only={"create_index": ["a.b.c"]}),
        verdict(more=[{"mitigation": "create_index", "system": "db", "targets": ALIKE, "by_name": False}]),
        [],
        "two of its targets have one name",
    ),
]


@pytest.mark.parametrize(("words", "found", "events", "message"), REFUSED)
def test_refused(words: Words, found: Json | None, events: list[Json], message: str) -> None:
    with pytest.raises(RecordError, match=message):
        steps_for("db", ["postgresql"], words, found, events, 0, shipped())


def test_what_a_person_calls_a_target() -> None:
    mitigations = shipped().mitigations
    assert mitigations[ISOLATE].key_of(BILLING) == "billing"
    assert mitigations["create_index"].key_of({"schema": "public", "name": "keys_idx", "columns": ["a"]}) == "public.keys_idx"


def tried(*kinds: str) -> list[Json]:
    """A history of tries (done) and looks (proven, not)."""
    made = {"done": {"kind": "outcome", "effect": CANCEL, "system": "db", "epoch": 0, "status": "done"},
            "proven": {"kind": "verified", "proven": True}, "not": {"kind": "verified", "proven": False}}  # fmt: skip
    return [{"at": f"at {number}", **made[kind]} for number, kind in enumerate(kinds)]


LOOPS = [
    (tried("done", "not"), False),
    (tried("done", "not", "done", "not"), True),
    (tried("done", "done"), True),
    (tried("done", "not", "done", "proven"), False),
    ([{**event, "epoch": 1} for event in tried("done", "done")], False),
    ([{**event, "system": "other"} for event in tried("done", "done")], False),
]


@pytest.mark.parametrize(("events", "refused"), LOOPS)
def test_the_third_fruitless_try_is_refused_with_the_history(events: list[Json], refused: bool) -> None:
    if refused:
        with pytest.raises(RecordError, match=r"2 times without a proven recovery \(at \d, at \d\)"):
            steps_for("db", ["postgresql"], ASKED, verdict(), events, 0, shipped())
    else:
        assert len(steps_for("db", ["postgresql"], ASKED, verdict(), events, 0, shipped())) == 1
    assert (
        len(steps_for("db", ["postgresql"], UNOFFERED, verdict("unproven", None, findings=[FINDING]), events, 0, shipped())) == 1
    )


JUDGED = {"kind": "judged", "slot": "diagnose"}
DONE = {"kind": "outcome", "effect": CANCEL, "system": "db", "status": "done", "detail": "cancel pid 1"}
PROVEN = {"kind": "verified", "proven": True, "why": "well"}
SENT = {"kind": "outcome", "effect": "pagerduty:declared", "status": "done", "detail": "sent"}
ENDINGS: list[tuple[str, list[Json], Json | None, list[str], str | None]] = [
    ("healthy", [JUDGED], verdict("healthy"), [], None),
    ("only looked", [JUDGED], verdict(), [], None),
    ("recovered", [JUDGED, DONE, SENT, PROVEN], verdict(), [], None),
    ("not recovered", [JUDGED, DONE, {**PROVEN, "proven": False, "why": "p95 is high"}], verdict(), [], "not recovered: .*p95 is high"),
    ("not verified", [JUDGED, DONE], verdict(), [], "not verified in this run"),
    ("failed", [JUDGED, {**DONE, "status": "failed", "detail": "over its cap"}], verdict(), [], "failed: over its cap"),
    ("refused", [JUDGED, {"kind": "phase_failed", "phase": "mitigate", "system": "db", "why": "was refused"}], verdict(), [],
     "was refused"),
    ("one system could not be read", [JUDGED, {"kind": "phase_failed", "phase": "diagnose", "system": "db", "why": "x"}],
     verdict(), [], None),
    ("nothing could be read", [JUDGED], verdict("unproven", measured=[]), [], "nothing could be read, neither what users feel nor a system"),
    ("no user was measured, and the system was read", [JUDGED], verdict("unproven", None, measured=[{"of": "system"}]), [], None),
    ("unsent", [JUDGED], verdict(), ["pagerduty:declared"], "unsent: pagerduty:declared"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "events", "found", "unsent", "expected"), ENDINGS, ids=[one[0] for one in ENDINGS])
def test_ending(name: str, events: list[Json], found: Json | None, unsent: list[str], expected: str | None) -> None:

    sentence = ending(events, found, unsent, check=False)
    assert (sentence is None) is (expected is None)
    assert expected is None or re.search(expected, str(sentence))


def test_a_check_that_would_have_acted_is_green() -> None:
    assert ending([JUDGED], verdict(), ["pagerduty:declared"], check=True) is None


def seen(kind: str, run: str = "mine", **fields: t.Any) -> Json:
    return {"kind": kind, "run": run, **fields}


LOOK = [seen("run_started"), seen("look", slot="diagnose"), seen("facts", slot="diagnose"), seen("judged")]
ALERT = seen("note", "other", alert=True)
VERIFY = [seen("look", slot="verify"), seen("look", slot="verify"), seen("facts", slot="verify"), seen("verified")]
ALERTED: list[tuple[str, list[Json], bool]] = [
    ("none", LOOK, False),
    ("before the run", [ALERT, *LOOK], False),
    ("during the look", [*LOOK[:2], ALERT, *LOOK[2:]], True),
    ("before the look", [LOOK[0], ALERT, *LOOK[1:]], False),
    ("after the look", [*LOOK, ALERT], True),
    ("after the first look, and looked again", [*LOOK, ALERT, *VERIFY], False),
    ("after the second look", [*LOOK, *VERIFY, ALERT], True),
    ("a person's note", [*LOOK, seen("note", "other")], False),
    ("without a look nothing was seen", [seen("run_started"), ALERT], False),
]


@pytest.mark.parametrize(("name", "events", "expected"), ALERTED, ids=[one[0] for one in ALERTED])
def test_an_alert_that_was_perhaps_not_seen(name: str, events: list[Json], expected: bool) -> None:
    assert alerted_since(events, "mine") is expected


BEGUN = {"kind": "intent", "effect": CANCEL, "system": "db", "epoch": 0}
UNGREEN = [
    ("begun, and nobody knows", [BEGUN], ["begun, and nobody knows whether it was done"]),
    ("asked, and no system was played", [], ["was asked for, and no system was there to carry it out"]),
    ("only messages have outcomes", [{"kind": "outcome", "effect": "mail:declared", "status": "done"}], ["was asked for"]),
    ("one of two was done", [{"kind": "planned", "effect": ISOLATE, "system": "db"}], [f"{CANCEL} was asked for"]),
    ("done before, nothing to do", [{"kind": "unneeded", "effect": CANCEL, "system": "db"}], []),
]


@pytest.mark.parametrize(("name", "events", "expected"), UNGREEN, ids=[row[0] for row in UNGREEN])
def test_a_mitigation_of_which_nothing_is_known_is_not_green(name: str, events: list[Json], expected: list[str]) -> None:
    sentence = ending(events, None, [], check=False, asked=[CANCEL]) or ""
    assert all(part in sentence for part in expected)
    assert bool(sentence) is bool(expected)


def test_one_that_is_named_is_looked_for_on_all_systems() -> None:
    """The other database has it: this one has no step, and nothing is wrong."""
    named = Words(mitigate=(ISOLATE,), only={ISOLATE: ["billing"]})
    offers = [{"mitigation": ISOLATE, "system": system, "targets": [{**BILLING, "role": role}], "by_name": True}
              for system, role in (("db", "billing"), ("db2", "ledger"))]  # fmt: skip
    found = verdict(system=None, more=offers)
    assert [step.targets[0]["role"] for step in steps_for("db", ["postgresql"], named, found, [], 0, shipped())] == ["billing"]
    assert steps_for("db2", ["postgresql"], named, found, [], 0, shipped()) == []
