# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the logs of several sources tell together (private to the collection; pure)."""

from __future__ import annotations

import typing as t

from ansible_collections.sre.runbooks.plugins.module_utils._logs import facts

MOST_TOLD = 30


class Error(t.TypedDict):
    """Error lines of one kind: what they say (ids, numbers and secrets masked), how many, when, and of which sources."""

    text: str
    count: int
    first: str
    last: str
    sources: list[str]


class Asked(t.TypedDict):
    """Requests to one path: answered with 5xx, refused with 401 or 403, by tenant and by address."""

    path: str
    requests: int
    server_errors: int
    error_ratio: float
    refused: int
    first_error: str
    last_error: str
    tenants: dict[str, list[int]]
    addresses: dict[str, list[int]]


class Merged(t.TypedDict):
    """All sources together; ``error_ratio``: of the requests; ``levels``: lines by level."""

    lines: int
    requests: int
    server_errors: int
    error_ratio: float
    levels: dict[str, int]
    errors: list[Error]
    endpoints: list[Asked]


def merged(every: t.Mapping[str, facts.Told]) -> Merged:
    """The logs of some sources, by their names. Of errors and endpoints those with most are told.

    >>> merged({})["error_ratio"]
    0.0
    """
    errors: dict[str, Error] = {}
    paths: dict[str, Asked] = {}
    levels: dict[str, int] = {}
    for source, told in every.items():
        for text, one in told["templates"].items():
            _add_error(errors.setdefault(text, _no_error(text)), one, source)
        for path, endpoint in told["endpoints"].items():
            _add_endpoint(paths.setdefault(path, _no_request(path)), endpoint)
        for level, number in told["levels"].items():
            levels[level] = levels.get(level, 0) + number
    requests, failed = (sum(told[name] for told in every.values()) for name in ("requests", "server_errors"))
    return {
        "lines": sum(told["lines"] for told in every.values()),
        "requests": requests,
        "server_errors": failed,
        "error_ratio": _ratio(failed, requests),
        "levels": levels,
        "errors": sorted(errors.values(), key=lambda one: (-one["count"], one["text"]))[:MOST_TOLD],
        "endpoints": sorted(paths.values(), key=_order)[:MOST_TOLD],
    }


def _order(one: Asked) -> tuple[int, int, int, str]:
    return -one["server_errors"], -one["refused"], -one["requests"], one["path"]


def _ratio(some: int, of: int) -> float:
    return round(some / of, 4) if of else 0.0


def _no_error(text: str) -> Error:
    return {"text": text, "count": 0, "first": "", "last": "", "sources": []}


def _add_error(known: Error, one: facts.Template, source: str) -> None:
    known["count"] += one["count"]
    known["first"] = min((at for at in (known["first"], one["first"]) if at), default="")
    known["last"] = max(known["last"], one["last"])
    known["sources"].append(source)


def _no_request(path: str) -> Asked:
    return {"path": path, "requests": 0, "server_errors": 0, "error_ratio": 0.0, "refused": 0, "first_error": "",
            "last_error": "", "tenants": {}, "addresses": {}}  # fmt: skip


def _add_endpoint(known: Asked, one: facts.Endpoint) -> None:
    known["requests"] += one["requests"]
    known["server_errors"] += one["server_errors"]
    known["refused"] += one["refused"]
    known["error_ratio"] = _ratio(known["server_errors"], known["requests"])
    known["first_error"] = min((at for at in (known["first_error"], one["first_error"]) if at), default="")
    known["last_error"] = max(known["last_error"], one["last_error"])
    for mine, theirs in ((known["tenants"], one["tenants"]), (known["addresses"], one["addresses"])):
        for name, counts in theirs.items():
            before = mine.get(name, [0] * len(counts))
            mine[name] = [some + more for some, more in zip(before, counts, strict=True)]
