# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one HTTP client under the vendors' modules: retries in one place, and never a doubled write (private).

A read is tried again after a network error, 429, 420 and 5xx. A write is tried again only where the vendor certainly
did not do it (429, 420, connection refused); after anything else it is looked up first.
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
    HttpError,
    NetworkError,
    OutcomeUnknownError,
)
from ansible_collections.sre.runbooks.plugins.module_utils._http.transport import Method, Response, Transport

Json = dict[str, t.Any]
Query = t.Sequence[tuple[str, str]]
Found = t.TypeVar("Found")

RATE_LIMITED = (420, 429)
LONGEST_WAIT_SECONDS = 30.0


@dataclasses.dataclass(frozen=True)
class Settings:
    """Where a vendor is, what every request carries, and how patient we are."""

    system: str
    url: str
    headers: t.Mapping[str, str] = dataclasses.field(repr=False)
    way_out: str
    tries: int = 4
    first_wait: float = 0.5


@dataclasses.dataclass(frozen=True)
class Sent:
    """A write that was sent, or in check mode would have been."""

    method: str
    path: str
    body: Json


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
    ) -> None:
        self.settings = settings
        self.check_mode = check_mode
        self.sent: list[Sent] = []
        self._transport = transport
        self._sleep = sleep
        self._jitter = jitter

    def get(self, path: str, query: Query = ()) -> t.Any:
        """The JSON of a resource. Raises ApiError, HttpError."""
        for attempt in range(self.settings.tries):
            last = attempt == self.settings.tries - 1
            try:
                response = self._once("GET", path, query, None)
            except NetworkError as error:
                if last:
                    raise HttpError(self._message("GET", path, f"no answer ({error})")) from error
                self._wait(attempt, None)
                continue
            if not last and (response.status in RATE_LIMITED or response.status >= 500):
                self._wait(attempt, response)
                continue
            return self._json("GET", path, response)
        raise HttpError(self._message("GET", path, "no try was allowed"))

    def write(self, method: Method, path: str, body: Json) -> Json:
        """One write, sent at most once. Raises ApiError where it was refused, OutcomeUnknownError where nobody can tell."""
        self.sent.append(Sent(method, path, body))
        if self.check_mode:
            return {}
        for attempt in range(self.settings.tries):
            last = attempt == self.settings.tries - 1
            try:
                response = self._once(method, path, (), body)
            except NetworkError as error:
                if error.sent:
                    raise OutcomeUnknownError(self._message(method, path, f"no answer ({error})")) from error
                if last:
                    raise HttpError(self._message(method, path, f"not reached ({error})")) from error
                self._wait(attempt, None)
                continue
            if response.status in RATE_LIMITED and not last:
                self._wait(attempt, response)
                continue
            if response.status >= 500:
                raise OutcomeUnknownError(self._message(method, path, f"HTTP {response.status}"))
            return t.cast("Json", self._json(method, path, response))
        raise HttpError(self._message(method, path, "no try was allowed"))

    def write_looking(
        self, method: Method, path: str, body: Json, look: t.Callable[[], Found | None], made: t.Callable[[Json], Found]
    ) -> Found:
        """A write whose effect can be looked up: after an unknown outcome, look; write again only if it is not there."""
        for attempt in range(self.settings.tries):
            try:
                return made(self.write(method, path, body))
            except OutcomeUnknownError:
                if attempt == self.settings.tries - 1:
                    raise
                self._wait(attempt, None)
                found = look()
                if found is not None:
                    return found
                self.sent.pop()
        raise HttpError(self._message(method, path, "no try was allowed"))

    def _once(self, method: Method, path: str, query: Query, body: Json | None) -> Response:
        url = self.settings.url.rstrip("/") + path
        if query:
            url += "?" + urllib.parse.urlencode(query)
        headers = dict(self.settings.headers)
        data = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            data = json.dumps(body, sort_keys=True).encode()
        return self._transport(method, url, headers, data)

    def _wait(self, attempt: int, response: Response | None) -> None:
        wanted = self.settings.first_wait * 2**attempt
        headers = response.headers if response else {}
        for name in ("retry-after", "ratelimit-reset"):
            if headers.get(name, "").isdigit():
                wanted = max(wanted, float(headers[name]))
                break
        self._sleep(min(wanted, LONGEST_WAIT_SECONDS) * (1 + 0.2 * self._jitter()))

    def _json(self, method: str, path: str, response: Response) -> t.Any:
        text = response.body.decode("utf-8", "replace")
        if not 200 <= response.status < 300:
            message = self._message(method, path, f"HTTP {response.status}: {_reason(text)}")
            raise ApiError(message, status=response.status, body=text[:2000])
        try:
            return json.loads(text) if text else {}
        except ValueError as error:
            raise HttpError(self._message(method, path, f"HTTP {response.status} without JSON")) from error

    def _message(self, method: str, path: str, what: str) -> str:
        return f"{self.settings.system}: {method} {self.settings.url.rstrip('/')}{path}: {what}. {self.settings.way_out}"


def _reason(text: str) -> str:
    """The vendor's own words, whichever of the known forms they come in, cut to a line."""
    try:
        body = json.loads(text)
    except ValueError:
        return " ".join(text.split())[:200]
    error = body.get("error", body.get("errors", body.get("message", body))) if isinstance(body, dict) else body
    if isinstance(error, dict):
        details = error.get("errors") or []
        details = details.values() if isinstance(details, dict) else details
        error = "; ".join(str(part) for part in [error.get("message", ""), *details] if part)
    elif isinstance(error, list):
        error = "; ".join(str(part) for part in error)
    return " ".join(str(error).split())[:300]


def http_argument_spec(default_url: str) -> dict[str, dict[str, t.Any]]:
    """The options that the vendors' modules share."""
    return {
        "api_url": {"type": "str", "default": default_url},
        "api_key": {"type": "str", "required": True, "no_log": True},
        "timeout": {"type": "float", "default": 10.0},
        "tries": {"type": "int", "default": 4},
        "validate_certs": {"type": "bool", "default": True},
    }
