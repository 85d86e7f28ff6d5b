"""Each rule: facts in, findings out."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.sre.runbooks.plugins.module_utils._postgresql.triage import lock_tree
from ansible_collections.sre.runbooks.plugins.plugin_utils._judgement.model import Finding, Gap, Measured, Observation, RuledOut
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems import shipped
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems.edge import rules as edge
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems.postgresql import (
    SYSTEM,
    common,
    connections,
    locks,
    plans,
    server,
    work,
)

from tests.unit import given

Json = dict[str, t.Any]
AS_CLIENTS = {"application_users": []}

PREPARED = {
    "gid": "tx-1",
    "prepared": "2026-11-24 02:00:00+00",
    "user": "app",
    "database": "shop",
    "seconds": 900,
    "waited_for": True,
}


def well(facts: Json) -> Json:
    """The same while users are measured and well."""
    return facts | {"users_suffer": False, "users_well": True}


def counted(mean_before: float, mean_now: float) -> Json:
    """What pg_stat_statements says of the application's statement."""
    return {"seconds": 1.0, "top": [
        {"statement": "of app", "user": "app", "command": "SELECT", "query": None, "calls": 10, "rows": 10, "calls_per_second": 3.0,
         "window_mean_ms": mean_now, "mean_ms_before": mean_before, "mean_ms": mean_before}]}  # fmt: skip


def locking(rows: list[Json]) -> Json:
    """The facts of a database whose application asks for these locks itself."""
    facts = given.database([])
    facts["postgresql"]["locks"] = lock_tree([dict(row) for row in rows], ["app"])
    return facts


def victims_hold_all() -> Json:
    """Honest sessions of another client hold all slots, since all of them wait for a row."""
    theirs = {"user": "billing", "application": "bill", "wants": "xid/9", "statement_seconds": 9.0, "lock_seconds": 9.0}
    waiting = [given.session(200 + n, blockers=[100], **ROW, **theirs) for n in range(140)]
    crowded = given.crowded(billing=140, app=3)
    holder = given.session(100, user="reporting", state="idle in transaction", holds=[["xid/9", "ExclusiveLock"]])
    crowded["postgresql"]["locks"] = lock_tree([holder, *waiting])
    return crowded | {"postgresql": {**crowded["postgresql"], "idle_in_transaction": []}}


def brief(rows: list[Json], **changes: t.Any) -> list[Json]:
    """The same where each waits for a moment only: its lock_timeout ends it soon, and it comes again."""
    return [{**row, "statement_seconds": 0.2, "lock_seconds": 0.2, **changes} if row["wants"] else row for row in rows]


def role(user: str = "app", sessions: int = 5, **changes: t.Any) -> Json:
    return {"user": user, "exists": True, "can_login": True, "expired": False, "sessions": sessions, **changes}


def misnamed(facts: Json) -> Json:
    return facts | {"postgresql": {**facts["postgresql"], "application_roles": [role("misspelt", 0, exists=False)]}}


def alone(facts: Json) -> Json:
    return facts | {"postgresql": {**facts["postgresql"], "application_roles": [role(sessions=0)]}}


# The application locks a table as a part of its work, and somebody else has it.
OWN_LOCKS = [given.holds(100, "RowExclusiveLock", user="batch", state="idle in transaction"),
             *(given.waits(200 + n, [100], "ShareRowExclusiveLock", command="LOCK") for n in range(4))]  # fmt: skip
SNAPSHOT = {"kind": "session", "key": "9", "user": "reporting", "application": "bi", "state": "idle in transaction", "pid": 9,
            "backend_start": "start 9", "xact_start": "xact 9", "backend_type": "client backend", "superuser": False, "xids": 900000,
            "seconds": 900}  # fmt: skip
FOREIGN_KEY = {"schema": "public", "table": "uses", "rows": 5e6, "pids": [1], "parent_schema": "public", "parent_table": "keys",
               "partitioned": False, "columns": ["key_id"]}  # fmt: skip
DELETES = {"plans": [given.plan(given.scan(rows=600000), command="DELETE", triggers=True)], "busy_tables": [given.table()]}

# rule, facts, the findings' ids with their subjects' keys
STALE = {
    "busy_tables": [given.table(changed=200000)],
    "plans": [given.plan(loops=[{"schema": "public", "table": "keys", "rows": 1}])],
}
ROW = {"locktype": "transactionid", "relation": "usage", "mode": "ShareLock"}


def idle_holder(**changes: t.Any) -> list[Json]:
    """The idle holder and those behind it, with changes to the holder."""
    holder, *others = given.idle_holder()
    return [{**holder, **changes}, *others]


def convoy(**changes: t.Any) -> list[Json]:
    """Ten workers want the same row; the one that has it has it since 100 ms, and the others' statements are 6 s old."""
    holder = given.session(100, **{"transaction_seconds": 0.1, "holds": [["xid/1", "ExclusiveLock"]], **changes})
    waiting = {"statement_seconds": 6.0, "lock_seconds": 0.1, "command": "UPDATE", "query": "UPDATE usage SET n = n + ?"}
    first = given.session(200, wants="xid/1", blockers=[100], holds=[["tuple/1", "ExclusiveLock"]], **ROW, **waiting)
    rest = {**ROW, "locktype": "tuple", "mode": "ExclusiveLock", **waiting}
    return [holder, first, *(given.session(300 + n, wants="tuple/1", blockers=[200], **rest) for n in range(8))]


def stuck(event_type: str, event: str) -> list[Json]:
    return idle_holder(state="active", wait_event_type=event_type, wait_event=event)


def in_looks(*sessions: Json, rows: list[Json] | None = None, **changes: t.Any) -> Json:
    return given.database(rows or [], samples=given.samples(*sessions), plans=[], **changes)


def syncrep(**changes: t.Any) -> Json:
    """Four commits wait for a standby; one of them holds what another session waits for."""
    waiting = [given.seen(pid, working=0, on_processor=0, waits={"IPC/SyncRep": 8}, age_ms=9000) for pid in (100, 101, 102, 103)]
    names = {"synchronous_standby_names": "FIRST 1 (b)", **changes.pop("names", {})}
    return in_looks(*waiting, rows=stuck("IPC", "SyncRep"), **{"settings": given.settings(**names), **changes})


# A migration that has locked one table and waits, behind a report, for the next; readers wait for the first.
HOLDING_MIGRATION = [
    given.holds(100, user="reporting", application="report"),
    given.waits(200, [100], "AccessExclusiveLock", user="owner", command="ALTER TABLE"),
]
for _row in HOLDING_MIGRATION[1:]:
    _row["holds"] = [["relation/other", "AccessExclusiveLock"]]
