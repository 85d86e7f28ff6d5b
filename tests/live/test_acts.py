"""Acts on a real server that must hit nobody else: a pooler's next transaction, somebody's index, a limit that a person set."""

from __future__ import annotations

import contextlib
import time
import typing as t

import psycopg2
import psycopg2.extensions
import pytest

from tests import collection
from tests.lab import faults
from tests.lab.__main__ import up
from tests.lab.postgresql import server as postgres
from tests.lab.state import Lab

collection.install()

from ansible_collections.sre.runbooks.plugins.module_utils._postgresql import backend, client, index, setting
from ansible_collections.sre.runbooks.plugins.module_utils._postgresql.backend import Target, Wanted
from ansible_collections.sre.runbooks.plugins.module_utils._postgresql.connection import Login
from ansible_collections.sre.runbooks.plugins.module_utils._postgresql.effects import acting
from ansible_collections.sre.runbooks.plugins.module_utils._postgresql.errors import PostgresqlError

Json = dict[str, t.Any]


@pytest.fixture(scope="module")
def server() -> t.Iterator[Lab]:
    lab = Lab.named("acts")
    lab.end()
    try:
        up(lab, ("postgres",), "18", {})
        yield lab
    finally:
        lab.end()


def login(lab: Lab, user: str = "custody_admin") -> Login:
    part = lab.part("postgres")
    return Login("127.0.0.1", part["port"], "custody_db", user, part["passwords"][user])


@contextlib.contextmanager
def session(lab: Lab, user: str = "custody_app") -> t.Iterator[psycopg2.extensions.connection]:
    connection = psycopg2.connect(postgres.dsn(lab, user, application="pooled"))
    try:
        yield connection
    finally:
        connection.close()


def run(connection: psycopg2.extensions.connection, *statements: str) -> None:
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def target(lab: Lab, connection: psycopg2.extensions.connection) -> Target:
    """What a finding would say of a session at this moment."""
    with faults.superuser(lab) as cursor:
        cursor.execute(
            "SELECT pid, backend_start::text, xact_start::text, query_start::text FROM pg_stat_activity WHERE pid = %s",
            (connection.info.backend_pid,),
        )
        return Target(*(cursor.fetchone() or ()))


def signalled(lab: Lab, wanted: Wanted) -> tuple[list[int], list[str]]:
    """Carries it out: the pids that got a signal, and why others did not."""
    with acting(login(lab, "custody_mitigation"), check_mode=False) as connection:
        live = backend.LiveServer(connection)
        planned = backend.plan(live.choose(wanted), wanted)
        return [one["pid"] for one in backend.act(live, wanted, planned)], [one.reason for one in planned.skipped]


def test_the_next_transaction_of_a_pooled_session_is_left_alone(server: Lab) -> None:
    with session(server) as pooled:
        run(pooled, "UPDATE custody_usage SET signatures = 1 WHERE tenant_id = 1")
        guilty = target(server, pooled)
        pooled.commit()
        run(pooled, "UPDATE custody_usage SET signatures = 2 WHERE tenant_id = 2")
        assert signalled(server, Wanted("terminated", 5, (guilty,))) == ([], ["its transaction is over"])
        pooled.commit()
        run(pooled, "SELECT 1")


def test_the_transaction_that_was_named_is_ended(server: Lab) -> None:
    with session(server) as guilty:
        run(guilty, "UPDATE custody_usage SET signatures = 1 WHERE tenant_id = 1")
        pid = guilty.info.backend_pid
        assert signalled(server, Wanted("terminated", 5, (target(server, guilty),))) == ([pid], [])
        with pytest.raises(psycopg2.Error):
            run(guilty, "SELECT 1")


def test_a_session_that_begins_a_transaction_between_the_look_and_the_signal_is_left_alone(server: Lab) -> None:
    with session(server) as pooled, acting(login(server, "custody_mitigation"), check_mode=False) as connection:
        run(pooled, "SELECT 1")
        live, wanted = backend.LiveServer(connection), Wanted("terminated", 5, (target(server, pooled),), wait_seconds=0.3)
        planned = backend.plan(live.choose(wanted), wanted)
        pooled.commit()
        run(pooled, "SELECT 2")
        backend.act(live, wanted, planned)
        run(pooled, "SELECT 3")


