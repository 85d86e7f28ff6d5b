# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measuring URLs as a user would: status, body, latency percentiles, N good rounds in a row (private)."""

from __future__ import annotations

import collections
import concurrent.futures
import dataclasses
import http.client
import math
import re
import socket
import ssl
import time
import typing as t
import urllib.parse

from ansible_collections.sre.runbooks.plugins.module_utils._probe.facts import Probed, Rounds
from ansible_collections.sre.runbooks.plugins.module_utils._spec import Spec
from ansible_collections.sre.runbooks.plugins.module_utils._within import LateError, within

BODY_LIMIT = 1_000_000
SEARCHED = 16_384
PIECE = 16_384
METHODS = ("GET", "HEAD", "POST", "PUT")


# A failure that comes about before anything is sent: it tells of the machine that asks, not of the one that is asked.
UNRESOLVED = "name does not resolve"


@dataclasses.dataclass(frozen=True)
class Wanted:
    """What a good answer is, and how often it is asked for."""

    requests: int = 10
    concurrency: int = 5
    timeout: float = 2.0
    statuses: tuple[int, ...] = (200,)
    body_pattern: re.Pattern[str] | None = None
    validate_certs: bool = True
    ca_path: str | None = None
    p95_ms_max: float | None = None
    consecutive: int = 1
    within: float = 0.0
    interval: float = 1.0


@dataclasses.dataclass(frozen=True)
class Sample:
    """One request: how long it took, and why it was not good (None when it was)."""

    milliseconds: float
    failure: str | None


Fetch = t.Callable[[str, Wanted], Sample]


def method_and_url(entry: str) -> tuple[str, str]:
    """What is asked for: an address alone is read; a write says so in front.

    >>> method_and_url("https://api.example.org/health"), method_and_url("POST https://api.example.org/canary")
    (('GET', 'https://api.example.org/health'), ('POST', 'https://api.example.org/canary'))
    """
    first, rest = entry.partition(" ")[::2]
    return (first, rest.strip()) if first in METHODS else ("GET", entry)


def fetch(entry: str, wanted: Wanted) -> Sample:
    """One request on a connection of its own, over in time whatever comes. Redirects are not followed: a status is either
    wanted or not."""
    started = time.monotonic()
    failure: str | None
    try:
        failure = within(wanted.timeout, lambda: _failure(entry, wanted))
    except (TimeoutError, LateError) as error:
        failure = f"{why_not(error)} after {wanted.timeout:g} s"
    except (OSError, http.client.HTTPException) as error:
        failure = why_not(error)
    return Sample((time.monotonic() - started) * 1000, failure)


def why_not(error: OSError | LateError | http.client.HTTPException) -> str:
    """Why no answer came, in a few words.

    >>> why_not(ConnectionRefusedError()), why_not(TimeoutError())
    ('connection refused', 'timed out')
    """
    if isinstance(error, (TimeoutError, LateError)):
        return "timed out"
    if isinstance(error, socket.gaierror):
        return UNRESOLVED
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate: {error.verify_message}"
    return type(error).__name__ if isinstance(error, http.client.HTTPException) else str(error.strerror or error)


def _failure(entry: str, wanted: Wanted) -> str | None:
    method, url = method_and_url(entry)
    link = connection(url, wanted)
    try:
        link.request(method, target(url), headers={"User-Agent": "sre.runbooks", "Accept": "*/*"})
        answer = link.getresponse()
        return _judge(answer.status, read_at_most(answer, BODY_LIMIT), wanted)
    finally:
        link.close()


def read_at_most(answer: http.client.HTTPResponse, limit: int) -> bytes:
    """A body's beginning. In pieces: a chunk that says it has a negative length would be read to its end, whatever was asked."""
    found = bytearray()
    while len(found) < limit and (piece := answer.read1(min(PIECE, limit - len(found)))):
        found += piece
    return bytes(found[:limit])


def trusting(ca_path: str | None) -> ssl.SSLContext:
    """What a client verifies with. Python 3.13 also asks for what hardly any other client does (VERIFY_X509_STRICT)."""
    context = ssl.create_default_context(cafile=ca_path)
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


def connection(url: str, wanted: Wanted) -> http.client.HTTPConnection:
    """A connection of its own to a URL's server, which nothing else uses."""
    parts = urllib.parse.urlsplit(url)
    if parts.scheme == "https":
        context = trusting(wanted.ca_path)
        if not wanted.validate_certs:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return http.client.HTTPSConnection(parts.netloc, timeout=wanted.timeout, context=context)
    return http.client.HTTPConnection(parts.netloc, timeout=wanted.timeout)


def target(url: str) -> str:
    """What a request to a URL asks for: its path and query."""
    parts = urllib.parse.urlsplit(url)
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def _judge(status: int, body: bytes, wanted: Wanted) -> str | None:
    if status not in wanted.statuses:
        return f"HTTP {status}"
    return None if matches(wanted.body_pattern, body) else "body does not match"


def matches(pattern: re.Pattern[str] | None, body: bytes) -> bool:
    """Whether a body contains what is asked for, if anything is. Only its beginning is searched: nothing can stop a search, and
    on a body that somebody made for it the time grows with the square of its length."""
    return pattern is None or bool(pattern.search(body[:SEARCHED].decode("utf-8", "replace")))


