"""The lab's AWS: moto's server in this process with what it lacks added, and the load balancer that users call."""

from __future__ import annotations

import contextlib
import http.client
import http.server
import json
import pathlib
import ssl
import sys
import threading
import time
import typing as t
import urllib.parse

from moto.cloudtrail.responses import CloudTrailResponse
from moto.ec2.models.security_groups import SecurityGroupRule
from moto.elbv2.models import FakeHealthStatus, FakeTargetGroup
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server

from tests.lab import certificates
from tests.lab.aws import network
from tests.lab.aws.trail import Trail, call_of
from tests.lab.aws.world import populate
from tests.lab.state import Lab, serve_until_told

# For how long a result of the health check holds, as the interval of a load balancer does.
HEALTH_SECONDS = 0.3
LATE_SECONDS = 2.5
JOURNAL = "/lab/journal"
REFUSAL = (
    b"<Response><Errors><Error><Code>UnauthorizedOperation</Code><Message>You are not authorized to perform this operation."
    b"</Message></Error></Errors><RequestID>lab</RequestID></Response>"
)
Json = dict[str, t.Any]


class Journaled:
    """moto's application, every call of which is noted."""

    def __init__(self, lab: Lab, trail: Trail) -> None:
        self._application, self._lab, self._trail = DomainDispatcherApplication(create_backend_app), lab, trail

    def __call__(self, environ: Json, start_response: t.Callable[..., t.Any]) -> t.Iterable[bytes]:
        if environ["PATH_INFO"] == JOURNAL:
            start_response("200 OK", [("Content-Type", "application/json")])
            return [json.dumps(self._trail.calls).encode()]
        length = int(environ.get("CONTENT_LENGTH") or 0)
        body = environ["wsgi.input"].read(length)
        environ["wsgi.input"] = _Again(body)
        headers = {"Authorization": environ.get("HTTP_AUTHORIZATION", ""), "X-Amz-Target": environ.get("HTTP_X_AMZ_TARGET", "")}

        call = call_of(headers, body)
        if call and call["action"] in (self._lab.read("aws.json") or {}).get("denied", []):
            self._trail.note(call, 403)
            start_response("403 Forbidden", [("Content-Type", "text/xml")])
            return [REFUSAL]

        def began(status: str, *rest: t.Any) -> t.Any:
            self._trail.note(call, int(status.split()[0]))
            return start_response(status, *rest)

        return t.cast("t.Iterable[bytes]", self._application(environ, began))


class _Again:
    """A request's body that was read, to be read again."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def read(self, size: int = -1) -> bytes:
        size = len(self._body) if size < 0 else size
        piece, self._body = self._body[:size], self._body[size:]
        return piece


class Health:
    """What the load balancer's health check says of each target: the network's word, and then the application's."""

    def __init__(self, application: str) -> None:
        self._host = urllib.parse.urlsplit(application).netloc
        self._known: tuple[float, str | None] = (0.0, None)

    def of(self, instance: str, port: int) -> tuple[str, str | None, str | None]:
        """A target's state, and why."""
        state = network.state_of(instance)
        if state != "running":
            return "unused", "Target.InvalidState", f"Target is in the {state} state"
        if not network.is_reached(instance, port):
            return "unhealthy", "Target.Timeout", "Request timed out"
        refused = self._application_refuses()
        if refused:
            return "unhealthy", "Target.ResponseCodeMismatch", f"Health checks failed with these codes: [{refused}]"
        return "healthy", None, None

    def _application_refuses(self) -> str | None:
        at, known = self._known
        if time.monotonic() - at < HEALTH_SECONDS:
            return known
        status, _headers, _body = forward(self._host, "GET", "/health")
        self._known = (time.monotonic(), None if status == 200 else str(status))
        return self._known[1]


