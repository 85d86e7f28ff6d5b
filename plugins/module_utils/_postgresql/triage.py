# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Collecting the diagnostics over one connection, each degrading alone (private to the collection)."""

from __future__ import annotations

import dataclasses
import time
import typing as t

try:
    import psycopg2
    import psycopg2.extensions
    import psycopg2.extras
except ImportError:  # the modules report it before anything of this file is called
    pass

from ansible_collections.sre.runbooks.plugins.module_utils._postgresql import locks, text
from ansible_collections.sre.runbooks.plugins.module_utils._postgresql.connection import Login, connected
from ansible_collections.sre.runbooks.plugins.module_utils._postgresql.errors import RefusedConnectionError
from ansible_collections.sre.runbooks.plugins.module_utils._postgresql.queries import DIAGNOSTICS, Diagnostic

Row = dict[str, t.Any]


@dataclasses.dataclass(frozen=True, slots=True)
class Limits:
    """How long one diagnostic may take, and what of the statements' texts may leave the server."""

    statement_timeout_ms: int = 3000
    lock_timeout_ms: int = 50
    query_text: bool = False
    query_text_max: int = 200
    mask_literals: bool = True


def triage(login: Login, limits: Limits, wanted: t.Container[str]) -> Row:
    """Everything that is asked, from one session.

    Returns ``connected`` (bool), ``refusal`` (kind, sqlstate, message; None when connected), one key for each
    diagnostic that was read, ``gaps`` (diagnostic, reason) for those that were not, and ``duration_ms``.
    A refused connection is an answer here, not an error.
    """
    started = time.monotonic()
    try:
        with connected(login) as connection:
            read, gaps = _ask_all(connection, limits, wanted)
    except RefusedConnectionError as refusal:
        told = {"kind": refusal.kind, "sqlstate": refusal.sqlstate, "message": refusal.reason}
        return {"connected": False, "refusal": told, "gaps": [], "duration_ms": _since(started)}
    return {"connected": True, "refusal": None, **read, "gaps": gaps, "duration_ms": _since(started)}


def _since(started: float) -> int:
    return round((time.monotonic() - started) * 1000)


def _ask_all(connection: psycopg2.extensions.connection, limits: Limits, wanted: t.Container[str]) -> tuple[Row, list[Row]]:
    read: Row = {}
    gaps: list[Row] = []
    for diagnostic in DIAGNOSTICS:
        if diagnostic.name not in wanted:
            continue
        try:
            rows = ask(connection, diagnostic, limits)
        except psycopg2.Error as error:
            gaps.append({"diagnostic": diagnostic.name, "reason": " ".join(str(error).split()), "sqlstate": error.pgcode})
            if connection.closed:
                break
        else:
            read[diagnostic.name] = _shape(diagnostic, rows, limits)
    return read, gaps


def ask(connection: psycopg2.extensions.connection, diagnostic: Diagnostic, limits: Limits) -> list[Row]:
    """One question in a read-only transaction of its own, under its own time limits. Raises psycopg2.Error."""
    statement = diagnostic.text_for(connection.server_version)
    with connection.cursor(cursor_factory=psycopg2.extras.RealDictCursor) as cursor:
        try:
            cursor.execute(
                "BEGIN READ ONLY;"
                f"SET LOCAL statement_timeout = {limits.statement_timeout_ms:d};"
                f"SET LOCAL lock_timeout = {limits.lock_timeout_ms:d};" + statement
            )
            return [dict(row) for row in cursor.fetchall()]
        finally:
            if not connection.closed:
                cursor.execute("ROLLBACK")


def _shape(diagnostic: Diagnostic, rows: list[Row], limits: Limits) -> t.Any:
    for row in rows:
        if "query" in row:
            _show_statement(row, limits)
    if diagnostic.name == "locks":
        return lock_tree(rows)
    return rows[0] if diagnostic.single else rows


def _show_statement(row: Row, limits: Limits) -> None:
    query = row.pop("query")
    row["command"] = text.command_of(query or "")
    row["query"] = text.shown(query, with_text=limits.query_text, longest=limits.query_text_max, mask=limits.mask_literals)


def lock_tree(rows: list[Row]) -> Row:
    """The lock graph: ``sessions`` (waiters and blockers, each with the pids that hold it up) and ``roots``.

    A queue of n waiters for one row has n * n / 2 pairs in ``pg_blocking_pids()``; only those that matter are kept.
    """
    graph = {}
    for row in rows:
        holds: dict[str, tuple[str, ...]] = {}
        for tag, mode in row.pop("holds"):
            holds[tag] = (*holds.get(tag, ()), mode)
        graph[row["pid"]] = locks.LockSession(row["pid"], row["wants"], row["mode"], tuple(row["blockers"]), holds)
    for row in rows:
        pids, softly = locks.responsible(graph[row["pid"]], graph)
        row |= {"blockers": sorted(pids), "softly": softly and bool(pids)}
    return {"sessions": rows, "roots": [dataclasses.asdict(root) for root in locks.roots(graph.values())]}
