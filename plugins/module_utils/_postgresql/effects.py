# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every act on a database begins and ends with: the advisory lock, refusals with their GRANTs (private)."""

from __future__ import annotations

import contextlib
import typing as t

try:
    import psycopg2
    import psycopg2.errors
    import psycopg2.extensions
    import psycopg2.extras
except ImportError:  # the modules report it before anything of this file is called
    pass

from ansible_collections.sre.runbooks.plugins.module_utils import _within
from ansible_collections.sre.runbooks.plugins.module_utils._postgresql.connection import Login, connected
from ansible_collections.sre.runbooks.plugins.module_utils._postgresql.errors import PostgresqlError

Row = dict[str, t.Any]

# One advisory lock for all effects of the runbooks on one database: a second operator, on whichever host, is stopped.
ADVISORY_KEY = "sre.runbooks effects"
TAKE_LOCK = "SELECT pg_try_advisory_lock(hashtext(%s))"
# Anybody may take an advisory lock. Held by a role that could not act itself, it stops nobody.
LOCK_HOLDER = """
SELECT a.pid, a.usename, host(a.client_addr), a.backend_start::text,
       r.rolsuper OR r.rolcreaterole OR r.rolname = current_user OR pg_has_role(r.oid, 'pg_signal_backend', 'MEMBER') AS may_act
FROM pg_locks l JOIN pg_stat_activity a USING (pid) LEFT JOIN pg_roles r ON r.oid = a.usesysid
WHERE l.locktype = 'advisory' AND l.granted AND l.objid = (hashtext(%s)::bigint & 4294967295)::oid
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) LIMIT 1
"""


def take_lock(connection: psycopg2.extensions.connection) -> None:
    """Takes the advisory lock until this session ends. Raises PostgresqlError naming the holder, if it is one of ours."""
    with connection.cursor() as cursor:
        cursor.execute(TAKE_LOCK, (ADVISORY_KEY,))
        if (cursor.fetchone() or (False,))[0]:
            return
        cursor.execute(LOCK_HOLDER, (ADVISORY_KEY,))
        pid, user, client, since, may_act = cursor.fetchone() or ("?", "?", "?", "?", True)
    if not may_act:
        return
    raise PostgresqlError(
        f"another run is acting on this database (pid {pid}, {user}, from {client}, since {since}): "
        "wait until it has ended, then look again before you act"
    )


# No act waits for ever: for a lock that somebody holds, or for a statement of its own.
LOCK_TIMEOUT_MS = 3000
STATEMENT_TIMEOUT_MS = 30000
LIMITED = f"SET lock_timeout = {LOCK_TIMEOUT_MS:d}; SET statement_timeout = {STATEMENT_TIMEOUT_MS:d}"
# How long an act may take that sets no time limits of its own, the logins included (seconds).
ACT_SECONDS = 60.0


@contextlib.contextmanager
def acting(login: Login, *, check_mode: bool) -> t.Iterator[psycopg2.extensions.connection]:
    """A session that may act, under time limits: alone on this database, except in check mode, where it only looks.

    Raises PostgresqlError; a server's refusal that nobody foresaw is told in the server's words.
    """
    with connected(login) as connection:
        try:
            with connection.cursor() as cursor:
                cursor.execute(LIMITED)
            if not check_mode:
                take_lock(connection)
            yield connection
        except psycopg2.errors.LockNotAvailable as error:
            raise PostgresqlError(
                f"{login.name}: somebody else holds a lock that this needs, and it was not waited for longer than "
                f"{LOCK_TIMEOUT_MS / 1000:g} s; nothing was changed by it: {' '.join(str(error).split())}"
            ) from error
        except psycopg2.Error as error:
            raise PostgresqlError(f"{login.name}: {' '.join(str(error).split())}") from error


T = t.TypeVar("T")


def within(seconds: float, act: t.Callable[[], T]) -> T:
    """What the act returns, if it does so in time; an act on a server that hangs is left behind.

    Raises what the act raises, and PostgresqlError when it has not ended in time.
    """
    try:
        return _within.within(seconds, act)
    except _within.LateError as error:
        raise PostgresqlError(
            f"the server did not answer within {seconds:g} s, so nobody knows whether it was done: look again before you act"
        ) from error


def rows(connection: psycopg2.extensions.connection, statement: t.Any, values: t.Any = None) -> list[Row]:
    """The rows of one statement. Raises psycopg2.Error.

    Without values nothing in the statement is a placeholder, so that a name may have a per cent sign in it.
    """
    with connection.cursor(cursor_factory=psycopg2.extras.RealDictCursor) as cursor:
        cursor.execute(statement, values or None)
        return [dict(row) for row in cursor.fetchall()] if cursor.description else []


@contextlib.contextmanager
def permitted(grants: str) -> t.Iterator[None]:
    """Turns a missing privilege into a sentence with what to grant. Raises PostgresqlError."""
    try:
        yield
    except psycopg2.errors.InsufficientPrivilege as error:
        raise PostgresqlError(
            f"{str(error).splitlines()[0]}; nothing was changed by it. A superuser (or rds_superuser, cloudsqlsuperuser, "
            f"azure_pg_admin) can type: {grants}"
        ) from error


def current_user(connection: psycopg2.extensions.connection) -> str:
    """The role that this session acts as, quoted where it has to be."""
    return str(rows(connection, "SELECT quote_ident(current_user) AS name")[0]["name"])
