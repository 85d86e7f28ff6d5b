# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asking for the plan of a statement that somebody else runs, without running any of it (private to the collection).

The planner computes what is constant, so a function, an operator or a cast of a stranger's could run as the role that asks,
also from where no text names it (an index's predicate, a check constraint, a type). Hence a role of its own that may do nothing
but SELECT, on a connection of its own that is closed after the question and ended when it takes too long; and what the text and
its tables name is looked up before: nothing that somebody other than a superuser has made is planned. Whoever owns the tables
could still put something there between that look and the question: it would run as a role that may only read.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import typing as t

try:
    import psycopg2
    import psycopg2.extensions
    import psycopg2.extras
except ImportError:  # the modules report it before anything of this file is called
    pass

from ansible_collections.sre.runbooks.plugins.module_utils._postgresql import plans
from ansible_collections.sre.runbooks.plugins.module_utils._postgresql.connection import Login, connected
from ansible_collections.sre.runbooks.plugins.module_utils._postgresql.errors import RefusedConnectionError
from ansible_collections.sre.runbooks.plugins.module_utils._postgresql.plans import Question, Scan, UnplannableError
from ansible_collections.sre.runbooks.plugins.module_utils._within import LateError, within

Row = dict[str, t.Any]

# What the role that asks may do beside SELECT, in words; no row when it may do nothing else.
EXCESS = """
SELECT unnest(ARRAY[
  CASE WHEN r.rolsuper THEN 'is a superuser' END, CASE WHEN r.rolcreaterole THEN 'may create roles' END,
  CASE WHEN r.rolcreatedb THEN 'may create databases' END, CASE WHEN r.rolreplication THEN 'may replicate' END,
  CASE WHEN r.rolbypassrls THEN 'bypasses row level security' END,
  (SELECT 'is a member of ' || string_agg(o.rolname::text, ', ' ORDER BY o.rolname) FROM pg_auth_members m
   JOIN pg_roles o ON o.oid = m.roleid WHERE m.member = r.oid AND o.rolname <> 'pg_read_all_data'),
  CASE WHEN EXISTS (SELECT FROM pg_shdepend d WHERE d.refclassid = 'pg_authid'::regclass AND d.refobjid = r.oid
                    AND d.deptype = 'o') THEN 'owns objects' END]) AS may
FROM pg_roles r WHERE r.rolname = current_user
"""

# Where a table's name leads: each relation of that name, and whether the sessions have locked it.
RELATIONS = """
SELECT w.number, c.oid::bigint AS oid, n.nspname::text AS schema, c.relkind::text AS kind, c.relrowsecurity AS secured,
       c.oid::bigint = ANY (%(locked)s::bigint[]) AS locked,
       EXISTS (WITH RECURSIVE child AS (SELECT i.inhrelid FROM pg_inherits i WHERE i.inhparent = c.oid
                 UNION SELECT i.inhrelid FROM pg_inherits i JOIN child ON i.inhparent = child.inhrelid)
               SELECT FROM child JOIN pg_class k ON k.oid = child.inhrelid WHERE k.relkind = 'f') AS foreign_child
FROM unnest(%(schemas)s::text[], %(names)s::text[]) WITH ORDINALITY AS w (schema, name, number)
JOIN pg_class c ON c.relname = w.name JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND (w.schema = n.nspname OR w.schema IS NULL)
  AND (n.nspname <> 'information_schema' OR w.schema IS NOT NULL)
ORDER BY w.number, 2
"""

# What a statement names and nobody knows: functions, operators and types that are not the server's own. Functions of the server
# that run queries of their own (to XML, ts_rewrite) or reach beyond data (pg_…, lo_…) are not planned either.
STRANGE = """
WITH others AS (SELECT oid FROM pg_roles WHERE NOT rolsuper)
SELECT 'the function ' || f.name AS what
FROM unnest(%(function_schemas)s::text[], %(functions)s::text[]) AS f (schema, name)
WHERE coalesce(f.schema, 'pg_catalog') <> 'pg_catalog' OR f.name ~ '^(pg|lo|xml|query|cursor)_|_to_xml|^xpath|^ts_(stat|rewrite)$'
   OR NOT EXISTS (SELECT FROM pg_proc p WHERE p.proname = f.name AND p.pronamespace = 'pg_catalog'::regnamespace)
   OR EXISTS (SELECT FROM pg_proc p WHERE p.proname = f.name
              AND CASE WHEN p.pronamespace = 'pg_catalog'::regnamespace THEN p.provolatile = 'v' ELSE f.schema IS NULL END)
UNION ALL
SELECT 'the function ' || a.name FROM unnest(%(attributes)s::text[]) AS a (name)
WHERE EXISTS (SELECT FROM pg_proc p WHERE p.proname = a.name
              AND (p.pronamespace <> 'pg_catalog'::regnamespace OR p.provolatile = 'v' OR p.proname ~ '_to_xml'))
UNION ALL
SELECT 'the operator ' || o.name FROM unnest(%(operator_schemas)s::text[], %(operators)s::text[]) AS o (schema, name)
WHERE coalesce(o.schema, 'pg_catalog') <> 'pg_catalog'
   OR o.schema IS NULL AND EXISTS (
      SELECT FROM pg_operator p JOIN pg_proc f ON f.oid = p.oprcode WHERE p.oprname = o.name
      AND p.oprnamespace <> 'pg_catalog'::regnamespace AND (p.oprowner IN (TABLE others) OR f.proowner IN (TABLE others)))
UNION ALL
SELECT 'the type ' || y.name FROM unnest(%(type_schemas)s::text[], %(types)s::text[]) AS y (schema, name)
WHERE NOT EXISTS (SELECT FROM pg_type p
                  WHERE p.typname = y.name AND (y.schema IS NULL OR p.typnamespace = y.schema::regnamespace))
   OR NOT (coalesce(y.schema, 'pg_catalog') = 'pg_catalog'
           AND EXISTS (SELECT FROM pg_type p WHERE p.typname = y.name AND p.typtype IN ('b', 'r', 'm')
                       AND p.typnamespace = 'pg_catalog'::regnamespace))
      AND EXISTS (SELECT FROM pg_type p JOIN pg_namespace n ON n.oid = p.typnamespace
                  WHERE p.typname = y.name AND (y.schema IS NULL OR y.schema = n.nspname)
                  AND (p.typtype <> 'e' OR EXISTS (SELECT FROM pg_cast c JOIN pg_proc f ON f.oid = c.castfunc
                       WHERE p.oid IN (c.castsource, c.casttarget) AND f.proowner IN (TABLE others))))
"""

# What would be computed or asked while a table is planned without any statement naming it: what its indexes, constraints and
# generated columns call, and the types of its columns, where somebody other than a superuser has made them. With its children.
HOOKS = """
WITH RECURSIVE others AS (SELECT oid FROM pg_roles WHERE NOT rolsuper
), family AS (
    SELECT unnest(%(tables)s::bigint[])::oid AS oid
    UNION SELECT i.inhrelid FROM pg_inherits i JOIN family f ON i.inhparent = f.oid
), parts AS (
    SELECT 'pg_class'::regclass AS class, oid AS part FROM family
    UNION ALL SELECT 'pg_class'::regclass, x.indexrelid FROM pg_index x JOIN family f ON f.oid = x.indrelid
    UNION ALL SELECT 'pg_constraint'::regclass, k.oid FROM pg_constraint k JOIN family f ON f.oid = k.conrelid
    UNION ALL SELECT 'pg_attrdef'::regclass, d.oid FROM pg_attrdef d JOIN family f ON f.oid = d.adrelid
              JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum AND a.attgenerated <> ''
    UNION ALL SELECT 'pg_statistic_ext'::regclass, e.oid FROM pg_statistic_ext e JOIN family f ON f.oid = e.stxrelid
), kinds AS (
    SELECT a.atttypid AS oid FROM pg_attribute a JOIN family f ON f.oid = a.attrelid WHERE a.attnum > 0 AND NOT a.attisdropped
    UNION SELECT unnest(ARRAY[y.typelem, y.typbasetype]) FROM kinds k JOIN pg_type y ON y.oid = k.oid
)
SELECT 'the function ' || p.proname AS what FROM pg_depend d JOIN parts s ON s.class = d.classid AND s.part = d.objid
JOIN pg_proc p ON d.refclassid = 'pg_proc'::regclass AND p.oid = d.refobjid WHERE p.proowner IN (TABLE others)
UNION
SELECT 'the operator ' || o.oprname FROM pg_depend d JOIN parts s ON s.class = d.classid AND s.part = d.objid
JOIN pg_operator o ON d.refclassid = 'pg_operator'::regclass AND o.oid = d.refobjid JOIN pg_proc p ON p.oid = o.oprcode
WHERE o.oprowner IN (TABLE others) OR p.proowner IN (TABLE others)
UNION
SELECT 'the type ' || y.typname FROM kinds k JOIN pg_type y ON y.oid = k.oid
WHERE y.typtype IN ('r', 'm', 'c') AND y.typowner IN (TABLE others)
UNION
SELECT 'the cast from ' || format_type(c.castsource, NULL) || ' to ' || format_type(c.casttarget, NULL)
FROM kinds k JOIN pg_type y ON y.oid = k.oid JOIN pg_cast c ON y.oid IN (c.castsource, c.casttarget)
JOIN pg_proc p ON p.oid = c.castfunc WHERE y.typowner IN (TABLE others) AND p.proowner IN (TABLE others)
"""

# What is known of tables that plans read whole. A partition is told with its topmost parent.
TABLES = """
SELECT n.nspname::text AS schema, c.relname::text AS "table", rn.nspname::text AS root_schema, r.relname::text AS root_table,
       r.relkind = 'p' AS partitioned, pg_stat_get_live_tuples(c.oid) AS live_rows, c.reltuples::float8 AS estimated_rows,
       c.relpages AS pages,
       (SELECT json_object_agg(a.attname, format_type(a.atttypid, NULL)) FROM pg_attribute a
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) AS columns,
       (SELECT json_object_agg(s.attname, greatest((s.most_common_freqs)[1], CASE WHEN s.n_distinct > 0 THEN 1 / s.n_distinct
               WHEN s.n_distinct < 0 THEN -1 / (s.n_distinct * greatest(c.reltuples, 1)) ELSE 1 END))
        FROM pg_stats s WHERE s.schemaname = n.nspname AND s.tablename = c.relname AND NOT s.inherited) AS shares,
       (SELECT coalesce(json_agg(json_build_array(i.relname,
               ARRAY(SELECT a.attname::text FROM unnest(x.indkey) WITH ORDINALITY AS k (attnum, place)
                     JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum
                     WHERE k.place <= x.indnkeyatts ORDER BY k.place)) ORDER BY i.relname), '[]')
        FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid
        WHERE x.indrelid = c.oid AND x.indisvalid AND x.indpred IS NULL AND x.indexprs IS NULL) AS indexes
FROM unnest(%(schemas)s::text[], %(names)s::text[]) AS w (schema, name)
JOIN pg_namespace n ON n.nspname = w.schema JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = w.name
JOIN pg_class r ON r.oid = CASE WHEN c.relispartition THEN pg_partition_root(c.oid)::oid ELSE c.oid END
JOIN pg_namespace rn ON rn.oid = r.relnamespace
"""


@dataclasses.dataclass(frozen=True)
class Busy:
    """A statement that is at work: its text, the tables (OIDs) that its sessions have locked, its role's search path."""

    query: str
    locked: tuple[int, ...]
    path: tuple[str, ...]


# What a server gets beyond its own time limit before the session is ended.
GRACE_SECONDS = 0.5
REASONS = {
    "42501": "the role for plans may not read one of its tables",
    "57014": "planning it took too long",
    "55P03": "a table of it is locked",
    "42P01": "it reads a table that is gone, or of the session's own",
    "42703": "it names a column that is not there",
}


def plan_of(login: Login, busy: Busy, *, timeout_ms: int, lock_timeout_ms: int) -> Row:
    """The plan of a statement: ``scans`` (see ``settled``), ``loops`` (see ``plans.loops``), ``cost`` in the planner's units.

    Raises UnplannableError with the reason why there is none, in our own words: the server's may hold what the statement holds.
    """
    question = plans.question_from(busy.query)
    opened: list[psycopg2.extensions.connection] = []
    try:
        return within(
            timeout_ms / 1000 + GRACE_SECONDS, lambda: _plan(login, busy, question, opened, timeout_ms, lock_timeout_ms)
        )
    except RefusedConnectionError as refusal:
        raise UnplannableError(f"the role for plans cannot log in: {refusal.reason}") from refusal
    except LateError as error:
        _end(login, opened)
        raise UnplannableError("planning it did not end in time, so its session was ended") from error
    except psycopg2.Error as error:
        state = error.pgcode or "no SQLSTATE"
        raise UnplannableError(REASONS.get(state, f"the server does not plan it (SQLSTATE {state})")) from error


def _plan(
    login: Login, busy: Busy, question: Question, opened: list[psycopg2.extensions.connection], timeout_ms: int,
    lock_timeout_ms: int,
) -> Row:  # fmt: skip
    with connected(login) as connection:
        opened.append(connection)
        _be_careful(connection, timeout_ms, lock_timeout_ms)
        if question.has_parameters and connection.server_version < 160000:
            raise UnplannableError("it has parameters, and only PostgreSQL 16 and later plan it without their values")
        _refuse_more_than_select(connection, login)
        meant = _meant(connection, question, busy)
        _refuse_strange(connection, question)
        _refuse_hooks(connection, [one["oid"] for one in meant.values()])
        schemas = {name: one["schema"] for (schema, name), one in meant.items() if schema is None}
        plan = _explain(connection, question, schemas, busy.path)
        found = plans.scans(plan)
        return {"scans": settled(found, _tables(connection, found)), "loops": plans.loops(plan), "cost": plan["Total Cost"]}


def _end(login: Login, opened: t.Sequence[psycopg2.extensions.connection]) -> None:
    """Ends a session of the role for plans that goes on after its time. A role may end its own sessions."""
    with contextlib.suppress(RefusedConnectionError, psycopg2.Error, IndexError):
        pid = opened[0].info.backend_pid
        with connected(login) as connection, connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = %s AND usename = current_user", (pid,)
            )


