"""Statements as they may leave the server."""

from __future__ import annotations

import pytest
from ansible_collections.sre.runbooks.plugins.module_utils._postgresql.text import command_of, masked, shown

COMMANDS = [
    ("alter table keys add c int", "ALTER TABLE"),
    ("/* app:1 */ -- x\n SELECT 1", "SELECT"),
    ("create  index concurrently i on t (a)", "CREATE INDEX CONCURRENTLY"),
    ("COMMIT;", "COMMIT"),
    ("frobnicate 'secret'", ""),
    ("", ""),
]


@pytest.mark.parametrize(("query", "expected"), COMMANDS)
def test_command(query: str, expected: str) -> None:
    assert command_of(query) == expected


MASKED = [
    ("SELECT 'it''s', E'a\\'b', 42, -1.5e3, $1", "SELECT ?, ?, ?, ?, $1"),
    ("SELECT $tag$ it's $tag$, t1.c2 FROM t1", "SELECT ?, t1.c2 FROM t1"),
    ("SELECT /* password=hunter2 */ 1 -- hunter2", "SELECT ?"),
    ("UPDATE t SET p = 'cut off in the mid", "UPDATE t SET p = ?"),
    ("SELECT \"col 7\" FROM t", "SELECT \"col ?\" FROM t"),
]  # fmt: skip


@pytest.mark.parametrize(("query", "expected"), MASKED)
def test_masked(query: str, expected: str) -> None:
    assert masked(query) == expected


def test_shown_only_when_asked_and_cut() -> None:
    assert shown("SELECT 1", with_text=False, longest=99, mask=True) is None
    assert shown("SELECT 1, 2, 3", with_text=True, longest=9, mask=True) == "SELECT ?…"
    assert shown("SELECT 1", with_text=True, longest=9, mask=False) == "SELECT 1"
