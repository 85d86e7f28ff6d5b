# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules on who works: the application's statements, others' long ones, the processors (private to the collection; pure)."""

from __future__ import annotations

import math
import re
import statistics
import typing as t

from ansible_collections.sre.runbooks.plugins.module_utils._postgresql.facts import Counted, LongStatement, Work
from ansible_collections.sre.runbooks.plugins.plugin_utils._judgement.model import (
    Confidence,
    Finding,
    Gap,
    Json,
    Observation,
    Ref,
    RuledOut,
)
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems.postgresql import common
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems.postgresql.common import backend, statement, was_read
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems.postgresql.facts import Facts

# A session counts as at work all the time from this share of the samples on.
ALL_THE_TIME = 0.75
# What can be cancelled and only has to be asked again. One that has written, or may have (CALL, DO), loses what it did.
READS = ("SELECT", "WITH", "FETCH", "DECLARE")
# A statement that takes so many times what it took before is slowed down by something else.
SLOWED = 3
# From this share on a kind of statement is where the server's time goes.
MOST_OF_THE_WORK = 0.5


def at_work_ms(facts: Facts) -> float:
    """How long the application's statements that were seen at work had been running: the median over its sessions, 0 where
    none was. One that waits for a lock or for its client is not at work. Unlike the number of sessions at work, this means
    the same at ten requests a second and at ten thousand."""
    # Where nobody knows whose a session is, a statement that has long been running is none that a user waits for.
    named = common.application_users(facts)
    longest = math.inf if named else 1000 * facts["limits"]["long_statement_seconds_max"]
    seen = [
        one["statement_ms"] for one in common.samples(facts)
        if one["working"] and common.is_application(facts, one["user"]) and one["statement_ms"] < longest
    ]  # fmt: skip
    return float(statistics.median(seen)) if seen else 0.0


def is_squeezed(facts: Facts) -> bool:
    """Whether the application's statements take long by being at work for long, not by waiting."""
    return bool(at_work_ms(facts) >= facts["limits"]["application_statement_ms_max"])


def somebody_seen(facts: Facts) -> bool:
    """Whether any look saw a session of the application; if none did, nothing about its work is known."""
    database = facts["postgresql"]["server"]["database"]
    return any(common.is_application(facts, one["user"]) and one["database"] == database for one in common.samples(facts))


def processors_are_short(facts: Facts) -> bool | None:
    """Whether as many processes want a processor as there are; None where the inventory does not say how many there are."""
    cores = facts["limits"]["cores"]
    return None if not cores else bool(facts["postgresql"]["samples"]["runnable"] >= cores)


def share_of_work(facts: Facts, key: str) -> float:
    """The share of all work seen that a kind of statement had."""
    work = facts["postgresql"]["samples"]["work"]
    return float(sum(one["working"] for one in work if one["statement"] == key) / max(1, sum(one["working"] for one in work)))


def waits_for_disk(facts: Facts) -> float:
    """The share of the looks at the application's sessions at work in which they waited for a disk."""
    seen = [one for one in common.samples(facts) if one["working"] and common.is_application(facts, one["user"])]
    return float(sum(common.seen_waiting(one, "IO") for one in seen) / max(1, sum(one["seen"] for one in seen)))


def calls_of(facts: Facts, key: str) -> Counted | None:
    """What pg_stat_statements knows of a kind of statement."""
    statements = facts["postgresql"].get("statements")
    return next((one for one in (statements["top"] if statements else []) if one["statement"] == key), None)


def unseen(facts: Facts) -> t.Iterator[Observation]:
    """Users suffer, and nobody of the application was seen: what its statements do is not known."""
    if was_read(facts, "server", "samples") and facts["users_suffer"] and not somebody_seen(facts):
        taken, seconds = facts["postgresql"]["samples"]["taken"], facts["postgresql"]["samples"]["seconds"]
        yield Gap(facts["system"], "the application's statements", f"none was seen in {taken} looks within {seconds:g} s")


def _commands(facts: Facts) -> dict[int, str]:
    return {one["pid"]: one["command"] for one in facts["postgresql"].get("long_running", [])}


