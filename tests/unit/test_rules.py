"""Each rule: facts in, findings out."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.sre.runbooks.plugins.plugin_utils._judgement.catalogue import shipped
from ansible_collections.sre.runbooks.plugins.plugin_utils._judgement.model import Finding, Gap, Measured, Observation, RuledOut
from ansible_collections.sre.runbooks.plugins.plugin_utils._judgement.rules import RULES, database, edge, resources

from tests.unit import given

Json = dict[str, t.Any]
AS_CLIENTS = {"application_users": []}

PREPARED = {
    "gid": "tx-1",
    "prepared": "2026-11-24 02:00:00+00",
    "user": "app",
    "database": "shop",
    "seconds": 900,
    "waited_for": True,
}

# rule, facts, the findings' ids with their subjects' keys
FOUND: list[tuple[str, t.Callable[..., t.Any], Json, list[tuple[str, str]]]] = [
    ("the queued statement, not the report", database.queued_ddl, given.database(given.queued_ddl()), [("db.queued_ddl", "200")]),
    ("nobody queues behind the statement", database.queued_ddl, given.database(given.queued_ddl()[:2]), []),
    ("those behind it are not the application's", database.queued_ddl,
     given.database(given.queued_ddl(), limits={"application_users": ["somebody"]}), []),
    ("they wait in another database", database.queued_ddl,
     given.database([{**row, "database": "other"} for row in given.queued_ddl()]), []),
    ("they have only just begun to wait", database.queued_ddl,
     given.database(given.queued_ddl(), limits={"lock_wait_seconds_max": 60.0}), []),
    ("without named users every client counts, but not the migration", database.blocked_sessions,
     given.database(given.queued_ddl(), limits=AS_CLIENTS), [("db.blocked_sessions", "shop")]),
    ("a migration alone is nobody's user", database.blocked_sessions,
     given.database(given.queued_ddl()[:2], limits=AS_CLIENTS), []),
    ("the idle holder", database.idle_in_transaction, given.database(given.idle_holder()), [("db.idle_in_transaction", "100")]),
    ("the idle holder is not at work", database.blocking_transaction, given.database(given.idle_holder()), []),
    ("a holder at work", database.blocking_transaction,
     given.database([{**given.idle_holder()[0], "state": "active"}, *given.idle_holder()[1:]]), [("db.blocking_transaction", "100")]),
    ("a holder at work is not idle", database.idle_in_transaction,
     given.database([{**given.idle_holder()[0], "state": "active"}, *given.idle_holder()[1:]]), []),
    ("an old idle transaction", database.idle_in_transaction,
     given.database([], idle_in_transaction=[given.session(7, state="idle in transaction", state_seconds=900.0)]),
     [("db.old_idle_transaction", "7")]),
    ("a young idle transaction", database.idle_in_transaction,
     given.database([], idle_in_transaction=[given.session(7, state="idle in transaction", state_seconds=9.0)]), []),
    ("a prepared transaction that is waited for", database.prepared_transaction,
     given.database([given.waits(300, [0])], prepared_transactions=[PREPARED]), [("db.prepared_transaction", "tx-1")]),
    ("a prepared transaction that nobody waits for", database.prepared_transaction,
     given.database([], prepared_transactions=[PREPARED]), []),
    ("one of two is waited for", database.prepared_transaction,
     given.database([given.waits(300, [0])], prepared_transactions=[PREPARED, {**PREPARED, "gid": "tx-2", "waited_for": False}]),
     [("db.prepared_transaction", "tx-1")]),
    ("too many clients", database.connection, given.refused("too_many_clients", "sorry"), [("db.connections_refused", "db")]),
    ("no answer", database.connection, given.refused("unreachable", "timeout"), [("db.unreachable", "db")]),
    ("connected", database.connection, given.database([]), []),
    ("hidden sessions", database.privileges,
     given.database([], server={"database": "shop", "user": "m", "superuser": False, "member_of_pg_read_all_stats": False},
                    connections=[{"hidden": 7}]), [("db.privileges_missing", "m")]),
    ("nothing hidden", database.privileges, given.database([], connections=[{"hidden": 0}]), []),
    ("a question failed", database.degraded, given.database([], gaps=[{"diagnostic": "locks", "reason": "timeout"}]),
     [("db.diagnostic_degraded", "locks")]),
    ("another service holds the connections", resources.connection_slots, given.crowded(billing=120, app=23), [("db.connection_leak", "billing")]),
    ("the application itself holds the connections", resources.connection_slots, given.crowded(app=120, billing=24), [("db.pool_too_large", "app")]),
    ("nobody alone holds them", resources.connection_slots, given.crowded(a=40, b=50, c=52), []),
    ("six of ten connections", resources.connection_slots, given.crowded(billing=80), []),
    ("a statement that never rests", resources.long_statements, given.squeezed(long_running=[given.running(7, 90.0)]),
     [("db.long_query", "reporting/bi")]),
    ("a statement that sleeps", resources.long_statements, given.squeezed(long_running=[given.running(8, 90.0)]), []),
    ("a young statement", resources.long_statements, given.squeezed(long_running=[given.running(7, 9.0)]), []),
    ("the application has time enough", resources.long_statements, given.squeezed(20, long_running=[given.running(7, 90.0)]), []),
    ("nobody knows whose sessions they are", resources.long_statements,
     given.nobody_named(given.squeezed(long_running=[given.running(7, 90.0)])), [("db.long_query", "reporting/bi")]),
    ("nobody knows whose they are, and the long one alone takes long", resources.long_statements,
     given.nobody_named(given.squeezed(20, long_running=[given.running(7, 90.0)])), []),
    ("nobody of the application is at work", resources.long_statements,
     given.database([], samples={"taken": 8, "sessions": given.squeezed()["postgresql"]["samples"]["sessions"][1:]},
                    long_running=[given.running(7, 90.0)]), []),
    ("the application's own statement is no other's", resources.long_statements,
     given.squeezed(long_running=[given.running(1, 90.0, user="app")]), []),
    ("a table that changed much", resources.stale_statistics, given.squeezed(busy_tables=[given.table(changed=200000)]),
     [("db.stale_statistics", "public.keys")]),
    ("a table that changed little", resources.stale_statistics, given.squeezed(busy_tables=[given.table(changed=20000)]), []),
    ("nobody of the application works on it", resources.stale_statistics,
     given.squeezed(busy_tables=[given.table(changed=200000, pids=[7])]), []),
    ("a big table read whole", resources.missing_index, given.squeezed(busy_tables=[given.table()], plans=[given.plan()]),
     [("db.missing_index", "public.keys (owner)")]),
    ("most of it is wanted", resources.missing_index,
     given.squeezed(busy_tables=[given.table()], plans=[given.plan(rows=400000)]), []),
    ("a small table", resources.missing_index, given.squeezed(busy_tables=[given.table(live=9000)], plans=[given.plan()]), []),
    ("its statistics are stale, so its plan proves nothing", resources.missing_index,
     given.squeezed(busy_tables=[given.table(changed=200000)], plans=[given.plan()]), []),
    ("somebody else's statement", resources.missing_index,
     given.squeezed(busy_tables=[given.table()], plans=[given.plan(user="reporting")]), []),
    ("no time is lost", resources.missing_index, given.squeezed(2, busy_tables=[given.table()], plans=[given.plan()]), []),
    ("a migration without lock_timeout", resources.advice, given.database(given.queued_ddl(), role_settings=[], settings=[
        {"name": "lock_timeout", "setting": "0"}]), [("db.setting_advised", "lock_timeout of owner")]),
    ("a migration with one", resources.advice, given.database(given.queued_ddl(), settings=[{"name": "lock_timeout", "setting": "0"}],
     role_settings=[{"name": "lock_timeout", "user": "owner", "database": None, "setting": "2s"}]), []),
    ("errors over the limit", edge.failing, given.edge(given.probe(failures=2)), [("api.failing", given.probe()["url"])]),
    ("errors within the limit", edge.failing, given.edge(given.probe(failures=1)), []),
    ("slow", edge.latency_high, given.edge(given.probe(p95=501.0)), [("api.latency_high", given.probe()["url"])]),
    ("just fast enough", edge.latency_high, given.edge(given.probe(p95=500.0)), []),
    ("failing is not also slow", edge.latency_high, given.edge(given.probe(failures=9, p95=3000.0)), []),
    ("a monitor alerts", edge.monitors, {**given.edge(), "monitors": [
        {"id": 7, "name": "p95", "state": "Alert", "groups": {"service:api": "Alert"}}]}, [("api.monitor_alerting", "7")]),
    ("a monitor is well", edge.monitors, {**given.edge(), "monitors": [{"id": 7, "name": "p95", "state": "OK", "groups": {}}]}, []),
    ("never asked", edge.failing, given.edge(given.probe(requests=0, p95=None)), []),
]  # fmt: skip


@pytest.mark.parametrize(("name", "rule", "facts", "expected"), FOUND, ids=[row[0] for row in FOUND])
def test_findings(name: str, rule: t.Callable[..., t.Any], facts: Json, expected: list[tuple[str, str]]) -> None:
    findings = [seen for seen in rule(facts) if isinstance(seen, Finding)]
    assert [(finding.id, finding.subject.key) for finding in findings] == expected
    for finding in findings:
        assert shipped().summary(finding)
        assert shipped().told(finding)


def of(kind: type, rule: t.Callable[..., t.Any], facts: Json) -> list[t.Any]:
    return [seen for seen in rule(facts) if isinstance(seen, kind)]


def test_a_queued_statement_names_what_to_cancel_and_what_it_waits_for() -> None:
    finding = of(Finding, database.queued_ddl, given.database(given.queued_ddl()))[0]
    assert finding.targets == ({"pid": 200, "backend_start": "start 200"},)
    assert finding.evidence["behind"] == "pid 100 (reporting, report)"
    assert finding.evidence["held_up"] == 5
    assert {link.key for link in finding.links} == {"100", "300", "301", "302", "303", "304"}


@pytest.mark.parametrize(
    ("message", "confidence"),
    [('could not translate host name "db" to address: Name or service not known', "possible"), ("timeout expired", "likely")],
)
def test_a_name_that_does_not_resolve_here_is_a_weaker_reason(message: str, confidence: str) -> None:
    assert of(Finding, database.connection, given.refused("unreachable", message))[0].confidence == confidence


def test_a_leak_is_told_with_its_arithmetic_and_what_an_undo_needs() -> None:
    facts = given.crowded(billing=120, app=22)
    facts["limits"]["pools"] = {"billing": {"instances": 2, "size": 20}}
    (finding,) = of(Finding, resources.connection_slots, facts)
    assert shipped().summary(finding) == (
        "billing (worker, from 10.0.0.9) holds 120 of 144 connections (150 - 6 reserved), others 22, free 2; "
        "it should use at most 2 × 20 = 40"
    )
    assert finding.targets == ({"role": "billing", "connection_limit": -1, "sessions": 120},)


def test_a_missing_index_names_the_statement_that_would_help_and_the_leftover() -> None:
    left = [{"schema": "public", "table": "keys", "index": "keys_again"}]
    calls = [{"query_id": "1", "mean_ms": 80.0, "calls": 12}]
    plans = [given.plan(columns=["owner", "odd Name"])]
    facts = given.squeezed(busy_tables=[given.table()], plans=plans, invalid_indexes=left, statements=calls)
    (finding,) = of(Finding, resources.missing_index, facts)
    assert shipped().by_hand(finding) == (
        'DROP INDEX CONCURRENTLY public.keys_again; CREATE INDEX CONCURRENTLY ON public.keys (owner, "odd Name");'
    )
    assert "80 ms on average over 12 calls" in shipped().summary(finding)
    assert "an INVALID index is left over: keys_again" in shipped().summary(finding)
    assert finding.targets[0]["name"] == "keys_owner_odd Name_idx"


def test_a_plan_that_could_not_be_had_is_a_gap_while_time_is_lost() -> None:
    plans = [given.plan(refused="permission denied for table keys", scans=[])]
    assert of(Gap, resources.missing_index, given.squeezed(busy_tables=[], plans=plans)) == [
        Gap("db", "the plan of SELECT of app", "permission denied for table keys")
    ]
    assert not of(Gap, resources.missing_index, given.squeezed(2, busy_tables=[], plans=plans))


def test_a_silent_monitor_and_a_dead_datadog_are_gaps() -> None:
    facts = {
        **given.edge(),
        "monitors": [{"id": 7, "name": "p95", "state": "No Data", "groups": {}}],
        "monitors_refused": "HTTP 403",
    }
    assert of(Gap, edge.monitors, facts) == [
        Gap("api", "Datadog", "HTTP 403"), Gap("api", "Datadog's p95 (7)", "its state is No Data")
    ]  # fmt: skip


@pytest.mark.parametrize("module", [database, edge, resources])
def test_every_rule_is_asked(module: t.Any) -> None:
    written = {
        function for name, function in vars(module).items()
        if not name.startswith("_") and getattr(function, "__module__", "") == module.__name__
        and t.get_type_hints(function).get("return") == t.Iterator[Observation]
    }  # fmt: skip
    assert written == set(module.RULES)


def test_a_name_that_does_not_resolve_from_here_says_nothing_of_users() -> None:
    lost = given.probe(failures=10) | {"reasons": {"name does not resolve": 10}}
    facts = given.edge(lost)
    (gap,) = of(Gap, edge.sampled, facts)
    assert (gap.what, gap.why.partition(":")[0]) == (lost["url"], "name does not resolve from here")
    for rule in (edge.sampled, edge.failing, edge.latency_high):
        assert not of(Measured, rule, facts)
        assert not of(Finding, rule, facts)
        assert not of(RuledOut, rule, facts)
    some = lost | {"reasons": {"name does not resolve": 9, "HTTP 503": 1}}
    assert of(Finding, edge.failing, given.edge(some))


def test_no_sample_is_no_knowledge() -> None:
    assert of(Gap, edge.sampled, given.edge()) == [
        Gap("api", "what users see", "no health URL is configured (runbooks_health_urls)")
    ]
    assert not of(Measured, edge.sampled, given.edge(given.probe(requests=0, p95=None)))


def test_what_was_not_read_is_not_ruled_out() -> None:
    facts = given.database([])
    del facts["postgresql"]["locks"]
    for rule in database.RULES:
        assert not [seen for seen in of(RuledOut, rule, facts) if seen.id != "db.unreachable"]
        assert not of(Measured, rule, facts)


@pytest.mark.parametrize("rule", RULES["database"])
def test_a_refused_connection_breaks_no_rule(rule: t.Callable[..., t.Any]) -> None:
    assert isinstance(list(rule(given.refused("authentication", "no"))), list)


def test_every_finding_of_the_catalogue_has_a_rule_that_makes_it() -> None:
    made = {finding[0] for case in FOUND for finding in case[3]}
    assert made == set(shipped().entries)
