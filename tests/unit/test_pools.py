"""Requests that wait in vain for a connection: whether the pods' pools may be larger."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.sre.runbooks.plugins.plugin_utils._judgement.model import Finding
from ansible_collections.sre.runbooks.plugins.plugin_utils._judgement.verdict import judge
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems import shipped
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems.kubernetes import pools
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems.postgresql import connections

from tests.unit import given
from tests.unit.test_kubernetes_rules import ARGO, LIMITS, NOW, OLD, OLDS, cluster, log, pod, release

Json = dict[str, t.Any]
TEXT = "timed out after <n> waiting for a connection from the pool (DB_POOL_MAX reached)"
TAKES = {"container": "api", "configmap": "api-config", "key": "", "is_live": False, "is_sure": True, "but": []}
POOL = {"configmap": "api-config", "key": "DB_POOL_MAX", "connections_max": 60}
WRITTEN = "2026-11-24T00:30:00Z"
CONFIG = {"configmap": "api-config", "key": "DB_POOL_MAX", "off_value": None, "uid": "c1", "immutable": False, "value": "2",
          "is_shown": True, "written": WRITTEN, "is_alone": True, "beside": "", "owner": None}  # fmt: skip


def waiting(*, lines: int = 40, text: str = TEXT, last: str = NOW, room: int | None = 50, sessions: int = 6, config: Json | None = None,
            limits: Json | str | None = "ours", **changes: t.Any) -> Json:  # fmt: skip
    """Three pods that were started at one, thirty minutes after the key was written."""
    pods = [{**one, "configs": [TAKES]} for one in changes.pop("pods", OLDS)]
    told = [{**log(one["name"], 100, 20), "templates": {text: {"count": lines, "first": OLD, "last": last}}} for one in pods[:1]]
    facts = cluster(pods, told, releases=[release(1, OLD)], workload=changes.pop("workload", {}), **changes)
    pool = POOL if limits == "ours" else limits
    below = [{"system": "pg", "room": None if room is None else {"more": room, "sessions": sessions}}]
    return {
        **facts,
        "limits": {**LIMITS, "pool": pool},
        "pools": [{**CONFIG, **(config or {})}] if pool else [],
        "below": below,
    }


def found(facts: Json) -> Finding | None:
    return next((one for one in pools.pool_exhausted(t.cast("t.Any", facts)) if isinstance(one, Finding)), None)


ARITHMETIC: list[tuple[str, Json, str | None, str]] = [
    # 3 pods, and 1 beside them while they are replaced; 6 sessions are theirs
    ("four times as many", waiting(), "8", "8 fit"),
    ("no more than the inventory grants", waiting(limits={**POOL, "connections_max": 23}), "5", "5 fit"),
    ("no more than the database has room for", waiting(room=9), "3", "3 fit"),
    ("sessions of others under the same role stay", waiting(room=9, sessions=60), "3", "3 fit"),
    ("the inventory grants no more", waiting(limits={**POOL, "connections_max": 9}), None, "the inventory grants 9"),
    ("the database has no room", waiting(room=3), None, "3 more are free"),
    ("the database was not read", waiting(room=None), None, "without the database's own count"),
    ("the inventory names no key", waiting(limits=None), None, "runbooks_k8s_pool"),
    ("it holds no number", waiting(config={"value": "many"}), None, "no number above 0"),
    ("it has no limit", waiting(config={"value": "0"}), None, "no number above 0"),
    ("it is not shown", waiting(config={"value": None}), None, "no number above 0"),
    ("pods were started before it was written", waiting(config={"written": NOW}), None, "not all of its pods"),
    ("Argo CD writes it", waiting(config={"owner": ARGO}), None, "Argo CD"),
    ("it is immutable", waiting(config={"immutable": True}), None, "immutable"),
    ("the workload is paused", waiting(workload={"paused": True}), None, "paused"),
    ("another workload takes it too",
     waiting(pods=[*OLDS, pod("job", None, kind="StatefulSet", workload="job", created_at=OLD)]), None, "another workload"),
    ("the pools are not used up", waiting(sessions=2), None, "8 would fit, but the database has fewer sessions"),
    ("the words may be of another pool", waiting(text="connection pool exhausted"), None, "8 would fit, but the words do not say"),
]  # fmt: skip


@pytest.mark.parametrize(("case", "facts", "value", "words"), ARITHMETIC, ids=[row[0] for row in ARITHMETIC])
def test_how_large_it_may_be(case: str, facts: Json, value: str | None, words: str) -> None:
    one = found(facts)
    assert one is not None
    assert ([target["value"] for target in one.targets["increase_pool"]], words in str(one.evidence["fits"])) == (
        [] if value is None else [value], True,
    ), one.evidence["fits"]  # fmt: skip
    assert one.confidence == "likely" or not one.targets["increase_pool"]


SAYS: list[tuple[str, str, bool]] = [
    ("ours", TEXT, True),
    ("SQLAlchemy", "QueuePool limit of size <n> overflow <n> reached, connection timed out, timeout <n>", True),
    ("HikariCP", "HikariPool-<n> - Connection is not available, request timed out after <n>.", True),
    ("pgx", "acquire connection: context deadline exceeded", True),
    ("node-postgres", "timeout exceeded when trying to connect", True),
    ("a pool", "connection pool exhausted", True),
    ("another service", "connection to signer.example.org timed out", False),
    ("another one, asked for", "could not get a connection to the signer: deadline exceeded", False),
    ("a thread pool", "worker pool started with <n> threads", False),
    ("the server's own", "remaining connection slots are reserved", False),
]


@pytest.mark.parametrize(("case", "text", "is_one"), SAYS, ids=[row[0] for row in SAYS])
def test_what_applications_say(case: str, text: str, is_one: bool) -> None:
    assert (found(waiting(text=text)) is not None) is is_one


def test_two_databases_or_one_that_was_not_read_have_no_room() -> None:
    one = {"system": "pg", "room": {"more": 50, "sessions": 6}}
    for below in ([one, {**one, "system": "other"}], [one, {"system": "other", "room": None}], []):
        found_one = found({**waiting(), "below": below})
        assert found_one is not None
        assert (found_one.confidence, found_one.targets["increase_pool"]) == ("possible", ())


def test_without_requests_that_fail_old_lines_say_nothing() -> None:
    facts = waiting()
    facts["logs"] = [{**one, "endpoints": log(one["pod"], 100)["endpoints"]} for one in facts["logs"]]
    assert found({**facts, "users_suffer": False}) is None
    assert found({**facts, "users_suffer": True}) is not None


ROOMS: list[tuple[str, Json, Json | None]] = [
    ("150 slots, six reserved, two left for others", given.crowded(app=20), {"more": 122, "sessions": 20}),
    ("a role's limit", given.crowded(limit=25, app=20), {"more": 5, "sessions": 20}),
    ("a role's limit that is reached", given.crowded(limit=20, app=20), {"more": 0, "sessions": 20}),
    ("a database's limit", given.crowded(app=20, server={"database_limit": 30}), {"more": 10, "sessions": 20}),
    ("nobody named the application's roles", given.nobody_named(given.crowded(app=20)), None),
]


@pytest.mark.parametrize(("case", "facts", "expected"), ROOMS, ids=[row[0] for row in ROOMS])
def test_the_room_of_a_server(case: str, facts: Json, expected: Json | None) -> None:
    own = {**facts, "postgresql": {**facts["postgresql"], "locks": {"sessions": []}, "samples": {"sessions": []}}}
    assert connections.room(t.cast("t.Any", own)) == expected
    own["postgresql"].pop("locks")
    assert connections.room(t.cast("t.Any", own)) is None


def test_few_lines_and_old_ones_are_none() -> None:
    assert found(waiting(lines=9)) is None
    assert found(waiting(last="2026-11-24T01:50:00Z")) is None


def test_the_room_is_the_database_s_own_count() -> None:
    unread = {"locks": {"sessions": []}, "samples": {"sessions": []}}
    server = {**(one := given.crowded(app=20)), "system": "pg", "postgresql": {**one["postgresql"], **unread}}
    edge = {**given.edge(given.probe(failures=10)), "depends_on": ["db", "pg"]}
    facts = {**waiting(), "depends_on": ["pg"], "system": "db"}
    verdict = judge([facts, server, edge], {}, shipped())
    (cause,) = [one for one in verdict["findings"] if one["role"] == "cause"]
    assert (cause["id"], cause["confidence"]) == ("k8s.pool_exhausted", "likely")
    assert [offer["mitigation"] for offer in verdict["offers"]] == ["increase_pool"]
    alone = judge([facts, edge], {}, shipped())
    assert alone["offers"] == []
    both = {**facts, "depends_on": ["pg", "other"]}
    assert judge([both, server, edge], {("other", "postgresql"): "it was not reached"}, shipped())["offers"] == []
    elsewhere = judge([{**facts, "depends_on": []}, server, edge], {}, shipped())
    assert elsewhere["offers"] == []
