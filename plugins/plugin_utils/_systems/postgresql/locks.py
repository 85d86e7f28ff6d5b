# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules on who waits for whom: the lock graph, transactions that stay open, commits that wait (private; pure)."""

from __future__ import annotations

import collections
import re
import statistics
import typing as t

from ansible_collections.sre.runbooks.plugins.module_utils._postgresql.facts import (
    IdleInTransaction,
    InTheLockGraph,
    Seen,
    Session,
)
from ansible_collections.sre.runbooks.plugins.module_utils._postgresql.locks import SCHEMA_CHANGES
from ansible_collections.sre.runbooks.plugins.plugin_utils._judgement.model import (
    Finding,
    Gap,
    Json,
    Measured,
    Observation,
    Ref,
    RuledOut,
)
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems.postgresql import common
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems.postgresql.common import backend, was_read
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems.postgresql.connections import slots_are_taken
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems.postgresql.facts import Facts
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems.postgresql.work import restless

# What sessions wait for when they use the database as users do. Leaders, job queues and CREATE INDEX CONCURRENTLY wait for
# advisory locks and virtual transactions all day.
USERS_WAIT_FOR = ("relation", "tuple", "transactionid", "page")
# A session at work that waits for one of these does so on somebody else's account; what it holds meanwhile is not its doing.
WAITS_OF_OTHERS = ("IPC", "IO", "LWLock", "BufferPin", "Extension")
# One that waits until its client takes what it sends is as stuck; one that waits for what its client sends (COPY … FROM STDIN)
# holds its locks on its own client's account.
CLIENT_IS_SLOW = "ClientWrite"
AT_WORK = ("active", "fastpath function call")
# So many times more processes than processors leave too little for one that needs little.
STARVING = 2
# A parallel dump keeps its snapshot in a transaction that is idle.
DUMPS = ("pg_dump", "pg_dumpall")
# A hold explains the waits for it only if it is about as old as they are.
SHARE_OF_THE_WAIT = 0.5
MOST_LOOKS = 0.75
# As PostgreSQL writes a time with its zone.
STAMP = re.compile(r"[\d-]{10}[ T][\d:.]{8,16}(?:[+-][\d:]{2,9}|Z)")


def _sessions(facts: Facts) -> dict[int, InTheLockGraph]:
    return {session["pid"]: session for session in facts["postgresql"]["locks"]["sessions"]}


def _name(session: InTheLockGraph | None, pid: int) -> str:
    if session is None or pid == 0:
        return "a prepared transaction" if pid == 0 else f"pid {pid}"
    if session.get("backend_type") not in (None, "client backend"):
        return f"pid {pid} ({session['backend_type']})"
    return f"pid {pid} ({session['user'] or 'unknown'}, {session['application'] or 'no application_name'})"


def _is_named(facts: Facts, session: InTheLockGraph) -> bool:
    return session["user"] in common.application_users(facts)


def _of_application(facts: Facts, session: InTheLockGraph) -> bool:
    """Whether a session waits as one of the application's users does: not for an advisory lock, not to change the schema. Where
    no slot is free, whoever waits keeps one that the application needs."""
    if session["database"] != facts["postgresql"]["server"]["database"] or session["locktype"] not in USERS_WAIT_FOR:
        return False
    if session.get("backend_type") != "client backend" or (session["superuser"] and not _is_named(facts, session)):
        return False
    own_lock = _is_named(facts, session) and session["command"].startswith("LOCK")
    if session["locktype"] == "relation" and session["mode"] in SCHEMA_CHANGES and not own_lock:
        return False
    return common.is_application(facts, session["user"]) or slots_are_taken(facts)


def _looks(facts: Facts) -> dict[int, Seen]:
    return {one["pid"]: one for one in common.samples(facts)} if was_read(facts, "samples") else {}


