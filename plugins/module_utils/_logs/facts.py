# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The shapes of what a log tells, for those who judge it (private to the collection; pure)."""

from __future__ import annotations

import typing as t


class Endpoint(t.TypedDict):
    """Requests to one path, those that were well (2xx, 3xx) before the first 5xx, since the last, and at most between two of
    them; ``minutes``: requests and 5xx by minute (UTC). ``refused``: answered with 401, 403 or 429. ``tenants``: requests and 5xx
    of the last three to six minutes by tenant, where any failed; ``addresses``: requests, refusals and those that were well, by
    address, where any was refused; of both those with most, and the rest together."""

    requests: int
    server_errors: int
    first_error: str
    good_before_error: int
    last_error: str
    good_after_error: int
    longest_good: int
    minutes: dict[str, list[int]]
    refused: int
    tenants: dict[str, list[int]]
    addresses: dict[str, list[int]]


class Template(t.TypedDict):
    """Error lines of one kind."""

    count: int
    first: str
    last: str


class Told(t.TypedDict):
    """What the lines of one source tell. ``minutes``: requests and 5xx over all paths; of ``endpoints`` (by path) and
    ``templates`` (by masked text) those that tell most; ``size``: bytes."""

    lines: int
    size: int
    first_line: str
    requests: int
    server_errors: int
    minutes: dict[str, list[int]]
    levels: dict[str, int]
    endpoints: dict[str, Endpoint]
    templates: dict[str, Template]
