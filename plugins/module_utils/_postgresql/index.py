# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Building an index beside the running application, and taking it away again (private to the collection).

Source: https://www.postgresql.org/docs/current/sql-createindex.html#SQL-CREATEINDEX-CONCURRENTLY
"""

from __future__ import annotations

import dataclasses
import secrets
import time
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

# The indexes of a table: OID, name, columns in order, whether it is valid and is not being built by somebody right now, and
# whether a constraint, the replica identity or a parent's index needs it.
INDEXES = """
SELECT i.oid::bigint AS oid, i.relname::text AS name, x.indisvalid AS valid,
       x.indpred IS NOT NULL OR x.indexprs IS NOT NULL AS special,
       EXISTS (SELECT FROM pg_stat_progress_create_index p WHERE p.index_relid = x.indexrelid) AS in_the_making,
       EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = x.indexrelid) OR x.indisreplident OR i.relispartition AS needed,
       ARRAY(SELECT a.attname::text FROM unnest(x.indkey) WITH ORDINALITY AS k (attnum, place)
             JOIN pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = k.attnum ORDER BY k.place) AS columns
FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_class c ON c.oid = x.indrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %s AND c.relname = %s ORDER BY 2
"""
# Names of indexes live in the schema, beside those of tables; a renamed table keeps its indexes' names.
NAMED = """
SELECT c.oid::bigint AS oid, c.relkind::text AS kind, t.relname::text AS "table"
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_index x ON x.indexrelid = c.oid LEFT JOIN pg_class t ON t.oid = x.indrelid
WHERE n.nspname = %s AND c.relname = %s
"""
TABLE = """
SELECT c.relkind::text AS kind, quote_ident(pg_get_userbyid(c.relowner)) AS owner, pg_is_in_recovery() AS in_recovery,
       ARRAY(SELECT a.attname::text FROM pg_attribute a
             WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) AS columns
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %s AND c.relname = %s AND c.relkind IN ('r', 'm', 'p')
"""
# Building concurrently waits for those that were there before it, if they hold a snapshot or have written to the table;
# dropping waits for all that have a lock on the table, readers too.
OLDER_TRANSACTIONS = """
SELECT a.pid, a.usename::text AS "user", a.application_name AS application,
       extract(epoch FROM clock_timestamp() - a.xact_start)::int AS seconds
FROM pg_stat_activity a
WHERE a.datname = current_database() AND a.pid <> pg_backend_pid() AND a.backend_type = 'client backend'
  AND a.xact_start < clock_timestamp() - make_interval(secs => %(seconds)s)
  AND (a.backend_xmin IS NOT NULL AND NOT %(dropping)s OR EXISTS (
       SELECT FROM pg_locks l JOIN pg_class c ON c.oid = l.relation JOIN pg_namespace n ON n.oid = c.relnamespace
       WHERE l.pid = a.pid AND l.granted AND (l.mode NOT IN ('AccessShareLock', 'RowShareLock') OR %(dropping)s)
         AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
         AND n.nspname = %(schema)s AND c.relname = %(table)s))
UNION ALL
SELECT 0, owner::text, 'prepared transaction ' || gid, extract(epoch FROM clock_timestamp() - prepared)::int
FROM pg_prepared_xacts
WHERE database = current_database() AND prepared < clock_timestamp() - make_interval(secs => %(seconds)s)
ORDER BY seconds DESC
"""
CREATE = "CREATE INDEX CONCURRENTLY {} ON {} ({})"
DROP = "DROP INDEX {}"
# A DROP keeps everybody else waiting while it waits itself, so it gives up soon and tries again.
DROP_TRIES = 4
DROP_LOCK_MS = 500
DROP_PAUSE_SECONDS = 0.5


@dataclasses.dataclass(frozen=True)
class Wanted:
    """An index as it should be, or by its name (and OID, where it is known) as it should not be."""

    schema: str
    table: str
    state: t.Literal["present", "absent"]
    name: str
    columns: tuple[str, ...] = ()
    oid: int | None = None
    timeout: float = 600.0
    lock_timeout: float = 20.0
    transaction_seconds_max: float = 10.0

    @property
    def seconds(self) -> float:
        """How long it may take in all."""
        return self.timeout + self.lock_timeout + 60.0


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is done, in order: the indexes (OID, name) that go first, and whether one is built."""

    drop: tuple[tuple[int, str], ...]
    create: bool

    @property
    def changes(self) -> bool:
        return bool(self.drop) or self.create