def _waits_long(facts: Facts, session: InTheLockGraph, looks: t.Mapping[int, Seen]) -> bool:
    """Whether a session has been kept waiting for longer than the limit: by one holder, or by one after the other."""
    limit = facts["limits"]["lock_wait_seconds_max"]
    if session["lock_seconds"] is not None and session["lock_seconds"] >= limit:
        return True
    seen = looks.get(session["pid"])
    mostly = seen is None or common.seen_waiting(seen, "Lock") >= SHARE_OF_THE_WAIT * seen["seen"]
    return bool(mostly and (session["statement_seconds"] or 0) >= limit)


def _waiting(facts: Facts) -> dict[int, InTheLockGraph]:
    """The application's sessions that are kept waiting for locks, by pid: for longer than the limit; or, while users suffer,
    behind one who has been there for long, although each of them may give up soon (lock_timeout) and come again."""
    looks, sessions = _looks(facts), _sessions(facts)
    ours = {pid: session for pid, session in sessions.items() if session["wants"] and _of_application(facts, session)}
    behind = {
        pid for root in facts["postgresql"]["locks"]["roots"]
        if facts["users_suffer"] and _has_lasted(facts, sessions.get(root["pid"])) for pid in root["holds_up"]
    }  # fmt: skip
    return {pid: session for pid, session in ours.items() if pid in behind or _waits_long(facts, session, looks)}


def _has_lasted(facts: Facts, session: InTheLockGraph | None) -> bool:
    """Whether one that others wait for has held, or asked for, its lock for long; a prepared transaction has."""
    limit = facts["limits"]["lock_wait_seconds_max"]
    if session is None:
        return True
    if session["wants"]:
        return bool((session["statement_seconds"] or 0) >= SHARE_OF_THE_WAIT * limit)
    later = {one["pid"]: one["still"] for one in facts["postgresql"].get("holders", [])}
    return bool((session["transaction_seconds"] or 0) >= limit and later.get(session["pid"], True))


def _lock_waits_are_seen(facts: Facts) -> bool:
    """Whether users suffer and sessions of the application wait for locks, however short each wait is: then who makes them wait
    is not ruled out."""
    waits = any(one["wants"] and _of_application(facts, one) for one in _sessions(facts).values())
    seen = any(
        common.is_application(facts, one["user"])
        and sum(common.seen_waiting(one, f"Lock/{kind}") for kind in USERS_WAIT_FOR) >= SHARE_OF_THE_WAIT * one["seen"]
        for one in _looks(facts).values()
    )  # fmt: skip
    return bool(facts["users_suffer"] and (waits or seen))


def _ruled_out(facts: Facts, identity: str, why: str) -> t.Iterator[RuledOut]:
    if not _lock_waits_are_seen(facts):
        yield RuledOut(facts["system"], identity, why)


def _are_several(facts: Facts, waiting: t.Collection[int]) -> bool:
    return bool(len(waiting) >= facts["limits"]["waiters_min"])


def blocked_sessions(facts: Facts) -> t.Iterator[Observation]:
    """The application's sessions that wait for locks: several are what users feel, a few only where users suffer besides."""
    if not was_read(facts, "locks", "server"):
        return
    yield Measured(facts["system"], "locks", "system")
    waiting = _waiting(facts)
    if not waiting:
        limit = facts["limits"]["lock_wait_seconds_max"]
        yield from _ruled_out(facts, "db.blocked_sessions", f"no session of the application has waited {limit:g} s for a lock")
        return
    several = _are_several(facts, waiting)
    yield Finding(
        "db.blocked_sessions" if several else "db.few_sessions_blocked",
        # One that waits is not shown to be what users wait for.
        "proven" if several else "possible",
        Ref(facts["system"], "database", facts["postgresql"]["server"]["database"]),
        links=tuple(backend(facts, pid) for pid in sorted(waiting)),
        evidence={"sessions": len(waiting), "longest_seconds": max(one["statement_seconds"] or 0 for one in waiting.values())},
    )


