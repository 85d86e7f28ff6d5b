# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules on who uses the server up: connections, processor time, plans (private to the collection; pure)."""

from __future__ import annotations

import collections
import math
import re
import statistics
import typing as t

from ansible_collections.sre.runbooks.plugins.module_utils._postgresql.text import name_for
from ansible_collections.sre.runbooks.plugins.plugin_utils._judgement.model import (
    Finding,
    Gap,
    Json,
    Observation,
    Ref,
    RuledOut,
)
from ansible_collections.sre.runbooks.plugins.plugin_utils._judgement.rules.database import was_read

# Two free slots are gone with the next two logins: it is the same as none.
AS_GOOD_AS_NONE = 2
# A session counts as at work all the time from this share of the samples on.
ALL_THE_TIME = 0.75
# A scan is wasted where it keeps at most this share of the rows that it reads.
SELECTIVE = 0.05
# Below this, a table's plan hardly matters, whatever is known of it.
FEW_ROWS = 1000
PLAIN_NAME = re.compile(r"[a-z_][a-z0-9_]*")


def _is_application(facts: Json, user: str | None) -> bool:
    users = facts["limits"]["application_users"]
    return not users or user in users


def quoted(name: str) -> str:
    """A name as it must be typed in SQL.

    >>> quoted("audit"), quoted('odd "one"')
    ('audit', '"odd ""one\"""')
    """
    return name if PLAIN_NAME.fullmatch(name) else '"' + name.replace('"', '""') + '"'


def full_name(table: Json) -> str:
    return f"{quoted(table['schema'])}.{quoted(table['table'])}"


# -- connections -------------------------------------------------------------------------------------------------------


def _setting(facts: Json, name: str) -> int:
    return next((int(one["setting"]) for one in facts["postgresql"]["settings"] if one["name"] == name), 0)


def _slots(facts: Json) -> tuple[int, int, int]:
    """The slots of the server, those reserved, and those of the others that are free."""
    most = _setting(facts, "max_connections")
    reserved = _setting(facts, "superuser_reserved_connections") + _setting(facts, "reserved_connections")
    groups = facts["postgresql"]["connections"]
    used = groups[0]["all_sessions"] if groups else 0
    return most, reserved, max(0, most - reserved - used)


def _by_role(facts: Json) -> list[Json]:
    """The sessions by role, most first: user, sessions, the limit that the role has, the names of its applications."""
    roles: dict[str, Json] = {}
    for group in facts["postgresql"]["connections"]:
        if group["superuser"] or group["user"] is None:
            continue
        role = roles.setdefault(group["user"], {"user": group["user"], "sessions": 0, "limit": group["role_limit"],
                                                "applications": collections.Counter(), "clients": set()})  # fmt: skip
        role["sessions"] += group["sessions"]
        role["applications"][group["application"] or "no application_name"] += group["sessions"]
        role["clients"].add(group["client"] or "local")
    return sorted(roles.values(), key=lambda role: (-role["sessions"], role["user"]))


def _expected(facts: Json, user: str) -> str:
    """What the inventory says that a client should use: instances times pool."""
    pool = (facts["limits"].get("pools") or {}).get(user)
    if not pool:
        return "what it should use is not in the inventory (runbooks_db_pools)"
    return f"it should use at most {pool['instances']} × {pool['size']} = {pool['instances'] * pool['size']}"


def _blamed(facts: Json, usable: int) -> tuple[str, Json] | None:
    """The client that takes the slots: another one than the application, else the application itself."""
    roles = _by_role(facts)
    others = [role for role in roles if not _is_application(facts, role["user"])]
    own = [role for role in roles if _is_application(facts, role["user"])]
    if others and others[0]["sessions"] >= usable / 2:
        return "db.connection_leak", others[0]
    if own and own[0]["sessions"] >= usable / 2:
        return "db.pool_too_large", own[0]
    return None


def connection_slots(facts: Json) -> t.Iterator[Observation]:
    """Nobody else gets in, and who holds the slots: the arithmetic, by role."""
    if not was_read(facts, "settings", "connections"):
        return
    most, reserved, free = _slots(facts)
    share = round(100 * (1 - free / max(1, most - reserved)))
    if free > AS_GOOD_AS_NONE or not most:
        yield RuledOut(facts["system"], "db.connection_leak", f"{share} % of the connections are in use, {free} are free")
        return
    blamed = _blamed(facts, most - reserved)
    if blamed is None:
        yield Gap(facts["system"], "who holds the connections", "no single client holds half of them: see connections")
        return
    identity, role = blamed
    application = role["applications"].most_common(1)[0][0]
    evidence = {
        "user": role["user"], "sessions": role["sessions"], "application": application, "free": free, "max": most,
        "clients": ", ".join(sorted(role["clients"])[:3]), "reserved": reserved, "usable": most - reserved,
        "others": most - reserved - free - role["sessions"], "expected": _expected(facts, role["user"]),
    }  # fmt: skip
    target = {"role": role["user"], "connection_limit": role["limit"], "sessions": role["sessions"]}
    yield Finding(identity, "proven", Ref(facts["system"], "role", role["user"]), evidence=evidence, targets=(target,))


