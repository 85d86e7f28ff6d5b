"""The lock graph: who is to blame."""

from __future__ import annotations

import pytest
from ansible_collections.sre.runbooks.plugins.module_utils._postgresql.locks import LockSession, Root, conflicting, roots
from hypothesis import given, settings
from hypothesis import strategies as st

EXCLUSIVE, SHARE = "AccessExclusiveLock", "AccessShareLock"
T = "relation/t"


def waiter(pid: int, *blockers: int, mode: str = SHARE, wants: str = T, **holds: tuple[str, ...]) -> LockSession:
    return LockSession(pid, wants, mode, blockers, holds)


def holder(pid: int, mode: str = SHARE, tag: str = T) -> LockSession:
    return LockSession(pid, holds={tag: (mode,)})


GRAPHS: list[tuple[str, list[LockSession], list[Root]]] = [
    ("nobody waits", [holder(1)], []),
    ("one waits for one", [holder(1, EXCLUSIVE), waiter(2, 1)], [Root(1, (2,), ())]),
    (
        "a queued statement is to blame for those behind it, what it waits for only for the statement",
        [holder(1), waiter(2, 1, mode=EXCLUSIVE), waiter(3, 2), waiter(4, 2)],
        [Root(2, (3, 4), (3, 4)), Root(1, (2,), ())],
    ),
    (
        "two queued statements are both to blame",
        [holder(1), waiter(2, 1, mode=EXCLUSIVE), waiter(3, 1, 2, mode=EXCLUSIVE), waiter(4, 2, 3)],
        [Root(1, (2, 3), ()), Root(2, (4,), (4,)), Root(3, (4,), (4,))],
    ),
    (
        "a migration that holds one lock and waits for the next is to blame for those who wait for the first",
        [
            holder(1),
            waiter(2, 1, mode=EXCLUSIVE, **{"relation/u": (EXCLUSIVE,)}),
            waiter(3, 2, wants="relation/u"),
            waiter(4, 2, wants="relation/u"),
        ],
        [Root(2, (3, 4), ()), Root(1, (2,), ())],
    ),
    (
        "a writer that waits for a row is not, though it holds what others want",
        [
            holder(1, "ExclusiveLock", "xid/1"),
            waiter(2, 1, mode="ShareLock", wants="xid/1", **{T: ("RowExclusiveLock",)}),
            waiter(3, 2, mode="ShareLock"),
        ],
        [Root(1, (2, 3), ())],
    ),
    (
        "two levels deep",
        [
            holder(1, "ExclusiveLock", "xid/1"),
            waiter(2, 1, mode="ShareLock", wants="xid/1", **{"xid/2": ("ExclusiveLock",)}),
            waiter(3, 2, mode="ShareLock", wants="xid/2"),
        ],
        [Root(1, (2, 3), ())],
    ),
    ("several blockers of one waiter", [holder(1), holder(2), waiter(3, 1, 2, mode=EXCLUSIVE)],
     [Root(1, (3,), ()), Root(2, (3,), ())]),
    ("a prepared transaction is pid 0", [waiter(2, 0)], [Root(0, (2,), ())]),
    ("a deadlock that PostgreSQL has not seen yet ends", [waiter(1, 2, **{"relation/u": (EXCLUSIVE,)}),
     waiter(2, 1, wants="relation/u", **{T: (EXCLUSIVE,)})], []),
]  # fmt: skip


@pytest.mark.parametrize(("name", "sessions", "expected"), GRAPHS, ids=[row[0] for row in GRAPHS])
def test_roots(name: str, sessions: list[LockSession], expected: list[Root]) -> None:
    assert roots(sessions) == expected


# https://www.postgresql.org/docs/current/explicit-locking.html#TABLE-LOCK-COMPATIBILITY
CONFLICTS = [
    (SHARE, SHARE, False),
    (SHARE, "RowExclusiveLock", False),
    (SHARE, EXCLUSIVE, True),
    ("RowShareLock", "ExclusiveLock", True),
    ("RowExclusiveLock", "ShareLock", True),
    ("ShareUpdateExclusiveLock", "ShareUpdateExclusiveLock", True),
    ("ShareLock", "ShareLock", False),
    ("SomeNewLock", SHARE, True),
]


@pytest.mark.parametrize(("one", "other", "expected"), CONFLICTS)
def test_conflicts_both_ways(one: str, other: str, expected: bool) -> None:
    assert conflicting(one, other) is expected
    assert conflicting(other, one) is expected


@given(st.lists(st.tuples(st.integers(1, 8), st.lists(st.integers(1, 8), max_size=3)), max_size=8))
@settings(max_examples=200, deadline=None)
def test_any_graph_ends_and_names_only_those_in_it(edges: list[tuple[int, list[int]]]) -> None:
    sessions = [LockSession(pid, T if blockers else None, SHARE, tuple(blockers)) for pid, blockers in edges]
    known = {session.pid for session in sessions} | {pid for session in sessions for pid in session.blockers}
    for root in roots(sessions):
        assert {root.pid, *root.holds_up} <= known
        assert set(root.softly) <= set(root.holds_up)


def test_who_waits_behind_the_application_s_own_lock_waits_for_whoever_keeps_it_from_that() -> None:
    table = "relation/1/2"
    console = LockSession(1, holds={table: ("AccessShareLock",)})
    own = LockSession(2, wants=table, mode="AccessExclusiveLock", blockers=(1,), own_lock=True)
    second = LockSession(3, wants=table, mode="AccessExclusiveLock", blockers=(1, 2), own_lock=True)
    reader = LockSession(4, wants=table, mode="AccessShareLock", blockers=(2, 3))
    assert [(root.pid, root.holds_up) for root in roots([console, own, second, reader])] == [(1, (2, 3, 4))]
