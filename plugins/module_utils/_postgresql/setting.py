# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Changing one setting of the server or of a role, and setting it back (private to the collection).

Source: https://www.postgresql.org/docs/current/sql-altersystem.html and sql-alterrole.html
"""

from __future__ import annotations

import dataclasses
import time
import typing as t

try:
    import psycopg2.extensions
    import psycopg2.sql
except ImportError:  # the modules report it before anything of this file is called
    pass

from ansible_collections.sre.runbooks.plugins.module_utils._postgresql.effects import current_user, permitted, rows
from ansible_collections.sre.runbooks.plugins.module_utils._postgresql.errors import PartlyDoneError, PostgresqlError

OF_SERVER = """
SELECT setting AS effective, source, context,
       CASE WHEN sourcefile LIKE '%%/postgresql.auto.conf' THEN setting END AS own,
       has_function_privilege('pg_reload_conf()', 'EXECUTE') AS may_reload,
       source = 'configuration file' AND sourcefile IS NULL AS hidden
FROM pg_settings WHERE name = %(name)s
"""
OF_ROLE = """
SELECT quote_ident(r.rolname) AS quoted, r.rolsuper AS superuser,
       (SELECT substr(setting, strpos(setting, '=') + 1) FROM pg_db_role_setting s CROSS JOIN unnest(s.setconfig) AS setting
        WHERE s.setrole = r.oid AND split_part(setting, '=', 1) = %(name)s
          AND s.setdatabase = coalesce((SELECT oid FROM pg_database WHERE datname = %(database)s), 0)) AS own
FROM pg_roles r WHERE r.rolname = %(role)s
"""
CONFIRM_SECONDS = 5.0


@dataclasses.dataclass(frozen=True)
class Wanted:
    """A setting of the server (``role`` None) or of a role, in one database or (``database`` None) in all.

    ``value`` None takes away what ALTER SYSTEM or ALTER ROLE have set. ``expected`` is what they must have set now (``known``:
    it is checked); with anything else somebody has changed it since.
    """

    name: str
    value: str | None
    role: str | None = None
    database: str | None = None
    expected: str | None = None
    known: bool = False

    @property
    def subject(self) -> str:
        where = f" in {self.database}" if self.database else ""
        return f"{self.name} of {self.role}{where}" if self.role else f"{self.name} of the server"


@dataclasses.dataclass(frozen=True)
class Setting:
    """What ALTER SYSTEM or ALTER ROLE have set (None: nothing), and what the server goes by now (None for a role)."""

    own: str | None
    effective: str | None = None


def shown(value: str | None) -> str:
    return "nothing" if value is None else f"'{value}'"


def look(connection: psycopg2.extensions.connection, wanted: Wanted) -> Setting:
    """The setting now. Raises PostgresqlError for one that cannot be set so, and for one that is not as expected."""
    values = {"name": wanted.name, "role": wanted.role, "database": wanted.database}
    found = rows(connection, OF_ROLE if wanted.role else OF_SERVER, values)
    if not found:
        raise PostgresqlError(f"there is no role {wanted.role}" if wanted.role else f"there is no setting {wanted.name}")
    row = found[0]
    if wanted.role and row["superuser"]:
        raise PostgresqlError(f"{wanted.role} is a superuser: its settings are left alone")
    if not wanted.role and row["source"] == "command line":
        raise PostgresqlError(f"{wanted.name} is given on the server's command line, which ALTER SYSTEM does not override")
    if not wanted.role and row["context"] not in ("sighup", "superuser", "user", "backend", "superuser-backend"):
        raise PostgresqlError(f"{wanted.name} needs a restart of the server, and it is not restarted from here")
    if not wanted.role:
        _refuse_without_grants(connection, hidden=row["hidden"], may_reload=row["may_reload"])
    setting = Setting(row["own"], None if wanted.role else row["effective"])
    if wanted.known and setting.own not in (wanted.expected, wanted.value):
        raise PostgresqlError(
            f"{wanted.subject} is set to {shown(setting.own)} now, and was {shown(wanted.expected)}: somebody has changed it "
            "since, so it is left as it is"
        )
    return setting


def _refuse_without_grants(connection: psycopg2.extensions.connection, *, hidden: bool, may_reload: bool) -> None:
    """Raises PostgresqlError before anything is touched where a setting could be changed and not be confirmed."""
    me = current_user(connection)
    grants = [f"GRANT pg_read_all_settings TO {me};"] if hidden else []
    grants += [] if may_reload else [f"GRANT EXECUTE ON FUNCTION pg_reload_conf() TO {me};"]
    if grants:
        raise PostgresqlError(
            f"{me} may not see where the setting comes from, or not let the server read it, so nothing was changed. A superuser "
            f"can type, in this database: {' '.join(grants)}"
        )


def is_done(setting: Setting, wanted: Wanted) -> bool:
    """Whether the setting is as it should be; of the server's own it must also be what the server goes by."""
    return setting.own == wanted.value and (wanted.role is not None or wanted.value in (None, setting.effective))


def statement(wanted: Wanted) -> t.Any:
    """The ALTER SYSTEM or ALTER ROLE to send."""
    sql, name = psycopg2.sql, psycopg2.sql.Identifier(wanted.name)
    value = sql.SQL("RESET {}").format(name)
    if wanted.value is not None:
        value = sql.SQL("SET {} = {}").format(name, sql.Literal(wanted.value))
    if wanted.role is None:
        return sql.SQL("ALTER SYSTEM {}").format(value)
    where = sql.SQL(" IN DATABASE {}").format(sql.Identifier(wanted.database)) if wanted.database else sql.SQL("")
    return sql.SQL("ALTER ROLE {}{} {}").format(sql.Identifier(wanted.role), where, value)


def act(
    connection: psycopg2.extensions.connection,
    wanted: Wanted,
    *,
    clock: t.Callable[[], float] = time.monotonic,
    sleep: t.Callable[[float], None] = time.sleep,
) -> Setting:
    """Sets it, lets the server read it, confirms it. Raises PostgresqlError; PartlyDoneError when it is set and not in effect."""
    me = current_user(connection)
    if wanted.role is not None:
        quoted = rows(connection, "SELECT quote_ident(%s) AS name", (wanted.role,))[0]["name"]
        with permitted(f"ALTER ROLE {me} CREATEROLE; GRANT {quoted} TO {me} WITH ADMIN OPTION;"):
            rows(connection, statement(wanted))
        return look(connection, dataclasses.replace(wanted, known=False))
    with permitted(f"GRANT ALTER SYSTEM ON PARAMETER {wanted.name} TO {me}; (from 15 on)"):
        rows(connection, statement(wanted))
    rows(connection, "SELECT pg_reload_conf()")
    deadline = clock() + CONFIRM_SECONDS
    while not is_done(now := look(connection, dataclasses.replace(wanted, known=False)), wanted):
        if clock() >= deadline:
            raise PartlyDoneError(f"{wanted.subject} is set, and the server does not go by it {CONFIRM_SECONDS:g} s later")
        sleep(0.05)
    return now
