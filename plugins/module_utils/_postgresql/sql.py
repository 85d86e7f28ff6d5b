# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""SQL texts, read by PostgreSQL's own parser (pglast) and by nothing else (private to the collection; pure).

A text that the parser does not understand (cut at track_activity_query_size, of another version's syntax) is neither shown
nor planned: a lexer of our own would sooner or later take code for a literal, or a literal for code.
Source: https://www.postgresql.org/docs/current/sql-syntax-lexical.html, https://pglast.readthedocs.io
"""

from __future__ import annotations

import itertools
import typing as t

try:
    import pglast
    import pglast.ast
    import pglast.parser
    import pglast.stream

    PGLAST_IMPORT_ERROR: ImportError | None = None
except ImportError as error:
    PGLAST_IMPORT_ERROR = error

NOT_INSTALLED = "pglast is not installed where the runbook runs: pip install 'pglast>=7.7'"
_LITERALS = frozenset(("SCONST", "USCONST", "BCONST", "XCONST", "ICONST", "FCONST"))
_COMMENTS = frozenset(("SQL_COMMENT", "C_COMMENT"))
LONGEST_TEXT = 10000
# Each literal with a backslash is read once more; a text made of them would take seconds.
MOST_READINGS = 50


class UnreadableSqlError(Exception):
    """A text is not SQL as the parser knows it; the message says why, and tells nothing of the text."""


def statements(text: str) -> list[t.Any]:
    """The parse trees of a text's statements. Raises UnreadableSqlError."""
    if PGLAST_IMPORT_ERROR is not None:
        raise UnreadableSqlError(NOT_INSTALLED)
    if "\0" in text:  # the parser would stop there
        raise UnreadableSqlError("its text has a NUL in it")
    if len(text) > LONGEST_TEXT:  # what nests deeply enough would end the process: pglast goes down the tree in C
        raise UnreadableSqlError(f"its text is longer than {LONGEST_TEXT} characters")
    try:
        return [raw.stmt for raw in pglast.parse_sql(text)]
    except (pglast.parser.ParseError, ValueError, RecursionError) as error:
        raise UnreadableSqlError(
            "its text cannot be parsed: it is cut (track_activity_query_size), or of another version's syntax"
        ) from error


def masked(text: str) -> str:
    """A text with every literal replaced by ``?`` and without its comments, on one line. Raises UnreadableSqlError.

    >>> masked("SELECT * FROM t WHERE a = 'it''s' AND b > 42 -- by hand")
    'SELECT * FROM t WHERE a = ? AND b > ?'
    """
    statements(text)
    tokens = pglast.parser.scan(text)
    _refuse_other_quoting(text)
    parts, end = [], 0
    for token in tokens:
        parts.append(text[end : token.start])
        if token.name in _LITERALS:
            parts.append("?")
        elif token.name not in _COMMENTS:
            parts.append(text[token.start : token.end + 1])
        end = token.end + 1
    return " ".join("".join([*parts, text[end:]]).split())


def _refuse_other_quoting(text: str) -> None:
    r"""With standard_conforming_strings = off a session means something else by ``'\'``: there the literal goes on, and what is a
    literal and what is a name changes places. Raises UnreadableSqlError for a text that says something in that reading too."""
    other = _with_escapes(text)
    if other is None or _without_literals(other) == _without_literals(text):
        return
    try:
        statements(other)
    except UnreadableSqlError:
        return
    raise UnreadableSqlError("its text means different things with standard_conforming_strings on and off")


def _with_escapes(text: str) -> str | None:
    r"""The text as such a session reads it: each plain literal is one with escapes. None where that is none. Raises
    UnreadableSqlError for a text with too many."""
    for _reading in range(MOST_READINGS):
        try:
            tokens = pglast.parser.scan(text)
        except (pglast.parser.ParseError, ValueError):
            return None
        plain = [one.start for one in tokens if one.name == "SCONST" and text[one.start] == "'"
                 and "\\" in text[one.start : one.end + 1]]  # fmt: skip
        if not plain:
            return text
        text = f"{text[: plain[0]]} E{text[plain[0] :]}"
    raise UnreadableSqlError(f"its text has more than {MOST_READINGS} literals with a backslash")


def _without_literals(text: str) -> list[str]:
    tokens = pglast.parser.scan(text)
    return [text[one.start : one.end + 1] for one in tokens if one.name not in _LITERALS | _COMMENTS]


def text_of(tree: t.Any) -> str:
    """SQL for a parse tree: proven to mean the same by parsing it again. Raises UnreadableSqlError."""
    try:
        text = str(pglast.stream.RawStream()(tree))
    except (NotImplementedError, AttributeError, RecursionError, ValueError) as error:
        raise UnreadableSqlError("it cannot be written anew from its parse tree") from error
    if statements(text) != [tree]:
        raise UnreadableSqlError("written anew from its parse tree, it would be another statement")
    return text


def nodes(tree: t.Any) -> t.Iterator[t.Any]:
    """Every node of a parse tree, the root first."""
    todo = [tree]
    while todo:
        node = todo.pop()
        if isinstance(node, (list, tuple)):
            todo += node
        elif isinstance(node, pglast.ast.Node):
            yield node
            todo += [getattr(node, name) for name in node]


def kind(node: t.Any) -> str:
    """What a node of a parse tree is, by the parser's own name for it."""
    return type(node).__name__


def conditions(expression: t.Any) -> list[t.Any] | None:
    """The parts of a condition that must all hold; None where they are not joined by AND alone."""
    if kind(expression) != "BoolExpr":
        return [expression]
    if expression.boolop.name != "AND_EXPR":
        return None
    parts = [conditions(part) for part in expression.args]
    return None if None in parts else list(itertools.chain.from_iterable(part or [] for part in parts))


def expression_of(text: str) -> t.Any:
    """The parse tree of one expression, as EXPLAIN shows them. Raises UnreadableSqlError."""
    found, whole = statements(f"SELECT 1 WHERE {text}"), statements("SELECT 1 WHERE true")[0]
    whole.whereClause = getattr(found[0], "whereClause", None) if found else None
    if whole.whereClause is None or found != [whole]:
        raise UnreadableSqlError("it is no single expression")
    return whole.whereClause
