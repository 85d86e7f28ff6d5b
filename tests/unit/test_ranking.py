"""The ranking and the verdict: tables, and the properties that must hold for any findings."""

from __future__ import annotations

import dataclasses
import json
import typing as t

import pytest
from ansible_collections.sre.runbooks.plugins.plugin_utils._judgement.catalogue import Catalogue, load
from ansible_collections.sre.runbooks.plugins.plugin_utils._judgement.model import Finding, JudgementError, Ref
from ansible_collections.sre.runbooks.plugins.plugin_utils._judgement.ranking import holds, rank
from ansible_collections.sre.runbooks.plugins.plugin_utils._judgement.system import System
from ansible_collections.sre.runbooks.plugins.plugin_utils._judgement.verdict import judge
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems import edge, found, postgresql, shipped
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems.postgresql import locks
from hypothesis import assume, settings
from hypothesis import given as generated
from hypothesis import strategies as st

from tests.unit import given

Json = dict[str, t.Any]
SICK = given.edge(given.probe(failures=10))
SLOW = given.edge(given.probe(p95=3000.0))
WELL = given.edge(given.probe())
OLD_IDLE = {"idle_in_transaction": [given.session(7, state="idle in transaction", transaction_seconds=9000.0)]}
READ_ONLY = {"settings": given.settings(default_transaction_read_only="on")}
WRITES = "POST https://api.example.org/canary"
STARVED = given.squeezed(long_running=[given.running(7, 90.0)])


def judged(*facts: Json, catalogue: Catalogue | None = None) -> Json:
    return judge(facts, {("db", "postgresql"): "silent", ("api", "edge"): "silent"}, catalogue or shipped())


def causes(verdict: Json) -> list[tuple[str, str]]:
    return [(one["id"], one["subject"]["key"]) for one in verdict["findings"] if one["role"] == "cause"]


# The idle holder's sessions under other pids, so that both troubles fit into one server.
SHIFTED = [
    {**row, "pid": row["pid"] + 1000, "blockers": [blocker + 1000 for blocker in row["blockers"]]} for row in given.idle_holder()
]


def unread(diagnostic: str) -> Json:
    """A database of which one diagnostic came too late."""
    facts = given.database([], gaps=[{"diagnostic": diagnostic, "reason": "too late", "sqlstate": None}])
    facts["postgresql"].pop(diagnostic, None)
    return facts


