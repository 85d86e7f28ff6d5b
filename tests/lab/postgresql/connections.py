"""Faults of connections: who holds them, who may have no more, who is not let in."""

from __future__ import annotations

import contextlib
import select
import threading
import time

import psycopg2
import psycopg2.extensions

from tests.lab.postgresql.core import RUNBOOKS_ROLES, Fault, Kind, Session, suffers, superuser
from tests.lab.postgresql.server import dsn
from tests.lab.state import Lab, wait_until


def connection_leak(fault: Fault) -> None:
    """Another service opens connections and keeps them until none is left, and comes back when it is thrown out."""
    user = fault.draw.choice(("billing", "ledger"))
    for role, key in (("leak", user), ("refused", "lab-db")):
        fault.sessions.append(Session(role, 0, "", user, f"{user}-worker", "custody_db", key))
    held: list[psycopg2.extensions.connection] = []

    def leak() -> None:
        while True:
            held[:] = [connection for connection in held if is_open(connection)]
            with contextlib.suppress(psycopg2.Error):
                while True:
                    held.append(psycopg2.connect(dsn(fault.lab, user, "custody_db", f"{user}-worker")))
            time.sleep(0.05)

    threading.Thread(target=leak, daemon=True).start()
    wait_until(lambda: len(held) > 60, 30, "the leak")
    time.sleep(1.0)
    # From now on the application's connections grow old, and it cannot open new ones; at last it has none.
    fault.lab.write("app.json", {"recycles": True})
    wait_until(lambda: application_sessions(fault.lab) == 0, 40, "the end of the application's idle connections", 0.5)


def application_sessions(lab: Lab) -> int:
    with contextlib.suppress(psycopg2.OperationalError), superuser(lab) as cursor:
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'custody-api' AND state = 'idle'")
        return int((cursor.fetchone() or (0,))[0])
    return -1  # for a moment nobody gets in


def is_open(connection: psycopg2.extensions.connection) -> bool:
    """Whether the server still keeps a session, without asking it anything: a closed one is readable."""
    if connection.closed:
        return False
    if select.select([connection.fileno()], [], [], 0)[0]:
        with contextlib.suppress(psycopg2.Error):
            connection.close()
        return False
    return True


def release_clients(lab: Lab) -> None:
    app_at_work(lab)
    with superuser(lab) as cursor:
        for user in ("billing", "ledger"):
            cursor.execute(f"ALTER ROLE {user} CONNECTION LIMIT -1")
        cursor.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename IN ('billing', 'ledger')")


def no_way_in(fault: Fault) -> None:
    """The runbook's roles may not use the reserved connections."""
    with superuser(fault.lab) as cursor:
        if cursor.connection.server_version >= 160000:
            cursor.execute(f"REVOKE pg_use_reserved_connections FROM {RUNBOOKS_ROLES}")


def a_way_in(lab: Lab) -> None:
    with superuser(lab) as cursor:
        if cursor.connection.server_version >= 160000:
            cursor.execute(f"GRANT pg_use_reserved_connections TO {RUNBOOKS_ROLES}")


def crowd(fault: Fault) -> None:
    """Three services of the shared server together hold all connections, none of them half; the application gets in no more."""
    fault.sessions.append(Session("server", 0, "", "", "", "custody_db", "lab-db"))
    users = ("billing", "ledger", "batch")

    def take(user: str) -> bool:
        with contextlib.suppress(psycopg2.Error):
            fault.connect("holder", user, f"{user}-worker")
            return True
        return False

    for _ in range(40):
        for user in users:
            take(user)
    fault.lab.write("app.json", {"recycles": True})

    def full() -> bool:
        taken = [take(user) for user in users]
        return not any(taken) and application_sessions(fault.lab) == 0

    wait_until(full, 40, "the end of the application's idle connections", 0.2)


def release_crowd(lab: Lab) -> None:
    release_clients(lab)
    with superuser(lab) as cursor:
        cursor.execute("ALTER ROLE batch CONNECTION LIMIT -1")


def role_limit(fault: Fault) -> None:
    """Somebody gave the application's role fewer connections than its pool has."""
    fault.sessions.append(Session("role", 0, "", "custody_app", "", "custody_db", "custody_app"))
    with superuser(fault.lab) as cursor:
        cursor.execute("ALTER ROLE custody_app CONNECTION LIMIT 3")
    fault.lab.write("app.json", {"recycles": True})

    def forgotten() -> bool:
        """One more session that holds a slot and does nothing, as soon as the application leaves one."""
        with contextlib.suppress(psycopg2.Error):
            fault.connect("idle", "custody_app", "forgotten-worker")
        return sum(one.role == "idle" for one in fault.sessions) == 3

    wait_until(forgotten, 40, "three forgotten sessions", 0.05)
    wait_until(
        lambda: application_sessions(fault.lab) <= 3 and suffers(fault.lab), 40, "the end of the application's connections", 0.2
    )


def no_role_limit(lab: Lab) -> None:
    app_at_work(lab)
    with superuser(lab) as cursor:
        cursor.execute("ALTER ROLE custody_app CONNECTION LIMIT -1")


def app_at_work(lab: Lab) -> None:
    lab.file("app.json").unlink(missing_ok=True)


def login_refused(fault: Fault) -> None:
    """The runbook's own role may not log in any more."""
    with superuser(fault.lab) as cursor:
        cursor.execute("ALTER ROLE custody_monitor CONNECTION LIMIT 0")


def login_allowed(lab: Lab) -> None:
    with superuser(lab) as cursor:
        cursor.execute("ALTER ROLE custody_monitor CONNECTION LIMIT -1")


FAULTS: dict[str, Kind] = {
    "connection-leak": Kind(connection_leak, release_clients),
    "crowd": Kind(crowd, release_crowd),
    "role-limit": Kind(role_limit, no_role_limit),
    "no-way-in": Kind(no_way_in, a_way_in),
    "login-refused": Kind(login_refused, login_allowed),
}
