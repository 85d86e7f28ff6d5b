# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Cancelling and terminating backends: the right ones, no more than allowed, confirmed (private to the collection)."""

from __future__ import annotations

import dataclasses
import time
import typing as t

try:
    import psycopg2
    import psycopg2.errors
    import psycopg2.extensions
    import psycopg2.extras
except ImportError:  # the modules report it before anything of this file is called
    pass

from ansible_collections.sre.runbooks.plugins.module_utils._postgresql.errors import PostgresqlError

Signal = t.Literal["cancel", "terminate"]

# A session is told from a later one by pid and backend_start; behind a pooler also the next transaction, and the next
# statement, must be told from the one that was meant.
BACKENDS = """
SELECT a.pid, a.backend_start::text AS backend_start, a.usename::text AS "user", a.application_name AS application,
       a.datname::text AS database, host(a.client_addr) AS client, a.state, a.backend_type,
       a.query_start::text AS query_start, a.xact_start::text AS xact_start,
       a.pid = pg_backend_pid() AS own, coalesce(r.rolsuper, false) AS superuser,
       a.backend_type = 'autovacuum worker' AND a.query LIKE 'autovacuum: %%(to prevent wraparound)' AS wraparound,
       a.backend_start IS NULL AS hidden,
       a.backend_start = t.start AS same_session,
       a.xact_start IS NOT DISTINCT FROM t.transaction AS same_transaction,
       a.query_start IS NOT DISTINCT FROM t.statement AS same_statement
FROM pg_stat_activity a
LEFT JOIN pg_roles r ON r.oid = a.usesysid
JOIN unnest(%(pids)s::int[], %(starts)s::text[]::timestamptz[], %(transactions)s::text[]::timestamptz[],
            %(statements)s::text[]::timestamptz[]) AS t (pid, start, transaction, statement) ON t.pid = a.pid
ORDER BY a.pid
"""
MATCHING = """
SELECT a.pid, a.backend_start::text AS backend_start, a.usename::text AS "user", a.application_name AS application,
       a.datname::text AS database, host(a.client_addr) AS client, a.state, a.backend_type,
       a.query_start::text AS query_start, a.xact_start::text AS xact_start,
       a.pid = pg_backend_pid() AS own, coalesce(r.rolsuper, false) AS superuser,
       false AS wraparound,
       a.backend_start IS NULL AS hidden,
       true AS same_session, true AS same_transaction, true AS same_statement
FROM (SELECT NULL::bigint AS query_id) AS missing,
     LATERAL (SELECT pid, backend_start, xact_start, query_start, state_change, usesysid, usename, application_name, datname,
                     client_addr, state, backend_type, query_id FROM pg_stat_activity) AS a
LEFT JOIN pg_roles r ON r.oid = a.usesysid
WHERE (%(users)s::text[] IS NULL OR a.usename = ANY (%(users)s))
  AND (%(applications)s::text[] IS NULL OR a.application_name = ANY (%(applications)s))
  AND (%(databases)s::text[] IS NULL OR a.datname = ANY (%(databases)s))
  AND (%(states)s::text[] IS NULL OR a.state = ANY (%(states)s))
  AND (%(query_ids)s::text[] IS NULL OR a.query_id::text = ANY (%(query_ids)s))
  AND coalesce(extract(epoch FROM clock_timestamp() - a.state_change), 0) >= %(older_than)s
  AND a.backend_type = 'client backend'
ORDER BY a.pid
"""
# Checked again in the statement that signals: between a look and an act a pid may change hands.
SIGNALS: dict[Signal, str] = {
    "cancel": """
SELECT pg_cancel_backend(pid) FROM pg_stat_activity
WHERE pid = %(pid)s AND backend_start = %(backend_start)s::timestamptz
  AND state IN ('active', 'fastpath function call')
  AND query_start = %(query_start)s::timestamptz
""",
    "terminate": """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE pid = %(pid)s AND backend_start = %(backend_start)s::timestamptz
  AND xact_start IS NOT DISTINCT FROM %(xact_start)s::timestamptz
""",
}
AT_WORK = ("active", "fastpath function call")
STILL_THERE = """
SELECT state, query_start::text, xact_start::text FROM pg_stat_activity
WHERE pid = %(pid)s AND backend_start = %(backend_start)s::timestamptz
"""


