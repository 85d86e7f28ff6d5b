# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the facts of a database say to a person whatever the verdict: where its time goes, what runs out (private; pure)."""

from __future__ import annotations

import collections
import typing as t

from ansible_collections.sre.runbooks.plugins.plugin_utils._judgement.model import Json

MOST = 4
Table = tuple[tuple[str, ...], ...]


def wait_profile(facts: Json) -> list[tuple[str, int]]:
    """What the active sessions were doing, in percent of the looks at them: CPU, or the event that they waited for."""
    samples = (facts.get("postgresql") or {}).get("samples") or {}
    seen: collections.Counter[str] = collections.Counter()
    for session in samples.get("sessions", []):
        seen.update(session["waits"])
    total = sum(seen.values())
    return [(event, round(100 * number / total)) for event, number in seen.most_common()]


def work(facts: Json) -> Table:
    """The statements by the work that was seen of them: share, whose, what, calls a second, mean now and before."""
    postgresql = facts.get("postgresql") or {}
    samples = postgresql.get("samples") or {}
    total = sum(one["working"] for one in samples.get("work", []))
    counted = {one["statement"]: one for one in (postgresql.get("statements") or {}).get("top", [])}
    planned = {one["statement"]: one for one in postgresql.get("plans", [])}
    rows = []
    for one in samples.get("work", [])[:MOST] if total else ():
        both = [found for found in (planned.get(one["statement"]), counted.get(one["statement"])) if found]
        text, command = (next((found[name] for found in both if found[name]), "") for name in ("query", "command"))
        what = text or f"{command or 'a statement'} {one['statement']}"
        calls = _calls(counted.get(one["statement"], {}))
        rows.append((f"{round(100 * one['working'] / total)} %", str(one["user"]), what, *calls))
    return tuple(rows)


def _calls(known: Json) -> tuple[str, str, str]:
    numbers = (known.get("calls_per_second"), known.get("window_mean_ms"), known.get("mean_ms_before"))
    units = ("/s", " ms", " ms")
    per_second, now, before = ("" if n is None else f"{n:g}{unit}" for n, unit in zip(numbers, units, strict=True))
    return per_second, now, before


def runs_out(facts: Json) -> Table:
    """What is finite and how much of it is left: slots, transaction ids, sequences, what holds vacuum and the log back."""
    postgresql = facts.get("postgresql") or {}
    rows: list[tuple[str, str]] = []
    settings = {one["name"]: one["setting"] for one in postgresql.get("settings", [])}
    if postgresql.get("connections") and settings.get("max_connections"):
        used, most = postgresql["connections"][0]["all_sessions"], settings["max_connections"]
        rows.append(("connections", f"{used} of {most}"))
    for one in postgresql.get("wraparound", [])[:1]:
        rows.append(("transaction ids without a freeze", f"{one['xids']:,} of 2,147,483,647 ({one['database']})"))
    for one in postgresql.get("oldest_xmin", [])[:1]:
        age = "" if one["seconds"] is None else f", {one['seconds']} s"
        who = one["user"] or one["application"] or ""
        rows.append(("oldest snapshot", f"{one['kind']} {one['key']} {who}: {one['xids']:,} transactions old{age}"))
    for one in postgresql.get("sequences", []):
        rows.append((f"sequence {one['schema']}.{one['sequence']}", f"{one['percent']:g} % used"))
    for one in postgresql.get("slots", []):
        state = "active" if one["active"] else "inactive"
        rows.append((f"replication slot {one['slot']}", f"{state}, keeps {(one['kept_bytes'] or 0) / 2**20:.0f} MiB of the log"))
    return tuple(rows)


def lines(every: t.Sequence[Json]) -> list[tuple[str, list[str]]]:
    """Two lines for the screen: what the sessions of all databases were doing, and which statements the work went into."""
    waits, statements = [], []
    for facts in every:
        waits += [f"{event} {percent} %" for event, percent in wait_profile(facts)[:MOST]]
        for share, user, what, calls, now, before in work(facts)[:2]:
            told = [user, calls, now, f"before {before}" if before else ""]
            statements.append(f"{share} {what} ({', '.join(part for part in told if part)})")
    return [("waits", waits), ("work", statements)]
