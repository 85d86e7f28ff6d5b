# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Building an index beside the running application, and taking it away again (private to the collection).

Source: https://www.postgresql.org/docs/current/sql-createindex.html#SQL-CREATEINDEX-CONCURRENTLY
"""

from __future__ import annotations

import dataclasses
import typing as t

try:
    import psycopg2
    import psycopg2.errors
    import psycopg2.extensions
    import psycopg2.sql
except ImportError:  # the modules report it before anything of this file is called
    pass

from ansible_collections.sre.runbooks.plugins.module_utils._postgresql.effects import current_user, permitted, rows
from ansible_collections.sre.runbooks.plugins.module_utils._postgresql.errors import PostgresqlError

# The indexes of a table: name, columns in order, whether it is valid and is not being built by somebody right now.
INDEXES = """
SELECT i.relname::text AS name, x.indisvalid AS valid, x.indpred IS NOT NULL OR x.indexprs IS NOT NULL AS special,
       EXISTS (SELECT FROM pg_stat_progress_create_index p WHERE p.index_relid = x.indexrelid) AS in_the_making,
       ARRAY(SELECT a.attname::text FROM unnest(x.indkey) WITH ORDINALITY AS k (attnum, place)
             JOIN pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = k.attnum ORDER BY k.place) AS columns
FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_class c ON c.oid = x.indrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %s AND c.relname = %s ORDER BY 1
"""
TABLE = """
SELECT pg_get_userbyid(c.relowner)::text AS owner,
       ARRAY(SELECT a.attname::text FROM pg_attribute a
             WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) AS columns
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %s AND c.relname = %s AND c.relkind = 'r'
"""
# Building concurrently waits for those that were there before it, if they hold a snapshot or have written to the table.
OLDER_TRANSACTIONS = """
SELECT a.pid, a.usename::text AS "user", a.application_name AS application,
       extract(epoch FROM clock_timestamp() - a.xact_start)::int AS seconds
FROM pg_stat_activity a
WHERE a.datname = current_database() AND a.pid <> pg_backend_pid() AND a.backend_type = 'client backend'
  AND a.xact_start < clock_timestamp() - make_interval(secs => %(seconds)s)
  AND (a.backend_xmin IS NOT NULL OR EXISTS (
       SELECT FROM pg_locks l JOIN pg_class c ON c.oid = l.relation JOIN pg_namespace n ON n.oid = c.relnamespace
       WHERE l.pid = a.pid AND l.granted AND l.mode NOT IN ('AccessShareLock', 'RowShareLock')
         AND n.nspname = %(schema)s AND c.relname = %(table)s))
UNION ALL
SELECT 0, owner::text, 'prepared transaction ' || gid, extract(epoch FROM clock_timestamp() - prepared)::int
FROM pg_prepared_xacts
WHERE database = current_database() AND prepared < clock_timestamp() - make_interval(secs => %(seconds)s)
ORDER BY seconds DESC
"""
CREATE = "CREATE INDEX CONCURRENTLY {} ON {} ({})"
DROP = "DROP INDEX CONCURRENTLY IF EXISTS {}"


@dataclasses.dataclass(frozen=True)
class Wanted:
    """An index as it should be, or by its name as it should not be."""

    schema: str
    table: str
    state: t.Literal["present", "absent"]
    name: str
    columns: tuple[str, ...] = ()
    timeout: float = 600.0
    lock_timeout: float = 20.0
    transaction_seconds_max: float = 10.0


@dataclasses.dataclass(frozen=True)
class Plan:
    """The statements' subjects, in order: which leftovers go first, and whether the index is made or taken away."""

    drop: tuple[str, ...]
    create: bool

    @property
    def changes(self) -> bool:
        return bool(self.drop) or self.create


def plan(connection: psycopg2.extensions.connection, wanted: Wanted) -> Plan:
    """What has to be done. Raises PostgresqlError before anything is touched."""
    table = rows(connection, TABLE, (wanted.schema, wanted.table))
    if not table:
        raise PostgresqlError(f"there is no table {wanted.schema}.{wanted.table} in this database")
    indexes = rows(connection, INDEXES, (wanted.schema, wanted.table))
    if wanted.state == "absent":
        return Plan(tuple(one["name"] for one in indexes if one["name"] == wanted.name), create=False)
    unknown = [column for column in wanted.columns if column not in table[0]["columns"]]
    if unknown:
        raise PostgresqlError(f"{wanted.schema}.{wanted.table} has no column {', '.join(unknown)}")
    making = [one["name"] for one in indexes if one["in_the_making"]]
    if making:
        raise PostgresqlError(f"somebody is building {', '.join(making)} right now: wait for its end")
    same = [one for one in indexes if list(one["columns"]) == list(wanted.columns) and not one["special"]]
    broken = tuple(one["name"] for one in same if not one["valid"])
    create = not any(one["valid"] for one in same)
    if create and any(one["name"] == wanted.name and one["name"] not in broken for one in indexes):
        raise PostgresqlError(f"there is another index named {wanted.name}: give a name")
    found = Plan(broken, create)
    if found.changes:
        _refuse_behind_older_transactions(connection, wanted)
    return found


def _refuse_behind_older_transactions(connection: psycopg2.extensions.connection, wanted: Wanted) -> None:
    values = {"seconds": wanted.transaction_seconds_max, "schema": wanted.schema, "table": wanted.table}
    older = rows(connection, OLDER_TRANSACTIONS, values)
    if older:
        told = "; ".join(f"pid {one['pid']} ({one['user']}, {one['application']}) for {one['seconds']} s" for one in older[:5])
        raise PostgresqlError(
            f"an index is not built now: it would wait for {len(older)} older open transaction(s): {told}. End those first"
        )


def act(connection: psycopg2.extensions.connection, wanted: Wanted, planned: Plan) -> None:
    """Drops what is left over, builds or takes away, and confirms. Raises PostgresqlError; no INVALID index stays."""
    owner = rows(connection, TABLE, (wanted.schema, wanted.table))[0]["owner"]
    limits = (f"{int(wanted.timeout * 1000)}", f"{int(wanted.lock_timeout * 1000)}")
    rows(connection, "SELECT set_config('statement_timeout', %s, false), set_config('lock_timeout', %s, false)", limits)
    with permitted(f"GRANT {owner} TO {current_user(connection)};"):
        for name in planned.drop:
            _drop(connection, wanted.schema, name)
        if planned.create:
            _create(connection, wanted)


def _drop(connection: psycopg2.extensions.connection, schema: str, name: str) -> None:
    rows(connection, psycopg2.sql.SQL(DROP).format(psycopg2.sql.Identifier(schema, name)))


def _create(connection: psycopg2.extensions.connection, wanted: Wanted) -> None:
    statement = psycopg2.sql.SQL(CREATE).format(
        psycopg2.sql.Identifier(wanted.name),
        psycopg2.sql.Identifier(wanted.schema, wanted.table),
        psycopg2.sql.SQL(", ").join(psycopg2.sql.Identifier(column) for column in wanted.columns),
    )
    try:
        rows(connection, statement)
    except psycopg2.errors.InsufficientPrivilege:
        raise
    except psycopg2.Error as error:
        if not connection.closed:
            _drop(connection, wanted.schema, wanted.name)
        raise PostgresqlError(
            f"{wanted.name} was not built: {' '.join(str(error).split())} (it may take {wanted.timeout:g} s, and wait "
            f"{wanted.lock_timeout:g} s for other transactions); what was left of it was dropped"
        ) from error