HOLDING_MIGRATION += [
    given.session(300 + n, wants="relation/other", mode="AccessShareLock", locktype="relation", relation="other", blockers=[200],
                  lock_seconds=9.0)
    for n in range(5)
]  # fmt: skip
BEHIND_PREPARED = [
    given.waits(200, [0], "AccessExclusiveLock", user="owner", command="ALTER TABLE"),
    *(given.waits(300 + n, [200]) for n in range(5)),
]
ADVISORY = {
    "locktype": "advisory",
    "wants": "advisory/1",
    "mode": "ExclusiveLock",
    "statement_seconds": 900.0,
    "lock_seconds": 900.0,
}
SLOW = [given.seen(pid, statement_ms=9000) for pid in (1, 2, 3)]
CROWD = [given.seen(pid, statement_ms=600) for pid in range(1, 9)]
HEAVY = {"plans": [given.plan(given.scan(rows=500000))]}

# rule, facts, the findings' ids with their subjects' keys
FOUND: list[tuple[str, t.Callable[..., t.Any], Json, list[tuple[str, str]]]] = [
    ("the queued statement, not the report", locks.queued_ddl, given.database(given.queued_ddl()), [("db.queued_ddl", "200")]),
    ("nobody queues behind the statement", locks.queued_ddl, given.database(given.queued_ddl()[:2]), []),
    ("those behind it are not the application's", locks.queued_ddl,
     given.database(given.queued_ddl(), limits={"application_users": ["somebody"]}), []),
    ("they wait in another database", locks.queued_ddl,
     given.database([{**row, "database": "other"} for row in given.queued_ddl()]), []),
    ("they have only just begun to wait", locks.queued_ddl,
     given.database(given.queued_ddl(), limits={"lock_wait_seconds_max": 60.0}), []),
    ("a migration that holds one lock and waits for the next", locks.queued_ddl, given.database(HOLDING_MIGRATION), [("db.queued_ddl", "200")]),
    ("and not the report that it waits for", locks.blocking_transaction, given.database(HOLDING_MIGRATION), []),
    ("without named users every client counts, but not the migration", locks.blocked_sessions,
     given.database(given.queued_ddl(), limits=AS_CLIENTS), [("db.blocked_sessions", "shop")]),
    ("a migration alone is nobody's user", locks.blocked_sessions,
     given.database(given.queued_ddl()[:2], limits=AS_CLIENTS), []),
    ("nor is the application's own migration", locks.blocked_sessions,
     given.database([{**row, "user": "app"} for row in given.queued_ddl()[:2]]), []),
    ("one batch job that waits is not what users feel", locks.blocked_sessions,
     given.database(given.idle_holder()[:2]), [("db.few_sessions_blocked", "shop")]),
    ("a leader and its standbys", locks.blocked_sessions,
     given.database([given.session(100), *(given.session(n, blockers=[100], **ADVISORY) for n in (201, 202, 203, 204))]), []),
    ("a leader and its standbys are told, in case users wait for them", locks.advisory_waits,
     given.database([given.session(100), *(given.session(n, blockers=[100], **ADVISORY) for n in (201, 202, 203, 204))]),
     [("db.advisory_waits", "advisory")]),
    ("a superuser's session is nobody's user", locks.blocked_sessions,
     given.database([{**row, "superuser": True} for row in given.queued_ddl()], limits=AS_CLIENTS), []),
    ("the idle holder", locks.idle_in_transaction, given.database(given.idle_holder()), [("db.idle_in_transaction", "100")]),
    ("the idle holder is not at work", locks.blocking_transaction, given.database(given.idle_holder()), []),
    ("a holder at work", locks.blocking_transaction, given.database(idle_holder(state="active")), [("db.blocking_transaction", "100")]),
    ("a holder at work is not idle", locks.idle_in_transaction, given.database(idle_holder(state="active")), []),
    ("a holder that waits for a standby is no root", locks.blocking_transaction, given.database(stuck("IPC", "SyncRep")), []),
    ("it is said to wait", locks.blocker_waits, given.database(stuck("IO", "WALSync")), [("db.blocker_waits", "100")]),
    ("a client that does not read", locks.blocker_waits, given.database(stuck("Client", "ClientWrite")), [("db.blocker_waits", "100")]),
    ("a holder that reads a disk and computes is at work", locks.blocking_transaction,
     in_looks(given.seen(100, waits={"CPU": 3, "IO/DataFileRead": 5}), *(given.seen(n, waits={"Lock/transactionid": 8}) for n in (200, 301, 302)),
              rows=stuck("IO", "DataFileRead")), [("db.blocking_transaction", "100")]),
    ("commits wait for a standby", locks.commit_waits, syncrep(), [("db.commit_waits_for_standby", "synchronous_standby_names")]),
    ("commits that wait only for a moment", locks.commit_waits, in_looks(
        given.seen(1, working=6, waits={"CPU": 6, "IPC/SyncRep": 2}, age_ms=9000), settings=given.settings(synchronous_standby_names="b")), []),
    ("many contend for the same rows", locks.lock_contention, given.database(convoy()), [("db.lock_contention", "shop")]),
    ("the one that has them at this moment is no idle holder", locks.idle_in_transaction, given.database(convoy(state="idle in transaction")), []),
    ("nor a blocker", locks.blocking_transaction, given.database(convoy()), []),
    ("nor one that had waited itself, and was gone a second later", locks.blocking_transaction,
     given.database(convoy(transaction_seconds=6.5), holders=[{"pid": 100, "seconds": 1.1, "still": False}]), []),
    ("that is contention", locks.lock_contention,
     given.database(convoy(transaction_seconds=6.5), holders=[{"pid": 100, "seconds": 1.1, "still": False}]), [("db.lock_contention", "shop")]),
    ("one that has them as long as the others wait is", locks.blocking_transaction,
     given.database(convoy(transaction_seconds=6.5)), [("db.blocking_transaction", "100")]),
    ("and then it is no contention", locks.lock_contention, given.database(convoy(transaction_seconds=6.5)), []),
    ("those in the convoy are what users feel, though each wait is short", locks.blocked_sessions, given.database(convoy()),
     [("db.blocked_sessions", "shop")]),
    ("a long statement that waits for the first time since a moment is not", locks.blocked_sessions,
     in_looks(given.seen(200, waits={"CPU": 7, "Lock/transactionid": 1}), rows=convoy()[:2]), []),
    ("an old idle transaction", locks.idle_in_transaction,
     given.database([], idle_in_transaction=[given.session(7, state="idle in transaction", transaction_seconds=900.0)]),
     [("db.old_idle_transaction", "7")]),
    ("an old one that is polled", locks.idle_in_transaction,
     given.database([], idle_in_transaction=[given.session(7, state="idle in transaction", transaction_seconds=36000.0, state_seconds=0.2)]),
     [("db.old_idle_transaction", "7")]),
    ("a young idle transaction", locks.idle_in_transaction,
     given.database([], idle_in_transaction=[given.session(7, state="idle in transaction", transaction_seconds=9.0)]), []),
    ("a prepared transaction that is waited for", locks.prepared_transaction,
     given.database([given.waits(300, [0])], prepared_transactions=[PREPARED]), [("db.prepared_transaction", "tx-1")]),
    ("a prepared transaction with a queue behind it", locks.prepared_transaction,
     given.database(BEHIND_PREPARED, prepared_transactions=[PREPARED]), [("db.prepared_transaction", "tx-1")]),
    ("a prepared transaction that nobody waits for", locks.prepared_transaction,
     given.database([], prepared_transactions=[PREPARED]), []),
    ("one of two is waited for", locks.prepared_transaction,
     given.database([given.waits(300, [0])], prepared_transactions=[PREPARED, {**PREPARED, "gid": "tx-2", "waited_for": False}]),
     [("db.prepared_transaction", "tx-1")]),
    ("each waits only for a moment, behind one who has been there for long, and users suffer", locks.idle_in_transaction,
     given.database(brief(given.idle_holder())), [("db.idle_in_transaction", "100")]),
    ("the same while users are well", locks.idle_in_transaction, well(given.database(brief(given.idle_holder()))), []),
    ("a migration that gives up soon and comes again", locks.queued_ddl,
     given.database(brief(given.queued_ddl(), statement_seconds=0.6)), [("db.queued_ddl", "200")]),
    ("the application's own LOCK TABLE waits as a user does", locks.queued_ddl, locking(OWN_LOCKS), []),
    ("and whoever holds it up is the cause", locks.idle_in_transaction, locking(OWN_LOCKS), [("db.idle_in_transaction", "100")]),
    ("a superuser whose role is named is the application", locks.blocked_sessions,
     given.database([{**row, "superuser": True} if row["wants"] else row for row in given.idle_holder()]),
     [("db.blocked_sessions", "shop")]),
    ("one that waits for what its own client sends is no victim", locks.blocking_transaction,
     given.database(stuck("Client", "ClientRead")), [("db.blocking_transaction", "100")]),
    ("a holder that was there a second later is no passer-by, whatever the waiters did before", locks.blocking_transaction,
     given.database(idle_holder(state="active", transaction_seconds=2.0), holders=[{"pid": 100, "seconds": 1.0, "still": True}]),
     [("db.blocking_transaction", "100")]),
    ("a holder that could run, while others' long statements take the processors", locks.blocker_waits,
     given.database(idle_holder(state="active"), long_running=[given.running(7, 90.0)],
                    samples=given.samples(given.seen(7, "reporting", 90000), runnable=9.0)), [("db.blocker_waits", "100")]),
    ("no slot is free, and whoever has them waits for somebody's row", locks.idle_in_transaction, victims_hold_all(),
     [("db.idle_in_transaction", "100")]),
    ("then they are no leak", connections.connection_slots, victims_hold_all(), [("db.sessions_pile_up", "db")]),
    ("the named role is not there: nobody is called a leak", connections.connection_slots,
     misnamed(given.crowded(custody=143, limits={"application_users": ["misspelt"]})), [("db.connections_exhausted", "db")]),
    ("the named role is there and gets in no more", connections.connection_slots,
     alone(given.crowded(billing=143)), [("db.connection_leak", "billing")]),
    ("the application's role may not log in", connections.application_roles,
     given.database([], application_roles=[role(can_login=False, sessions=0)]), [("db.application_locked_out", "app")]),
    ("its password has expired", connections.application_roles,
     given.database([], application_roles=[role(expired=True)]), [("db.application_locked_out", "app")]),
    ("it is there and works", connections.application_roles, given.database([], application_roles=[role()]), []),
    ("the server answers and fails", connections.connection, given.refused("server_error", "FATAL: out of shared memory"),
     [("db.server_fails", "db")]),
    ("it refuses in words that nobody here understands", connections.connection, given.refused("not_understood", "ВАЖНО"), []),
    ("a pooler answers", connections.connection, given.refused("pooler", "unsupported startup parameter"), []),
    ("dead rows that an old snapshot keeps", plans.dead_rows,
     given.squeezed(busy_tables=[given.table(live=50000, dead=2000000)], plans=[given.plan()], oldest_xmin=[SNAPSHOT]),
     [("db.dead_rows", "public.keys")]),
    ("dead rows that vacuum will remove", plans.dead_rows,
     given.squeezed(busy_tables=[given.table(live=50000, dead=2000000)], plans=[given.plan()], oldest_xmin=[{**SNAPSHOT, "seconds": 5}]), []),
    ("few dead rows", plans.dead_rows,
     given.squeezed(busy_tables=[given.table(dead=200000)], plans=[given.plan()], oldest_xmin=[SNAPSHOT]), []),
    ("a foreign key without an index, while rows that it refers to are deleted", plans.missing_index,
     given.squeezed(foreign_keys=[FOREIGN_KEY], **DELETES), [("db.missing_index", "public.uses (key_id)")]),
    ("a small table refers to them", plans.missing_index,
     given.squeezed(foreign_keys=[{**FOREIGN_KEY, "rows": 500.0}], **DELETES), []),
    ("too many clients", connections.connection, given.refused("too_many_clients", "sorry"), [("db.connections_refused", "db")]),
    ("too many for the database", connections.connection, given.refused("database_limit", "sorry"), [("db.connections_refused", "db")]),
    ("it starts", connections.connection, given.refused("not_accepting", "starting up"), [("db.not_accepting", "db")]),
    ("logins hang", connections.connection, given.refused("login_hangs", "5 s"), [("db.logins_hang", "db")]),
    ("no answer", connections.connection, given.refused("unreachable", "timeout"), [("db.unreachable", "db")]),
    ("our own password is wrong", connections.connection, given.refused("authentication", "password authentication failed"), []),
    ("our own role has its limit", connections.connection, given.refused("role_limit", "too many connections for role"), []),
    ("our database is misspelt", connections.connection, given.refused("no_such_database", "does not exist"), []),
    ("connected", connections.connection, given.database([]), []),
    ("hidden sessions", server.privileges,
     given.database([], server={**given.SERVER, "user": "m", "member_of_pg_read_all_stats": False},
                    connections=[{"hidden": 7}]), [("db.privileges_missing", "m")]),
    ("nothing hidden", server.privileges, given.database([], connections=[{"hidden": 0}]), []),
    ("a question failed", server.degraded, given.database([], gaps=[{"diagnostic": "locks", "reason": "timeout"}]),
     [("db.diagnostic_degraded", "locks")]),
    ("another service holds the connections", connections.connection_slots, given.crowded(billing=120, app=23), [("db.connection_leak", "billing")]),
    ("the application itself holds the connections", connections.connection_slots, given.crowded(app=120, billing=24), [("db.pool_too_large", "app")]),
    ("three together hold them", connections.connection_slots, given.crowded(a=40, b=50, c=52), [("db.connections_exhausted", "db")]),
    ("nobody is named, so nobody is the application and nobody a leak", connections.connection_slots,
     given.crowded(billing=120, app=23, limits=AS_CLIENTS), [("db.connections_exhausted", "db")]),
    ("they are taken because each takes long", connections.connection_slots, given.crowded(app=143, state="active"), [("db.sessions_pile_up", "db")]),
    ("six of ten connections", connections.connection_slots, given.crowded(billing=80), []),
    ("the role may have no more", connections.role_limits, given.crowded(app=20, limit=20), [("db.role_limit_reached", "app")]),
    ("the role may have one more", connections.role_limits, given.crowded(app=20, limit=21), []),
    ("another role may have no more", connections.role_limits, given.crowded(billing=20, limit=20), []),
    ("the role has as many as it may because each takes long", connections.role_limits, given.crowded(app=20, limit=20, state="active"),
     [("db.sessions_pile_up", "db")]),
    ("the database may have no more", connections.role_limits, given.crowded(app=20, server={"database_limit": 20}),
     [("db.database_limit_reached", "shop")]),
    ("a statement that never rests", work.long_statements, given.squeezed(long_running=[given.running(7, 90.0)]),
     [("db.long_query", "reporting/bi")]),
    ("a dump that never rests", work.long_statements, given.squeezed(long_running=[given.running(7, 90.0, command="COPY")]),
     [("db.maintenance_at_work", "reporting/bi")]),
    ("an index that is built", work.long_statements, given.squeezed(long_running=[given.running(7, 90.0, command="CREATE INDEX CONCURRENTLY")]),
     [("db.maintenance_at_work", "reporting/bi")]),
    ("a statement that sleeps", work.long_statements, given.squeezed(long_running=[given.running(8, 90.0)]), []),
    ("a young statement", work.long_statements, given.squeezed(long_running=[given.running(7, 9.0)]), []),
    ("the application has time enough, and users are well", work.long_statements,
     well(given.squeezed(20, long_running=[given.running(7, 90.0)])), []),
    ("users suffer all the same", work.long_statements, given.squeezed(20, long_running=[given.running(7, 90.0)]),
     [("db.long_query", "reporting/bi")]),
    ("a call, and one that has written, beside one that only reads", work.long_statements, in_looks(
        *given.squeezed()["postgresql"]["samples"]["sessions"], given.seen(9, "reporting", 90000), given.seen(10, "reporting", 90000),
        long_running=[given.running(7, 90.0), given.running(9, 90.0, command="CALL"), given.running(10, 90.0, writes=True)]),
     [("db.long_query", "reporting/bi"), ("db.maintenance_at_work", "reporting/bi")]),
    ("only one that has written", work.long_statements, given.squeezed(long_running=[given.running(7, 90.0, writes=True)]),
     [("db.maintenance_at_work", "reporting/bi")]),
    ("nobody knows whose sessions they are", work.long_statements,
     given.nobody_named(given.squeezed(long_running=[given.running(7, 90.0)])), [("db.long_query", "reporting/bi")]),
    ("nobody knows whose they are, and the long one alone takes long", work.long_statements,
     well(given.nobody_named(given.squeezed(20, long_running=[given.running(7, 90.0)]))), []),
    ("nobody of the application is at work, and users are well", work.long_statements,
     well(in_looks(*given.squeezed()["postgresql"]["samples"]["sessions"][1:], long_running=[given.running(7, 90.0)])), []),
    ("the application's own statement is no other's", work.long_statements,
     given.squeezed(long_running=[given.running(1, 90.0, user="app")]), []),
    ("one kind of statement takes the work", work.heavy_statement, in_looks(*CROWD), [("db.heavy_statement", "of app")]),
    ("and nobody waits for it", work.heavy_statement, in_looks(*(given.seen(pid, statement_ms=20) for pid in range(1, 9))), []),
    ("it has less than half of the work", work.heavy_statement,
     in_looks(*CROWD, *(given.seen(pid, "batch", statement=f"s{pid}", statement_ms=9) for pid in range(20, 30))), []),
    ("a dump takes the work", work.heavy_statement,
     in_looks(given.seen(1), *(given.seen(pid, "dump") for pid in range(20, 30)), statements={"top": [
         {"statement": "of dump", "command": "COPY", "query": None}]}), []),
    ("statements of the application take nine seconds", work.statements_slow, in_looks(*SLOW), [("db.statements_slow", "shop")]),
    ("one does", work.statements_slow, in_looks(*SLOW[:1]), []),
    ("nobody knows whose they are", work.statements_slow, given.nobody_named(in_looks(*SLOW)), []),
    ("they wait for locks, which is told elsewhere", work.statements_slow, in_looks(*({**one, "waits": {"Lock/tuple": 8}} for one in SLOW)), []),
    ("they are migrations", work.statements_slow, in_looks(
        *SLOW, long_running=[given.running(pid, 9.0, "app", "ALTER TABLE") for pid in (1, 2, 3)]), []),
    ("a table that changed much, and a plan for one row of it", plans.stale_statistics, given.squeezed(**STALE),
     [("db.stale_statistics", "public.keys")]),
    ("a table that changed little more than autovacuum waits for", plans.stale_statistics,
     given.squeezed(**{**STALE, "busy_tables": [given.table(changed=66000)]}), []),
    ("a plan for many rows of it", plans.stale_statistics, given.squeezed(
        **{**STALE, "plans": [given.plan(loops=[{"schema": "public", "table": "keys", "rows": 90000}])]}), []),
    ("its statement waits for a disk", plans.stale_statistics,
     given.database([], **STALE, samples=given.samples(given.seen(1, waits={"IO/DataFileRead": 8}))), []),
    ("nobody of the application works on it", plans.stale_statistics, given.squeezed(
        **{**STALE, "plans": [given.plan(user="reporting", loops=[{"schema": "public", "table": "keys", "rows": 1}])]}), []),
    ("a big table read whole", plans.missing_index, given.squeezed(busy_tables=[given.table()], plans=[given.plan()]),
     [("db.missing_index", "public.keys (owner)")]),
    ("most of it is wanted", plans.missing_index,
     given.squeezed(busy_tables=[given.table()], plans=[given.plan(given.scan(rows=400000))]), []),
    ("a small table", plans.missing_index,
     given.squeezed(busy_tables=[], plans=[given.plan(given.scan(table_rows=9000.0))]), []),
    ("its statistics are stale, so its plan proves nothing", plans.missing_index,
     given.squeezed(busy_tables=[given.table(changed=200000)], plans=[given.plan()]), []),
    ("somebody else's statement", plans.missing_index,
     given.squeezed(busy_tables=[given.table()], plans=[given.plan(user="reporting")]), []),
    ("no time is lost", plans.missing_index, given.squeezed(2, busy_tables=[given.table()], plans=[given.plan()]), []),
    ("its statement has hardly a part in the work", plans.missing_index,
     given.squeezed(busy_tables=[given.table()], plans=[given.plan(statement="another")]), []),
    ("the partitions of a table", plans.missing_index,
     given.squeezed(busy_tables=[], plans=[given.plan(given.scan(partitions=4))]), [("db.missing_index", "public.keys (owner)")]),
    ("a big table joined to a few rows", plans.missing_index, given.squeezed(busy_tables=[], plans=[given.plan(
        given.scan(rows=600000, columns=["owner"], with_rows=9.0) | {"rows": 30})]), [("db.missing_index", "public.keys (owner)")]),
    ("a big table joined to another big one", plans.missing_index, given.squeezed(busy_tables=[], plans=[given.plan(
        given.scan(rows=30, with_rows=90000.0))]), []),
    ("its condition was not understood", plans.missing_index,
     given.squeezed(busy_tables=[], plans=[given.plan(given.scan(unclear="its condition has an OR"))]), []),
    ("an index is there and not used", plans.missing_index,
     given.squeezed(busy_tables=[], plans=[given.plan(given.scan(covered_by="keys_owner"))]), []),
    ("how big it is nobody knows", plans.missing_index,
     given.squeezed(busy_tables=[], plans=[given.plan(given.scan(table_rows=None))]), []),
    ("in recovery", server.read_only, given.database([], server={**given.SERVER, "in_recovery": True}), [("db.read_only", "db")]),
    ("read only by default", server.read_only, given.database([], settings=given.settings(default_transaction_read_only="on")),
     [("db.read_only", "db")]),
    ("read only for the application", server.read_only, given.database([], role_settings=[
        {"name": "default_transaction_read_only", "setting": "on", "user": "app", "database": "shop"}]), [("db.read_only", "db")]),
    ("read only for somebody else", server.read_only, given.database([], role_settings=[
        {"name": "default_transaction_read_only", "setting": "on", "user": "reporting", "database": None}]), []),
    ("a standby that is meant to be one", server.read_only,
     given.database([], server={**given.SERVER, "in_recovery": True}, limits={"writable": False}), []),
    ("transaction ids run out", server.wraparound, given.database([], wraparound=[
        {"database": "shop", "xids": 1_900_000_000, "multixacts": 0}]), [("db.wraparound_near", "shop")]),
    ("transaction ids are far from it", server.wraparound, given.database([], wraparound=[
        {"database": "shop", "xids": 300_000_000, "multixacts": 0}]), []),
    ("a slot holds vacuum back", server.vacuum_held_back, given.database([], oldest_xmin=[
        {"kind": "replication slot", "key": "s", "user": None, "application": None, "state": "inactive", "xids": 9_000_000, "seconds": None}]),
     [("db.vacuum_held_back", "s")]),
    ("a sequence is nearly used up", server.sequences, given.database([], sequences=[
        {"schema": "public", "sequence": "s", "owned_by": "t.id", "last_value": 95, "most": 100, "percent": 95.0}]),
     [("db.sequence_used_up", "public.s")]),
    ("a slot keeps the log", server.log_kept, given.database([], slots=[{"slot": "s", "active": False, "kept_bytes": 2**36}]),
     [("db.slot_keeps_log", "s")]),
    ("a migration without lock_timeout", server.advice, given.database(given.queued_ddl(), settings=given.settings(lock_timeout="0")),
     [("db.setting_advised", "lock_timeout of owner")]),
    ("a migration with one", server.advice, given.database(given.queued_ddl(), settings=given.settings(lock_timeout="0"),
     role_settings=[{"name": "lock_timeout", "user": "owner", "database": None, "setting": "2s"}]), []),
    ("errors over the limit", edge.failing, given.edge(given.probe(failures=2)), [("api.failing", given.probe()["url"])]),
    ("errors within the limit", edge.failing, given.edge(given.probe(failures=1)), []),
    ("writes that fail", edge.failing, given.edge(given.probe("POST https://api.example.org/canary", failures=9)),
     [("api.writes_failing", "POST https://api.example.org/canary")]),
    ("slow", edge.latency_high, given.edge(given.probe(p95=501.0)), [("api.latency_high", given.probe()["url"])]),
    ("just fast enough", edge.latency_high, given.edge(given.probe(p95=500.0)), []),
    ("failing is not also slow", edge.latency_high, given.edge(given.probe(failures=9, p95=3000.0)), []),
    ("a monitor alerts", edge.monitors, {**given.edge(), "monitors": [
        {"id": 7, "name": "p95", "state": "Alert", "groups": {"service:api": "Alert"}}]}, [("api.monitor_alerting", "7")]),
    ("a monitor is well", edge.monitors, {**given.edge(), "monitors": [{"id": 7, "name": "p95", "state": "OK", "groups": {}}]}, []),
    ("never asked", edge.failing, given.edge(given.probe(requests=0, p95=None)), []),
]  # fmt: skip


