"""Which statements of others may be planned, and what a plan says."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.sre.runbooks.plugins.module_utils._postgresql.plans import question_for, scans
from ansible_collections.sre.runbooks.plugins.module_utils._postgresql.queries import statements

Json = dict[str, t.Any]
EXPLAIN = "EXPLAIN (FORMAT JSON, VERBOSE) "
GENERIC = "EXPLAIN (FORMAT JSON, VERBOSE, GENERIC_PLAN) "

# the statement, the server's version, the question or a part of the reason why there is none
QUESTIONS: list[tuple[str, int, str]] = [
    ("SELECT count(*) FROM t WHERE a = 'x;y'", 150000, EXPLAIN),
    ("/* by (a robot) */ SELECT * FROM t WHERE a IN (1, 2)", 150000, EXPLAIN),
    ("UPDATE t SET a = now() WHERE b = 1;", 150000, EXPLAIN),
    ("WITH x AS (SELECT 1) SELECT * FROM x", 150000, EXPLAIN),
    ("SELECT * FROM t WHERE a = $1", 160000, GENERIC),
    ("SELECT * FROM t WHERE a = $1", 150000, "only PostgreSQL 16 and later"),
    ("SELECT 1; DROP TABLE t", 180000, "more than one statement"),
    ("SELECT steal(a) FROM t", 180000, "it calls steal"),
    ('SELECT "count"(a) FROM t', 180000, 'it calls "count"'),
    ("SELECT evil.count (*) FROM t", 180000, "it calls evil.count"),
    ("SELECT pg_sleep(1)", 180000, "it calls pg_sleep"),
    ("ANALYZE t", 180000, "not a statement on rows"),
    ("(ANALYZE) SELECT 1", 180000, "not a statement on rows"),
    ("COMMIT", 180000, "not a statement on rows"),
    ("", 180000, "not a statement on rows"),
]


@pytest.mark.parametrize(("query", "version", "expected"), QUESTIONS)
def test_what_may_be_planned(query: str, version: int, expected: str) -> None:
    question, refused = question_for(query, version)
    if expected in (EXPLAIN, GENERIC):
        assert (question, refused) == (expected + query, None)
    else:
        assert question is None
        assert expected in str(refused)


def node(condition: str | None, *children: Json, kind: str = "Seq Scan") -> Json:
    return {
        "Node Type": kind,
        "Schema": "public",
        "Relation Name": "t",
        "Filter": condition,
        "Plan Rows": 4,
        "Plans": list(children),
    }


PLANS: list[tuple[str, Json, list[list[str]]]] = [
    ("one column", node("(t.a = 7)"), [["a"]]),
    ("two columns, a cast, a quoted name", node('((t.a = 7) AND ("T"."odd Name" = \'x\'::text))'), [["a", "odd Name"]]),
    ("no equality", node("(t.a > 7)"), [[]]),
    ("a function of the column", node("(lower(t.a) = 'x'::text)"), [[]]),
    ("no filter", node(None), []),
    ("an index is used", node("(t.a = 7)", kind="Index Scan"), []),
    ("below a join", node(None, node("(t.a = 7)"), node("(t.b = 8)"), kind="Nested Loop"), [["a"], ["b"]]),
]


@pytest.mark.parametrize(("name", "plan", "expected"), PLANS, ids=[row[0] for row in PLANS])
def test_the_columns_that_a_scan_compares(name: str, plan: Json, expected: list[list[str]]) -> None:
    assert [scan["columns"] for scan in scans(plan)] == expected


@pytest.mark.parametrize(("version", "column"), [("1.7", "total_time"), ("1.8", "total_exec_time"), ("1.12", "total_exec_time")])
def test_the_question_for_statements_follows_the_extension_s_version(version: str, column: str) -> None:
    text = statements(version, '"odd schema"', texts=False)
    assert f"s.{column}" in text
    assert '"odd schema".pg_stat_statements(false)' in text
