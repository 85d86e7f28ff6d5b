# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PagerDuty's REST API v2, one method a call (private; https://developer.pagerduty.com/api-reference)."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.sre.runbooks.plugins.module_utils._http.client import Client, Json, Settings
from ansible_collections.sre.runbooks.plugins.module_utils._http.errors import HttpError

URL = "https://api.pagerduty.com"
PAGE = 100
OPEN = ("triggered", "acknowledged")


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
    def from_api(cls, data: Json) -> Incident:
        return cls(
            id=data["id"],
            number=data["incident_number"],
            key=data.get("incident_key") or "",
            title=data["title"],
            status=data["status"],
            urgency=data["urgency"],
            service_id=data["service"]["id"],
            priority_id=(data.get("priority") or {}).get("id"),
            url=data.get("html_url") or "",
        )


@dataclasses.dataclass(frozen=True)
class OnCall:
    """Who is on call, at which level of which policy."""

    level: int
    name: str
    policy: str
    schedule: str | None
    until: str | None


def settings(url: str, key: str, sender: str | None, tries: int) -> Settings:
    """How PagerDuty is spoken to. ``sender`` is the e-mail address of a user of the account; writes need it."""
    headers = {"Authorization": f"Token token={key}", "Accept": "application/vnd.pagerduty+json;version=2"}
    if sender:
        headers["From"] = sender
    return Settings("PagerDuty", url, headers, "Check the URL, the API key, and that From is a user of the account", tries)


class PagerDuty:
    """The calls that the modules need."""

    def __init__(self, client: Client) -> None:
        self.client = client

    def _list(self, name: str, query: t.Sequence[tuple[str, str]] = ()) -> list[Json]:
        """All pages of a collection."""
        found: list[Json] = []
        while True:
            page = self.client.get(f"/{name}", [*query, ("limit", str(PAGE)), ("offset", str(len(found)))])
            found += page[name]
            if not page.get("more") or not page[name]:
                return found

    def identify(self, name: str, wanted: str) -> str:
        """The id of a service, priority or escalation policy given by name or id. Raises HttpError naming those there are."""
        query = [] if name == "priorities" else [("query", wanted)]
        things = self._list(name, query)
        for thing in things:
            if wanted in (thing["id"], thing.get("name"), thing.get("summary"), thing.get("email")):
                return str(thing["id"])
        if query:
            things = self._list(name)
            for thing in things:
                if wanted in (thing["id"], thing.get("email")):
                    return str(thing["id"])
        known = ", ".join(sorted(str(thing.get("name") or thing["id"]) for thing in things)) or "none"
        raise HttpError(f"PagerDuty: {wanted!r} is not among the account's {name.replace('_', ' ')}: {known}")

    def open_by_key(self, key: str) -> Incident | None:
        """The open incident of this key. An empty key would match every open incident, so it is refused."""
        if not key:
            raise HttpError("PagerDuty: an empty incident_key matches every open incident; give one, or an incident_id")
        query = [("incident_key", key), *(("statuses[]", status) for status in OPEN)]
        for data in self._list("incidents", query):
            return Incident.from_api(data)
        return None

    def get(self, identity: str) -> Incident:
        return Incident.from_api(self.client.get(f"/incidents/{identity}")["incident"])

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
        return self.client.write_looking("PUT", f"/incidents/{identity}", body, look, _incident)

    def has_note(self, identity: str, content: str) -> bool:
        notes = self.client.get(f"/incidents/{identity}/notes")["notes"]
        return any(note["content"] == content for note in notes)

    def add_note(self, identity: str, content: str) -> None:
        def look() -> bool | None:
            return True if self.has_note(identity, content) else None

        path = f"/incidents/{identity}/notes"
        self.client.write_looking("POST", path, {"note": {"content": content}}, look, lambda _: True)

    def target(self, wanted: str) -> Json:
        """Whom a responder request may name: a user (by name, e-mail address or id), else an escalation policy."""
        try:
            identity, kind = self.identify("users", wanted), "user_reference"
        except HttpError:
            identity, kind = self.identify("escalation_policies", wanted), "escalation_policy_reference"
        return {"responder_request_target": {"id": identity, "type": kind}}

    def post_status_update(self, identity: str, message: str) -> None:
        """Words for the stakeholders. What was posted cannot be looked up. Raises OutcomeUnknownError."""
        self.client.write("POST", f"/incidents/{identity}/status_updates", {"message": message})

    def request_responders(self, identity: str, requester: str, message: str, targets: list[Json]) -> None:
        """Calls people in. What was asked for cannot be looked up. Raises OutcomeUnknownError."""
        body = {"requester_id": requester, "message": message, "responder_request_targets": targets}
        self.client.write("POST", f"/incidents/{identity}/responder_requests", body)

    def escalate(self, identity: str, level: int) -> None:
        """Calls a level of the escalation policy. Raises OutcomeUnknownError."""
        self.client.write("PUT", f"/incidents/{identity}", {"incident": {"type": "incident", "escalation_level": level}})

    def on_call(self, policy: str) -> list[OnCall]:
        """Who is on call for an escalation policy, first level first."""
        identity = self.identify("escalation_policies", policy)
        found = [
            OnCall(
                level=data["escalation_level"],
                name=data["user"].get("summary") or data["user"].get("name") or data["user"]["id"],
                policy=data["escalation_policy"].get("summary") or identity,
                schedule=(data.get("schedule") or {}).get("summary"),
                until=data.get("end"),
            )
            for data in self._list("oncalls", [("escalation_policy_ids[]", identity)])
        ]
        return sorted(found, key=lambda entry: (entry.level, entry.name))


def _incident(answer: Json) -> Incident | None:
    return Incident.from_api(answer["incident"]) if answer else None