# -- processor time ----------------------------------------------------------------------------------------------------


def at_work_ms(facts: Json) -> float:
    """How long the application's statements that were seen at work had been running: the median over its sessions, 0 where
    none was. One that waits for a lock or for its client is not at work. Unlike the number of sessions at work, this means
    the same at ten requests a second and at ten thousand."""
    users = facts["limits"]["application_users"]
    # Where nobody knows whose a session is, a statement that has long been running is none that a user waits for.
    longest = math.inf if users else 1000 * facts["limits"]["long_statement_seconds_max"]
    seen = [
        one["statement_ms"] for one in facts["postgresql"]["samples"]["sessions"]
        if one["working"] and _is_application(facts, one["user"]) and one["statement_ms"] < longest
    ]  # fmt: skip
    return float(statistics.median(seen)) if seen else 0.0


def _is_squeezed(facts: Json) -> bool:
    """Whether the application's statements take long by being at work for long, not by waiting."""
    return bool(at_work_ms(facts) >= facts["limits"]["application_statement_ms_max"])


def _busy_all_the_time(facts: Json) -> set[int]:
    samples = facts["postgresql"]["samples"]
    return {one["pid"] for one in samples["sessions"] if one["working"] >= ALL_THE_TIME * samples["taken"]}


def long_statements(facts: Json) -> t.Iterator[Observation]:
    """Statements of others that have run for long and never rest, while the application's get too little of the machine."""
    if not was_read(facts, "long_running", "samples"):
        return
    limit, busy = facts["limits"]["long_statement_seconds_max"], _busy_all_the_time(facts)
    restless: dict[tuple[str, str], list[Json]] = {}
    for session in facts["postgresql"]["long_running"]:
        named = facts["limits"]["application_users"]
        if (session["statement_seconds"] or 0) < limit or session["pid"] not in busy or session["user"] in named:
            continue
        restless.setdefault((session["user"], session["application"]), []).append(session)
    if not restless or not _is_squeezed(facts):
        yield RuledOut(facts["system"], "db.long_query", f"no statement older than {limit:g} s eats the machine")
        return
    for (user, application), sessions in sorted(restless.items()):
        yield Finding(
            "db.long_query", "likely", Ref(facts["system"], "client", f"{user}/{application}"),
            links=tuple(Ref(facts["system"], "backend", str(one["pid"])) for one in sessions),
            evidence={
                "user": user, "application": application or "no application_name", "statements": len(sessions),
                "pids": ", ".join(str(one["pid"]) for one in sessions[:3]) + (", …" if len(sessions) > 3 else ""),
                "command": sessions[0]["command"] or "a statement", "at_work_ms": round(at_work_ms(facts)),
                "seconds": max(one["statement_seconds"] for one in sessions),
            },
            targets=tuple({"pid": one["pid"], "backend_start": one["backend_start"]} for one in sessions),
        )  # fmt: skip


# -- plans -------------------------------------------------------------------------------------------------------------


def _is_stale(facts: Json, table: Json) -> bool:
    changed, live = table["changed_since_analyze"], table["live_rows"]
    return bool(live >= FEW_ROWS and changed >= max(FEW_ROWS, facts["limits"]["stale_share_max"] * live))


def _for_application(facts: Json, table: Json) -> bool:
    """Whether the application is at work on a table."""
    users = {one["pid"]: one["user"] for one in facts["postgresql"]["samples"]["sessions"]}
    return any(pid in users and _is_application(facts, users[pid]) for pid in table["pids"])


def _backends(facts: Json, table: Json) -> tuple[Ref, ...]:
    return tuple(Ref(facts["system"], "backend", str(pid)) for pid in table["pids"])


def stale_statistics(facts: Json) -> t.Iterator[Observation]:
    """A table that changed much since it was analyzed, on which the application works and works."""
    if not was_read(facts, "busy_tables", "samples"):
        return
    found = False
    for table in facts["postgresql"]["busy_tables"]:
        if not (_is_stale(facts, table) and _for_application(facts, table) and _is_squeezed(facts)):
            continue
        found = True
        age = table["analyzed_seconds_ago"]
        yield Finding(
            "db.stale_statistics", "likely", Ref(facts["system"], "table", full_name(table)), links=_backends(facts, table),
            evidence={
                "table": full_name(table), "changed": table["changed_since_analyze"], "live": table["live_rows"],
                "analyzed": "never" if age is None else f"{age} s ago", "sessions": len(table["pids"]),
            },
            targets=({"schema": table["schema"], "table": table["table"]},),
        )  # fmt: skip
    if not found:
        yield RuledOut(facts["system"], "db.stale_statistics", "the tables at work have not changed much since their ANALYZE")


