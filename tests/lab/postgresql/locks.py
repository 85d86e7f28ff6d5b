"""Faults of locks: who waits for whom, and for what."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import threading
import time
from collections.abc import Callable

import psycopg2
import psycopg2.extensions

from tests.lab.load import TENANTS
from tests.lab.postgresql.connections import application_sessions, release_clients
from tests.lab.postgresql.core import LONG, MIGRATIONS, REPORTS, SERVICES, Fault, Kind, Session, grow, suffers, superuser
from tests.lab.state import Lab, wait_until


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


def prepared_queue(fault: Fault) -> None:
    """A transaction manager prepares a transaction and dies; a migration queues behind it, and readers behind the migration."""
    manager = fault.connect("manager", "custody_app", "tx-manager")
    gid = f"payment-{fault.draw.randint(1000, 9999)}"
    with manager.cursor() as cursor:
        cursor.execute("UPDATE custody_keys SET active = active WHERE id = 1")
        cursor.execute("PREPARE TRANSACTION %s", (gid,))
    manager.close()
    fault.sessions[-1] = dataclasses.replace(fault.sessions[-1], key=gid)
    queue_behind(fault, "ALTER TABLE custody_keys ADD COLUMN shard int", fault.draw.randint(10, 25))


def queue_behind(fault: Fault, statement: str, readers: int) -> None:
    """A migration that waits for somebody, and readers of the keys that queue behind it."""
    ddl = fault.connect("ddl", "custody_owner", fault.draw.choice(MIGRATIONS))
    before = fault.waiting("custody_db")
    fault.issue(ddl, statement)
    fault.until_waiting(before + 1)
    for _ in range(readers):
        reader = fault.connect("reader", "custody_app", fault.draw.choice(SERVICES))
        reader.autocommit = True
        fault.issue(reader, f"SELECT count(*) FROM custody_keys WHERE tenant_id = {fault.draw.randint(1, 40)}")
    fault.until_waiting(before + 1 + readers)


def migration_halfway(fault: Fault) -> None:
    """A migration has changed one table and waits, behind a long report, for the next: the users of the first wait for it."""
    report = fault.connect("report", "reporting", fault.draw.choice(REPORTS))
    fault.issue(report, f"SELECT count(*), pg_sleep({LONG}) FROM tenants")
    time.sleep(0.2)
    ddl = fault.connect("ddl", "custody_owner", fault.draw.choice(MIGRATIONS))
    before = fault.waiting("custody_db")
    fault.issue(ddl, "ALTER TABLE custody_keys ADD COLUMN region text", "ALTER TABLE tenants ADD COLUMN region text")
    fault.until_waiting(before + 1)
    for _ in range(fault.draw.randint(10, 25)):
        reader = fault.connect("reader", "custody_app", fault.draw.choice(SERVICES))
        reader.autocommit = True
        fault.issue(reader, f"SELECT count(*) FROM custody_keys WHERE tenant_id = {fault.draw.randint(1, 40)}")
    fault.until_waiting(before + 10)


def convoy(fault: Fault, hold: Callable[[psycopg2.extensions.cursor], None]) -> None:
    """Workers that all want the rows of the same tenants, each for a moment, until the users of these rows feel it."""
    fault.sessions.append(Session("contention", 0, "", "custody_app", "", "custody_db", "custody_db"))
    service = fault.draw.choice(SERVICES)

    def work(connection: psycopg2.extensions.connection) -> None:
        with contextlib.suppress(psycopg2.Error), connection.cursor() as cursor:
            while True:
                cursor.execute("UPDATE custody_usage SET signatures = signatures + 1 WHERE tenant_id <= 10")
                hold(cursor)
                connection.commit()

    def add() -> None:
        connection = fault.connect("worker", "custody_app", service)
        threading.Thread(target=work, args=(connection,), daemon=True).start()

    grow(fault, add, at_once=40, most=80)
    wait_until(lambda: fault.waiting("custody_db") >= 20, 20, "a convoy")
    time.sleep(3.0)


def hot_rows_calling(fault: Fault) -> None:
    """Forty workers update the same rows and call somebody before they commit: idle in transaction, for a moment each."""
    convoy(fault, lambda cursor: time.sleep(fault.draw.uniform(0.06, 0.25)))


def hot_rows_working(fault: Fault) -> None:
    """Forty workers update the same rows and have something to do before they commit, for a moment each."""
    convoy(fault, lambda cursor: cursor.execute(f"SELECT pg_sleep({fault.draw.uniform(0.06, 0.25):.3f})"))


def standby_gone(fault: Fault) -> None:
    """The standby that commits wait for is gone: every commit waits, holding its locks."""
    fault.sessions.append(Session("standby", 0, "", "", "", "custody_db", "synchronous_standby_names"))
    with superuser(fault.lab) as cursor:
        cursor.execute("ALTER SYSTEM SET synchronous_standby_names = 'FIRST 1 (standby_b)'")
        cursor.execute("SELECT pg_reload_conf()")
    for tenant in fault.draw.sample(range(1, TENANTS + 1), 4):
        writer = fault.connect("victim", "custody_app", fault.draw.choice(SERVICES))
        writer.autocommit = True
        fault.issue(writer, WRITE.format(tenant))
    wait_until(lambda: waiting_for_standby(fault.lab) >= 4, 20, "commits that wait for the standby")


def waiting_for_standby(lab: Lab) -> int:
    with superuser(lab) as cursor:
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'")
        return int((cursor.fetchone() or (0,))[0])


def no_standby_wanted(lab: Lab) -> None:
    with superuser(lab) as cursor:
        cursor.execute("ALTER SYSTEM RESET synchronous_standby_names")
        cursor.execute("SELECT pg_reload_conf()")


def impatient(fault: Fault) -> None:
    """The application gives up on a lock after 300 ms and comes again; somebody has its rows, idle in transaction."""
    with superuser(fault.lab) as cursor:
        cursor.execute("ALTER ROLE custody_app SET lock_timeout = '300ms'")
    fault.lab.write("app.json", {"recycles": True})
    service = fault.draw.choice(SERVICES)
    fault.hold(fault.connect("holder", "custody_owner", "console"), "UPDATE custody_usage SET signatures = signatures")

    def come_again(connection: psycopg2.extensions.connection) -> None:
        with contextlib.suppress(psycopg2.OperationalError, psycopg2.InterfaceError), connection.cursor() as cursor:
            while True:
                with contextlib.suppress(psycopg2.errors.LockNotAvailable):
                    cursor.execute(WRITE.format(1))
                    time.sleep(0.2)

    for _ in range(fault.draw.randint(6, 12)):
        worker = fault.connect("waiter", "custody_app", service)
        worker.autocommit = True
        threading.Thread(target=come_again, args=(worker,), daemon=True).start()
    wait_until(lambda: suffers(fault.lab), 40, "writes that fail", 0.2)


def patient_again(lab: Lab) -> None:
    with superuser(lab) as cursor:
        cursor.execute("ALTER ROLE custody_app RESET lock_timeout")
        cursor.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'custody-api'")
    lab.file("app.json").unlink(missing_ok=True)


def own_lock(fault: Fault) -> None:
    """The application's workers lock a table for themselves; a console that has read it is idle in its transaction."""
    fault.hold(fault.connect("holder", "reporting", "console"), "SELECT count(*) FROM custody_keys")
    for number in range(fault.draw.randint(4, 8)):
        worker = fault.connect("waiter", "custody_app", "signing-api")
        fault.issue(worker, "LOCK TABLE custody_keys IN ACCESS EXCLUSIVE MODE")
        fault.until_waiting(number + 1)


