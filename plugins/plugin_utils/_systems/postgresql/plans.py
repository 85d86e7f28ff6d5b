# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules on plans: a table that is read whole, statistics that do not know the table any more (private; pure)."""

from __future__ import annotations

import math
import typing as t

from ansible_collections.sre.runbooks.plugins.module_utils._postgresql.facts import BusyTable, Plan, Scan, Scanned
from ansible_collections.sre.runbooks.plugins.module_utils._postgresql.names import name_for, quoted
from ansible_collections.sre.runbooks.plugins.plugin_utils._judgement.model import (
    Confidence,
    Finding,
    Gap,
    Observation,
    Ref,
    RuledOut,
)
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems.postgresql import common
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems.postgresql.common import backend, statement, was_read
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems.postgresql.facts import Facts
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems.postgresql.server import holder_of
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems.postgresql.work import (
    calls_of,
    is_squeezed,
    share_of_work,
    somebody_seen,
    waits_for_disk,
)

# A scan is wasted where it keeps at most this share of the rows that it reads.
SELECTIVE = 0.05
# A statement that has less of the work than this is not where the time goes.
SHARE_THAT_MATTERS = 0.25
# A snapshot that is younger keeps little.
OLD_SNAPSHOT_SECONDS = 60
# How many times autovacuum's own threshold a table must have changed before its statistics are called stale.
OVERDUE = 1.5
WRITES = ("INSERT", "UPDATE", "DELETE", "MERGE", "WITH")
# A plan that expects more rows than this is not one for a few rows.
A_FEW_ROWS = 100


def full_name(table: BusyTable | Scanned) -> str:
    return _qualified(table["schema"], table["table"])


def _qualified(schema: str, table: str) -> str:
    return f"{quoted(schema)}.{quoted(table)}"


def _matters(facts: Facts, plan: Plan) -> bool:
    return common.is_application(facts, plan["user"]) and share_of_work(facts, plan["statement"]) >= SHARE_THAT_MATTERS


def _plans(facts: Facts) -> list[Plan]:
    """The plans, or why there are none, of the application's statements that most of the work goes into."""
    return [plan for plan in facts["postgresql"]["plans"] if _matters(facts, plan)]


def _tables(facts: Facts) -> dict[tuple[str, str], BusyTable]:
    return {(table["schema"], table["table"]): table for table in facts["postgresql"]["busy_tables"]}


def _overdue(table: BusyTable | None, factor: float) -> bool:
    """Whether a table has changed by more than autovacuum waits for, times a factor."""
    return table is not None and (table["changed_since_analyze"] or 0) > factor * table["analyze_after"]


def stale_statistics(facts: Facts) -> t.Iterator[Observation]:
    """A table that has changed long beyond autovacuum's threshold, whose plan is one for a few rows, and whose statement is where
    the time goes, without waiting for a disk."""
    if not was_read(facts, "server", "busy_tables", "samples", "plans"):
        return
    tables, found = _tables(facts), dict[str, Finding]()
    overdue = [table for table in tables.values() if _overdue(table, OVERDUE)]
    for plan in _plans(facts) if is_squeezed(facts) else []:
        for table in overdue:
            expected = _expected_of(plan, table)
            unseen = plan["refused"] and bool(set(plan["pids"]) & set(table["pids"]))
            if unseen or (expected is not None and waits_for_disk(facts) < SHARE_THAT_MATTERS):
                found.setdefault(full_name(table), _stale(facts, table, plan, expected))
    yield from found.values()
    if not overdue and somebody_seen(facts):
        yield RuledOut(facts["system"], "db.stale_statistics", "the tables at work have changed little since their ANALYZE")


def _expected_of(plan: Plan, table: BusyTable) -> float | None:
    """How few rows a plan expects of a table for each of which it does something; None where it expects many, or none."""
    rows = [loop["rows"] for loop in plan["loops"] if (loop["schema"], loop["table"]) == (table["schema"], table["table"])]
    few = [number for number in rows if number <= A_FEW_ROWS]
    return min(few) if few else None


