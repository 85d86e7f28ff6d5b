# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules on connections: whether anybody gets in, who holds the slots, whose limit is reached (private; pure)."""

from __future__ import annotations

import collections
import shlex
import typing as t

from ansible_collections.sre.runbooks.plugins.module_utils._postgresql.names import quoted
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
from ansible_collections.sre.runbooks.plugins.plugin_utils._judgement.system import Room
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems.postgresql import common
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems.postgresql.common import was_read
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems.postgresql.facts import Facts

NO_SUCH_NAME = "could not translate host name"
# Two free slots are gone with the next two logins: it is the same as none.
AS_GOOD_AS_NONE = 2
# Refusals that tell of our own login only, or that nobody here understands: the server answered, and how the application fares
# is not known from them.
OUR_OWN = ("authentication", "no_such_database", "role_limit", "tls")
# A pooler speaks for a server that may be down, and in another language than English nobody knows who said what.
UNCLEAR = ("pooler", "not_understood")
# The last one is Amazon's.
RESERVED = ("superuser_reserved_connections", "reserved_connections", "rds.rds_superuser_reserved_connections")
REFUSED = {
    "too_many_clients": "db.connections_refused",
    "database_limit": "db.connections_refused",
    "not_accepting": "db.not_accepting",
    "login_hangs": "db.logins_hang",
    "server_error": "db.server_fails",
}


def connection(facts: Facts) -> t.Iterator[Observation]:
    """No session could be opened: refused to everybody (which proves itself), to us alone, or not reached."""
    refusal, system = facts["postgresql"]["refusal"], facts["system"]
    if refusal is None:
        yield Measured(system, "the database", "system")
        yield RuledOut(system, "db.unreachable", "a session was opened")
        return
    kind, message = refusal["kind"], refusal["message"]
    user = facts["limits"]["monitor_user"]
    evidence = {"database": system, "message": message, "user": user, "role": quoted(user), "kind": kind,
                "host": shlex.quote(facts["limits"]["host"]), "port": facts["limits"]["port"]}  # fmt: skip
    if kind in UNCLEAR:
        yield Gap(system, "PostgreSQL", f"no session was opened, and whether the server itself answered is not known: {message}")
        return
    if kind in OUR_OWN:
        yield Gap(system, "PostgreSQL", f"the server answered and does not let {evidence['user']} in: {message}")
        yield RuledOut(system, "db.unreachable", "the server answered")
        return
    subject, found = Ref(system, "server", system), REFUSED.get(kind, "db.unreachable")
    confidence: Confidence = "likely"
    if found in ("db.connections_refused", "db.not_accepting"):
        confidence = "proven"
        yield Measured(system, "connections", "system")
    elif kind == "server_error":
        yield RuledOut(system, "db.unreachable", "the server answered")
    elif NO_SUCH_NAME in message:
        # It may well resolve where the application runs.
        confidence = "possible"
    yield Finding(found, confidence, subject, evidence=evidence)
    if confidence != "proven":
        yield Gap(system, "PostgreSQL", message)


def _slots(facts: Facts) -> tuple[int, int, int]:
    """The slots of the server, those reserved, and those of the others that are free."""
    most = common.number(facts, "max_connections")
    reserved = sum(common.number(facts, name) for name in RESERVED)
    groups = facts["postgresql"]["connections"]
    used = groups[0]["all_sessions"] if groups else 0
    return most, reserved, max(0, most - reserved - used)


def room(facts: Facts) -> Room | None:
    """How many more sessions the application may have, by the server's slots, its roles' limits and the database's; None where
    that was not read, or its roles are not named."""
    users = common.application_users(facts)
    if not users or not was_read(facts, "server", "settings", "connections", "locks", "samples"):
        return None
    most, _reserved, free = _slots(facts)
    roles = [one for one in _by_role(facts) if one["user"] in users]
    left = [one["limit"] - one["sessions"] for one in roles if one["limit"] is not None and one["limit"] >= 0]
    limit, database = facts["postgresql"]["server"]["database_limit"], facts["postgresql"]["server"]["database"]
    if limit is not None and limit >= 0:
        left.append(limit - sum(one["sessions"] for one in facts["postgresql"]["connections"] if one["database"] == database))
    more = max(0, min([free - AS_GOOD_AS_NONE, *left]))
    return {"more": more, "sessions": sum(one["sessions"] for one in roles)} if most else None