def _be_careful(connection: psycopg2.extensions.connection, timeout_ms: int, lock_timeout_ms: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SET default_transaction_read_only = on; SET standard_conforming_strings = on;"
            f"SET statement_timeout = {timeout_ms:d}; SET lock_timeout = {lock_timeout_ms:d}"
        )
    if connection.info.parameter_status("standard_conforming_strings") != "on":
        raise UnplannableError("standard_conforming_strings cannot be turned on here")


def _rows(connection: psycopg2.extensions.connection, statement: str, values: t.Mapping[str, t.Any]) -> list[Row]:
    with connection.cursor(cursor_factory=psycopg2.extras.RealDictCursor) as cursor:
        cursor.execute(statement, values)
        return [dict(row) for row in cursor.fetchall()]


def _refuse_more_than_select(connection: psycopg2.extensions.connection, login: Login) -> None:
    excess = [row["may"] for row in _rows(connection, EXCESS, {}) if row["may"]]
    if excess:
        raise UnplannableError(f"{login.user} may more than SELECT, so it does not ask for plans: it {'; '.join(excess)}")


def _meant(connection: psycopg2.extensions.connection, question: Question, busy: Busy) -> dict[tuple[str | None, str], Row]:
    """The relation that is meant by each name, by (schema or None, name). Raises UnplannableError."""
    names = question.names
    wanted = [(schema, name) for schema, name in names.tables if schema or name not in names.queries]
    values = {
        "schemas": [schema for schema, dummy in wanted], "names": [name for dummy, name in wanted],
        "locked": list(busy.locked),
    }  # fmt: skip
    found = _rows(connection, RELATIONS, values)
    _refuse_ambiguous_queries(connection, names)
    return {
        one: the_one_meant(one[1], [row for row in found if row["number"] == number])
        for number, one in enumerate(wanted, start=1)
    }


