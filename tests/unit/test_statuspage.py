"""The status page: each exchange with its exact requests."""

from __future__ import annotations

import dataclasses
import typing as t

import pytest
from ansible_collections.sre.runbooks.plugins.module_utils._http.errors import HttpError
from ansible_collections.sre.runbooks.plugins.module_utils._statuspage.api import Statuspage
from ansible_collections.sre.runbooks.plugins.module_utils._statuspage.ensure import PLANNED, Wanted, ensure

from tests.unit.http_script import Call, Script

Json = dict[str, t.Any]
PAGE = "/pages/p1"


def incident(update: str | None = "one", **changes: t.Any) -> Json:
    return {"id": "i1", "name": "Slow", "status": "investigating", "impact_override": None,
            "metadata": {"sre_runbooks": {"incident": "k", **({"update": update} if update else {})}},
            "incident_updates": [{"body": "We look."}], "components": [], "shortlink": "", **changes}  # fmt: skip


def body(status: str, update: str = "one", **more: t.Any) -> Json:
    return {"incident": {"status": status, "metadata": {"sre_runbooks": {"incident": "k", "update": update}},
                         "deliver_notifications": True, **more}}  # fmt: skip


def unresolved(*incidents: Json) -> Call:
    return Call("GET", f"{PAGE}/incidents/unresolved?page=1&per_page=100", answer=list(incidents))


def everything(*incidents: Json) -> Call:
    return Call("GET", f"{PAGE}/incidents?page=1&limit=100", answer=list(incidents))


COMPONENTS = Call("GET", f"{PAGE}/components?page=1&per_page=100", answer=[{"id": "c1", "name": "API"}])
FIRST = Wanted("k", "investigating", name="Slow", body="We look.", update_key="one")
NEXT = Wanted("k", "identified", body="Found.", update_key="two")
POST = Call("POST", f"{PAGE}/incidents", body("investigating", name="Slow", body="We look."), status=201, answer=incident())
PATCH = Call("PATCH", f"{PAGE}/incidents/i1", body("identified", "two", body="Found."),
             answer=incident("two", status="identified"))  # fmt: skip


def now(update: str) -> Call:
    """A look at the incident, whose last update has this name."""
    return Call("GET", f"{PAGE}/incidents/i1", answer=incident(update))


EXCHANGES: list[tuple[str, Wanted, list[Call], int]] = [
    ("create", FIRST, [unresolved(incident(metadata={})), POST], 1),
    ("there already", FIRST, [unresolved(incident())], 0),
    ("told by another controller", FIRST, [unresolved(incident("two", status="identified"))], 0),
    ("tried before, and listed late", dataclasses.replace(FIRST, tried_before=True), [unresolved(), unresolved(incident())], 0),
    ("tried before, and not done", dataclasses.replace(FIRST, tried_before=True), [unresolved(), *[unresolved()] * 4, POST], 1),
    ("on the second page", FIRST, [unresolved(*[incident(metadata={})] * 100), Call(
        "GET", f"{PAGE}/incidents/unresolved?page=2&per_page=100", answer=[incident()])], 0),
    ("update", NEXT, [unresolved(incident()), PATCH], 1),
    ("nothing to resolve", Wanted("k", "resolved"), [unresolved(), everything()], 0),
    ("resolved already", Wanted("k", "resolved", update_key="end"),
     [unresolved(), everything(incident("end", status="resolved"))], 0),
    ("by id", Wanted("k", "identified", "i1", body="Found.", update_key="two"),
     [Call("GET", f"{PAGE}/incidents/i1", answer=incident()), PATCH], 1),
    ("without a key of its own an update is told by its words", Wanted("k", "investigating", body="We look."),
     [unresolved(incident(None))], 0),
    ("created, and the answer was lost", FIRST,
     [unresolved(), Call("POST", POST.path, POST.body, lost=True), unresolved(incident())], 1),
    ("not created: tried again", FIRST, [unresolved(), Call("POST", POST.path, POST.body, status=500), *[unresolved()] * 4, POST], 1),
    ("updated, and the answer was lost", NEXT,
     [unresolved(incident()), Call("PATCH", PATCH.path, PATCH.body, lost=True), now("two")], 1),
    ("not updated: tried again", NEXT,
     [unresolved(incident()), Call("PATCH", PATCH.path, PATCH.body, status=502), *[now("one")] * 4, PATCH], 1),
]  # fmt: skip


@pytest.mark.parametrize(("name", "wanted", "calls", "writes"), EXCHANGES, ids=[row[0] for row in EXCHANGES])
def test_exchange(name: str, wanted: Wanted, calls: list[Call], writes: int) -> None:
    script = Script(*calls)
    client = script.client()
    ensure(Statuspage(client, "p1"), wanted)
    script.finish()
    assert len(client.sent) == writes


def test_components_by_name_and_everything_else_in_one_post() -> None:
    wanted = Wanted("k", "investigating", None, "Slow", "We look.", "major", "one", {"API": "partial_outage"}, False)
    expected = body("investigating", name="Slow", body="We look.", impact_override="major", components={"c1": "partial_outage"})
    expected["incident"]["deliver_notifications"] = False
    script = Script(unresolved(), COMPONENTS, Call("POST", f"{PAGE}/incidents", expected, 201, incident()))
    ensure(Statuspage(script.client(), "p1"), wanted)
    script.finish()


def test_the_public_is_told_without_a_component_that_is_not_there() -> None:
    body_of = body("investigating", name="Slow", components={"c1": "operational"})
    script = Script(unresolved(), COMPONENTS, Call("POST", f"{PAGE}/incidents", body_of, 201, incident()))
    wanted = Wanted("k", "investigating", name="Slow", update_key="one", components={"Web": "operational", "API": "operational"})
    assert ensure(Statuspage(script.client(), "p1"), wanted).left_out == "the page has no component Web; it has: API"
    script.finish()


def test_a_group_of_a_component_s_name_is_not_the_component() -> None:
    parts = [{"id": "c1", "name": "API"}, {"id": "g1", "name": "API", "group": True}]
    script = Script(Call("GET", COMPONENTS.path, answer=parts))
    assert Statuspage(script.client(), "p1").components() == {"API": "c1"}


def test_an_incident_without_a_name_is_not_created() -> None:
    with pytest.raises(HttpError, match="a name is needed"):
        ensure(Statuspage(Script(unresolved()).client(), "p1"), Wanted("k", "investigating"))


def test_check_mode_plans_the_whole_life_of_an_incident() -> None:
    script = Script(unresolved())
    client = script.client(check_mode=True)
    page = Statuspage(client, "p1")
    assert ensure(page, FIRST).after is None
    ensure(page, Wanted("k", "resolved", PLANNED, update_key="end"))
    assert [(sent.method, sent.path) for sent in client.sent] == [
        ("POST", f"{PAGE}/incidents"),
        ("PATCH", f"{PAGE}/incidents/{{id}}"),
    ]
