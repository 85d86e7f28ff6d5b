"""Whatever a vendor answers, a call ends with a result: done, failed, or not known. Never with an exception."""

from __future__ import annotations

import base64
import json
import typing as t

import pytest
from ansible_collections.sre.runbooks.plugins.module_utils._datadog.calls import METRIC, MONITOR
from ansible_collections.sre.runbooks.plugins.module_utils._http import client as client_module
from ansible_collections.sre.runbooks.plugins.module_utils._http.call import Call
from ansible_collections.sre.runbooks.plugins.module_utils._http.errors import NetworkError
from ansible_collections.sre.runbooks.plugins.module_utils._http.transport import Response
from ansible_collections.sre.runbooks.plugins.module_utils._pagerduty.calls import INCIDENT, NOTICE, ONCALL
from ansible_collections.sre.runbooks.plugins.module_utils._statuspage.calls import INCIDENT as PAGE
from hypothesis import given, settings
from hypothesis import strategies as st

Json = dict[str, t.Any]
SECRET = "s3cr3t-k3y-0f-n0b0dy"
LOGIN: Json = {"api_key": SECRET, "tries": 2, "timeout": 1.0, "budget": 5.0}
CALLS: dict[str, tuple[Call, Json]] = {
    "pagerduty_incident": (INCIDENT, {"from_email": "a@example.org", "incident_key": "k", "service": "S", "title": "T", "note": "n"}),
    "pagerduty_incident by id": (INCIDENT, {"from_email": "a@example.org", "incident_id": "Q1", "state": "resolved", "note": "n"}),
    "pagerduty_notice": (NOTICE, {"from_email": "a@example.org", "incident_key": "k", "responders": ["x"], "status_update": "y",
                                  "escalation_level": 2}),
    "pagerduty_oncall_info": (ONCALL, {"escalation_policies": ["P"]}),
    "status_page_incident": (PAGE, {"page_id": "p", "key": "k", "status": "identified", "name": "N", "body": "B",
                                    "components": {"API": "operational"}}),
    "status_page_incident by id": (PAGE, {"page_id": "p", "key": "k", "incident_id": "i", "status": "resolved", "update_key": "u"}),
    "datadog_monitor_info": (MONITOR, {"application_key": SECRET, "monitors": [1], "query": "q"}),
    "datadog_metric_info": (METRIC, {"application_key": SECRET, "query": "q"}),
}  # fmt: skip
DEEP = b"[" * 100000
# (status, body, headers): everything that came, or may come, from outside
STRANGE: list[tuple[int, bytes, Json]] = [
    (status, body, {})
    for status in (200, 201, 204, 301, 500)
    for body in (b"", b"{}", b"null", b"[]", b"[null]", b'{"incident": null}', b'{"incidents": {}}', DEEP, b'{"a": ', b"\xff\xfe{}")
] + [
    (429, b"{}", {"retry-after": "\u00b2"}), (503, b"<html>", {"retry-after": "3600"}), (420, b"", {"retry-after": "-5"}),
    (401, f'{{"error": "bad header Token token={SECRET}"}}'.encode(), {}), (400, b'{"error": {"errors": 7}}', {}),
    (400, b'{"errors": {"a": [["b"]]}}', {}), (200, b"9" * 6000, {}), (200, b'{"more": true, "incidents": [1]}', {}),
    (200, b'{"metadata": {"page_count": 9999999}, "monitors": []}', {}), (200, b'{"status": "ok", "series": [{"pointlist": [[1]]}]}', {}),
    (200, b'{"status": "ok", "series": [{"pointlist": [[1e999, 5], [null, null], [1, 1e400]]}]}', {}),
    (200, json.dumps({"incident": {"id": 7, "incident_number": "x"}}).encode(), {}),
]  # fmt: skip
# What is nearly right, so that the answer to one request is taken and the next one goes on with it.
NEARLY: Json = {
    "incidents": [], "services": [{"id": "S"}], "users": [{"id": "U", "email": "a@example.org"}], "escalation_policies": [{"id": "P"}],
    "oncalls": [{}], "notes": [{}], "more": True, "incident": {"id": "Q1", "status": "triggered"}, "id": "i", "status": "ok",
    "monitors": [{"id": 1}], "metadata": {"page_count": 2}, "series": [{"pointlist": [[1, 2], ["x", None]]}],
}  # fmt: skip