def _refuse_ambiguous_queries(connection: psycopg2.extensions.connection, names: plans.Names) -> None:
    values = {"schemas": [None] * len(names.queries), "names": list(names.queries), "locked": []}
    if names.queries and _rows(connection, RELATIONS, values):
        raise UnplannableError("a WITH clause of it has the name of a table")


def the_one_meant(name: str, found: t.Sequence[Row]) -> Row:
    """The relation that a session means by a name: the one that it has locked. Raises UnplannableError."""
    meant = [row for row in found if row["locked"]]
    if len(meant) != 1:
        raise UnplannableError(f"which {name} it reads is not known" if found else f"there is no {name}")
    (chosen,) = meant
    if chosen["kind"] not in ("r", "p", "m") or chosen["foreign_child"]:
        raise UnplannableError(f"it reads {name}, which is no plain table, and planning that could run what is behind it")
    if chosen["secured"]:
        raise UnplannableError(f"{name} has row level security, whose policies would be planned too")
    return chosen


def _refuse_strange(connection: psycopg2.extensions.connection, question: Question) -> None:
    names = question.names
    values: dict[str, list[str | None]] = {"attributes": list(names.attributes)}
    for kind, found in (("function", names.functions), ("operator", names.operators), ("type", names.types)):
        values[f"{kind}_schemas"] = [schema for schema, dummy in found]
        values[f"{kind}s"] = [name for dummy, name in found]
    strange = sorted({row["what"] for row in _rows(connection, STRANGE, values)})
    if strange:
        raise UnplannableError(f"it uses {', '.join(strange)[:120]}, and planning could run that")