@pytest.mark.parametrize(("name", "rule", "facts", "expected"), FOUND, ids=[row[0] for row in FOUND])
def test_findings(name: str, rule: t.Callable[..., t.Any], facts: Json, expected: list[tuple[str, str]]) -> None:
    findings = [seen for seen in rule(facts) if isinstance(seen, Finding)]
    assert [(finding.id, finding.subject.key) for finding in findings] == expected
    for finding in findings:
        assert shipped().summary(finding)
        assert shipped().message(finding)


def of(kind: type, rule: t.Callable[..., t.Any], facts: Json) -> list[t.Any]:
    return [seen for seen in rule(facts) if isinstance(seen, kind)]


def test_a_queued_statement_names_what_to_cancel_and_what_it_waits_for() -> None:
    finding = of(Finding, locks.queued_ddl, given.database(given.queued_ddl()))[0]
    assert finding.targets == {"cancel_queued_ddl": ({"pid": 200, "backend_start": "start 200", "query_start": "query 200"},)}
    assert finding.evidence["behind"] == "pid 100 (reporting, report)"
    assert finding.evidence["held_up"] == 5
    assert {link.key for link in finding.links} == {"100", "300", "301", "302", "303", "304"}


@pytest.mark.parametrize(
    ("message", "confidence"),
    [('could not translate host name "db" to address: Name or service not known', "possible"), ("timeout expired", "likely")],
)
def test_a_name_that_does_not_resolve_here_is_a_weaker_reason(message: str, confidence: str) -> None:
    assert of(Finding, connections.connection, given.refused("unreachable", message))[0].confidence == confidence


