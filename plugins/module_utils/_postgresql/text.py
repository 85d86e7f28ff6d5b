# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The text of statements, made fit to be shown (private to the collection)."""

from __future__ import annotations

import re
import typing as t

LONGEST_NAME = 63

# Longest first, so that "ALTER TABLE" is not told as "ALTER".
COMMANDS = (
    "ALTER TABLE", "ALTER INDEX", "ALTER TYPE", "ALTER", "CREATE INDEX CONCURRENTLY", "CREATE UNIQUE INDEX",
    "CREATE INDEX", "CREATE TABLE", "CREATE TRIGGER", "CREATE", "DROP INDEX", "DROP TABLE", "DROP", "TRUNCATE",
    "REINDEX", "CLUSTER", "VACUUM FULL", "VACUUM", "ANALYZE", "REFRESH MATERIALIZED VIEW", "LOCK TABLE", "LOCK", "COMMENT",
    "GRANT", "REVOKE", "SELECT", "INSERT", "UPDATE", "DELETE", "MERGE", "WITH", "COPY", "CALL", "DO", "EXPLAIN", "DECLARE",
    "FETCH", "PREPARE TRANSACTION", "PREPARE", "EXECUTE", "BEGIN", "START TRANSACTION", "COMMIT", "ROLLBACK",
    "SAVEPOINT", "SET", "SHOW", "LISTEN", "NOTIFY",
)  # fmt: skip

_COMMENTS = re.compile(r"/\*.*?(?:\*/|$)|--[^\n]*", re.DOTALL)
_LITERALS = re.compile(
    r"""[eEbBxXuU]?&?'(?:[^'\\]|''|\\.)*(?:'|$)"""
    r"""|\$(\w*)\$.*?(?:\$\1\$|$)"""
    r"""|(?<![\w$"])[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?\b""",
    re.DOTALL,
)


def command_of(query: str) -> str:
    """The kind of statement, from a fixed list; an empty string for anything else. Tells nothing of the data.

    >>> command_of("/* app */ alter  table keys add c int")
    'ALTER TABLE'
    """
    words = " ".join(_COMMENTS.sub(" ", query).split()).upper()
    for command in COMMANDS:
        if words == command or words.startswith((command + " ", command + "(", command + ";")):
            return command
    return ""


def masked(query: str) -> str:
    """The statement without its comments and with every literal replaced by ``?``.

    A literal that is cut off at the end counts as one: a truncated text must not give its start away.

    >>> masked("SELECT * FROM t WHERE a = 'it''s' AND b > 42")
    'SELECT * FROM t WHERE a = ? AND b > ?'
    """
    return " ".join(_LITERALS.sub("?", _COMMENTS.sub(" ", query)).split())


def shown(query: str | None, *, with_text: bool, longest: int, mask: bool) -> str | None:
    """A statement's text as it may leave the server: None when it was not asked for, masked and cut otherwise."""
    if query is None or not with_text:
        return None
    text = masked(query) if mask else query
    return text if len(text) <= longest else text[: longest - 1] + "…"


def name_for(table: str, columns: t.Sequence[str]) -> str:
    """The index's name where none is given; PostgreSQL cuts at 63 bytes, and so do we.

    >>> name_for("custody_keys", ["tenant_id", "active"])
    'custody_keys_tenant_id_active_idx'
    """
    stem = "_".join([table, *columns])
    return stem[: LONGEST_NAME - 4] + "_idx"