def test_a_superuser_among_the_targets_stops_nobody_else_s_end(server: Lab) -> None:
    with session(server) as guilty, session(server, "postgres") as admin:
        run(guilty, "UPDATE custody_usage SET signatures = 1 WHERE tenant_id = 1")
        run(admin, "SELECT 1")
        wanted = Wanted("terminated", 5, (target(server, admin), target(server, guilty)))
        done, reasons = signalled(server, wanted)
        assert done == [guilty.info.backend_pid]
        assert reasons == ["it belongs to postgres, a superuser (allow_superusers)"]
        run(admin, "SELECT 1")


def isolated(lab: Lab, role: str = "billing") -> client.Client:
    wanted = client.Wanted(role, 5, "isolated", max=50)
    with acting(login(lab), check_mode=False) as connection:
        return client.act(connection, client.look(connection, role), wanted)


def test_behind_somebody_s_open_alter_role_it_gives_up_soon_and_frees_the_lock(server: Lab) -> None:
    with session(server, "postgres") as person:
        run(person, "ALTER ROLE billing CONNECTION LIMIT 7")
        started = time.monotonic()
        with pytest.raises(PostgresqlError, match="somebody else holds a lock that this needs"):
            isolated(server)
        assert time.monotonic() - started < 10
        person.rollback()
    assert isolated(server).connection_limit == 5
    with faults.superuser(server) as cursor:
        cursor.execute("ALTER ROLE billing CONNECTION LIMIT -1")


def test_a_limit_that_a_person_set_to_nobody_stays(server: Lab) -> None:
    with faults.superuser(server) as cursor:
        cursor.execute("ALTER ROLE billing CONNECTION LIMIT 0")
        try:
            assert isolated(server).connection_limit == 0
        finally:
            cursor.execute("ALTER ROLE billing CONNECTION LIMIT -1")


WANTED = index.Wanted("public", "audit_entries", "present", "odd_idx", ("tenant_id",), transaction_seconds_max=9e4)


def indexes(lab: Lab) -> list[tuple[str, bool, str]]:
    with faults.superuser(lab) as cursor:
        cursor.execute(
            "SELECT indexrelid::regclass::text, indisvalid, indrelid::regclass::text FROM pg_index "
            "WHERE indexrelid::regclass::text LIKE '%odd_idx' ORDER BY 1"
        )
        return [(str(name), bool(valid), str(table)) for name, valid, table in cursor.fetchall()]


@contextlib.contextmanager
def somebody_s(lab: Lab, statement: str) -> t.Iterator[None]:
    with faults.superuser(lab) as cursor:
        cursor.execute(f"SET ROLE custody_owner; {statement}")
        try:
            yield
        finally:
            cursor.execute("DROP INDEX IF EXISTS odd_idx; DROP TABLE IF EXISTS odd_idx")


def test_somebody_s_index_of_the_same_name_is_seen_before_anything_is_touched(server: Lab) -> None:
    with somebody_s(server, "CREATE INDEX odd_idx ON custody_usage (signatures)"):
        with pytest.raises(PostgresqlError, match="odd_idx is an index of custody_usage already, so nothing was touched"):
            with acting(login(server), check_mode=False) as connection:
                index.plan(connection, WANTED)
        assert indexes(server) == [("odd_idx", True, "custody_usage")]


def test_somebody_s_index_that_comes_in_between_is_not_what_is_cleaned_up(server: Lab) -> None:
    with acting(login(server), check_mode=False) as connection:
        planned = index.plan(connection, WANTED)
        with somebody_s(server, "CREATE INDEX odd_idx ON custody_usage (signatures)"):
            with pytest.raises(PostgresqlError, match="already exists.*nothing was left of it"):
                index.act(connection, WANTED, planned)
            assert indexes(server) == [("odd_idx", True, "custody_usage")]
        with somebody_s(server, "CREATE INDEX odd_idx ON audit_entries (reference, tenant_id)"):
            with pytest.raises(PostgresqlError, match="already exists"):
                index.act(connection, WANTED, planned)
            assert indexes(server) == [("odd_idx", True, "audit_entries")]


