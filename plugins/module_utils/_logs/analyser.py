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
from ansible_collections.sre.runbooks.plugins.module_utils._logs.lines import read_line

MOST_ENDPOINTS = 200
MOST_TEMPLATES = 200
MOST_MINUTES = 90
MOST_TOLD = 30
LONGEST_LINE = 16384
OTHERS = "(others)"
NOT_FOUND = 404
# As a container's runtime writes it; what is no time is none.
STAMP = re.compile(rb"\d{4}-[01]\d-[0-3]\dT[0-2]\d:[0-5]\d:[0-5]\d[.\d]{0,10}(Z|[+-]\d\d:\d\d)")


@dataclasses.dataclass
class Endpoint:
    """Requests to one path, how many were answered with 5xx, how many were not before the first that was, and when it was; and
    by minute (RFC 3339, UTC, cut) the requests and those answered with 5xx."""

    requests: int = 0
    server_errors: int = 0
    good_before_error: int = 0
    first_error: str = ""
    minutes: dict[str, list[int]] = dataclasses.field(default_factory=dict)

    def take(self, stamp: str, *, failed: bool) -> None:
        self.requests += 1
        self.server_errors += failed
        self.first_error = self.first_error or (stamp if failed else "")
        self.good_before_error += not self.server_errors
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
            self._request(line.path, line.status, stamp)
        elif line.is_error and line.template:
            found = self.templates.get(line.template)
            if found is None:
                name = line.template if len(self.templates) < MOST_TEMPLATES else OTHERS
                found = self.templates.setdefault(name, Template(first=stamp))
            found.count, found.last = found.count + 1, stamp

    def _request(self, path: str, status: int, stamp: str) -> None:
        # What is not there is asked for by scanners, as often and under as many names as they like.
        if status == NOT_FOUND:
            return
        name = path if path in self.endpoints or len(self.endpoints) < MOST_ENDPOINTS else OTHERS
        failed = status >= 500
        self.endpoints.setdefault(name, Endpoint()).take(stamp, failed=failed)
        self.all.take(stamp, failed=failed)

    def as_data(self) -> facts.Told:
        """What the rules read; of the endpoints and templates those that tell most."""
        told = sorted(self.endpoints.items(), key=lambda one: (-one[1].server_errors, -one[1].requests, one[0]))
        errors = sorted(self.templates.items(), key=lambda one: (-one[1].count, one[0]))
        return {
            "lines": self.lines,
            "size": self.size,
            "first_line": self.first_line,
            "requests": self.all.requests,
            "server_errors": self.all.server_errors,
            "minutes": self.all.minutes,
            "endpoints": {path: t.cast("facts.Endpoint", dataclasses.asdict(one)) for path, one in told[:MOST_TOLD]},
            "templates": {text: t.cast("facts.Template", dataclasses.asdict(one)) for text, one in errors[:MOST_TOLD]},
        }


def _utc(stamp: str) -> str:
    """A time in UTC, whatever zone the node's runtime writes in."""
    if stamp.endswith("Z"):
        return stamp
    try:
        return datetime.datetime.fromisoformat(stamp).astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    except (ValueError, OverflowError):
        return ""