def waiting_crowd(fault: Fault) -> None:
    """Another service waits for somebody's row with more and more sessions, until the application gets in no more."""
    with superuser(fault.lab) as cursor:
        cursor.execute("GRANT SELECT, UPDATE ON batch_jobs TO billing")
    statement = "UPDATE batch_jobs SET done = true WHERE id = 1"
    fault.hold(fault.connect("holder", "batch", "nightly-batch"), statement)
    fault.lab.write("app.json", {"recycles": True})

    def work_once(connection: psycopg2.extensions.connection) -> None:
        with contextlib.suppress(psycopg2.Error), contextlib.closing(connection), connection.cursor() as cursor:
            cursor.execute(statement)

    def full() -> bool:
        with contextlib.suppress(psycopg2.OperationalError):
            while True:
                waiter = fault.connect("waiter", "billing", "billing-worker")
                waiter.autocommit = True
                threading.Thread(target=work_once, args=(waiter,), daemon=True).start()
        return application_sessions(fault.lab) == 0

    wait_until(full, 90, "the end of the application's idle connections", 0.2)


def nobody_waits(lab: Lab) -> None:
    release_clients(lab)
    with superuser(lab) as cursor:
        cursor.execute("REVOKE SELECT, UPDATE ON batch_jobs FROM billing")


FAULTS: dict[str, Kind] = {
    "impatient": Kind(impatient, patient_again),
    "own-lock": Kind(own_lock, locks=True),
    "waiting-crowd": Kind(waiting_crowd, nobody_waits),
    "queued-ddl": Kind(queued_ddl, locks=True),
    "queued-lock": Kind(queued_lock, locks=True),
    "blocking": Kind(blocking, locks=True),
    "blocking-deep": Kind(blocking_deep, locks=True),
    "blocking-at-work": Kind(blocking_at_work, locks=True),
    "two-roots": Kind(two_roots, locks=True),
    "prepared-orphan": Kind(prepared_orphan, roll_back_prepared, locks=True),
    "prepared-queue": Kind(prepared_queue, roll_back_prepared, locks=True),
    "migration-halfway": Kind(migration_halfway, locks=True),
    "hot-rows-calling": Kind(hot_rows_calling, locks=True),
    "hot-rows-working": Kind(hot_rows_working, locks=True),
    "standby-gone": Kind(standby_gone, no_standby_wanted),
}
