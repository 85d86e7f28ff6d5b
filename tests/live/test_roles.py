"""docs/database-roles.md on a real server: its grants are enough, and each of them missing is named with what to type."""

from __future__ import annotations

import contextlib
import re
import typing as t

import psycopg2
import pytest

from tests import collection, harness
from tests.lab import faults
from tests.lab.__main__ import up
from tests.lab.faults import connections, locks, work
from tests.lab.postgresql import server as postgres
from tests.lab.state import PROJECT, Lab, wait_until

collection.install()

from ansible_collections.sre.runbooks.plugins.module_utils._postgresql import (
    backend,
    client,
    index,
    prepared,
    setting,
    statistics,
)
from ansible_collections.sre.runbooks.plugins.module_utils._postgresql.connection import Login
from ansible_collections.sre.runbooks.plugins.module_utils._postgresql.effects import acting
from ansible_collections.sre.runbooks.plugins.module_utils._postgresql.errors import PartlyDoneError, PostgresqlError
from ansible_collections.sre.runbooks.plugins.module_utils._postgresql.queries import DIAGNOSTICS
from ansible_collections.sre.runbooks.plugins.module_utils._postgresql.triage import Limits, triage

PASSWORD = "the same for all four"
ROLES = ("runbooks_monitor", "runbooks_planner", "runbooks_mitigation", "runbooks_admin")
NAMES = [diagnostic.name for diagnostic in DIAGNOSTICS]
DOCUMENT = (PROJECT / "docs" / "database-roles.md").read_text()


@pytest.fixture(scope="module")
def server() -> t.Iterator[Lab]:
    lab = Lab.named("roles")
    lab.end()
    try:
        up(lab, ("postgres",), "18", {})
        with faults.superuser(lab) as cursor:
            for block in re.findall(r"```sql\n(.*?)```", DOCUMENT, re.DOTALL):
                cursor.execute(block)
            for role in ROLES:
                cursor.execute(f"ALTER ROLE {role} PASSWORD %s", (PASSWORD,))
        yield lab
    finally:
        lab.end()


@pytest.fixture
def sessions(server: Lab) -> t.Iterator[faults.Fault]:
    """An application at work on a big table whose index is gone, a client, and a prepared transaction."""
    fault = faults.Fault(server, "roles", 1)
    fault.connect("client", "billing", "billing-worker")
    fault.issue(fault.connect("busy", "custody_app", "api"), "SELECT count(*), pg_sleep(86400) FROM tenants")
    manager = fault.connect("manager", "custody_app", "tx-manager")
    with manager.cursor() as cursor:
        cursor.execute("UPDATE custody_usage SET signatures = 0 WHERE tenant_id = 1")
        cursor.execute("PREPARE TRANSACTION 'roles-1'")
    manager.close()
    yield fault
    fault.close()
    connections.release_clients(server)
    locks.roll_back_prepared(server)
    work.index_again(server)


@contextlib.contextmanager
def without(server: Lab, take: str, give: str) -> t.Iterator[None]:
    """One of the grants taken away for a while."""
    with faults.superuser(server) as cursor:
        cursor.execute(take)
    try:
        yield
    finally:
        with faults.superuser(server) as cursor:
            cursor.execute(give)


def login(server: Lab, role: str) -> Login:
    return Login("127.0.0.1", server.part("postgres")["port"], "custody_db", role, PASSWORD)


def isolate(server: Lab, sessions: faults.Fault) -> None:
    wanted = client.Wanted("billing", 5, "isolated", max=10)
    with acting(login(server, "runbooks_admin"), check_mode=False) as connection:
        assert client.act(connection, client.look(connection, "billing"), wanted).connection_limit == 5


def build(server: Lab, sessions: faults.Fault) -> None:
    with faults.superuser(server) as cursor:
        cursor.execute("DROP INDEX IF EXISTS audit_entries_reference")
    wanted = index.Wanted("public", "audit_entries", "present", "audit_entries_reference_idx", ("reference",),
                          transaction_seconds_max=9e4)  # fmt: skip
    for session in sessions.sessions:
        if session.role == "busy":  # it would be waited for
            with faults.superuser(server) as cursor:
                cursor.execute("SELECT pg_cancel_backend(%s)", (session.pid,))
    locks.roll_back_prepared(server)
    with acting(login(server, "runbooks_admin"), check_mode=False) as connection:
        index.act(connection, wanted, index.plan(connection, wanted))


def analyze(server: Lab, sessions: faults.Fault) -> None:
    with acting(login(server, "runbooks_admin"), check_mode=False) as connection:
        statistics.analyze(connection, statistics.look(connection, "public", "tenants"), 30.0)