def statements_slow(facts: Facts) -> t.Iterator[Observation]:
    """Statements of the application that take too long for any user, whatever the probes say. Only for named roles: whose
    statement it is decides whether a user waits for it."""
    if not was_read(facts, "server", "samples") or not common.application_users(facts):
        return
    limit, commands = facts["limits"]["application_statement_seconds_max"], _commands(facts)
    slow = [
        one for one in common.samples(facts)
        if common.is_application(facts, one["user"]) and one["age_ms"] >= 1000 * limit
        and not common.is_maintenance(commands.get(one["pid"], ""))
        and common.seen_waiting(one, "Lock") + common.seen_waiting(one, "Client") < one["seen"] / 2
    ]  # fmt: skip
    if len(slow) >= facts["limits"]["waiters_min"]:
        links = [backend(facts, one["pid"]) for one in slow] + [statement(facts, one["statement"] or "") for one in slow]
        yield Finding(
            "db.statements_slow", "proven", Ref(facts["system"], "database", facts["postgresql"]["server"]["database"]),
            links=tuple(dict.fromkeys(links)),
            evidence={"sessions": len(slow), "longest_seconds": round(max(one["age_ms"] for one in slow) / 1000, 1)},
        )  # fmt: skip
    elif somebody_seen(facts):
        yield RuledOut(facts["system"], "db.statements_slow", f"no {limit:g} s statements of the application were seen")


def restless(facts: Facts) -> dict[tuple[str | None, str], list[LongStatement]]:
    """Long statements of others that never rest, by client."""
    limit, named = facts["limits"]["long_statement_seconds_max"], common.application_users(facts)
    taken = facts["postgresql"]["samples"]["taken"]
    busy = {one["pid"] for one in common.samples(facts) if one["working"] >= ALL_THE_TIME * taken}
    found: dict[tuple[str | None, str], list[LongStatement]] = {}
    for session in facts["postgresql"]["long_running"]:
        if (session["statement_seconds"] or 0) >= limit and session["pid"] in busy and session["user"] not in named:
            found.setdefault((session["user"], session["application"]), []).append(session)
    return found


def _plan_is_unknown(facts: Facts) -> bool:
    """Whether a statement of the application is at work whose own plan might be the trouble, and nobody could see it."""
    return any(plan["refused"] and common.is_application(facts, plan["user"]) for plan in facts["postgresql"].get("plans", []))


def long_statements(facts: Facts) -> t.Iterator[Observation]:
    """Statements of others that have run for long and never rest, while the application's get too little of the machine."""
    if not was_read(facts, "server", "long_running", "samples"):
        return
    found = restless(facts)
    if not found:
        if somebody_seen(facts):
            limit = facts["limits"]["long_statement_seconds_max"]
            yield RuledOut(facts["system"], "db.long_query", f"no statement older than {limit:g} s is at work without a pause")
        return
    if not is_squeezed(facts) and not facts["users_suffer"]:
        return
    # Much work of others is no evidence where nobody of the application is kept from its own.
    sure = is_squeezed(facts) and processors_are_short(facts)
    sure = sure and "plans" in facts["postgresql"] and not _plan_is_unknown(facts)
    for (user, application), sessions in sorted(found.items(), key=lambda item: tuple(map(str, item[0]))):
        queries = [one for one in sessions if one["command"] in READS and not one.get("writes")]
        upkeep = [one for one in sessions if one not in queries]
        if queries:
            yield _long(facts, "db.long_query", "likely" if sure else "possible", (user, application), queries)
        if upkeep:
            yield _long(facts, "db.maintenance_at_work", "possible", (user, application), upkeep)


def _long(
    facts: Facts, identity: str, confidence: Confidence, client: tuple[str | None, str], sessions: list[LongStatement]
) -> Finding:
    user, application = client
    keys = {one["pid"]: one["statement"] or "" for one in common.samples(facts)}
    links = [backend(facts, one["pid"]) for one in sessions]
    links += [statement(facts, keys[one["pid"]]) for one in sessions if one["pid"] in keys]
    targets = tuple(target for one in sessions for target in common.to_cancel(one))
    return Finding(
        identity, confidence, Ref(facts["system"], "client", f"{user}/{application}"),
        links=tuple(dict.fromkeys(links)),
        evidence={
            "user": user, "application": application or "no application_name", "statements": len(sessions),
            "pids": ", ".join(str(one["pid"]) for one in sessions[:3]) + (", …" if len(sessions) > 3 else ""),
            "command": ", ".join(sorted({one["command"] or "a statement" for one in sessions})[:3]),
            "at_work_ms": round(at_work_ms(facts)),
            "seconds": max(one["statement_seconds"] or 0 for one in sessions), "processors": _processors(facts),
        },
        targets={"cancel_long_queries": targets} if identity == "db.long_query" else {},
    )  # fmt: skip


def _processors(facts: Facts) -> str:
    cores, runnable = facts["limits"]["cores"], facts["postgresql"]["samples"]["runnable"]
    return f"{runnable:g} processes want {cores} processors" if cores else "processors not seen (runbooks_db_cores)"


