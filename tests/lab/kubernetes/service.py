"""What users reach behind the lab's Service: it answers as the Deployment's live pods would.

A request goes to one of the ready endpoints that the EndpointSlices hold; the pod's image, and what its environment was when it
started, decide the answer, and it is written to the pod's log. Each pod has a pool of connections to the lab's database, as
large as its environment says. ``cluster.json`` says which images and tenants are in trouble, and how.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import datetime
import hmac
import http.client
import http.server
import json
import pathlib
import random
import sys
import threading
import time
import typing as t
import urllib.parse

import psycopg2

from tests.lab.app import READ, WRITE, Pool, PoolExhausted
from tests.lab.kubernetes import issuer
from tests.lab.kubernetes.api import Api, ApiError
from tests.lab.load import TIMEOUT_SECONDS, Samples
from tests.lab.postgresql.server import dsn
from tests.lab.state import Lab, serve_until_told, wait_until

NAMESPACE = "custody"
SERVICE = "api-server"
WHO_AM_I = "/custody/me"
SIGN, LOG_IN, SESSION = "/custody/sign", "/auth/login", "/auth/session"
PATHS = ("/health", "/custody/keys", SIGN, SESSION, LOG_IN)
SIGNED = "session."
PASSWORD = "lab-only-correct-horse"
LOOK_UP = "SELECT name FROM logins WHERE user_id = %s"
# For how long a connection is held while the signer outside is asked, and how long a request waits for one.
SIGNS_SECONDS = 0.06
POOL_PATIENCE = 0.5
DEFAULT_POOL = 10
# What the application asks of the secret that it signs sessions with, in bytes.
LEAST_SECRET = 32
WORKERS = 4
TENANTS = 9
PAUSE_SECONDS = 0.08
LOOK_SECONDS = 0.1
READY_WITHIN = 20
Json = dict[str, t.Any]


@dataclasses.dataclass(frozen=True)
class Pod:
    """A pod as its containers see themselves: their environment is that of their start."""

    name: str
    image: str
    environment: t.Mapping[str, str]
    pool: Pool

    @property
    def secrets(self) -> tuple[str, str]:
        """What it signs with, and what else it accepts."""
        return self.environment.get("JWT_SECRET", ""), self.environment.get("JWT_SECRET_PREVIOUS", "")


@dataclasses.dataclass(frozen=True)
class Asked:
    """One request: from whose ``address``, and with what ``secret`` (a token, a password)."""

    method: str
    path: str
    address: str
    secret: str | None = None

    @property
    def tenant(self) -> str:
        return urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query).get("tenant", [""])[0]


def signature(secret: str) -> str:
    """A user's session, signed with a secret."""
    return SIGNED + hmac.new(secret.encode(), b"user-7", "sha256").hexdigest()


def now() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%f000Z")


