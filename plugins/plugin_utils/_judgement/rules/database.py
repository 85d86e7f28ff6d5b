# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules on a PostgreSQL server's facts, as postgresql_triage_info collects them (private to the collection; pure)."""

from __future__ import annotations

import typing as t

from ansible_collections.sre.runbooks.plugins.plugin_utils._judgement.model import (
    Confidence,
    Finding,
    Gap,
    Json,
    Measured,
    Observation,
    Ref,
    RuledOut,
)

NO_SUCH_NAME = "could not translate host name"
SEE_SESSIONS = "GRANT pg_monitor TO {};"
# A waiter that asks for one of these modes changes the schema: it is a migration, not one of the application's users.
SCHEMA_CHANGES = (
    "ShareUpdateExclusiveLock",
    "ShareLock",
    "ShareRowExclusiveLock",
    "ExclusiveLock",
    "AccessExclusiveLock",
)


def _backend(facts: Json, pid: int) -> Ref:
    return Ref(facts["system"], "backend", str(pid))


def _target(session: Json) -> Json:
    """What a mitigation needs to act on this session and on no other that got the same pid later."""
    return {"pid": session["pid"], "backend_start": session["backend_start"]}


def _name(session: Json | None, pid: int) -> str:
    if session is None:
        return "a prepared transaction" if pid == 0 else f"pid {pid}"
    return f"pid {pid} ({session['user'] or 'unknown'}, {session['application'] or 'no application_name'})"


def _sessions(facts: Json) -> dict[int, Json]:
    return {session["pid"]: session for session in facts["postgresql"]["locks"]["sessions"]}


def _of_application(facts: Json, session: Json) -> bool:
    """Whether a session belongs to the application's users: by its role where the inventory names them, otherwise any
    client of the database that does not change the schema."""
    if session["database"] != facts["postgresql"]["server"]["database"]:
        return False
    users = facts["limits"]["application_users"]
    if users:
        return session["user"] in users
    schema_change = session["locktype"] == "relation" and session["mode"] in SCHEMA_CHANGES
    return session.get("backend_type") == "client backend" and not schema_change


def _waiting_application(facts: Json) -> dict[int, Json]:
    """The application's sessions that have been waiting for a lock longer than the limit, by pid."""
    return {
        pid: session
        for pid, session in _sessions(facts).items()
        if session["wants"]
        and _of_application(facts, session)
        and (session["wait_seconds"] or 0) >= facts["limits"]["lock_wait_seconds_max"]
    }


def was_read(facts: Json, *diagnostics: str) -> bool:
    """Whether the server was reached and all of these diagnostics were answered."""
    return bool(facts["postgresql"]["connected"]) and all(name in facts["postgresql"] for name in diagnostics)


def connection(facts: Json) -> t.Iterator[Observation]:
    """No session came about: refused for want of slots (which proves itself), or not reached."""
    refusal = facts["postgresql"]["refusal"]
    if refusal is None:
        yield RuledOut(facts["system"], "db.unreachable", "a session was opened")
        return
    subject = Ref(facts["system"], "server", facts["system"])
    evidence = {"database": facts["system"], "message": refusal["message"], "kind": refusal["kind"],
                "user": facts["limits"]["monitor_user"]}  # fmt: skip
    if refusal["kind"] == "too_many_clients":
        yield Measured(facts["system"], "connections")
        yield Finding("db.connections_refused", "proven", subject, evidence=evidence)
        return
    # A name that does not resolve from here may well resolve where the application runs.
    confidence: Confidence = "possible" if NO_SUCH_NAME in refusal["message"] else "likely"
    yield Finding("db.unreachable", confidence, subject, evidence=evidence)
    yield Gap(facts["system"], "PostgreSQL", refusal["message"])


def blocked_sessions(facts: Json) -> t.Iterator[Observation]:
    """The application's sessions that wait for locks: what users feel."""
    if not was_read(facts, "locks", "server"):
        return
    yield Measured(facts["system"], "sessions of the application")
    waiting = _waiting_application(facts)
    if not waiting:
        yield RuledOut(facts["system"], "db.blocked_sessions", "no session of the application waits for a lock")
        return
    longest = max(session["wait_seconds"] for session in waiting.values())
    yield Finding(
        "db.blocked_sessions",
        "proven",
        Ref(facts["system"], "database", facts["postgresql"]["server"]["database"]),
        links=tuple(_backend(facts, pid) for pid in sorted(waiting)),
        evidence={"sessions": len(waiting), "longest_seconds": longest},
    )


def queued_ddl(facts: Json) -> t.Iterator[Observation]:
    """A waiting statement that holds nothing others want, but stands ahead of them in the queue."""
    if not was_read(facts, "locks", "server"):
        return
    sessions, waiting = _sessions(facts), _waiting_application(facts)
    found = False
    for root in facts["postgresql"]["locks"]["roots"]:
        session = sessions.get(root["pid"])
        held_up = sorted(set(root["softly"]) & waiting.keys())
        if not held_up or session is None or not session["wants"]:
            continue
        found = True
        yield Finding(
            "db.queued_ddl",
            "proven",
            _backend(facts, root["pid"]),
            links=tuple(_backend(facts, pid) for pid in [*held_up, *session["blockers"]]),
            evidence={
                "pid": root["pid"],
                "user": session["user"],
                "application": session["application"],
                "command": session["command"] or f"a request for {session['mode']}",
                "relation": session["relation"] or "a relation",
                "wait_seconds": session["wait_seconds"],
                "behind": ", ".join(_name(sessions.get(pid), pid) for pid in session["blockers"]),
                "held_up": len(held_up),
            },
            targets=(_target(session),),
        )
    if not found:
        yield RuledOut(facts["system"], "db.queued_ddl", "nothing in the lock queue stands ahead of the application")


