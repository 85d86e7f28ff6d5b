"""Cancelling and terminating: who is chosen, who is refused, when it is done."""

from __future__ import annotations

import contextlib
import typing as t

import pytest
from ansible_collections.sre.runbooks.plugins.module_utils._postgresql import connection
from ansible_collections.sre.runbooks.plugins.module_utils._postgresql.backend import Backend, Plan, Signal, Wanted, act, plan
from ansible_collections.sre.runbooks.plugins.module_utils._postgresql.connection import classify
from ansible_collections.sre.runbooks.plugins.module_utils._postgresql.errors import PostgresqlError, RefusedConnectionError

Json = dict[str, t.Any]


def row(pid: int = 1, **changes: t.Any) -> Json:
    return {"pid": pid, "backend_start": "s", "user": "app", "application": "api", "database": "shop", "client": None,
            "state": "active", "backend_type": "client backend", "query_start": "q", "own": False, "superuser": False,
            "wraparound": False, "hidden": False, "state_seconds": 9.0, "same": True, **changes}  # fmt: skip


def by_pid(state: t.Literal["canceled", "terminated"] = "canceled", **changes: t.Any) -> Wanted:
    return Wanted(state=state, **{"max": 5, "backends": ((1, "s"), (2, "s")), **changes})


CONDITION = Wanted("terminated", 5, match={})
# rows, what is wanted, the signals, the reasons of those left alone
PLANS: list[tuple[str, list[Json], Wanted, list[tuple[str, int]], list[str]]] = [
    ("a running statement is cancelled", [row()], by_pid(), [("cancel", 1)], ["it has ended"]),
    ("a running session is cancelled first", [row(), row(2)], by_pid("terminated"), [("cancel", 1), ("cancel", 2)], []),
    ("an idle session has nothing to cancel", [row(), row(2, state="idle")], by_pid(), [("cancel", 1)],
     ["nothing to cancel, it is idle"]),
    ("idle in transaction is terminated at once", [row(state="idle in transaction"), row(2)], by_pid("terminated"),
     [("terminate", 1), ("cancel", 2)], []),
    ("a reused pid is left alone", [row(same=False), row(2)], by_pid(), [("cancel", 2)],
     ["the pid belongs to another session now"]),
    ("a condition leaves out who must not be signalled", [row(own=True), row(2, superuser=True), row(3)], CONDITION,
     [("cancel", 3)], ["it is this very session", "it belongs to a superuser (allow_superusers)"]),
    ("superusers when allowed", [row(superuser=True), row(2)], by_pid(allow_superusers=True), [("cancel", 1), ("cancel", 2)], []),
]  # fmt: skip


@pytest.mark.parametrize(("name", "rows", "wanted", "signals", "reasons"), PLANS, ids=[one[0] for one in PLANS])
def test_plan(name: str, rows: list[Json], wanted: Wanted, signals: list[tuple[str, int]], reasons: list[str]) -> None:
    planned = plan(rows, wanted)
    assert [(signal, backend.pid) for signal, backend in planned.signals] == signals
    assert [one.reason for one in planned.skipped] == reasons


REFUSED = [
    ([row(own=True)], by_pid(), "this very session"),
    ([row(wraparound=True)], by_pid(), "transaction id wraparound"),
    ([row(backend_type="walsender")], by_pid(), "it is a walsender"),
    ([row(superuser=True)], by_pid(), "superuser"),
    ([row(hidden=True)], by_pid(), "GRANT pg_read_all_stats"),
    ([row(), row(2)], by_pid(max=1), "2 backends would be signalled, and max is 1: nothing was touched"),
    ([row(), row(2)], by_pid(max=0), "max is 0"),
]


@pytest.mark.parametrize(("rows", "wanted", "message"), REFUSED, ids=[one[2] for one in REFUSED])
def test_refused_before_anything_is_touched(rows: list[Json], wanted: Wanted, message: str) -> None:
    with pytest.raises(PostgresqlError, match=message):
        plan(rows, wanted)


class FakeServer:
    """A server whose backends react to the n-th signal (or never)."""

    def __init__(self, cancels_after: int | None, ends_after: int | None) -> None:
        self.signals: list[tuple[str, int]] = []
        self.now = 0.0
        self.cancels_after = cancels_after
        self.ends_after = ends_after

    def choose(self, wanted: Wanted) -> list[Json]:
        return []

    def signal(self, signal: Signal, backend: Backend) -> None:
        self.signals.append((signal, backend.pid))

    def look(self, backend: Backend) -> tuple[str | None, str | None] | None:
        sent = [one[0] for one in self.signals]
        if self.ends_after is not None and sent.count("terminate") >= self.ends_after:
            return None
        if self.cancels_after is not None and sent.count("cancel") >= self.cancels_after:
            return ("idle", "q")
        return ("active", "q")

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


