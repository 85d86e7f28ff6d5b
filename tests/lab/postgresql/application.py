"""Faults beside the database: the application, whom it asks, whether writes are taken, how many users there are."""

from __future__ import annotations

import http.server
import threading
import time

from tests.lab.postgresql.connections import app_at_work
from tests.lab.postgresql.core import LONG, Fault, Kind, Session, suffers, superuser
from tests.lab.state import Lab, wait_until


def outside_slow(fault: Fault) -> None:
    """The application waits for somebody else's service, which cannot be seen from here."""

    class Slow(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            time.sleep(LONG)

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Slow)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    fault.lab.write("app.json", {"outside": f"127.0.0.1:{server.server_address[1]}"})


def app_stalled(fault: Fault) -> None:
    """The application itself refuses to work."""
    fault.lab.write("app.json", {"stalled": True})


def read_only(fault: Fault) -> None:
    """Somebody let every transaction of the database begin read only; the application's new connections get that."""
    fault.sessions.append(Session("server", 0, "", "", "", "custody_db", "lab-db"))
    with superuser(fault.lab) as cursor:
        cursor.execute("ALTER DATABASE custody_db SET default_transaction_read_only = on")
    fault.lab.write("app.json", {"recycles": True})
    wait_until(lambda: suffers(fault.lab), 40, "writes that fail", 0.2)


def writes_again(lab: Lab) -> None:
    with superuser(lab, "postgres") as cursor:
        cursor.execute("ALTER DATABASE custody_db RESET default_transaction_read_only")
        cursor.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'custody-api'")
    app_at_work(lab)


def quiet(fault: Fault) -> None:
    """At night: hardly anybody asks for anything, but for those who look."""
    fault.lab.write("load-pauses.json", {"seconds": LONG})
    time.sleep(1.0)


def busy_again(lab: Lab) -> None:
    lab.file("load-pauses.json").unlink(missing_ok=True)


FAULTS: dict[str, Kind] = {
    "outside-slow": Kind(outside_slow, app_at_work),
    "app-stalled": Kind(app_stalled, app_at_work),
    "read-only": Kind(read_only, writes_again),
    "quiet": Kind(quiet, busy_again, felt=False),
}