def _holders(facts: Json) -> t.Iterator[tuple[Json, list[int], list[int]]]:
    """The sessions that hold what the application waits for: session, waiting sessions, everyone held up."""
    sessions, waiting = _sessions(facts), _waiting_application(facts)
    for root in facts["postgresql"]["locks"]["roots"]:
        session = sessions.get(root["pid"])
        held_up = sorted((set(root["holds_up"]) - set(root["softly"])) & waiting.keys())
        if session is not None and not session["wants"] and held_up:
            yield session, held_up, root["holds_up"]


def _idle(session: Json) -> bool:
    return str(session["state"] or "").startswith("idle in transaction")


def _holder_finding(facts: Json, identity: str, session: Json, held_up: list[int], all_held: list[int]) -> Finding:
    relations = sorted({other["relation"] for other in _sessions(facts).values()
                        if other["pid"] in held_up and other["relation"]})  # fmt: skip
    return Finding(
        identity,
        "proven",
        _backend(facts, session["pid"]),
        links=tuple(_backend(facts, pid) for pid in all_held),
        evidence={
            "pid": session["pid"],
            "user": session["user"],
            "application": session["application"],
            "state": session["state"],
            "state_seconds": session["state_seconds"],
            "relation": ", ".join(relations) or "a row",
            "held_up": len(held_up),
        },
        targets=(_target(session),),
    )


def blocking_transaction(facts: Json) -> t.Iterator[Observation]:
    """A session at work that holds what the application waits for."""
    if not was_read(facts, "locks", "server"):
        return
    found = False
    for session, held_up, all_held in _holders(facts):
        if not _idle(session):
            found = True
            yield _holder_finding(facts, "db.blocking_transaction", session, held_up, all_held)
    if not found:
        yield RuledOut(facts["system"], "db.blocking_transaction", "no running transaction holds the application up")


def idle_in_transaction(facts: Json) -> t.Iterator[Observation]:
    """Idle in a transaction: the cause where it holds the application up, a risk where it only grows old."""
    if not was_read(facts, "locks", "server", "idle_in_transaction"):
        return
    blocking = {}
    for session, held_up, all_held in _holders(facts):
        if _idle(session):
            blocking[session["pid"]] = True
            yield _holder_finding(facts, "db.idle_in_transaction", session, held_up, all_held)
    for session in facts["postgresql"]["idle_in_transaction"]:
        old = (session["state_seconds"] or 0) >= facts["limits"]["idle_in_transaction_seconds_max"]
        if old and session["pid"] not in blocking:
            yield _holder_finding(facts, "db.old_idle_transaction", session, [], [])
    if not blocking:
        yield RuledOut(facts["system"], "db.idle_in_transaction", "no idle transaction holds the application up")


def prepared_transaction(facts: Json) -> t.Iterator[Observation]:
    """A prepared transaction that nobody finished and that the application waits for. It has no session to end."""
    if not was_read(facts, "locks", "server", "prepared_transactions"):
        return
    waiting = _waiting_application(facts)
    held_up = {pid for root in facts["postgresql"]["locks"]["roots"] if root["pid"] == 0 for pid in root["holds_up"]}
    held_up &= waiting.keys()
    guilty = [one for one in facts["postgresql"]["prepared_transactions"] if one["waited_for"]] if held_up else []
    for one in guilty:
        yield Finding(
            "db.prepared_transaction",
            # The waiters only say that they wait for a prepared transaction, not for which.
            "proven" if len(guilty) == 1 else "likely",
            Ref(facts["system"], "prepared_transaction", one["gid"]),
            links=tuple(_backend(facts, pid) for pid in sorted(held_up)),
            evidence={**{name: one[name] for name in ("gid", "user", "database", "seconds")}, "held_up": len(held_up)},
            targets=({"gid": one["gid"], "prepared": one["prepared"]},),
        )
    if not guilty:
        yield RuledOut(facts["system"], "db.prepared_transaction", "no prepared transaction holds the application up")


def privileges(facts: Json) -> t.Iterator[Observation]:
    """The monitoring role cannot see the others: said, since the verdict may have a hole there."""
    if not was_read(facts, "server"):
        return
    server = facts["postgresql"]["server"]
    hidden = sum(group["hidden"] for group in facts["postgresql"].get("connections", []))
    if server["superuser"] or server["member_of_pg_read_all_stats"] or not hidden:
        return
    yield Gap(facts["system"], f"{hidden} sessions of other users", SEE_SESSIONS.format(server["user"]))
    yield Finding(
        "db.privileges_missing",
        "proven",
        Ref(facts["system"], "role", server["user"]),
        evidence={"user": server["user"]},
    )


def degraded(facts: Json) -> t.Iterator[Observation]:
    """Each diagnostic that failed, with its reason."""
    for gap in facts["postgresql"]["gaps"]:
        yield Gap(facts["system"], gap["diagnostic"], gap["reason"])
        yield Finding(
            "db.diagnostic_degraded",
            "proven",
            Ref(facts["system"], "diagnostic", gap["diagnostic"]),
            evidence={"diagnostic": gap["diagnostic"], "reason": gap["reason"]},
        )


RULES = (
    connection,
    queued_ddl,
    blocking_transaction,
    idle_in_transaction,
    prepared_transaction,
    blocked_sessions,
    privileges,
    degraded,
)
