# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Opens a URL for one exchange (private).

Ansible's own ``open_url`` installs its opener for the whole process before it uses it: of two exchanges at a time, one may go
through the other's proxy, or without its check of certificates. Here each has its own, made of Ansible's TLS context and
Python's handlers.
"""

from __future__ import annotations

import functools
import http.client
import threading
import typing as t
import urllib.request

from ansible.module_utils.urls import make_context
from ansible_collections.sre.runbooks.plugins.module_utils._http.errors import UnreachedError

AGENT = "sre.runbooks"


class _Stay(urllib.request.HTTPRedirectHandler):
    """A redirect is an answer: a token must not travel to another host."""

    def redirect_request(self, *_args: t.Any, **_options: t.Any) -> None:
        return None


class _Connection(http.client.HTTPConnection):
    """A connection over which nothing is sent once the exchange was given up."""

    def __init__(self, *args: t.Any, given_up: threading.Event, **options: t.Any) -> None:
        super().__init__(*args, **options)
        self._given_up = given_up

    def connect(self) -> None:
        super().connect()
        if self._given_up.is_set():
            self.close()
            raise UnreachedError("it was given up")


class _SecureConnection(_Connection, http.client.HTTPSConnection):
    """The same, with TLS."""


class _Http(urllib.request.HTTPHandler):
    def __init__(self, given_up: threading.Event) -> None:
        super().__init__()
        self._kind = functools.partial(_Connection, given_up=given_up)

    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(self._kind, req)


class _Https(urllib.request.HTTPSHandler):
    def __init__(self, given_up: threading.Event, validate_certs: bool) -> None:
        context = make_context(validate_certs=validate_certs)  # type: ignore[no-untyped-call]
        super().__init__(context=context)
        self._kind = functools.partial(_SecureConnection, given_up=given_up, context=context)

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(self._kind, req)


def opened(
    request: urllib.request.Request, seconds: float, given_up: threading.Event, *, use_proxy: bool, validate_certs: bool
) -> t.Any:
    """The answer to a request, to be read; ``seconds`` bound each of its steps.

    Raises what urllib, http.client, ssl and socket raise; UnreachedError when it was given up before anything was sent. An
    answer with an error's status is raised as urllib.error.HTTPError, which can be read like one.
    """
    request.add_header("User-agent", AGENT)
    # Not build_opener: it would open files and FTP, too.
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(None if use_proxy else {}),
        _Http(given_up),
        _Https(given_up, validate_certs),
        _Stay(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.UnknownHandler(),
    ):
        opener.add_handler(handler)
    return opener.open(request, timeout=seconds)