def plan(connection: psycopg2.extensions.connection, wanted: Wanted) -> Plan:
    """What has to be done. Raises PostgresqlError before anything is touched."""
    table = rows(connection, TABLE, (wanted.schema, wanted.table))
    if not table:
        raise PostgresqlError(f"there is no table {wanted.schema}.{wanted.table} in this database")
    if table[0]["in_recovery"]:
        raise PostgresqlError("this server is a standby, where no index can be built or dropped: do it on the primary")
    if table[0]["kind"] == "p":
        raise PostgresqlError(
            f"{wanted.schema}.{wanted.table} is partitioned, and no index is built concurrently on all of it: CREATE INDEX ON "
            "ONLY it, then CREATE INDEX CONCURRENTLY on each partition and ALTER INDEX … ATTACH PARTITION"
        )
    indexes = rows(connection, INDEXES, (wanted.schema, wanted.table))
    found = _plan_absent(wanted, indexes) if wanted.state == "absent" else _plan_present(connection, wanted, indexes, table[0])
    if found.changes:
        _refuse_behind_older_transactions(connection, wanted)
    return found


def _plan_absent(wanted: Wanted, indexes: t.Sequence[t.Mapping[str, t.Any]]) -> Plan:
    found = [one for one in indexes if one["name"] == wanted.name]
    for one in found:
        if wanted.oid is not None and one["oid"] != wanted.oid:
            raise PostgresqlError(f"{wanted.name} is another index now than the one that was built: it is left alone")
        if wanted.columns and list(one["columns"]) != list(wanted.columns):
            raise PostgresqlError(f"{wanted.name} is on other columns now ({', '.join(one['columns'])}): it is left alone")
        if one["needed"]:
            raise PostgresqlError(f"{wanted.name} serves a constraint or another index now: it is left alone")
    return Plan(tuple((one["oid"], one["name"]) for one in found), create=False)


def _plan_present(
    connection: psycopg2.extensions.connection,
    wanted: Wanted,
    indexes: t.Sequence[t.Mapping[str, t.Any]],
    table: t.Mapping[str, t.Any],
) -> Plan:
    unknown = [column for column in wanted.columns if column not in table["columns"]]
    if unknown:
        raise PostgresqlError(f"{wanted.schema}.{wanted.table} has no column {', '.join(unknown)}")
    making = [one["name"] for one in indexes if one["in_the_making"]]
    if making:
        raise PostgresqlError(f"somebody is building {', '.join(making)} right now: wait for its end")
    same = [one for one in indexes if list(one["columns"]) == list(wanted.columns) and not one["special"]]
    broken = tuple((one["oid"], one["name"]) for one in same if not one["valid"] and not one["needed"])
    create = not any(one["valid"] for one in same)
    taken = rows(connection, NAMED, (wanted.schema, wanted.name)) if create else []
    if taken and wanted.name not in [name for dummy, name in broken]:
        whose = f"an index of {taken[0]['table']}" if taken[0]["table"] else "another relation"
        raise PostgresqlError(f"{wanted.schema}.{wanted.name} is {whose} already, so nothing was touched: give another name")
    return Plan(broken, create)


def _refuse_behind_older_transactions(connection: psycopg2.extensions.connection, wanted: Wanted) -> None:
    values = {
        "seconds": wanted.transaction_seconds_max, "schema": wanted.schema, "table": wanted.table,
        "dropping": wanted.state == "absent",
    }  # fmt: skip
    older = rows(connection, OLDER_TRANSACTIONS, values)
    if older:
        told = "; ".join(f"pid {one['pid']} ({one['user']}, {one['application']}) for {one['seconds']} s" for one in older[:5])
        what = "dropped" if wanted.state == "absent" else "built"
        raise PostgresqlError(
            f"an index is not {what} now: it would wait for {len(older)} older open transaction(s): {told}. End those first"
        )


