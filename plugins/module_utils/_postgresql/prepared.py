# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rolling back a transaction that was prepared and never finished (private to the collection)."""

from __future__ import annotations

import dataclasses

try:
    import psycopg2.extensions
    import psycopg2.sql
except ImportError:  # the modules report it before anything of this file is called
    pass

from ansible_collections.sre.runbooks.plugins.module_utils._postgresql.effects import current_user, permitted, rows
from ansible_collections.sre.runbooks.plugins.module_utils._postgresql.errors import PostgresqlError

PREPARED = """
SELECT gid, owner::text AS owner, quote_ident(owner) AS quoted, database::text AS database, prepared::text AS prepared,
       extract(epoch FROM clock_timestamp() - prepared)::int AS seconds, database = current_database() AS here,
       owner = current_user AS own, pg_is_in_recovery() AS in_recovery
FROM pg_prepared_xacts WHERE gid = %s
"""


@dataclasses.dataclass(frozen=True)
class Prepared:
    """A prepared transaction; ``prepared`` (its time) tells it from a later one of the same name."""

    gid: str
    owner: str
    quoted: str
    database: str
    prepared: str
    seconds: int
    here: bool
    own: bool
    in_recovery: bool


def look(connection: psycopg2.extensions.connection, gid: str) -> Prepared | None:
    found = rows(connection, PREPARED, (gid,))
    return Prepared(**found[0]) if found else None


def refuse(found: Prepared, prepared: str, older_than: float) -> None:
    """Raises PostgresqlError for another transaction of the same name, a young one, or one of another database."""
    if found.in_recovery:
        raise PostgresqlError("this server is a standby, where nothing can be rolled back: do it on the primary")
    if found.prepared != prepared:
        raise PostgresqlError(f"{found.gid!r} is another transaction now, prepared {found.prepared}: nothing was touched")
    if found.seconds < older_than:
        raise PostgresqlError(
            f"{found.gid!r} is {found.seconds} s old, and one younger than {older_than:g} s may still be finished by its "
            "transaction manager: nothing was touched"
        )
    if not found.here:
        raise PostgresqlError(f"{found.gid!r} belongs to the database {found.database}: connect to that one")


def roll_back(connection: psycopg2.extensions.connection, found: Prepared) -> None:
    """Rolls it back as its owner, and confirms. Raises PostgresqlError."""
    with permitted(f"GRANT {found.quoted} TO {current_user(connection)};"):
        if not found.own:
            rows(connection, psycopg2.sql.SQL("SET ROLE {}").format(psycopg2.sql.Identifier(found.owner)))
        now = look(connection, found.gid)
        if now is None or now.prepared != found.prepared:
            raise PostgresqlError(f"{found.gid!r} was finished by somebody else just now: nothing was touched")
        rows(connection, "ROLLBACK PREPARED %s", (found.gid,))
    if look(connection, found.gid) is not None:
        raise PostgresqlError(f"{found.gid!r} is still there after ROLLBACK PREPARED")
