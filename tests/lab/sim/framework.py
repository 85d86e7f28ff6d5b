"""What every vendor's simulator shares: routing, strict fields, rate limits, faults on request, and a journal.

A simulator declares routes with small tables of fields made after the vendor's documentation; a request that the real
API rejects is rejected here. Control requests under ``/_lab/`` are not part of the API and are not in the journal.
"""

from __future__ import annotations

import contextlib
import dataclasses
import email.message
import http.server
import json
import os
import pathlib
import re
import secrets
import signal
import sys
import threading
import time
import typing as t
import urllib.parse

from tests.lab.state import Lab, serve_until_told

Json = dict[str, t.Any]
WRITES = ("POST", "PUT", "PATCH", "DELETE")
HANG_SECONDS = 60.0
# Faults that strike every request: the vendor does not answer, or takes longer than anybody waits.
ALWAYS = ("down", "black-hole")
# Answers that are none: each is sent as it stands after the write was done.
STRANGE = {
    "null": b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnull",
    "nothing": b"HTTP/1.1 204 No Content\r\n\r\n",
    "cut": b'HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n{"incident": {"id": "',
    "deep": b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"[" * 100000,
}


class Rejected(Exception):
    """The API's own refusal: a status, a body in the vendor's form, and headers."""

    def __init__(self, status: int, body: t.Any, headers: dict[str, str] | None = None) -> None:
        super().__init__(f"{status}: {body}")
        self.status = status
        self.body = body
        self.headers = headers or {}


@dataclasses.dataclass(frozen=True)
class Field:
    """One field of a request's body."""

    kind: type | tuple[type, ...] = str
    required: bool = False
    choices: tuple[str, ...] = ()
    longest: int | None = None
    fields: t.Mapping[str, Field] | None = None

    def problems(self, name: str, value: t.Any) -> t.Iterator[str]:
        given: t.Any = value
        if not isinstance(given, self.kind) or (isinstance(value, bool) and self.kind is int):
            yield f"{name} has the wrong type"
        elif self.choices and value not in self.choices:
            yield f"{name} must be one of {', '.join(self.choices)}"
        elif self.longest is not None and len(t.cast("str", given)) > self.longest:
            yield f"{name} is too long (maximum is {self.longest} characters)"
        elif self.fields is not None:
            yield from problems(self.fields, t.cast("Json", given), f"{name}.")


def problems(fields: t.Mapping[str, Field], body: Json, prefix: str = "") -> t.Iterator[str]:
    """Everything that is wrong with an object, as the vendor would tell it."""
    for name, field in fields.items():
        if name in body:
            yield from field.problems(prefix + name, body[name])
        elif field.required:
            yield f"{prefix}{name} is required"
    for name in body.keys() - fields.keys():
        yield f"{prefix}{name} is not a known field"


@dataclasses.dataclass
class Request:
    """A request as the routes' functions see it."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: email.message.Message[str, str]
    body: Json

    def one(self, name: str, otherwise: str = "") -> str:
        return self.query.get(name, [otherwise])[0]


Answer = tuple[int, t.Any]
Action = t.Callable[..., Answer]


@dataclasses.dataclass(frozen=True)
class Route:
    """One endpoint: which path, which fields its body and its query may have, and what it does."""

    method: str
    pattern: str
    action: Action
    fields: t.Mapping[str, Field] = dataclasses.field(default_factory=dict)
    query: tuple[str, ...] = ()

    def match(self, method: str, path: str) -> dict[str, str] | None:
        expression = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", self.pattern)
        found = re.fullmatch(expression, path)
        return found.groupdict() if found and method == self.method else None


class Simulator:
    """A vendor: its key, its routes, its state. Subclasses say how it refuses and what it holds."""

    name = ""
    prefix = ""
    allowance = 0
    allowance_seconds = 60.0

    def __init__(self) -> None:
        self.key = secrets.token_hex(16)
        self.lock = threading.RLock()
        self.reset()

    def reset(self) -> None:
        """Back to the state of a new account: nothing sent, no fault asked for."""
        with self.lock:
            self.journal: list[Json] = []
            self.faults: list[Json] = []
            self.writes = 0
            self.made: dict[str, float] = {}
            self.recent: list[float] = []
            self.populate()

    def populate(self) -> None:
        raise NotImplementedError

    def routes(self) -> t.Sequence[Route]:
        raise NotImplementedError

    def authorize(self, request: Request) -> None:
        raise NotImplementedError

    def refuse(self, status: int, messages: list[str]) -> Rejected:
        raise NotImplementedError

    def over_the_limit(self, seconds: int) -> Rejected:
        raise NotImplementedError

    def limit(self) -> None:
        now = time.monotonic()
        self.recent = [at for at in self.recent if now - at < self.allowance_seconds]
        if len(self.recent) >= self.allowance:
            raise self.over_the_limit(int(self.allowance_seconds - (now - self.recent[0])) + 1)
        self.recent.append(now)

    def serve(self, request: Request) -> Answer:
        """The whole way of one API request. Raises Rejected as the vendor would."""
        self.authorize(request)
        self.limit()
        for route in self.routes():
            found = route.match(request.method, request.path)
            if found is not None:
                wrong = [f"{name} is not a known parameter" for name in request.query.keys() - set(route.query)]
                wrong += list(problems(route.fields, request.body))
                if wrong:
                    raise self.refuse(400 if self.name == "pagerduty" else 422, wrong)
                return route.action(request, **found)
        raise self.refuse(404, ["Not Found"])

    def due_fault(self, request: Request) -> Json | None:
        """The fault that was asked for at this write, once."""
        always = next((fault for fault in self.faults if fault["kind"] in ALWAYS), None)
        if request.method not in WRITES or always:
            return always
        self.writes += 1
        for fault in self.faults:
            if fault.get("write") == self.writes:
                self.faults.remove(fault)
                return fault
        return None

    def listed(self, things: t.Iterable[Json]) -> list[Json]:
        """What a listing shows: with the fault ``lag`` not what was made in the last seconds."""
        seconds = next((fault["seconds"] for fault in self.faults if fault["kind"] == "lag"), 0.0)
        return [one for one in things if time.monotonic() - self.made.get(one["id"], -1e9) >= seconds]

    def control(self, request: Request) -> Answer:
        """The lab's own requests: /_lab/journal, /_lab/faults, /_lab/reset, /_lab/state."""
        with self.lock:
            if request.path == "/_lab/journal":
                return 200, self.journal
            if request.path == "/_lab/faults":
                self.faults = t.cast("list[Json]", request.body["faults"])
                return 200, self.faults
            if request.path == "/_lab/reset":
                self.reset()
                return 200, {}
            if request.path == "/_lab/state":
                return 200, self.state()
        return 404, {}

    def state(self) -> Json:
        raise NotImplementedError