class Now(t.NamedTuple):
    """What a session does at this moment."""

    state: str | None
    query_start: str | None
    xact_start: str | None


@dataclasses.dataclass(frozen=True)
class Target:
    """A backend as somebody saw it. To end it, the transaction must still be the same (None: it had none); to cancel, the
    statement."""

    pid: int
    backend_start: str
    xact_start: str | None = None
    query_start: str | None = None


@dataclasses.dataclass(frozen=True)
class Backend:
    """One session of the server, as it was when it was chosen."""

    pid: int
    backend_start: str
    user: str | None
    application: str
    database: str | None
    client: str | None
    state: str | None
    query_start: str | None
    xact_start: str | None


@dataclasses.dataclass(frozen=True)
class Wanted:
    """What should become of which backends. Either ``backends`` or ``match`` is given."""

    state: t.Literal["canceled", "terminated"]
    max: int
    backends: tuple[Target, ...] = ()
    match: t.Mapping[str, t.Any] | None = None
    allow_superusers: bool = False
    wait_seconds: float = 5.0
    escalate: bool = False


@dataclasses.dataclass(frozen=True)
class Skipped:
    """A backend that was left alone, and why."""

    pid: int
    reason: str


@dataclasses.dataclass(frozen=True)
class Plan:
    """Who gets which first signal, and who is left alone."""

    signals: tuple[tuple[Signal, Backend], ...]
    skipped: tuple[Skipped, ...]


class Server(t.Protocol):
    """The questions and acts that need the server."""

    def choose(self, wanted: Wanted) -> list[dict[str, t.Any]]: ...

    def signal(self, signal: Signal, backend: Backend) -> None: ...

    def look(self, backend: Backend) -> Now | None: ...


class LiveServer:
    """A real one, over an open connection in autocommit."""

    def __init__(self, connection: psycopg2.extensions.connection) -> None:
        self.connection = connection

    def choose(self, wanted: Wanted) -> list[dict[str, t.Any]]:
        values = {
            "pids": [one.pid for one in wanted.backends],
            "starts": [one.backend_start for one in wanted.backends],
            "transactions": [one.xact_start for one in wanted.backends],
            "statements": [one.query_start for one in wanted.backends],
        }
        with self.connection.cursor(cursor_factory=psycopg2.extras.RealDictCursor) as cursor:
            if wanted.match is not None:
                cursor.execute(MATCHING, dict(wanted.match))
            else:
                cursor.execute(BACKENDS, values)
            return [dict(row) for row in cursor.fetchall()]

    def signal(self, signal: Signal, backend: Backend) -> None:
        try:
            with self.connection.cursor() as cursor:
                cursor.execute(SIGNALS[signal], dataclasses.asdict(backend))
        except psycopg2.errors.InsufficientPrivilege as error:
            raise PostgresqlError(
                f"pid {backend.pid} may not be signalled by this role: GRANT pg_signal_backend to it"
            ) from error

    def look(self, backend: Backend) -> Now | None:
        with self.connection.cursor() as cursor:
            cursor.execute(STILL_THERE, dataclasses.asdict(backend))
            row = cursor.fetchone()
        return None if row is None else Now(*row)


def refusal(row: t.Mapping[str, t.Any], wanted: Wanted) -> str | None:
    """Why a backend must not be signalled, None when it may."""
    if row["own"]:
        return "it is this very session"
    if row["wraparound"]:
        return "it is the autovacuum that prevents transaction id wraparound"
    if row["backend_type"] not in ("client backend", None):
        return f"it is a {row['backend_type']}"
    if row["superuser"] and not wanted.allow_superusers:
        return f"it belongs to {row['user']}, a superuser (allow_superusers)"
    return None


def changed_hands(row: t.Mapping[str, t.Any], wanted: Wanted) -> str | None:
    """Why a backend is no longer the one that was meant, None when it is."""
    if not row["same_session"]:
        return "the pid belongs to another session now"
    if wanted.state == "terminated" and not row["same_transaction"]:
        return "its transaction is over"
    if wanted.state == "canceled" and row["state"] not in AT_WORK:
        return f"nothing to cancel, it is {row['state']}"
    if wanted.state == "canceled" and not row["same_statement"]:
        return "its statement is over"
    return None


