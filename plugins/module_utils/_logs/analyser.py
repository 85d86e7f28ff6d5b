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
MOST_NAMES_TOLD = 20
MOST_TOLD = 30
LONGEST_LINE = 16384
OTHERS = "(others)"
NOT_FOUND = 404
REFUSED = (401, 403)
# As a container's runtime writes it; what is no time is none.
STAMP = re.compile(rb"\d{4}-[01]\d-[0-3]\dT[0-2]\d:[0-5]\d:[0-5]\d[.\d]{0,10}(Z|[+-]\d\d:\d\d)")


@dataclasses.dataclass
class Endpoint:
    """Requests to one path, how many were answered with 5xx, how many were not before the first that was and since the last
    one, and when these were; by minute (RFC 3339, UTC, cut) and by tenant the requests and those answered with 5xx; and by
    address the requests and those that were refused."""

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

    def take_whose(self, line: Line, *, failed: bool) -> None:
        is_refused = line.status in REFUSED
        self.refused += is_refused
        if line.tenant:
            _count(self.tenants, line.tenant, failed)
        if line.address:
            _count(self.addresses, line.address, is_refused)

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
            "tenants": _most(self.tenants) if self.server_errors else {},
            "addresses": _most(self.addresses) if self.refused else {},
        }

    def take(self, stamp: str, *, failed: bool) -> None:
        self.requests += 1
        self.server_errors += failed
        self.first_error = self.first_error or (stamp if failed else "")
        self.good_before_error += not self.server_errors
        self.last_error = stamp if failed else self.last_error
        self.good_after_error = 0 if failed else self.good_after_error + bool(self.server_errors)
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
        name = path if path in self.endpoints or len(self.endpoints) < MOST_ENDPOINTS else OTHERS
        failed = status >= 500
        endpoint = self.endpoints.setdefault(name, Endpoint())
        endpoint.take(stamp, failed=failed)
        endpoint.take_whose(line, failed=failed)
        self.all.take(stamp, failed=failed)

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
            "endpoints": {path: one.as_data() for path, one in told[:MOST_TOLD]},
            "templates": {text: t.cast("facts.Template", dataclasses.asdict(one)) for text, one in errors[:MOST_TOLD]},
        }


def _count(known: dict[str, list[int]], name: str, bad: bool) -> None:
    """One more request of a name; of more names than are kept, together."""
    counts = known.setdefault(name if name in known or len(known) < MOST_NAMES else OTHERS, [0, 0])
    counts[0] += 1
    counts[1] += bad


def _most(known: dict[str, list[int]]) -> dict[str, list[int]]:
    """The names with most that is bad, and the others together."""
    order = sorted(known, key=lambda name: (name == OTHERS, -known[name][1], -known[name][0], name))
    told = {name: known[name] for name in order[:MOST_NAMES_TOLD]}
    rest = [known[name] for name in order[MOST_NAMES_TOLD:]]
    return {**told, OTHERS: [sum(one[0] for one in rest), sum(one[1] for one in rest)]} if rest else told


def _utc(stamp: str) -> str:
    """A time in UTC, whatever zone the node's runtime writes in."""
    if stamp.endswith("Z"):
        return stamp
    try:
        return datetime.datetime.fromisoformat(stamp).astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    except (ValueError, OverflowError):
        return ""
