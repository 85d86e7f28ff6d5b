# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Atlassian Statuspage's API v1, one method a call (private; https://developer.statuspage.io)."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.sre.runbooks.plugins.module_utils._http.client import Client, Json, Settings
from ansible_collections.sre.runbooks.plugins.module_utils._http.errors import HttpError

URL = "https://api.statuspage.io/v1"
PAGE = 100
# Statuspage has no idempotency key; this namespace in an incident's metadata is ours.
MARKER = "sre_runbooks"


@dataclasses.dataclass(frozen=True)
class Incident:
    """An incident as the page tells it, cut to what the runbooks use."""

    id: str
    name: str
    status: str
    impact: str | None
    key: str | None
    update_key: str | None
    last_body: str | None
    components: t.Mapping[str, str]
    url: str

    @classmethod
    def from_api(cls, data: Json) -> Incident:
        marker = (data.get("metadata") or {}).get(MARKER) or {}
        updates = data.get("incident_updates") or []
        return cls(
            id=data["id"],
            name=data["name"],
            status=data["status"],
            impact=data.get("impact_override"),
            key=marker.get("incident"),
            update_key=marker.get("update"),
            last_body=updates[0].get("body") if updates else None,
            components={part["id"]: part["status"] for part in data.get("components") or []},
            url=data.get("shortlink") or "",
        )


def settings(url: str, key: str, tries: int) -> Settings:
    """How Statuspage is spoken to."""
    headers = {"Authorization": f"OAuth {key}", "Accept": "application/json"}
    return Settings("Statuspage", url, headers, "Check the URL, the page id and the API key", tries)


class Statuspage:
    """The calls that the module needs, on one page."""

    def __init__(self, client: Client, page_id: str) -> None:
        self.client = client
        self.path = f"/pages/{page_id}"

    def get(self, identity: str) -> Incident:
        return Incident.from_api(self.client.get(f"{self.path}/incidents/{identity}"))

    def by_key(self, key: str, *, resolved: bool) -> Incident | None:
        """The unresolved incident with our marker; with ``resolved`` also the newest resolved one."""
        path = f"{self.path}/incidents" + ("" if resolved else "/unresolved")
        for data in self.client.get(path, [("limit", str(PAGE))]):
            incident = Incident.from_api(data)
            if incident.key == key:
                return incident
        return None

    def components(self) -> dict[str, str]:
        """The ids of the page's components by their names."""
        found: dict[str, str] = {}
        page = 1
        while True:
            parts = self.client.get(f"{self.path}/components", [("page", str(page)), ("per_page", str(PAGE))])
            found |= {part["name"]: part["id"] for part in parts}
            if len(parts) < PAGE:
                return found
            page += 1

    def identify(self, wanted: t.Mapping[str, str]) -> dict[str, str]:
        """Component states by id, from states by name or id. Raises HttpError naming the components there are."""
        known = self.components()
        ids = set(known.values())
        missing = sorted(name for name in wanted if name not in known and name not in ids)
        if missing:
            there = ", ".join(sorted(known)) or "none"
            raise HttpError(f"Statuspage: the page has no component {', '.join(missing)}; it has: {there}")
        return {known.get(name, name): status for name, status in wanted.items()}

    def create(self, incident: Json, key: str) -> Incident | None:
        """A new incident (None in check mode); after an unknown outcome it is looked up by our marker."""

        def look() -> Incident | None:
            return self.by_key(key, resolved=False)

        return self.client.write_looking("POST", f"{self.path}/incidents", {"incident": incident}, look, _incident)

    def update(self, identity: str, incident: Json, done: t.Callable[[Incident], bool]) -> Incident | None:
        """An update (None in check mode); after an unknown outcome ``done`` tells from the incident whether it arrived."""

        def look() -> Incident | None:
            current = self.get(identity)
            return current if done(current) else None

        path = f"{self.path}/incidents/{identity}"
        return self.client.write_looking("PATCH", path, {"incident": incident}, look, _incident)


def _incident(answer: Json) -> Incident | None:
    return Incident.from_api(answer) if answer else None
