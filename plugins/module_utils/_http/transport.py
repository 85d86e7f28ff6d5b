# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a request travels: Ansible's own URL opener behind a small interface (private to the collection)."""

from __future__ import annotations

import dataclasses
import typing as t
import urllib.error

from ansible.module_utils.urls import open_url
from ansible_collections.sre.runbooks.plugins.module_utils._http.errors import NetworkError

Method = t.Literal["GET", "POST", "PUT", "PATCH", "DELETE"]


@dataclasses.dataclass(frozen=True)
class Response:
    """An answer, whatever its status. Header names are lower-case."""

    status: int
    body: bytes
    headers: t.Mapping[str, str]


class Transport(t.Protocol):
    """Sends one request. Raises NetworkError when there is no answer."""

    def __call__(self, method: Method, url: str, headers: t.Mapping[str, str], data: bytes | None) -> Response: ...


@dataclasses.dataclass(frozen=True)
class UrlTransport:
    """The real network. Redirects are not followed: a token must not travel to another host."""

    timeout: float = 10.0
    validate_certs: bool = True

    def __call__(self, method: Method, url: str, headers: t.Mapping[str, str], data: bytes | None) -> Response:
        try:
            answer = open_url(
                url,
                method=method,
                headers=dict(headers),
                data=data,
                timeout=self.timeout,
                validate_certs=self.validate_certs,
                follow_redirects="none",
                http_agent="sre.runbooks",
            )
            return _response(answer.getcode(), answer.read(), answer.headers)
        except urllib.error.HTTPError as error:
            return _response(error.code, error.read(), error.headers)
        except Exception as error:  # open_url lets through what urllib, http.client, ssl and socket raise
            reason = getattr(error, "reason", error)
            raise NetworkError(str(reason), sent=not isinstance(reason, ConnectionRefusedError)) from error


def _response(status: int, body: bytes, headers: t.Any) -> Response:
    return Response(status, body, {str(name).lower(): str(value) for name, value in headers.items()})