VERDICTS: list[tuple[str, list[Json], str, list[tuple[str, str]], list[str]]] = [
    ("queued DDL", [given.database(given.queued_ddl()), SICK], "cause_found", [("db.queued_ddl", "200")], ["cancel_queued_ddl"]),
    ("idle holder", [given.database(given.idle_holder()), SLOW], "cause_found", [("db.idle_in_transaction", "100")],
     ["terminate_blockers"]),
    ("both at once, the one that explains as much and stands first in the catalogue first",
     [given.database([*given.queued_ddl(), *SHIFTED]), SICK],
     "cause_found", [("db.queued_ddl", "200"), ("db.idle_in_transaction", "1100")], ["cancel_queued_ddl", "terminate_blockers"]),
    ("nothing wrong", [given.database([]), WELL], "healthy", [], []),
    ("an old idle transaction harms nobody", [given.database([], **OLD_IDLE), WELL], "healthy", [],
     ["terminate_idle_in_transaction"]),
    ("users suffer and nothing here explains it", [given.database([]), SICK], "unproven", [], []),
    ("users suffer and an old idle transaction does not explain it", [given.database([], **OLD_IDLE), SICK], "unproven", [], []),
    ("the database cannot be reached and users suffer", [given.refused("unreachable", "timeout"), SICK], "cause_found",
     [("db.unreachable", "db")], []),
    ("its name does not resolve from here", [given.refused("unreachable", "could not translate host name"), SICK], "unproven", [], []),
    ("the database cannot be reached and users are well", [given.refused("unreachable", "timeout"), WELL], "unproven", [], []),
    ("refused for want of slots proves itself", [given.refused("too_many_clients", "sorry"), WELL], "cause_found",
     [("db.connections_refused", "db")], []),
    ("reading the lock table measures nobody", [given.database([])], "unproven", [], []),
    ("one that waits while users are well is nothing", [given.database(given.idle_holder()[:2]), WELL], "healthy", [], []),
    ("one that waits while users suffer is not shown to be it", [given.database(given.idle_holder()[:2]), SICK], "unproven", [], []),
    ("one that waits while users suffer is not it where something else is shown to be",
     [given.database(given.idle_holder()[:2], **READ_ONLY), given.edge(given.probe(WRITES, failures=10))], "cause_found",
     [("db.read_only", "db")], []),
    ("slow statements of the application's own roles are never healthy",
     [given.database([], samples=given.samples(*(given.seen(pid, statement_ms=9000) for pid in (1, 2, 3)), runnable=0.5), plans=[]), WELL],
     "unproven", [], []),
    ("read only, and writes fail", [given.database([], **READ_ONLY), given.edge(given.probe(), given.probe(WRITES, failures=10))],
     "cause_found", [("db.read_only", "db")], []),
    ("read only, and no write was tried", [given.database([], **READ_ONLY), WELL], "unproven", [], []),
    ("read only, and what was written arrived", [given.database([], **READ_ONLY), given.edge(given.probe(), given.probe(WRITES))],
     "healthy", [], []),
    ("what its sessions do could not be read", [unread("locks"), WELL], "unproven", [], []),
    ("its settings could not be read", [unread("wraparound"), WELL], "healthy", [], []),
    ("read only does not explain that reads fail", [given.database([], **READ_ONLY), SICK], "unproven", [], []),
    ("our own login is refused while users suffer", [given.refused("authentication", "wrong"), SICK], "unproven", [], []),
    ("three hold all slots: only by name", [given.crowded(a=40, b=50, app=52), SICK], "cause_found",
     [("db.connections_exhausted", "db")], ["isolate_client"]),
    ("a long statement, and the processors are short", [STARVED, SLOW], "cause_found", [("db.long_query", "reporting/bi")],
     ["cancel_long_queries"]),
    ("a long statement, and nobody knows of the processors", [{**STARVED, "limits": {**STARVED["limits"], "cores": 0}}, SLOW],
     "unproven", [], []),
    ("behind a prepared transaction: it first, and both can be done",
     [given.database([given.waits(200, [0], "AccessExclusiveLock", user="owner"), *(given.waits(300 + n, [200]) for n in range(5))],
                     prepared_transactions=[{"gid": "tx", "prepared": "p", "user": "app", "database": "shop", "seconds": 9, "waited_for": True}]),
      SICK], "cause_found", [("db.prepared_transaction", "tx")], ["cancel_queued_ddl", "rollback_prepared"]),
    ("nothing measured is not healthy", [given.refused("unreachable", "timeout")], "unproven", [], []),
    ("nothing read is not healthy", [], "unproven", [], []),
]  # fmt: skip


@pytest.mark.parametrize(("name", "facts", "verdict", "expected", "offers"), VERDICTS, ids=[row[0] for row in VERDICTS])
def test_verdict(name: str, facts: list[Json], verdict: str, expected: list[tuple[str, str]], offers: list[str]) -> None:
    result = judged(*facts)
    assert (result["verdict"], causes(result)) == (verdict, expected)
    assert [offer["mitigation"] for offer in result["offers"]] == offers


def test_a_server_s_own_account_of_itself_is_not_healthy() -> None:
    assert judge([given.database([])], {("db", "postgresql"): "silent"}, shipped())["verdict"] == "unproven"


def test_the_same_facts_give_the_same_bytes_in_whatever_order() -> None:
    facts = [given.database(given.queued_ddl()), SICK]
    one = json.dumps(judged(*facts))
    assert json.dumps(judged(*reversed(facts))) == one == json.dumps(judged(*json.loads(json.dumps(facts))))


def test_with_its_rule_removed_a_cause_is_unproven_and_nothing_is_offered() -> None:
    rules = tuple(rule for rule in postgresql.SYSTEM.rules if rule is not locks.queued_ddl)
    others = [system for system in found() if system.kind != postgresql.SYSTEM.kind]
    without = load([dataclasses.replace(postgresql.SYSTEM, rules=rules), *others])
    result = judged(given.database(given.queued_ddl()), SICK, catalogue=without)
    assert (result["verdict"], result["offers"]) == ("unproven", [])
    assert result["last_hop"] == "5 sessions of the application wait for locks, the longest for 9.0 s"


