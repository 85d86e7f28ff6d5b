"""Statements as they may leave the server."""

from __future__ import annotations

import pglast.keywords
import pytest
from ansible_collections.sre.runbooks.plugins.module_utils._postgresql.names import RESERVED, name_for, quoted
from ansible_collections.sre.runbooks.plugins.module_utils._postgresql.text import command_of, shown

COMMANDS = [
    ("alter table keys add c int", "ALTER TABLE"),
    ("/* app:1 */ -- x\n SELECT 1", "SELECT"),
    ("create  index concurrently i on t (a)", "CREATE INDEX CONCURRENTLY"),
    ("COMMIT;", "COMMIT"),
    ("frobnicate 'secret'", ""),
    ("-- DROP TABLE t\nSELECT 1", "SELECT"),
    ("/* /* SELECT */ DROP", ""),
    ("COMMIT PREPARED 'x'", "COMMIT PREPARED"),
    ("", ""),
]


@pytest.mark.parametrize(("query", "expected"), COMMANDS)
def test_command(query: str, expected: str) -> None:
    assert command_of(query) == expected


def test_shown_only_when_asked_and_cut() -> None:
    assert shown("SELECT 1", with_text=False, longest=99, mask=True) is None
    assert shown("SELECT 1, 2, 3", with_text=True, longest=9, mask=True) == "SELECT ?…"
    assert shown("SELECT 1", with_text=True, longest=9, mask=False) == "SELECT 1"


def test_what_postgresql_would_read_as_its_own_word_is_quoted() -> None:
    known = {*pglast.keywords.RESERVED_KEYWORDS, *pglast.keywords.TYPE_FUNC_NAME_KEYWORDS, *pglast.keywords.COL_NAME_KEYWORDS}
    assert known <= RESERVED
    assert quoted("user") == '"user"'


def test_a_name_is_cut_at_bytes_as_the_server_cuts_it() -> None:
    assert name_for("keys", ["a"]) == "keys_a_idx"
    assert len(name_for("ü" * 60, ["a"]).encode()) <= 63
    assert name_for("ü" * 60, ["a"]) != name_for("ü" * 60, ["b"])


UNSEEN = [("app\u200b", 'U&"app\\+00200B"'), ("a\u3000b", 'U&"a\\+003000b"'), ('a\t"\\', 'U&"a\\+000009""\\\\"'), ("表", '"表"')]


@pytest.mark.parametrize(("name", "expected"), UNSEEN)
def test_what_nobody_sees_in_a_name_is_written_out(name: str, expected: str) -> None:
    assert quoted(name) == expected
