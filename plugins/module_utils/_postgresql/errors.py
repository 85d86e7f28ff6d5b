# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Errors of the PostgreSQL client (private to the collection)."""

from __future__ import annotations


class PostgresqlError(Exception):
    """Something asked of PostgreSQL did not happen; the message names the server, what was asked and the way out."""


class RefusedConnectionError(PostgresqlError):
    """No session could be opened.

    ``kind`` is one of ``too_many_clients``, ``authentication``, ``no_such_database``, ``starting_up``,
    ``unreachable``; ``reason`` is the server's or the network's own sentence; ``sqlstate`` is the server's code
    (https://www.postgresql.org/docs/current/errcodes-appendix.html).
    """

    def __init__(self, login: str, reason: str, *, kind: str, sqlstate: str | None) -> None:
        super().__init__(f"{login}: {reason}")
        self.reason = reason
        self.kind = kind
        self.sqlstate = sqlstate


class PartlyDoneError(PostgresqlError):
    """A part of what was asked for was done and stays so; the message says which."""


class UnansweredError(PostgresqlError):
    """A diagnostic has no answer on this server; the message says why and what would change it."""
