"""Cancelling and terminating: who is chosen, who is refused, when it is done."""

from __future__ import annotations

import contextlib
import dataclasses
import typing as t
import unittest.mock

import pytest
from ansible_collections.sre.runbooks.plugins.module_utils._postgresql import connection
from ansible_collections.sre.runbooks.plugins.module_utils._postgresql.backend import (
    Backend,
    Now,
    Plan,
    Signal,
    Target,
    Wanted,
    act,
    is_done,
    plan,
)
from ansible_collections.sre.runbooks.plugins.module_utils._postgresql.connection import classify
from ansible_collections.sre.runbooks.plugins.module_utils._postgresql.errors import PostgresqlError, RefusedConnectionError

Json = dict[str, t.Any]


def row(pid: int = 1, **changes: t.Any) -> Json:
    return {"pid": pid, "backend_start": "s", "user": "app", "application": "api", "database": "shop", "client": None,
            "state": "active", "backend_type": "client backend", "query_start": "q", "xact_start": "x", "own": False,
            "superuser": False, "wraparound": False, "hidden": False, "same_session": True, "same_transaction": True,
            "same_statement": True, **changes}  # fmt: skip


def by_pid(state: t.Literal["canceled", "terminated"] = "canceled", **changes: t.Any) -> Wanted:
    return Wanted(state=state, **{"max": 5, "backends": (Target(1, "s", "x", "q"), Target(2, "s", "x", "q")), **changes})


CONDITION = Wanted("terminated", 5, match={})
# rows, what is wanted, the signals, the reasons of those left alone
PLANS: list[tuple[str, list[Json], Wanted, list[tuple[str, int]], list[str]]] = [
    ("a running statement is cancelled", [row()], by_pid(), [("cancel", 1)], ["it has ended"]),
    ("a running session is cancelled first", [row(), row(2)], by_pid("terminated"), [("cancel", 1), ("cancel", 2)], []),
    ("an idle session has nothing to cancel", [row(), row(2, state="idle")], by_pid(), [("cancel", 1)],
     ["nothing to cancel, it is idle"]),
    ("idle in transaction is terminated at once", [row(state="idle in transaction"), row(2)], by_pid("terminated"),
     [("terminate", 1), ("cancel", 2)], []),
    ("a reused pid is left alone", [row(same_session=False), row(2)], by_pid(), [("cancel", 2)],
     ["the pid belongs to another session now"]),
    ("the next statement is not cancelled", [row(same_statement=False), row(2)], by_pid(), [("cancel", 2)], ["its statement is over"]),
    ("the next transaction is not ended", [row(same_transaction=False), row(2)], by_pid("terminated"), [("cancel", 2)],
     ["its transaction is over"]),
    ("the next statement of the same transaction is ended with it", [row(same_statement=False), row(2)], by_pid("terminated"),
     [("cancel", 1), ("cancel", 2)], []),
    ("a superuser's is left alone, the others are not", [row(superuser=True), row(2)], by_pid(), [("cancel", 2)],
     ["it belongs to app, a superuser (allow_superusers)"]),
    ("a condition leaves out who must not be signalled", [row(own=True), row(2, superuser=True), row(3)], CONDITION,
     [("cancel", 3)], ["it is this very session", "it belongs to app, a superuser (allow_superusers)"]),
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
    ([row(superuser=True)], by_pid(), "nothing may be signalled: pid 1: it belongs to app, a superuser"),
    ([row(hidden=True)], by_pid(), "GRANT pg_read_all_stats"),
    ([row(), row(2)], by_pid(max=1), "2 backends would be signalled, and max is 1: nothing was touched"),
    ([row(), row(2)], by_pid(max=0), "max is 0"),
]


@pytest.mark.parametrize(("rows", "wanted", "message"), REFUSED, ids=[one[2] for one in REFUSED])
def test_refused_before_anything_is_touched(rows: list[Json], wanted: Wanted, message: str) -> None:
    with pytest.raises(PostgresqlError, match=message):
        plan(rows, wanted)


class FakeServer:
    """A server whose backends react to the n-th signal (or never): a cancel ends the statement, and the transaction too unless
    the client keeps it open."""

    def __init__(self, cancels_after: int | None, ends_after: int | None, *, keeps_open: bool = True) -> None:
        self.signals: list[tuple[str, int]] = []
        self.now = 0.0
        self.cancels_after = cancels_after
        self.ends_after = ends_after
        self.keeps_open = keeps_open

    def choose(self, wanted: Wanted) -> list[Json]:
        return []

    def signal(self, signal: Signal, backend: Backend) -> None:
        self.signals.append((signal, backend.pid))

    def look(self, backend: Backend) -> Now | None:
        sent = [one[0] for one in self.signals]
        if self.ends_after is not None and sent.count("terminate") >= self.ends_after:
            return None
        if self.cancels_after is not None and sent.count("cancel") >= self.cancels_after:
            return Now("idle in transaction (aborted)", "q", "x") if self.keeps_open else Now("active", "q2", "x2")
        return Now("active", "q", "x")

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