def slots_are_taken(facts: Facts) -> bool:
    """Whether nobody else gets in."""
    if not was_read(facts, "settings", "connections"):
        return False
    most, _used, free = _slots(facts)
    return bool(most and free <= AS_GOOD_AS_NONE)


def _by_role(facts: Facts) -> list[Json]:
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


def _expected(facts: Facts, user: str) -> str:
    """What the inventory says that a client should use: instances times pool."""
    pool = (facts["limits"].get("pools") or {}).get(user)
    if not pool:
        return "what it should use is not in the inventory (runbooks_db_pools)"
    return f"it should use at most {pool['instances']} × {pool['size']} = {pool['instances'] * pool['size']}"


def _blamed(facts: Facts, usable: int) -> tuple[str, Json] | None:
    """The client that takes the slots: another one than the application, else the application itself. Nobody where the
    application's roles are not named (or are not there, so that they are misnamed), or no client has half of the slots."""
    roles = _by_role(facts)
    there = [one["user"] for one in facts["postgresql"].get("application_roles", roles) if one.get("exists", True)]
    if not any(_is_named(facts, user) for user in there):
        return None
    others = [role for role in roles if not common.is_application(facts, role["user"])]
    own = [role for role in roles if common.is_application(facts, role["user"])]
    if others and others[0]["sessions"] >= usable / 2:
        return "db.connection_leak", others[0]
    if own and own[0]["sessions"] >= usable / 2:
        return "db.pool_too_large", own[0]
    return None


def _isolated(facts: Facts, role: Json) -> tuple[Json, ...]:
    """What isolate_client and its undo need to know of a role; nothing where it would stand in its own way."""
    if not common.is_writable(facts) or role["user"] == facts["limits"]["monitor_user"]:
        return ()
    return ({"role": role["user"], "connection_limit": role["limit"], "sessions": role["sessions"]},)


def connection_slots(facts: Facts) -> t.Iterator[Observation]:
    """Nobody else gets in, and who holds the slots: the arithmetic, by role."""
    if not was_read(facts, "server", "settings", "connections"):
        return
    most, reserved, free = _slots(facts)
    usable = most - reserved
    if free > AS_GOOD_AS_NONE or not most:
        share = round(100 * (1 - free / max(1, usable)))
        yield RuledOut(facts["system"], "db.connections_exhausted", f"{share} % of the connections are in use, {free} are free")
        return
    evidence: Json = {"free": free, "max": most, "reserved": reserved, "usable": usable}
    blamed = _blamed(facts, usable)
    kept_waiting = blamed is not None and _wait_for_locks(facts, blamed[1])
    if kept_waiting or ((blamed is None or blamed[0] == "db.pool_too_large") and _are_in_use(facts)):
        yield _pile_up(facts, f"{usable - free} of {usable} connections")
        return
    if blamed is None:
        roles = _by_role(facts)
        holders = ", ".join(f"{role['user']} {role['sessions']}" for role in roles[:6])
        targets = tuple(target for role in roles if not _is_named(facts, role["user"]) for target in _isolated(facts, role))
        yield Finding(
            "db.connections_exhausted", "proven", Ref(facts["system"], "server", facts["system"]),
            evidence={**evidence, "holders": holders}, targets={"isolate_client": targets},
        )  # fmt: skip
        return
    identity, role = blamed
    evidence |= {
        "user": role["user"], "sessions": role["sessions"], "application": role["applications"].most_common(1)[0][0],
        "clients": ", ".join(sorted(role["clients"])[:3]), "others": usable - free - role["sessions"],
        "expected": _expected(facts, role["user"]),
    }  # fmt: skip
    targets = _isolated(facts, role) if identity == "db.connection_leak" else ()
    yield Finding(identity, "proven", Ref(facts["system"], "role", role["user"]), evidence=evidence,
                  targets={"isolate_client": targets} if targets else {})  # fmt: skip