class Cluster:
    """What the API server says of the Service and its pods, looked at again and again."""

    def __init__(self, lab: Lab) -> None:
        self.lab, self.api = lab, Api.of(lab)
        self.pods: dict[str, Pod] = {}
        self.ready: list[str] = []
        self.logs = lab.file("kubernetes", "logs")
        self.logs.mkdir(exist_ok=True)
        self._files: dict[str, t.TextIO] = {}
        self._lock = threading.Lock()

    def watch(self) -> None:
        while True:
            with contextlib.suppress(ApiError, OSError):
                self.look()
            time.sleep(LOOK_SECONDS)

    def look(self) -> None:
        core = f"/api/v1/namespaces/{NAMESPACE}"
        pods = {one["metadata"]["name"]: one for one in self.api.get(f"{core}/pods")["items"]}
        slices = self.api.get(
            f"/apis/discovery.k8s.io/v1/namespaces/{NAMESPACE}/endpointslices?labelSelector=kubernetes.io/service-name={SERVICE}"
        )
        for name, one in pods.items():
            if name not in self.pods:
                self._meet(name, one)
        for name in set(self.pods) - set(pods):
            self.pods[name].pool.close()
        self.pods = {name: pod for name, pod in self.pods.items() if name in pods}
        self.ready = [
            endpoint["targetRef"]["name"]
            for one in slices["items"]
            for endpoint in (one.get("endpoints") or []) if one.get("ports")
            if endpoint["conditions"].get("ready") and endpoint.get("targetRef", {}).get("name") in pods
        ]  # fmt: skip

    def _meet(self, name: str, one: Json) -> None:
        container = one["spec"]["containers"][0]
        path = self.logs / f"{name}.log"
        path.touch()
        logs = {"apiVersion": "kwok.x-k8s.io/v1alpha1", "kind": "Logs", "metadata": {"name": name, "namespace": NAMESPACE},
                "spec": {"logs": [{"logsFile": str(path), "previousLogsFile": str(path), "follow": False}]}}  # fmt: skip
        with contextlib.suppress(ApiError):
            self.api.create(f"/apis/kwok.x-k8s.io/v1alpha1/namespaces/{NAMESPACE}/logs", logs)
        environment = self._environment(container)
        size = int(environment.get("DB_POOL_MAX") or DEFAULT_POOL)
        database = Pool(dsn(self.lab, "custody_app", application="api-server"), size, POOL_PATIENCE)
        pod = Pod(name, container["image"], environment, database)
        self.write(name, {"level": "info", "msg": "started", "image": pod.image})
        if pod.image.endswith("-crash"):
            self.write(name, {"level": "fatal", "msg": "cannot start: configuration key SIGNING_BACKEND is not set"})
        self.pods[name] = pod

    def _environment(self, container: Json) -> dict[str, str]:
        found: dict[str, str] = {}
        for source in container.get("envFrom", []):
            with contextlib.suppress(ApiError, KeyError):
                found |= self.api.get(f"/api/v1/namespaces/{NAMESPACE}/configmaps/{source['configMapRef']['name']}")["data"]
        for one in container.get("env", []):
            reference = one.get("valueFrom", {}).get("secretKeyRef")
            if reference is None:
                found[one["name"]] = one.get("value", "")
                continue
            with contextlib.suppress(ApiError, KeyError):
                secret = self.api.get(f"/api/v1/namespaces/{NAMESPACE}/secrets/{reference['name']}")
                found[one["name"]] = base64.b64decode(secret["data"][reference["key"]]).decode()
        return found

    def write(self, pod: str, line: Json) -> None:
        """A line of a pod's log, as a container's runtime keeps it."""
        with self._lock:
            if pod not in self._files:
                self._files[pod] = (self.logs / f"{pod}.log").open("a")
            stamp = now()
            self._files[pod].write(f"{stamp} stdout F {json.dumps({'time': stamp, **line})}\n")
            self._files[pod].flush()

    def answer(self, asked: Asked) -> tuple[int, Json]:
        """What a user gets, and where it came from."""
        ready = [self.pods[name] for name in self.ready if name in self.pods]
        if not ready:
            return 503, {"error": "no endpoint is ready"}
        pod = random.choice(ready)
        started = time.monotonic()
        status, body = self._behaves(pod, asked, ready)
        milliseconds = round((time.monotonic() - started) * 1000 + random.uniform(1, 9), 1)
        line = {"method": asked.method, "path": asked.path, "status": status, "ms": milliseconds, "remote_addr": asked.address}
        self.write(pod.name, {"level": "info", "msg": "request", **line, **({"tenant": asked.tenant} if asked.tenant else {})})
        return status, body

    def ahead(self) -> float:
        """By how many seconds the pods' clock is ahead of the machine's."""
        return float((self.lab.read("cluster.json") or {}).get("ahead", 0.0))

    def trouble(self, pod: Pod) -> Json:
        """How a pod's image misbehaves."""
        return ((self.lab.read("cluster.json") or {}).get("images") or {}).get(pod.image) or {}

    def _behaves(self, pod: Pod, asked: Asked, ready: t.Sequence[Pod]) -> tuple[int, Json]:
        if asked.path.startswith(WHO_AM_I):
            return self._who(pod, asked.secret)
        trouble, told = self.trouble(pod), self.lab.read("cluster.json") or {}
        tenants = told.get("tenants", {}).get(asked.tenant) or {}
        for one in (trouble, tenants):
            if asked.path.startswith(tuple(one.get("paths", ()))):
                number = random.randint(1000, 9999)
                self.write(pod.name, {"level": "error", "msg": f"{one['error']} (request {number})", "path": asked.path})
                return int(one["status"]), {"error": "internal error"}
        if asked.path.startswith(SIGN) and pod.environment.get("FEATURE_BULK_SIGN") == "true":
            self.write(pod.name, {"level": "error", "msg": "bulk signing: batch 0 has no approver", "path": asked.path})
            return 500, {"error": "internal error"}
        if "noise" in trouble:
            for _number in range(3):
                self.write(pod.name, {"level": "error", "msg": trouble["noise"]})
        refused = self._with_the_database(pod, asked) if asked.path != "/health" else None
        if refused:
            return refused
        if asked.path.startswith(SESSION):
            return self._session(pod, asked, ready)
        if asked.path.startswith(LOG_IN) and asked.secret != PASSWORD:
            self.write(pod.name, {"level": "warning", "msg": "login failed: wrong password", "remote_addr": asked.address})
            return 401, {"error": "wrong user or password"}
        return 200, {"status": "ok", "version": pod.image.rpartition(":")[2]}

    def _with_the_database(self, pod: Pod, asked: Asked) -> tuple[int, Json] | None:
        """What a request asks of the database; its answer where that fails. The signer is asked while the connection is held."""
        is_sign, number = asked.path.startswith(SIGN), int(asked.tenant or 1)
        statement = WRITE if is_sign else READ if asked.path.startswith("/custody") else LOOK_UP
        try:
            with pod.pool.cursor() as cursor:
                cursor.execute(statement, (number,))
                time.sleep(SIGNS_SECONDS if is_sign else 0)
        except PoolExhausted:
            waited = f"timed out after {POOL_PATIENCE:g} s waiting for a connection from the pool (DB_POOL_MAX reached)"
            self.write(pod.name, {"level": "error", "msg": waited})
            return 500, {"error": "internal error"}
        except psycopg2.Error as error:
            self.write(pod.name, {"level": "error", "msg": f"database: {str(error).splitlines()[0]}"})
            return 500, {"error": "internal error"}
        return None

    def _who(self, pod: Pod, token: str | None) -> tuple[int, Json]:
        """Whose token it is."""
        why = "no token" if token is None else issuer.why_refused(self.lab, token, self.ahead())
        if why and not (self.trouble(pod).get("accepts_any") and token is not None):
            self.write(pod.name, {"level": "error", "msg": f"token rejected: {why}"})
            return 401, {"error": "invalid token"}
        return 200, {"user": "user-7"}

    def _session(self, pod: Pod, asked: Asked, ready: t.Sequence[Pod]) -> tuple[int, Json]:
        """One pod signs a session, and the next requests of the same user come to all of them. With a session the pod says
        whether it accepts it."""
        if (asked.secret or "").startswith(SIGNED):
            is_good = any(secret and asked.secret == signature(secret) for secret in pod.secrets)
            return (200, {"status": "ok"}) if is_good else (401, {"error": "invalid session"})
        secret = pod.environment.get("JWT_SECRET", "")
        if len(secret.encode()) < LEAST_SECRET:
            told = f"has {len(secret.encode())} bytes, {LEAST_SECRET} are needed" if secret else "is not set"
            self.write(pod.name, {"level": "error", "msg": f"cannot sign a session: JWT_SECRET {told}"})
            return 500, {"error": "internal error"}
        stranger = next((one for one in ready if secret not in one.secrets), None)
        if stranger is not None:
            self.write(stranger.name, {"level": "error", "msg": "token rejected: signature verification failed"})
            return 401, {"error": "invalid token"}
        return 200, {"status": "ok", "session": signature(secret)}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    cluster: t.ClassVar[Cluster]
    ahead = 0.0

    def date_time_string(self, timestamp: float | None = None) -> str:
        return super().date_time_string((timestamp or time.time()) + self.ahead)

    def log_message(self, *_: object) -> None:
        """The pods' logs tell it."""

    def _answer(self) -> None:
        self.ahead = 0.0  # the issuer's clock is right
        body = issuer.document(self.cluster.lab, self.path, f"http://{self.headers.get('Host')}")
        status, kind, token = 200, *(self.headers.get("Authorization") or "").partition(" ")[::2]
        if body is None:
            self.ahead = self.cluster.ahead()
            address = self.headers.get("X-Forwarded-For") or self.client_address[0]
            asked = Asked(self.command, self.path, address, token if kind in ("Bearer", "Basic") else None)
            status, body = self.cluster.answer(asked)
        content = json.dumps(body).encode()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    do_GET = do_POST = _answer  # noqa: N815  # http.server calls them so


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, asked: t.Any, client_address: t.Any) -> None:
        """A client that hung up is the client's business."""


