"""A scripted vendor: the exact requests that must come, in order, and what each is answered."""

from __future__ import annotations

import collections
import dataclasses
import json
import typing as t

from ansible_collections.sre.runbooks.plugins.module_utils._http.client import Client, Settings
from ansible_collections.sre.runbooks.plugins.module_utils._http.errors import NetworkError, UnreachedError
from ansible_collections.sre.runbooks.plugins.module_utils._http.transport import Response

URL = "https://api.example.org"


@dataclasses.dataclass(frozen=True)
class Call:
    """One expected request and its answer, after some seconds; ``raw`` is its body as it comes. ``lost`` is no answer; with
    ``unsent`` the request never left."""

    method: str
    path: str
    body: t.Any = None
    status: int = 200
    answer: t.Any = None
    headers: t.Mapping[str, str] = dataclasses.field(default_factory=dict)
    lost: bool = False
    unsent: bool = False
    raw: bytes | None = None
    seconds: float = 0.0


class Script:
    """A transport that plays calls and fails on any other request, and on missing ones."""

    def __init__(self, *calls: Call) -> None:
        self.calls = collections.deque(calls)
        self.slept: list[float] = []
        self.now = 0.0
        self.seconds: list[float] = []
        self.sent_headers: list[t.Mapping[str, str]] = []

    def __call__(self, method: str, url: str, headers: t.Mapping[str, str], data: bytes | None, seconds: float) -> Response:
        assert self.calls, f"unexpected {method} {url}"
        call = self.calls.popleft()
        body = json.loads(data) if data else None
        assert (method, url.removeprefix(URL), body) == (call.method, call.path, call.body)
        self.sent_headers.append(headers)
        self.seconds.append(seconds)
        self.now += call.seconds
        if call.lost or call.unsent:
            raise (UnreachedError if call.unsent else NetworkError)("timed out")
        content = call.raw if call.raw is not None else b"" if call.answer is None else json.dumps(call.answer).encode()
        return Response(call.status, content, call.headers)

    def client(self, *, check_mode: bool = False, tries: int = 3, **patience: t.Any) -> Client:
        settings = Settings("Vendor", URL, {"Authorization": "Token token=secret"}, "Check the key", tries, **patience)
        return Client(settings, self, check_mode=check_mode, sleep=self._sleep, jitter=lambda: 0.0, clock=lambda: self.now)

    def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def finish(self) -> None:
        assert not self.calls, f"never came: {list(self.calls)}"