ONE = Plan((("cancel", Backend(1, "s", "app", "api", "shop", None, "active", "q", "x")),), ())
IDLE = Plan((("terminate", Backend(1, "s", "app", "api", "shop", None, "idle in transaction", "q", "x")),), ())
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
    (
        "cancelled, and the pooler has begun the next transaction, which is somebody else's",
        by_pid("terminated"),
        ONE,
        FakeServer(1, 1, keeps_open=False),
        [("cancel", 1)],
    ),
    ("terminated at once", by_pid("terminated"), IDLE, FakeServer(None, 1), [("terminate", 1)]),
]


@pytest.mark.parametrize(("name", "wanted", "planned", "server", "signals"), ACTS, ids=[one[0] for one in ACTS])
def test_act(name: str, wanted: Wanted, planned: Plan, server: FakeServer, signals: list[tuple[str, int]]) -> None:
    done = act(server, wanted, planned, clock=server.clock, sleep=server.sleep)
    assert server.signals == signals
    assert [one["signal"] for one in done] == [signals[-1][0]]


BEFORE = Backend(1, "s", "app", "api", "shop", None, "active", "q", "x")
DONE: list[tuple[t.Any, Now | None, t.Literal["canceled", "terminated"], bool]] = [
    (BEFORE, None, "terminated", True),
    (BEFORE, Now("active", "q2", "x"), "canceled", True),
    (BEFORE, Now("active", "q2", "x"), "terminated", False),
    (BEFORE, Now("active", "q2", "x2"), "terminated", True),
    (BEFORE, Now("idle", "q", None), "terminated", True),
    (dataclasses.replace(BEFORE, xact_start=None), Now("idle", "q", None), "terminated", False),
]


@pytest.mark.parametrize(("before", "now", "state", "expected"), DONE)
def test_when_it_is_done(before: Backend, now: Now | None, state: t.Literal["canceled", "terminated"], expected: bool) -> None:
    assert is_done(before, now, state) is expected


def test_one_that_stays_is_told_with_what_to_look_at() -> None:
    server = FakeServer(None, None)
    with pytest.raises(PostgresqlError, match="pid 1 is still there 5 s after the signal; .* wait_event"):
        act(server, by_pid(), ONE, clock=server.clock, sleep=server.sleep)
    assert server.signals == [("cancel", 1)]


SENTENCES = [
    ("FATAL:  sorry, too many clients already", ("too_many_clients", "53300")),
    ("FATAL:  remaining connection slots are reserved for roles with the SUPERUSER attribute", ("too_many_clients", "53300")),
    ("FATAL:  too many connections for role \"app\"", ("role_limit", "53300")),
    ("FATAL:  too many connections for database \"shop\"", ("database_limit", "53300")),
    ("FATAL:  permission denied for database \"shop\"", ("authentication", "28P01")),
    ("server does not support SSL, but SSL was required", ("tls", None)),
    ("FATAL:  password authentication failed for user \"m\"", ("authentication", "28P01")),
    ("fe_sendauth: no password supplied", ("authentication", "28P01")),
    ("FATAL:  database \"nope\" does not exist", ("no_such_database", "3D000")),
    ("FATAL:  the database system is starting up", ("not_accepting", "57P03")),
    ("FATAL:  unsupported startup parameter in options: search_path", ("pooler", None)),
    ("FATAL:  Passwort-Authentifizierung für Benutzer »m« fehlgeschlagen", ("not_understood", None)),
    ("ВАЖНО:  пользователь \"m\" не прошёл проверку подлинности", ("not_understood", None)),
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
    ids=["while others try to connect we try again", "and give up at last", "what will not change is not tried again", "at once"],
)
def test_how_often_a_session_is_tried(monkeypatch: t.Any, answers: list[str | None], pauses: int, opened: bool) -> None:
    class Session:
        autocommit = False
        server_version = 180000

        def cursor(self) -> contextlib.AbstractContextManager[t.Any]:
            return contextlib.nullcontext(unittest.mock.Mock(fetchone=lambda: (connection.SEARCH_PATH,)))

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
