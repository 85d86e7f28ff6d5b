"""What can be broken in the lab. A fault is held by real client sessions until ``heal``; it never gives up by itself.

Names, sizes and depths are drawn from a seed, so that a scenario can be played again exactly.
"""

from __future__ import annotations

import contextlib
import dataclasses
import http.server
import itertools
import os
import pathlib
import random
import select
import signal
import sys
import threading
import time
import typing as t

import psycopg2
import psycopg2.extensions

from tests.lab.app import IMPORTED, LOOK_UP
from tests.lab.load import TENANTS
from tests.lab.postgres import dsn
from tests.lab.state import Lab, LabError, end_process, process_start, wait_until

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

    def work(self, connection: psycopg2.extensions.connection, statement: str, pause: float = 0.0) -> None:
        """Runs a statement again and again, with a pause between, until the session ends."""
        connection.autocommit = True

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


def queue_ddl(fault: Fault, database: str, table: str, readers: int, user: str, statement: str = "") -> None:
    """A long report, a migration that queues behind it, and readers that queue behind the migration."""
    report = fault.connect("report", "reporting", fault.draw.choice(REPORTS), database)
    fault.issue(report, f"SELECT count(*), pg_sleep({LONG}) FROM {table}")
    time.sleep(0.1)
    ddl = fault.connect("ddl", "custody_owner", fault.draw.choice(MIGRATIONS), database)
    before = fault.waiting(database)
    fault.issue(ddl, statement or f"ALTER TABLE {table} ADD COLUMN note_{fault.draw.randint(1, 999)} text")
    fault.until_waiting(before + 1, database)
    service = fault.draw.choice(SERVICES)
    for _ in range(readers):
        reader = fault.connect("reader", user, service, database)
        reader.autocommit = True
        fault.issue(reader, f"SELECT count(*) FROM {table} WHERE tenant_id = {fault.draw.randint(1, 40)}")
    fault.until_waiting(before + 1 + readers, database)


def queued_ddl(fault: Fault) -> None:
    """A migration queues behind a long report, and fifty readers behind the migration."""
    queue_ddl(fault, "custody_db", "custody_keys", 50, "custody_app")


def queued_lock(fault: Fault) -> None:
    """The same with an explicit lock, and fewer who wait."""
    statement = "LOCK TABLE custody_keys IN ACCESS EXCLUSIVE MODE"
    queue_ddl(fault, "custody_db", "custody_keys", fault.draw.randint(10, 25), "custody_app", statement)


WRITE = "UPDATE custody_usage SET signatures = signatures + 1 WHERE tenant_id = {}"


def hold_rows(fault: Fault, holder: str, tenants: list[int], waiters: int) -> None:
    """A session idle in transaction holds the first tenant's row, the next waits for it and holds the next, and so on."""
    service = fault.draw.choice(SERVICES)
    before = fault.waiting("custody_db")
    fault.hold(fault.connect(holder, "custody_app", service), WRITE.format(tenants[0]))
    for number, (above, below) in enumerate(itertools.pairwise(tenants), start=1):
        link = fault.connect("waiter", "custody_app", service)
        fault.issue(link, WRITE.format(below), WRITE.format(above))
        fault.until_waiting(before + number)
    for number in range(waiters - len(tenants) + 1):
        waiter = fault.connect("waiter", "custody_app", service)
        waiter.autocommit = True
        fault.issue(waiter, WRITE.format(tenants[number % len(tenants)]))
    fault.until_waiting(before + waiters)


def blocking(fault: Fault) -> None:
    """A session idle in transaction holds one row; others wait for it, and others again for those."""
    hold_rows(fault, "holder", fault.draw.sample(range(1, TENANTS + 1), 2), 50)


def blocking_deep(fault: Fault) -> None:
    """Four or five levels deep, few who wait."""
    hold_rows(fault, "holder", fault.draw.sample(range(1, TENANTS + 1), fault.draw.randint(4, 5)), fault.draw.randint(12, 20))


def two_roots(fault: Fault) -> None:
    """Two sessions, of which each holds others up."""
    tenants = fault.draw.sample(range(1, TENANTS + 1), 4)
    hold_rows(fault, "holder", tenants[:2], fault.draw.randint(10, 18))
    hold_rows(fault, "holder", tenants[2:], fault.draw.randint(10, 18))


def blocking_at_work(fault: Fault) -> None:
    """A batch that is at work holds every row that the application writes."""
    batch = fault.connect("holder", "custody_owner", "nightly-batch")
    fault.issue(batch, "UPDATE custody_usage SET signatures = signatures", f"SELECT pg_sleep({LONG})")
    time.sleep(0.3)
    service = fault.draw.choice(SERVICES)
    for _ in range(fault.draw.randint(10, 25)):
        fault.issue(fault.connect("waiter", "custody_app", service), WRITE.format(fault.draw.randint(1, TENANTS)))
    fault.until_waiting(10)


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


