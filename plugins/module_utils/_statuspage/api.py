# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Atlassian Statuspage's API v1, one method a call (private; https://developer.statuspage.io)."""

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

URL = "https://api.statuspage.io/v1"
PAGE = 100
# The newest incidents are looked through as far as this for one that is resolved.
MOST_PAGES = 20
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
    def from_api(cls, data: t.Any) -> Incident:
        """Raises ShapeError."""
        marker = _marker(data)
        updates = shape.items_or_empty(data, "incident_updates")
        parts = shape.items_or_empty(data, "components")
        return cls(
            id=shape.text(data, "id"),
            name=shape.text(data, "name"),
            status=shape.text(data, "status"),
            impact=shape.text_or_none(data, "impact_override"),
            key=_text(marker.get("incident")),
            update_key=_text(marker.get("update")),
            last_body=shape.text_or_none(updates[0], "body") if updates else None,
            components={shape.text(part, "id"): shape.text(part, "status") for part in parts},
            url=shape.text_or_none(data, "shortlink") or "",
        )


def _marker(data: t.Any) -> Json:
    """Our marker in an incident's metadata; what somebody else has put there is none."""
    metadata = shape.mapping(data).get("metadata")
    marker = metadata.get(MARKER) if isinstance(metadata, dict) else None
    return marker if isinstance(marker, dict) else {}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def settings(params: t.Mapping[str, t.Any]) -> Settings:
    """How Statuspage is spoken to. Raises HttpError."""
    key = header_value("api_key", params["api_key"])
    headers = {"Authorization": f"OAuth {key}", "Accept": "application/json"}
    way_out = "Check the URL, the page id and the API key"
    return Settings("Statuspage", params["api_url"], headers, way_out, **patience(params))


class Statuspage:
    """The calls that the module needs, on one page."""

    def __init__(self, client: Client, page_id: str) -> None:
        self.client = client
        self.path = f"/pages/{urllib.parse.quote(page_id, safe='')}"

    def _incident_path(self, identity: str) -> str:
        return f"{self.path}/incidents/{urllib.parse.quote(identity, safe='{}')}"

    def get(self, identity: str) -> Incident:
        return self.client.get(self._incident_path(identity), (), Incident.from_api)

    def _pages(self, path: str, size: str, read: t.Callable[[t.Any], t.Any], most: int = MOST_PAGES) -> t.Iterator[t.Any]:
        """What is on the pages of a collection; ``size`` is what the collection calls the length of a page."""
        for page in range(1, most + 1):
            query = [("page", str(page)), (size, str(PAGE))]
            found = self.client.get(path, query, lambda data: [read(one) for one in shape.items(data)])
            yield from found
            if len(found) < PAGE:
                return

    def by_key(self, key: str, *, resolved: bool) -> Incident | None:
        """The unresolved incident with our marker; with ``resolved`` the newest one, in whatever state."""
        path, size = (f"{self.path}/incidents", "limit") if resolved else (f"{self.path}/incidents/unresolved", "per_page")
        return next((one for one in self._pages(path, size, Incident.from_api) if one.key == key), None)

    def components(self) -> dict[str, str]:
        """The ids of the page's components by their names; groups have no state of their own."""
        parts = self._pages(f"{self.path}/components", "per_page", _part)
        return {name: identity for name, identity, is_group in parts if not is_group}

    def identify(self, wanted: t.Mapping[str, str]) -> tuple[dict[str, str], str]:
        """Component states by id, from states by name or id, and a sentence on those that are not there."""
        known = self.components()
        ids = set(known.values())
        missing = sorted(name for name in wanted if name not in known and name not in ids)
        there = ", ".join(sorted(known)) or "none"
        left_out = f"the page has no component {', '.join(missing)}; it has: {there}" if missing else ""
        return {known.get(name, name): status for name, status in wanted.items() if name not in missing}, left_out

    def create(self, incident: Json, key: str) -> Incident | None:
        """A new incident (None in check mode); after an unknown outcome it is looked up by our marker."""

        def look() -> Incident | None:
            return self.by_key(key, resolved=False)

        return self.client.write_looking("POST", f"{self.path}/incidents", {"incident": incident}, look, Incident.from_api)

    def update(self, identity: str, incident: Json, done: t.Callable[[Incident], bool]) -> Incident | None:
        """An update (None in check mode); after an unknown outcome ``done`` tells from the incident whether it arrived."""

        def look() -> Incident | None:
            current = self.get(identity)
            return current if done(current) else None

        body = {"incident": incident}
        return self.client.write_looking("PATCH", self._incident_path(identity), body, look, Incident.from_api)


def _part(part: t.Any) -> tuple[str, str, bool]:
    return shape.text(part, "name"), shape.text(part, "id"), shape.mapping(part).get("group") is True
