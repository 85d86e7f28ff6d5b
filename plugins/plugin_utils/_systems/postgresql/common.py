# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the rules on a PostgreSQL server's facts share (private to the collection; pure)."""

from __future__ import annotations

from ansible_collections.sre.runbooks.plugins.module_utils._postgresql.facts import Seen, Session, Signalled
from ansible_collections.sre.runbooks.plugins.plugin_utils._judgement.model import Json, Ref
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems.postgresql.facts import Facts

# Statements that maintain or move whole tables: cancelled, they leave half of their work behind, and they seldom are to blame.
MAINTENANCE = ("COPY", "VACUUM", "ANALYZE", "REINDEX", "CLUSTER", "REFRESH", "CREATE", "ALTER", "DROP", "TRUNCATE")


def was_read(facts: Facts, *diagnostics: str) -> bool:
    """Whether the server was reached and all of these diagnostics were answered."""
    return bool(facts["postgresql"]["connected"]) and all(name in facts["postgresql"] for name in diagnostics)


def application_users(facts: Facts) -> list[str]:
    """The roles that the inventory names as the application's; empty where nobody has named them."""
    named = facts["limits"]["application_users"]
    # A survey or -e gives a text where the inventory gives a list, and the module takes both.
    return [one.strip() for one in named.split(",") if one.strip()] if isinstance(named, str) else list(named)


def is_application(facts: Facts, user: str | None) -> bool:
    """Whether a role is one of the application's; where they are not named, any may be."""
    users = application_users(facts)
    return not users or user in users


def backend(facts: Facts, pid: int) -> Ref:
    return Ref(facts["system"], "backend", str(pid))


def statement(facts: Facts, key: str) -> Ref:
    """A kind of statement, by its query id or the digest of its text."""
    return Ref(facts["system"], "statement", key)


def is_writable(facts: Facts) -> bool:
    """Whether the server takes changes at all: a standby does not."""
    return not facts["postgresql"]["server"]["in_recovery"]


def _may_be_signalled(session: Signalled) -> bool:
    client = session.get("backend_type") in (None, "client backend")
    return bool(client and session["backend_start"] and not session["superuser"])


def to_end(session: Signalled) -> tuple[Json, ...]:
    """What a mitigation needs to end this session's transaction and no later one; nothing where it may not be ended."""
    if not _may_be_signalled(session) or not session["xact_start"]:
        return ()
    return ({"pid": session["pid"], "backend_start": session["backend_start"], "xact_start": session["xact_start"]},)


def to_cancel(session: Session) -> tuple[Json, ...]:
    """What a mitigation needs to cancel this statement and no later one; nothing where it may not be cancelled."""
    if not _may_be_signalled(session) or not session["query_start"]:
        return ()
    return ({"pid": session["pid"], "backend_start": session["backend_start"], "query_start": session["query_start"]},)


def samples(facts: Facts) -> list[Seen]:
    return facts["postgresql"]["samples"]["sessions"]


def seen_waiting(session: Seen, kind: str) -> int:
    """In how many looks a session waited for something of a kind (the part before the slash, or the whole event)."""
    return sum(number for event, number in session["waits"].items() if event == kind or event.startswith(f"{kind}/"))


def setting(facts: Facts, name: str) -> str | None:
    """What a new session gets, None where the server has no such setting."""
    return next((str(one["setting"]) for one in facts["postgresql"]["settings"] if one["name"] == name), None)


def number(facts: Facts, name: str) -> int:
    return int(setting(facts, name) or 0)


def is_maintenance(command: str) -> bool:
    return command.startswith(MAINTENANCE)