def test_an_index_is_not_dropped_behind_a_reader_and_stays_valid(server: Lab) -> None:
    with acting(login(server), check_mode=False) as connection:
        oid = index.act(connection, WANTED, index.plan(connection, WANTED))
        gone = index.Wanted("public", "audit_entries", "absent", "odd_idx", ("tenant_id",), oid=oid, transaction_seconds_max=0.0)
        with session(server, "reporting") as reader:
            run(reader, "SELECT count(*) FROM audit_entries WHERE id = 1")
            with pytest.raises(PostgresqlError, match=r"an index is not dropped now: .* \(reporting, pooled\)"):
                index.plan(connection, gone)
            assert indexes(server) == [("odd_idx", True, "audit_entries")]
        index.act(connection, gone, index.plan(connection, gone))
    assert indexes(server) == []


def test_an_index_that_somebody_built_anew_is_not_dropped_by_an_undo(server: Lab) -> None:
    with (
        somebody_s(server, "CREATE INDEX odd_idx ON audit_entries (tenant_id)"),
        acting(login(server), check_mode=False) as connection,
    ):
        gone = index.Wanted("public", "audit_entries", "absent", "odd_idx", ("tenant_id",), oid=1)
        with pytest.raises(PostgresqlError, match="another index now"):
            index.plan(connection, gone)
        assert indexes(server) == [("odd_idx", True, "audit_entries")]


def test_an_index_that_takes_the_name_while_it_is_dropped_stays(server: Lab) -> None:
    """Whoever may rename gives the name to another index between the look and the drop."""
    with acting(login(server), check_mode=False) as connection:
        oid = index.act(connection, WANTED, index.plan(connection, WANTED))
        gone = index.Wanted("public", "audit_entries", "absent", "odd_idx", ("tenant_id",), oid=oid, transaction_seconds_max=9e4)
        planned = index.plan(connection, gone)
        with faults.superuser(server) as cursor:
            cursor.execute("ALTER INDEX odd_idx RENAME TO other_odd_idx; ALTER INDEX custody_keys_tenant RENAME TO odd_idx")
            try:
                with pytest.raises(PostgresqlError, match="another index now"):
                    index.act(connection, gone, planned)
                cursor.execute("SELECT indisvalid FROM pg_index WHERE indexrelid = 'odd_idx'::regclass")
                assert cursor.fetchall() == [(True,)]
            finally:
                cursor.execute("ALTER INDEX odd_idx RENAME TO custody_keys_tenant; DROP INDEX other_odd_idx")


def test_a_per_cent_sign_in_a_name_is_one(server: Lab) -> None:
    """``%s`` in a name read as a placeholder once made another statement of the one that was meant."""
    with faults.superuser(server) as cursor:
        cursor.execute(
            'SET ROLE custody_owner; CREATE TABLE "odd %s %(a)s" ("%s" int); CREATE INDEX keep ON custody_keys (label)'
        )
        try:
            with acting(login(server), check_mode=False) as connection:
                wanted = index.Wanted("public", "odd %s %(a)s", "present", "odd %s", ("%s",), transaction_seconds_max=9e4)
                oid = index.act(connection, wanted, index.plan(connection, wanted))
                gone = index.Wanted("public", "odd %s %(a)s", "absent", "odd %s", ("%s",), oid=oid, transaction_seconds_max=9e4)
                planned = index.plan(connection, gone)
                assert planned.drop == ((oid, "odd %s"),)
                index.act(connection, gone, planned)
            cursor.execute("SELECT count(*) FROM pg_class WHERE relname IN ('odd %s', 'keep')")
            assert cursor.fetchone() == (1,)
        finally:
            cursor.execute('DROP TABLE "odd %s %(a)s"; DROP INDEX keep')


def test_an_advisory_lock_of_the_application_stops_nobody(server: Lab) -> None:
    with session(server) as hostile:
        run(hostile, "SELECT pg_advisory_lock(hashtext('sre.runbooks effects'))")
        assert isolated(server).connection_limit == 5
    with faults.superuser(server) as cursor:
        cursor.execute("ALTER ROLE billing CONNECTION LIMIT -1")


def test_an_advisory_lock_of_another_run_stops_this_one(server: Lab) -> None:
    with (
        acting(login(server, "custody_mitigation"), check_mode=False),
        pytest.raises(PostgresqlError, match="another run is acting on this database"),
    ):
        isolated(server)


