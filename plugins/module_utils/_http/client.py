# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one HTTP client under the vendors' modules: retries in one place, and never a doubled write (private).

A read is tried again after a network error, 429, 420 and 5xx. A write is tried again only where the vendor certainly
did not do it (429, 420, never reached); after anything else it is looked up first. Nothing that a vendor answers raises
anything but HttpError, and everything together takes no longer than the client's budget.
"""

from __future__ import annotations

import dataclasses
import json
import random
import time
import typing as t
import urllib.parse

from ansible_collections.sre.runbooks.plugins.module_utils._http.errors import (
    ApiError,
    DownError,
    HttpError,
    NetworkError,
    OutcomeUnknownError,
    UnreachedError,
    UnusableAnswerError,
)
from ansible_collections.sre.runbooks.plugins.module_utils._http.shape import ShapeError
from ansible_collections.sre.runbooks.plugins.module_utils._http.transport import Method, Response, Transport, is_loopback
from ansible_collections.sre.runbooks.plugins.module_utils._no_log import scrubbed
from ansible_collections.sre.runbooks.plugins.module_utils._spec import Spec

Json = dict[str, t.Any]
Query = t.Sequence[tuple[str, str]]
Found = t.TypeVar("Found")

RATE_LIMITED = (420, 429)
LONGEST_WAIT_SECONDS = 30.0
# What was written is not always listed at once: so many looks, with growing pauses, before it counts as not there.
LOOKS = 4
# With less time than this no request is begun.
SHORTEST_EXCHANGE_SECONDS = 0.05


@dataclasses.dataclass(frozen=True)
class Settings:
    """Where a vendor is, what every request carries, and how patient we are (seconds; ``budget`` for all together)."""

    system: str
    url: str
    headers: t.Mapping[str, str] = dataclasses.field(repr=False)
    way_out: str
    tries: int = 4
    timeout: float = 10.0
    budget: float = 120.0
    first_wait: float = 0.5
    allow_plaintext: bool = False
    secrets: t.Sequence[str] = dataclasses.field(repr=False, default=())


@dataclasses.dataclass(frozen=True)
class Sent:
    """A write that was sent, or in check mode would have been."""

    method: str
    path: str
    body: Json


def header_value(name: str, value: str) -> str:
    """A secret as a header can carry it: without the newline at the end of the file that it came from.

    Raises HttpError, which does not repeat it.

    >>> header_value("api_key", "abc\\n")
    'abc'
    """
    stripped = value.strip()
    if not stripped or not stripped.isascii() or not stripped.isprintable():
        raise HttpError(f"{name} is empty, or has characters that no header can carry: give the key alone")
    return stripped


def refuse_plaintext(settings: Settings) -> None:
    """Raises HttpError where a secret would leave this machine unencrypted, or to nowhere."""
    try:
        parts = urllib.parse.urlsplit(settings.url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise HttpError(f"{settings.system}: api_url is no address: it looks like https://api.example.org")
    if parts.username or parts.password:
        raise HttpError(f"{settings.system}: api_url must not have a password in it: it would be shown")
    if parts.scheme == "http" and not is_loopback(settings.url) and not settings.allow_plaintext:
        raise HttpError(
            f"{settings.system}: {settings.url} would send the key unencrypted; give an https:// address "
            "(or allow_plaintext, where somebody else encrypts it on its way)"
        )


class Client:
    """Requests to one vendor. ``sent`` lists the writes in order; in check mode they are listed and not sent."""

    def __init__(
        self,
        settings: Settings,
        transport: Transport,
        *,
        check_mode: bool = False,
        sleep: t.Callable[[float], None] = time.sleep,
        jitter: t.Callable[[], float] = random.random,
        clock: t.Callable[[], float] = time.monotonic,
    ) -> None:
        refuse_plaintext(settings)
        self.settings = settings
        self.check_mode = check_mode
        self.sent: list[Sent] = []
        self._transport = transport
        self._sleep = sleep
        self._jitter = jitter
        self._clock = clock
        self._until = clock() + settings.budget

    def get(self, path: str, query: Query, read: t.Callable[[t.Any], Found]) -> Found:
        """What ``read`` makes of the JSON of a resource. Raises ApiError, DownError, UnusableAnswerError."""
        for attempt in range(self.settings.tries):
            try:
                response = self._once("GET", path, query, None)
            except NetworkError as error:
                if not self._again(attempt):
                    raise DownError(self._message("GET", path, f"no answer ({error})")) from error
                continue
            if (response.status in RATE_LIMITED or response.status >= 500) and self._again(attempt, response):
                continue
            return self._read("GET", path, response, read)
        raise HttpError(self._message("GET", path, "no try was allowed"))

    def write(self, method: Method, path: str, body: Json, read: t.Callable[[t.Any], Found]) -> Found | None:
        """One write, sent at most once, and what ``read`` makes of its answer (None in check mode).

        Raises ApiError where it was refused, OutcomeUnknownError where nobody can tell.
        """
        self.sent.append(Sent(method, path, body))
        if self.check_mode:
            return None
        for attempt in range(self.settings.tries):
            try:
                response = self._once(method, path, (), body)
            except UnreachedError as error:
                if not self._again(attempt):
                    raise DownError(self._message(method, path, f"not reached ({error})")) from error
                continue
            except NetworkError as error:
                raise OutcomeUnknownError(self._message(method, path, f"no answer ({error})"), down=True) from error
            if response.status in RATE_LIMITED and self._again(attempt, response):
                continue
            if response.status >= 500:
                raise OutcomeUnknownError(self._message(method, path, f"HTTP {response.status}"))
            try:
                return self._read(method, path, response, read)
            except UnusableAnswerError as error:
                raise OutcomeUnknownError(str(error)) from error
        raise HttpError(self._message(method, path, "no try was allowed"))

    def write_looking(
        self,
        method: Method,
        path: str,
        body: Json,
        look: t.Callable[[], Found | None],
        read: t.Callable[[t.Any], Found],
        looks: int = LOOKS,
    ) -> Found | None:
        """A write whose effect can be looked up: after an unknown outcome, look; write again only if it is not there."""
        for attempt in range(self.settings.tries):
            try:
                return self.write(method, path, body, read)
            except OutcomeUnknownError as unknown:
                if attempt == self.settings.tries - 1:
                    raise
                try:
                    found = self.seen(look, looks)
                except HttpError as error:
                    raise OutcomeUnknownError(f"{unknown} Looking for it failed: {error}", down=unknown.down) from error
                if found is not None:
                    return found
                self.sent.pop()
        raise HttpError(self._message(method, path, "no try was allowed"))

    def seen(self, look: t.Callable[[], Found | None], looks: int = LOOKS) -> Found | None:
        """What was perhaps written, once it is listed; None when it is not after some looks. Raises HttpError.

        Raises OutcomeUnknownError where the time ends before the last look: then nobody knows.
        """
        for attempt in range(looks):
            if not self._again(attempt, of=looks + 1):
                raise OutcomeUnknownError(f"{self.settings.system}: no time was left to look whether it was done")
            found = look()
            if found is not None:
                return found
        return None

    def _left(self) -> float:
        return self._until - self._clock()

    def _once(self, method: Method, path: str, query: Query, body: Json | None) -> Response:
        seconds = min(self.settings.timeout, self._left())
        if seconds < SHORTEST_EXCHANGE_SECONDS:
            raise UnreachedError(f"no time was left of {self.settings.budget:g} s")
        url = self.settings.url.rstrip("/") + path
        if query:
            url += "?" + urllib.parse.urlencode(query)
        headers = dict(self.settings.headers)
        data = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            data = json.dumps(body, sort_keys=True).encode()
        return self._transport(method, url, headers, data, seconds)

    def _again(self, attempt: int, response: Response | None = None, of: int | None = None) -> bool:
        """Waits before another try as long as the vendor asks for, within reason; False where none is left, or no time."""
        wanted = self.settings.first_wait * 2**attempt
        headers = response.headers if response else {}
        for name in ("retry-after", "ratelimit-reset", "x-ratelimit-reset"):
            given = headers.get(name, "")
            if given.isascii() and given.isdigit():
                wanted = max(wanted, float(given[:6]))
                break
        wanted = min(wanted, LONGEST_WAIT_SECONDS) * (1 + 0.2 * self._jitter())
        if attempt >= (of or self.settings.tries) - 1 or wanted + SHORTEST_EXCHANGE_SECONDS > self._left():
            return False
        self._sleep(wanted)
        return True

    def _read(self, method: str, path: str, response: Response, read: t.Callable[[t.Any], Found]) -> Found:
        text = response.body.decode("utf-8", "replace")
        if not 200 <= response.status < 300:
            # Before anything is cut: of half a key nobody would know that it is one.
            text = scrubbed(text, self.settings.secrets)
        if not 200 <= response.status < 300:
            message = self._message(method, path, f"HTTP {response.status}: {_reason(text)}")
            raise ApiError(message, status=response.status, body=text[:2000])
        try:
            data = json.loads(text)
            json.dumps(data, ensure_ascii=False).encode()  # half a character could not be sent, written or shown
            return read(data)
        except (ValueError, RecursionError) as error:
            why = f"HTTP {response.status} without JSON"
            raise UnusableAnswerError(self._message(method, path, why)) from error
        except ShapeError as error:
            why = f"HTTP {response.status}, and {error}"
            raise UnusableAnswerError(self._message(method, path, why)) from error

    def _message(self, method: str, path: str, what: str) -> str:
        return f"{self.settings.system}: {method} {self.settings.url.rstrip('/')}{path}: {what}. {self.settings.way_out}"


def _reason(text: str) -> str:
    """The vendor's own words, whichever of the known forms they come in, cut to a line."""
    try:
        return " ".join(_words(json.loads(text))[:1000].split())[:300]
    except (ValueError, RecursionError):
        return " ".join(text[:1000].split())[:200]


def _words(body: t.Any) -> str:
    error = body.get("error", body.get("errors", body.get("message", body))) if isinstance(body, dict) else body
    if isinstance(error, list):
        return "; ".join(str(part) for part in error)
    if not isinstance(error, dict):
        return str(error)
    details = error.get("errors") or []
    details = list(details.values()) if isinstance(details, dict) else details
    details = details if isinstance(details, list) else [details]
    return "; ".join(str(part) for part in [error.get("message", ""), *details] if part)


def http_argument_spec(default_url: str) -> Spec:
    """The options that the vendors' modules share."""
    return {
        "api_url": {"type": "str", "default": default_url},
        "api_key": {"type": "str", "required": True, "no_log": True},
        "timeout": {"type": "float", "default": 10.0},
        "budget": {"type": "float", "default": 120.0},
        "tries": {"type": "int", "default": 4},
        "validate_certs": {"type": "bool", "default": True},
        "allow_plaintext": {"type": "bool", "default": False},
    }


def patience(params: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """The settings that follow from those options as they are."""
    return {name: params[name] for name in ("tries", "timeout", "budget", "allow_plaintext")}
