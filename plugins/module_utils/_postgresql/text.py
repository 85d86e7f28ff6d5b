# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is shown of statements: their kind, and, where it was asked for, their masked text (private to the collection)."""

from __future__ import annotations

import re

from ansible_collections.sre.runbooks.plugins.module_utils._postgresql.sql import masked

# Longest first, so that "ALTER TABLE" is not told as "ALTER".
COMMANDS = (
    "ALTER TABLE", "ALTER INDEX", "ALTER TYPE", "ALTER", "CREATE INDEX CONCURRENTLY", "CREATE UNIQUE INDEX CONCURRENTLY",
    "CREATE UNIQUE INDEX", "CREATE INDEX", "CREATE TABLE", "CREATE TRIGGER", "CREATE", "DROP INDEX", "DROP TABLE", "DROP",
    "TRUNCATE", "REINDEX", "CLUSTER", "VACUUM FULL", "VACUUM", "ANALYZE", "REFRESH MATERIALIZED VIEW", "LOCK TABLE", "LOCK",
    "COMMENT", "GRANT", "REVOKE", "SELECT", "INSERT", "UPDATE", "DELETE", "MERGE", "WITH", "COPY", "CALL", "DO", "EXPLAIN",
    "DECLARE", "FETCH", "PREPARE TRANSACTION", "PREPARE", "EXECUTE", "BEGIN", "START TRANSACTION", "COMMIT PREPARED",
    "ROLLBACK PREPARED", "COMMIT", "ROLLBACK", "SAVEPOINT", "SET", "SHOW", "LISTEN", "NOTIFY",
)  # fmt: skip

_AHEAD = re.compile(r"\s+|--[^\n]*(?:\n|\Z)")
_COMMENT_MARK = re.compile(r"/\*|\*/")


def command_of(query: str) -> str:
    """The kind of statement, from a fixed list; an empty string for anything else. Tells nothing of the data.

    >>> command_of("/* app */ alter  table keys add c int")
    'ALTER TABLE'
    """
    start = _without_comments_ahead(query)[:200]
    words = " ".join(start.split()).upper()
    for command in COMMANDS:
        if words == command or words.startswith((command + " ", command + "(", command + ";")):
            return command
    return ""


def _without_comments_ahead(query: str) -> str:
    """A text from its first word on. Comments may hold comments.

    >>> _without_comments_ahead("/* a /* b */ c */ -- d")
    ''
    """
    at = 0
    while True:
        blank = _AHEAD.match(query, at)
        if blank:
            at = blank.end()
        elif query.startswith("/*", at):
            depth = 0
            for mark in _COMMENT_MARK.finditer(query, at):
                depth += 1 if mark.group() == "/*" else -1
                at = mark.end()
                if not depth:
                    break
            if depth:
                return ""
        else:
            return query[at:]


def shown(query: str | None, *, with_text: bool, longest: int, mask: bool) -> str | None:
    """A statement's text as it may leave the server: None when it was not asked for, masked and cut otherwise.

    Raises UnreadableSqlError where literals are to be masked and the text cannot be parsed.
    """
    if not query or not with_text:
        return None
    text = masked(query) if mask else query
    return text if len(text) <= longest else text[: longest - 1] + "…"
