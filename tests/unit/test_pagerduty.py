"""PagerDuty: each exchange with its exact requests."""

from __future__ import annotations

import dataclasses
import typing as t

import pytest
from ansible_collections.sre.runbooks.plugins.module_utils._http.errors import HttpError
from ansible_collections.sre.runbooks.plugins.module_utils._pagerduty.api import PagerDuty
from ansible_collections.sre.runbooks.plugins.module_utils._pagerduty.ensure import PLANNED, Wanted, ensure

from tests.unit.http_script import Call, Script

Json = dict[str, t.Any]


def incident(**changes: t.Any) -> Json:
    return {"id": "Q1", "incident_number": 7, "incident_key": "db/prod", "title": "Down", "status": "triggered",
            "urgency": "high", "service": {"id": "PS"}, "priority": None, "html_url": "https://x/Q1", **changes}  # fmt: skip


LOOK = "/incidents?incident_key=db%2Fprod&date_range=all&statuses%5B%5D=triggered&statuses%5B%5D=acknowledged&limit=100&offset=0"
CREATE = {"type": "incident", "title": "Down", "service": {"type": "service_reference", "id": "PS"}, "incident_key": "db/prod"}
SERVICES = Call("GET", "/services?query=Shop&limit=100&offset=0", answer={"services": [{"id": "PS", "name": "Shop"}]})
WANTED = Wanted("triggered", incident_key="db/prod", service="Shop", title="Down")


def found(*incidents: Json) -> Call:
    return Call("GET", LOOK, answer={"incidents": list(incidents), "more": False})


def created(**changes: t.Any) -> Call:
    return Call("POST", "/incidents", {"incident": CREATE}, **{"status": 201, "answer": {"incident": incident()}, **changes})


def put(change: Json, **after: t.Any) -> Call:
    return Call("PUT", "/incidents/Q1", {"incident": {"type": "incident", **change}}, answer={"incident": incident(**after)})


def note(text: str) -> Call:
    return Call("POST", "/incidents/Q1/notes", {"note": {"content": text}}, status=201, answer={"note": {}})


def notes(*texts: str) -> Call:
    return Call("GET", "/incidents/Q1/notes", answer={"notes": [{"content": text} for text in texts]})


GET = Call("GET", "/incidents/Q1", answer={"incident": incident()})
REJECTED = {"error": {"message": "Arguments Caused Error", "code": 2002,
                      "errors": ["Open incident with matching dedup key already exists on this service"]}}  # fmt: skip

# what is wanted, the exchange, the status afterwards, whether it was adopted, the writes
EXCHANGES: list[tuple[str, Wanted, list[Call], str | None, bool, int]] = [
    ("create", WANTED, [found(), SERVICES, created()], "triggered", False, 1),
    ("adopt what the alert opened", WANTED, [found(incident(title="From the alert"))], "triggered", True, 0),
    ("an acknowledged one stays so", WANTED, [found(incident(status="acknowledged"))], "acknowledged", True, 0),
    ("acknowledge", Wanted("acknowledged", "db/prod"), [found(incident()), put({"status": "acknowledged"}, status="acknowledged")],
     "acknowledged", True, 1),
    ("resolve by id", Wanted("resolved", incident_id="Q1", resolution="ok"),
     [GET, put({"status": "resolved", "resolution": "ok"}, status="resolved")], "resolved", True, 1),
    ("nothing to resolve", Wanted("resolved", "db/prod"), [found()], None, False, 0),
    ("reopen by id", Wanted("triggered", incident_id="Q1"),
     [Call("GET", "/incidents/Q1", answer={"incident": incident(status="resolved")}), put({"status": "triggered"})],
     "triggered", True, 1),
    ("a note pages nobody again", Wanted("present", incident_id="Q1", note="n"),
     [Call("GET", "/incidents/Q1", answer={"incident": incident(status="resolved")}), notes(), note("n")], "resolved", True, 1),
    ("a note on what is not there is none", Wanted("present", "db/prod", note="n"), [found()], None, False, 0),
    ("without a priority that the account does not have", dataclasses.replace(WANTED, priority="P2"),
     [found(), SERVICES, Call("GET", "/priorities?limit=100&offset=0", answer={"priorities": []}), created()], "triggered", False, 1),
    ("a note once", Wanted("triggered", incident_id="Q1", note="n"), [GET, notes("other", "n")], "triggered", True, 0),
    ("a new note", Wanted("triggered", incident_id="Q1", note="n"), [GET, notes("other"), note("n")], "triggered", True, 1),
    ("the note before the end", Wanted("resolved", incident_id="Q1", note="n"),
     [GET, notes(), note("n"), put({"status": "resolved"}, status="resolved")], "resolved", True, 2),
    ("created, and the answer was lost", WANTED, [found(), SERVICES, created(lost=True), found(incident())], "triggered", False, 1),
    ("not created: tried again", WANTED, [found(), SERVICES, created(status=500, answer=None), *[found()] * 4, created()],
     "triggered", False, 1),
    ("somebody was quicker", WANTED, [found(), SERVICES, created(status=400, answer=REJECTED), found(incident())],
     "triggered", True, 0),
    ("a change whose answer was lost is looked up", Wanted("acknowledged", incident_id="Q1"),
     [GET, Call("PUT", "/incidents/Q1", {"incident": {"type": "incident", "status": "acknowledged"}}, lost=True),
      Call("GET", "/incidents/Q1", answer={"incident": incident(status="acknowledged")})], "acknowledged", True, 1),
    ("created, and listed late", WANTED, [found(), SERVICES, created(lost=True), found(), found(), found(incident())],
     "triggered", False, 1),
    ("tried before, and listed late", dataclasses.replace(WANTED, tried_before=True), [found(), found(), found(incident())],
     "triggered", True, 0),
    ("tried before, and not done", dataclasses.replace(WANTED, tried_before=True), [found(), *[found()] * 4, SERVICES, created()],
     "triggered", False, 1),
    ("a note tried before, and listed late", Wanted("triggered", incident_id="Q1", note="n", tried_before=True),
     [GET, notes(), notes(), notes("n")], "triggered", True, 0),
    ("of another key is another one", WANTED, [found(incident(incident_key="db")), SERVICES, created()], "triggered", False, 1),
    ("a note whose answer was lost is looked up", Wanted("triggered", incident_id="Q1", note="n"),
     [GET, notes(), Call("POST", "/incidents/Q1/notes", {"note": {"content": "n"}}, lost=True), notes("n")], "triggered", True, 1),
]  # fmt: skip