def test_a_leak_is_told_with_its_arithmetic_and_what_an_undo_needs() -> None:
    facts = given.crowded(billing=120, app=22)
    facts["limits"]["pools"] = {"billing": {"instances": 2, "size": 20}}
    (finding,) = of(Finding, connections.connection_slots, facts)
    assert shipped().summary(finding) == (
        "billing (worker, from 10.0.0.9) holds 120 of 144 connections (150 - 6 reserved), others 22, free 2; "
        "it should use at most 2 × 20 = 40"
    )
    assert finding.targets == {"isolate_client": ({"role": "billing", "connection_limit": -1, "sessions": 120},)}


def test_a_missing_index_names_the_statement_that_would_help_and_the_leftover() -> None:
    left = [{"schema": "public", "table": "keys", "index": "keys_again"}]
    calls = {"top": [{"statement": "of app", "mean_ms": 80.0, "calls": 12}]}
    read = [given.plan(given.scan(columns=["owner", "odd Name"]))]
    facts = given.squeezed(busy_tables=[given.table()], plans=read, invalid_indexes=left, statements=calls)
    (finding,) = of(Finding, plans.missing_index, facts)
    assert shipped().manual_command(finding) == (
        'DROP INDEX CONCURRENTLY public.keys_again; CREATE INDEX CONCURRENTLY ON public.keys (owner, "odd Name");'
    )
    assert "80 ms on average over 12 calls" in shipped().summary(finding)
    assert "an INVALID index is left over: keys_again" in shipped().summary(finding)
    assert finding.targets["create_index"][0]["name"] == "keys_owner_odd Name_idx"