def _refuse_hooks(connection: psycopg2.extensions.connection, tables: t.Sequence[int]) -> None:
    hooks = sorted({row["what"] for row in _rows(connection, HOOKS, {"tables": list(tables)})})
    if hooks:
        raise UnplannableError(f"an index, a constraint or a column of its tables uses {', '.join(hooks)[:120]}, which could run")


def _explain(
    connection: psycopg2.extensions.connection, question: Question, schemas: t.Mapping[str, str], path: t.Sequence[str]
) -> Row:
    """The root of the plan. From here on names are resolved as the session would, the server's own first."""
    option = ", GENERIC_PLAN" if question.has_parameters else ""
    text = f"EXPLAIN (FORMAT JSON, VERBOSE{option}) {question.text(schemas)}"
    others = [schema for schema in path if schema not in ("pg_catalog", "pg_temp")]
    with connection.cursor() as cursor:
        quoted = ", ".join(psycopg2.extensions.quote_ident(schema, connection) for schema in ["pg_catalog", *others, "pg_temp"])
        cursor.execute("SELECT pg_catalog.set_config('search_path', %s, false)", (quoted,))
        cursor.execute(text)
        row = cursor.fetchone()
        cursor.execute("SET search_path = pg_catalog, pg_temp")
    if not row or not isinstance(row[0], list) or "Plan" not in row[0][0]:
        raise UnplannableError("the server gave no plan")
    return t.cast("Row", row[0][0]["Plan"])


