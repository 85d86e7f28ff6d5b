"""Several looks at the sessions, and two readings of the statements' counters."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.sre.runbooks.plugins.module_utils._postgresql.samples import counted, looks, summary

Json = dict[str, t.Any]


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


# when somebody that matters is seen (by the number of the look), how long it may last; how many looks are taken
LOOKS = [
    ("seen at once", range(100), 2.0, 8),
    ("seen in half of the looks", range(0, 100, 2), 2.0, 8),
    ("seen late", range(20, 100), 2.0, 24),
    ("never seen", (), 2.01, 82),
    ("never seen, and nobody suffers", (), 0.0, 8),
]


@pytest.mark.parametrize(("name", "seen", "longest", "taken"), LOOKS, ids=[row[0] for row in LOOKS])
def test_how_long_it_looks(name: str, seen: t.Collection[int], longest: float, taken: int) -> None:
    clock, rounds = Clock(), 0

    def ask() -> list[Json]:
        nonlocal rounds
        rounds += 1
        return [{"pid": 1}] if rounds - 1 in seen else []

    found = looks(ask, times=8, pause=0.025, longest=longest, matters=bool, clock=clock, sleep=clock.sleep)
    assert (len(found), rounds) == (taken, taken)


def row(pid: int, **changes: t.Any) -> Json:
    return {"pid": pid, "user": "app", "application": "api", "database": "shop", "superuser": False, "statement": "q1", "working": True,
            "on_processor": 1, "waits_for": "CPU", "statement_ms": 10.0, **changes}  # fmt: skip


def test_what_the_looks_say_together() -> None:
    waits = {"working": False, "on_processor": 0, "waits_for": "Lock/tuple", "statement_ms": 900.0}
    told = summary([[row(1), row(2, **waits)], [row(1, statement_ms=30.0, on_processor=3), row(2, **waits)], []], 0.2)
    first, second = told["sessions"]
    assert (first["seen"], first["working"], first["on_processor"], first["statement_ms"], first["age_ms"]) == (2, 2, 4, 30, 30)
    assert (second["working"], second["statement_ms"], second["age_ms"], second["waits"]) == (0, 0, 900, {"Lock/tuple": 2})
    assert (told["taken"], told["runnable"]) == (3, 1.3)
    assert told["work"] == [
        {"user": "app", "database": "shop", "statement": "q1", "seen": 4, "working": 2, "sessions": 2, "statement_ms": 20}
    ]


def counters(statement: str, calls: int, total: float) -> Json:
    return {"statement": statement, "user": "app", "calls": calls, "total_ms": total, "rows": calls * 2}


def test_what_the_statements_cost_between_two_readings() -> None:
    before = [counters("old", 1000, 9000.0), counters("gone", 5, 5.0), counters("reset", 500, 500.0)]
    after = [counters("old", 1010, 9100.0), counters("new", 4, 800.0), counters("reset", 2, 4.0)]
    told = {one["statement"]: one for one in counted(before, after, 0.5)}
    assert list(told) == ["new", "old", "reset"]
    names = ("window_calls", "window_mean_ms", "mean_ms_before", "calls_per_second")
    assert [told["old"][name] for name in names] == [10, 10.0, 9.0, 20.0]
    assert [told["new"][name] for name in names] == [4, 200.0, None, 8.0]
    assert [told["reset"][name] for name in names] == [2, 2.0, None, 4.0]
    assert counted(after, after, 0.5)[0]["window_mean_ms"] is None