def forward(host: str, method: str, path: str) -> tuple[int, str, bytes]:
    """The application's answer, or 504 as a load balancer gives it."""
    connection = http.client.HTTPConnection(host, timeout=LATE_SECONDS)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.getheader("Content-Type", "text/plain"), answer.read()
    except (OSError, http.client.HTTPException):
        return 504, "text/plain", b"504 Gateway Time-out\n"
    finally:
        connection.close()


class Edge(http.server.BaseHTTPRequestHandler):
    """The load balancer's listener. Where no target is healthy it tries them all, as a real one does."""

    protocol_version = "HTTP/1.1"
    host: t.ClassVar[str]

    def log_message(self, *_: object) -> None:
        """The load generator measures."""

    def do_GET(self) -> None:
        group = network.target_group()
        reached = [one for one in group.targets.values() if network.is_reached(one["Id"], int(one["Port"]))]
        told = (504, "text/plain", b"504 Gateway Time-out\n")
        if reached:
            told = forward(self.host, self.command, self.path)
        elif not group.targets:
            told = (503, "text/plain", b"503 Service Temporarily Unavailable\n")
        self.send_response(told[0])
        self.send_header("Content-Type", told[1])
        self.send_header("Content-Length", str(len(told[2])))
        self.end_headers()
        self.wfile.write(told[2])

    do_POST = do_GET  # noqa: N815


class Listener(http.server.ThreadingHTTPServer):
    """Takes many connections at once: one that is not taken comes again after a second. Each gets the newest certificate."""

    request_queue_size = 128
    certificate: pathlib.Path
    _held: tuple[int, ssl.SSLContext | None] = (0, None)

    def _context(self) -> ssl.SSLContext:
        changed = self.certificate.stat().st_mtime_ns
        if self._held[0] != changed or self._held[1] is None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.certificate)
            self._held = (changed, context)
            return context
        return self._held[1]

    def finish_request(self, request: t.Any, client_address: t.Any) -> None:
        request.settimeout(LATE_SECONDS)
        with contextlib.suppress(OSError):  # who refuses the certificate hangs up
            with self._context().wrap_socket(request, server_side=True) as wrapped:
                super().finish_request(wrapped, client_address)


def extend(lab: Lab, trail: Trail, health: Health) -> None:
    """Gives moto's own classes what they lack, or answer wrongly."""

    def health_for(self: t.Any, target: Json, _backend: t.Any) -> FakeHealthStatus:
        known = self.targets[target["Id"]]
        port = int(known["Port"]) if self.health_check_port == "traffic-port" else int(self.health_check_port)
        state = health.of(target["Id"], port)
        return FakeHealthStatus(known["Id"], known["Port"], str(port), *state)

    def lookup_events(self: t.Any) -> str:
        delay = (lab.read("aws.json") or {}).get("trail_delay", 0.0)
        return json.dumps(trail.events(json.loads(self.body), delay))

    def description(self: t.Any) -> str | None:
        told = self.ip_range.get("Description") or self.source_group.get("Description")
        return t.cast("str | None", told)

    setattr(SecurityGroupRule, "description", property(description))  # noqa: B010  # moto has it of ranges only
    for owner, function in ((FakeTargetGroup, health_for), (CloudTrailResponse, lookup_events)):
        setattr(owner, function.__name__, function)


def main() -> None:
    lab = Lab("", pathlib.Path(sys.argv[1]))
    application = lab.part("app")["url"]
    trail = Trail()
    extend(lab, trail, Health(application))
    api = make_server("127.0.0.1", 0, Journaled(lab, trail), threaded=True, request_handler=MotoRequestHandler)
    threading.Thread(target=api.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{api.server_port}"
    told = populate(url)
    Edge.host = urllib.parse.urlsplit(application).netloc
    certificates.make_authority(lab)
    certificates.serve(lab)
    edge = Listener((certificates.HOST, 0), Edge)
    edge.certificate = lab.file(certificates.SERVED)
    threading.Thread(target=edge.serve_forever, daemon=True).start()
    serve_until_told(lab, "aws", {"url": url, "edge": f"https://{certificates.HOST}:{edge.server_port}", **told})


if __name__ == "__main__":
    main()