def made(name: str, answers: t.Callable[[], Response]) -> Json:
    call, args = CALLS[name]

    def transport(*_: t.Any) -> Response:
        return answers()

    checked = {option: spec.get("default") for option, spec in call.argument_spec.items()}
    return call.make({**checked, **LOGIN, **args}, check_mode=False, transport=transport)


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module.Client.__init__, "__kwdefaults__", {
        **t.cast("Json", client_module.Client.__init__.__kwdefaults__), "sleep": lambda seconds: None})  # fmt: skip


def is_an_outcome(result: Json) -> None:
    assert SECRET not in json.dumps(result)
    assert result.get("failed") or "requests" in result
    if result.get("failed"):
        assert (type(result["msg"]), type(result["unknown"]), type(result["down"])) == (str, bool, bool)


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize(("status", "body", "headers"), STRANGE, ids=range(len(STRANGE)))
def test_a_strange_answer_is_an_outcome(name: str, status: int, body: bytes, headers: Json) -> None:
    is_an_outcome(made(name, lambda: Response(status, body, headers)))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(sorted(NEARLY)) | st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip
CHANGED = st.dictionaries(st.sampled_from(sorted(NEARLY)), JSON, max_size=3).map(lambda changes: {**NEARLY, **changes})
BODIES = st.binary(max_size=60) | (JSON | CHANGED | st.lists(CHANGED, max_size=2)).map(lambda data: json.dumps(data).encode())
HEADERS = st.dictionaries(
    st.sampled_from(("retry-after", "ratelimit-reset", "content-encoding")), st.text(max_size=6), max_size=2
)
RESPONSES = st.builds(Response, st.sampled_from((200, 200, 200, 201, 204, 302, 400, 404, 420, 429, 500, 503)), BODIES, HEADERS)


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(sorted(CALLS)), st.lists(st.none() | RESPONSES, min_size=1, max_size=6))
def test_no_sequence_of_answers_raises_anything(name: str, answers: list[Response | None]) -> None:
    left = list(answers)

    def answer() -> Response:
        found = left.pop(0) if len(left) > 1 else left[0]
        if found is None:
            raise NetworkError("timed out")
        return found

    is_an_outcome(made(name, answer))


LEAKS = [
    ("where a text is cut", json.dumps({"error": {"message": "x" * 285 + SECRET}})),
    ("with something that nobody sees in it", json.dumps({"error": {"message": SECRET[:5] + "\u200b" + SECRET[5:]}})),
    ("encoded", json.dumps({"error": {"message": base64.b64encode(b"user:" + SECRET.encode()).decode()}})),
]


@pytest.mark.parametrize(("name", "body"), LEAKS, ids=[one[0] for one in LEAKS])
def test_no_part_of_a_key_comes_back(name: str, body: str) -> None:
    result = made("pagerduty_oncall_info", lambda: Response(401, body.encode(), {}))
    text = json.dumps(result)
    assert SECRET[:8] not in text
    assert base64.b64encode(b"user:" + SECRET.encode()).decode()[8:20] not in text


def test_a_key_as_a_name_does_not_come_back() -> None:
    body = {"id": 1, "overall_state": "Alert", "state": {"groups": {SECRET: {"status": "Alert"}}}, "monitors": [],
            "metadata": {"page_count": 1}}  # fmt: skip
    assert SECRET not in json.dumps(made("datadog_monitor_info", lambda: Response(200, json.dumps(body).encode(), {})))


def test_half_a_character_is_no_answer() -> None:
    result = made(
        "pagerduty_oncall_info", lambda: Response(200, b'{"escalation_policies": [{"id": "\\ud800", "name": "P"}]}', {})
    )
    assert result["failed"]
