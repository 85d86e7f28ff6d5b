# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Datadog's API v1, one function a call (private; https://docs.datadoghq.com/api/latest)."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.sre.runbooks.plugins.module_utils._http import shape
from ansible_collections.sre.runbooks.plugins.module_utils._http.client import Client, Settings, header_value, patience
from ansible_collections.sre.runbooks.plugins.module_utils._http.errors import HttpError, UnusableAnswerError

URL = "https://api.datadoghq.com"
PAGE = 100
MOST_PAGES = 50
LARGEST = 1e300


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


def settings(params: t.Mapping[str, t.Any]) -> Settings:
    """How Datadog is spoken to. Raises HttpError."""
    headers = {
        "DD-API-KEY": header_value("api_key", params["api_key"]),
        "DD-APPLICATION-KEY": header_value("application_key", params["application_key"]),
        "Accept": "application/json",
    }
    return Settings("Datadog", params["api_url"], headers, "Check the site in the URL and both keys", **patience(params))


def monitor(client: Client, identity: int) -> Monitor:
    """GET /api/v1/monitor/{id}. Raises HttpError."""
    return client.get(f"/api/v1/monitor/{identity}", [("group_states", "all")], _monitor)


def _monitor(data: t.Any) -> Monitor:
    groups = shape.mapping_or_empty(shape.mapping_or_empty(data, "state"), "groups")
    states = {name: shape.text_or_none(group, "status") or "Unknown" for name, group in sorted(groups.items())}
    troubled = {name: state for name, state in states.items() if state != "OK"}
    return _named(data, "overall_state", troubled)


def _named(data: t.Any, state: str, troubled: t.Mapping[str, str]) -> Monitor:
    name, kind = shape.text_or_none(data, "name") or "", shape.text_or_none(data, "type") or ""
    return Monitor(shape.number(data, "id"), name, kind, shape.text_or_none(data, state) or "Unknown", troubled)


def search(client: Client, query: str) -> list[Monitor]:
    """GET /api/v1/monitor/search, all pages. Raises HttpError."""

    def page_of(data: t.Any) -> tuple[list[Monitor], int]:
        monitors = [_named(one, "status", {}) for one in shape.items(data, "monitors")]
        return monitors, shape.number(shape.mapping(data, "metadata"), "page_count")

    found: list[Monitor] = []
    for page in range(MOST_PAGES):
        asked = [("query", query), ("page", str(page)), ("per_page", str(PAGE))]
        monitors, pages = client.get("/api/v1/monitor/search", asked, page_of)
        found += monitors
        if page + 1 >= pages:
            return found
    raise UnusableAnswerError(f"Datadog: the search {query!r} has more than {MOST_PAGES} pages: narrow it")


def series(client: Client, query: str, start: int, end: int) -> list[Series]:
    """GET /api/v1/query between two moments (seconds since 1970). Raises HttpError where Datadog says that it failed."""

    def read(data: t.Any) -> list[Series]:
        if shape.text(data, "status") != "ok" or data.get("error"):
            raise HttpError(f"Datadog: the query {query!r} failed: {str(data.get('error') or data['status'])[:300]}")
        return [_series(one, end) for one in shape.items_or_empty(data, "series")]

    return client.get("/api/v1/query", [("from", str(start)), ("to", str(end)), ("query", query)], read)


def _series(data: t.Any, end: int) -> Series:
    pairs = [_point(pair) for pair in shape.items_or_empty(data, "pointlist")]
    points = [(at, value) for at, value in pairs if value is not None]
    values = [value for _at, value in points]
    last_at, last = points[-1] if points else (None, None)
    return Series(
        metric=shape.text_or_none(data, "metric") or "",
        scope=shape.text_or_none(data, "scope") or "",
        last=last,
        last_age_seconds=None if last_at is None else round(end - last_at, 1),
        highest=max(values, default=None),
        mean=sum(values) / len(values) if values else None,
        points=len(values),
    )


def _point(pair: t.Any) -> tuple[float, float | None]:
    """When (seconds since 1970) and how much. Raises ShapeError."""
    if len(shape.items(pair)) != 2 or not all(one is None or _is_number(one) for one in pair) or pair[0] is None:
        raise shape.ShapeError("a point is no pair of numbers")
    return pair[0] / 1000, None if pair[1] is None else float(pair[1])


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and -LARGEST < value < LARGEST