def _tables(connection: psycopg2.extensions.connection, found: t.Sequence[Scan]) -> list[Row]:
    names = sorted({(scan.schema, scan.table) for scan in found})
    return _rows(connection, TABLES, {"schemas": [one[0] for one in names], "names": [one[1] for one in names]})


def table_rows(table: Row) -> float | None:
    """How many rows a table has, as far as the server knows: None after a reset of its statistics or an upgrade."""
    if table["live_rows"]:
        return float(table["live_rows"])
    if table["estimated_rows"] > 0:
        return float(table["estimated_rows"])
    return 0.0 if table["estimated_rows"] == 0 and table["pages"] == 0 and table["live_rows"] == 0 else None


# Casts that change nothing but the name, so that an index on the column serves.
SAME_TYPES = {("character varying", "text"), ("character varying", "varchar"), ("text", "text"), ("name", "text")}


def settled(found: t.Sequence[Scan], tables: t.Sequence[Row]) -> list[Row]:
    """What the scans say of their tables, those of one table's partitions together: one row for the columns that a filter
    compares, one for those of a join.

    Each has ``schema``, ``table`` (the parent of partitions), ``partitions``, ``columns``, ``rows`` that are expected to be
    kept, ``by_columns``: the most that an index on the columns might find where the filter has other conditions too (None: it
    has none), ``with_rows`` on the other side of a join (None: no join), ``table_rows`` (None: unknown), ``covered_by`` (an
    index that exists and is not used) and ``unclear``.
    """
    known = {(table["schema"], table["table"]): table for table in tables}
    groups: dict[tuple[t.Any, ...], Row] = {}
    for scan in found:
        table = known.get((scan.schema, scan.table))
        for one in _settled(scan, table) if table else ():
            key = (one["schema"], one["table"], tuple(one["columns"]), one["unclear"], one["with_rows"] is None)
            groups[key] = _together(groups[key], one) if key in groups else one
    return list(groups.values())