@pytest.mark.parametrize(("name", "wanted", "calls", "status", "adopted", "writes"), EXCHANGES, ids=[row[0] for row in EXCHANGES])
def test_exchange(name: str, wanted: Wanted, calls: list[Call], status: str | None, adopted: bool, writes: int) -> None:
    script = Script(*calls)
    client = script.client()
    result = ensure(PagerDuty(client), wanted)
    script.finish()
    assert (result.after.status if result.after else None, result.adopted, len(client.sent)) == (status, adopted, writes)


def test_all_that_is_given_is_sent_by_id() -> None:
    wanted = Wanted("triggered", "db/prod", None, "PS", "Down", "low", "P2", "Database", "details", "first note")
    body = {**CREATE, "urgency": "low", "body": {"type": "incident_body", "details": "details"},
            "priority": {"type": "priority_reference", "id": "PP"},
            "escalation_policy": {"type": "escalation_policy_reference", "id": "PE"}}  # fmt: skip
    script = Script(
        found(),
        Call("GET", "/services?query=PS&limit=100&offset=0", answer={"services": []}),
        Call("GET", "/services?limit=100&offset=0", answer={"services": [{"id": "PS", "name": "Shop"}]}),
        Call("GET", "/priorities?limit=100&offset=0", answer={"priorities": [{"id": "PP", "name": "P2"}]}),
        Call("GET", "/escalation_policies?query=Database&limit=100&offset=0",
             answer={"escalation_policies": [{"id": "PE", "name": "Database"}]}),
        Call("POST", "/incidents", {"incident": body}, 201, {"incident": incident()}),
        note("first note"),
    )  # fmt: skip
    ensure(PagerDuty(script.client()), wanted)
    script.finish()


def test_an_unknown_service_names_those_there_are() -> None:
    services = {"services": [{"id": "PX", "name": "Other"}]}
    script = Script(found(), Call("GET", "/services?query=Shop&limit=100&offset=0", answer={"services": []}),
                    Call("GET", "/services?limit=100&offset=0", answer=services))  # fmt: skip
    with pytest.raises(HttpError, match="'Shop' is not among the account's services: Other"):
        ensure(PagerDuty(script.client()), WANTED)


def test_an_empty_key_is_never_sent() -> None:
    with pytest.raises(HttpError, match="matches every open incident"):
        ensure(PagerDuty(Script().client()), Wanted("triggered", incident_key=""))


def test_all_pages_are_read() -> None:
    first = {"services": [{"id": "PX", "name": "Shop 2"}], "more": True}
    script = Script(found(), Call("GET", "/services?query=Shop&limit=100&offset=0", answer=first),
                    Call("GET", "/services?query=Shop&limit=100&offset=1", answer={"services": [{"id": "PS", "name": "Shop"}]}),
                    created())  # fmt: skip
    ensure(PagerDuty(script.client()), WANTED)
    script.finish()


def test_check_mode_plans_the_whole_life_of_an_incident() -> None:
    script = Script(found(), SERVICES)
    client = script.client(check_mode=True)
    api = PagerDuty(client)
    assert ensure(api, WANTED).after is None
    ensure(api, Wanted("triggered", incident_id=PLANNED, note="n"))
    ensure(api, Wanted("resolved", incident_id=PLANNED, note="end"))
    script.finish()
    assert [(sent.method, sent.path) for sent in client.sent] == [
        ("POST", "/incidents"), ("POST", "/incidents/{id}/notes"), ("POST", "/incidents/{id}/notes"), ("PUT", "/incidents/{id}"),
    ]  # fmt: skip
