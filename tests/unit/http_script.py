"""A scripted vendor: the exact requests that must come, in order, and what each is answered."""

from __future__ import annotations

import collections
import dataclasses
import json
import typing as t

from ansible_collections.sre.runbooks.plugins.module_utils._http.client import Client, Settings
from ansible_collections.sre.runbooks.plugins.module_utils._http.errors import NetworkError
from ansible_collections.sre.runbooks.plugins.module_utils._http.transport import Response

URL = "https://api.example.org"


@dataclasses.dataclass(frozen=True)
class Call:
    """One expected request and its answer. ``lost`` is no answer; with ``unsent`` it never left."""

    method: str
    path: str
    body: t.Any = None
    status: int = 200
    answer: t.Any = None
    headers: t.Mapping[str, str] = dataclasses.field(default_factory=dict)
    lost: bool = False
    unsent: bool = False


class Script:
    """A transport that plays calls and fails on any other request, and on missing ones."""

    def __init__(self, *calls: Call) -> None:
        self.calls = collections.deque(calls)
        self.slept: list[float] = []
        self.sent_headers: list[t.Mapping[str, str]] = []

    def __call__(self, method: str, url: str, headers: t.Mapping[str, str], data: bytes | None) -> Response:
        assert self.calls, f"unexpected {method} {url}"
        call = self.calls.popleft()
        body = json.loads(data) if data else None
        assert (method, url.removeprefix(URL), body) == (call.method, call.path, call.body)
        self.sent_headers.append(headers)
        if call.lost or call.unsent:
            raise NetworkError("timed out", sent=not call.unsent)
        return Response(call.status, json.dumps(call.answer).encode() if call.answer is not None else b"", call.headers)

    def client(self, *, check_mode: bool = False, tries: int = 3) -> Client:
        settings = Settings("Vendor", URL, {"Authorization": "Token token=secret"}, "Check the key", tries)
        return Client(settings, self, check_mode=check_mode, sleep=self.slept.append, jitter=lambda: 0.0)

    def finish(self) -> None:
        assert not self.calls, f"never came: {list(self.calls)}"