class HungUp(Exception):
    """The connection is closed without an answer, or after one that is none."""

    def __init__(self, last: bytes = b"") -> None:
        super().__init__()
        self.last = last


def strike(fault: Json, perform: t.Callable[[], Answer]) -> Answer:
    """Lets a fault happen. Raises HungUp where the caller gets no answer."""
    kind = fault["kind"]
    if kind == "500":
        return 500, {"error": {"message": "Internal Server Error", "code": 2000}}
    if kind == "slow":
        time.sleep(fault.get("seconds", 1.0))
        return perform()
    if kind in ("lost", "kill-after", *STRANGE):
        perform()
    if kind in ("timeout", "black-hole"):
        time.sleep(fault.get("seconds", HANG_SECONDS))
    if kind.startswith("kill"):
        pid = int(pathlib.Path(fault["pid_file"]).read_text())
        with contextlib.suppress(ProcessLookupError):
            (os.killpg if fault.get("group") else os.kill)(pid, signal.SIGKILL)
    raise HungUp(STRANGE.get(kind, b""))


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    simulator: t.ClassVar[Simulator]

    def log_message(self, *_: object) -> None:
        """The journal is the log."""

    def handle_any(self) -> None:
        request = self._request()
        if request.path.startswith("/_lab/"):
            self._send(*self.simulator.control(request), {})
            return
        with self.simulator.lock:
            fault = self.simulator.due_fault(request)
        entry: Json = {"at": time.time(), "method": request.method, "path": request.path, "query": request.query,
                       "from": request.headers.get("From"), "body": request.body,
                       "fault": fault and fault["kind"], "done": False}  # fmt: skip

        def perform() -> Answer:
            with self.simulator.lock:
                answer = self.simulator.serve(request)
                entry["done"] = True
            return answer

        headers: dict[str, str] = {}
        try:
            status, body = strike(fault, perform) if fault else perform()
        except Rejected as refusal:
            status, body, headers = refusal.status, refusal.body, refusal.headers
        except HungUp as end:
            status, body = 0, None
            with contextlib.suppress(OSError):
                self.wfile.write(end.last)
        with self.simulator.lock:
            self.simulator.journal.append({**entry, "status": status, "answer": body})
        if status:
            self._send(status, body, headers)
        else:
            self.close_connection = True

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any  # noqa: N815 - the names http.server looks for

    def _request(self) -> Request:
        url = urllib.parse.urlsplit(self.path)
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            body = json.loads(content) if content else {}
        except ValueError:
            body = {"unreadable": True}
        path = url.path
        if not path.startswith("/_lab/"):
            path = path.removeprefix(self.simulator.prefix)
        return Request(self.command, path, urllib.parse.parse_qs(url.query, keep_blank_values=True), self.headers, body)

    def _send(self, status: int, body: t.Any, headers: dict[str, str]) -> None:
        content = json.dumps(body).encode()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", **headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: t.Any, client_address: t.Any) -> None:
        """A client that hung up is the client's business."""


def serve(simulator: Simulator) -> str:
    """Serves a simulator on a free port; returns its address."""
    Handler.simulator = simulator
    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_address[1]}"


def main(simulator: Simulator) -> None:
    """Serves a simulator as a part of the lab named on the command line."""
    lab = Lab("", pathlib.Path(sys.argv[1]))
    url = serve(simulator)
    serve_until_told(lab, simulator.name, {"url": url + simulator.prefix, "control": url, "key": simulator.key})