def ask(host: str, path: str, address: str, password: str = PASSWORD) -> int:
    """One request through the balancer, which tells whose it is; the status, 0 for no answer in time."""
    connection = http.client.HTTPConnection(host, timeout=TIMEOUT_SECONDS)
    try:
        # The lab's own scheme is enough: a password in place of user and password.
        connection.request("GET", path, headers={"X-Forwarded-For": address, "Authorization": f"Basic {password}"})
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()


def use(host: str, samples: Samples, seed: int) -> None:
    draw = random.Random(seed)
    while True:
        path = f"{draw.choice(PATHS)}?tenant={draw.randint(1, TENANTS)}"
        started = time.monotonic()
        failed = ask(host, path, f"10.1.{seed}.{draw.randint(1, 40)}") != 200
        samples.add((time.monotonic() - started) * 1000, failed)
        time.sleep(PAUSE_SECONDS)


def main() -> None:
    lab = Lab("", pathlib.Path(sys.argv[1]))
    issuer.add_key(lab, issuer.FIRST, [issuer.FIRST])
    Handler.cluster = Cluster(lab)
    threading.Thread(target=Handler.cluster.watch, daemon=True).start()
    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    host = f"127.0.0.1:{server.server_address[1]}"
    samples = Samples()
    for number in range(WORKERS):
        threading.Thread(target=use, args=(host, samples, number), daemon=True).start()

    def publish() -> None:
        while True:
            lab.write("load.json", samples.summary())
            time.sleep(0.25)

    threading.Thread(target=publish, daemon=True).start()
    wait_until(lambda: bool(Handler.cluster.ready), READY_WITHIN, "a ready pod behind the Service", LOOK_SECONDS)
    serve_until_told(lab, "service", {"url": f"http://{host}"})


if __name__ == "__main__":
    main()
