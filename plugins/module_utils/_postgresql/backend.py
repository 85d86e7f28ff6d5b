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

_BACKEND = """
SELECT a.pid, a.backend_start::text AS backend_start, a.usename::text AS "user", a.application_name AS application,
       a.datname::text AS database, host(a.client_addr) AS client, a.state, a.backend_type,
       a.query_start::text AS query_start, a.pid = pg_backend_pid() AS own, coalesce(r.rolsuper, false) AS superuser,
       a.query LIKE 'autovacuum: %%(to prevent wraparound)' AS wraparound, a.backend_start IS NULL AS hidden,
"""
_FROM = """
FROM pg_stat_activity a
LEFT JOIN pg_roles r ON r.oid = a.usesysid
"""
BACKENDS = (
    _BACKEND
    + "a.backend_start = t.wanted AS same"
    + _FROM
    + "JOIN unnest(%(pids)s::int[], %(starts)s::text[]::timestamptz[]) AS t (pid, wanted) ON t.pid = a.pid ORDER BY a.pid"
)
MATCHING = (
    _BACKEND
    + "true AS same"
    + _FROM
    + """
WHERE (%(users)s::text[] IS NULL OR a.usename = ANY (%(users)s))
  AND (%(applications)s::text[] IS NULL OR a.application_name = ANY (%(applications)s))
  AND (%(databases)s::text[] IS NULL OR a.datname = ANY (%(databases)s))
  AND (%(states)s::text[] IS NULL OR a.state = ANY (%(states)s))
  AND coalesce(extract(epoch FROM clock_timestamp() - a.state_change), 0) >= %(older_than)s
  AND a.backend_type = 'client backend'
ORDER BY a.pid
"""
)
# The start is checked in the statement that signals: between a look and an act a pid may change hands.
SIGNALS: dict[Signal, str] = {
    "cancel": "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE pid = %s AND backend_start = %s::timestamptz",
    "terminate": "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = %s AND backend_start = %s::timestamptz",
}
STILL_THERE = """
SELECT state, query_start::text FROM pg_stat_activity WHERE pid = %s AND backend_start = %s::timestamptz
"""


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


@dataclasses.dataclass(frozen=True)
class Wanted:
    """What should become of which backends. Either ``backends`` (pid, backend_start) or ``match`` is given."""

    state: t.Literal["canceled", "terminated"]
    max: int
    backends: tuple[tuple[int, str], ...] = ()
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

    def look(self, backend: Backend) -> tuple[str | None, str | None] | None: ...


class LiveServer:
    """A real one, over an open connection in autocommit."""

    def __init__(self, connection: psycopg2.extensions.connection) -> None:
        self.connection = connection

    def choose(self, wanted: Wanted) -> list[dict[str, t.Any]]:
        with self.connection.cursor(cursor_factory=psycopg2.extras.RealDictCursor) as cursor:
            if wanted.match is not None:
                cursor.execute(MATCHING, dict(wanted.match))
            else:
                pids, starts = [one[0] for one in wanted.backends], [one[1] for one in wanted.backends]
                cursor.execute(BACKENDS, {"pids": pids, "starts": starts})
            return [dict(row) for row in cursor.fetchall()]

    def signal(self, signal: Signal, backend: Backend) -> None:
        try:
            with self.connection.cursor() as cursor:
                cursor.execute(SIGNALS[signal], (backend.pid, backend.backend_start))
        except psycopg2.errors.InsufficientPrivilege as error:
            raise PostgresqlError(
                f"pid {backend.pid} may not be signalled by this role: GRANT pg_signal_backend to it"
            ) from error

    def look(self, backend: Backend) -> tuple[str | None, str | None] | None:
        with self.connection.cursor() as cursor:
            cursor.execute(STILL_THERE, (backend.pid, backend.backend_start))
            row = cursor.fetchone()
        return None if row is None else (row[0], row[1])


def refusal(row: t.Mapping[str, t.Any], wanted: Wanted) -> str | None:
    """Why a backend must not be signalled, None when it may."""
    if row["own"]:
        return "it is this very session"
    if row["wraparound"]:
        return "it is the autovacuum that prevents transaction id wraparound"
    if row["backend_type"] not in ("client backend", None):
        return f"it is a {row['backend_type']}"
    if row["superuser"] and not wanted.allow_superusers:
        return "it belongs to a superuser (allow_superusers)"
    return None


def plan(rows: t.Iterable[t.Mapping[str, t.Any]], wanted: Wanted) -> Plan:
    """Who gets which signal. Raises PostgresqlError before anything is touched: a refusal, or more than allowed."""
    signals: list[tuple[Signal, Backend]] = []
    skipped: list[Skipped] = []
    seen = set()
    for row in rows:
        seen.add(row["pid"])
        if row["hidden"]:
            raise PostgresqlError(
                f"backend_start of pid {row['pid']} cannot be seen, so it cannot be told from a later session with the "
                "same pid: GRANT pg_read_all_stats to the mitigation role"
            )
        why = refusal(row, wanted)
        if not row["same"]:
            skipped.append(Skipped(row["pid"], "the pid belongs to another session now"))
        elif why and wanted.match is None:
            raise PostgresqlError(f"pid {row['pid']} is not to be signalled: {why}")
        elif why:
            skipped.append(Skipped(row["pid"], why))
        elif wanted.state == "canceled" and row["state"] != "active":
            skipped.append(Skipped(row["pid"], f"nothing to cancel, it is {row['state']}"))
        else:
            names = [field.name for field in dataclasses.fields(Backend)]
            first: Signal = "cancel" if row["state"] == "active" else "terminate"
            signals.append((first, Backend(**{name: row[name] for name in names})))
    skipped += [Skipped(pid, "it has ended") for pid in (one[0] for one in wanted.backends) if pid not in seen]
    if len(signals) > wanted.max:
        raise PostgresqlError(f"{len(signals)} backends would be signalled, and max is {wanted.max}: nothing was touched")
    return Plan(tuple(signals), tuple(skipped))


def is_done(before: Backend, now: tuple[str | None, str | None] | None, state: str) -> bool:
    """Whether what was wanted has happened: gone, or, for a cancel, no longer in the same statement."""
    if now is None:
        return True
    return state == "canceled" and (now[0] != "active" or now[1] != before.query_start)


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
    left = _wait(server, wanted, [one[1] for one in planned.signals], clock, sleep)
    if left and (wanted.state == "terminated" or wanted.escalate):
        for backend in left:
            last[backend.pid] = "terminate"
            server.signal("terminate", backend)
        left = _wait(server, dataclasses.replace(wanted, state="terminated"), left, clock, sleep)
    if left:
        pids = ", ".join(str(backend.pid) for backend in left)
        raise PostgresqlError(
            f"pid {pids} is still there {wanted.wait_seconds:g} s after the signal; "
            "it may be waiting for a disk or in a rollback: look at its wait_event before you do more"
        )
    return [{**dataclasses.asdict(backend), "signal": last[backend.pid]} for backend in (one[1] for one in planned.signals)]


def _wait(
    server: Server,
    wanted: Wanted,
    backends: list[Backend],
    clock: t.Callable[[], float],
    sleep: t.Callable[[float], None],
) -> list[Backend]:
    deadline = clock() + wanted.wait_seconds
    left = backends
    while True:
        left = [backend for backend in left if not is_done(backend, server.look(backend), wanted.state)]
        if not left or clock() >= deadline:
            return left
        sleep(0.05)