def _are_in_use(facts: Facts, user: str | None = None) -> bool:
    """Whether most sessions (of a role) are at work or wait for something: then there are many because each takes long."""
    groups = [one for one in facts["postgresql"]["connections"] if not one["superuser"] and user in (None, one["user"])]
    active = sum(one["sessions"] for one in groups if one["state"] == "active")
    return bool(active > sum(one["sessions"] for one in groups) / 2)


def _wait_for_locks(facts: Facts, role: Json) -> bool:
    """Whether most sessions of a role wait for locks: then it is a victim of whoever holds them."""
    sessions = facts["postgresql"].get("locks", {}).get("sessions", [])
    waiting = [one for one in sessions if one["wants"] and one["user"] == role["user"]]
    return bool(len(waiting) >= role["sessions"] / 2)


def _pile_up(facts: Facts, what: str) -> Finding:
    return Finding("db.sessions_pile_up", "possible", Ref(facts["system"], "server", facts["system"]), evidence={"what": what})


def _is_named(facts: Facts, user: str) -> bool:
    return user in common.application_users(facts)


def role_limits(facts: Facts) -> t.Iterator[Observation]:
    """The application's role, or its database, has as many sessions as it may have: the next one is refused."""
    if not was_read(facts, "server", "settings", "connections"):
        return
    system, free = facts["system"], _slots(facts)[2]
    for role in _by_role(facts):
        if role["limit"] is None or role["limit"] < 0 or role["sessions"] < role["limit"]:
            continue
        if not common.is_application(facts, role["user"]) or role["user"] == facts["limits"]["monitor_user"]:
            continue
        if _are_in_use(facts, role["user"]):
            yield _pile_up(facts, f"{role['sessions']} of the {role['limit']} sessions that {role['user']} may have")
            continue
        raised = role["limit"] + max(10, role["limit"] // 2)
        fits = common.is_writable(facts) and free - (raised - role["sessions"]) > AS_GOOD_AS_NONE
        target = {"role": role["user"], "connection_limit": role["limit"], "raised": raised}
        yield Finding(
            "db.role_limit_reached", "likely", Ref(system, "role", role["user"]),
            evidence={"user": role["user"], "role": quoted(role["user"]), "sessions": role["sessions"], "limit": role["limit"],
                      "free": free, "raised": raised},
            targets={"raise_connection_limit": (target,) if fits else ()},
        )  # fmt: skip
    limit, database = facts["postgresql"]["server"]["database_limit"], facts["postgresql"]["server"]["database"]
    sessions = sum(one["sessions"] for one in facts["postgresql"]["connections"] if one["database"] == database)
    if limit is not None and 0 <= limit <= sessions:
        yield Finding(
            "db.database_limit_reached", "likely", Ref(system, "database", database),
            evidence={"database": database, "name": quoted(database), "sessions": sessions, "limit": limit, "free": free},
        )  # fmt: skip


def application_roles(facts: Facts) -> t.Iterator[Observation]:
    """The application's roles: that they are there, may log in and do; a misspelt name makes the rest of the verdict blind."""
    if not was_read(facts, "application_roles"):
        return
    roles = facts["postgresql"]["application_roles"]
    for one in roles:
        if not one["exists"]:
            why = "runbooks_db_application_users names it, and the server has no such role"
            yield Gap(facts["system"], f"the role {one['user']}", why)
        elif not one["can_login"] or one["expired"]:
            yield Finding(
                "db.application_locked_out",
                "possible" if one["sessions"] else "likely",
                Ref(facts["system"], "role", one["user"]),
                evidence={"user": quoted(one["user"]), "sessions": one["sessions"],
                          "why": "its password has expired (VALID UNTIL)" if one["can_login"] else "it may not log in (NOLOGIN)"},
            )  # fmt: skip
    if roles and not any(one["sessions"] for one in roles):
        names = ", ".join(one["user"] for one in roles)
        yield Gap(
            facts["system"],
            "the application's sessions",
            f"{names} has none: are these its roles (runbooks_db_application_users)?",
        )


RULES = (connection, connection_slots, role_limits, application_roles)