def _stale(facts: Facts, table: BusyTable, plan: Plan, expected: float | None) -> Finding:
    age = table["analyzed_seconds_ago"]
    targets = ({"schema": table["schema"], "table": table["table"]},) if common.is_writable(facts) else ()
    return Finding(
        "db.stale_statistics", "possible" if expected is None else "likely", Ref(facts["system"], "table", full_name(table)),
        links=(*(backend(facts, pid) for pid in table["pids"]), statement(facts, plan["statement"])),
        evidence={
            "table": full_name(table), "changed": table["changed_since_analyze"], "threshold": round(table["analyze_after"]),
            "analyzed": "never" if age is None else f"{age} s ago", "sessions": len(table["pids"]),
            "expects": "its plan could not be seen" if expected is None else f"its plan expects {expected:g} rows of it",
        },
        targets={"analyze_tables": targets},
    )  # fmt: skip


def dead_rows(facts: Facts) -> t.Iterator[Observation]:
    """A table at work that is mostly dead rows, and the old snapshot that keeps vacuum from removing them: every statement on it
    steps over them."""
    if not was_read(facts, "server", "busy_tables", "samples", "plans", "oldest_xmin") or not is_squeezed(facts):
        return
    holder = next(iter(facts["postgresql"]["oldest_xmin"]), None)
    if holder is None or (holder["seconds"] or math.inf) < OLD_SNAPSHOT_SECONDS:
        return
    for table in _tables(facts).values():
        dead, live = table["dead_rows"] or 0, table["live_rows"] or 0
        plan = next((one for one in _plans(facts) if set(one["pids"]) & set(table["pids"])), None)
        if plan is None or dead < facts["limits"]["scanned_rows_max"] or dead < live:
            continue
        idle = holder["kind"] == "session" and str(holder["state"]).startswith("idle in transaction")
        yield Finding(
            "db.dead_rows", "likely", Ref(facts["system"], "table", full_name(table)),
            links=(*(backend(facts, pid) for pid in table["pids"]), statement(facts, plan["statement"])),
            evidence={"table": full_name(table), "dead": dead, "live": live, "holder": holder_of(holder)},
            targets={"terminate_idle_in_transaction": common.to_end(holder) if idle else ()},
        )  # fmt: skip


def missing_index(facts: Facts) -> t.Iterator[Observation]:
    """A statement of the application whose plan reads a big table whole to keep a few rows of it."""
    if not was_read(facts, "server", "busy_tables", "plans", "samples"):
        return
    if not is_squeezed(facts):
        if somebody_seen(facts):
            yield RuledOut(facts["system"], "db.missing_index", "no statement of the application is at work for long")
        return
    tables, found, unclear = _tables(facts), dict[str, Finding](), False
    for plan in _plans(facts):
        who = f"the plan of {plan['command'] or 'a statement'} of {plan['user']}"
        for unseen in _unseen(plan):
            unclear = True
            yield Gap(facts["system"], who, unseen)
        wasted = [scan for scan in plan["scans"] if _is_wasted(facts, scan)]
        for scan in wasted:
            reason = _doubt(scan, tables.get((scan["schema"], scan["table"])))
            if reason:
                unclear = True
                yield Gap(facts["system"], who, f"it reads all of {full_name(scan)}, and {reason}")
            elif not any(_is_better(other, scan) for other in wasted):
                finding = _missing(facts, scan, plan)
                found.setdefault(finding.subject.key, finding)
    keys = {key.subject.key: key for key in _keys_without_index(facts)}
    found = {**keys, **found}
    yield from found.values()
    if not found and not unclear and somebody_seen(facts) and _plans(facts):
        yield RuledOut(facts["system"], "db.missing_index", "no statement at work reads a big table whole for a few rows")


def _unseen(plan: Plan) -> t.Iterator[str]:
    """Why a plan does not tell everything that the statement reads."""
    if plan["refused"]:
        yield plan["refused"]
    if plan.get("triggers") and plan["command"] in WRITES:
        yield "what its triggers and the foreign keys to its table read stands in no plan"


def _keys_without_index(facts: Facts) -> t.Iterator[Finding]:
    """Foreign keys from big tables without an index: what the application deletes, or gives another key, is looked for there by
    reading all of them."""
    plans = [plan for plan in _plans(facts) if plan["command"] in ("DELETE", "UPDATE", "WITH", "MERGE")]
    for key in facts["postgresql"].get("foreign_keys", []):
        plan = next((one for one in plans if set(one["pids"]) & set(key["pids"])), None)
        if plan is None or key["rows"] < facts["limits"]["scanned_rows_max"]:
            continue
        parent = _qualified(key["parent_schema"], key["parent_table"])
        scan: Scanned = {
            "schema": key["schema"], "table": key["table"], "columns": key["columns"], "table_rows": key["rows"],
            "rows": key["rows"], "partitions": int(key["partitioned"]),
        }  # fmt: skip
        yield _missing(facts, scan, plan, f"the rows that refer to one of {parent}", "likely")


