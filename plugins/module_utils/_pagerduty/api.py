# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PagerDuty's REST API v2, one method a call (private; https://developer.pagerduty.com/api-reference)."""

from __future__ import annotations

import dataclasses
import typing as t
import urllib.parse

from ansible_collections.sre.runbooks.plugins.module_utils._http import shape
from ansible_collections.sre.runbooks.plugins.module_utils._http.client import (
    Client,
    Json,
    Settings,
    header_value,
    patience,
)
from ansible_collections.sre.runbooks.plugins.module_utils._http.errors import HttpError, NotThereError, UnusableAnswerError

Found = t.TypeVar("Found")

URL = "https://api.pagerduty.com"
PAGE = 100
OPEN = ("triggered", "acknowledged")
# More pages than any account needs; a server that always has another one ends here.
MOST_PAGES = 100
# https://developer.pagerduty.com/docs/authentication: an API key, or an OAuth token that has scopes.
AUTH_SCHEMES = {"token": "Token token={}", "bearer": "Bearer {}"}


@dataclasses.dataclass(frozen=True)
class Incident:
    """An incident as PagerDuty tells it, cut to what the runbooks use."""

    id: str
    number: int
    key: str
    title: str
    status: str
    urgency: str
    service_id: str
    priority_id: str | None
    url: str

    @classmethod
    def from_api(cls, data: t.Any) -> Incident:
        """Raises ShapeError."""
        return cls(
            id=shape.text(data, "id"),
            number=shape.number(data, "incident_number"),
            key=shape.text_or_none(data, "incident_key") or "",
            title=shape.text(data, "title"),
            status=shape.text(data, "status"),
            urgency=shape.text(data, "urgency"),
            service_id=shape.text(shape.mapping(data, "service"), "id"),
            priority_id=shape.text_or_none(shape.mapping_or_empty(data, "priority"), "id"),
            url=shape.text_or_none(data, "html_url") or "",
        )


@dataclasses.dataclass(frozen=True)
class OnCall:
    """Who is on call, at which level of which policy."""

    level: int
    name: str
    policy: str
    schedule: str | None
    until: str | None

    @classmethod
    def from_api(cls, data: t.Any) -> OnCall:
        """Raises ShapeError."""
        user, policy = shape.mapping(data, "user"), shape.mapping(data, "escalation_policy")
        return cls(
            level=shape.number(data, "escalation_level"),
            name=shape.text_or_none(user, "summary") or shape.text_or_none(user, "name") or shape.text(user, "id"),
            policy=shape.text_or_none(policy, "summary") or shape.text(policy, "id"),
            schedule=shape.text_or_none(shape.mapping_or_empty(data, "schedule"), "summary"),
            until=shape.text_or_none(data, "end"),
        )


def settings(params: t.Mapping[str, t.Any]) -> Settings:
    """How PagerDuty is spoken to. ``from_email`` is a user of the account; writes need it. Raises HttpError."""
    key = header_value("api_key", params["api_key"])
    headers = {
        "Authorization": AUTH_SCHEMES[params["auth_scheme"]].format(key),
        "Accept": "application/vnd.pagerduty+json;version=2",
    }
    if params.get("from_email"):
        headers["From"] = header_value("from_email", params["from_email"])
    way_out = "Check the URL, the API key, and that From is a user of the account"
    return Settings("PagerDuty", params["api_url"], headers, way_out, **patience(params))


