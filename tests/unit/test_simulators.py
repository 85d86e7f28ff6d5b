"""The simulators refuse what the vendors refuse; a lenient one would prove nothing."""

from __future__ import annotations

import email.message
import typing as t

import pytest

from tests.lab.inventory import PAGE_ID
from tests.lab.sim.framework import Rejected, Request, Simulator
from tests.lab.sim.pagerduty import PagerDuty
from tests.lab.sim.statuspage import Statuspage

Json = dict[str, t.Any]


def headers(simulator: Simulator, **changes: str) -> email.message.Message[str, str]:
    scheme = "Token token=" if simulator.name == "pagerduty" else "OAuth "
    message: email.message.Message[str, str] = email.message.Message()
    for name, value in {"Authorization": scheme + simulator.key, "From": "oncall@example.org", **changes}.items():
        if value:
            message[name] = value
    return message


def ask(simulator: Simulator, method: str, path: str, body: Json | None = None, **changes: str) -> tuple[int, t.Any]:
    try:
        return simulator.serve(Request(method, path, {}, headers(simulator, **changes), body or {}))
    except Rejected as refusal:
        return refusal.status, refusal.body


GOOD = {"type": "incident", "title": "Down", "service": {"id": "PSVC001", "type": "service_reference"}}
PAGER: list[tuple[str, Json, dict[str, str], int, str]] = [
    ("good", GOOD, {}, 201, "Down"),
    ("wrong key", GOOD, {"Authorization": "Token token=x"}, 401, "Invalid authentication"),
    ("no From", GOOD, {"From": ""}, 400, "From header is required"),
    ("a stranger's From", GOOD, {"From": "nobody@example.org"}, 400, "Requester User Not Found"),
    ("no title", {**GOOD, "title": None}, {}, 400, "incident.title has the wrong type"),
    ("no service", {"type": "incident", "title": "Down"}, {}, 400, "incident.service is required"),
    ("unknown service", {**GOOD, "service": {"id": "X", "type": "service_reference"}}, {}, 400, "Service Not Found"),
    ("unknown urgency", {**GOOD, "urgency": "medium"}, {}, 400, "incident.urgency must be one of high, low"),
    ("unknown field", {**GOOD, "severity": "x"}, {}, 400, "incident.severity is not a known field"),
    ("long key", {**GOOD, "incident_key": "x" * 256}, {}, 400, "incident.incident_key is too long"),
]


@pytest.mark.parametrize(("name", "incident", "changes", "status", "words"), PAGER, ids=[one[0] for one in PAGER])
def test_pagerduty(name: str, incident: Json, changes: dict[str, str], status: int, words: str) -> None:
    answered = ask(PagerDuty(), "POST", "/incidents", {"incident": incident}, **changes)
    assert answered[0] == status
    assert words in str(answered[1])


def test_pagerduty_rejects_a_second_open_incident_of_a_key() -> None:
    simulator = PagerDuty()
    body = {"incident": {**GOOD, "incident_key": "k"}}
    assert ask(simulator, "POST", "/incidents", body)[0] == 201
    status, answer = ask(simulator, "POST", "/incidents", body)
    assert (status, answer["error"]["code"]) == (400, 2002)


def test_pagerduty_limits_the_rate_and_says_for_how_long() -> None:
    simulator = PagerDuty()
    assert {ask(simulator, "GET", "/priorities")[0] for dummy in range(simulator.allowance)} == {200}
    with pytest.raises(Rejected) as refusal:
        simulator.serve(Request("GET", "/priorities", {}, headers(simulator), {}))
    assert refusal.value.status == 429
    assert 0 < int(refusal.value.headers["ratelimit-reset"]) <= 61


PAGE: list[tuple[str, Json, int, str]] = [
    ("good", {"name": "Slow", "status": "investigating"}, 201, "Slow"),
    ("no name", {"status": "investigating"}, 422, "incident.name is required"),
    ("long name", {"name": "x" * 256}, 422, "incident.name is too long"),
    ("unknown status", {"name": "Slow", "status": "open"}, 422, "incident.status must be one of"),
    ("unknown impact", {"name": "Slow", "impact_override": "huge"}, 422, "incident.impact_override must be one of"),
    ("unknown component", {"name": "Slow", "components": {"x": "operational"}}, 422, "component x not found"),
    ("unknown component state", {"name": "Slow", "components": {"cmp000000001": "dead"}}, 422, "dead is not a component status"),
    ("unknown field", {"name": "Slow", "message": "x"}, 422, "incident.message is not a known field"),
]


@pytest.mark.parametrize(("name", "incident", "status", "words"), PAGE, ids=[one[0] for one in PAGE])
def test_statuspage(name: str, incident: Json, status: int, words: str) -> None:
    answered = ask(Statuspage(), "POST", f"/pages/{PAGE_ID}/incidents", {"incident": incident})
    assert answered[0] == status
    assert words in str(answered[1])


def test_statuspage_limits_the_rate_with_420() -> None:
    simulator = Statuspage()
    assert {ask(simulator, "GET", f"/pages/{PAGE_ID}/components")[0] for dummy in range(simulator.allowance)} == {200}
    with pytest.raises(Rejected) as refusal:
        simulator.serve(Request("GET", f"/pages/{PAGE_ID}/components", {}, headers(simulator), {}))
    assert (refusal.value.status, "Retry-After" in refusal.value.headers) == (420, True)


def test_another_page_is_not_there() -> None:
    assert ask(Statuspage(), "GET", "/pages/other/components")[0] == 404