def missing_index(facts: Json) -> t.Iterator[Observation]:
    """A statement of the application whose plan reads a big table whole to keep a few rows of it."""
    if not was_read(facts, "busy_tables", "plans", "samples"):
        return
    tables = {(table["schema"], table["table"]): table for table in facts["postgresql"]["busy_tables"]}
    calls = {one["query_id"]: one for one in facts["postgresql"].get("statements", [])}
    found: dict[str, Finding] = {}
    for plan in facts["postgresql"]["plans"]:
        if not _is_application(facts, plan["user"]):
            continue
        if plan["refused"] and _is_squeezed(facts):
            yield Gap(facts["system"], f"the plan of {plan['command'] or 'a statement'} of {plan['user']}", plan["refused"])
        for scan in plan["scans"]:
            table = tables.get((scan["schema"], scan["table"]))
            if table is not None and _is_squeezed(facts) and _is_wasted(facts, scan, table):
                finding = _missing(facts, scan, table, plan, calls.get(plan["query_id"]))
                found.setdefault(finding.subject.key, finding)
    yield from found.values()
    if not found and not any(plan["refused"] for plan in facts["postgresql"]["plans"]):
        yield RuledOut(facts["system"], "db.missing_index", "no statement at work reads a big table whole for a few rows")


def _is_wasted(facts: Json, scan: Json, table: Json) -> bool:
    live = table["live_rows"]
    few = (scan["rows_expected"] or 0) <= SELECTIVE * live
    return bool(scan["columns"] and live >= facts["limits"]["scanned_rows_max"] and few and not _is_stale(facts, table))


def _missing(facts: Json, scan: Json, table: Json, plan: Json, calls: Json | None) -> Finding:
    columns = ", ".join(quoted(column) for column in scan["columns"])
    broken = [
        one["index"] for one in facts["postgresql"].get("invalid_indexes", [])
        if (one["schema"], one["table"]) == (table["schema"], table["table"])
    ]  # fmt: skip
    return Finding(
        "db.missing_index", "proven", Ref(facts["system"], "table", f"{full_name(table)} ({columns})"),
        links=tuple(Ref(facts["system"], "backend", str(pid)) for pid in plan["pids"]),
        evidence={
            "table": full_name(table), "columns": columns, "live": table["live_rows"], "expected": scan["rows_expected"],
            "sessions": len(plan["pids"]), "user": plan["user"],
            "mean": f"; {calls['mean_ms']:g} ms on average over {calls['calls']} calls" if calls else "",
            "leftover": f"; an INVALID index is left over: {', '.join(broken)}" if broken else "",
            "drop": "".join(f"DROP INDEX CONCURRENTLY {quoted(table['schema'])}.{quoted(name)}; " for name in broken),
        },
        targets=({"schema": table["schema"], "table": table["table"], "columns": scan["columns"],
                  "name": name_for(table["table"], scan["columns"])},),
    )  # fmt: skip


# -- advice ------------------------------------------------------------------------------------------------------------


def _effective(facts: Json, name: str, user: str) -> str:
    """What a setting is for a role: its own, else the server's."""
    own = [one["setting"] for one in facts["postgresql"]["role_settings"] if one["name"] == name and one["user"] == user]
    return str(own[0] if own else next((s["setting"] for s in facts["postgresql"]["settings"] if s["name"] == name), ""))


def advice(facts: Json) -> t.Iterator[Observation]:
    """Settings that let a mistake last: a migration that queues without end, a transaction that may idle without end."""
    if not was_read(facts, "settings", "role_settings", "locks"):
        return
    wanted: dict[tuple[str, str], str] = {}
    for session in facts["postgresql"]["locks"]["sessions"]:
        if session["wants"] and session["locktype"] == "relation" and session["mode"] == "AccessExclusiveLock":
            wanted["lock_timeout", session["user"]] = "2s"
        if str(session["state"] or "").startswith("idle in transaction"):
            wanted["idle_in_transaction_session_timeout", session["user"]] = "60s"
    for (name, user), value in sorted(wanted.items(), key=lambda item: tuple(map(str, item[0]))):
        if user and _effective(facts, name, user) in ("0", "0ms", "0s"):
            yield Finding(
                "db.setting_advised", "proven", Ref(facts["system"], "setting", f"{name} of {user}"),
                evidence={"name": name, "user": quoted(user), "value": value},
            )  # fmt: skip


RULES = (connection_slots, stale_statistics, missing_index, long_statements, advice)
