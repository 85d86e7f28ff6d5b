# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One line of a log, whatever its format (private to the collection; pure).

Formats: JSON objects, logfmt, the combined access log of httpd and nginx; anything else is text. A line is data: it is cut, never
evaluated, and its ids, numbers and secrets are masked before anybody sees it.
Sources: https://httpd.apache.org/docs/2.4/logs.html#combined, https://brandur.org/logfmt
"""

from __future__ import annotations

import functools
import ipaddress
import json
import re
import typing as t

LONGEST = 2000
LONGEST_TEMPLATE = 200
LONGEST_MASKED = 600
LONGEST_PATH = 120
# What is quoted ends at a quote that is not escaped, or nowhere: whoever sends a request writes into it.
ACCESS = re.compile(
    r'^(?P<address>\S+) \S+ \S+ \[[^\]]*\] "(?P<method>[A-Z]+) (?P<path>(?:[^\s"\\]|\\.)+)(?:[^"\\]|\\.)*+" (?P<status>\d{3}) \S+'
    r'(?: "(?:[^"\\]|\\.)*+" "(?P<agent>(?:[^"\\]|\\.)*+)")?'
)
LOGFMT = re.compile(r'([A-Za-z_][\w.]{0,60})=("(?:[^"\\]|\\.)*+(?:"|$)|[^\s"]*)')
LEVEL = re.compile(r"\b(FATAL|CRITICAL|ERROR|WARN(?:ING)?|INFO|DEBUG)\b", re.IGNORECASE)
ERROR_LEVELS = {"error", "fatal", "critical", "err", "panic", "severe"}
# Nobody who asks for the sake of the answer: the kubelet and load balancers.
PROBES = ("kube-probe/", "ELB-HealthChecker/", "GoogleHC/", "Go-http-client/probe", "Blackbox Exporter/", "Prometheus/")
# What a gRPC server answers by its own fault, in HTTP's 200: https://grpc.github.io/grpc/core/md_doc_statuscodes.html
GRPC_ERRORS = {
    "2",
    "4",
    "12",
    "13",
    "14",
    "15",
    "unknown",
    "deadlineexceeded",
    "unimplemented",
    "internal",
    "unavailable",
    "dataloss",
}
GRPC_FIELDS = ("grpc_status", "grpc.status", "grpc.code", "grpc_code")
DIRECTION_FIELDS = ("direction", "span.kind", "kind")
TENANT_FIELDS = ("tenant", "tenant_id", "tenantId", "org_id", "account_id", "customer_id")
# What a balancer tells of the client, before who the balancer is.
ADDRESS_FIELDS = ("x_forwarded_for", "client_ip", "clientIp", "remote_addr", "remote_ip", "client_addr")
# What may be told of whose a request was: no long number, no token, no mail.
PERSONAL = re.compile(r"\d{10,}|[0-9a-f]{16,}|[A-Za-z0-9_-]{33,}", re.IGNORECASE)
NAME = re.compile(r"[A-Za-z0-9_][\w.:-]{0,39}", re.ASCII)
# What is written where nobody knows.
NOBODY = frozenset(
    ("unknown", "none", "null", "nil", "undefined", "anonymous", "anon", "default", "0", "n", "na", "unauthenticated")
)
OWN_NETWORKS = tuple(
    ipaddress.ip_network(one)
    for one in (
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "::1",
        "fc00::/7",
    )
)
PORT = re.compile(r"(?<=\d):\d{1,5}\Z|(?<=\]):\d{1,5}\Z")
AGENT_FIELDS = ("user_agent", "userAgent", "http_user_agent", "ua", "agent")
SPECIAL = frozenset((*GRPC_FIELDS, *DIRECTION_FIELDS, *AGENT_FIELDS))
STATUS = re.compile("[1-5][0-9]{2}")
OUTGOING = {"client", "outbound", "outgoing", "egress", "upstream"}
_KEY = (
    r"\w{0,40}(?:passw(?:or)?d|passphrase|pass(?![a-z])|pwd|secret|tokens?|api[_-]?key|account[_-]?key|access[_-]?key|private[_-]?key"
    r"|credentials?|(?:app|encryption|signing|master)[_-]?key|session[_-]?id|(?<![a-z])sig(?:nature)?(?![a-z]))\w{0,40}"
)
SECRET = re.compile(
    rf"""(?ix) -----BEGIN\ [A-Z\ ]{{0,30}}PRIVATE\ KEY-----.*
    | \b(?:bearer|basic)\s+[\w.~+/=-]{{6,}} | \beyJ[\w-]{{8,}}\.[\w-]+\.[\w-]*
    | \b(?:AKIA|ASIA)[A-Z0-9]{{12,}} | \b(?:gh[pousr]_|github_pat_|xox[abeprs]-|glpat-|sk-|[srp]k_live_|whsec_|AIza)[\w-]{{8,}}
    | (?<=hooks\.slack\.com/)\S+
    | (?<=://)[^\s/@:]{{0,64}}:\S{{1,256}}(?=@)
    | (?P<header>\b(?:(?:set-)?cookie|(?:proxy-)?authorization)\b["'\\]{{0,4}}\s*(?:=>|[:=])\s*).*
    | (?P<element><{_KEY}>)[^<]*
    | (?P<key>(?<!\w){_KEY}["'\\]{{0,4}}\s*(?:=>|[:=])\s*\[?\s*b?|--?{_KEY}\s+|\bpassword\s+(?:is\s+)?(?=\S*\d))
      (?:\\?"(?:[^"\\]|\\.)*+"? | '(?:[^'\\]|\\.)*+'? | (?:(?:bearer|basic)\s+)?[^\s"',;&]+) """
)
MASKS = (
    (re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", re.IGNORECASE), "<id>"),
    (re.compile(r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?(?!\w)"), "<time>"),
    (re.compile(r"\b[\w.+-]{1,64}@[\w-]{1,64}\.[\w.-]{1,64}\b"), "<mail>"),
    (re.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}\b"), "<address>"),
    (re.compile(r"\b(?=[0-9a-f]{0,64}\d)(?:0x)?[0-9a-f]{8,}\b", re.IGNORECASE), "<hex>"),
    (re.compile(r"(?<![\w<])\d+(?:\.\d+)?(?:ns|us|ms|s|m|h|[kKMG]i?B|B)?(?![\w>])"), "<n>"),
)
LONGEST_PART = 32


class Line(t.NamedTuple):
    """What a line says: its level in lower case, the request that it answered (``path`` without its query and its ids,
    ``status``, for which ``tenant``, from which ``address``; empty where it does not say), and, of an error, its message with
    everything that changes masked."""

    level: str
    template: str
    path: str | None = None
    status: int | None = None
    tenant: str = ""
    address: str = ""

    @property
    def is_error(self) -> bool:
        return self.level in ERROR_LEVELS


def without_secrets(text: str) -> str:
    """A text without what looks like a secret, cut.

    >>> without_secrets("pull of registry.example.org/api failed, token=abcdef refused")
    'pull of registry.example.org/api failed, token=<secret> refused'
    """
    return SECRET.sub(lambda found: f"{found['key'] or found['header'] or found['element'] or ''}<secret>", text[:LONGEST])


def masked(text: str) -> str:
    """A text without secrets, ids, addresses and numbers, cut.

    >>> masked("user 17 at 10.0.0.9: token=abcdef refused")
    'user <n> at <address>: token=<secret> refused'
    """
    text = without_secrets(text[:LONGEST_MASKED])
    for pattern, name in MASKS:
        text = pattern.sub(name, text)
    return " ".join(text.split())[:LONGEST_TEMPLATE]


@functools.lru_cache(maxsize=4096)
def shape_of(path: str) -> str:
    """A path as its endpoint is called: without query, and without what names one thing among many.

    >>> shape_of("/users/17/keys/9f86d081-884c?full=1")
    '/users/{id}/keys/{id}'
    """
    parts = re.split(r"[?#;]", path[:LONGEST], maxsplit=1)[0].split("/")
    return "/".join("{id}" if _is_one_of_many(part) else part for part in parts)[:LONGEST_PATH]


def _is_one_of_many(part: str) -> bool:
    """Whether a part of a path names one thing among many: a number, an id, an address, a token."""
    digits = sum(letter.isdigit() for letter in part[: LONGEST_PART + 1])
    is_hex = len(part) >= 8 and all(letter in "0123456789abcdefABCDEF-" for letter in part[: LONGEST_PART + 1])
    is_mixed = len(part) >= 8 and digits > 1 and part != part.lower() and part != part.upper()
    is_long = len(part) > LONGEST_PART or (len(part) >= 16 and digits > 0)
    return part.isdigit() or bool(digits and (is_hex or is_mixed)) or is_long or any(mark in part for mark in "@%=")


def read_line(raw: bytes) -> Line | None:
    """A line; None for an empty one."""
    text = raw[: 4 * LONGEST].decode("utf-8", "replace").strip()
    if not text:
        return None
    if text[0] == "{":
        fields = _json(text)
        return _line(_level_of(text), text) if fields is None else _from_fields(fields)
    access = ACCESS.match(text)
    if access:
        return _request(Line("", ""), access["path"], int(access["status"]), access["agent"] or "", ("", access["address"]))
    if text.count("=") >= 2:
        fields = _logfmt(text[:LONGEST])
        if {"msg", "message", "level", "status"} & set(fields):
            return _from_fields(fields)
    return _line(_level_of(text), text)


def _logfmt(text: str) -> dict[str, str]:
    """The fields of a line that is nothing but fields, so that nobody's words in it become some; the first of a name counts."""
    if LOGFMT.sub("", text).strip():
        return {}
    return {name: value.strip('"') for name, value in reversed(LOGFMT.findall(text))}


def _level_of(text: str) -> str:
    level = LEVEL.search(text[:200])
    return level[1].lower() if level else ""


def _line(level: str, message: str) -> Line:
    return Line(level, masked(message) if level in ERROR_LEVELS else "")


def _request(said: Line, path: str, status: int, agent: str, whose: tuple[str, str]) -> Line:
    """A request that was answered, and ``whose`` it was (tenant, address); a probe's, or one that this process made itself, is
    none."""
    if not path.startswith("/") or agent.startswith(PROBES):
        return said
    tenant, address = whose
    return Line(said.level, said.template, shape_of(path), status, _name(tenant), _address(address))


@functools.lru_cache(maxsize=4096)
def _name(text: str) -> str:
    """A tenant's name or an address; nothing for what is none, or looks like a secret."""
    is_name = NAME.fullmatch(text) and text.lower() not in NOBODY and not PERSONAL.search(text)
    return text if is_name and without_secrets(text) == text else ""


@functools.lru_cache(maxsize=4096)
def _address(text: str) -> str:
    """An address without its port. Of several the last one that is not of a network of one's own: who stands before it may have
    been made up by the client."""
    every = [_bare(one.strip()) for one in text[:LONGEST].split(",")]
    told = [one for one in every if NAME.fullmatch(one)]
    return next((one for one in reversed(told) if not is_own_network(one)), told[-1] if told else "")


def _bare(text: str) -> str:
    return (PORT.sub("", text) if text.count(":") == 1 or text.startswith("[") else text).strip("[]")


def is_own_network(address: str) -> bool:
    """Whether an address is of a network of one's own (RFC 1918, 4193, 6598, loopback), or none at all.

    >>> is_own_network("10.244.0.3"), is_own_network("203.0.113.5")
    (True, False)
    """
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return True
    return any(found in network for network in OWN_NETWORKS if network.version == found.version)


def _json(text: str) -> dict[str, t.Any] | None:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _first(fields: t.Mapping[str, t.Any], *names: str) -> str:
    for name in names:
        value = fields.get(name)
        if value is not None and value != "":
            return str(value)
    return ""


def _from_fields(fields: t.Mapping[str, t.Any]) -> Line:
    level = _first(fields, "level", "severity", "lvl").lower()[:20]
    message = _first(fields, "msg", "message", "error", "event") if level in ERROR_LEVELS else ""
    path = _first(fields, "path", "uri", "url", "request_path")
    status = _first(fields, "status", "status_code", "code")
    is_special = not SPECIAL.isdisjoint(fields)  # most lines have none of them, and there are millions
    if is_special and path and _first(fields, *GRPC_FIELDS).lower() in GRPC_ERRORS:
        status = "500"
    made = is_special and _first(fields, *DIRECTION_FIELDS).lower() in OUTGOING
    if made or not path or not STATUS.fullmatch(status):
        return _line(level, message)
    whose = (_first(fields, *TENANT_FIELDS), _first(fields, *ADDRESS_FIELDS))
    return _request(_line(level, message), path, int(status), _first(fields, *AGENT_FIELDS) if is_special else "", whose)
