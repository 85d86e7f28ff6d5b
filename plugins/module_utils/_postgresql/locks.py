# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who waits for whom, and who is to blame for it (private to the collection; pure).

PostgreSQL queues lock requests. A request that conflicts with nothing that is *held*, but with a request that is ahead
in the queue, is blocked softly: ending the one ahead frees it. This is how one ``ALTER TABLE`` behind an innocent
report stops every reader behind it, and why the report, which ``pg_blocking_pids()`` shows as the end of the chain,
is not to blame. Source: https://www.postgresql.org/docs/current/explicit-locking.html#LOCKING-TABLES
and ``src/backend/storage/lmgr/README``.
"""

from __future__ import annotations

import dataclasses
import typing as t

PREPARED_TRANSACTION = 0
# Who waits for a relation in one of these modes is changing the schema or maintaining a table: a migration, no user.
SCHEMA_CHANGES = (
    "ShareUpdateExclusiveLock",
    "ShareLock",
    "ShareRowExclusiveLock",
    "ExclusiveLock",
    "AccessExclusiveLock",
)

_ORDER = (
    "AccessShareLock", "RowShareLock", "RowExclusiveLock", "ShareUpdateExclusiveLock",
    "ShareLock", "ShareRowExclusiveLock", "ExclusiveLock", "AccessExclusiveLock",
)  # fmt: skip
# The conflict table of the page above: for each mode the modes that it conflicts with, weakest to strongest.
_CONFLICTS = {
    mode: frozenset(other for other, mark in zip(_ORDER, row, strict=True) if mark == "x")
    for mode, row in zip(
        _ORDER,
        (".......x", "......xx", "....xxxx", "...xxxxx", "..xx.xxx", "..xxxxxx", ".xxxxxxx", "xxxxxxxx"),
        strict=True,
    )
}


def conflicting(mode: str, other: str) -> bool:
    """Whether two lock modes exclude each other; unknown modes (of a newer server) are taken to conflict.

    >>> conflicting("AccessShareLock", "AccessExclusiveLock"), conflicting("AccessShareLock", "RowExclusiveLock")
    (True, False)
    """
    return mode not in _CONFLICTS or other not in _CONFLICTS or other in _CONFLICTS[mode]


@dataclasses.dataclass(frozen=True)
class LockSession:
    """A session in the lock graph: what it waits for (if it does) and what it holds of what others wait for.

    ``wants`` and the keys of ``holds`` are lock tags (type and object); ``holds`` maps a tag to the modes held. ``own_lock``: the
    application itself asks by LOCK TABLE, as a part of its work.
    """

    pid: int
    wants: str | None = None
    mode: str | None = None
    blockers: tuple[int, ...] = ()
    holds: t.Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    own_lock: bool = False

    @property
    def queues_to_change(self) -> bool:
        """Whether it waits to change the schema: what waits for it waits because it came, not for what it waits for."""
        return (self.wants or "").startswith("relation/") and self.mode in SCHEMA_CHANGES and not self.own_lock


@dataclasses.dataclass(frozen=True)
class Root:
    """A session that others wait for in the end: ``holds_up`` are their pids, ``softly`` those freed by ending it alone."""

    pid: int
    holds_up: tuple[int, ...]
    softly: tuple[int, ...]


def is_hard(waiter: LockSession, blocker: LockSession | None) -> bool:
    """Whether the blocker holds what the waiter wants (or cannot be seen, as a prepared transaction)."""
    if blocker is None or waiter.wants is None or waiter.mode is None:
        return True
    return any(conflicting(waiter.mode, held) for held in blocker.holds.get(waiter.wants, ()))


def responsible(waiter: LockSession, sessions: t.Mapping[int, LockSession]) -> tuple[frozenset[int], bool]:
    """The pids that hold a waiter up directly, and whether they only stand ahead of it in the queue."""
    hard = frozenset(pid for pid in waiter.blockers if is_hard(waiter, sessions.get(pid)))
    return (hard, False) if hard else (frozenset(waiter.blockers), True)


def roots(sessions: t.Iterable[LockSession]) -> list[Root]:
    """The sessions to blame, those that hold up most first (then by pid).

    A soft block ends the way up: the one ahead in the queue is to blame, not what it waits for itself. So does a migration
    that waits for its next lock while it holds one already: the report that it waits for stands in nobody's way. The
    application's own LOCK TABLE does not: it is how it works, and whoever keeps it from that is to blame.
    """
    by_pid = {session.pid: session for session in sessions}
    found: dict[int, tuple[set[int], set[int]]] = {}
    for waiter in by_pid.values():
        if waiter.wants is None:
            continue
        for pid, softly in _climb(waiter, by_pid):
            held_up, soft = found.setdefault(pid, (set(), set()))
            held_up.add(waiter.pid)
            if softly:
                soft.add(waiter.pid)
    result = [Root(pid, tuple(sorted(held)), tuple(sorted(soft))) for pid, (held, soft) in found.items()]
    return sorted(result, key=lambda root: (-len(root.holds_up), root.pid))


def _climb(waiter: LockSession, sessions: t.Mapping[int, LockSession]) -> set[tuple[int, bool]]:
    """The roots above one waiter, each with whether the last step to it was a soft one."""
    found: set[tuple[int, bool]] = set()
    seen = {waiter.pid}
    todo = [waiter]
    while todo:
        current = todo.pop()
        pids, softly = responsible(current, sessions)
        for pid in pids - seen:
            above = sessions.get(pid)
            ends_here = above is not None and not above.own_lock and (softly or above.queues_to_change)
            if above is None or above.wants is None or ends_here:
                found.add((pid, softly))
            else:
                seen.add(pid)
                todo.append(above)
    return found