def _is_wasted(facts: Facts, scan: Scan) -> bool:
    """Whether a scan may read a big table for a few rows: it does, or it cannot be told."""
    rows = scan["table_rows"]
    if rows is None:
        return True
    if rows < facts["limits"]["scanned_rows_max"]:
        return False
    if scan["with_rows"] is not None and scan["with_rows"] > SELECTIVE * rows:
        return False
    return bool(scan["rows"] <= SELECTIVE * rows)


def _doubt(scan: Scan, table: BusyTable | None) -> str | None:
    """Why an index on its columns is not proven to be missing."""
    if scan["unclear"]:
        return str(scan["unclear"])
    if not scan["columns"]:
        return "its condition compares no column by ="
    if scan["table_rows"] is None:
        return "how big that is, the server does not know (ANALYZE has not run since its statistics were lost)"
    if scan["by_columns"] is not None and scan["by_columns"] > SELECTIVE * scan["table_rows"]:
        columns = ", ".join(scan["columns"])
        return f"by {columns} alone an index might find {scan['by_columns']:.0f} of its {scan['table_rows']:.0f} rows"
    if scan["covered_by"]:
        return f"the index {scan['covered_by']} is there and not used"
    if _overdue(table, 1.0):
        return "its statistics are stale, so its plan proves nothing"
    return None


def _is_better(other: Scan, scan: Scan) -> bool:
    """Whether another way to read the same table is a simpler one: by its filter alone rather than by a join too."""
    same = (other["schema"], other["table"]) == (scan["schema"], scan["table"])
    return same and scan["with_rows"] is not None and other["with_rows"] is None and bool(other["columns"])


def _missing(
    facts: Facts, scan: Scanned, plan: Plan, looked_for: str | None = None, confidence: Confidence = "proven"
) -> Finding:
    columns = ", ".join(quoted(column) for column in scan["columns"])
    calls = calls_of(facts, plan["statement"])
    broken = [
        one["index"] for one in facts["postgresql"].get("invalid_indexes", [])
        if (one["schema"], one["table"]) == (scan["schema"], scan["table"])
    ]  # fmt: skip
    target = {"schema": scan["schema"], "table": scan["table"], "columns": list(scan["columns"]),
              "name": name_for(scan["table"], scan["columns"])}  # fmt: skip
    return Finding(
        "db.missing_index", confidence, Ref(facts["system"], "table", f"{full_name(scan)} ({columns})"),
        links=(*(backend(facts, pid) for pid in plan["pids"]), statement(facts, plan["statement"])),
        evidence={
            "table": full_name(scan), "columns": columns, "live": round(scan["table_rows"] or 0),
            "expected": looked_for or f"about {scan['rows']:.0f}",
            "sessions": len(plan["pids"]), "user": plan["user"],
            "mean": f"; {calls['mean_ms']:g} ms on average over {calls['calls']} calls" if calls else "",
            "leftover": f"; an INVALID index is left over: {', '.join(broken)}" if broken else "",
            "build": _by_hand(scan, columns, broken),
        },
        targets={"create_index": (target,) if common.is_writable(facts) and not scan["partitions"] else ()},
    )  # fmt: skip


def _by_hand(scan: Scanned, columns: str, broken: t.Sequence[str]) -> str:
    drop = "".join(f"DROP INDEX CONCURRENTLY {quoted(scan['schema'])}.{quoted(name)}; " for name in broken)
    if scan["partitions"]:
        return (
            f"{drop}CREATE INDEX ON ONLY {full_name(scan)} ({columns}); then on each partition CREATE INDEX CONCURRENTLY and "
            "ALTER INDEX … ATTACH PARTITION"
        )
    return f"{drop}CREATE INDEX CONCURRENTLY ON {full_name(scan)} ({columns});"


RULES = (stale_statistics, dead_rows, missing_index)
