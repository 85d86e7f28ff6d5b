"""The lab's application: a small custody service over HTTP whose health follows from the database behind it.

GET /health, GET /keys?tenant=N, POST /sign?tenant=N; a bounded pool of database connections, as real services have.
"""

from __future__ import annotations

import contextlib
import http.server
import json
import pathlib
import queue
import sys
import threading
import typing as t
import urllib.parse

import psycopg2
import psycopg2.extensions

from tests.lab.postgres import dsn
from tests.lab.state import Lab, serve_until_told

POOL_SIZE = 10
POOL_WAIT_SECONDS = 2.0
READ = "SELECT count(*) FROM custody_keys WHERE tenant_id = %s AND active"
WRITE = "UPDATE custody_usage SET signatures = signatures + 1, last_used = now() WHERE tenant_id = %s"


class PoolExhausted(Exception):
    """No connection came free in time."""


class Pool:
    """A fixed number of connections, opened when first needed and replaced when the server ended them."""

    def __init__(self, connection_string: str, size: int) -> None:
        self._connection_string = connection_string
        self._free: queue.LifoQueue[psycopg2.extensions.connection | None] = queue.LifoQueue()
        for _ in range(size):
            self._free.put(None)

    @contextlib.contextmanager
    def cursor(self) -> t.Iterator[psycopg2.extensions.cursor]:
        try:
            connection = self._free.get(timeout=POOL_WAIT_SECONDS)
        except queue.Empty:
            raise PoolExhausted("no database connection came free in time") from None
        try:
            if connection is None or connection.closed:
                connection = psycopg2.connect(self._connection_string)
                connection.autocommit = True
            with connection.cursor() as cursor:
                yield cursor
        finally:
            self._free.put(connection)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    pool: t.ClassVar[Pool]

    def log_message(self, *_: object) -> None:
        """The load generator measures; an access log would only fill the disk."""

    def do_GET(self) -> None:
        url = urllib.parse.urlsplit(self.path)
        if url.path == "/health":
            self._answer("SELECT 1", ())
        elif url.path == "/keys":
            self._answer(READ, (self._tenant(url.query),))
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

    def _answer(self, statement: str, values: tuple[int, ...]) -> None:
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
    Handler.pool = Pool(dsn(lab, "custody_app", application="custody-api"), POOL_SIZE)
    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    serve_until_told(lab, "app", {"url": f"http://127.0.0.1:{server.server_address[1]}"})


if __name__ == "__main__":
    main()
