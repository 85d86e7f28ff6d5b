"""Whatever text an application's sessions have at work: the server runs one EXPLAIN for it or nothing. Its log is the witness."""

from __future__ import annotations

import random
import typing as t

import pglast
import psycopg2
import pytest

from tests import collection
from tests.lab import faults
from tests.lab.__main__ import up
from tests.lab.state import Lab

collection.install()

from ansible_collections.sre.runbooks.plugins.module_utils._postgresql import planning, sql
from ansible_collections.sre.runbooks.plugins.module_utils._postgresql.connection import Login
from ansible_collections.sre.runbooks.plugins.module_utils._postgresql.plans import UnplannableError
from ansible_collections.sre.runbooks.plugins.module_utils._postgresql.queries import DIAGNOSTICS
from ansible_collections.sre.runbooks.plugins.module_utils._postgresql.triage import Limits, triage

TEXTS = 600
# What the application's owner may make: functions that lie about being immutable, and everything that calls them unseen.
TRAPS = """
SET ROLE custody_owner;
CREATE FUNCTION public.evil() RETURNS text IMMUTABLE LANGUAGE plpgsql AS
  $$BEGIN RAISE LOG 'EVIL RAN as %', current_user; RETURN 'x'; END$$;
CREATE FUNCTION public.evil(text) RETURNS text IMMUTABLE LANGUAGE plpgsql AS
  $$BEGIN RAISE LOG 'EVIL RAN as %', current_user; RETURN $1; END$$;
CREATE FUNCTION public.lower(integer) RETURNS text IMMUTABLE LANGUAGE plpgsql AS
  $$BEGIN RAISE LOG 'EVIL RAN as %', current_user; RETURN 'x'; END$$;
CREATE FUNCTION public.evil_equal(name, text) RETURNS boolean IMMUTABLE LANGUAGE plpgsql AS
  $$BEGIN RAISE LOG 'EVIL RAN as %', current_user; RETURN true; END$$;
CREATE FUNCTION public.evil_row(tenants) RETURNS text IMMUTABLE LANGUAGE plpgsql AS
  $$BEGIN RAISE LOG 'EVIL RAN as %', current_user; RETURN 'x'; END$$;
CREATE OPERATOR public.@@@ (RIGHTARG = text, FUNCTION = public.evil);
CREATE FUNCTION public.count(bigint) RETURNS bigint IMMUTABLE LANGUAGE plpgsql AS
  $$BEGIN RAISE LOG 'EVIL RAN as %', current_user; RETURN 1; END$$;
CREATE TYPE public.mood AS ENUM ('a', 'b');
CREATE FUNCTION public.evil_cast(text) RETURNS mood IMMUTABLE LANGUAGE plpgsql AS
  $$BEGIN RAISE LOG 'EVIL RAN as %', current_user; RETURN 'a'::mood; END$$;
CREATE CAST (text AS public.mood) WITH FUNCTION public.evil_cast(text);
CREATE VIEW public.innocent AS SELECT * FROM tenants WHERE name = public.evil();
GRANT SELECT ON public.innocent TO custody_planner, custody_monitor;
CREATE FUNCTION public.hook(integer) RETURNS boolean IMMUTABLE LANGUAGE plpgsql AS
  $$BEGIN RAISE LOG 'EVIL RAN as %', current_user; RETURN true; END$$;
CREATE FUNCTION public.distance(integer, integer) RETURNS float8 IMMUTABLE LANGUAGE plpgsql AS
  $$BEGIN RAISE LOG 'EVIL RAN as %', current_user; RETURN $1 - $2; END$$;
CREATE FUNCTION public.same(text, integer) RETURNS boolean IMMUTABLE LANGUAGE plpgsql AS
  $$BEGIN RAISE LOG 'EVIL RAN as %', current_user; RETURN true; END$$;
CREATE TABLE bait_index AS SELECT i AS a FROM generate_series(1, 1000) AS i;
CREATE INDEX ON bait_index (a) WHERE public.hook(1);
CREATE TABLE bait_check (a integer CHECK (public.hook(2)));
CREATE TABLE bait_parent (a integer);
CREATE TABLE bait_child (CHECK (public.hook(3))) INHERITS (bait_parent);
CREATE TYPE public.span AS RANGE (subtype = integer, subtype_diff = public.distance);
CREATE TABLE bait_range AS SELECT public.span(i, i + 5) AS r FROM generate_series(1, 1000) AS i;
CREATE DOMAIN public.spans AS public.span;
CREATE TABLE bait_domain (r public.spans);
CREATE TYPE public.grade AS ENUM ('a', 'b');
CREATE FUNCTION public.to_grade(integer) RETURNS public.grade IMMUTABLE LANGUAGE plpgsql AS
  $$BEGIN RAISE LOG 'EVIL RAN as %', current_user; RETURN 'a'::public.grade; END$$;
CREATE CAST (integer AS public.grade) WITH FUNCTION public.to_grade(integer) AS IMPLICIT;
CREATE TABLE bait_cast (g public.grade);
CREATE SCHEMA custody_app;
GRANT USAGE ON SCHEMA custody_app TO PUBLIC;
CREATE TYPE custody_app.mood AS ENUM ('a', 'b');
CREATE EXTENSION hstore;
CREATE OPERATOR public.<<<< (LEFTARG = text, RIGHTARG = integer, FUNCTION = public.same);
ALTER EXTENSION hstore ADD OPERATOR public.<<<< (text, integer);
ALTER EXTENSION hstore ADD FUNCTION public.same(text, integer);
ANALYZE;
GRANT SELECT ON ALL TABLES IN SCHEMA public TO custody_planner;
RESET ROLE;
"""
ATTACKS = [
    "SELECT * FROM bait_index WHERE a = 7",
    "SELECT * FROM bait_check WHERE a = 7",
    "SELECT * FROM bait_parent WHERE a = 7",
    "SELECT * FROM bait_range WHERE r @> 77",
    "SELECT * FROM bait_domain WHERE r @> 77",
    "SELECT * FROM bait_cast WHERE g = 7",
    "SELECT * FROM tenants WHERE CAST(42 AS mood) <> 'b'",
    "SELECT * FROM tenants WHERE 'a'::text <<<< 5",
    "SELECT * FROM tenants WHERE name = table_to_xml(CAST('innocent' AS regclass), true, false, '')::text",
    "SELECT * FROM tenants WHERE name = CAST(database_to_xml(true, false, '') AS text)",
    "SELECT * FROM tenants WHERE 'a & b'::tsquery = ts_rewrite('a & b', 'SELECT public.evil()')",
    "SELECT repeat('x', 60000000) FROM tenants",
    "SELECT lpad(repeat('x', 9), 60000000) FROM tenants",
    "SELECT format('%60000000s', 'x') FROM tenants",
    "SELECT CAST('x' AS char(10000000)) FROM tenants",
    "SELECT length(a || a) FROM (SELECT b || b AS a FROM (SELECT name || 'x' AS b FROM (SELECT CAST('x' AS text) AS name) z) y)"
    " x, tenants",
    "SELECT * FROM tenants WHERE name = replace(replace('xx', 'x', 'xxxxxxxxxx'), 'x', 'xxxxxxxxxx')",
    "SELECT " + "1+" * 40000 + "1",
    "SELECT * FROM tenants WHERE name <> 'x--'; COMMIT; SET default_transaction_read_only = off; COMMIT; CREATE TABLE owned ()",
    "SELECT 1; DROP TABLE tenants",
    "SELECT 1;; SELECT public.evil()",
    "SELECT * FROM tenants WHERE name = 'C:\\'; CREATE TABLE owned () --'",
    "SELECT E'\\'; CREATE TABLE owned (); --'",
    "SELECT $a$ $b$; CREATE TABLE owned (); $a$",
    'SELECT "x"";"; CREATE TABLE owned (); --"',
    "SELECT 1) SELECT 2; CREATE TABLE owned (",
    "(ANALYZE) SELECT public.evil()",
    "EXPLAIN ANALYZE SELECT public.evil()",
    "SELECT * FROM innocent",
    "SELECT * FROM public.innocent",
    "WITH innocent AS (SELECT 1) SELECT * FROM (SELECT * FROM innocent) a, public.innocent",
    "SELECT * FROM (WITH innocent AS (SELECT 1) SELECT * FROM innocent) a, innocent b",
    "SELECT * FROM tenants WHERE name = evil()",
    "SELECT * FROM tenants WHERE name = lower(7)",
    "SELECT * FROM tenants WHERE name = @@@ 'x'",
    "SELECT * FROM tenants WHERE name = OPERATOR(public.@@@) 'x'",
    "SELECT * FROM tenants WHERE id::text::mood = CAST('a'::text AS mood)",
    "SELECT * FROM tenants WHERE 'a'::text::public.mood = 'a'",
    "SELECT (NULL::tenants).evil_row",
    "SELECT t.evil_row FROM (SELECT * FROM tenants) t",
    "SELECT count(1::bigint) FROM tenants",
    "SELECT pg_sleep(60)",
    "SELECT pg_notify('a', 'b'), pg_terminate_backend(1), lo_import('/etc/passwd')",
    "SELECT query_to_xml('CREATE TABLE owned ()', true, true, '')",
    "SELECT set_config('default_transaction_read_only', 'off', false)",
    "INSERT INTO tenants SELECT 1, public.evil()",
    "UPDATE tenants SET name = public.evil() WHERE id = 1",
    "DELETE FROM tenants WHERE name = public.evil()",
    "SELECT * FROM tenants TABLESAMPLE system(1)",
    "TABLE tenants; ROLLBACK; CREATE TABLE owned ()",
    "SELECT 1 INTO owned",
    "CREATE TABLE owned AS SELECT 1",
    "SELECT * FROM tenants FOR UPDATE",
    "DECLARE c CURSOR WITH HOLD FOR SELECT public.evil()",
    "PREPARE p AS SELECT public.evil()",
    "SELECT 1\x00; CREATE TABLE owned ()",
    "SELECT 'ünïcödé \u2028; CREATE TABLE owned ()'",
    "",
    ";",
    "--",
]
WORDS = """
SELECT * count(*) FROM tenants custody_keys innocent WHERE name id = <> 'x'
'x--' 'C:\\' E'\\'' $$;$$ $q$ " ' ; -- /* */ ( ) , AND OR 1
$1 evil() lower(7) public.evil('a') ::mood ::text COMMIT now() md5('a') \\ ü t.evil_row
"""
PARTS = [
    *WORDS.split(), "\n", "@@@ 'x'", "CREATE TABLE owned ()", "UNION ALL SELECT", "WITH a AS (SELECT 1)",
    "UPDATE tenants SET name = 'y'", "DELETE FROM tenants", "INSERT INTO tenants SELECT", "EXPLAIN ANALYZE", "LIMIT 1",
    "generate_series(1, 2)", "SET default_transaction_read_only = off", "AS t", "FOR UPDATE", "INTO owned",
]  # fmt: skip
EQUAL = "CREATE OPERATOR public.= (LEFTARG = name, RIGHTARG = text, FUNCTION = public.evil_equal)"