def plan(rows: t.Iterable[t.Mapping[str, t.Any]], wanted: Wanted) -> Plan:
    """Who gets which signal. Raises PostgresqlError before anything is touched: nobody may be signalled, or more than allowed."""
    signals: list[tuple[Signal, Backend]] = []
    skipped: list[Skipped] = []
    refused: list[str] = []
    seen = set()
    for row in rows:
        seen.add(row["pid"])
        if row["hidden"]:
            raise PostgresqlError(
                f"backend_start of pid {row['pid']} cannot be seen, so it cannot be told from a later session with the "
                "same pid: GRANT pg_read_all_stats to the mitigation role"
            )
        why = changed_hands(row, wanted)
        if why is None and (why := refusal(row, wanted)):
            refused.append(f"pid {row['pid']}: {why}")
        if why:
            skipped.append(Skipped(row["pid"], why))
        else:
            names = [field.name for field in dataclasses.fields(Backend)]
            first: Signal = "cancel" if row["state"] in AT_WORK else "terminate"
            signals.append((first, Backend(**{name: row[name] for name in names})))
    skipped += [Skipped(one.pid, "it has ended") for one in wanted.backends if one.pid not in seen]
    if refused and not signals and wanted.match is None:
        raise PostgresqlError(f"nothing may be signalled: {'; '.join(refused)}")
    if len(signals) > wanted.max:
        raise PostgresqlError(f"{len(signals)} backends would be signalled, and max is {wanted.max}: nothing was touched")
    return Plan(tuple(signals), tuple(skipped))


def is_done(before: Backend, now: Now | None, state: t.Literal["canceled", "terminated"]) -> bool:
    """Whether what was wanted has happened: the session is gone, or, for a cancel, its statement is over, or, for an end, its
    transaction (the next one is not the one that was meant)."""
    if now is None:
        return True
    if state == "canceled":
        return now.state not in AT_WORK or now.query_start != before.query_start
    return before.xact_start is not None and now.xact_start != before.xact_start


def act(
    server: Server,
    wanted: Wanted,
    planned: Plan,
    *,
    clock: t.Callable[[], float] = time.monotonic,
    sleep: t.Callable[[float], None] = time.sleep,
) -> list[dict[str, t.Any]]:
    """Carries a plan out and confirms it. Returns each backend with the last signal that it got.

    Raises PostgresqlError when one is still there after all: with what was done, and what to try.
    """
    last = {backend.pid: signal for signal, backend in planned.signals}
    for signal, backend in planned.signals:
        server.signal(signal, backend)
    cancelled = [backend for signal, backend in planned.signals if signal == "cancel"]
    left = _wait(server, wanted.wait_seconds, "canceled", cancelled, clock, sleep)
    if wanted.state == "terminated" or wanted.escalate:
        meant = [one[1] for one in planned.signals] if wanted.state == "terminated" else left
        for backend in meant:
            if last[backend.pid] == "cancel" and not is_done(backend, server.look(backend), "terminated"):
                last[backend.pid] = "terminate"
                server.signal("terminate", backend)
        left = _wait(server, wanted.wait_seconds, "terminated", meant, clock, sleep)
    if left:
        pids = ", ".join(str(backend.pid) for backend in left)
        raise PostgresqlError(
            f"pid {pids} is still there {wanted.wait_seconds:g} s after the signal; "
            "it may be waiting for a disk or in a rollback: look at its wait_event before you do more"
        )
    return [{**dataclasses.asdict(backend), "signal": last[backend.pid]} for backend in (one[1] for one in planned.signals)]


def _wait(
    server: Server,
    seconds: float,
    state: t.Literal["canceled", "terminated"],
    backends: list[Backend],
    clock: t.Callable[[], float],
    sleep: t.Callable[[float], None],
) -> list[Backend]:
    """The backends for which what was wanted has not happened within the seconds."""
    deadline = clock() + seconds
    left = backends
    while True:
        left = [backend for backend in left if not is_done(backend, server.look(backend), state)]
        if not left or clock() >= deadline:
            return left
        sleep(0.05)