def _queued(facts: Facts) -> t.Iterator[tuple[InTheLockGraph, list[int]]]:
    """The statements in the queue that the application waits behind, each with the application's sessions behind it."""
    sessions, waiting = _sessions(facts), _waiting(facts)
    for root in facts["postgresql"]["locks"]["roots"]:
        session = sessions.get(root["pid"])
        held_up = sorted(set(root["holds_up"]) & waiting.keys())
        if held_up and session is not None and root["pid"] and session["wants"]:
            yield session, held_up


def queued_ddl(facts: Facts) -> t.Iterator[Observation]:
    """A statement that waits itself: others queue behind its request, or behind what it has locked already."""
    if not was_read(facts, "locks", "server"):
        return
    sessions, found = _sessions(facts), False
    for session, held_up in _queued(facts):
        found = True
        yield Finding(
            "db.queued_ddl",
            "proven" if _are_several(facts, held_up) else "possible",
            backend(facts, session["pid"]),
            links=tuple(backend(facts, pid) for pid in [*held_up, *session["blockers"]]),
            evidence={
                "pid": session["pid"],
                "user": session["user"],
                "application": session["application"],
                "command": session["command"] or f"a request for {session['mode']}",
                "relation": session["relation"] or "a relation",
                "wait_seconds": session["statement_seconds"],
                "behind": ", ".join(_name(sessions.get(pid), pid) for pid in session["blockers"]),
                "held_up": len(held_up),
            },
            targets={"cancel_queued_ddl": common.to_cancel(session)},
        )
    if not found:
        yield from _ruled_out(facts, "db.queued_ddl", "nothing in the lock queue stands ahead of the application")


def _holders(facts: Facts) -> t.Iterator[tuple[InTheLockGraph, list[int], list[int]]]:
    """The sessions that wait for no lock and hold what the application waits for: session, waiting sessions, everyone held up."""
    sessions, waiting = _sessions(facts), _waiting(facts)
    for root in facts["postgresql"]["locks"]["roots"]:
        session = sessions.get(root["pid"])
        held_up = sorted(set(root["holds_up"]) & waiting.keys())
        if session is not None and root["pid"] and not session["wants"] and held_up:
            yield session, held_up, root["holds_up"]


def _is_idle(session: Session) -> bool:
    return str(session["state"] or "").startswith("idle in transaction")


def _is_stuck(facts: Facts, session: InTheLockGraph) -> bool:
    """Whether an active session waits on somebody else's account, now and in every look."""
    waits = session["wait_event_type"] in WAITS_OF_OTHERS or session["wait_event"] == CLIENT_IS_SLOW
    if session["state"] not in AT_WORK or not waits:
        return False
    seen = _looks(facts).get(session["pid"])
    return seen is None or (not seen["on_processor"] and len(seen["waits"]) == 1)


def _is_passing(facts: Facts, session: InTheLockGraph, held_up: t.Sequence[int]) -> bool:
    """Whether a session held what is waited for only for a moment: its transaction was over a second later, or, where nobody
    looked again, is younger than the waits of those who wait."""
    later = {one["pid"]: one["still"] for one in facts["postgresql"].get("holders", [])}
    if session["pid"] in later:
        return not later[session["pid"]]
    waiting = _sessions(facts)
    waits = statistics.median(waiting[pid]["statement_seconds"] or 0 for pid in held_up)
    hold = session["transaction_seconds"]
    return bool(hold is not None and hold < SHARE_OF_THE_WAIT * waits)


def _is_starved(facts: Facts, session: InTheLockGraph) -> bool:
    """Whether a session that could run gets too little of the processors, which others' long statements use."""
    cores = facts["limits"]["cores"]
    if (
        session["state"] not in AT_WORK
        or session["wait_event_type"]
        or not cores
        or not was_read(facts, "samples", "long_running")
    ):
        return False
    others = {one["pid"] for found in restless(facts).values() for one in found}
    return bool(others - {session["pid"]} and facts["postgresql"]["samples"]["runnable"] >= STARVING * cores)