def test_the_same_trouble_in_a_system_that_nobody_depends_on_is_no_cause_of_this() -> None:
    elsewhere = given.database([], system="other")
    blocked = given.database(given.queued_ddl(), system="other", limits={"application_users": ["nobody"]})
    for facts in (elsewhere, blocked):
        assert judged(facts, SICK)["verdict"] == "unproven"


def test_missing_systems_are_gaps_with_their_reason() -> None:
    gaps = judged(WELL)["gaps"]
    assert gaps == [{"system": "db", "kind": "postgresql", "what": "everything", "why": "silent", "vital": True}]


def test_the_innocent_report_is_never_offered() -> None:
    offers = judged(given.database(given.queued_ddl()), SICK)["offers"]
    assert [offer["targets"] for offer in offers] == [[{"pid": 200, "backend_start": "start 200", "query_start": "query 200"}]]


def test_what_is_only_possible_takes_nothing_away_from_what_is_proven() -> None:
    shared = (Ref("db", "statement", "q"),)
    stale = Finding("db.stale_statistics", "possible", Ref("db", "table", "t"), links=shared)
    missing = Finding("db.missing_index", "proven", Ref("db", "table", "t (a)"), links=shared)
    slow = Finding("api.latency_high", "proven", Ref("api", "url", "u"))
    ranked = {item.finding.id: item.role for item in rank([stale, missing, slow], shipped(), DEPENDENCIES)}
    assert ranked == {"db.missing_index": "cause", "db.stale_statistics": "suspect", "api.latency_high": "symptom"}


@pytest.mark.parametrize(
    ("links", "system", "expected"),
    [((Ref("db", "backend", "300"),), "db", True), ((Ref("db", "backend", "9"),), "db", False),
     ((Ref("db", "backend", "300"),), "other", False), ((), "db", False)],
    ids=["they meet", "they do not meet", "in another system", "it touches nothing"],
)  # fmt: skip
def test_an_edge_holds_only_where_it_can_be_shown(links: tuple[Ref, ...], system: str, expected: bool) -> None:
    cause = Finding("db.idle_in_transaction", "proven", Ref(system, "backend", "1"), links=links)
    symptom = Finding("db.blocked_sessions", "proven", Ref("db", "database", "shop"), links=(Ref("db", "backend", "300"),))
    assert holds(cause, symptom, shipped(), {}) is expected


# -- properties ------------------------------------------------------------------------------------------------------

SYSTEMS = st.sampled_from(["db", "api", "other"])
KEYS = st.sampled_from(["1", "2", "3"])
REFS = st.builds(Ref, SYSTEMS, st.just("backend"), KEYS)
FINDINGS = st.builds(
    Finding,
    id=st.sampled_from(sorted(shipped().entries)),
    confidence=st.sampled_from(["proven", "likely", "possible"]),
    subject=REFS,
    links=st.lists(REFS, max_size=3).map(tuple),
)
DEPENDENCIES = {"api": ("db",)}


def first(findings: list[Finding]) -> Finding | None:
    ranked = rank(findings, shipped(), DEPENDENCIES)
    return ranked[0].finding if ranked and ranked[0].role == "cause" else None


@generated(st.lists(FINDINGS, max_size=8), FINDINGS)
@settings(max_examples=300, deadline=None)
def test_an_unrelated_finding_never_changes_the_first(findings: list[Finding], extra: Finding) -> None:
    assume(not shipped().entry(extra.id).self_evident)  # that one is its own reason, wherever it is
    unrelated = Finding(extra.id, extra.confidence, Ref("nowhere", "backend", "9"))
    assert first([*findings, unrelated]) == first(findings)


@generated(st.lists(FINDINGS, max_size=8))
@settings(max_examples=300, deadline=None)
def test_a_finding_moved_to_a_system_of_its_own_is_never_the_cause(findings: list[Finding]) -> None:
    for number, finding in enumerate(findings):
        if shipped().entry(finding.id).self_evident:
            continue
        moved = Finding(finding.id, finding.confidence, Ref("nowhere", "backend", "9"), finding.links)
        ranked = rank([*findings[:number], moved, *findings[number + 1 :]], shipped(), DEPENDENCIES)
        assert all(item.role != "cause" for item in ranked if item.finding is moved)