def _together(one: Row, other: Row) -> Row:
    sizes = (one["table_rows"], other["table_rows"])
    return {
        **one, "partitions": one["partitions"] + other["partitions"], "rows": one["rows"] + other["rows"],
        "table_rows": None if None in sizes else sum(sizes), "covered_by": one["covered_by"] or other["covered_by"],
        "by_columns": None if one["by_columns"] is None else one["by_columns"] + (other["by_columns"] or 0.0),
    }  # fmt: skip


def _settled(scan: Scan, table: Row) -> t.Iterator[Row]:
    ways: list[tuple[tuple[plans.Comparison, ...], float, float | None]] = []
    if scan.columns or scan.unclear or not scan.joined:
        ways.append((scan.columns, scan.rows, None))
    if scan.joined:
        ways.append(((*scan.columns, *scan.joined), scan.joined_rows or 0.0, scan.with_rows))
    for compared, rows, with_rows in ways:
        columns = list(dict.fromkeys(one.column for one in compared))
        yield {
            "schema": table["root_schema"], "table": table["root_table"], "partitions": 1 if table["partitioned"] else 0,
            "columns": columns, "rows": rows, "with_rows": with_rows, "table_rows": table_rows(table),
            "by_columns": _by_columns(table, columns) if scan.others and with_rows is None else None,
            "covered_by": _covering(table, columns), "unclear": scan.unclear or _doubt(compared, table),
        }  # fmt: skip


def _by_columns(table: Row, columns: t.Sequence[str]) -> float:
    """How many rows the most frequent values of some columns have together, as far as the statistics say."""
    shares = table["shares"] or {}
    return float((table_rows(table) or 0.0) * math.prod(float(shares.get(column, 1.0)) for column in columns))


def _doubt(compared: t.Sequence[plans.Comparison], table: Row) -> str | None:
    """Why an index on the columns might not help."""
    for one in compared:
        kind = table["columns"].get(one.column)
        if kind is None:
            return f"{one.column} is no column of it"
        if one.cast and (kind, one.cast) not in SAME_TYPES:
            return f"{one.column} is compared as {one.cast}, not as {kind}, which an index on it would not serve"
    return None


def _covering(table: Row, columns: t.Sequence[str]) -> str | None:
    """An index whose first column is one of these: it could be used for them, and the planner does not want to."""
    return next((name for name, keys in table["indexes"] if keys and keys[0] in columns), None)