def heavy_statement(facts: Facts) -> t.Iterator[Observation]:
    """One kind of statement that most of the server's work goes into, while the application's statements take long."""
    if not was_read(facts, "server", "samples") or not facts["postgresql"]["samples"]["work"]:
        return
    top = max(facts["postgresql"]["samples"]["work"], key=lambda one: one["working"])
    share = share_of_work(facts, top["statement"])
    calls = calls_of(facts, top["statement"])
    planned = next((one for one in facts["postgresql"].get("plans", []) if one["statement"] == top["statement"]), calls)
    command, text = (planned["command"], planned["query"]) if planned else ("", None)
    command = command or "a statement"
    limit = facts["limits"]["application_statement_ms_max"]
    if not is_squeezed(facts) or share < MOST_OF_THE_WORK or common.is_maintenance(command):
        if somebody_seen(facts) and at_work_ms(facts) < (limit / 4 if facts["users_suffer"] else limit):
            yield RuledOut(facts["system"], "db.heavy_statement", f"statements at work have run for {at_work_ms(facts):.0f} ms")
        return
    disk, slowed = waits_for_disk(facts), _slowed(calls, limit)
    sure = (processors_are_short(facts) or disk >= MOST_OF_THE_WORK) and top["statement_ms"] >= limit and not slowed
    pids = [one["pid"] for one in common.samples(facts) if one["statement"] == top["statement"]]
    where = "waiting for a disk" if disk >= MOST_OF_THE_WORK else _processors(facts)
    yield Finding(
        "db.heavy_statement", "likely" if sure else "possible", statement(facts, top["statement"]),
        links=tuple(backend(facts, pid) for pid in pids),
        evidence={
            "user": top["user"], "command": command, "statement": top["statement"], "text": f": {text}" if text else "",
            "percent": round(100 * share), "at_once": top["sessions"], "running_ms": top["statement_ms"], "calls": _calls(calls),
            "where": f"{where}; it was quick before, so something else may slow it down" if slowed else where,
        },
        targets={} if slowed else _relief(facts, top),
    )  # fmt: skip


def _slowed(calls: Counted | None, limit: float) -> bool:
    """Whether a statement was quick before and takes many times that now: the machine, the table or the plan is another one."""
    if calls is None or calls["window_mean_ms"] is None or calls["mean_ms_before"] is None:
        return False
    return bool(calls["mean_ms_before"] < limit and calls["window_mean_ms"] >= SLOWED * calls["mean_ms_before"])


def _calls(calls: Counted | None) -> str:
    """How often it runs and what it takes, now and before."""
    if calls is None:
        return ""
    now = calls["window_mean_ms"]
    before = calls["mean_ms_before"]
    return (
        f"; {calls['calls_per_second']:g} a second"
        + (f", {now:g} ms each" if now is not None else "")
        + (f" (before {before:g} ms)" if before is not None else "")
        + f", {calls['rows'] / calls['calls']:.0f} rows each"
    )


def _relief(facts: Facts, top: Work) -> dict[str, tuple[Json, ...]]:
    """Its running copies can be cancelled by its query id, and its role's next sessions get a limit on their statements."""
    if not top["user"] or not top["database"] or not top["statement"].lstrip("-").isdigit():
        return {}
    cancel = {"query_id": top["statement"], "user": top["user"], "database": top["database"]}
    if "role_settings" not in facts["postgresql"] or not common.is_writable(facts):
        return {"cancel_heavy_statement": (cancel,)}
    settings = {
        (one["user"], one["database"]): one["setting"] for one in facts["postgresql"]["role_settings"]
        if one["name"] == "statement_timeout"
    }  # fmt: skip
    own = settings.get((top["user"], top["database"]))
    limit = {"role": top["user"], "database": top["database"], "name": "statement_timeout", "before": own}
    nearest = (own, settings.get((top["user"], None)), settings.get((None, top["database"])), settings.get((None, None)),
               common.setting(facts, "statement_timeout"))  # fmt: skip
    now = _milliseconds(next((one for one in nearest if one is not None), "0"))
    tighter = 0 < now <= 1000 * facts["limits"]["application_statement_seconds_max"]
    return {"cancel_heavy_statement": (cancel,), "limit_statement_time": () if tighter else (limit,)}


def _milliseconds(setting: str) -> float:
    """A time as PostgreSQL writes it; 0 where it cannot be read.

    >>> _milliseconds("3s"), _milliseconds("250"), _milliseconds("1min"), _milliseconds("often")
    (3000.0, 250.0, 60000.0, 0.0)
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(us|ms|s|min|h|d)?\s*", setting)
    units = {"us": 0.001, None: 1.0, "ms": 1.0, "s": 1000.0, "min": 60000.0, "h": 3600000.0, "d": 86400000.0}
    return float(found[1]) * units[found[2]] if found else 0.0


RULES = (long_statements, heavy_statement, statements_slow, unseen)
