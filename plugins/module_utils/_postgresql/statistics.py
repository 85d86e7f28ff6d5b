# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bringing a table's statistics up to date (private to the collection)."""

from __future__ import annotations

import dataclasses
import time
import typing as t

try:
    import psycopg2.extensions
    import psycopg2.sql
except ImportError:  # the modules report it before anything of this file is called
    pass

from ansible_collections.sre.runbooks.plugins.module_utils._postgresql.effects import current_user, rows
from ansible_collections.sre.runbooks.plugins.module_utils._postgresql.errors import PostgresqlError

# The number of manual runs tells whether ours happened: without the privilege ANALYZE only warns and ends well.
TABLE = """
SELECT n.nspname::text AS schema, c.relname::text AS "table", quote_ident(pg_get_userbyid(c.relowner)) AS owner,
       format('%%I.%%I', n.nspname, c.relname) AS quoted,
       pg_stat_get_mod_since_analyze(c.oid) AS changed_since_analyze, pg_stat_get_live_tuples(c.oid) AS live_rows,
       pg_stat_get_analyze_count(c.oid) AS runs, pg_is_in_recovery() AS in_recovery
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %s AND c.relname = %s AND c.relkind IN ('r', 'm', 'p')
"""
CONFIRM_SECONDS = 5.0


@dataclasses.dataclass(frozen=True)
class Table:
    """A table and how old what the planner knows of it is."""

    schema: str
    table: str
    owner: str
    quoted: str
    changed_since_analyze: int
    live_rows: int
    runs: int
    in_recovery: bool


def look(connection: psycopg2.extensions.connection, schema: str, table: str) -> Table:
    """The table now. Raises PostgresqlError when there is none."""
    found = rows(connection, TABLE, (schema, table))
    if not found:
        raise PostgresqlError(f"there is no table {schema}.{table} in this database")
    if found[0]["in_recovery"]:
        raise PostgresqlError("this server is a standby, where ANALYZE cannot run: do it on the primary")
    return Table(**found[0])


def analyze(
    connection: psycopg2.extensions.connection,
    table: Table,
    timeout: float,
    *,
    clock: t.Callable[[], float] = time.monotonic,
    sleep: t.Callable[[float], None] = time.sleep,
) -> None:
    """Analyzes one table and confirms it. Raises PostgresqlError."""
    rows(connection, "SELECT set_config('statement_timeout', %s, false)", (f"{int(timeout * 1000)}",))
    rows(connection, psycopg2.sql.SQL("ANALYZE {}").format(psycopg2.sql.Identifier(table.schema, table.table)))
    deadline = clock() + CONFIRM_SECONDS
    while look(connection, table.schema, table.table).runs <= table.runs:
        # Up to 14 the statistics arrive a moment later.
        if clock() >= deadline:
            me = current_user(connection)
            raise PostgresqlError(
                f"{table.quoted} was not analyzed: the role may not. A superuser can type: "
                f"GRANT {table.owner} TO {me}; (or, from 17 on: GRANT MAINTAIN ON {table.quoted} TO {me};)"
            )
        sleep(0.1)
