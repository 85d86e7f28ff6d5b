# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Limiting one client of a server: its role's connections, and the end of the sessions that it has (private)."""

from __future__ import annotations

import dataclasses
import time
import typing as t

try:
    import psycopg2
    import psycopg2.extensions
    import psycopg2.sql
except ImportError:  # the modules report it before anything of this file is called
    pass

from ansible_collections.sre.runbooks.plugins.module_utils._postgresql.effects import current_user, permitted, rows
from ansible_collections.sre.runbooks.plugins.module_utils._postgresql.errors import PartlyDoneError, PostgresqlError

ROLE = """
SELECT r.rolname::text AS role, quote_ident(r.rolname) AS quoted, r.rolconnlimit AS connection_limit, r.rolsuper AS superuser,
       r.rolname = current_user AS own, (SELECT count(*)::int FROM pg_stat_activity a WHERE a.usesysid = r.oid
       AND a.pid <> pg_backend_pid() AND a.backend_type = 'client backend') AS sessions
FROM pg_roles r WHERE r.rolname = %s
"""
END_SESSIONS = """
SELECT pg_terminate_backend(a.pid) FROM pg_stat_activity a JOIN pg_roles r ON r.oid = a.usesysid
WHERE r.rolname = %s AND a.pid <> pg_backend_pid() AND a.backend_type = 'client backend'
"""
LIMIT = "ALTER ROLE {} CONNECTION LIMIT {}"
State = t.Literal["isolated", "released", "raised"]


@dataclasses.dataclass(frozen=True)
class Wanted:
    """How many connections a role may have. When it is isolated, its sessions are ended too, at most ``max``.

    ``expected`` is the limit that it must have now; with another one somebody has changed it since.
    """

    role: str
    connection_limit: int
    state: State
    max: int = 0
    wait_seconds: float = 5.0
    expected: int | None = None


@dataclasses.dataclass(frozen=True)
class Client:
    """A role as the server knows it."""

    role: str
    quoted: str
    connection_limit: int
    superuser: bool
    own: bool
    sessions: int


def shown(limit: int) -> str:
    """A connection limit in words; -1 is none.

    >>> shown(5), shown(-1)
    ('5', 'none')
    """
    return "none" if limit < 0 else str(limit)


def look(connection: psycopg2.extensions.connection, role: str) -> Client:
    """The role now. Raises PostgresqlError when there is none."""
    found = rows(connection, ROLE, (role,))
    if not found:
        raise PostgresqlError(f"there is no role {role} on this server")
    return Client(**found[0])


def limit_for(current: int, wanted: Wanted) -> int:
    """The limit that a role gets: isolating never raises one that a person has set, raising never lowers one.

    >>> limit_for(0, Wanted("r", 5, "isolated")), limit_for(50, Wanted("r", 9, "raised"))
    (0, 50)
    """
    if wanted.state == "isolated" and current >= 0:
        return min(current, wanted.connection_limit)
    if wanted.state == "raised" and (current < 0 or 0 <= wanted.connection_limit <= current):
        return current
    return wanted.connection_limit


def refuse(client: Client, wanted: Wanted) -> None:
    """Raises PostgresqlError for a role that must not be limited, for one that somebody else has changed since, or for more
    sessions than allowed."""
    if client.superuser:
        raise PostgresqlError(f"{client.role} is a superuser: no connection limit holds it, and it is not isolated")
    if client.own and wanted.state == "isolated":
        raise PostgresqlError(f"{client.role} is the role that this run logs in with; give it one of its own")
    if wanted.expected is not None and client.connection_limit not in (wanted.expected, wanted.connection_limit):
        raise PostgresqlError(
            f"the connection limit of {client.role} is {shown(client.connection_limit)} now, and was "
            f"{shown(wanted.expected)}: somebody has changed it since, so it is left as it is"
        )
    if wanted.state == "isolated" and client.sessions > wanted.max:
        raise PostgresqlError(
            f"{client.sessions} sessions of {client.role} would be ended, and max is {wanted.max}: nothing was touched"
        )


def act(
    connection: psycopg2.extensions.connection,
    before: Client,
    wanted: Wanted,
    *,
    clock: t.Callable[[], float] = time.monotonic,
    sleep: t.Callable[[float], None] = time.sleep,
) -> Client:
    """Sets the limit, ends the sessions, confirms both. Raises PostgresqlError; PartlyDoneError when the limit stays set."""
    me = current_user(connection)
    limit = limit_for(before.connection_limit, wanted)
    if before.connection_limit != limit:
        grants = f"ALTER ROLE {me} CREATEROLE; GRANT {before.quoted} TO {me} WITH ADMIN OPTION;"
        statement = psycopg2.sql.SQL(LIMIT).format(psycopg2.sql.Identifier(wanted.role), psycopg2.sql.Literal(limit))
        with permitted(grants):
            rows(connection, statement)
    if wanted.state != "isolated":
        return look(connection, wanted.role)
    try:
        return _end_sessions(connection, wanted, limit, clock, sleep)
    except (PostgresqlError, psycopg2.Error) as error:
        raise PartlyDoneError(
            f"{error}. The connection limit of {wanted.role} is {shown(limit)} now (it was {shown(before.connection_limit)})"
        ) from error


def _end_sessions(
    connection: psycopg2.extensions.connection,
    wanted: Wanted,
    limit: int,
    clock: t.Callable[[], float],
    sleep: t.Callable[[float], None],
) -> Client:
    deadline = clock() + wanted.wait_seconds
    with permitted(f"GRANT pg_signal_backend, pg_read_all_stats TO {current_user(connection)};"):
        rows(connection, END_SESSIONS, (wanted.role,))
    while (after := look(connection, wanted.role)).sessions > limit:
        if clock() >= deadline:
            raise PostgresqlError(f"{after.sessions} sessions are still there {wanted.wait_seconds:g} s after the signal")
        sleep(0.05)
    return after