ONE = Plan((("cancel", Backend(1, "s", "app", "api", "shop", None, "active", "q")),), ())
IDLE = Plan((("terminate", Backend(1, "s", "app", "api", "shop", None, "idle in transaction", "q")),), ())
ACTS: list[tuple[str, Wanted, Plan, FakeServer, list[tuple[str, int]]]] = [
    ("a cancel that works", by_pid(), ONE, FakeServer(1, None), [("cancel", 1)]),
    (
        "a cancel that does not, and may escalate",
        by_pid(escalate=True),
        ONE,
        FakeServer(None, 1),
        [("cancel", 1), ("terminate", 1)],
    ),
    ("cancelled, then terminated", by_pid("terminated"), ONE, FakeServer(1, 1), [("cancel", 1), ("terminate", 1)]),
    ("terminated at once", by_pid("terminated"), IDLE, FakeServer(None, 1), [("terminate", 1)]),
]


@pytest.mark.parametrize(("name", "wanted", "planned", "server", "signals"), ACTS, ids=[one[0] for one in ACTS])
def test_act(name: str, wanted: Wanted, planned: Plan, server: FakeServer, signals: list[tuple[str, int]]) -> None:
    done = act(server, wanted, planned, clock=server.clock, sleep=server.sleep)
    assert server.signals == signals
    assert [one["signal"] for one in done] == [signals[-1][0]]


def test_one_that_stays_is_told_with_what_to_look_at() -> None:
    server = FakeServer(None, None)
    with pytest.raises(PostgresqlError, match="pid 1 is still there 5 s after the signal; .* wait_event"):
        act(server, by_pid(), ONE, clock=server.clock, sleep=server.sleep)
    assert server.signals == [("cancel", 1)]


SENTENCES = [
    ("FATAL:  sorry, too many clients already", ("too_many_clients", "53300")),
    ("FATAL:  remaining connection slots are reserved for roles with the SUPERUSER attribute", ("too_many_clients", "53300")),
    ("FATAL:  too many connections for role \"app\"", ("too_many_clients", "53300")),
    ("FATAL:  password authentication failed for user \"m\"", ("authentication", "28P01")),
    ("fe_sendauth: no password supplied", ("authentication", "28P01")),
    ("FATAL:  database \"nope\" does not exist", ("no_such_database", "3D000")),
    ("FATAL:  the database system is starting up", ("starting_up", "57P03")),
    ("connection refused. Is the server running?", ("unreachable", None)),
]  # fmt: skip


@pytest.mark.parametrize(("sentence", "expected"), SENTENCES)
def test_why_a_connection_was_refused(sentence: str, expected: tuple[str, str | None]) -> None:
    assert classify(sentence) == expected


FULL = 'connection to server at "db" (10.0.0.1), port 5432 failed: FATAL:  sorry, too many clients already'
WRONG = 'connection to server at "db" (10.0.0.1), port 5432 failed: FATAL:  password authentication failed for user "m"'


@pytest.mark.parametrize(
    ("answers", "pauses", "opened"),
    [([FULL, FULL, None], 2, True), ([FULL] * 20, 7, False), ([WRONG], 0, False), ([None], 0, True)],
    ids=["while others knock we knock again", "and give up at last", "what will not change is not tried again", "at once"],
)
def test_how_often_a_session_is_tried(monkeypatch: t.Any, answers: list[str | None], pauses: int, opened: bool) -> None:
    class Session:
        autocommit = False

        def close(self) -> None:
            """Nothing is open."""

    def connect(**_: object) -> Session:
        answer = answers.pop(0)
        if answer is not None:
            raise connection.psycopg2.OperationalError(answer)
        return Session()

    monkeypatch.setattr(connection.psycopg2, "connect", connect)
    slept: list[float] = []
    found = False
    login = connection.Login("db", 5432, "d", "m")
    with contextlib.suppress(RefusedConnectionError), connection.connected(login, sleep=slept.append):
        found = True
    assert (found, len(slept)) == (opened, pauses)
