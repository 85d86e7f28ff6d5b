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
LONGEST_PATH = 120
ACCESS = re.compile(
    r'^\S+ \S+ \S+ \[[^\]]*\] "(?P<method>[A-Z]+) (?P<path>\S+)[^"]*" (?P<status>\d{3}) \S+(?: "[^"]*" "(?P<agent>[^"]*)")?'
)
LOGFMT = re.compile(r'([A-Za-z_][\w.]{0,60})=("(?:[^"\\]|\\.){0,500}"|[^\s"]{0,500})')
LEVEL = re.compile(r"\b(FATAL|CRITICAL|ERROR|WARN(?:ING)?|INFO|DEBUG)\b", re.IGNORECASE)
ERROR_LEVELS = {"error", "fatal", "critical", "err", "panic", "severe"}
# Nobody who asks for the sake of the answer: the kubelet and load balancers.
PROBES = ("kube-probe/", "ELB-HealthChecker/", "GoogleHC/", "Go-http-client/probe", "Blackbox Exporter/", "Prometheus/")
OUTGOING = {"client", "outbound", "outgoing", "egress", "upstream"}
_KEY = (
    r"\w{0,40}(?:passw(?:or)?d|pwd|secret|token|api[_-]?key|authorization|credential|private[_-]?key|access[_-]?key|session[_-]?id)"
    r"\w{0,40}"
)
SECRET = re.compile(
    rf"""(?ix) \b(?:bearer|basic)\s+[\w.~+/=-]{{6,}} | \beyJ[\w-]{{8,}}\.[\w-]+\.[\w-]*
    | \b(?:AKIA|ASIA)[A-Z0-9]{{12,}} | \b(?:gh[pousr]_|github_pat_|xox[abeprs]-|glpat-|sk-|sk_live_)[\w-]{{8,}}
    | -----BEGIN\ [A-Z\ ]{{0,30}}PRIVATE\ KEY-----.*
    | (?<=://)[^\s/@:]{{0,64}}:[^\s/@]{{1,128}}(?=@)
    | (?P<cookie>\b(?:set-)?cookie\b["'\\]{{0,4}}\s*[:=]\s*).*
    | (?P<key>(?<!\w){_KEY}["'\\]{{0,4}}\s*[:=]\s*|--?{_KEY}\s+|\bpassword\s+(?:is\s+)?(?=\S*\d))
      (?:\\?"[^"]{{0,500}}"? | '[^']{{0,500}}'? | (?:(?:bearer|basic)\s+)?[^\s"',;&]+) """
)
MASKS = (
    (re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", re.IGNORECASE), "<id>"),
    (re.compile(r"\b[\w.+-]{1,64}@[\w-]{1,64}\.[\w.-]{1,64}\b"), "<mail>"),
    (re.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}\b"), "<address>"),
    (re.compile(r"\b(?=[0-9a-f]{0,64}\d)(?:0x)?[0-9a-f]{8,}\b", re.IGNORECASE), "<hex>"),
    (re.compile(r"(?<![\w<])\d+(?:\.\d+)?(?![\w>])"), "<n>"),
)
# A part of a path that names one thing among many.
ONE_OF_MANY = re.compile(r"\d+|[0-9a-fA-F-]*\d[0-9a-fA-F-]*(?<=[0-9a-fA-F-]{8})|.*[@%=].*|(?=.*\d)[\w.~-]{16,}|.{33,}")


@dataclasses.dataclass(frozen=True)
class Line:
    """What a line says: its level in lower case, the request that it answered (``path`` without its query and its ids,
    ``status``), and, of an error, its message with everything that changes masked."""

    level: str
    template: str
    path: str | None = None
    status: int | None = None

    @property
    def is_error(self) -> bool:
        return self.level in ERROR_LEVELS


def without_secrets(text: str) -> str:
    """A text without what looks like a secret, cut.

    >>> without_secrets("pull of registry.example.org/api failed, token=abcdef refused")
    'pull of registry.example.org/api failed, token=<secret> refused'
    """
    return SECRET.sub(lambda found: f"{found['key'] or found['cookie'] or ''}<secret>", text[:LONGEST])


def masked(text: str) -> str:
    """A text without secrets, ids, addresses and numbers, cut.

    >>> masked("user 17 at 10.0.0.9: token=abcdef refused")
    'user <n> at <address>: token=<secret> refused'
    """
    text = without_secrets(text)
    for pattern, name in MASKS:
        text = pattern.sub(name, text)
    return " ".join(text.split())[:LONGEST_TEMPLATE]


def shape_of(path: str) -> str:
    """A path as its endpoint is called: without query, and without what names one thing among many.

    >>> shape_of("/users/17/keys/9f86d081-884c?full=1")
    '/users/{id}/keys/{id}'
    """
    parts = re.split(r"[?#;]", path[:LONGEST], maxsplit=1)[0].split("/")
    return "/".join("{id}" if ONE_OF_MANY.fullmatch(part) else part for part in parts)[:LONGEST_PATH]


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
        return _request("", "", access["path"], int(access["status"]), access["agent"] or "")
    if text.count("=") >= 2:
        fields = {name: value.strip('"') for name, value in LOGFMT.findall(text[:LONGEST])}
        if {"msg", "message", "level", "status"} & set(fields):
            return _from_fields(fields)
    level = LEVEL.search(text[:200])
    return _line(level[1].lower() if level else "", text)


def _line(level: str, message: str) -> Line:
    return Line(level, masked(message) if level in ERROR_LEVELS else "")


def _request(level: str, message: str, path: str, status: int, agent: str) -> Line:
    """A request that was answered; a probe's, or one that this process made itself, is none."""
    said = _line(level, message)
    is_asked = path.startswith("/") and not agent.startswith(PROBES)
    return Line(level, said.template, shape_of(path), status) if is_asked else said


def _json(text: str) -> dict[str, t.Any] | None:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _first(fields: t.Mapping[str, t.Any], *names: str) -> str:
    return next((str(fields[name]) for name in names if fields.get(name) not in (None, "")), "")


def _from_fields(fields: t.Mapping[str, t.Any]) -> Line:
    message = _first(fields, "msg", "message", "error", "event")
    level = _first(fields, "level", "severity", "lvl").lower()[:20]
    path = _first(fields, "path", "uri", "url", "request_path")
    status = _first(fields, "status", "status_code", "code")
    if (
        not path
        or not re.fullmatch("[1-5][0-9]{2}", status)
        or _first(fields, "direction", "span.kind", "kind").lower() in OUTGOING
    ):
        return _line(level, message)
    return _request(
        level, message, path, int(status), _first(fields, "user_agent", "userAgent", "http_user_agent", "ua", "agent")
    )
