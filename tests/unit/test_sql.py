"""SQL texts: masked rightly or not at all, written anew only where that means the same."""

from __future__ import annotations

import contextlib
import typing as t

import pytest
from ansible_collections.sre.runbooks.plugins.module_utils._postgresql import sql
from ansible_collections.sre.runbooks.plugins.module_utils._postgresql.sql import (
    UnreadableSqlError,
    conditions,
    expression_of,
    masked,
    statements,
    text_of,
)
from hypothesis import given, settings
from hypothesis import strategies as st

MASKED = [
    ("SELECT 'it''s', E'a\\'b', 42, -1.5e3, $1", "SELECT ?, ?, ?, -?, $1"),
    ("SELECT $tag$ it's $tag$, t1.c2 FROM t1", "SELECT ?, t1.c2 FROM t1"),
    ("SELECT /* password=hunter2 */ 1 -- hunter2", "SELECT ?"),
    ("SELECT 1 /* a /* nested */ hunter2 */ + 2", "SELECT ? + ?"),
    ("SELECT * FROM t WHERE path='C:\\' AND token='hunter2'", "SELECT * FROM t WHERE path=? AND token=?"),
    ("SELECT \"col 7\" FROM t WHERE a = B'01' AND b = X'ff' AND c = U&'\\0061' AND d = N'x'",
     "SELECT \"col 7\" FROM t WHERE a = ? AND b = ? AND c = ? AND d = N?"),
    ("ALTER ROLE x PASSWORD 'hunter2'", "ALTER ROLE x PASSWORD ?"),
    ("SELECT 'ä', \"ö\" FROM t -- ü\nWHERE é = 'hünter2'", "SELECT ?, \"ö\" FROM t WHERE é = ?"),
    ("SELECT 1; SELECT 'two'", "SELECT ?; SELECT ?"),
    ("", ""),
]  # fmt: skip


@pytest.mark.parametrize(("query", "expected"), MASKED)
def test_masked(query: str, expected: str) -> None:
    assert masked(query) == expected


UNREADABLE = [
    ("cut off in a literal", "UPDATE t SET p = 'cut off in the mid"),
    ("cut off in a clause", "SELECT a FROM t WHERE"),
    ("no SQL", "password is hunter2"),
    ("what it says depends on standard_conforming_strings, and a comment hides the rest", "SELECT 'a\\' || hunter2 -- \\''"),
    ("the same with a quoted name", "SELECT 'a\\', \"hunter2\" AS \"', '\\\"'\""),
    ("the same, and a name that looks like a quote hides the rest", "SELECT 'a\\', hunter2, x, ' || $a$', y$a$"),
    ("longer than the parser goes down", "SELECT " + "1+" * 6000 + "1"),
    ("a NUL byte", "SELECT 1\0, 'hunter2'"),
]


@pytest.mark.parametrize(("name", "query"), UNREADABLE, ids=[row[0] for row in UNREADABLE])
def test_a_text_that_is_not_understood_is_not_shown(name: str, query: str) -> None:
    with pytest.raises(UnreadableSqlError) as caught:
        masked(query)
    assert "hunter2" not in str(caught.value)


SECRETS = st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)


def literal(secret: str, how: str) -> str:
    """A text as a literal, in one of the ways in which SQL writes them."""
    if how == "E":
        return "E'" + secret.replace("\\", "\\\\").replace("'", "\\'") + "'"
    return "'" + secret.replace("'", "''") + "'" if how == "plain" else f"$q${secret.replace('$', '')}$q$"


@given(st.lists(st.tuples(SECRETS, st.sampled_from(["E", "plain", "dollar"])), min_size=1, max_size=4), st.text(max_size=12))
@settings(max_examples=300, deadline=None)
def test_no_literal_is_ever_shown(secrets: list[tuple[str, str]], comment: str) -> None:
    marked = [(f"hunter2{secret}", how) for secret, how in secrets]
    query = f"SELECT /* {comment.replace('*', '').replace('/', '')} */ " + ", ".join(literal(*one) for one in marked)
    shown = ""
    with contextlib.suppress(UnreadableSqlError):
        shown = masked(query)
    assert "hunter2" not in shown


def test_a_tree_is_written_anew_only_where_it_means_the_same() -> None:
    (tree,) = statements("select  a from t where b='x\\'  -- c")
    assert text_of(tree) == "SELECT a FROM t WHERE b = 'x\\'"


def test_a_tree_that_would_be_written_as_another_statement_is_not_written() -> None:
    """Printers have gaps: a name that is not what it was would be a wrong table."""
    (tree,) = statements("SELECT a FROM t")
    tree.fromClause[0].relpersistence = "t"  # a printer that leaves this out writes another statement
    with pytest.raises(UnreadableSqlError, match="another statement"):
        text_of(tree)


ANDED: list[tuple[str, int | None]] = [
    ("((a = 1) AND (b = 2))", 2),
    ("((a = 1) AND ((b = 2) AND (c = 3)))", 3),
    ("(a = 1)", 1),
    ("((a = 1) OR (b = 2))", None),
    ("((a = 1) AND ((b = 2) OR (c = 3)))", None),
    ("(NOT (a = 1))", None),
]


@pytest.mark.parametrize(("text", "number"), ANDED)
def test_the_parts_of_a_condition(text: str, number: int | None) -> None:
    found = conditions(expression_of(text))
    assert (None if found is None else len(found)) == number


@pytest.mark.parametrize("text", ["1; DROP TABLE t", "true GROUP BY a", "true UNION SELECT 1", "hashed SubPlan 1", ""])
def test_what_is_no_single_expression(text: str) -> None:
    with pytest.raises(UnreadableSqlError):
        expression_of(text)


def test_without_the_parser_nothing_is_shown_and_the_command_to_install_it_is_told(monkeypatch: t.Any) -> None:
    monkeypatch.setattr(sql, "PGLAST_IMPORT_ERROR", ImportError("no"))
    with pytest.raises(UnreadableSqlError, match="pip install 'pglast>=7.7'"):
        masked("SELECT 1")


def test_a_text_of_backslashes_is_not_read_for_ever() -> None:
    with pytest.raises(UnreadableSqlError, match="more than 50 literals with a backslash"):
        masked("SELECT " + ",".join([r"'a\b'"] * 900))