def _is_own_queue(facts: Facts, session: Session, held_up: t.Sequence[int]) -> bool:
    """Whether users are well and all who wait are of the same client as the one who holds: how leaders are elected by a row."""
    sessions = _sessions(facts)
    clients = {(sessions[pid]["user"], sessions[pid]["application"]) for pid in held_up}
    return bool(facts.get("users_well") and clients == {(session["user"], session["application"])})


def _holder_kind(facts: Facts, session: InTheLockGraph, held_up: t.Sequence[int]) -> str:
    if _is_stuck(facts, session) or _is_starved(facts, session):
        return "db.blocker_waits"
    if _is_passing(facts, session, held_up):
        return "db.lock_contention"
    return "db.idle_in_transaction" if _is_idle(session) else "db.blocking_transaction"


def _holder_finding(
    facts: Facts, identity: str, session: InTheLockGraph | IdleInTransaction, held_up: list[int], all_held: list[int]
) -> Finding:
    relations = sorted({other["relation"] for other in _sessions(facts).values()
                        if other["pid"] in held_up and other["relation"]})  # fmt: skip
    ended = {"db.old_idle_transaction": "terminate_idle_in_transaction", "db.blocker_waits": None}.get(
        identity, "terminate_blockers"
    )
    doubtful = held_up and (not _are_several(facts, held_up) or _is_own_queue(facts, session, held_up))
    return Finding(
        identity,
        "possible" if doubtful else "proven",
        backend(facts, session["pid"]),
        links=tuple(backend(facts, pid) for pid in all_held),
        evidence={
            "pid": session["pid"],
            "user": session["user"],
            "application": session["application"],
            "state": "its state hidden (track_activities is off)" if session["state"] == "disabled" else session["state"],
            "state_seconds": session["state_seconds"] or session["transaction_seconds"],
            "transaction_seconds": session["transaction_seconds"],
            "waits_for": f"{session['wait_event_type']}/{session['wait_event']}" if session["wait_event_type"] else "a processor",
            "relation": ", ".join(relations) or "a row",
            "held_up": len(held_up),
            "whose": _whose(session),
        },
        targets={ended: common.to_end(session)} if ended else {},
    )


def _whose(session: Session) -> str:
    """A condition that is only this transaction's: behind a pooler the same backend soon serves somebody else."""
    begun = str(session["xact_start"] or "").replace(" ", "T")  # a command is broken at blanks, and this is a literal
    return f"pid = {session['pid']}" + (f" AND xact_start = '{begun}'" if STAMP.fullmatch(begun) else "")


def _of_kind(facts: Facts, identity: str) -> list[Finding]:
    return [
        _holder_finding(facts, identity, session, held_up, all_held)
        for session, held_up, all_held in _holders(facts)
        if _holder_kind(facts, session, held_up) == identity
    ]


def blocking_transaction(facts: Facts) -> t.Iterator[Observation]:
    """A session at work that has long held what the application waits for."""
    if not was_read(facts, "locks", "server"):
        return
    found = _of_kind(facts, "db.blocking_transaction")
    yield from found
    if not found:
        why = "no running transaction has long held what the application waits for"
        yield from _ruled_out(facts, "db.blocking_transaction", why)


def blocker_waits(facts: Facts) -> t.Iterator[Observation]:
    """A session that holds what the application waits for, and itself waits for a disk, a standby or its client."""
    if was_read(facts, "locks", "server"):
        yield from _of_kind(facts, "db.blocker_waits")


def idle_in_transaction(facts: Facts) -> t.Iterator[Observation]:
    """Idle in a transaction: the cause where it holds the application up, a risk where its transaction only grows old."""
    if not was_read(facts, "locks", "server", "idle_in_transaction"):
        return
    found = _of_kind(facts, "db.idle_in_transaction")
    yield from found
    blocking = {session["pid"] for session, dummy, dummy in _holders(facts)}
    for session in facts["postgresql"]["idle_in_transaction"]:
        old = (session["transaction_seconds"] or 0) >= facts["limits"]["idle_in_transaction_seconds_max"]
        if old and session["pid"] not in blocking and session["application"] not in DUMPS:
            yield _holder_finding(facts, "db.old_idle_transaction", session, [], [])
    if not found:
        yield from _ruled_out(facts, "db.idle_in_transaction", "no idle transaction holds up the application")