def decoy_elsewhere(fault: Fault) -> None:
    """A queued migration in another database of the server: it looks bad and harms nobody here."""
    queue_ddl(fault, "analytics_db", "events", fault.draw.randint(5, 12), "batch")


def decoy_sessions(fault: Fault) -> None:
    """A report that sleeps and a crowd of idle sessions, in an open transaction or not: nobody waits for any of them."""
    report = fault.connect("decoy", "reporting", fault.draw.choice(REPORTS))
    fault.issue(report, f"SELECT count(*), pg_sleep({LONG}) FROM tenants")
    for _ in range(fault.draw.randint(10, 20)):
        fault.hold(fault.connect("decoy", "batch", "nightly-batch"))
    fault.hold(fault.connect("decoy", "batch", "nightly-batch"), "SELECT count(*) FROM batch_jobs")


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
    before = fault.waiting("custody_db")
    for _ in range(5):
        waiter = fault.connect("waiter", "custody_app", fault.draw.choice(SERVICES))
        fault.issue(waiter, f"UPDATE custody_usage SET signatures = 1 WHERE tenant_id = {tenant}")
    fault.until_waiting(before + 5)


def roll_back_prepared(lab: Lab) -> None:
    """Ends the orphans of a healed fault, which no session holds."""
    with superuser(lab) as cursor:
        cursor.execute("SELECT gid FROM pg_prepared_xacts WHERE database = current_database()")
        for (gid,) in cursor.fetchall():
            cursor.execute("ROLLBACK PREPARED %s", (gid,))


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


HOG = "SELECT count(*) FROM generate_series(1, 1000000000) AS i WHERE md5(i::text) < '0'"


def long_query(fault: Fault) -> None:
    """A dashboard that gives up and asks again: four dozen copies of a statement that never ends."""
    dashboard = fault.draw.choice(("bi-dashboard", "cohort-explorer", "fraud-screen"))
    for _ in range(48):
        hog = fault.connect("hog", "reporting", dashboard)
        fault.sessions[-1] = dataclasses.replace(fault.sessions[-1], key=f"reporting/{dashboard}")
        fault.issue(hog, HOG)


def busy_report(fault: Fault) -> None:
    """One report at full processor time; users hardly notice."""
    fault.issue(fault.connect("decoy", "reporting", fault.draw.choice(REPORTS)), HOG)


def pgbench(fault: Fault) -> None:
    """Three clients of a benchmark, at full processor time; users hardly notice."""
    for _ in range(3):
        fault.work(fault.connect("decoy", "batch", "pgbench"), "SELECT sum(length(md5(note))) FROM batch_jobs")


def most_connections(fault: Fault) -> None:
    """Six of ten connections in use, and a report that comes and goes."""
    for _ in range(80):
        fault.connect("decoy", "batch", "idle-pool")
    report = fault.connect("decoy", "reporting", "ad-hoc")
    fault.work(report, "SELECT count(*) FROM generate_series(1, 200000) AS i WHERE md5(i::text) < '0'", pause=1.0)


def forgotten_transaction(fault: Fault) -> None:
    """Somebody's open transaction that has read a table and does nothing since."""
    fault.hold(fault.connect("forgotten", "batch", "psql"), "SELECT count(*) FROM batch_jobs")
    time.sleep(1.5)


def stale_statistics(fault: Fault) -> None:
    """Today's batch was loaded and nobody analyzed the table: the planner believes that the batch is empty."""
    fault.sessions.append(Session("table", 0, "", "custody_owner", "", "custody_db", "public.import_lines"))
    first = 1000000 + fault.draw.randint(0, 9) * 100000
    with superuser(fault.lab) as cursor:
        cursor.execute("ALTER TABLE import_lines SET (autovacuum_enabled = false)")
        cursor.execute(
            "INSERT INTO import_lines SELECT i, i - 1, 99, 9, 1 + i %% 40 FROM generate_series(%s, %s) AS i",
            (first, first + 3199),
        )
    for _ in range(12):
        statement = IMPORTED % fault.draw.randint(1, 40)
        fault.work(fault.connect("client", "custody_app", "import-worker"), statement, pause=0.1)


def forget_the_batch(lab: Lab) -> None:
    with superuser(lab) as cursor:
        cursor.execute("DELETE FROM import_lines WHERE batch = 99")
        cursor.execute("ALTER TABLE import_lines RESET (autovacuum_enabled)")
        cursor.execute("VACUUM ANALYZE import_lines")