GAPS: list[tuple[str, Json, str]] = [
    (
        "refused",
        given.plan(given.scan(), refused="permission denied for table keys", scans=[]),
        "permission denied for table keys",
    ),
    (
        "an OR",
        given.plan(given.scan(unclear="its condition has an OR")),
        "it reads all of public.keys, and its condition has an OR",
    ),
    ("no equality", given.plan(given.scan(columns=[])), "it reads all of public.keys, and its condition compares no column by ="),
    ("an index", given.plan(given.scan(covered_by="k")), "it reads all of public.keys, and the index k is there and not used"),
    ("no statistics", given.plan(given.scan(table_rows=None)), "how big that is, the server does not know"),
]


@pytest.mark.parametrize(("name", "plan", "why"), GAPS, ids=[row[0] for row in GAPS])
def test_what_was_not_understood_is_a_gap_and_rules_nothing_out(name: str, plan: Json, why: str) -> None:
    facts = given.squeezed(busy_tables=[], plans=[plan])
    (gap,) = of(Gap, plans.missing_index, facts)
    assert (gap.what, why in gap.why) == ("the plan of SELECT of app", True)
    assert not of(RuledOut, plans.missing_index, facts)
    assert not of(Gap, plans.missing_index, given.squeezed(2, busy_tables=[], plans=[plan]))


