"""What can be broken in the lab. A fault is held by real client sessions until ``heal``; it never gives up by itself.

Names, sizes and depths are drawn from a seed, so that a scenario can be played again exactly.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import os
import pathlib
import random
import signal
import sys
import threading
import time
import typing as t

import psycopg2
import psycopg2.extensions

from tests.lab.load import TENANTS
from tests.lab.postgres import dsn
from tests.lab.state import Lab, LabError, end_process, process_start, wait_until

SERVICES = ("checkout-api", "signing-api", "ledger-api", "portal")
REPORTS = ("monthly-report", "audit-export", "bi-extract", "reconciliation")
MIGRATIONS = ("migrate", "flyway", "alembic", "schema-sync")
LONG = 86400


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
        return connection

    def hold(self, connection: psycopg2.extensions.connection, *statements: str) -> None:
        """Runs statements in an open transaction and leaves the session idle in it."""
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
        self._keep(connection)

    def issue(self, connection: psycopg2.extensions.connection, *statements: str) -> None:
        """Sends statements that will wait or run for long, in a thread; what becomes of them is written down."""
        self._keep(connection)
        threading.Thread(target=self._issue, args=(connection, statements), daemon=True).start()

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


def queue_ddl(fault: Fault, database: str, table: str, readers: int, user: str) -> None:
    """A long report, a migration that queues behind it, and readers that queue behind the migration."""
    report = fault.connect("report", "reporting", fault.draw.choice(REPORTS), database)
    fault.issue(report, f"SELECT count(*), pg_sleep({LONG}) FROM {table}")
    time.sleep(0.1)
    ddl = fault.connect("ddl", "custody_owner", fault.draw.choice(MIGRATIONS), database)
    before = fault.waiting(database)
    fault.issue(ddl, f"ALTER TABLE {table} ADD COLUMN note_{fault.draw.randint(1, 999)} text")
    fault.until_waiting(before + 1, database)
    service = fault.draw.choice(SERVICES)
    for _ in range(readers):
        reader = fault.connect("reader", user, service, database)
        reader.autocommit = True
        fault.issue(reader, f"SELECT count(*) FROM {table} WHERE tenant_id = {fault.draw.randint(1, 40)}")
    fault.until_waiting(before + 1 + readers, database)


def queued_ddl(fault: Fault) -> None:
    queue_ddl(fault, "custody_db", "custody_keys", 50, "custody_app")


def blocking(fault: Fault) -> None:
    """A session idle in transaction holds one row; others wait for it, and others again for those."""
    tenants = fault.draw.sample(range(1, TENANTS + 1), 2)
    service = fault.draw.choice(SERVICES)
    write = "UPDATE custody_usage SET signatures = signatures + 1 WHERE tenant_id = {}"
    holder = fault.connect("holder", "custody_app", service)
    fault.hold(holder, write.format(tenants[0]))
    second = fault.connect("waiter", "custody_app", service)
    fault.issue(second, write.format(tenants[1]), write.format(tenants[0]))
    fault.until_waiting(1)
    first_level = fault.draw.randint(10, 30)
    for number in range(49):
        waiter = fault.connect("waiter", "custody_app", service)
        waiter.autocommit = True
        fault.issue(waiter, write.format(tenants[0 if number < first_level else 1]))
    fault.until_waiting(50)


def decoy_load(fault: Fault) -> None:
    """The same kinds of session on another table and in another database: it looks bad and harms nobody."""
    queue_ddl(fault, "analytics_db", "events", fault.draw.randint(5, 12), "batch")
    idle = fault.connect("decoy", "batch", "nightly-batch")
    fault.hold(idle, f"UPDATE batch_jobs SET done = true WHERE id = {fault.draw.randint(1, 200)}")
    report = fault.connect("decoy", "reporting", fault.draw.choice(REPORTS))
    fault.issue(report, f"SELECT count(*), pg_sleep({LONG}) FROM batch_jobs")
    time.sleep(0.1)
    ddl = fault.connect("decoy", "custody_owner", fault.draw.choice(MIGRATIONS))
    before = fault.waiting("custody_db")
    fault.issue(ddl, "ALTER TABLE batch_jobs ADD COLUMN shard int")
    fault.until_waiting(before + 1)


def prepared_orphan(fault: Fault) -> None:
    """A transaction manager prepares a transaction and dies: its lock outlives its session."""
    tenant = fault.draw.randint(1, TENANTS)
    manager = fault.connect("manager", "custody_app", "tx-manager")
    gid = f"order-{fault.draw.randint(1000, 9999)}"
    with manager.cursor() as cursor:
        cursor.execute(f"UPDATE custody_usage SET signatures = 0 WHERE tenant_id = {tenant}")
        cursor.execute("PREPARE TRANSACTION %s", (gid,))
    manager.close()
    fault.sessions[-1] = dataclasses.replace(fault.sessions[-1], key=gid)
    for _ in range(5):
        waiter = fault.connect("waiter", "custody_app", fault.draw.choice(SERVICES))
        fault.issue(waiter, f"UPDATE custody_usage SET signatures = 1 WHERE tenant_id = {tenant}")
    fault.until_waiting(5)


def roll_back_prepared(lab: Lab) -> None:
    """Ends the orphans of a healed fault, which no session holds."""
    connection = psycopg2.connect(dsn(lab, "postgres"))
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("SELECT gid FROM pg_prepared_xacts WHERE database = current_database()")
        for (gid,) in cursor.fetchall():
            cursor.execute("ROLLBACK PREPARED %s", (gid,))
    connection.close()


FAULTS: dict[str, t.Callable[[Fault], None]] = {
    "queued-ddl": queued_ddl,
    "blocking": blocking,
    "decoy-load": decoy_load,
    "prepared-orphan": prepared_orphan,
}


def break_it(lab: Lab, name: str, seed: int) -> dict[str, t.Any]:
    """Starts a fault and returns when it stands. Raises LabError for an unknown name or one that stands already."""
    if name not in FAULTS:
        raise LabError(f"there is no fault {name!r}; there are: {', '.join(FAULTS)}")
    if lab.read(f"faults/{name}.json"):
        raise LabError(f"{name} stands already: python -m tests.lab heal {name}")
    pid = lab.spawn("tests.lab.faults", name, str(seed))

    def stands() -> bool:
        if process_start(pid) is None:
            raise LabError(f"{name} did not come about:\n{lab.file('log', 'faults.log').read_text()[-1500:]}")
        return lab.read(f"faults/{name}.json") is not None

    wait_until(stands, 30, name)
    return t.cast("dict[str, t.Any]", lab.read(f"faults/{name}.json"))


def heal(lab: Lab, name: str) -> None:
    """Ends a fault's process and its sessions; the server then rolls their transactions back."""
    told = lab.read(f"faults/{name}.json")
    if told is None:
        raise LabError(f"{name} does not stand; standing: {', '.join(standing(lab)) or 'nothing'}")
    end_process(told["pid"], signal.SIGKILL)
    pids = [session["pid"] for session in told["sessions"]]
    starts = {session["pid"]: session["backend_start"] for session in told["sessions"]}
    connection = psycopg2.connect(dsn(lab, "postgres", "postgres"))
    connection.autocommit = True
    with connection.cursor() as cursor:
        for database_pid, start in starts.items():
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = %s AND backend_start::text = %s",
                (database_pid, start),
            )

        def gone() -> bool:
            cursor.execute("SELECT pid, backend_start::text FROM pg_stat_activity WHERE pid = ANY(%s)", (pids,))
            return not any(starts[row[0]] == row[1] for row in cursor.fetchall())

        wait_until(gone, 10, f"the end of the sessions of {name}")
    connection.close()
    roll_back_prepared(lab)
    lab.file("faults", f"{name}.json").unlink()


def standing(lab: Lab) -> list[str]:
    return sorted(path.stem for path in lab.file("faults").glob("*.json"))


def main() -> None:
    lab, name, seed = Lab("", pathlib.Path(sys.argv[1])), sys.argv[2], int(sys.argv[3])
    fault = Fault(lab, name, seed, published=True)
    FAULTS[name](fault)
    fault.publish()
    for _ in itertools.count():
        signal.pause()


if __name__ == "__main__":
    main()