@pytest.fixture(scope="module")
def server() -> t.Iterator[Lab]:
    lab = Lab.named("untrusted")
    lab.end()
    try:
        up(lab, ("postgres",), "18", {"log_statement": "all", "log_line_prefix": "%u|"})
        with faults.superuser(lab) as cursor:
            cursor.execute(TRAPS)
        yield lab
    finally:
        lab.end()


def login(lab: Lab, user: str) -> Login:
    part = lab.part("postgres")
    return Login("127.0.0.1", part["port"], "custody_db", user, part["passwords"][user])


def logged(lab: Lab, user: str, since: int) -> list[str]:
    """The statements that a role ran since a place in the log, whole (a statement's further lines begin with a tab)."""
    with lab.file("postgresql.log").open(errors="replace") as log:
        log.seek(since)
        text = log.read()
    entries: list[str] = []
    for line in text.split("\n"):
        if line.startswith("\t"):
            entries[-1] += "\n" + line[1:]
        else:
            entries.append(line)
    start = f"{user}|LOG:  statement: "
    return [entry.removeprefix(start) for entry in entries if entry.startswith(start)]


def locked(lab: Lab) -> tuple[int, ...]:
    """All tables and views, as if the session had locked whatever it names."""
    with faults.superuser(lab) as cursor:
        cursor.execute("SELECT oid::bigint FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'v')")
        return tuple(row[0] for row in cursor.fetchall())