# What is offered: facts, rule, the mitigations with the numbers of their targets, the confidence.
ON_STANDBY = {"server": {"in_recovery": True}}
OFFERED: list[tuple[str, t.Callable[..., t.Any], Json, dict[str, int], str]] = [
    ("a superuser's session is named and not offered", locks.blocking_transaction,
     given.database(idle_holder(state="active", superuser=True)), {"terminate_blockers": 0}, "proven"),
    ("nor one whose start cannot be seen", locks.blocking_transaction,
     given.database(idle_holder(state="active", backend_start=None)), {"terminate_blockers": 0}, "proven"),
    ("nor an autovacuum", locks.blocking_transaction,
     given.database(idle_holder(state="active", backend_type="autovacuum worker")), {"terminate_blockers": 0}, "proven"),
    ("an active holder that waits is never offered", locks.blocker_waits, given.database(stuck("LWLock", "WALWrite")), {}, "proven"),
    ("where one waits, its blocker is only possible", locks.idle_in_transaction, given.database(given.idle_holder()[:2]),
     {"terminate_blockers": 1}, "possible"),
    ("whom its own client's sessions wait for, while users are well, is only possible", locks.idle_in_transaction,
     well(given.database(idle_holder(user="app", application="api"))), {"terminate_blockers": 1}, "possible"),
    ("whom another client's sessions wait for is proven", locks.idle_in_transaction,
     well(given.database(idle_holder(user="batch"))), {"terminate_blockers": 1}, "proven"),
    ("a heavy statement that was quick before may be slowed down itself", work.heavy_statement,
     in_looks(given.seen(1), statements=counted(mean_before=20.0, mean_now=600.0)), {}, "possible"),
    ("one that was as slow before is it", work.heavy_statement,
     in_looks(given.seen(1), statements=counted(mean_before=500.0, mean_now=600.0)), {}, "likely"),
    ("behind a prepared transaction the queued statement can be cancelled first", locks.prepared_transaction,
     given.database(BEHIND_PREPARED, prepared_transactions=[PREPARED]), {"rollback_prepared": 1, "cancel_queued_ddl": 1}, "proven"),
    ("three together: each by name", connections.connection_slots, given.crowded(a=40, b=50, app=52), {"isolate_client": 2}, "proven"),
    ("on a standby no role is changed", connections.connection_slots, given.crowded(billing=120, app=23, **ON_STANDBY), {}, "proven"),
    ("a role's limit is raised where there is room", connections.role_limits, given.crowded(app=20, limit=20),
     {"raise_connection_limit": 1}, "likely"),
    ("and not where there is none", connections.role_limits, given.crowded(app=20, billing=115, limit=20) | {},
     {"raise_connection_limit": 0}, "likely"),
    ("the standby's name comes from ALTER SYSTEM or a file", locks.commit_waits, syncrep(), {"commit_without_standby": 1}, "proven"),
    ("and not where a provider manages the server", locks.commit_waits, syncrep(server={**given.SERVER, "managed_by": "rds_superuser"}),
     {"commit_without_standby": 0}, "proven"),
    ("nor where it is given on the command line", locks.commit_waits,
     syncrep(settings=[{**given.settings(synchronous_standby_names="b")[0], "source": "command line"}]), {"commit_without_standby": 0}, "proven"),
    ("nobody knows how many processors there are", work.long_statements,
     given.squeezed(limits={"cores": 0}, long_running=[given.running(7, 90.0)]), {"cancel_long_queries": 1}, "possible"),
    ("there are processors enough", work.long_statements,
     given.squeezed(limits={"cores": 8}, long_running=[given.running(7, 90.0)]), {"cancel_long_queries": 1}, "possible"),
    ("the application's own plan could not be seen", work.long_statements,
     given.squeezed(long_running=[given.running(7, 90.0)], plans=[given.plan(refused="no")]), {"cancel_long_queries": 1}, "possible"),
    ("it is shown that the processors are short", work.long_statements,
     given.squeezed(long_running=[given.running(7, 90.0)]), {"cancel_long_queries": 1}, "likely"),
    ("nobody of the application is seen, so nobody is kept from anything", work.long_statements,
     in_looks(given.seen(7, "reporting", 90000), long_running=[given.running(7, 90.0)]), {"cancel_long_queries": 1}, "possible"),
    ("a dump is never offered", work.long_statements, given.squeezed(long_running=[given.running(7, 90.0, command="COPY")]), {}, "possible"),
    ("a heavy statement by its query id", work.heavy_statement, in_looks(*({**one, "statement": "-42"} for one in CROWD)),
     {"cancel_heavy_statement": 1, "limit_statement_time": 1}, "likely"),
    ("without a query id there is nothing to name it by", work.heavy_statement, in_looks(*CROWD), {}, "likely"),
    ("processors unseen, a heavy statement is possible", work.heavy_statement, in_looks(*CROWD, limits={"cores": 0}), {}, "possible"),
    ("unless it waits for a disk", work.heavy_statement,
     in_looks(*({**one, "waits": {"IO/DataFileRead": 8}} for one in CROWD), limits={"cores": 0}), {}, "likely"),
    ("an index on a standby", plans.missing_index, given.squeezed(busy_tables=[], plans=[given.plan()], **ON_STANDBY),
     {"create_index": 0}, "proven"),
    ("an index on a partitioned table", plans.missing_index, given.squeezed(busy_tables=[], plans=[given.plan(given.scan(partitions=3))]),
     {"create_index": 0}, "proven"),
    ("ANALYZE on a standby", plans.stale_statistics, given.squeezed(**STALE, **ON_STANDBY), {"analyze_tables": 0}, "likely"),
    ("a stale table whose plan could not be seen", plans.stale_statistics,
     given.squeezed(busy_tables=STALE["busy_tables"], plans=[given.plan(refused="no", scans=[])]), {"analyze_tables": 1}, "possible"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "rule", "facts", "targets", "confidence"), OFFERED, ids=[row[0] for row in OFFERED])