def auto_conf(lab: Lab) -> list[tuple[str, str]]:
    with faults.superuser(lab) as cursor:
        cursor.execute("SELECT name, setting FROM pg_file_settings WHERE sourcefile LIKE '%postgresql.auto.conf' ORDER BY 1")
        return [(str(name), str(value)) for name, value in cursor.fetchall()]


def role_settings(lab: Lab) -> list[tuple[str, str]]:
    with faults.superuser(lab) as cursor:
        cursor.execute("SELECT setrole::regrole::text, setconfig::text FROM pg_db_role_setting ORDER BY 1")
        return [(str(role), str(config)) for role, config in cursor.fetchall()]


def alter(lab: Lab, wanted: setting.Wanted) -> None:
    with acting(login(lab), check_mode=False) as connection:
        setting.look(connection, wanted)
        setting.act(connection, wanted)


@pytest.mark.parametrize("before", [None, "FIRST 1 (standby_c)"])
def test_the_standbys_are_given_up_and_waited_for_again(server: Lab, before: str | None) -> None:
    with faults.superuser(server) as cursor:
        if before:
            cursor.execute("ALTER SYSTEM SET synchronous_standby_names = %s", (before,))
            cursor.execute("SELECT pg_reload_conf()")
    was = auto_conf(server)
    try:
        alter(server, setting.Wanted("synchronous_standby_names", "", expected=before, known=True))
        assert ("synchronous_standby_names", "") in auto_conf(server)
        alter(server, setting.Wanted("synchronous_standby_names", before, expected="", known=True))
        assert auto_conf(server) == was
        with pytest.raises(PostgresqlError, match="somebody has changed it since"):
            alter(server, setting.Wanted("synchronous_standby_names", "x", expected="y", known=True))
    finally:
        with faults.superuser(server) as cursor:
            cursor.execute("ALTER SYSTEM RESET synchronous_standby_names")
            cursor.execute("SELECT pg_reload_conf()")


def test_a_role_gets_a_time_limit_for_its_statements_and_loses_it(server: Lab) -> None:
    was = role_settings(server)
    wanted = setting.Wanted("statement_timeout", "5s", "custody_app", "custody_db", known=True)
    alter(server, wanted)
    with session(server) as limited, limited.cursor() as cursor:
        cursor.execute("SHOW statement_timeout")
        assert cursor.fetchone() == ("5s",)
    alter(server, setting.Wanted("statement_timeout", None, "custody_app", "custody_db", expected="5s", known=True))
    assert role_settings(server) == was


def test_a_setting_of_the_command_line_cannot_be_changed(server: Lab) -> None:
    with pytest.raises(PostgresqlError, match="given on the server's command line"):
        alter(server, setting.Wanted("autovacuum_naptime", "1min"))


def test_a_statement_is_cancelled_by_its_query_id_and_nobody_else_s(server: Lab) -> None:
    fault = faults.Fault(server, "heavy", 1)
    try:
        for user in ("custody_app", "reporting"):
            fault.issue(fault.connect(user, user, "heavy"), "SELECT count(*), pg_sleep(86400) FROM tenants WHERE id > 5")
        other = fault.connect("other", "custody_app", "other")
        fault.issue(other, "SELECT pg_sleep(86400)")
        pids = {one.role: one.pid for one in fault.sessions}
        with faults.superuser(server) as cursor:
            faults.wait_until(lambda: _active(cursor, list(pids.values())) == 3, 10, "three statements")
            cursor.execute("SELECT query_id::text FROM pg_stat_activity WHERE pid = %s", (pids["custody_app"],))
            query_id = (cursor.fetchone() or ("",))[0]
            match: Json = {"users": ["custody_app"], "applications": None, "databases": ["custody_db"], "states": ["active"],
                           "query_ids": [query_id], "older_than": 0.0}  # fmt: skip
            assert signalled(server, Wanted("canceled", 5, match=match))[0] == [pids["custody_app"]]
            assert _active(cursor, [pids["reporting"], pids["other"]]) == 2
    finally:
        fault.close()


def _active(cursor: psycopg2.extensions.cursor, pids: list[int]) -> int:
    cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE pid = ANY (%s) AND state = 'active'", (pids,))
    return int((cursor.fetchone() or (0,))[0])
