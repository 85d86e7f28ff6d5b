"""Decoys: what looks bad and harms nobody."""

from __future__ import annotations

import time

from tests.lab.postgresql.core import LONG, MIGRATIONS, REPORTS, SERVICES, Fault, Kind, superuser
from tests.lab.postgresql.locks import WRITE, queue_ddl
from tests.lab.postgresql.server import give_way
from tests.lab.postgresql.work import HOG
from tests.lab.state import Lab


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


def busy_report(fault: Fault) -> None:
    """One report at full processor time; users hardly notice."""
    report = fault.connect("decoy", "reporting", fault.draw.choice(REPORTS))
    give_way(report.info.backend_pid)
    fault.issue(report, HOG)


def pgbench(fault: Fault) -> None:
    """Three clients of a benchmark, at full processor time; users hardly notice."""
    for _ in range(3):
        client = fault.connect("decoy", "batch", "pgbench")
        give_way(client.info.backend_pid)
        fault.work(client, "SELECT sum(length(md5(note))) FROM batch_jobs", pause=0.0)


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


def leader(fault: Fault) -> None:
    """A leader holds an advisory lock, as it should, and its standbys wait for it all day."""
    fault.hold(fault.connect("decoy", "custody_app", "scheduler"), "SELECT pg_advisory_lock(4711)")
    for _ in range(fault.draw.randint(4, 8)):
        fault.issue(fault.connect("decoy", "custody_app", "scheduler"), "SELECT pg_advisory_lock(4711)")
    fault.until_waiting(4)
    time.sleep(1.5)


def index_behind_dump(fault: Fault) -> None:
    """A dump has a snapshot, and an index that is built beside it waits for its end, as it should."""
    dump = fault.connect("decoy", "reporting", "pg_dump")
    dump.set_session(isolation_level="REPEATABLE READ")
    fault.issue(dump, f"SELECT count(*), pg_sleep({LONG}) FROM batch_jobs")
    time.sleep(0.2)
    building = fault.connect("decoy", "custody_owner", fault.draw.choice(MIGRATIONS))
    building.autocommit = True
    fault.issue(building, "CREATE INDEX CONCURRENTLY batch_jobs_done ON batch_jobs (done)")
    fault.until_waiting(1)
    time.sleep(1.5)


def no_index_of_batch_jobs(lab: Lab) -> None:
    with superuser(lab) as cursor:
        cursor.execute("DROP INDEX IF EXISTS batch_jobs_done")


def one_waiter(fault: Fault) -> None:
    """One job of the application waits for another one: nobody else does."""
    tenant = 40  # no user of the lab's load has this one
    fault.hold(fault.connect("decoy", "custody_app", "nightly-close"), WRITE.format(tenant))
    fault.issue(fault.connect("decoy", "custody_app", "nightly-close"), WRITE.format(tenant))
    fault.until_waiting(1)
    time.sleep(1.5)


def own_migration(fault: Fault) -> None:
    """The application's own role changes a table that nobody uses, and waits for a report on it."""
    with superuser(fault.lab) as cursor:
        cursor.execute("CREATE TABLE IF NOT EXISTS scratch (id int); ALTER TABLE scratch OWNER TO custody_app")
        cursor.execute("GRANT SELECT ON scratch TO reporting")
    fault.issue(
        fault.connect("decoy", "reporting", fault.draw.choice(REPORTS)), f"SELECT count(*), pg_sleep({LONG}) FROM scratch"
    )
    time.sleep(0.2)
    fault.issue(fault.connect("decoy", "custody_app", fault.draw.choice(SERVICES)), "ALTER TABLE scratch ADD COLUMN note text")
    fault.until_waiting(1)
    time.sleep(1.5)


def no_scratch(lab: Lab) -> None:
    with superuser(lab) as cursor:
        cursor.execute("DROP TABLE IF EXISTS scratch")


def polled_transaction(fault: Fault) -> None:
    """A transaction that has been open for long and is polled all the time."""
    connection = fault.connect("forgotten", "batch", "poller")
    fault.hold(connection, "SELECT count(*) FROM batch_jobs")
    fault.poll(connection, "SELECT 1", 0.1)
    time.sleep(2.5)


FAULTS: dict[str, Kind] = {
    "decoy-load": Kind(decoy_load),
    "decoy-elsewhere": Kind(decoy_elsewhere),
    "decoy-sessions": Kind(decoy_sessions),
    "busy-report": Kind(busy_report),
    "pgbench": Kind(pgbench),
    "most-connections": Kind(most_connections),
    "forgotten-transaction": Kind(forgotten_transaction),
    "leader": Kind(leader),
    "index-behind-dump": Kind(index_behind_dump, no_index_of_batch_jobs),
    "one-waiter": Kind(one_waiter),
    "own-migration": Kind(own_migration, no_scratch),
    "polled-transaction": Kind(polled_transaction),
}
