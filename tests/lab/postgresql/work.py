"""Faults of work: what the processors are busy with, and what statements read too much."""

from __future__ import annotations

import dataclasses
import io
import itertools
import threading
import time

import psycopg2

from tests.lab.app import IMPORTED, LOOK_UP
from tests.lab.postgresql.core import LONG, SERVICES, Fault, Kind, Session, grow, superuser
from tests.lab.state import Lab, wait_until

# The series is made as it is read, so that nothing of it is written to a disk.
HOG = "SELECT count(*) FROM (SELECT generate_series(1, 1000000000) AS i OFFSET 0) s WHERE md5(i::text) < '0'"


def long_query(fault: Fault) -> None:
    """A dashboard that gives up and asks again: dozens of copies of a statement that never ends."""
    dashboard = fault.draw.choice(("bi-dashboard", "cohort-explorer", "fraud-screen"))

    def add() -> None:
        hog = fault.connect("hog", "reporting", dashboard)
        fault.sessions[-1] = dataclasses.replace(fault.sessions[-1], key=f"reporting/{dashboard}")
        fault.issue(hog, HOG)

    grow(fault, add, at_once=24, most=120)


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

    def add() -> None:
        statement = IMPORTED % fault.draw.randint(1, 40)
        fault.work(fault.connect("client", "custody_app", "import-worker"), statement, pause=0.1)

    grow(fault, add, at_once=12, most=60)


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

    def add() -> None:
        statement = LOOK_UP % fault.draw.randint(1, 100000)
        fault.work(fault.connect("client", "custody_app", service), statement, pause=0.05)

    grow(fault, add, at_once=24, most=96)


def index_dropped(fault: Fault) -> None:
    """A migration dropped the index on what is looked up, at an hour in which hardly anybody looks anything up."""
    fault.sessions.append(Session("table", 0, "", "custody_owner", "", "custody_db", "public.audit_entries (reference)"))
    with superuser(fault.lab) as cursor:
        cursor.execute("DROP INDEX IF EXISTS audit_entries_reference")


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


def dump(fault: Fault) -> None:
    """Dumps that nobody may cancel take the machine: COPY of what must be computed."""

    def copy(connection: psycopg2.extensions.connection) -> None:
        with connection.cursor() as cursor:
            cursor.copy_expert(f"COPY ({HOG}) TO STDOUT", io.StringIO())

    def add() -> None:
        connection = fault.connect("decoy", "reporting", "pg_dump")
        threading.Thread(target=copy, args=(connection,), daemon=True).start()

    grow(fault, add, at_once=24, most=120)


HEAVY = "SELECT count(*) FROM custody_keys a WHERE md5(md5(label || {0})) LIKE '%f' OR md5(md5(label || {1})) LIKE '%e'"


def heavy_statement(fault: Fault) -> None:
    """A new release asks for something dear, again and again."""

    def add() -> None:
        statement = HEAVY.format(fault.draw.randint(1, 9), fault.draw.randint(1, 9))
        # Without a pause, so that whoever cancels its running copies finds all of them.
        fault.work(fault.connect("client", "custody_app", "api-v2"), statement, pause=0.0)

    grow(fault, add, at_once=12, most=96)
    fault.sessions.append(Session("statement", 0, "", "custody_app", "api-v2", "custody_db", query_id_of(fault)))


def query_id_of(fault: Fault) -> str:
    """The query id of the statement that the fault's clients have at work."""
    pids = [session.pid for session in fault.sessions if session.role == "client"]
    found: list[str] = []

    def known() -> bool:
        with superuser(fault.lab) as cursor:
            cursor.execute(
                "SELECT query_id::text FROM pg_stat_activity WHERE pid = ANY (%s) AND state = 'active' LIMIT 1", (pids,)
            )
            found.extend(str(row[0]) for row in cursor.fetchall() if row[0])
        return bool(found)

    wait_until(known, 10, "the query id")
    return found[0]


def slow_statements(fault: Fault) -> None:
    """Statements of the application take long, for a reason that cannot be seen from here."""
    for _ in range(5):
        client = fault.connect("client", "custody_app", fault.draw.choice(SERVICES))
        client.autocommit = True
        fault.issue(client, f"SELECT pg_sleep({LONG})")
    time.sleep(3.0)


ORDERS = """
CREATE SCHEMA {schema};
CREATE TABLE {schema}.orders (id bigint GENERATED ALWAYS AS IDENTITY, ref varchar(40) NOT NULL, tenant_id int NOT NULL);
INSERT INTO {schema}.orders (ref, tenant_id) SELECT 'order-' || i, 1 + i % 40 FROM generate_series(1, 500000) AS i;
GRANT USAGE ON SCHEMA {schema} TO custody_app, custody_planner;
GRANT SELECT ON {schema}.orders TO custody_app, custody_planner;
"""


def missing_index_varchar(fault: Fault) -> None:
    """A look-up by a varchar in a table that two schemas have; the application's role finds it by its search path."""
    fault.sessions.append(Session("table", 0, "", "custody_owner", "", "custody_db", "eu.orders (ref)"))
    with superuser(fault.lab) as cursor:
        cursor.execute("SET ROLE custody_owner")
        cursor.execute(ORDERS.format(schema="eu"))
        cursor.execute("CREATE SCHEMA us; CREATE TABLE us.orders (LIKE eu.orders)")
        cursor.execute("GRANT USAGE ON SCHEMA us TO custody_planner; GRANT SELECT ON us.orders TO custody_planner")
        cursor.execute("RESET ROLE; ANALYZE eu.orders")

    def add() -> None:
        client = fault.connect("client", "custody_app", "order-api")
        with client.cursor() as cursor:
            cursor.execute("SET search_path = eu, public")
        client.commit()
        fault.work(client, f"SELECT count(*) FROM orders WHERE ref = 'order-{fault.draw.randint(1, 99999)}'")

    grow(fault, add, at_once=16, most=96)


