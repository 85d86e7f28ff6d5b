"""Facts as the collectors return them, built from the few things that a test is about."""

from __future__ import annotations

import typing as t

from ansible_collections.sre.runbooks.plugins.module_utils._postgresql.triage import lock_tree

Json = dict[str, t.Any]

LIMITS: Json = {
    "application_users": ["app"], "lock_wait_seconds_max": 1.0, "idle_in_transaction_seconds_max": 300.0,
    "long_statement_seconds_max": 60.0, "application_statement_ms_max": 100.0, "application_statement_seconds_max": 5.0,
    "waiters_min": 3, "scanned_rows_max": 100000, "cores": 2, "writable": True, "pools": {}, "monitor_user": "monitor",
    "host": "db.example.org", "port": 5432,
}  # fmt: skip
SERVER: Json = {
    "database": "shop", "user": "monitor", "superuser": False, "member_of_pg_read_all_stats": True, "in_recovery": False,
    "database_limit": -1, "managed_by": None,
}  # fmt: skip
EDGE_LIMITS: Json = {"p95_ms_max": 500.0, "error_ratio_max": 0.1}


def session(pid: int, **changes: t.Any) -> Json:
    """A row of the lock query: a session that waits for nothing and holds nothing, unless said."""
    row: Json = {
        "pid": pid, "backend_start": f"start {pid}", "xact_start": f"xact {pid}", "query_start": f"query {pid}",
        "superuser": False, "wait_event_type": None, "wait_event": None, "user": "app", "application": "api", "client": "10.0.0.1",
        "database": "shop", "state": "active", "backend_type": "client backend", "transaction_seconds": 9.0,
        "state_seconds": 9.0, "statement_seconds": 9.0, "lock_seconds": None, "command": "SELECT", "query": None, "wants": None, "mode": None,
        "locktype": None, "relation": None, "blockers": [], "holds": [],
    }  # fmt: skip
    return row | changes


def waits(pid: int, blockers: list[int], mode: str = "AccessShareLock", **changes: t.Any) -> Json:
    """A session that has been waiting nine seconds for a lock on the table ``keys``."""
    return session(
        pid,
        wants="relation/keys",
        mode=mode,
        locktype="relation",
        relation="keys",
        blockers=blockers,
        **{"lock_seconds": 9.0, **changes},
    )


def holds(pid: int, mode: str = "AccessShareLock", **changes: t.Any) -> Json:
    return session(pid, holds=[["relation/keys", mode]], **changes)


def database(rows: list[Json], *, system: str = "db", limits: Json | None = None, **changes: t.Any) -> Json:
    """The facts of a database with these sessions in its lock graph."""
    postgresql: Json = {
        "connected": True, "refusal": None, "gaps": [], "duration_ms": 20, "connections": [], "idle_in_transaction": [],
        "prepared_transactions": [], "role_settings": [], "replication": [], "settings": [],
        "server": dict(SERVER),
        "locks": lock_tree([dict(row) for row in rows]),
    }  # fmt: skip
    return {"system": system, "kind": "postgresql", "depends_on": [], "users_suffer": True, "limits": {**LIMITS, **(limits or {})},
            "postgresql": {**postgresql, **changes}}  # fmt: skip


def settings(**values: str) -> list[Json]:
    return [
        {"name": name, "setting": value, "source": "configuration file", "by_alter_system": None}
        for name, value in values.items()
    ]


def crowded(
    *, limit: int = -1, state: str = "idle", limits: Json | None = None, server: Json | None = None, **sessions: int
) -> Json:
    """A server of 150 connections, six of them reserved, with this many sessions by role."""
    groups = [
        {"user": user, "application": "worker", "client": "10.0.0.9", "sessions": number, "role_limit": limit, "superuser": False,
         "all_sessions": sum(sessions.values()), "hidden": 0, "state": state, "database": "shop"}
        for user, number in sessions.items()
    ]  # fmt: skip
    slots = settings(max_connections="150", superuser_reserved_connections="3", reserved_connections="3")
    return database([], limits=limits, connections=groups, settings=slots, server={**SERVER, **(server or {})})


def seen(pid: int, user: str = "app", statement_ms: int = 400, working: int = 8, **changes: t.Any) -> Json:
    """A session as eight looks saw it: at work on a processor in so many of them."""
    waits = {"CPU": working, "Client/ClientRead": 8 - working}
    row: Json = {
        "pid": pid, "user": user, "application": "api", "database": "shop", "superuser": False, "statement": f"of {user}",
        "seen": 8, "working": working, "on_processor": working, "waits": {event: n for event, n in waits.items() if n},
        "statement_ms": statement_ms if working else 0, "age_ms": statement_ms,
    }  # fmt: skip
    return row | changes