class PagerDuty:
    """The calls that the modules need."""

    def __init__(self, client: Client) -> None:
        self.client = client

    def _list(self, name: str, query: t.Sequence[tuple[str, str]], read: t.Callable[[t.Any], Found]) -> list[Found]:
        """All pages of a collection."""

        def page_of(data: t.Any) -> tuple[list[Found], bool]:
            found = [read(one) for one in shape.items(data, name)]
            return found, bool(found) and shape.mapping(data).get("more") is True

        every: list[Found] = []
        for _page in range(MOST_PAGES):
            paged = [*query, ("limit", str(PAGE)), ("offset", str(len(every)))]
            found, more = self.client.get(f"/{name}", paged, page_of)
            every += found
            if not more:
                return every
        raise UnusableAnswerError(f"PagerDuty: /{name} has more than {MOST_PAGES} pages")

    def identify(self, name: str, wanted: str) -> str:
        """The id of a service, priority or escalation policy given by name or id. Raises HttpError naming those there are."""
        query = [] if name == "priorities" else [("query", wanted)]
        things = self._list(name, query, _names)
        for thing in things:
            if wanted in thing.values():
                return str(thing["id"])
        if query:
            things = self._list(name, [], _names)
            for thing in things:
                if wanted in (thing["id"], thing["email"]):
                    return str(thing["id"])
        known = ", ".join(sorted(str(thing["name"] or thing["id"]) for thing in things)) or "none"
        raise NotThereError(f"PagerDuty: {wanted!r} is not among the account's {name.replace('_', ' ')}: {known}")

    def open_by_key(self, key: str) -> Incident | None:
        """The open incident of this key. An empty key would match every open incident, so it is refused."""
        if not key:
            raise HttpError("PagerDuty: an empty incident_key matches every open incident; give one, or an incident_id")
        # Without date_range only the last month is listed.
        query = [("incident_key", key), ("date_range", "all"), *(("statuses[]", status) for status in OPEN)]
        found = self._list("incidents", query, Incident.from_api)
        return next((one for one in found if one.key == key), None)

    def get(self, identity: str) -> Incident:
        return self.client.get(f"/incidents/{_part(identity)}", (), _incident)

    def create(self, incident: Json, key: str | None) -> Incident | None:
        """A new incident (None in check mode); after an unknown outcome it is looked up by its key."""

        def look() -> Incident | None:
            return self.open_by_key(key) if key else None

        body = {"incident": {"type": "incident", **incident}}
        return self.client.write_looking("POST", "/incidents", body, look, _incident)

    def update(self, identity: str, changes: Json, done: t.Callable[[Incident], bool]) -> Incident | None:
        """A change (None in check mode); after an unknown outcome ``done`` tells from the incident whether it arrived."""

        def look() -> Incident | None:
            current = self.get(identity)
            return current if done(current) else None

        body = {"incident": {"type": "incident", **changes}}
        return self.client.write_looking("PUT", f"/incidents/{_part(identity)}", body, look, _incident)

    def has_note(self, identity: str, content: str) -> bool:
        return content in self.client.get(f"/incidents/{_part(identity)}/notes", (), _notes)

    def add_note(self, identity: str, content: str) -> None:
        def look() -> bool | None:
            return True if self.has_note(identity, content) else None

        path = f"/incidents/{_part(identity)}/notes"
        self.client.write_looking("POST", path, {"note": {"content": content}}, look, lambda data: bool(shape.mapping(data)))

    def target(self, wanted: str) -> Json:
        """Whom a responder request may name: a user (by name, e-mail address or id), else an escalation policy."""
        try:
            identity, kind = self.identify("users", wanted), "user_reference"
        except NotThereError:
            identity, kind = self.identify("escalation_policies", wanted), "escalation_policy_reference"
        return {"responder_request_target": {"id": identity, "type": kind}}

    def post_status_update(self, identity: str, message: str) -> None:
        """Words for the stakeholders. What was posted cannot be looked up. Raises OutcomeUnknownError."""
        self.client.write("POST", f"/incidents/{_part(identity)}/status_updates", {"message": message}, shape.mapping)

    def request_responders(self, identity: str, requester: str, message: str, targets: list[Json]) -> None:
        """Calls people in. What was asked for cannot be looked up. Raises OutcomeUnknownError."""
        body = {"requester_id": requester, "message": message, "responder_request_targets": targets}
        self.client.write("POST", f"/incidents/{_part(identity)}/responder_requests", body, shape.mapping)

    def escalate(self, identity: str, level: int) -> None:
        """Calls a level of the escalation policy. Raises OutcomeUnknownError."""
        body = {"incident": {"type": "incident", "escalation_level": level}}
        self.client.write("PUT", f"/incidents/{_part(identity)}", body, _incident)

    def on_call(self, policy: str) -> list[OnCall]:
        """Who is on call for an escalation policy, first level first."""
        identity = self.identify("escalation_policies", policy)
        found = self._list("oncalls", [("escalation_policy_ids[]", identity)], OnCall.from_api)
        return sorted(found, key=lambda entry: (entry.level, entry.name))


def _part(identity: str) -> str:
    """An id as one part of a path, whatever it is."""
    return urllib.parse.quote(identity, safe="{}")


def _incident(answer: t.Any) -> Incident:
    return Incident.from_api(shape.mapping(answer, "incident"))


def _notes(answer: t.Any) -> list[str]:
    return [shape.text(note, "content") for note in shape.items(answer, "notes")]


def _names(thing: t.Any) -> dict[str, str | None]:
    """What a person may call a thing by."""
    others = {name: shape.text_or_none(thing, name) for name in ("name", "summary", "email")}
    return {"id": shape.text(thing, "id"), **others}