def missing_index(fault: Fault) -> None:
    """A migration dropped the index on what everybody looks up."""
    fault.sessions.append(Session("table", 0, "", "custody_owner", "", "custody_db", "public.audit_entries (reference)"))
    with superuser(fault.lab) as cursor:
        cursor.execute("DROP INDEX IF EXISTS audit_entries_reference")
    service = fault.draw.choice(SERVICES)
    for _ in range(24):
        statement = LOOK_UP % fault.draw.randint(1, 100000)
        fault.work(fault.connect("client", "custody_app", service), statement, pause=0.05)


def invalid_index(fault: Fault) -> None:
    """The same, after somebody tried to build it again and gave up: an INVALID index is left, which helps nobody."""
    with superuser(fault.lab) as cursor:
        cursor.execute("CREATE INDEX audit_entries_again ON audit_entries (reference)")
        cursor.execute("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'audit_entries_again'::regclass")
    missing_index(fault)


def index_again(lab: Lab) -> None:
    with superuser(lab) as cursor:
        cursor.execute("DROP INDEX IF EXISTS audit_entries_again")
        cursor.execute("DROP INDEX IF EXISTS audit_entries_reference_idx")
        cursor.execute("CREATE INDEX IF NOT EXISTS audit_entries_reference ON audit_entries (reference)")


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


def app_at_work(lab: Lab) -> None:
    lab.file("app.json").unlink(missing_ok=True)


@dataclasses.dataclass(frozen=True)
class Kind:
    """How a fault comes about, what heals what its sessions do not hold, and whether the application waits for locks."""

    begin: t.Callable[[Fault], None]
    heal: t.Callable[[Lab], None] | None = None
    locks: bool = False


FAULTS: dict[str, Kind] = {
    "queued-ddl": Kind(queued_ddl, locks=True),
    "queued-lock": Kind(queued_lock, locks=True),
    "blocking": Kind(blocking, locks=True),
    "blocking-deep": Kind(blocking_deep, locks=True),
    "blocking-at-work": Kind(blocking_at_work, locks=True),
    "two-roots": Kind(two_roots, locks=True),
    "prepared-orphan": Kind(prepared_orphan, roll_back_prepared, locks=True),
    "connection-leak": Kind(connection_leak, release_clients),
    "no-way-in": Kind(no_way_in, a_way_in),
    "long-query": Kind(long_query),
    "stale-statistics": Kind(stale_statistics, forget_the_batch),
    "missing-index": Kind(missing_index, index_again),
    "invalid-index": Kind(invalid_index, index_again),
    "outside-slow": Kind(outside_slow, app_at_work),
    "app-stalled": Kind(app_stalled, app_at_work),
    "decoy-load": Kind(decoy_load),
    "decoy-elsewhere": Kind(decoy_elsewhere),
    "decoy-sessions": Kind(decoy_sessions),
    "busy-report": Kind(busy_report),
    "pgbench": Kind(pgbench),
    "most-connections": Kind(most_connections),
    "forgotten-transaction": Kind(forgotten_transaction),
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

    wait_until(stands, 60, name)
    return t.cast("dict[str, t.Any]", lab.read(f"faults/{name}.json"))


def heal(lab: Lab, name: str) -> None:
    """Ends a fault's process and its sessions; the server then rolls their transactions back."""
    told = lab.read(f"faults/{name}.json")
    if told is None:
        raise LabError(f"{name} does not stand; standing: {', '.join(standing(lab)) or 'nothing'}")
    end_process(told["pid"], signal.SIGKILL)
    pids = [session["pid"] for session in told["sessions"]]
    starts = {session["pid"]: session["backend_start"] for session in told["sessions"]}
    with superuser(lab, "postgres") as cursor:
        for database_pid, start in starts.items():
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = %s AND backend_start::text = %s",
                (database_pid, start),
            )

        def gone() -> bool:
            cursor.execute("SELECT pid, backend_start::text FROM pg_stat_activity WHERE pid = ANY(%s)", (pids,))
            return not any(starts[row[0]] == row[1] for row in cursor.fetchall())

        wait_until(gone, 10, f"the end of the sessions of {name}")
    mend = FAULTS[name].heal
    if mend is not None:
        mend(lab)
    lab.file("faults", f"{name}.json").unlink()


def standing(lab: Lab) -> list[str]:
    return sorted(path.stem for path in lab.file("faults").glob("*.json"))


def main() -> None:
    lab, name, seed = Lab("", pathlib.Path(sys.argv[1])), sys.argv[2], int(sys.argv[3])
    fault = Fault(lab, name, seed, published=True)
    FAULTS[name].begin(fault)
    fault.publish()
    for _ in itertools.count():
        signal.pause()


if __name__ == "__main__":
    main()
