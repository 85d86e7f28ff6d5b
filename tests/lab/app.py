"""The lab's application: a small custody service over HTTP whose health follows from the database behind it.

GET /health, /keys?tenant=N, /search?tenant=N, /audit?tenant=N, /imports?tenant=N, POST /sign?tenant=N; a bounded pool of database
connections that live for a while, as real services have.
"""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import http.server
import json
import pathlib
import queue
import random
import sys
import threading
import time
import typing as t
import urllib.parse

import psycopg2
import psycopg2.extensions

from tests.lab.postgresql.server import dsn
from tests.lab.state import Lab, serve_until_told

POOL_SIZE = 10
POOL_WAIT_SECONDS = 2.0
LIFETIME_SECONDS = 3.0
# How long a login takes while connections are replaced: a place that the application gives up is taken by whoever is waiting.
LOGIN_SECONDS = 0.15
OUTSIDE_SECONDS = 1.2
READ = "SELECT count(*) FROM custody_keys WHERE tenant_id = %s AND active"
SEARCH = "SELECT count(*) FROM custody_keys WHERE md5(label) LIKE '%%' || %s"
LOOK_UP = "SELECT count(*) FROM audit_entries WHERE reference = %s"
# Today's batch is number 99; the lines refer to each other.
IMPORTED = (
    "SELECT count(*) FROM import_lines a JOIN import_lines b ON b.parent = a.line "
    "WHERE a.batch = 99 AND a.tenant_id = %s AND b.kind = 9"
)
WRITE = "UPDATE custody_usage SET signatures = signatures + 1, last_used = now() WHERE tenant_id = %s"

READS = {"/keys": READ, "/search": SEARCH, "/audit": LOOK_UP, "/imports": IMPORTED}


class PoolExhausted(Exception):
    """No connection came free in time."""


@dataclasses.dataclass(frozen=True)
class Connection:
    """A session of the pool and the moment from which on it is replaced."""

    real: psycopg2.extensions.connection
    until: float


class Pool:
    """A fixed number of connections, opened when first needed, replaced when the server ended them.

    While ``recycles`` says so they are also replaced when they are old, as pools with a maximum lifetime do.
    """

    def __init__(self, connection_string: str, size: int, patience: float = POOL_WAIT_SECONDS) -> None:
        self._connection_string, self._patience = connection_string, patience
        self.recycles = False
        self._free: queue.Queue[Connection | None] = queue.Queue()
        for _ in range(size):
            self._free.put(None)

    def _usable(self, held: Connection | None) -> Connection:
        if held is not None and not held.real.closed:
            return held
        if held is not None:
            held.real.close()
        if self.recycles:
            time.sleep(LOGIN_SECONDS)
        real = psycopg2.connect(self._connection_string)
        real.autocommit = True
        return Connection(real, time.monotonic() + random.uniform(0.5, 1.5) * LIFETIME_SECONDS)

    @contextlib.contextmanager
    def cursor(self) -> t.Iterator[psycopg2.extensions.cursor]:
        try:
            held = self._free.get(timeout=self._patience)
        except queue.Empty:
            raise PoolExhausted("no database connection came free in time") from None
        try:
            held = self._usable(held)
            with held.real.cursor() as cursor:
                yield cursor
        finally:
            if held is not None and self.recycles and time.monotonic() > held.until:
                held.real.close()
                held = None  # the next request that gets this place opens a new one
            self._free.put(held)

    def close(self) -> None:
        """Ends the sessions that nobody uses at this moment; the others end with their request."""
        self.recycles = True
        with contextlib.suppress(queue.Empty):
            while True:
                held = self._free.get_nowait()
                if held is not None:
                    held.real.close()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    pool: t.ClassVar[Pool]
    lab: t.ClassVar[Lab]

    def log_message(self, *_: object) -> None:
        """The load generator measures; an access log would only fill the disk."""

    def do_GET(self) -> None:
        url = urllib.parse.urlsplit(self.path)
        if url.path == "/alive":
            self._send(200, {"status": "ok"})
        elif url.path == "/health":
            self._answer("SELECT 1", ())
        elif url.path in READS:
            self._answer(READS[url.path], (self._tenant(url.query),))
        else:
            self._send(404, {"error": "not found"})

    def do_POST(self) -> None:
        url = urllib.parse.urlsplit(self.path)
        if url.path == "/sign":
            self._answer(WRITE, (self._tenant(url.query),))
        else:
            self._send(404, {"error": "not found"})

    def _tenant(self, query: str) -> int:
        return int(urllib.parse.parse_qs(query).get("tenant", ["1"])[0])

    def _ask_outside(self, host: str) -> None:
        """Some answers need somebody else's; when it does not come in time, the answer comes without it, late."""
        connection = http.client.HTTPConnection(host, timeout=OUTSIDE_SECONDS)
        with contextlib.suppress(OSError, http.client.HTTPException), contextlib.closing(connection):
            connection.request("GET", "/")
            connection.getresponse()

    def _answer(self, statement: str, values: tuple[int, ...]) -> None:
        trouble = self.lab.read("app.json") or {}
        self.pool.recycles = bool(trouble.get("recycles"))
        if trouble.get("stalled"):
            self._send(503, {"status": "unavailable", "error": "no worker is free"})
            return
        if trouble.get("outside") and values:
            self._ask_outside(trouble["outside"])
        try:
            with self.pool.cursor() as cursor:
                cursor.execute(statement, values)
                row = cursor.fetchone() if cursor.description else None
        except PoolExhausted as error:
            self._send(503, {"status": "unavailable", "error": str(error)})
        except psycopg2.Error as error:
            self._send(500, {"status": "error", "error": str(error).split("\n")[0]})
        else:
            self._send(200, {"status": "ok", "value": row[0] if row else None})

    def _send(self, status: int, body: dict[str, t.Any]) -> None:
        content = json.dumps(body).encode()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, request: t.Any, client_address: t.Any) -> None:
        """A client that hung up is the client's business."""


def main() -> None:
    lab = Lab("", pathlib.Path(sys.argv[1]))
    Handler.lab = lab
    Handler.pool = Pool(dsn(lab, "custody_app", application="custody-api"), POOL_SIZE)
    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    serve_until_told(lab, "app", {"url": f"http://127.0.0.1:{server.server_address[1]}"})


if __name__ == "__main__":
    main()
