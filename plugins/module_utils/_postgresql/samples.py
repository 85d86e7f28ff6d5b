# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Several looks at who is active, and what they say together (private to the collection)."""

from __future__ import annotations

import collections
import statistics
import time
import typing as t

Row = dict[str, t.Any]
MOST_STATEMENTS = 20


def looks(
    ask: t.Callable[[], list[Row]],
    *,
    times: int,
    pause: float,
    longest: float,
    matters: t.Callable[[Row], bool],
    clock: t.Callable[[], float] = time.monotonic,
    sleep: t.Callable[[float], None] = time.sleep,
) -> list[list[Row]]:
    """Looks ``times`` times, ``pause`` seconds apart; longer, up to ``longest`` seconds, while hardly any look sees a session
    that matters."""
    started, rounds = clock(), [ask()]
    while len(rounds) < times or (
        clock() - started < longest and sum(any(matters(row) for row in rows) for rows in rounds) < max(1, times // 2)
    ):
        sleep(pause)
        rounds.append(ask())
    return rounds


def summary(rounds: t.Sequence[t.Sequence[Row]], seconds: float) -> Row:
    """What the looks say together.

    ``taken`` and ``seconds``; ``sessions`` with, for each, ``seen`` and ``working`` (in looks), ``on_processor`` (its processes
    in all looks, workers included), ``waits`` (event to looks), ``statement_ms`` (the longest that a statement of it had been
    running when it was seen at work) and ``age_ms`` (the same, at work or not); ``work``: the statements, by how often one was
    seen at work, with ``statement_ms`` (the median); ``runnable``: processes without a wait event, on average.
    """
    sessions: dict[int, Row] = {}
    work: dict[tuple[str, str, str], Row] = {}
    for rows in rounds:
        for row in rows:
            _count(sessions, work, row)
    ranked = sorted(work.values(), key=lambda one: (-one["working"], -one["seen"], one["statement"]))
    for one in ranked:
        one["statement_ms"] = round(statistics.median(one["statement_ms"] or [0]))
        one["sessions"] = len(one["sessions"])
    for session in sessions.values():
        session["waits"] = dict(session["waits"])
    running = sum(session["on_processor"] for session in sessions.values())
    return {
        "taken": len(rounds), "seconds": round(seconds, 2), "sessions": [sessions[pid] for pid in sorted(sessions)],
        "work": ranked[:MOST_STATEMENTS], "runnable": round(running / max(1, len(rounds)), 1),
    }  # fmt: skip


def _count(sessions: dict[int, Row], work: dict[tuple[str, str, str], Row], row: Row) -> None:
    age = round(row["statement_ms"] or 0)
    names = ("pid", "user", "application", "database", "superuser", "statement")
    session = sessions.setdefault(
        row["pid"],
        {name: row[name] for name in names}
        | {"seen": 0, "working": 0, "on_processor": 0, "waits": collections.Counter(), "statement_ms": 0, "age_ms": 0},
    )
    session["seen"] += 1
    session["statement"] = row["statement"]
    session["on_processor"] += row["on_processor"]
    session["waits"][row["waits_for"] or "CPU"] += 1
    session["age_ms"] = max(session["age_ms"], age)
    key = row["statement"] or ""
    nothing: Row = {"seen": 0, "working": 0, "sessions": set(), "statement_ms": []}
    whose = (row["user"] or "", row["database"] or "", key)
    one = work.setdefault(whose, {"user": row["user"], "database": row["database"], "statement": key, **nothing})
    one["seen"] += 1
    one["sessions"].add(row["pid"])
    if row["working"]:
        session["working"] += 1
        session["statement_ms"] = max(session["statement_ms"], age)
        one["working"] += 1
        one["statement_ms"].append(age)


def counted(before: t.Sequence[Row], after: t.Sequence[Row], seconds: float, most: int = MOST_STATEMENTS) -> list[Row]:
    """The statements by the time that they took between two readings of pg_stat_statements, then by all the time.

    Each has its counters since the last reset (``calls``, ``total_ms``, ``mean_ms``, ``rows``), what they were before the first
    reading (``mean_ms_before``, None where it had not run) and what came between: ``window_calls``, ``window_ms``,
    ``window_mean_ms`` (None without a call), ``calls_per_second``.
    """
    old = {(row["user"], row["statement"]): row for row in before}
    pairs = []
    for row in after:
        first = old.get((row["user"], row["statement"]))
        if first is not None and first["calls"] > row["calls"]:
            first = None  # reset or thrown out in between
        pairs.append((row["total_ms"] - (first["total_ms"] if first else 0.0), row, first))
    pairs.sort(key=lambda one: (-round(one[0], 1), -one[1]["total_ms"], one[1]["statement"]))
    return [_counted(spent, row, first, seconds) for spent, row, first in pairs[:most]]


def _counted(spent: float, row: Row, first: Row | None, seconds: float) -> Row:
    calls = row["calls"] - (first["calls"] if first else 0)
    return {
        "statement": row["statement"], "user": row["user"], "calls": row["calls"], "rows": row["rows"],
        "total_ms": round(row["total_ms"], 1), "mean_ms": round(row["total_ms"] / row["calls"], 2),
        "mean_ms_before": round(first["total_ms"] / first["calls"], 2) if first else None,
        "window_calls": calls, "window_ms": round(spent, 1),
        "window_mean_ms": round(spent / calls, 2) if calls else None,
        "calls_per_second": round(calls / seconds, 1) if seconds > 0 else None,
    }  # fmt: skip