def roll_back(server: Lab, sessions: faults.Fault) -> None:
    with acting(login(server, "runbooks_admin"), check_mode=False) as connection:
        found = prepared.look(connection, "roles-1")
        assert found is not None
        prepared.roll_back(connection, found)


def cancel(server: Lab, sessions: faults.Fault) -> None:
    busy = next(one for one in sessions.sessions if one.role == "busy")
    with faults.superuser(server) as cursor:
        cursor.execute("SELECT query_start::text FROM pg_stat_activity WHERE pid = %s", (busy.pid,))
        target = backend.Target(busy.pid, busy.backend_start, query_start=(cursor.fetchone() or ("",))[0])
    wanted = backend.Wanted("canceled", 1, backends=(target,))
    with acting(login(server, "runbooks_mitigation"), check_mode=False) as connection:
        live = backend.LiveServer(connection)
        assert backend.act(live, wanted, backend.plan(live.choose(wanted), wanted))


def give_up_standby(server: Lab, sessions: faults.Fault) -> None:
    wanted = setting.Wanted("synchronous_standby_names", "", known=True)
    with acting(login(server, "runbooks_admin"), check_mode=False) as connection:
        setting.look(connection, wanted)
        setting.act(connection, wanted)
    locks.no_standby_wanted(server)


def undo_standby(server: Lab, sessions: faults.Fault) -> None:
    with faults.superuser(server) as cursor:
        cursor.execute("ALTER SYSTEM SET synchronous_standby_names = ''")
        cursor.execute("SELECT pg_reload_conf()")
    try:
        with acting(login(server, "runbooks_admin"), check_mode=False) as connection:
            setting.look(connection, setting.Wanted("synchronous_standby_names", None))
    finally:
        locks.no_standby_wanted(server)


def limit_time(server: Lab, sessions: faults.Fault) -> None:
    for value in ("5s", None):
        wanted = setting.Wanted("statement_timeout", value, "custody_app", "custody_db")
        with acting(login(server, "runbooks_admin"), check_mode=False) as connection:
            setting.act(connection, wanted)


def raise_limit(server: Lab, sessions: faults.Fault) -> None:
    with acting(login(server, "runbooks_admin"), check_mode=False) as connection:
        wanted = client.Wanted("custody_app", 30, "raised")
        client.act(connection, client.look(connection, "custody_app"), wanted)


ACTS: list[t.Callable[[Lab, faults.Fault], None]] = [
    isolate, build, analyze, roll_back, cancel, give_up_standby, limit_time, raise_limit,
]  # fmt: skip


@pytest.mark.parametrize("act", ACTS, ids=lambda act: act.__name__)
def test_the_documented_grants_are_enough(server: Lab, sessions: faults.Fault, act: t.Callable[..., None]) -> None:
    act(server, sessions)


# what is taken, what gives it back, the act that then fails, the statement that it names
MISSING: list[tuple[str, str, t.Callable[..., None], str]] = [
    ("REVOKE pg_signal_backend FROM runbooks_mitigation", "GRANT pg_signal_backend TO runbooks_mitigation", cancel,
     "GRANT pg_signal_backend to it"),
    ("REVOKE pg_read_all_stats FROM runbooks_mitigation", "GRANT pg_read_all_stats TO runbooks_mitigation", cancel,
     "GRANT pg_read_all_stats to the mitigation role"),
    ("ALTER ROLE runbooks_admin NOCREATEROLE", "ALTER ROLE runbooks_admin CREATEROLE", isolate,
     "ALTER ROLE runbooks_admin CREATEROLE"),
    ("REVOKE billing FROM runbooks_admin", "GRANT billing TO runbooks_admin WITH ADMIN OPTION", isolate,
     "GRANT billing TO runbooks_admin WITH ADMIN OPTION"),
    ("REVOKE custody_owner FROM runbooks_admin", "GRANT custody_owner TO runbooks_admin", build,
     "GRANT custody_owner TO runbooks_admin"),
    ("REVOKE custody_owner FROM runbooks_admin", "GRANT custody_owner TO runbooks_admin", analyze,
     "GRANT custody_owner TO runbooks_admin"),
    ("REVOKE custody_app FROM runbooks_admin", "GRANT custody_app TO runbooks_admin WITH ADMIN OPTION", roll_back,
     "GRANT custody_app TO runbooks_admin"),
    ("REVOKE custody_app FROM runbooks_admin", "GRANT custody_app TO runbooks_admin WITH ADMIN OPTION", limit_time,
     "GRANT custody_app TO runbooks_admin WITH ADMIN OPTION"),
    ("REVOKE ALTER SYSTEM ON PARAMETER synchronous_standby_names FROM runbooks_admin",
     "GRANT ALTER SYSTEM ON PARAMETER synchronous_standby_names TO runbooks_admin", give_up_standby,
     "GRANT ALTER SYSTEM ON PARAMETER synchronous_standby_names TO runbooks_admin"),
    ("REVOKE pg_read_all_settings FROM runbooks_admin", "GRANT pg_read_all_settings TO runbooks_admin", undo_standby,
     "GRANT pg_read_all_settings TO runbooks_admin"),
    ("REVOKE EXECUTE ON FUNCTION pg_reload_conf() FROM runbooks_admin",
     "GRANT EXECUTE ON FUNCTION pg_reload_conf() TO runbooks_admin", give_up_standby,
     "GRANT EXECUTE ON FUNCTION pg_reload_conf() TO runbooks_admin"),
]  # fmt: skip


