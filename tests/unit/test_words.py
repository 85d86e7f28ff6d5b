"""The public words, in every shape in which AWX and people hand them over."""

from __future__ import annotations

import datetime
import typing as t

import pytest
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.errors import RecordError
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.inputs import (
    Words,
    checked_id,
    new_id,
    plain,
    targets_from,
    words_from,
)
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems import shipped

CANCEL, END = "cancel_queued_ddl", "terminate_blockers"
NOTHING = Words()
GIVEN: list[tuple[dict[str, t.Any], Words]] = [
    ({}, NOTHING),
    (dict.fromkeys(("target", "mitigate", "approval", "incident_key", "reason", "mitigate_unoffered")), NOTHING),
    ({"target": "  ", "mitigate": "", "approval": "", "reason": " "}, NOTHING),
    ({"mitigate": "none"}, NOTHING),
    ({"mitigate": CANCEL}, Words(mitigate=(CANCEL,))),
    ({"mitigate": f"{CANCEL}, {END},{CANCEL}"}, Words(mitigate=(CANCEL, END))),
    ({"mitigate": [CANCEL, END]}, Words(mitigate=(CANCEL, END))),
    ({"mitigate": f"{END}:4711,{END}:4712,{CANCEL}"}, Words(mitigate=(END, CANCEL), only={END: ["4711", "4712"]})),
    ({"mitigate": f"{END}:odd:name"}, Words(mitigate=(END,), only={END: ["odd:name"]})),
    ({"target": 83}, Words(target="83")),
    ({"target": "prod-db", "approval": "prompt"}, Words(target="prod-db", approval="prompt")),
    ({"incident_key": datetime.date(2026, 11, 24)}, Words(incident_key="2026-11-24")),
    ({"reason": "{{ lookup('pipe', 'id') }}"}, Words(reason="{{ lookup('pipe', 'id') }}")),
    ({"mitigate_unoffered": True, "reason": "I see it"}, Words(mitigate_unoffered=True, reason="I see it")),
    ({"mitigate_unoffered": "yes", "reason": "I see it"}, Words(mitigate_unoffered=True, reason="I see it")),
]


@pytest.mark.parametrize(("raw", "expected"), GIVEN)
def test_words(raw: dict[str, t.Any], expected: Words) -> None:
    assert words_from(raw, shipped()) == expected


WRONG: list[tuple[dict[str, t.Any], str]] = [
    ({"mitigate": "cancel_queued_dll"}, "no mitigation cancel_queued_dll; there are: cancel_queued_ddl, terminate_blockers"),
    ({"mitigate": True}, "no mitigation True"),
    ({"mitigate": f"{END}:"}, "after the colon stands what"),
    ({"mitigate": "terminate:4711"}, "no mitigation terminate"),
    ({"approval": "maybe"}, "approval is auto or prompt, not 'maybe'"),
    ({"target": ["a"]}, "target is one text, not a list"),
    ({"mitigate_unoffered": True}, "needs a reason"),
    ({"mitigate_unoffered": "perhaps", "reason": "x"}, "true or false"),
]


@pytest.mark.parametrize(("raw", "message"), WRONG)
def test_wrong_words_say_what_there_is(raw: dict[str, t.Any], message: str) -> None:
    with pytest.raises(RecordError, match=message):
        words_from(raw, shipped())


def test_targets() -> None:
    assert targets_from(None, ["b", "a"], "g") == ("a", "b")
    assert targets_from("b, a", ["a", "b", "c"], "g") == ("a", "b")
    with pytest.raises(RecordError, match="no target x in g; there are: a"):
        targets_from("x", ["a"], "g")
    with pytest.raises(RecordError, match="no host in g"):
        targets_from(None, [], "g")


NOW = datetime.datetime(2026, 11, 24, 2, 14, 3, tzinfo=datetime.UTC)
IDS = [
    (("prod-db",), (), "db-prod-db-20261124T0214Z"),
    (("prod-db",), ("db-prod-db-20261124T0214Z",), "db-prod-db-20261124T0214Z-2"),
    (("a", "b"), (), "db-2-systems-20261124T0214Z"),
    (("../../etc; rm",), (), "db-etc-rm-20261124T0214Z"),
]


@pytest.mark.parametrize(("targets", "taken", "expected"), IDS)
def test_ids(targets: tuple[str, ...], taken: tuple[str, ...], expected: str) -> None:
    made = new_id("db", targets, NOW, lambda name: name in taken)
    assert made == expected == checked_id(made)


@pytest.mark.parametrize("identity", ["../etc", "a", "", "db-x-20261124T0214Z/../..", "db-..-20261124T0214Z", "db-x-2026", "-i"])
def test_malformed_ids_never_become_a_path(identity: str) -> None:
    with pytest.raises(RecordError, match="is not an incident's id"):
        checked_id(identity)


PLAIN = [
    ("\x1b[31mred\x1b[0m\r\n", " [31mred [0m  "),
    ("a\x00b\x07c", "a b c"),
    ("orders\u2028DO       curl\u0085x\vy\ud800", "orders DO       curl x y"),
    ("right\u202eto left", "rightto left"),
    ("x" * 600, "x" * 499 + "…"),
    (83, "83"),
]


@pytest.mark.parametrize(("value", "expected"), PLAIN)
def test_plain(value: object, expected: str) -> None:
    assert plain(value) == expected