def lock_contention(facts: Facts) -> t.Iterator[Observation]:
    """Many want the same rows, and each holder has them only for a moment: nobody in particular is to blame."""
    if not was_read(facts, "locks", "server"):
        return
    waiting = {pid: one for pid, one in _waiting(facts).items() if one["locktype"] in ("tuple", "transactionid")}
    held = [pid for session, held_up, dummy in _holders(facts) for pid in held_up
            if _holder_kind(facts, session, held_up) != "db.lock_contention"]  # fmt: skip
    behind = [pid for dummy, held_up in _queued(facts) for pid in held_up]
    prepared = [pid for root in facts["postgresql"]["locks"]["roots"] if root["pid"] == 0 for pid in root["holds_up"]]
    left = {pid: one for pid, one in waiting.items() if pid not in {*held, *behind, *prepared}}
    if not _are_several(facts, left):
        return
    yield Finding(
        "db.lock_contention",
        "likely",
        Ref(facts["system"], "database", facts["postgresql"]["server"]["database"]),
        links=tuple(backend(facts, pid) for pid in sorted(left)),
        evidence={"sessions": len(left), "holders": _contenders(facts, left), **_contended(facts, left)},
    )


def _contenders(facts: Facts, waiting: t.Mapping[int, InTheLockGraph]) -> str:
    """Whose sessions had the rows when the lock table was read."""
    roots = facts["postgresql"]["locks"]["roots"]
    sessions = _sessions(facts)
    pids = {root["pid"] for root in roots if set(root["holds_up"]) & waiting.keys()} & sessions.keys()
    users = collections.Counter(str(sessions[pid]["user"] or "unknown") for pid in pids)
    return ", ".join(f"{user} ({number})" for user, number in users.most_common(3)) or "nobody seen"


def _contended(facts: Facts, waiting: t.Mapping[int, InTheLockGraph]) -> Json:
    """What is contended for: table, statement, how long a holder holds, the share of the looks in which somebody waited."""
    tables = collections.Counter(one["relation"] for one in waiting.values() if one["relation"])
    texts = collections.Counter(one["query"] or one["command"] or "a statement" for one in waiting.values())
    seen = [one for one in _looks(facts).values() if common.is_application(facts, one["user"])]
    share = sum(common.seen_waiting(one, "Lock") for one in seen) / max(1, sum(one["seen"] for one in seen))
    seconds = [one["seconds"] for one in facts["postgresql"].get("holders", [])]
    longest = max(one["statement_seconds"] or 0 for one in waiting.values())
    return {
        "relation": tables.most_common(1)[0][0] if tables else "one table", "statement": texts.most_common(1)[0][0],
        "hold": f"less than {max(seconds):g} s" if seconds else "a moment", "percent": round(100 * share),
        "longest_seconds": longest,
    }  # fmt: skip


def prepared_transaction(facts: Facts) -> t.Iterator[Observation]:
    """A prepared transaction that nobody finished and that the application waits for, also through a queued statement."""
    if not was_read(facts, "locks", "server", "prepared_transactions"):
        return
    waiting = _waiting(facts)
    direct = {pid for root in facts["postgresql"]["locks"]["roots"] if root["pid"] == 0 for pid in root["holds_up"]}
    queued = {session["pid"]: held_up for session, held_up in _queued(facts) if session["pid"] in direct}
    held_up = (direct & waiting.keys()) | {pid for pids in queued.values() for pid in pids}
    guilty = [one for one in facts["postgresql"]["prepared_transactions"] if one["waited_for"]] if held_up else []
    for one in guilty:
        yield Finding(
            "db.prepared_transaction",
            # The waiters only say that they wait for a prepared transaction, not for which.
            "proven" if len(guilty) == 1 else "likely",
            Ref(facts["system"], "prepared_transaction", one["gid"]),
            links=tuple(backend(facts, pid) for pid in sorted({*held_up, *queued})),
            evidence={**{name: one[name] for name in ("gid", "user", "database", "seconds")}, "held_up": len(held_up)},
            targets={
                "rollback_prepared": ({"gid": one["gid"], "prepared": one["prepared"]},) if common.is_writable(facts) else (),
                "cancel_queued_ddl": tuple(target for session, dummy in _queued(facts) if session["pid"] in queued
                                           for target in common.to_cancel(session)),
            },
        )  # fmt: skip
    if held_up and not guilty:
        yield Gap(facts["system"], "the prepared transaction that is waited for", "it is not among the fifty that were read")
    elif not guilty:
        yield RuledOut(facts["system"], "db.prepared_transaction", "no prepared transaction holds up others")


