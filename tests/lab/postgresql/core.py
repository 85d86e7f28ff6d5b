"""What faults are made of: real client sessions, each on its own connection and thread, and when their users feel them."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import random
import threading
import time
import typing as t

import psycopg2
import psycopg2.extensions

from tests.lab.postgresql.server import dsn
from tests.lab.state import Lab, LabError, wait_until

SERVICES = ("checkout-api", "signing-api", "ledger-api", "portal")
REPORTS = ("monthly-report", "audit-export", "bi-extract", "reconciliation")
MIGRATIONS = ("migrate", "flyway", "alembic", "schema-sync")
LONG = 86400
RUNBOOKS_ROLES = "custody_monitor, custody_mitigation, custody_admin"


@dataclasses.dataclass(frozen=True)
class Session:
    """One client session of a fault. ``key`` is what a finding calls it where that is not its pid."""

    role: str
    pid: int
    backend_start: str
    user: str
    application: str
    database: str
    key: str = ""


@contextlib.contextmanager
def superuser(lab: Lab, database: str = "custody_db") -> t.Iterator[psycopg2.extensions.cursor]:
    """One session of the superuser, in autocommit."""
    connection = psycopg2.connect(dsn(lab, "postgres", database))
    connection.autocommit = True
    with contextlib.closing(connection), connection.cursor() as cursor:
        yield cursor


class Fault:
    """The sessions of one fault, each on its own connection and thread.

    A published fault tells its sessions in the lab's folder and is ended by ``heal``, together with its process; another one
    belongs to the process that made it, and ends with ``close``.
    """

    def __init__(self, lab: Lab, name: str, seed: int, *, published: bool = False) -> None:
        self.lab = lab
        self.published = published
        self._connections: list[psycopg2.extensions.connection] = []
        self.name = name
        self.draw = random.Random(f"{name} {seed}")
        self.sessions: list[Session] = []
        self.ended: list[dict[str, t.Any]] = []
        self._lock = threading.Lock()

    def connect(self, role: str, user: str, application: str, database: str = "custody_db") -> psycopg2.extensions.connection:
        connection = psycopg2.connect(dsn(self.lab, user, database, application))
        with connection.cursor() as cursor:
            cursor.execute("SELECT backend_start::text FROM pg_stat_activity WHERE pid = pg_backend_pid()")
            row = cursor.fetchone() or ("",)
        connection.rollback()
        self.sessions.append(Session(role, connection.info.backend_pid, str(row[0]), user, application, database))
        self._keep(connection)
        return connection

    def hold(self, connection: psycopg2.extensions.connection, *statements: str) -> None:
        """Runs statements in an open transaction and leaves the session idle in it; without any it is only idle."""
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)

    def issue(self, connection: psycopg2.extensions.connection, *statements: str) -> None:
        """Sends statements that will wait or run for long, in a thread; what becomes of them is written down."""
        threading.Thread(target=self._issue, args=(connection, statements), daemon=True).start()

    def work(self, connection: psycopg2.extensions.connection, statement: str, pause: float = 0.2) -> None:
        """Runs a statement again and again until the session ends.

        Clients that pause leave a processor idle once each statement is quick; those that never do keep it busy for ever.
        """
        connection.autocommit = True

        def go_on() -> None:
            with contextlib.suppress(psycopg2.Error), connection.cursor() as cursor:
                while True:
                    cursor.execute(statement)
                    time.sleep(pause)

        threading.Thread(target=go_on, daemon=True).start()

    def poll(self, connection: psycopg2.extensions.connection, statement: str, pause: float) -> None:
        """Asks something again and again within the open transaction of a session."""

        def go_on() -> None:
            with contextlib.suppress(psycopg2.Error), connection.cursor() as cursor:
                while True:
                    cursor.execute(statement)
                    time.sleep(pause)

        threading.Thread(target=go_on, daemon=True).start()

    def _keep(self, connection: psycopg2.extensions.connection) -> None:
        # A connection object that is collected closes its session; the fault must stand until healed.
        self._connections.append(connection)

    def close(self) -> None:
        """Ends the sessions; a statement that still runs is cancelled first."""
        for connection in self._connections:
            with contextlib.suppress(psycopg2.Error):
                connection.cancel()
                connection.close()

    def _issue(self, connection: psycopg2.extensions.connection, statements: tuple[str, ...]) -> None:
        outcome = "done"
        try:
            with connection.cursor() as cursor:
                for statement in statements:
                    cursor.execute(statement)
            connection.commit()
        except psycopg2.Error as error:
            outcome = error.pgcode or type(error).__name__
        with self._lock:
            self.ended.append({"pid": connection.info.backend_pid if not connection.closed else None,
                               "statement": statements[-1], "outcome": outcome, "at": time.time()})  # fmt: skip
            self.publish()

    def publish(self) -> None:
        if not self.published:
            return
        self.lab.write(
            f"faults/{self.name}.json",
            {"pid": os.getpid(), "sessions": [dataclasses.asdict(s) for s in self.sessions], "ended": self.ended},
        )

    def waiting(self, database: str) -> int:
        pids = [session.pid for session in self.sessions if session.database == database]
        connection = psycopg2.connect(dsn(self.lab, "postgres", database))
        with connection, connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE pid = ANY(%s) AND wait_event_type = 'Lock'", (pids,))
            row = cursor.fetchone() or (0,)
        connection.close()
        return int(row[0])

    def until_waiting(self, number: int, database: str = "custody_db") -> None:
        wait_until(lambda: self.waiting(database) >= number, 20, f"{number} waiting sessions of {self.name}", 0.05)


@dataclasses.dataclass(frozen=True)
class Kind:
    """How a fault comes about, what heals what its sessions do not hold, whether the application waits for locks, and whether
    the lab's users feel it (one that they do not feel waits by itself until it stands)."""

    begin: t.Callable[[Fault], None]
    heal: t.Callable[[Lab], None] | None = None
    locks: bool = False
    felt: bool = True


def suffers(lab: Lab) -> bool:
    """Whether the application's users are badly off at this moment: slow answers, or none."""
    load = lab.read("load.json") or {}
    return bool(load.get("p95_ms", 0) > 500 or load.get("errors", 0) > 0.1 * max(1, load.get("requests", 1)))


def lasts(lab: Lab, seconds: float) -> bool:
    """Whether the users are badly off within a while, and stay so for some seconds: a moment's suffering may soon be over."""
    try:
        wait_until(lambda: suffers(lab), 4, "suffering", 0.1)
    except LabError:
        return False
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if not suffers(lab):
            return False
        time.sleep(0.1)
    return True


def grow(fault: Fault, add: t.Callable[[], None], *, at_once: int, most: int, lasting: float = 0.0) -> None:
    """Adds clients until the lab's users feel them, for so many seconds, so that a fault does not depend on how quick the machine
    is.

    Raises LabError when they do not with the most that there may be.
    """
    for number in range(most):
        add()
        if (number + 1) % at_once:
            continue
        if lasts(fault.lab, lasting):
            return
    raise LabError(f"{fault.name}: {most} clients are not enough for the users to feel it")