@pytest.mark.parametrize(("take", "give", "act", "named"), MISSING, ids=[f"{row[0]}-{row[2].__name__}" for row in MISSING])
def test_a_missing_grant_is_named(
    server: Lab, sessions: faults.Fault, take: str, give: str, act: t.Callable[..., None], named: str
) -> None:
    with without(server, take, give), pytest.raises(PostgresqlError, match=re.escape(named)):
        act(server, sessions)


def test_a_client_that_could_only_be_limited_is_said_to_be(server: Lab, sessions: faults.Fault) -> None:
    take = "REVOKE pg_signal_backend FROM runbooks_admin"
    held = PartlyDoneError, "The connection limit of billing is 5 now (it was none)"
    # A member of the client's role may end its sessions, so that has to go too.
    admin = "REVOKE INHERIT OPTION FOR billing FROM runbooks_admin"
    give = "GRANT billing TO runbooks_admin WITH INHERIT TRUE"
    with without(server, take, "GRANT pg_signal_backend TO runbooks_admin"), without(server, admin, give):
        with pytest.raises(held[0], match=re.escape(held[1])):
            isolate(server, sessions)


def test_with_the_documented_grants_everything_is_read(server: Lab, sessions: faults.Fault) -> None:
    read = triage(login(server, "runbooks_monitor"), Limits(), NAMES)
    assert (read["gaps"], read["refusal"]) == ([], None)
    assert sum(group["hidden"] for group in read["connections"]) == 0


def test_without_pg_monitor_the_others_are_hidden(server: Lab, sessions: faults.Fault) -> None:
    with without(server, "REVOKE pg_monitor FROM runbooks_monitor", "GRANT pg_monitor TO runbooks_monitor"):
        read = triage(login(server, "runbooks_monitor"), Limits(), NAMES)
    assert sum(group["hidden"] for group in read["connections"]) > 0
    assert read["server"]["member_of_pg_read_all_stats"] is False


def test_without_select_a_plan_is_refused(server: Lab, sessions: faults.Fault) -> None:
    sessions.work(sessions.connect("reader", "custody_app", "api"), "SELECT count(*) FROM audit_entries WHERE tenant_id = 7")
    tables = "SELECT ON ALL TABLES IN SCHEMA public"

    def refusals() -> list[str]:
        limits, planner = Limits(application_users=("custody_app",)), login(server, "runbooks_planner")
        plans = triage(login(server, "runbooks_monitor"), limits, ["server", "plans"], planner)["plans"]
        return [plan["refused"] or "planned" for plan in plans if plan["command"] == "SELECT"]

    wait_until(lambda: "planned" in refusals(), 5, "a plan")
    with without(server, f"REVOKE {tables} FROM runbooks_planner", f"GRANT {tables} TO runbooks_planner"):
        wait_until(lambda: "the role for plans may not read one of its tables" in refusals(), 5, "a refused plan")


def test_without_a_reserved_way_in_the_refusal_is_the_answer(server: Lab) -> None:
    take = "REVOKE pg_use_reserved_connections FROM runbooks_monitor"
    fault = faults.Fault(server, "connection-leak", 1)
    held: list[psycopg2.extensions.connection] = []
    with contextlib.suppress(psycopg2.Error):
        while True:
            held.append(psycopg2.connect(postgres.dsn(server, "billing")))
    try:
        assert triage(login(server, "runbooks_monitor"), Limits(), NAMES)["connected"]
        with without(server, take, take.replace("REVOKE", "GRANT").replace("FROM", "TO")):
            read = triage(login(server, "runbooks_monitor"), Limits(), NAMES)
        assert (read["connected"], read["refusal"]["kind"]) == (False, "too_many_clients")
    finally:
        for connection in held:
            connection.close()
        fault.close()
        wait_until(lambda: len(harness.sessions(server)) < 20, 10, "the end of the sessions")
