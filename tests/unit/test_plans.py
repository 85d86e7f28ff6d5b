"""What may be planned of a stranger's statement, and what a plan says."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.sre.runbooks.plugins.module_utils._postgresql.planning import settled, the_one_meant
from ansible_collections.sre.runbooks.plugins.module_utils._postgresql.plans import (
    Comparison,
    Scan,
    UnplannableError,
    loops,
    question_from,
    scans,
)

Json = dict[str, t.Any]

# the statement, the SELECT that is planned for it (with schema s for tables without one)
PLANNED = [
    ("SELECT count(*) FROM t WHERE a = 'x;y'", "SELECT count(*) FROM s.t WHERE a = 'x;y'"),
    ("/* by (a robot) */ SELECT * FROM t WHERE a IN (1, 2);", "SELECT * FROM s.t WHERE a IN (1, 2)"),
    ("SELECT * FROM t WHERE a = $1 FOR UPDATE OF t NOWAIT", "SELECT * FROM s.t WHERE a = $1"),
    ("UPDATE t AS x SET a = now() FROM f WHERE x.b = f.c RETURNING a", "SELECT 1 FROM s.t AS x, s.f WHERE x.b = f.c"),
    ("DELETE FROM ONLY t USING f WHERE t.b = f.c", "SELECT 1 FROM ONLY s.t, s.f WHERE t.b = f.c"),
    ("INSERT INTO t SELECT * FROM u WHERE v = 1", "SELECT * FROM s.u WHERE v = 1"),
    ("DECLARE c CURSOR FOR SELECT a FROM t", "SELECT a FROM s.t"),
    ("WITH x AS (SELECT * FROM t FOR SHARE) SELECT * FROM x", "WITH x AS (SELECT * FROM s.t) SELECT * FROM x"),
    ("SELECT * FROM other.t", "SELECT * FROM other.t"),
    ("SELECT md5(a), to_char(b, 'x'), c -> 'd' FROM t, generate_series(1, 2) AS g",
     "SELECT md5(a), to_char(b, 'x'), c -> 'd' FROM s.t, generate_series(1, 2) AS g"),
]  # fmt: skip


@pytest.mark.parametrize(("query", "expected"), PLANNED)
def test_what_is_planned_is_a_select_of_our_own(query: str, expected: str) -> None:
    assert question_from(query).text({"t": "s", "f": "s", "u": "s"}) == expected


REFUSED = [
    ("SELECT 1; DROP TABLE t", "more than one statement"),
    ("SELECT 'x--'; COMMIT; SET default_transaction_read_only = off; COMMIT; CREATE TABLE owned ()", "more than one statement"),
    ("-- nothing", "there is no statement"),
    ("SELECT * FROM t WHERE a = 'cut", "cannot be parsed"),
    ("ANALYZE t", "not a statement on rows"),
    ("EXPLAIN ANALYZE DELETE FROM t", "not a statement on rows"),
    ("COMMIT", "not a statement on rows"),
    ("COPY (SELECT secret FROM t) TO PROGRAM 'x'", "not a statement on rows"),
    ("MERGE INTO t USING u ON t.a = u.b WHEN MATCHED THEN DELETE", "not a statement on rows"),
    ("SELECT * INTO owned FROM t", "it makes a table"),
    ("INSERT INTO t VALUES (1)", "it reads no table"),
    ("WITH gone AS (DELETE FROM t RETURNING *) SELECT * FROM gone", "it uses DeleteStmt"),
    ("SELECT (NULL::pg_class).evil", "field of a composite value"),
    ("SELECT (t).evil FROM t", "field of a composite value"),
    ("SELECT * FROM t TABLESAMPLE evil(1)", "it uses RangeTableSample"),
    ("SELECT xmlelement(name a)", "it uses XmlExpr"),
    ("SELECT * FROM db.public.t", "it names a database"),
    ("SELECT CAST(a AS t.a%TYPE) FROM t", "cannot be parsed"),
    ("SELECT * FROM t WHERE a = repeat('x', 100000000)", "makes a text out of constants"),
    ("SELECT * FROM t, (SELECT b || b AS c FROM (SELECT CAST('x' AS text) AS b) y) z", "makes a text out of constants"),
    ("SELECT CAST(a AS char(10000000)) FROM t", "names a type of more than"),
]


@pytest.mark.parametrize(("query", "reason"), REFUSED)
def test_what_is_not_planned_says_why(query: str, reason: str) -> None:
    with pytest.raises(UnplannableError, match=reason):
        question_from(query)


def test_everything_that_a_statement_names_is_found() -> None:
    names = question_from(
        "WITH q AS (SELECT 1) SELECT pg_catalog.lower(a), evil(b), c.evil2, d::mood, e OPERATOR(public.@@) f, g ~~~ h FROM s.t AS c, q "
        "WHERE i = ANY (SELECT other(j) FROM u) ORDER BY k USING <<<"
    ).names
    assert names.functions == (("pg_catalog", "lower"), (None, "evil"), (None, "other")) or set(names.functions) == {
        ("pg_catalog", "lower"), (None, "evil"), (None, "other")
    }  # fmt: skip
    assert "evil2" in names.attributes
    assert (None, "mood") in names.types
    assert {("public", "@@"), (None, "~~~"), (None, "=")} <= set(names.operators)
    assert (None, "<<<") in names.operators
    assert set(names.tables) == {("s", "t"), (None, "q"), (None, "u")}
    assert names.queries == ("q",)


def node(condition: str | None = None, *children: Json, kind: str = "Seq Scan", rows: float = 4, **more: t.Any) -> Json:
    alias = {"Schema": "public", "Relation Name": "t", "Alias": "t", "Filter": condition} if kind.endswith("Scan") else {}
    return {"Node Type": kind, **alias, "Plan Rows": rows, "Plans": list(children), **more}


def columns(*names: str) -> tuple[Comparison, ...]:
    return tuple(Comparison(*name.split("::")) for name in names)


# a plan, and of each scan: the columns of its filter, those of its join, whether it was understood
SCANS: list[tuple[str, Json, list[tuple[tuple[Comparison, ...], tuple[Comparison, ...], bool]]]] = [
    ("one column", node("(t.a = 7)"), [(columns("a"), (), True)]),
    ("from the other side", node("(7 = t.a)"), [(columns("a"), (), True)]),
    ("two columns, a cast of the value, a quoted name", node("((t.a = 7) AND (t.\"odd Name\" = 'x'::text))"),
     [(columns("a", "odd Name"), (), True)]),
    ("a cast of the column", node("((t.ref)::text = 'x'::text)"), [(columns("ref::text"), (), True)]),
    ("a list of values", node("(t.a = ANY ('{1,2}'::integer[]))"), [(columns("a"), (), True)]),
    ("a parameter", node("(t.a = $1)"), [(columns("a"), (), True)]),
    ("an OR", node("((t.a = 7) OR (t.b = 8))"), [((), (), False)]),
    ("no equality", node("(t.a > 7)"), [((), (), True)]),
    ("a function of the column", node("(lower(t.a) = 'x'::text)"), [((), (), True)]),
    ("a subplan", node("(hashed SubPlan 1)"), [((), (), False)]),
    ("another table's column of the same name", node("(u.a = 7)"), [((), (), True)]),
    ("two columns of the same table", node("(t.a = t.b)"), [((), (), True)]),
    ("no condition", node(), []),
    ("an index is used", node("(t.a = 7)", kind="Index Scan"), []),
    ("below a join that it has no part in", node(None, node("(t.a = 7)"), kind="Nested Loop"), [(columns("a"), (), True)]),
    ("a hash join", node(None, node(rows=600000), node(None, node("(t.c = 1)", Alias="u"), kind="Hash"), kind="Hash Join",
                         **{"Hash Cond": "(t.ref = u.id)"}), [((), columns("ref"), True), ((), columns("id"), True)]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "plan", "expected"), SCANS, ids=[row[0] for row in SCANS])
def test_the_columns_that_a_scan_compares(name: str, plan: Json, expected: list[t.Any]) -> None:
    assert [(scan.columns, scan.joined, scan.unclear is None) for scan in scans(plan)] == expected


def test_a_join_tells_how_few_rows_the_other_side_has() -> None:
    other = node(None, node("(u.c = 1)", rows=3, Alias="u"), kind="Hash", rows=3)
    (big, _small) = scans(node(None, node(rows=600000), other, kind="Hash Join", rows=12, **{"Hash Cond": "(t.ref = u.id)"}))
    assert (big.rows, big.joined_rows, big.with_rows) == (600000, 12, 3)


def test_what_stands_on_the_outer_side_of_a_nested_loop() -> None:
    plan = node(None, node("(t.batch = 99)", kind="Index Scan", rows=1), node("(t.b = 1)"), kind="Nested Loop", rows=1)
    assert loops(node(None, plan, kind="Aggregate")) == [{"schema": "public", "table": "t", "rows": 1}]


def table(**changes: t.Any) -> Json:
    return {"schema": "public", "table": "t", "root_schema": "public", "root_table": "t", "partitioned": False, "live_rows": 1000,
            "estimated_rows": 1000.0, "pages": 10, "columns": {"a": "integer", "ref": "character varying", "n": "numeric"},
            "indexes": [], **changes}  # fmt: skip


def scan(*compared: str, **changes: t.Any) -> Scan:
    fields = {"schema": "public", "table": "t", "columns": columns(*compared), "rows": 4.0, **changes}
    return Scan(**fields)


# what a scan compares, what is known of the table; what is said of it
SETTLED: list[tuple[str, Scan, Json, Json]] = [
    ("an index is missing", scan("a"), table(), {"columns": ["a"], "table_rows": 1000.0, "covered_by": None, "unclear": None}),
    ("a cast that changes nothing", scan("ref::text"), table(), {"columns": ["ref"], "unclear": None}),
    ("a cast that does", scan("a::numeric"), table(),
     {"unclear": "a is compared as numeric, not as integer, which an index on it would not serve"}),
    ("a column of another table", scan("zz"), table(), {"unclear": "zz is no column of it"}),
    ("an index begins with it", scan("a"), table(indexes=[["t_a_b", ["a", "b"]]]), {"covered_by": "t_a_b"}),
    ("an index has it in second place", scan("a"), table(indexes=[["t_b_a", ["b", "a"]]]), {"covered_by": None}),
    ("after a reset of the statistics", scan("a"), table(live_rows=0), {"table_rows": 1000.0}),
    ("after an upgrade", scan("a"), table(live_rows=0, estimated_rows=-1.0, pages=0), {"table_rows": None}),
    ("after an upgrade from an old version", scan("a"), table(live_rows=0, estimated_rows=0.0, pages=99), {"table_rows": None}),
    ("empty", scan("a"), table(live_rows=0, estimated_rows=0.0, pages=0), {"table_rows": 0.0}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "found", "known", "expected"), SETTLED, ids=[row[0] for row in SETTLED])
def test_what_is_said_of_a_scan(name: str, found: Scan, known: Json, expected: Json) -> None:
    (one,) = settled([found], [known])
    assert {key: one[key] for key in expected} == expected


def test_the_partitions_of_one_table_are_told_together() -> None:
    parts = [table(table=f"t{n}", root_table="t", partitioned=True, live_rows=300 + n) for n in range(3)]
    (one,) = settled([scan("a", table=f"t{n}") for n in range(3)], parts)
    assert (one["table"], one["partitions"], one["table_rows"], one["rows"]) == ("t", 3, 903.0, 12.0)


def test_a_filter_and_a_join_are_two_ways_to_read_a_table() -> None:
    both = settled([scan("a", joined=columns("ref"), joined_rows=2.0, with_rows=1.0, rows=900.0)], [table()])
    assert [(one["columns"], one["rows"], one["with_rows"]) for one in both] == [(["a"], 900.0, None), (["a", "ref"], 2.0, 1.0)]


def relation(schema: str, **changes: t.Any) -> Json:
    return {"number": 1, "schema": schema, "kind": "r", "secured": False, "foreign_child": False, "locked": True, **changes}


FREE = {"locked": False}
MEANT: list[tuple[str, list[Json], str]] = [
    ("there is one, and the sessions have locked it", [relation("public")], "public"),
    ("two, of which the sessions have locked one", [relation("a", **FREE), relation("b")], "b"),
    ("there is one, and what they have locked is another (a temporary one)", [relation("public", **FREE)], "which t it reads is not known"),
    ("two, both locked", [relation("a"), relation("b")], "which t it reads is not known"),
    ("none", [], "there is no t"),
    ("a view", [relation("a", kind="v")], "no plain table"),
    ("a foreign table", [relation("a", kind="f")], "no plain table"),
    ("a foreign partition", [relation("a", kind="p", foreign_child=True)], "no plain table"),
    ("row level security", [relation("a", secured=True)], "row level security"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "found", "expected"), MEANT, ids=[row[0] for row in MEANT])
def test_which_table_a_session_means(name: str, found: list[Json], expected: str) -> None:
    try:
        assert the_one_meant("t", found)["schema"] == expected
    except UnplannableError as error:
        assert expected in str(error)  # noqa: PT017