def act(connection: psycopg2.extensions.connection, wanted: Wanted, planned: Plan) -> int | None:
    """Drops what is left over, builds or takes away, and confirms. Returns the OID of what was built.

    Raises PostgresqlError; no INVALID index of our making stays, unless the message says so.
    """
    owner = rows(connection, TABLE, (wanted.schema, wanted.table))[0]["owner"]
    limits = (f"{int(wanted.timeout * 1000)}", f"{int(wanted.lock_timeout * 1000)}")
    rows(connection, "SELECT set_config('statement_timeout', %s, false), set_config('lock_timeout', %s, false)", limits)
    with permitted(f"GRANT {owner} TO {current_user(connection)};"):
        for oid, name in planned.drop:
            _drop(connection, wanted, oid, name)
        return _create(connection, wanted) if planned.create else None


def _drop(connection: psycopg2.extensions.connection, wanted: Wanted, oid: int, name: str) -> None:
    """Drops an index, if it is still the one with the OID. Raises PostgresqlError; then nothing was changed.

    A name can be given to another index at any moment, while a DROP waits for its lock too. So it is given a name of our own
    first, by which it stays locked until the transaction ends, and is dropped if it has the OID.
    """
    for attempt in range(DROP_TRIES):
        try:
            rows(connection, "BEGIN")
            _drop_the_one(connection, wanted, oid, name)
            rows(connection, "COMMIT")
        except psycopg2.errors.LockNotAvailable as error:
            rows(connection, "ROLLBACK")
            if attempt == DROP_TRIES - 1:
                raise PostgresqlError(
                    f"{name} was not dropped: somebody holds its table, and others would have had to wait behind us "
                    f"({DROP_TRIES} tries of {DROP_LOCK_MS / 1000:g} s); nothing was changed"
                ) from error
            time.sleep(DROP_PAUSE_SECONDS)
        except (psycopg2.Error, PostgresqlError):
            if not connection.closed:
                rows(connection, "ROLLBACK")
            raise
        else:
            return


def _drop_the_one(connection: psycopg2.extensions.connection, wanted: Wanted, oid: int, name: str) -> None:
    ours = f"sre_runbooks_{secrets.token_hex(12)}"
    identifier = psycopg2.sql.Identifier
    rows(connection, f"SET LOCAL lock_timeout = {DROP_LOCK_MS:d}")
    try:
        rename = psycopg2.sql.SQL("ALTER INDEX {} RENAME TO {}")
        rows(connection, rename.format(identifier(wanted.schema, name), identifier(ours)))
    except psycopg2.errors.UndefinedTable:
        found = []
    else:
        found = rows(connection, NAMED, (wanted.schema, ours))
    if [one["oid"] for one in found] != [oid]:
        raise PostgresqlError(f"{name} is another index now than the one that was looked at: it is left alone")
    rows(connection, psycopg2.sql.SQL(DROP).format(identifier(wanted.schema, ours)))


def _create(connection: psycopg2.extensions.connection, wanted: Wanted) -> int | None:
    before = {one["oid"] for one in rows(connection, INDEXES, (wanted.schema, wanted.table))}
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
        left = "what was left of it could not be looked for" if connection.closed else _clean_up(connection, wanted, before)
        raise PostgresqlError(
            f"{wanted.name} was not built: {' '.join(str(error).split())} (it may take {wanted.timeout:g} s, and wait "
            f"{wanted.lock_timeout:g} s for other transactions); {left}"
        ) from error
    made = made_since(rows(connection, INDEXES, (wanted.schema, wanted.table)), before, wanted)
    return int(made[0]["oid"]) if made else None


def made_since(
    indexes: t.Iterable[t.Mapping[str, t.Any]], before: t.Container[int], wanted: Wanted
) -> list[t.Mapping[str, t.Any]]:
    """The index of our name that was not there before we began; an index of somebody else is none."""
    return [one for one in indexes if one["name"] == wanted.name and one["oid"] not in before]


def _clean_up(connection: psycopg2.extensions.connection, wanted: Wanted, before: t.Container[int]) -> str:
    """Drops the INVALID index that a failed CREATE INDEX CONCURRENTLY of ours has left, and says what was done."""
    made = made_since(rows(connection, INDEXES, (wanted.schema, wanted.table)), before, wanted)
    leftovers = [one for one in made if not one["valid"] and not one["in_the_making"]]
    for one in leftovers:
        try:
            _drop(connection, wanted, one["oid"], one["name"])
        except (PostgresqlError, psycopg2.Error) as error:
            return f"what was left of it could not be dropped: {' '.join(str(error).split())}"
    return "what was left of it was dropped" if leftovers else "nothing was left of it"