def no_orders(lab: Lab) -> None:
    with superuser(lab) as cursor:
        cursor.execute("DROP SCHEMA IF EXISTS eu, us CASCADE")


LEDGER = """
CREATE TABLE ledger_lines (id bigint NOT NULL, account int NOT NULL, day int NOT NULL) PARTITION BY RANGE (day);
CREATE TABLE ledger_lines_1 PARTITION OF ledger_lines FOR VALUES FROM (1) TO (11);
CREATE TABLE ledger_lines_2 PARTITION OF ledger_lines FOR VALUES FROM (11) TO (21);
CREATE TABLE ledger_lines_3 PARTITION OF ledger_lines FOR VALUES FROM (21) TO (32);
INSERT INTO ledger_lines SELECT i, i / 5, 1 + i % 31 FROM generate_series(1, 600000) AS i;
GRANT SELECT ON ledger_lines, ledger_lines_1, ledger_lines_2, ledger_lines_3 TO custody_app, custody_planner;
"""


def missing_index_partitions(fault: Fault) -> None:
    """A look-up that reads every partition of a table whole, none of which is big by itself."""
    fault.sessions.append(Session("table", 0, "", "custody_owner", "", "custody_db", "public.ledger_lines (account)"))
    with superuser(fault.lab) as cursor:
        cursor.execute("SET ROLE custody_owner")
        cursor.execute(LEDGER)
        cursor.execute("RESET ROLE; ANALYZE ledger_lines")

    def add() -> None:
        statement = f"SELECT count(*) FROM ledger_lines WHERE {fault.draw.randint(1, 90000)} = account"
        fault.work(fault.connect("client", "custody_app", "ledger-api"), statement)

    grow(fault, add, at_once=16, most=96)


def no_ledger(lab: Lab) -> None:
    with superuser(lab) as cursor:
        cursor.execute("DROP TABLE IF EXISTS ledger_lines")


def missing_index_join(fault: Fault) -> None:
    """A statement finds a few tenants and joins them to all audit entries by a column that has no index."""
    fault.sessions.append(Session("table", 0, "", "custody_owner", "", "custody_db", "public.audit_entries (reference)"))
    with superuser(fault.lab) as cursor:
        cursor.execute("DROP INDEX IF EXISTS audit_entries_reference")

    def add() -> None:
        first = fault.draw.randint(1, 100)
        statement = (
            "SELECT count(*) FROM batch_jobs j JOIN audit_entries e ON e.reference = j.id "
            f"WHERE j.id BETWEEN {first} AND {first + 2}"
        )
        fault.work(fault.connect("client", "custody_app", "batch-api"), statement)

    with superuser(fault.lab) as cursor:
        cursor.execute("GRANT SELECT ON batch_jobs TO custody_app")
    grow(fault, add, at_once=16, most=96)


PAYMENTS = """
CREATE TABLE payments (id int PRIMARY KEY, note text);
CREATE TABLE payment_lines (line int NOT NULL, payment int NOT NULL REFERENCES payments (id));
INSERT INTO payments SELECT i FROM generate_series(1, 1000) AS i;
INSERT INTO payment_lines SELECT i, 1 + i % 500 FROM generate_series(1, 400000) AS i;
GRANT SELECT, UPDATE ON payments TO custody_app;
GRANT SELECT ON payments, payment_lines TO custody_planner;
"""


def foreign_key(fault: Fault) -> None:
    """Payments get another number; for each, all lines are read for those that refer to it: the column has no index."""
    fault.sessions.append(Session("table", 0, "", "custody_owner", "", "custody_db", "public.payment_lines (payment)"))
    with superuser(fault.lab) as cursor:
        cursor.execute("SET ROLE custody_owner")
        cursor.execute(PAYMENTS)
        cursor.execute("RESET ROLE; ANALYZE payments, payment_lines")
    numbers = itertools.count(501)

    def add() -> None:
        one = next(numbers)
        statement = f"UPDATE payments SET id = -id WHERE id IN ({one}, -{one})"
        fault.work(fault.connect("client", "custody_app", "payment-api"), statement)

    grow(fault, add, at_once=12, most=96, lasting=3.0)


def no_payments(lab: Lab) -> None:
    with superuser(lab) as cursor:
        cursor.execute("DROP TABLE IF EXISTS payment_lines, payments")


FAULTS: dict[str, Kind] = {
    "foreign-key": Kind(foreign_key, no_payments),
    "long-query": Kind(long_query),
    "dump": Kind(dump),
    "heavy-statement": Kind(heavy_statement),
    "slow-statements": Kind(slow_statements, felt=False),
    "stale-statistics": Kind(stale_statistics, forget_the_batch),
    "missing-index": Kind(missing_index, index_again),
    "index-dropped": Kind(index_dropped, index_again, felt=False),
    "invalid-index": Kind(invalid_index, index_again),
    "missing-index-varchar": Kind(missing_index_varchar, no_orders),
    "missing-index-partitions": Kind(missing_index_partitions, no_ledger),
    "missing-index-join": Kind(missing_index_join, index_again),
}