def test_what_may_be_acted_on(
    name: str, rule: t.Callable[..., t.Any], facts: Json, targets: dict[str, int], confidence: str
) -> None:
    (finding,) = of(Finding, rule, facts)
    assert ({name: len(found) for name, found in finding.targets.items()}, finding.confidence) == (targets, confidence)
    assert set(finding.targets) <= set(shipped().entry(finding.id).mitigations)


def test_nobody_seen_while_users_suffer_is_a_gap_and_rules_nothing_out() -> None:
    nobody = given.database([], samples=given.samples(given.seen(7, "reporting")), busy_tables=[], long_running=[], plans=[])
    assert [gap.what for gap in of(Gap, work.unseen, nobody)] == ["the application's statements"]
    assert not of(Gap, work.unseen, {**nobody, "users_suffer": False})
    for rule in (*work.RULES, *plans.RULES):
        assert not of(RuledOut, rule, nobody)


def test_a_refusal_of_our_own_login_is_a_gap_with_the_server_s_words() -> None:
    (gap,) = of(Gap, connections.connection, given.refused("role_limit", 'too many connections for role "monitor"'))
    assert gap.why == 'the server answered and does not let monitor in: too many connections for role "monitor"'


@pytest.mark.parametrize("kind", ["pooler", "not_understood"])
def test_who_speaks_for_a_server_does_not_show_that_it_is_well(kind: str) -> None:
    facts = given.refused(kind, "Connexion refusée")
    assert of(RuledOut, connections.connection, facts) == []
    (gap,) = of(Gap, connections.connection, facts)
    assert "whether the server itself answered is not known: Connexion refusée" in gap.why


@pytest.mark.parametrize("named", [["app", "worker"], "app, worker"], ids=["a list", "a text, as a survey gives it"])
def test_the_application_s_roles_are_the_same_however_they_are_named(named: t.Any) -> None:
    facts = given.database([])
    facts["limits"]["application_users"] = named
    assert common.application_users(facts) == ["app", "worker"]


@pytest.mark.parametrize(("begun", "condition"), [
    ("2026-11-24 02:00:00.123456+00", "pid = 100 AND xact_start = '2026-11-24T02:00:00.123456+00'"), (None, "pid = 100"),
    ("x'; DROP", "pid = 100"),
])  # fmt: skip
def test_by_hand_only_that_transaction_is_ended(begun: str | None, condition: str) -> None:
    assert locks._whose({"pid": 100, "xact_start": begun}) == condition


def test_the_lock_table_measures_no_user() -> None:
    assert {seen.of for rule in SYSTEM.rules for seen in of(Measured, rule, given.database(given.queued_ddl()))} == {"system"}
    probes = given.edge(given.probe(), given.probe("POST https://api.example.org/canary"))
    assert [seen.of for seen in of(Measured, edge.sampled, probes)] == ["reads", "writes"]


def test_a_silent_monitor_and_a_dead_datadog_are_gaps() -> None:
    facts = {
        **given.edge(),
        "monitors": [{"id": 7, "name": "p95", "state": "No Data", "groups": {}}],
        "monitors_refused": "HTTP 403",
    }
    assert of(Gap, edge.monitors, facts) == [
        Gap("api", "Datadog", "HTTP 403"), Gap("api", "Datadog's p95 (7)", "its state is No Data")
    ]  # fmt: skip


