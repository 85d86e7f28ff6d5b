# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a stream of log lines tells: requests and their failures by endpoint, and the templates of errors (private; pure).

Memory is bounded: of templates and endpoints the first ones are kept, and how many lines are of others is counted.
"""

from __future__ import annotations

import dataclasses
import datetime
import re
import typing as t

from ansible_collections.sre.runbooks.plugins.module_utils._logs import facts
from ansible_collections.sre.runbooks.plugins.module_utils._logs.lines import Line, read_line

MOST_ENDPOINTS = 200
MOST_TEMPLATES = 200
MOST_MINUTES = 90
MOST_NAMES = 200
MOST_LEVELS = 20
MOST_NAMES_TOLD = 20
MOST_TOLD = 30
LONGEST_LINE = 16384
OTHERS = "(others)"
NOT_FOUND = 404
REFUSED = (401, 403, 429)
# For how long it is kept whose requests they were: this window, and the one before.
WINDOW_MINUTES = 3
# As a container's runtime writes it; what is no time is none.
STAMP = re.compile(rb"\d{4}-[01]\d-[0-3]\dT[0-2]\d:[0-5]\d:[0-5]\d[.\d]{0,10}(Z|[+-]\d\d:\d\d)")


@dataclasses.dataclass
class Endpoint:
    """Requests to one path, how many were answered with 5xx, how many were well (2xx, 3xx) before the first of these and since
    the last, how many at most between two of them, and when they were; by minute (RFC 3339, UTC, cut) the requests and those
    with 5xx; by tenant the same of the last minutes; by address the requests, those refused, and those that were well."""

    requests: int = 0
    server_errors: int = 0
    good_before_error: int = 0
    first_error: str = ""
    good_after_error: int = 0
    last_error: str = ""
    minutes: dict[str, list[int]] = dataclasses.field(default_factory=dict)
    refused: int = 0
    tenants: dict[str, list[int]] = dataclasses.field(default_factory=dict)
    addresses: dict[str, list[int]] = dataclasses.field(default_factory=dict)
    longest_good: int = 0
    window: int = 0
    tenants_before: dict[str, list[int]] = dataclasses.field(default_factory=dict)

    def take_whose(self, line: Line, stamp: str, status: int) -> None:
        self._turn(stamp)
        self.refused += status in REFUSED
        if line.tenant:
            _count(self.tenants, line.tenant, status >= 500)
        if line.address:
            _count(self.addresses, line.address, status in REFUSED, status < 400)

    def _turn(self, stamp: str) -> None:
        """A new window, where the time of one is over."""
        number = (int(stamp[11:13]) * 60 + int(stamp[14:16])) // WINDOW_MINUTES if stamp else 0
        if number != self.window:
            is_next = number == self.window + 1
            self.window, self.tenants_before, self.tenants = number, self.tenants if is_next else {}, {}

    def as_data(self) -> facts.Endpoint:
        """Whose requests they were is told where it tells something."""
        return {
            "requests": self.requests,
            "server_errors": self.server_errors,
            "first_error": self.first_error,
            "good_before_error": self.good_before_error,
            "last_error": self.last_error,
            "good_after_error": self.good_after_error,
            "minutes": self.minutes,
            "refused": self.refused,
            "longest_good": self.longest_good,
            "tenants": _most(_both(self.tenants_before, self.tenants)) if self.server_errors else {},
            "addresses": _most(self.addresses) if self.refused else {},
        }

    def take(self, stamp: str, status: int) -> None:
        failed, is_good = status >= 500, status < 400
        self.requests += 1
        self.server_errors += failed
        self.first_error = self.first_error or (stamp if failed else "")
        self.good_before_error += is_good and not self.server_errors
        self.last_error = stamp if failed else self.last_error
        self.longest_good = max(self.longest_good, self.good_after_error) if failed else self.longest_good
        self.good_after_error = 0 if failed else self.good_after_error + (is_good and bool(self.server_errors))
        minute = stamp[: len("2026-11-24T02:10")]
        if minute in self.minutes or (minute and len(self.minutes) < MOST_MINUTES):
            counts = self.minutes.setdefault(minute, [0, 0])
            counts[0] += 1
            counts[1] += failed


@dataclasses.dataclass
class Template:
    """Error lines that differ only in what is masked."""

    count: int = 0
    first: str = ""
    last: str = ""


@dataclasses.dataclass
class Source:
    """What the lines of one source (a container of a pod) told; requests for what is not there (404) are left out.

    Times as its runtime wrote them (RFC 3339, UTC).
    """

    lines: int = 0
    size: int = 0
    first_line: str = ""
    all: Endpoint = dataclasses.field(default_factory=Endpoint)
    endpoints: dict[str, Endpoint] = dataclasses.field(default_factory=dict)
    templates: dict[str, Template] = dataclasses.field(default_factory=dict)
    levels: dict[str, int] = dataclasses.field(default_factory=dict)

    def feed(self, pieces: t.Iterable[bytes], *, stamped: bool) -> None:
        """Reads pieces of a stream; with ``stamped`` each line begins with its runtime's time."""
        rest = bytearray()
        for piece in pieces:
            self.size += len(piece)
            begun, *others = piece.split(b"\n")
            for whole in others:
                self._take(bytes(rest + begun[: LONGEST_LINE - len(rest)]), stamped=stamped)
                rest, begun = bytearray(), whole
            rest += begun[: LONGEST_LINE - len(rest)]
        if rest:
            self._take(bytes(rest), stamped=stamped)

    def _take(self, raw: bytes, *, stamped: bool) -> None:
        stamp = ""
        if stamped:
            head, _blank, raw = raw.partition(b" ")
            stamp = _utc(head.decode()) if STAMP.fullmatch(head) else ""
        line = read_line(raw)
        if line is None:
            return
        self.lines += 1
        self.first_line = self.first_line or stamp
        if line.level in self.levels or (line.level and len(self.levels) < MOST_LEVELS):
            self.levels[line.level] = self.levels.get(line.level, 0) + 1
        if line.status is not None and line.path is not None:
            self._request(line, line.path, line.status, stamp)
        elif line.is_error and line.template:
            found = self.templates.get(line.template)
            if found is None:
                name = line.template if len(self.templates) < MOST_TEMPLATES else OTHERS
                found = self.templates.setdefault(name, Template(first=stamp))
            found.count, found.last = found.count + 1, stamp

    def _request(self, line: Line, path: str, status: int, stamp: str) -> None:
        # What is not there is asked for by scanners, as often and under as many names as they like.
        if status == NOT_FOUND:
            return
        # What is only refused is asked for under as many names, too, and takes half of the room at most.
        most = MOST_ENDPOINTS // 2 if 400 <= status < 500 else MOST_ENDPOINTS
        name = path if path in self.endpoints or len(self.endpoints) < most else OTHERS
        endpoint = self.endpoints.setdefault(name, Endpoint())
        endpoint.take(stamp, status)
        endpoint.take_whose(line, stamp, status)
        self.all.take(stamp, status)

    def as_data(self) -> facts.Told:
        """What the rules read; of the endpoints and templates those that tell most."""
        told = sorted(self.endpoints.items(), key=lambda one: (-one[1].server_errors, -one[1].refused, -one[1].requests, one[0]))
        errors = sorted(self.templates.items(), key=lambda one: (-one[1].count, one[0]))
        return {
            "lines": self.lines,
            "size": self.size,
            "first_line": self.first_line,
            "requests": self.all.requests,
            "server_errors": self.all.server_errors,
            "minutes": self.all.minutes,
            "levels": self.levels,
            "endpoints": {path: one.as_data() for path, one in told[:MOST_TOLD]},
            "templates": {text: t.cast("facts.Template", dataclasses.asdict(one)) for text, one in errors[:MOST_TOLD]},
        }