def busy_with(lab: Lab, text: str) -> planning.Busy:
    return planning.Busy(text, locked(lab), ("public", "custody_app"))


KNOWN = ["1", "id", "t.id", "$1", "7 + id", "(SELECT 1)", "2::bigint", "length('a')"]
VALUES = [*KNOWN, "'x'", "'x--'", "'C:\\'", "E'\\''", "$$;$$", "name", "now()", "md5('a')", "lower('A')", "lower(7)", "evil()",
          "public.evil('a')", "@@@ 'x'", "'a'::mood", "'a'::text", "count(*)", "t.evil_row", "NULL"]  # fmt: skip
TAILS = ["", "", "", ";", "; CREATE TABLE owned ()", " -- ';", " FOR UPDATE", " LIMIT 1", " UNION ALL SELECT 1, 2", "; COMMIT"]


def invented(number: int) -> list[str]:
    """Texts at random: heaps of words, good statements with a word thrown in, and good statements of all sorts of parts."""
    draw = random.Random("untrusted")
    texts = []
    for _ in range(number // 3):
        texts.append(" ".join(draw.choice(PARTS) for _ in range(draw.randint(2, 14))))
        query = f"SELECT count(*) FROM tenants WHERE name = {draw.choice(PARTS)}"
        place = draw.randint(0, len(query))
        texts.append(query[:place] + draw.choice(PARTS) + query[place:])
        values = [draw.choice(draw.choice([KNOWN, VALUES])) for _ in range(4)]
        table = draw.choice(["tenants t", "tenants t", "custody_keys t", "innocent t"])
        texts.append(f"SELECT {values[0]}, {values[1]} FROM {table} WHERE {values[2]} = {values[3]}{draw.choice(TAILS)}")
    return texts


def test_no_text_makes_the_server_run_anything_but_one_explain(server: Lab) -> None:
    texts = [*ATTACKS, *invented(TEXTS)]
    planned, held = [], locked(server)
    for text in texts:
        since = server.file("postgresql.log").stat().st_size
        try:
            planning.plan_of(
                login(server, "custody_planner"), planning.Busy(text, held, ("public", "custody_app")), timeout_ms=2000,
                lock_timeout_ms=50,
            )  # fmt: skip
            planned.append(text)
        except (UnplannableError, psycopg2.Error):
            pass  # nothing was asked, or the server refused it: the log shows which
        trees = [[raw.stmt for raw in pglast.parse_sql(one)] for one in logged(server, "custody_planner", since)]
        explained = [tree for tree in trees if not _is_ours(tree)]
        assert len(explained) <= 1, (text, explained)
        for (tree,) in explained:
            assert type(tree).__name__ == "ExplainStmt", (text, tree)
            assert {option.defname for option in tree.options} <= {"format", "verbose", "generic_plan"}, (text, tree)
            assert type(tree.query).__name__ == "SelectStmt", (text, tree)
    log = server.file("postgresql.log").read_text(errors="replace")
    assert "EVIL RAN as custody_planner" not in log
    assert len(planned) >= 20, "the test must also reach the server"
    with faults.superuser(server) as cursor:
        cursor.execute("SELECT to_regclass('public.owned'), (SELECT count(*) FROM tenants)")
        assert cursor.fetchone() == (None, 40)


def _is_ours(trees: list[t.Any]) -> bool:
    """Whether an entry of the log is what is asked before: settings of our own session, or one look at the catalogs."""
    kinds = {type(tree).__name__ for tree in trees}
    if kinds == {"VariableSetStmt"}:
        return True
    tables = [node for tree in trees for node in _tables(tree)]
    return kinds == {"SelectStmt"} and len(trees) == 1 and all(name.startswith("pg_") for name in tables)


def _tables(tree: t.Any) -> list[str]:
    """The tables that a SELECT of ours reads, but for its own WITH clauses."""
    nodes = list(sql.nodes(tree))
    own = {node.ctename for node in nodes if sql.kind(node) == "CommonTableExpr"}
    return [node.relname for node in nodes if sql.kind(node) == "RangeVar" and node.relname not in own]


def test_an_operator_of_a_stranger_s_for_everyday_types_is_not_planned(server: Lab) -> None:
    busy = busy_with(server, "SELECT * FROM tenants WHERE 'a'::name = 'b'::text")
    with faults.superuser(server) as cursor:
        cursor.execute(EQUAL)
        try:
            with pytest.raises(UnplannableError, match="the operator =, and planning could run that"):
                planning.plan_of(login(server, "custody_planner"), busy, timeout_ms=2000, lock_timeout_ms=50)
        finally:
            cursor.execute("DROP OPERATOR public.= (name, text)")


def test_nothing_that_the_application_s_owner_has_made_runs_as_the_monitoring_role(server: Lab) -> None:
    with faults.superuser(server) as cursor:
        cursor.execute(EQUAL)
        try:
            read = triage(login(server, "custody_monitor"), Limits(query_text=True), [one.name for one in DIAGNOSTICS])
        finally:
            cursor.execute("DROP OPERATOR public.= (name, text)")
    assert read["gaps"] == []
    assert "EVIL RAN as custody_monitor" not in server.file("postgresql.log").read_text(errors="replace")


def test_the_counters_of_statements_are_not_read_where_somebody_could_put_a_function_in_their_place(server: Lab) -> None:
    with faults.superuser(server) as cursor:
        cursor.execute("ALTER EXTENSION pg_stat_statements SET SCHEMA public")
        try:
            read = triage(login(server, "custody_monitor"), Limits(), ["server", "statements"])
        finally:
            cursor.execute("ALTER EXTENSION pg_stat_statements SET SCHEMA monitoring")
    (gap,) = read["gaps"]
    assert "ALTER EXTENSION pg_stat_statements SET SCHEMA monitoring" in gap["reason"]


HANGS = """
CREATE OR REPLACE FUNCTION public.hook(integer) RETURNS boolean IMMUTABLE LANGUAGE plpgsql AS $$
  BEGIN IF current_user <> 'custody_planner' THEN RETURN true; END IF;
  LOOP BEGIN PERFORM pg_sleep(60); EXCEPTION WHEN query_canceled THEN NULL; END; END LOOP; END$$
"""


def test_planning_that_goes_on_after_its_time_is_ended(server: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "_refuse_hooks", lambda *_: None)
    with faults.superuser(server) as cursor:
        cursor.execute(HANGS)
        with pytest.raises(UnplannableError, match="did not end in time"):
            planning.plan_of(
                login(server, "custody_planner"), busy_with(server, "SELECT * FROM bait_index WHERE a = 7"), timeout_ms=500,
                lock_timeout_ms=50,
            )  # fmt: skip
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE usename = 'custody_planner' AND state = 'active'")
        assert cursor.fetchone() == (0,)


def test_why_there_is_no_plan_tells_nothing_of_the_statement(server: Lab) -> None:
    for text in (
        "SELECT * FROM tenants WHERE created = 'hunter2'",
        "SELECT * FROM tenants WHERE CAST('31.12.1979' AS date) > now()",
        "SELECT * FROM tenants WHERE id = 'hunter2'",
    ):
        with pytest.raises(UnplannableError) as error:
            planning.plan_of(login(server, "custody_planner"), busy_with(server, text), timeout_ms=2000, lock_timeout_ms=50)
        assert "hunter2" not in str(error.value)
        assert "1979" not in str(error.value)


def test_a_temporary_view_in_the_place_of_a_table_is_not_planned(server: Lab) -> None:
    with pytest.raises(UnplannableError, match="which tenants it reads is not known"):
        planning.plan_of(
            login(server, "custody_planner"), planning.Busy("SELECT * FROM tenants WHERE name = 'x'", (), ("public",)),
            timeout_ms=2000, lock_timeout_ms=50,
        )  # fmt: skip


GRANTS = [
    ("GRANT pg_monitor TO custody_planner", "REVOKE pg_monitor FROM custody_planner", "is a member of pg_monitor"),
    ("ALTER ROLE custody_planner SUPERUSER", "ALTER ROLE custody_planner NOSUPERUSER", "is a superuser"),
    ("ALTER ROLE custody_planner CREATEROLE", "ALTER ROLE custody_planner NOCREATEROLE", "may create roles"),
    ("CREATE TABLE mine (); ALTER TABLE mine OWNER TO custody_planner", "DROP TABLE mine", "owns objects"),
]


@pytest.mark.parametrize(("give", "take", "why"), GRANTS, ids=[row[2] for row in GRANTS])
def test_a_role_that_may_more_than_select_asks_for_no_plan(server: Lab, give: str, take: str, why: str) -> None:
    busy = busy_with(server, "SELECT * FROM tenants WHERE name = 'x'")
    with faults.superuser(server) as cursor:
        cursor.execute(give)
        try:
            with pytest.raises(UnplannableError, match=f"custody_planner may more than SELECT.*{why}"):
                planning.plan_of(login(server, "custody_planner"), busy, timeout_ms=2000, lock_timeout_ms=50)
        finally:
            cursor.execute(take)
    assert planning.plan_of(login(server, "custody_planner"), busy, timeout_ms=2000, lock_timeout_ms=50)["scans"]