@pytest.mark.parametrize("module", [connections, edge, locks, plans, server, work])
def test_every_rule_is_asked(module: t.Any) -> None:
    written = {
        function for name, function in vars(module).items()
        if not name.startswith("_") and getattr(function, "__module__", "") == module.__name__
        and t.get_type_hints(function).get("return") == t.Iterator[Observation]
    }  # fmt: skip
    assert written == set(module.RULES)


def test_a_name_that_does_not_resolve_from_here_says_nothing_of_users() -> None:
    lost = given.probe(failures=10) | {"reasons": {"name does not resolve": 10}}
    facts = given.edge(lost)
    nobody, gap = of(Gap, edge.sampled, facts)
    assert (nobody.what, nobody.why) == (edge.NOBODY, "none of its URLs could be measured")
    assert (gap.what, gap.why.partition(":")[0]) == (lost["url"], "name does not resolve from here")
    for rule in (edge.sampled, edge.failing, edge.latency_high):
        assert not of(Measured, rule, facts)
        assert not of(Finding, rule, facts)
        assert not of(RuledOut, rule, facts)
    some = lost | {"reasons": {"name does not resolve": 9, "HTTP 503": 1}}
    assert of(Finding, edge.failing, given.edge(some))


def test_no_sample_is_no_knowledge() -> None:
    assert of(Gap, edge.sampled, given.edge()) == [
        Gap("api", "what users see", "no health URL is configured (runbooks_health_urls)")
    ]
    assert not of(Measured, edge.sampled, given.edge(given.probe(requests=0, p95=None)))


def test_what_was_not_read_is_not_ruled_out() -> None:
    facts = given.database([])
    del facts["postgresql"]["locks"]
    for rule in SYSTEM.rules:
        assert not [seen for seen in of(RuledOut, rule, facts) if seen.id not in ("db.unreachable", "db.connections_exhausted")]


@pytest.mark.parametrize("rule", SYSTEM.rules)
def test_a_refused_connection_breaks_no_rule(rule: t.Callable[..., t.Any]) -> None:
    assert isinstance(list(rule(given.refused("authentication", "no"))), list)


def test_every_finding_of_the_catalogue_has_a_rule_that_makes_it() -> None:
    made = {finding[0] for case in FOUND for finding in case[3]}
    assert made == {entry.id for entry in shipped().entries.values() if entry.kind in ("postgresql", "edge")}


def test_the_waits_of_a_moment_rule_nothing_out_while_users_suffer() -> None:
    facts = given.database(brief(idle_holder(transaction_seconds=0.3)))
    for rule in (locks.blocked_sessions, locks.queued_ddl, locks.blocking_transaction, locks.idle_in_transaction):
        assert of(RuledOut, rule, facts) == []
        assert of(RuledOut, rule, well(facts)) or of(Finding, rule, well(facts))


def test_long_statements_of_others_are_not_ruled_out_because_the_application_only_waits() -> None:
    facts = given.squeezed(20, long_running=[given.running(7, 90.0)])
    assert of(RuledOut, work.long_statements, facts) == of(RuledOut, work.long_statements, well(facts)) == []


def test_what_triggers_and_foreign_keys_read_is_a_gap() -> None:
    facts = given.squeezed(**DELETES)
    assert of(RuledOut, plans.missing_index, facts) == []
    assert [gap.why for gap in of(Gap, plans.missing_index, facts)] == [
        "what its triggers and the foreign keys to its table read stands in no plan"
    ]


def test_an_index_that_would_find_most_of_the_table_is_not_proven_to_be_missing() -> None:
    other = given.plan(given.scan(columns=["kind"], by_columns=576000.0))
    facts = given.squeezed(busy_tables=[given.table()], plans=[other])
    assert of(Finding, plans.missing_index, facts) == []
    assert "by kind alone an index might find 576000 of its 600000 rows" in of(Gap, plans.missing_index, facts)[0].why
    few = given.squeezed(busy_tables=[given.table()], plans=[given.plan(given.scan(columns=["kind"], by_columns=60.0))])
    assert of(Finding, plans.missing_index, few)


def test_a_misnamed_role_is_said() -> None:
    gone = given.database([], application_roles=[role("misspelt", 0, exists=False, can_login=False)])
    assert [gap.what for gap in of(Gap, connections.application_roles, gone)] == [
        "the role misspelt",
        "the application's sessions",
    ]
    idle = given.database([], application_roles=[role(sessions=0), role("worker")])
    assert of(Gap, connections.application_roles, idle) == []


def test_a_limit_that_is_tighter_already_is_not_loosened() -> None:
    numbered = given.seen(1, statement="42")
    for setting, offered in (("3s", False), ("5000", False), ("1min", True), ("0", True)):
        own = [{"user": "app", "database": None, "name": "statement_timeout", "setting": setting}]
        facts = in_looks(numbered, role_settings=own)
        (found,) = of(Finding, work.heavy_statement, facts)
        assert bool(found.targets["limit_statement_time"]) is offered, setting


def test_a_statement_of_another_database_is_acted_on_there() -> None:
    facts = in_looks(given.seen(1, statement="42", database="analytics"))
    (found,) = of(Finding, work.heavy_statement, facts)
    assert found.targets["cancel_heavy_statement"][0]["database"] == "analytics"
    assert found.targets["limit_statement_time"][0]["database"] == "analytics"


def test_a_dump_is_no_forgotten_transaction() -> None:
    for application, found in (("pg_dump", 0), ("bi", 1)):
        old = given.session(9, user="reporting", application=application, state="idle in transaction", transaction_seconds=900.0)
        facts = given.database([], idle_in_transaction=[old])
        assert len(of(Finding, locks.idle_in_transaction, facts)) == found


def test_sequences_that_cannot_be_seen_are_a_gap() -> None:
    facts = given.database([], sequences=[], sequences_unseen={"number": 3, "schemas": "public"})
    (gap,) = of(Gap, server.sequences, facts)
    assert gap.why == "GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO monitor;"


def test_a_prepared_transaction_that_is_waited_for_and_was_not_read_is_not_ruled_out() -> None:
    facts = given.database(BEHIND_PREPARED, prepared_transactions=[{**PREPARED, "waited_for": False}])
    assert of(RuledOut, locks.prepared_transaction, facts) == of(Finding, locks.prepared_transaction, facts) == []
    assert [gap.what for gap in of(Gap, locks.prepared_transaction, facts)] == ["the prepared transaction that is waited for"]