@generated(st.lists(FINDINGS, max_size=8), st.randoms())
@settings(max_examples=200, deadline=None)
def test_the_order_of_the_findings_does_not_matter(findings: list[Finding], random: t.Any) -> None:
    unique = list({finding.order: finding for finding in findings}.values())
    shuffled = list(unique)
    random.shuffle(shuffled)
    assert rank(unique, shipped(), DEPENDENCIES) == rank(shuffled, shipped(), DEPENDENCIES)


def test_the_graph_of_the_catalogue_has_no_cycle() -> None:
    def walk(identity: str, above: tuple[str, ...]) -> None:
        assert identity not in above, f"{' -> '.join(above)} -> {identity}"
        for other in shipped().entry(identity).explains:
            walk(other, (*above, identity))

    for identity in shipped().entries:
        walk(identity, ())


ENTRY: Json = {"severity": "info", "explains": {}, "mitigations": [], "summary": "", "message": "", "meaning": "", "action": ""}
WRONG = [
    ({"a": {**ENTRY, "explains": {"b": "linked"}}}, "a explains b"),
    ({"a": {**ENTRY, "mitigations": ["m"]}}, "m for a"),
    ({"a": {**ENTRY, "severty": "info"}}, "entry a"),
    ({"a": {}}, "entry a"),
]


@pytest.mark.parametrize(("entries", "message"), WRONG)
def test_a_wrong_catalogue_names_its_entry(entries: Json, message: str) -> None:
    with pytest.raises(JudgementError, match=message):
        load([dataclasses.replace(edge.SYSTEM, findings=entries)])


UNIQUE = [
    ([edge.SYSTEM, edge.SYSTEM], "edge is there twice"),
    ([edge.SYSTEM, dataclasses.replace(edge.SYSTEM, kind="other")], "api.failing is there twice"),
]


@pytest.mark.parametrize(("systems", "message"), UNIQUE)
def test_no_two_systems_say_the_same(systems: list[System], message: str) -> None:
    with pytest.raises(JudgementError, match=message):
        load(systems)


def test_a_mitigation_says_what_tells_its_targets_apart() -> None:
    texts = dict.fromkeys(("role", "effect", "helps", "hurts", "risk", "cap", "undo", "undo_by_hand"), "x")
    nameless = {"stop": {**texts, "identity": []}}
    with pytest.raises(JudgementError, match="stop does not say what tells its targets apart"):
        load([dataclasses.replace(edge.SYSTEM, mitigations=nameless)])


def test_a_host_of_two_kinds_has_facts_of_both() -> None:
    """One that is both what users call and the database behind it: neither hides the other."""
    both = {("one", "postgresql"): "silent", ("one", "edge"): "silent"}
    users = {**given.edge(given.probe()), "system": "one", "depends_on": []}
    whole = judge([given.database([], system="one"), users], both, shipped())
    assert (whole["verdict"], whole["gaps"]) == ("healthy", [])
    half = judge([users], both, shipped())
    assert half["verdict"] == "unproven"
    assert [(gap["kind"], gap["what"], gap["vital"]) for gap in half["gaps"]] == [("postgresql", "everything", True)]


BEGAN = [
    ("both before: by the catalogue", "02:00", "01:00", ["db.queued_ddl", "db.idle_in_transaction"]),
    ("the first in the catalogue came later", "02:30", "01:00", ["db.idle_in_transaction", "db.queued_ddl"]),
    ("nobody knows since when", None, "01:00", ["db.queued_ddl", "db.idle_in_transaction"]),
    ("both came later: by the catalogue", "02:30", "02:40", ["db.queued_ddl", "db.idle_in_transaction"]),
]


@pytest.mark.parametrize(("name", "first", "second", "expected"), BEGAN, ids=[row[0] for row in BEGAN])
def test_what_began_before_the_symptom_goes_before_what_began_after(
    name: str, first: str | None, second: str, expected: list[str]
) -> None:
    def found(identity: str, key: str, moment: str | None, *links: str) -> Finding:
        refs = tuple(Ref("db", "backend", link) for link in links)
        return Finding(identity, "proven", Ref("db", "backend", key), refs, {}, moment and f"2026-11-24T{moment}:00Z")

    symptom = found("db.blocked_sessions", "9", "02:14", "1", "2")
    causes = [found("db.queued_ddl", "1", first, "9"), found("db.idle_in_transaction", "2", second, "9")]
    ranked = rank([symptom, *causes], shipped(), {})
    assert [item.finding.id for item in ranked if item.role == "cause"] == expected
