# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Datadog's API v1, one function a call (private; https://docs.datadoghq.com/api/latest)."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.sre.runbooks.plugins.module_utils._http.client import Client, Json, Settings
from ansible_collections.sre.runbooks.plugins.module_utils._http.errors import HttpError

URL = "https://api.datadoghq.com"
PAGE = 100


@dataclasses.dataclass(frozen=True)
class Monitor:
    """A monitor: ``state`` is one of OK, Alert, Warn, No Data, Unknown, Ignored, Skipped; ``groups`` maps those that are not OK
    to their state."""

    id: int
    name: str
    type: str
    state: str
    groups: t.Mapping[str, str]


@dataclasses.dataclass(frozen=True)
class Series:
    """One series of a metric: its last value with its age (seconds), the highest and the mean of the window."""

    metric: str
    scope: str
    last: float | None
    last_age_seconds: float | None
    highest: float | None
    mean: float | None
    points: int


def settings(url: str, api_key: str, application_key: str, tries: int) -> Settings:
    """How Datadog is spoken to."""
    headers = {"DD-API-KEY": api_key, "DD-APPLICATION-KEY": application_key, "Accept": "application/json"}
    return Settings("Datadog", url, headers, "Check the site in the URL and both keys", tries)


def monitor(client: Client, identity: int) -> Monitor:
    """GET /api/v1/monitor/{id}. Raises ApiError."""
    data = client.get(f"/api/v1/monitor/{identity}", [("group_states", "all")])
    groups = (data.get("state") or {}).get("groups") or {}
    troubled = {name: group["status"] for name, group in sorted(groups.items()) if group.get("status") != "OK"}
    return Monitor(data["id"], data.get("name") or "", data.get("type") or "", data.get("overall_state") or "Unknown", troubled)


def search(client: Client, query: str) -> list[Monitor]:
    """GET /api/v1/monitor/search, all pages. Raises ApiError."""
    found: list[Monitor] = []
    page = 0
    while True:
        query_string = [("query", query), ("page", str(page)), ("per_page", str(PAGE))]
        data = client.get("/api/v1/monitor/search", query_string)
        found += [Monitor(one["id"], one["name"], one.get("type") or "", one["status"], {}) for one in data["monitors"]]
        page += 1
        if page >= data["metadata"]["page_count"]:
            return found


def series(client: Client, query: str, start: int, end: int) -> list[Series]:
    """GET /api/v1/query between two moments (seconds since 1970). Raises HttpError where Datadog says that it failed."""
    data = client.get("/api/v1/query", [("from", str(start)), ("to", str(end)), ("query", query)])
    if data.get("status") != "ok" or data.get("error"):
        raise HttpError(f"Datadog: the query {query!r} failed: {data.get('error') or data.get('status')}")
    return [_series(one, end) for one in data.get("series") or []]


def _series(data: Json, end: int) -> Series:
    points = [(at / 1000, value) for at, value in data.get("pointlist") or [] if value is not None]
    values = [value for _at, value in points]
    last_at, last = points[-1] if points else (None, None)
    return Series(
        metric=data.get("metric") or "",
        scope=data.get("scope") or "",
        last=last,
        last_age_seconds=None if last_at is None else round(end - last_at, 1),
        highest=max(values, default=None),
        mean=sum(values) / len(values) if values else None,
        points=len(values),
    )