def samples(*sessions: Json, runnable: float = 4.0) -> Json:
    """What eight looks at these sessions say."""
    work: dict[str, Json] = {}
    for one in sessions:
        nothing = {
            "user": one["user"],
            "database": one["database"],
            "statement": one["statement"],
            "seen": 0,
            "working": 0,
            "sessions": 0,
            "statement_ms": 0,
        }
        row = work.setdefault(one["statement"], nothing)
        row["seen"] += one["seen"]
        row["working"] += one["working"]
        row["sessions"] += 1
        row["statement_ms"] = max(row["statement_ms"], one["statement_ms"])
    ranked = sorted(work.values(), key=lambda row: -row["working"])
    return {"taken": 8, "seconds": 0.2, "sessions": list(sessions), "work": ranked, "runnable": runnable}


def squeezed(statement_ms: int = 400, limits: Json | None = None, server: Json | None = None, **changes: t.Any) -> Json:
    """A server on which the application's statements are at work for so long, beside pid 7 that never rests. Another
    statement of the application waits for its client."""
    sessions = [seen(1, statement_ms=statement_ms, working=6), seen(2, working=0), seen(7, "reporting", 90000),
                seen(8, "reporting", working=0)]  # fmt: skip
    facts = {"samples": samples(*sessions), "plans": [], "server": {**SERVER, **(server or {})}, **changes}
    return database([], limits=limits, **facts)


def nobody_named(facts: Json) -> Json:
    """The same where the inventory does not say which roles the application uses."""
    return facts | {"limits": facts["limits"] | {"application_users": []}}


def running(pid: int, seconds: float, user: str = "reporting", command: str = "SELECT", **changes: t.Any) -> Json:
    return session(pid, user=user, application="bi", statement_seconds=seconds, command=command, **changes)


def table(live: int = 600000, changed: int = 0, dead: int = 0, pids: t.Sequence[int] = (1,)) -> Json:
    return {"schema": "public", "table": "keys", "pids": list(pids), "live_rows": live, "dead_rows": dead, "changed_since_analyze": changed,
            "analyzed_seconds_ago": 9000, "analyze_after": 60050.0}  # fmt: skip


def scan(rows: float = 4, columns: t.Sequence[str] = ("owner",), **changes: t.Any) -> Json:
    return {"schema": "public", "table": "keys", "partitions": 0, "columns": list(columns), "rows": rows, "with_rows": None,
            "table_rows": 600000.0, "covered_by": None, "unclear": None, "by_columns": None, **changes}  # fmt: skip


def plan(*scans: Json, **changes: t.Any) -> Json:
    """A plan of the application's statement that reads the table ``keys`` whole for four rows, unless said."""
    return {"user": "app", "pids": [1], "statement": "of app", "command": "SELECT", "query": None, "refused": None, "cost": 9000.0,
            "loops": [], "scans": list(scans or (scan(),)), **changes}  # fmt: skip


def refused(kind: str, message: str) -> Json:
    facts = database([])
    facts["postgresql"] = {"connected": False, "refusal": {"kind": kind, "sqlstate": None, "message": message}, "gaps": []}
    return facts


def probe(url: str = "https://api.example.org/health", requests: int = 10, failures: int = 0, p95: float | None = 20.0) -> Json:
    reasons = {"HTTP 503": failures} if failures else {}
    method = url.split(" ")[0] if " " in url else "GET"
    return {"url": url, "method": method, "requests": requests, "failures": failures, "reasons": reasons, "p50_ms": 5.0, "p95_ms": p95,
            "max_ms": p95, "good": not failures}  # fmt: skip


def edge(*probes: Json, system: str = "api", depends_on: t.Sequence[str] = ("db",)) -> Json:
    return {"system": system, "kind": "edge", "depends_on": list(depends_on), "users_suffer": False,
            "limits": dict(EDGE_LIMITS), "probes": list(probes), "settled": True, "in_a_row": 3, "wanted_in_a_row": 3, "seconds": 1.0}  # fmt: skip


def queued_ddl() -> list[Json]:
    """A report reads, a migration waits behind it, five readers wait behind the migration."""
    return [
        holds(100, user="reporting", application="report"),
        waits(200, [100], "AccessExclusiveLock", user="owner", application="migrate", command="ALTER TABLE"),
        *(waits(300 + number, [200]) for number in range(5)),
    ]


def idle_holder() -> list[Json]:
    """A session idle in transaction holds a row; one waits for it, two wait for that one."""
    row = {"locktype": "transactionid", "relation": "usage", "mode": "ShareLock", "lock_seconds": 9.0}
    return [
        session(100, state="idle in transaction", holds=[["xid/1", "ExclusiveLock"]]),
        session(200, wants="xid/1", blockers=[100], holds=[["xid/2", "ExclusiveLock"]], **row),
        session(301, wants="xid/2", blockers=[200], **row),
        session(302, wants="xid/2", blockers=[200], **row),
    ]
