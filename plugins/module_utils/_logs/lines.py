# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One line of a log, whatever its format (private to the collection; pure).

Formats: JSON objects, logfmt, the combined access log of httpd and nginx; anything else is text. A line is data: it is cut, never
evaluated, and its ids, numbers and secrets are masked before anybody sees it.
Sources: https://httpd.apache.org/docs/2.4/logs.html#combined, https://brandur.org/logfmt
"""

from __future__ import annotations

import dataclasses
import json
import re
import typing as t

LONGEST = 2000
LONGEST_TEMPLATE = 200
ACCESS = re.compile(r'^\S+ \S+ \S+ \[[^\]]*\] "(?P<method>[A-Z]+) (?P<path>\S+)[^"]*" (?P<status>\d{3}) ')
LOGFMT = re.compile(r'([A-Za-z_][\w.]*)=("(?:[^"\\]|\\.)*"|\S*)')
LEVEL = re.compile(r"\b(FATAL|CRITICAL|ERROR|WARN(?:ING)?|INFO|DEBUG)\b", re.IGNORECASE)
ERROR_LEVELS = {"error", "fatal", "critical", "err", "panic", "severe"}
SECRET = re.compile(
    r"""(?ix) \b(bearer|basic)\s+[\w.~+/=-]{6,} | \beyJ[\w-]{8,}\.[\w-]+\.[\w-]* |
    \b((?:\w*(?:password|passwd|secret|token|api[_-]?key|authorization)\w*)\s*["']?\s*[:=]\s*["']?)
    (?:(?:bearer|basic)\s+)?[^\s"',;&]+ """
)
MASKS = (
    (re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", re.IGNORECASE), "<id>"),
    (re.compile(r"\b[\w.+-]+@[\w-]+\.[\w.-]+\b"), "<mail>"),
    (re.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}\b"), "<address>"),
    (re.compile(r"\b(?=[0-9a-f]*\d)(?:0x)?[0-9a-f]{8,}\b", re.IGNORECASE), "<hex>"),
    (re.compile(r"(?<![\w<])\d+(?:\.\d+)?(?![\w>])"), "<n>"),
)


@dataclasses.dataclass(frozen=True)
class Line:
    """What a line says: its level in lower case, the request that it is about (``path`` without its query, ``status``), and its
    message with everything that changes masked."""

    level: str
    template: str
    path: str | None = None
    status: int | None = None

    @property
    def is_error(self) -> bool:
        return self.level in ERROR_LEVELS


def masked(text: str) -> str:
    """A text without secrets, ids, addresses and numbers, cut.

    >>> masked("user 17 at 10.0.0.9: token=abcdef refused")
    'user <n> at <address>: token=<secret> refused'
    """
    text = SECRET.sub(lambda found: f"{found[2] or ''}<secret>", text[:LONGEST])
    for pattern, name in MASKS:
        text = pattern.sub(name, text)
    return " ".join(text.split())[:LONGEST_TEMPLATE]


def read_line(raw: bytes) -> Line | None:
    """A line; None for an empty one."""
    text = raw[: 4 * LONGEST].decode("utf-8", "replace").strip()
    if not text:
        return None
    if text[0] == "{":
        fields = _json(text)
        if fields is not None:
            return _from_fields(fields)
    access = ACCESS.match(text)
    if access:
        return Line("", "", access["path"].partition("?")[0][:LONGEST_TEMPLATE], int(access["status"]))
    if text.count("=") >= 2:
        fields = {name: value.strip('"') for name, value in LOGFMT.findall(text)}
        if {"msg", "message", "level", "status"} & set(fields):
            return _from_fields(fields)
    level = LEVEL.search(text[:200])
    return Line(level[1].lower() if level else "", masked(text))


def _json(text: str) -> dict[str, t.Any] | None:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _from_fields(fields: t.Mapping[str, t.Any]) -> Line:
    message = next((str(fields[name]) for name in ("msg", "message", "error", "event") if fields.get(name)), "")
    level = str(next((fields[name] for name in ("level", "severity", "lvl") if fields.get(name)), "")).lower()[:20]
    path = next((str(fields[name]) for name in ("path", "uri", "url", "request_path") if fields.get(name)), None)
    status = next((fields[name] for name in ("status", "status_code", "code") if fields.get(name) is not None), None)
    number = int(str(status)) if re.fullmatch("[1-5][0-9]{2}", str(status)) else None
    return Line(level, masked(message), path.partition("?")[0][:LONGEST_TEMPLATE] if path else None, number)
