# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules on the server itself: whether it takes writes, what runs out, what could not be read (private; pure)."""

from __future__ import annotations

import typing as t

from ansible_collections.sre.runbooks.plugins.module_utils._postgresql.facts import SnapshotHolder
from ansible_collections.sre.runbooks.plugins.module_utils._postgresql.names import quoted
from ansible_collections.sre.runbooks.plugins.plugin_utils._judgement.model import Finding, Gap, Observation, Ref
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems.postgresql import common
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems.postgresql.common import was_read
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems.postgresql.facts import Facts

SEE_SESSIONS = "GRANT pg_monitor TO {};"
# https://www.postgresql.org/docs/current/routine-vacuuming.html#VACUUM-FOR-WRAPAROUND: writes end three million before 2**31.
WRITES_END_AT = 2**31 - 3_000_000
WRAPAROUND_IS_NEAR = 1_500_000_000
NEARLY_USED_UP = 90.0
MANY_XIDS = 1_000_000
MUCH_LOG = 10 * 2**30


def read_only(facts: Facts) -> t.Iterator[Observation]:
    """The server takes no writes: in recovery after a failover, or told to begin every transaction read only."""
    if not was_read(facts, "server", "settings", "role_settings") or not facts["limits"]["writable"]:
        return
    reasons = []
    if facts["postgresql"]["server"]["in_recovery"]:
        reasons.append("it is in recovery: this is a standby now")
    elif common.setting(facts, "default_transaction_read_only") == "on":
        reasons.append("default_transaction_read_only is on")
    database = facts["postgresql"]["server"]["database"]
    for one in facts["postgresql"]["role_settings"]:
        of_us = common.is_application(facts, one["user"]) or one["user"] is None
        if (
            one["name"] == "default_transaction_read_only"
            and one["setting"] == "on"
            and of_us
            and one["database"] in (None, database)
        ):
            where = f"for {one['user']}" if one["user"] else "for all roles"
            reasons.append(f"default_transaction_read_only is on {where}")
    if reasons:
        yield Finding(
            "db.read_only", "proven", Ref(facts["system"], "server", facts["system"]),
            evidence={"database": facts["system"], "why": "; ".join(dict.fromkeys(reasons))},
        )  # fmt: skip


def wraparound(facts: Facts) -> t.Iterator[Observation]:
    """The transaction ids run out: at the end of them the server takes no more writes."""
    if not was_read(facts, "wraparound"):
        return
    for one in facts["postgresql"]["wraparound"]:
        used = max(one["xids"], one["multixacts"])
        if used >= WRAPAROUND_IS_NEAR:
            holders = facts["postgresql"].get("oldest_xmin", [])
            yield Finding(
                "db.wraparound_near", "proven" if used >= WRITES_END_AT else "possible",
                Ref(facts["system"], "database", one["database"]),
                evidence={"database": one["database"], "millions": used // 1_000_000, "left": (WRITES_END_AT - used) // 1_000_000,
                          "holder": holder_of(holders[0]) if holders else "nothing that is seen"},
            )  # fmt: skip


def holder_of(one: SnapshotHolder) -> str:
    age = f" for {one['seconds']} s" if one["seconds"] is not None else ""
    return f"{one['kind']} {one['key']} ({one['user'] or one['application'] or one['state'] or 'no name'}){age}"


def vacuum_held_back(facts: Facts) -> t.Iterator[Observation]:
    """A replication slot, a standby or a prepared transaction that keeps vacuum from removing anything."""
    if not was_read(facts, "oldest_xmin"):
        return
    for one in facts["postgresql"]["oldest_xmin"]:
        if one["kind"] != "session" and one["xids"] >= MANY_XIDS:
            yield Finding(
                "db.vacuum_held_back", "proven", Ref(facts["system"], one["kind"].replace(" ", "_"), one["key"]),
                evidence={"holder": holder_of(one), "millions": round(one["xids"] / 1_000_000, 1)},
            )  # fmt: skip


def sequences(facts: Facts) -> t.Iterator[Observation]:
    """A sequence that is nearly, or wholly, used up."""
    if not was_read(facts, "server", "sequences"):
        return
    unseen = facts["postgresql"].get("sequences_unseen")
    if unseen and unseen["number"]:
        user = quoted(facts["postgresql"]["server"]["user"])
        why = f"GRANT SELECT ON ALL SEQUENCES IN SCHEMA {unseen['schemas']} TO {user};"
        yield Gap(facts["system"], f"how far {unseen['number']} sequences are used up", why)
    for one in facts["postgresql"]["sequences"]:
        if one["percent"] >= NEARLY_USED_UP:
            name = f"{quoted(one['schema'])}.{quoted(one['sequence'])}"
            yield Finding(
                "db.sequence_used_up", "proven" if one["last_value"] >= one["most"] else "possible",
                Ref(facts["system"], "sequence", name),
                evidence={"sequence": name, "percent": one["percent"], "owned_by": one["owned_by"] or "no column",
                          "left": one["most"] - one["last_value"]},
            )  # fmt: skip


def log_kept(facts: Facts) -> t.Iterator[Observation]:
    """A replication slot that keeps much of the write-ahead log on the disk."""
    if not was_read(facts, "slots"):
        return
    for one in facts["postgresql"]["slots"]:
        state, kept = "active" if one["active"] else "inactive", one["kept_bytes"] or 0
        if kept >= MUCH_LOG:
            yield Finding(
                "db.slot_keeps_log", "proven", Ref(facts["system"], "replication_slot", one["slot"]),
                evidence={"slot": one["slot"], "gib": round(kept / 2**30, 1), "state": state},
            )  # fmt: skip


def privileges(facts: Facts) -> t.Iterator[Observation]:
    """The monitoring role cannot see the others: said, since the verdict may have a hole there."""
    if not was_read(facts, "server"):
        return
    server = facts["postgresql"]["server"]
    hidden = sum(group["hidden"] for group in facts["postgresql"].get("connections", []))
    if server["superuser"] or server["member_of_pg_read_all_stats"] or not hidden:
        return
    yield Gap(facts["system"], f"{hidden} sessions of other users", SEE_SESSIONS.format(quoted(server["user"])))
    yield Finding(
        "db.privileges_missing",
        "proven",
        Ref(facts["system"], "role", server["user"]),
        evidence={"user": quoted(server["user"])},
    )


def degraded(facts: Facts) -> t.Iterator[Observation]:
    """Each diagnostic that failed, with its reason."""
    for gap in facts["postgresql"]["gaps"]:
        yield Gap(facts["system"], gap["diagnostic"], gap["reason"])
        yield Finding(
            "db.diagnostic_degraded",
            "proven",
            Ref(facts["system"], "diagnostic", gap["diagnostic"]),
            evidence={"diagnostic": gap["diagnostic"], "reason": gap["reason"]},
        )


def _effective(facts: Facts, name: str, user: str) -> str:
    """What a setting is for a role: its own, else the server's."""
    own = [one["setting"] for one in facts["postgresql"]["role_settings"] if one["name"] == name and one["user"] == user]
    return str(own[0]) if own else common.setting(facts, name) or ""


def advice(facts: Facts) -> t.Iterator[Observation]:
    """Settings that let a mistake last: a migration that queues without end, a transaction that may idle without end."""
    if not was_read(facts, "settings", "role_settings", "locks"):
        return
    wanted: dict[tuple[str, str | None], str] = {}
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


RULES = (read_only, wraparound, vacuum_held_back, sequences, log_kept, advice, privileges, degraded)
