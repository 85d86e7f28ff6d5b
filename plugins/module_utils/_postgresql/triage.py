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
except ImportError:  # the modules report it before anything of this file is called
    pass

from ansible_collections.sre.runbooks.plugins.module_utils._postgresql import locks, plans, queries, text
from ansible_collections.sre.runbooks.plugins.module_utils._postgresql.connection import (
    Login,
    connected,
    login_argument_spec,
    login_from,
)
from ansible_collections.sre.runbooks.plugins.module_utils._postgresql.errors import RefusedConnectionError, UnansweredError
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
            _be_careful(connection, limits)
            read, gaps = _ask_all(connection, limits, wanted)
    except RefusedConnectionError as refusal:
        told = {"kind": refusal.kind, "sqlstate": refusal.sqlstate, "message": refusal.reason}
        return {"connected": False, "refusal": told, "gaps": [], "duration_ms": _since(started)}
    return {"connected": True, "refusal": None, **read, "gaps": gaps, "duration_ms": _since(started)}


def argument_spec() -> dict[str, dict[str, t.Any]]:
    """The options of postgresql_triage_info."""
    names = [diagnostic.name for diagnostic in DIAGNOSTICS]
    return {
        **login_argument_spec(),
        "diagnostics": {"type": "list", "elements": "str", "default": names, "choices": names},
        "statement_timeout_ms": {"type": "int", "default": 3000},
        "lock_timeout_ms": {"type": "int", "default": 50},
        "query_text": {"type": "bool", "default": False},
        "query_text_max": {"type": "int", "default": 200},
        "mask_literals": {"type": "bool", "default": True},
    }


def triage_from(params: t.Mapping[str, t.Any]) -> Row:
    """``triage`` with the options as a module has them."""
    limits = Limits(
        params["statement_timeout_ms"], params["lock_timeout_ms"], params["query_text"], params["query_text_max"],
        params["mask_literals"],
    )  # fmt: skip
    return triage(login_from(params), limits, params["diagnostics"])


def _since(started: float) -> int:
    return round((time.monotonic() - started) * 1000)


def _ask_all(connection: psycopg2.extensions.connection, limits: Limits, wanted: t.Container[str]) -> tuple[Row, list[Row]]:
    read: Row = {}
    gaps: list[Row] = []
    for diagnostic in DIAGNOSTICS:
        if diagnostic.name not in wanted:
            continue
        try:
            make: Maker = MAKERS.get(diagnostic.name, _plain)
            read[diagnostic.name] = make(connection, diagnostic, limits, read)
        except UnansweredError as error:
            gaps.append({"diagnostic": diagnostic.name, "reason": str(error), "sqlstate": None})
        except psycopg2.Error as error:
            gaps.append({"diagnostic": diagnostic.name, "reason": " ".join(str(error).split()), "sqlstate": error.pgcode})
            if connection.closed:
                break
    return read, gaps


def _be_careful(connection: psycopg2.extensions.connection, limits: Limits) -> None:
    """From here on each question is a read-only transaction of its own under its own time limits (autocommit)."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SET default_transaction_read_only = on;"
            f"SET statement_timeout = {limits.statement_timeout_ms:d};"
            f"SET lock_timeout = {limits.lock_timeout_ms:d}"
        )


def ask(connection: psycopg2.extensions.connection, statement: str) -> list[Row]:
    """One question, in a transaction of its own. Raises psycopg2.Error."""
    with connection.cursor() as cursor:
        cursor.execute(statement)
        names = [column.name for column in cursor.description or ()]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def _plain(connection: psycopg2.extensions.connection, diagnostic: Diagnostic, limits: Limits, read: Row) -> t.Any:
    rows = ask(connection, diagnostic.text_for(connection.server_version))
    _show_statements(rows, limits)
    return rows[0] if diagnostic.single else rows


def _locks(connection: psycopg2.extensions.connection, diagnostic: Diagnostic, limits: Limits, read: Row) -> Row:
    return lock_tree(_plain(connection, diagnostic, limits, read))


def _samples(connection: psycopg2.extensions.connection, diagnostic: Diagnostic, limits: Limits, read: Row) -> Row:
    """Who was at work how often: ``taken``, and for each session seen active ``seen`` and ``working`` (in samples) and
    ``statement_ms``, the longest that a statement of it had been running when it was seen at work."""
    sessions: dict[int, Row] = {}
    for number in range(diagnostic.times):
        if number:
            time.sleep(diagnostic.pause)
        for row in ask(connection, diagnostic.text_for(connection.server_version)):
            working, running_ms = bool(row.pop("working")), round(row.pop("statement_ms") or 0)
            session = sessions.setdefault(row["pid"], {**row, "seen": 0, "working": 0, "statement_ms": 0})
            session["seen"] += 1
            session["working"] += working
            if working:
                session["statement_ms"] = max(session["statement_ms"], running_ms)
    return {"taken": diagnostic.times, "sessions": [sessions[pid] for pid in sorted(sessions)]}


def _statements(connection: psycopg2.extensions.connection, diagnostic: Diagnostic, limits: Limits, read: Row) -> list[Row]:
    server = read.get("server") or {}
    if not server.get("statements_version"):
        raise UnansweredError("pg_stat_statements is not installed in this database: CREATE EXTENSION pg_stat_statements")
    question = queries.statements(server["statements_version"], server["statements_schema"], texts=limits.query_text)
    rows = ask(connection, question)
    _show_statements(rows, limits)
    return rows


def _plans(connection: psycopg2.extensions.connection, diagnostic: Diagnostic, limits: Limits, read: Row) -> list[Row]:
    """The plans of the statements at work; one that could not be had says why in ``refused``."""
    found = ask(connection, diagnostic.text_for(connection.server_version))
    for row in found:
        statement, row["refused"] = plans.question_for(row["query"] or "", connection.server_version)
        row["scans"] = []
        if statement is not None:
            try:
                (answer,) = ask(connection, statement)
                row["scans"] = plans.scans(answer["QUERY PLAN"][0]["Plan"])
            except psycopg2.Error as error:
                row["refused"] = str(error).split("\n", maxsplit=1)[0]
    _show_statements(found, limits)
    return found


Maker = t.Callable[..., t.Any]
MAKERS: dict[str, Maker] = {"locks": _locks, "samples": _samples, "statements": _statements, "plans": _plans}


def _show_statements(rows: list[Row], limits: Limits) -> None:
    """Replaces each statement's text by its kind and by as much of it as may leave the server."""
    for row in rows:
        if "query" in row:
            query = row.pop("query")
            row["command"] = text.command_of(query or "")
            longest = limits.query_text_max
            row["query"] = text.shown(query, with_text=limits.query_text, longest=longest, mask=limits.mask_literals)


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
