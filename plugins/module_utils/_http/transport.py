# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a request travels: an opener of its own behind a small interface, with a deadline and a size (private)."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import ipaddress
import socket
import ssl
import threading
import time
import typing as t
import urllib.error
import urllib.parse
import urllib.request
import zlib

from ansible_collections.sre.runbooks.plugins.module_utils._http.errors import NetworkError, UnreachedError
from ansible_collections.sre.runbooks.plugins.module_utils._http.opener import opened
from ansible_collections.sre.runbooks.plugins.module_utils._within import LateError, within

Method = t.Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
# More than any answer that the runbooks ask for; what is larger is not read, packed or not.
LARGEST_ANSWER = 4 * 1024 * 1024
PIECE = 65536
BODILESS = (204, 304)
# What comes about before a request can have been sent.
BEFORE_SENDING = (ConnectionRefusedError, socket.gaierror, ssl.SSLCertVerificationError)
NO_WAY_THERE = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL, errno.ENETDOWN)


@dataclasses.dataclass(frozen=True)
class Response:
    """An answer, whatever its status. Header names are lower-case."""

    status: int
    body: bytes
    headers: t.Mapping[str, str]


class Transport(t.Protocol):
    """Sends one request and has its whole answer within so many seconds. Raises NetworkError when there is none."""

    def __call__(
        self, method: Method, url: str, headers: t.Mapping[str, str], data: bytes | None, seconds: float
    ) -> Response: ...


@dataclasses.dataclass(frozen=True)
class UrlTransport:
    """The real network. Redirects are not followed: a token must not travel to another host."""

    validate_certs: bool = True

    def __call__(self, method: Method, url: str, headers: t.Mapping[str, str], data: bytes | None, seconds: float) -> Response:
        given_up = threading.Event()
        until = time.monotonic() + seconds
        try:
            # A name that is looked up for long is given up before anything is sent, and not found a moment later.
            within(seconds, lambda: _look_up(url))
        except LateError as error:
            raise UnreachedError(f"its name was not looked up within {seconds:.3g} s") from error
        try:
            # Each read of a socket begins its time limit anew: a byte a second would go on for ever.
            left = max(0.01, until - time.monotonic())
            return within(left, lambda: self._exchange(method, url, headers, data, left, given_up))
        except LateError as error:
            given_up.set()
            raise NetworkError(f"not within {seconds:.3g} s") from error

    def _exchange(
        self, method: Method, url: str, headers: t.Mapping[str, str], data: bytes | None, seconds: float,
        given_up: threading.Event,
    ) -> Response:  # fmt: skip
        if given_up.is_set():
            raise UnreachedError("it was given up")
        try:
            answer = self._opened(method, url, headers, data, seconds, given_up)
            return _response(answer.getcode(), answer, answer.headers)
        except NetworkError:
            raise
        except Exception as error:  # whatever urllib, http.client, ssl and socket raise
            reason = getattr(error, "reason", error)
            raise (UnreachedError if _never_left(reason) else NetworkError)(str(reason)) from error

    def _opened(
        self, method: Method, url: str, headers: t.Mapping[str, str], data: bytes | None, seconds: float,
        given_up: threading.Event,
    ) -> t.Any:  # fmt: skip
        sent = {**headers, "Accept-Encoding": "identity"}
        request = urllib.request.Request(url, data, sent, method=method)  # noqa: S310  the opener knows no other schemes
        try:
            return opened(request, seconds, given_up, use_proxy=not is_loopback(url), validate_certs=self.validate_certs)
        except urllib.error.HTTPError as error:  # an answer like any other
            return error


def _look_up(url: str) -> None:
    parts = urllib.parse.urlsplit(url)
    if parts.scheme in urllib.request.getproxies() and not urllib.request.proxy_bypass(parts.hostname or ""):
        return  # its proxy looks it up
    with contextlib.suppress(OSError):  # it fails again when it is connected to, and is told then
        socket.getaddrinfo(parts.hostname, parts.port or parts.scheme)


def _never_left(reason: object) -> bool:
    """Whether an exchange ended before anything of it can have been sent."""
    if isinstance(reason, BEFORE_SENDING):
        return True
    if not isinstance(reason, OSError):
        return False
    return reason.errno in NO_WAY_THERE or str(reason).startswith("Tunnel connection failed")


def is_loopback(url: str) -> bool:
    """Whether a request stays on this machine.

    >>> is_loopback("http://127.0.0.1:8080/x"), is_loopback("http://[::1]/"), is_loopback("http://localhost.example.org")
    (True, True, False)
    """
    host = urllib.parse.urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class _Readable(t.Protocol):
    def read1(self, amount: int) -> bytes: ...


def _response(status: int, answer: _Readable, headers: t.Any) -> Response:
    named = {str(name).lower(): str(value) for name, value in headers.items()}
    body = _read(answer)
    promised = named.get("content-length", "")
    if promised.isascii() and promised.isdigit() and len(body) < int(promised[:12]) and status not in BODILESS:
        raise NetworkError("the answer was cut short")
    if named.get("content-encoding", "").lower() in ("gzip", "x-gzip", "deflate"):
        body = _unpacked(body)
    return Response(status, body, named)


def _read(answer: _Readable) -> bytes:
    pieces, size = [], 0
    while piece := answer.read1(PIECE):
        pieces.append(piece)
        size += len(piece)
        _refuse_more(size)
    return b"".join(pieces)


def _unpacked(body: bytes) -> bytes:
    """What was asked for unpacked and came packed all the same, as far as it is not too large."""
    unpacker = zlib.decompressobj(zlib.MAX_WBITS | 32)
    content = unpacker.decompress(body, LARGEST_ANSWER + 1)
    _refuse_more(len(content))
    return content


def _refuse_more(size: int) -> None:
    if size > LARGEST_ANSWER:
        raise NetworkError(f"the answer is larger than {LARGEST_ANSWER // 1024 // 1024} MiB")