def percentile(values: t.Sequence[float], share: float) -> float | None:
    """The nearest-rank percentile, None of nothing.

    >>> percentile([1, 2, 3, 4], 0.5), percentile([], 0.95)
    (2, None)
    """
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * share) - 1)] if ordered else None


def summary(url: str, samples: t.Sequence[Sample], p95_ms_max: float | None) -> Probed:
    """The samples of one URL in numbers. The percentiles count failed requests too: a time-out was waited for."""
    times = [sample.milliseconds for sample in samples]
    reasons = collections.Counter(sample.failure for sample in samples if sample.failure)
    p95 = percentile(times, 0.95)
    slow = p95_ms_max is not None and p95 is not None and p95 > p95_ms_max
    return {
        "url": url,
        "method": method_and_url(url)[0],
        "requests": len(samples),
        "failures": sum(reasons.values()),
        "reasons": dict(sorted(reasons.items())),
        "p50_ms": _rounded(percentile(times, 0.50)),
        "p95_ms": _rounded(p95),
        "max_ms": _rounded(max(times, default=None)),
        "good": bool(samples) and not reasons and not slow,
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


def probe(
    urls: t.Sequence[str],
    wanted: Wanted,
    *,
    fetch_one: Fetch = fetch,
    clock: t.Callable[[], float] = time.monotonic,
    sleep: t.Callable[[float], None] = time.sleep,
) -> Rounds:
    """Rounds over all URLs side by side until enough good ones came in a row, or the time is over.

    Returns the last round's ``probes``, ``in_a_row``, ``rounds``, ``settled`` (False without a URL) and ``seconds``.
    """
    started = clock()
    rounds = in_a_row = 0
    probes: list[Probed] = []
    with concurrent.futures.ThreadPoolExecutor(max_workers=max(1, wanted.concurrency * len(urls))) as pool:
        while urls:
            rounds += 1
            probes = _round(urls, wanted, fetch_one, pool)
            in_a_row = in_a_row + 1 if all(one["good"] for one in probes) else 0
            if in_a_row >= wanted.consecutive or clock() - started + wanted.interval > wanted.within:
                break
            sleep(wanted.interval)
    settled = bool(urls) and in_a_row >= wanted.consecutive
    return {
        "probes": probes,
        "rounds": rounds,
        "in_a_row": in_a_row,
        "settled": settled,
        "seconds": round(clock() - started, 2),
    }


def _round(urls: t.Sequence[str], wanted: Wanted, fetch_one: Fetch, pool: concurrent.futures.Executor) -> list[Probed]:
    futures = {url: [pool.submit(fetch_one, url, wanted) for dummy in range(wanted.requests)] for url in urls}
    return [summary(url, [one.result() for one in asked], wanted.p95_ms_max) for url, asked in futures.items()]


def problem_with(entry: str) -> str | None:
    """Why a text is not a URL that can be probed, None when it is."""
    try:
        parts = urllib.parse.urlsplit(method_and_url(entry)[1])
        port = parts.port
    except ValueError as error:
        return str(error)
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        return "an http:// or https:// address with a host is needed"
    if parts.username or parts.password:
        return "a password in a URL would show in the record"
    return None


def argument_spec() -> Spec:
    """The options of http_probe_info."""
    return {
        "urls": {"type": "list", "elements": "str", "required": True},
        "requests": {"type": "int", "default": 10},
        "concurrency": {"type": "int", "default": 5},
        "timeout": {"type": "float", "default": 2.0},
        "statuses": {"type": "list", "elements": "int", "default": [200]},
        "body_pattern": {"type": "str"},
        "p95_ms_max": {"type": "float"},
        "consecutive": {"type": "int", "default": 1},
        "within": {"type": "float", "default": 0.0},
        "interval": {"type": "float", "default": 1.0},
        "validate_certs": {"type": "bool", "default": True},
        "ca_path": {"type": "path"},
    }


def is_read(entry: str) -> bool:
    """Whether a request only reads, as far as HTTP goes."""
    return method_and_url(entry)[0] in ("GET", "HEAD")


def pattern_of(text: str | None) -> re.Pattern[str] | None:
    """What a module's option body_pattern asks for. Raises ValueError for what is no regular expression."""
    try:
        return re.compile(text) if text else None
    except re.error as error:
        raise ValueError(f"body_pattern is not a regular expression: {error}") from error


def probe_from(params: t.Mapping[str, t.Any], *, check_mode: bool = False) -> Rounds:
    """``probe`` with the options as a module has them; in check mode nothing is written, so that is not measured.

    Raises ValueError for a URL or a pattern that is none.
    """
    for url in params["urls"]:
        problem = problem_with(url)
        if problem:
            raise ValueError(f"{url!r} cannot be probed: {problem}")
    pattern = pattern_of(params["body_pattern"])
    same = ("requests", "concurrency", "timeout", "validate_certs", "ca_path", "p95_ms_max", "consecutive", "within", "interval")
    fields = {name: params[name] for name in same}
    wanted = Wanted(statuses=tuple(params["statuses"]), body_pattern=pattern, **fields)
    asked = [url for url in params["urls"] if is_read(url) or not check_mode]
    found = probe(asked, wanted)
    found["probes"] += [summary(url, (), None) for url in params["urls"] if url not in asked]
    return found
