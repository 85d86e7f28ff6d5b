# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names as SQL takes them (private to the collection; pure, and needs no parser)."""

from __future__ import annotations

import re
import typing as t
import unicodedata

LONGEST_NAME = 63
_PLAIN_NAME = re.compile(r"[a-z_][a-z0-9_]*")
# What quote_ident() quotes too: https://www.postgresql.org/docs/current/sql-keywords-appendix.html
RESERVED = frozenset((
    "all", "analyse", "analyze", "and", "any", "array", "as", "asc", "asymmetric", "authorization", "between", "bigint",
    "binary", "bit", "boolean", "both", "case", "cast", "char", "character", "check", "coalesce", "collate", "collation",
    "column", "concurrently", "constraint", "create", "cross", "current_catalog", "current_date", "current_role",
    "current_schema", "current_time", "current_timestamp", "current_user", "dec", "decimal", "default", "deferrable", "desc",
    "distinct", "do", "else", "end", "except", "exists", "extract", "false", "fetch", "float", "for", "foreign", "freeze",
    "from", "full", "grant", "greatest", "group", "grouping", "having", "ilike", "in", "initially", "inner", "inout", "int",
    "integer", "intersect", "interval", "into", "is", "isnull", "join", "json", "json_array", "json_arrayagg", "json_exists",
    "json_object", "json_objectagg", "json_query", "json_scalar", "json_serialize", "json_table", "json_value", "lateral",
    "leading", "least", "left", "like", "limit", "localtime", "localtimestamp", "merge_action", "national", "natural",
    "nchar", "none", "normalize", "not", "notnull", "null", "nullif", "numeric", "offset", "on", "only", "or", "order", "out",
    "outer", "overlaps", "overlay", "placing", "position", "precision", "primary", "real", "references", "returning", "right",
    "row", "select", "session_user", "setof", "similar", "smallint", "some", "substring", "symmetric", "system_user", "table",
    "tablesample", "then", "time", "timestamp", "to", "trailing", "treat", "trim", "true", "union", "unique", "user", "using",
    "values", "varchar", "variadic", "verbose", "when", "where", "window", "with", "xmlattributes", "xmlconcat", "xmlelement",
    "xmlexists", "xmlforest", "xmlnamespaces", "xmlparse", "xmlpi", "xmlroot", "xmlserialize", "xmltable",
))  # fmt: skip


def quoted(name: str) -> str:
    """A name as it must be typed in SQL.

    >>> quoted("audit"), quoted("user"), quoted('odd "one"')
    ('audit', '"user"', '"odd ""one\"""')
    """
    if _PLAIN_NAME.fullmatch(name) and name not in RESERVED:
        return name
    inside = name.replace('"', '""')
    if not any(_is_unseen(letter) for letter in name):
        return f'"{inside}"'
    escaped = "".join(f"\\+{ord(one):06X}" if _is_unseen(one) else one for one in inside.replace("\\", "\\\\"))
    return f'U&"{escaped}"'


def _is_unseen(letter: str) -> bool:
    """Whether a letter is not shown, or not told from a blank: a command with it would be pasted as another one."""
    return letter != " " and unicodedata.category(letter) in ("Cc", "Cf", "Co", "Cs", "Zl", "Zp", "Zs")


def name_for(table: str, columns: t.Sequence[str]) -> str:
    """An index's name where none is given; PostgreSQL cuts at 63 bytes, and so do we.

    >>> name_for("custody_keys", ["tenant_id", "active"])
    'custody_keys_tenant_id_active_idx'
    """
    first, second = table, "_".join(columns)
    while len(f"{first}_{second}_idx".encode()) > LONGEST_NAME:  # the longer part gives way, so that something of both stays
        first, second = (first[:-1], second) if len(first.encode()) > len(second.encode()) else (first, second[:-1])
    return f"{first}_{second}_idx"
