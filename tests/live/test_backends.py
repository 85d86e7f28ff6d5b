"""Cancelling and terminating on a real server: the right ones, no others, and what the grants allow."""

from __future__ import annotations

import contextlib
import dataclasses
import typing as t

import psycopg2
import pytest

from tests import collection, harness
from tests.lab import faults
from tests.lab.postgresql.server import dsn
from tests.lab.state import Lab

collection.install()

from ansible_collections.sre.runbooks.plugins.module_utils._postgresql.backend import LiveServer, Target, Wanted, act, plan
from ansible_collections.sre.runbooks.plugins.module_utils._postgresql.connection import Login, connected
from ansible_collections.sre.runbooks.plugins.module_utils._postgresql.effects import take_lock
from ansible_collections.sre.runbooks.plugins.module_utils._postgresql.errors import PostgresqlError


@contextlib.contextmanager
def server_as(lab: Lab, user: str) -> t.Iterator[LiveServer]:
    part = lab.part("postgres")
    with connected(Login("127.0.0.1", part["port"], "custody_db", user, part["passwords"][user])) as connection:
        yield LiveServer(connection)


@pytest.fixture
def held(lab: Lab) -> t.Iterator[faults.Fault]:
    """A session idle in transaction, one at work, and one of a superuser."""
    fault = faults.Fault(lab, "held", 1)
    fault.hold(fault.connect("idle", "batch", "held"), "SELECT 1")
    fault.issue(fault.connect("busy", "reporting", "held"), "SELECT pg_sleep(86400)")
    fault.hold(fault.connect("superuser", "postgres", "held"), "SELECT 1")
    yield fault
    fault.close()


def of(fault: faults.Fault, role: str) -> Target:
    """A session as a finding would name it now."""
    pid = next(one.pid for one in fault.sessions if one.role == role)
    with faults.superuser(fault.lab) as cursor:
        cursor.execute(
            "SELECT pid, backend_start::text, xact_start::text, query_start::text FROM pg_stat_activity WHERE pid = %s", (pid,)
        )
        return Target(*(cursor.fetchone() or ()))


def done(lab: Lab, wanted: Wanted, user: str = "custody_mitigation") -> list[tuple[int, str]]:
    with server_as(lab, user) as server:
        planned = plan(server.choose(wanted), wanted)
        return [(one["pid"], one["signal"]) for one in act(server, wanted, planned)]


def test_a_condition_finds_those_that_meet_all_of_it(lab: Lab, held: faults.Fault) -> None:
    names = {"users": None, "databases": None, "states": None, "query_ids": None, "older_than": 0.0}
    everything = Wanted("terminated", 5, match={**names, "applications": ["held"]})
    batch = Wanted("terminated", 5, match={**names, "applications": ["held"], "users": ["batch"]})
    with server_as(lab, "custody_mitigation") as server:
        assert [one.reason for one in plan(server.choose(everything), everything).skipped] == [
            "it belongs to postgres, a superuser (allow_superusers)"
        ]
    idle, busy = of(held, "idle"), of(held, "busy")
    assert done(lab, batch) == [(idle.pid, "terminate")]
    assert done(lab, batch) == []
    assert harness.sessions(lab).get(busy.pid) == busy.backend_start


def test_a_statement_is_cancelled_and_its_session_stays(lab: Lab, held: faults.Fault) -> None:
    busy = of(held, "busy")
    wanted = Wanted("canceled", 1, backends=(busy,))
    assert done(lab, wanted) == [(busy.pid, "cancel")]
    assert harness.sessions(lab).get(busy.pid) == busy.backend_start


def test_cancelling_a_busy_session_s_statement_ends_its_transaction_and_so_is_enough(lab: Lab, held: faults.Fault) -> None:
    busy = of(held, "busy")
    assert done(lab, Wanted("terminated", 1, backends=(busy,), wait_seconds=1.0)) == [(busy.pid, "cancel")]
    assert of(held, "busy").xact_start is None
    assert harness.sessions(lab).get(busy.pid) == busy.backend_start


def test_an_idle_session_is_ended(lab: Lab, held: faults.Fault) -> None:
    idle = of(held, "idle")
    assert done(lab, Wanted("terminated", 1, backends=(idle,))) == [(idle.pid, "terminate")]
    assert idle.pid not in harness.sessions(lab)


def test_a_pid_that_belongs_to_another_session_now_is_left_alone(lab: Lab, held: faults.Fault) -> None:
    idle = of(held, "idle")
    assert done(lab, Wanted("terminated", 1, backends=(dataclasses.replace(idle, backend_start="2020-01-01 00:00:00+00"),))) == []
    assert harness.sessions(lab).get(idle.pid) == idle.backend_start


REFUSED = [("superuser", "custody_mitigation", "superuser"), ("idle", "custody_app", "GRANT pg_read_all_stats")]


@pytest.mark.parametrize(("role", "user", "message"), REFUSED)
def test_refused(lab: Lab, held: faults.Fault, role: str, user: str, message: str) -> None:
    target = of(held, role)
    with pytest.raises(PostgresqlError, match=message):
        done(lab, Wanted("terminated", 5, backends=(target,)), user)
    assert harness.sessions(lab).get(target.pid) == target.backend_start


def test_a_role_that_may_look_and_not_signal_is_told_what_it_lacks(lab: Lab, held: faults.Fault) -> None:
    with pytest.raises(PostgresqlError, match="GRANT pg_signal_backend"):
        done(lab, Wanted("terminated", 1, backends=(of(held, "idle"),)), "custody_monitor")


def test_a_second_operator_is_stopped_by_the_first_ones_lock(lab: Lab) -> None:
    with server_as(lab, "custody_mitigation") as first, server_as(lab, "custody_mitigation") as second:
        take_lock(first.connection)
        with pytest.raises(PostgresqlError, match=r"another run is acting on this database \(pid \d+, custody_mitigation"):
            take_lock(second.connection)
    with server_as(lab, "custody_mitigation") as third:
        take_lock(third.connection)


def test_the_lock_is_not_the_database_s_own(lab: Lab) -> None:
    """Somebody else's advisory locks do not stop us."""
    with contextlib.closing(psycopg2.connect(dsn(lab, "custody_app"))) as other, other.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(1)")
        with server_as(lab, "custody_mitigation") as server:
            take_lock(server.connection)