def commit_waits(facts: Facts) -> t.Iterator[Observation]:
    """Sessions whose commit waits for a standby to confirm it: they are never ended, what they wait for is to blame."""
    if not was_read(facts, "samples", "settings", "replication"):
        return
    names = common.setting(facts, "synchronous_standby_names")
    stuck = [
        one for one in common.samples(facts)
        if common.seen_waiting(one, "IPC/SyncRep") >= MOST_LOOKS * one["seen"]
        and one["age_ms"] >= 1000 * facts["limits"]["lock_wait_seconds_max"]
    ]  # fmt: skip
    if not stuck or not names:
        return
    held = {pid for root in facts["postgresql"].get("locks", {}).get("roots", []) if root["pid"] in {one["pid"] for one in stuck}
            for pid in root["holds_up"]}  # fmt: skip
    standbys = [f"{one['application']} ({one['sync_state']})" for one in facts["postgresql"]["replication"]]
    yield Finding(
        "db.commit_waits_for_standby",
        "proven",
        Ref(facts["system"], "setting", "synchronous_standby_names"),
        links=tuple(backend(facts, pid) for pid in sorted({*held, *(one["pid"] for one in stuck)})),
        evidence={"sessions": len(stuck), "names": names, "standbys": ", ".join(standbys) or "none",
                  "longest_seconds": round(max(one["age_ms"] for one in stuck) / 1000, 1)},
        targets={"commit_without_standby": _standby_target(facts, names)},
    )  # fmt: skip


def _standby_target(facts: Facts, names: str) -> tuple[Json, ...]:
    row = next(one for one in facts["postgresql"]["settings"] if one["name"] == "synchronous_standby_names")
    managed = facts["postgresql"]["server"]["managed_by"]
    if row["source"] == "command line" or managed or not common.is_writable(facts):
        return ()
    return ({"name": "synchronous_standby_names", "before": names if row["by_alter_system"] else None},)


def advisory_waits(facts: Facts) -> t.Iterator[Observation]:
    """Many sessions of the application wait for an advisory lock: how leaders and queues work, or what users wait for."""
    if not was_read(facts, "locks", "server"):
        return
    sessions = _sessions(facts)
    waiting = [
        pid for pid, one in sessions.items()
        if one["wants"] and one["locktype"] == "advisory" and common.is_application(facts, one["user"])
        and (one["statement_seconds"] or 0) >= facts["limits"]["lock_wait_seconds_max"]
    ]  # fmt: skip
    if not _are_several(facts, waiting):
        return
    roots = [root["pid"] for root in facts["postgresql"]["locks"]["roots"] if set(root["holds_up"]) & set(waiting)]
    yield Finding(
        "db.advisory_waits",
        "possible",
        Ref(facts["system"], "locks", "advisory"),
        links=tuple(backend(facts, pid) for pid in waiting),
        evidence={
            "sessions": len(waiting),
            "holder": ", ".join(_name(sessions.get(pid), pid) for pid in roots) or "nobody seen",
        },
    )


RULES = (
    prepared_transaction,
    queued_ddl,
    blocking_transaction,
    idle_in_transaction,
    commit_waits,
    blocker_waits,
    lock_contention,
    advisory_waits,
    blocked_sessions,
)