def _count(known: dict[str, list[int]], name: str, *marks: bool) -> None:
    """One more request of a name, and what is to be counted of it; of more names than are kept, together."""
    counts = known.setdefault(name if name in known or len(known) < MOST_NAMES else OTHERS, [0] * (1 + len(marks)))
    counts[0] += 1
    for place, mark in enumerate(marks, 1):
        counts[place] += mark


def _both(one: dict[str, list[int]], other: dict[str, list[int]]) -> dict[str, list[int]]:
    """The counts of two windows together."""
    found = {name: list(counts) for name, counts in one.items()}
    for name, counts in other.items():
        before = found.get(name, [0] * len(counts))
        found[name] = [mine + theirs for mine, theirs in zip(before, counts, strict=True)]
    return found


def _most(known: dict[str, list[int]]) -> dict[str, list[int]]:
    """The names with most that is bad, and the others together."""
    order = sorted(known, key=lambda name: (name == OTHERS, -known[name][1], -known[name][0], name))
    told = {name: known[name] for name in order[:MOST_NAMES_TOLD]}
    rest = [known[name] for name in order[MOST_NAMES_TOLD:]]
    return {**told, OTHERS: [sum(counts) for counts in zip(*rest, strict=True)]} if rest else told


def _utc(stamp: str) -> str:
    """A time in UTC, whatever zone the node's runtime writes in."""
    if stamp.endswith("Z"):
        return stamp
    try:
        return datetime.datetime.fromisoformat(stamp).astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    except (ValueError, OverflowError):
        return ""
