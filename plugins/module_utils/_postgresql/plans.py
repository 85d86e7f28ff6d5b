# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asking for the plan of a statement that somebody else runs, without running any of it (private to the collection).

A statement's text is text from outside. It is explained only if it is one statement that reads or writes rows and calls
nothing but well-known functions: the planner computes what is constant, so a function of a stranger's would run as us.
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.sre.runbooks.plugins.module_utils._postgresql.text import masked

Json = dict[str, t.Any]
EXPLAINED = ("SELECT ", "WITH ", "INSERT ", "UPDATE ", "DELETE ")
# What may stand before an opening parenthesis: words of the language, and functions of pg_catalog without effects.
_HARMLESS = """
all and any array as avg between by case cast ceil char_length coalesce concat count date_trunc
delete distinct else exists extract filter floor from greatest group having ilike in insert interval
into is join lateral least left length like limit lower max min mod not now nullif numeric offset on
or order over partition returning right round row select set similar some substring sum then trim
union update upper using values varchar when where with
"""
HARMLESS = frozenset(_HARMLESS.split())
_CALL = re.compile(r'("[^"]*"|[\w$.]+)\s*\(')
_PARAMETER = re.compile(r"(?<![\w$])\$\d")
_EQUALITY = re.compile(r'\((?:(?:"[^"]+"|\w+)\.)?("[^"]+"|\w+) = ')


def question_for(query: str, version_num: int) -> tuple[str | None, str | None]:
    """The EXPLAIN for a statement, or why it is not asked for."""
    bare = masked(query)
    if not bare.upper().startswith(EXPLAINED):
        return None, "it is not a statement on rows"
    if ";" in bare.rstrip("; "):
        return None, "it is more than one statement"
    strange = sorted({call for call in _CALL.findall(bare.lower()) if call not in HARMLESS})
    if strange:
        return None, f"it calls {', '.join(strange)[:80]}, and what that does is not known"
    if not _PARAMETER.search(bare):
        return f"EXPLAIN (FORMAT JSON, VERBOSE) {query}", None
    if version_num < 160000:
        return None, "it has parameters, and only PostgreSQL 16 and later plan it without their values"
    return f"EXPLAIN (FORMAT JSON, VERBOSE, GENERIC_PLAN) {query}", None


def scans(plan: Json) -> list[Json]:
    """The sequential scans with a filter in a plan: schema, table, the columns compared by ``=``, the rows expected."""
    found: list[Json] = []
    if plan.get("Node Type") == "Seq Scan" and plan.get("Filter"):
        columns = [name.strip('"') for name in _EQUALITY.findall(plan["Filter"])]
        found.append(
            {
                "schema": plan.get("Schema"),
                "table": plan.get("Relation Name"),
                "columns": list(dict.fromkeys(columns)),
                "rows_expected": plan.get("Plan Rows"),
            }
        )
    for child in plan.get("Plans", []):
        found += scans(child)
    return found
