# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the facts of a server say to a person whatever the verdict: where its time goes, what runs out (private; pure)."""

from __future__ import annotations

import collections

from ansible_collections.sre.runbooks.plugins.module_utils._postgresql.facts import Counted, Triage
from ansible_collections.sre.runbooks.plugins.plugin_utils._judgement.system import Table
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems.postgresql.facts import Facts

MOST = 4
SLOWEST = 5
Rows = tuple[tuple[str, ...], ...]


def _waits(facts: Facts) -> collections.Counter[str]:
    samples = facts["postgresql"].get("samples")
    seen: collections.Counter[str] = collections.Counter()
    for session in samples["sessions"] if samples else []:
        seen.update(session["waits"])
    return seen


def wait_profile(facts: Facts) -> list[tuple[str, int]]:
    """What the active sessions were doing, in percent of the looks at them: CPU, or the event that they waited for."""
    seen = _waits(facts)
    total = sum(seen.values())
    return [(event, round(100 * number / total)) for event, number in seen.most_common()]


def work(facts: Facts) -> Rows:
    """The statements by the work that was seen of them: share, whose, what, calls a second, mean now and before."""
    postgresql = facts["postgresql"]
    samples = postgresql.get("samples")
    seen = samples["work"] if samples else []
    total = sum(one["working"] for one in seen)
    counted = {one["statement"]: one for one in _counted(postgresql)}
    planned = {one["statement"]: one for one in postgresql.get("plans", [])}
    rows = []
    for one in seen[:MOST] if total else ():
        both = [found for found in (planned.get(one["statement"]), counted.get(one["statement"])) if found]
        text = next((found["query"] for found in both if found["query"]), "")
        command = next((found["command"] for found in both if found["command"]), "")
        what = text or f"statement {one['statement']}{f' ({command})' if command else ''}"
        calls = _calls(counted.get(one["statement"]))
        rows.append((f"{round(100 * one['working'] / total)} %", str(one["user"]), what, *calls))
    return tuple(rows)


def _counted(postgresql: Triage) -> list[Counted]:
    statements = postgresql.get("statements")
    return statements["top"] if statements else []


def _calls(known: Counted | None) -> tuple[str, str, str]:
    if known is None:
        return "", "", ""
    numbers = (known["calls_per_second"], known["window_mean_ms"], known["mean_ms_before"])
    units = ("/s", " ms", " ms")
    per_second, now, before = ("" if n is None else f"{n:g}{unit}" for n, unit in zip(numbers, units, strict=True))
    return per_second, now, before


def runs_out(facts: Facts) -> Rows:
    """What is finite and how much of it is left: slots, transaction ids, sequences, what holds vacuum and the log back."""
    postgresql = facts["postgresql"]
    rows: list[tuple[str, str]] = []
    settings = {one["name"]: one["setting"] for one in postgresql.get("settings", [])}
    if postgresql.get("connections") and settings.get("max_connections"):
        used, most = postgresql["connections"][0]["all_sessions"], settings["max_connections"]
        rows.append(("connections", f"{used} of {most}"))
    for one in postgresql.get("wraparound", [])[:1]:
        rows.append(("transaction ids without a freeze", f"{one['xids']:,} of 2,147,483,647 ({one['database']})"))
    for holder in postgresql.get("oldest_xmin", [])[:1]:
        age = "" if holder["seconds"] is None else f", {holder['seconds']} s"
        who = holder["user"] or holder["application"] or ""
        rows.append(("oldest snapshot", f"{holder['kind']} {holder['key']} {who}: {holder['xids']:,} transactions old{age}"))
    for sequence in postgresql.get("sequences", []):
        rows.append((f"sequence {sequence['schema']}.{sequence['sequence']}", f"{sequence['percent']:g} % used"))
    for slot in postgresql.get("slots", []):
        state = "active" if slot["active"] else "inactive"
        kept = (slot["kept_bytes"] or 0) / 2**20
        rows.append((f"replication slot {slot['slot']}", f"{state}, keeps {kept:.0f} MiB of the log"))
    return tuple(rows)


def lines(facts: Facts) -> list[tuple[str, list[str]]]:
    """Two lines for the screen: what the sessions were doing, and which statements the work went into."""
    waits = [f"{event} {percent} %" for event, percent in wait_profile(facts)[:MOST]]
    if waits:
        waits[-1] += f" (of {sum(_waits(facts).values())} samples)"
    statements = []
    for share, user, what, calls, now, before in work(facts)[:2]:
        told = [user, calls, now, f"before {before}" if before else ""]
        statements.append(f"{share} {what} ({', '.join(part for part in told if part)})")
    return [("waits", waits), ("work", statements)]


def numbers(facts: Facts) -> list[tuple[str, str]]:
    """How many sessions wait for locks, and how many there are."""
    postgresql, rows = facts["postgresql"], list[tuple[str, str]]()
    if "locks" in postgresql:
        waiting = sum(1 for session in postgresql["locks"]["sessions"] if session["wants"])
        rows.append((f"{facts['system']}: sessions that wait for locks", str(waiting)))
    if postgresql.get("connections"):
        rows.append((f"{facts['system']}: connections", str(postgresql["connections"][0]["all_sessions"])))
    return rows


def slow_statements(facts: Facts) -> Rows:
    """The statements that cost most since the server's statistics were reset and are at work or come again, with the tables on
    which they are at work now."""
    rows: list[tuple[str, ...]] = []
    postgresql = facts["postgresql"]
    at_work = {plan["statement"]: set(plan["pids"]) for plan in postgresql.get("plans", [])}
    top = sorted(_counted(postgresql), key=lambda s: -s["total_ms"])
    matter = [s for s in top if s["calls"] > 1 or s["statement"] in at_work]
    for statement in matter[:SLOWEST]:
        pids = at_work.get(statement["statement"], set())
        tables_of = [table["table"] for table in postgresql.get("busy_tables", []) if pids & set(table["pids"])]
        what = statement["query"] or f"{statement['command'] or 'statement'} {statement['statement']}"
        told = (f"{statement['mean_ms']:g} ms", f"{statement['total_ms'] / 1000:.1f} s", ", ".join(tables_of))
        rows.append((what, str(statement["user"]), str(statement["calls"]), *told))
    return tuple(rows)


def _about_texts(facts: Facts) -> tuple[str, ...]:
    """Where the statements' texts are, when the record has statements and no texts."""
    statements = _counted(facts["postgresql"])
    if not statements or any(one["query"] for one in statements):
        return ()
    return ("Their texts are left out: db_diagnostics_query_text shows them, with literals masked.",)


def tables(facts: Facts) -> list[Table]:
    """What the sessions were doing, which statements the work went into, what runs out."""
    waits = tuple((event, f"{percent} %") for event, percent in wait_profile(facts))
    return [
        Table("What the sessions were doing", ("at work or waiting for", "share of the looks"), waits),
        Table(
            "Where the work goes",
            ("share of the work", "of", "statement", "calls", "mean now", "mean before"),
            work(facts),
            _about_texts(facts),
        ),
        Table(
            "Slow statements since the statistics were reset",
            ("statement", "of", "calls", "mean", "in all", "tables"),
            slow_statements(facts),
        ),
        Table("What is finite", ("what", "how much"), runs_out(facts)),
    ]
