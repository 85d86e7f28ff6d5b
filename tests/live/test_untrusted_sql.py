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
RESET ROLE;
"""
ATTACKS = [
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
    planned = []
    for text in texts:
        since = server.file("postgresql.log").stat().st_size
        try:
            planning.plan_of(
                login(server, "custody_planner"), planning.Busy(text, (), ("public",)), timeout_ms=2000, lock_timeout_ms=50
            )
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
    busy = planning.Busy("SELECT * FROM tenants WHERE 'a'::name = 'b'::text", (), ("public",))
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


GRANTS = [
    ("GRANT pg_monitor TO custody_planner", "REVOKE pg_monitor FROM custody_planner", "is a member of pg_monitor"),
    ("ALTER ROLE custody_planner SUPERUSER", "ALTER ROLE custody_planner NOSUPERUSER", "is a superuser"),
    ("ALTER ROLE custody_planner CREATEROLE", "ALTER ROLE custody_planner NOCREATEROLE", "may create roles"),
    ("CREATE TABLE mine (); ALTER TABLE mine OWNER TO custody_planner", "DROP TABLE mine", "owns objects"),
]


@pytest.mark.parametrize(("give", "take", "why"), GRANTS, ids=[row[2] for row in GRANTS])
def test_a_role_that_may_more_than_select_asks_for_no_plan(server: Lab, give: str, take: str, why: str) -> None:
    busy = planning.Busy("SELECT * FROM tenants WHERE name = 'x'", (), ("public",))
    with faults.superuser(server) as cursor:
        cursor.execute(give)
        try:
            with pytest.raises(UnplannableError, match=f"custody_planner may more than SELECT.*{why}"):
                planning.plan_of(login(server, "custody_planner"), busy, timeout_ms=2000, lock_timeout_ms=50)
        finally:
            cursor.execute(take)
    assert planning.plan_of(login(server, "custody_planner"), busy, timeout_ms=2000, lock_timeout_ms=50)["scans"]
