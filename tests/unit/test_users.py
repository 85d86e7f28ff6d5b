"""Whose requests fail: one tenant's, everybody's, or those of somebody who tries passwords."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.sre.runbooks.plugins.plugin_utils._judgement.model import Finding, Gap, Observation, RuledOut
from ansible_collections.sre.runbooks.plugins.plugin_utils._judgement.verdict import judge
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems import kubernetes, shipped
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems.kubernetes import traffic, users

from tests.unit.test_kubernetes_rules import NEW, OLD, OLDS, SICK, THREE, WELL, cluster, log, release, whose

Json = dict[str, t.Any]
Shares = dict[str, tuple[int, ...]]


def said(facts: Json, rule: t.Any) -> list[Observation]:
    return list(rule(facts))


NINE = {str(number): (40, 0) for number in range(1, 9)}
TENANTS: list[tuple[str, list[Json], str, str]] = [
    ("one of nine", [whose("new0", {**NINE, "9": (40, 30)})], "likely", "of the tenant"),
    ("one of nine, over two pods", [whose("new0", {**NINE, "9": (20, 6)}), whose("new1", {**NINE, "9": (20, 6)})], "likely", "tenant 9"),
    ("each of two", [whose("new0", {**NINE, "8": (40, 20), "9": (40, 20)})], "ruled out", "20 of 40"),
    ("the only one that asks", [whose("new0", {"9": (400, 40)})], "ruled out", "40 of 40"),
    ("half of what is asked", [whose("new0", {"9": (300, 40), "8": (200, 0)})], "ruled out", "40 of 40"),
    ("others are too few", [whose("new0", {"9": (15, 15), "8": (16, 0)})], "gap", "too little is known"),
    ("most lines tell nothing", [whose("new0", {**NINE, "9": (40, 12)}, errors=60)], "gap", "too few"),
    ("few failures", [whose("new0", {**NINE, "9": (40, 9)})], "gap", "too few"),
    ("names that were not kept fail too", [whose("new0", {**NINE, "9": (40, 30), "(others)": (50, 12)})], "ruled out", "30 of 42"),
    ("most failures are of names that were not kept", [whose("new0", {**NINE, "(others)": (40, 40)})], "gap", "more tenants than are kept"),
    ("others fail more than they may", [whose("new0", {"9": (40, 90), "8": (200, 5), "7": (200, 0)})], "gap", "too little"),
]  # fmt: skip


@pytest.mark.parametrize(("case", "logs", "expected", "words"), TENANTS, ids=[row[0] for row in TENANTS])
def test_one_tenant(case: str, logs: list[Json], expected: str, words: str) -> None:
    facts = cluster(THREE, logs, releases=[release(1, OLD)])
    (one,) = said(facts, users.one_tenant)
    if isinstance(one, Finding):
        shown = f"{one.confidence} of the tenant {one.subject.key}"
        assert (one.confidence, words in shown) == (expected, True), shown
    else:
        kind = "ruled out" if isinstance(one, RuledOut) else "gap"
        assert (kind, words in one.why) == (expected, True), one.why


def test_a_tenant_is_the_cause_beside_a_release_of_old_and_not_beside_a_new_one_that_fails() -> None:
    catalogue = shipped()
    share = {**NINE, "9": (40, 30)}
    old = cluster(OLDS, [whose(f"old{n}", share) for n in range(3)], releases=[release(1, OLD)])
    verdict = judge([SICK, old], {}, catalogue)
    causes = [(one["id"], one["confidence"]) for one in verdict["findings"] if one["role"] == "cause"]
    assert causes == [("k8s.one_tenant", "likely")]
    assert verdict["offers"] == []
    assert "the tenant 9" in next(one["summary"] for one in verdict["findings"] if one["id"] == "k8s.one_tenant")

    logs = [whose(f"new{n}", share) for n in range(3)]
    for one in logs:
        one["endpoints"]["/sign"].update(good_before_error=0)
    new = cluster(THREE, logs, releases=[release(2, NEW), release(1, OLD)])
    verdict = judge([SICK, new], {}, catalogue)
    roles = {one["id"]: (one["role"], one["confidence"]) for one in verdict["findings"]}
    assert roles["k8s.bad_release"] == ("cause", "likely")
    assert roles["k8s.one_tenant"][0] == "contributing"


ATTACK: Shares = {"203.0.113.5": (40, 40, 0), "203.0.113.6": (40, 39, 1), "203.0.113.7": (30, 30, 0), "10.0.0.1": (60, 2, 58)}
WELL_IN = {"10.0.0.1": (60, 2, 58)}
REFUSALS: list[tuple[str, Shares, int, str, str]] = [
    ("three addresses", ATTACK, 111, "likely", "109 of 111"),
    ("one address", {"203.0.113.5": (90, 90, 0), **WELL_IN}, 92, "likely", "90 of 92"),
    ("who now and then logs in as himself", {"203.0.113.5": (140, 120, 20), **WELL_IN}, 122, "likely", "let in 20 times"),
    ("everybody", {f"10.0.0.{n}": (10, 8, 2) for n in range(10)}, 80, "gap", "do not have most"),
    ("the balancer, in front of all", {"10.244.0.3": (500, 480, 20)}, 480, "gap", "a network of one's own"),
    ("a client alone on its path", {"203.0.113.5": (90, 90, 0)}, 90, "gap", "of all others 0 of 0"),
    ("all others are refused too", {"203.0.113.5": (90, 90, 0), "10.0.0.7": (30, 12, 18)}, 102, "gap", "12 of 30 were refused"),
    ("an address of many users, most of whom are let in", {"198.51.100.1": (400, 60, 340), "10.0.0.2": (9, 2, 7)}, 62, "gap", "most of the"),
    ("few refusals at night", {"203.0.113.5": (5, 4, 1)}, 4, "nothing", ""),
    ("lines that tell no address", {}, 200, "gap", "from 0 addresses"),
    ("more addresses than are kept", {"203.0.113.5": (40, 40, 0), "(others)": (90, 80, 10)}, 120, "gap", "most of the"),
    ("one mistyped a few times beside an attacker",
     {"203.0.113.5": (90, 90, 0), "10.0.0.9": (3, 3, 0), **WELL_IN}, 95, "likely", "203.0.113.5 had 90"),
]  # fmt: skip


@pytest.mark.parametrize(("case", "shares", "refused", "expected", "words"), REFUSALS, ids=[row[0] for row in REFUSALS])
def test_login_stuffing(case: str, shares: Shares, refused: int, expected: str, words: str) -> None:
    facts = cluster(THREE, [whose("new0", shares, kind="addresses", refused=refused, requests=500)])
    found = said(facts, users.login_stuffing)
    kinds = ["likely" if isinstance(one, Finding) else "gap" if isinstance(one, Gap) else "other" for one in found] or ["nothing"]
    shown = [shipped().summary(one) if isinstance(one, Finding) else t.cast("Gap", one).why for one in found]
    assert (kinds, all(words in one for one in shown)) == ([expected], True), shown


def test_who_tries_passwords_is_found_while_all_users_are_well_and_nothing_is_offered() -> None:
    facts = cluster(OLDS, [whose("old0", ATTACK, kind="addresses", refused=111, requests=500)], releases=[release(1, OLD)])
    verdict = judge([WELL, {**facts, "users_suffer": False, "users_well": True}], {}, shipped())
    assert (verdict["verdict"], verdict["offers"]) == ("cause_found", [])
    (found,) = [one for one in verdict["findings"] if one["role"] == "cause"]
    assert "and were let in 1 times; all others: 2 of 60 refused" in found["summary"]
    assert "-e 203.0.113.5" in found["manual_command"]


def test_a_path_is_no_shell_word() -> None:
    one = whose("new0", ATTACK, kind="addresses", refused=111, requests=500)
    one["endpoints"] = {"/a';id;'": one["endpoints"]["/sign"]}
    (found,) = [each for each in said(cluster(THREE, [one]), users.login_stuffing) if isinstance(each, Finding)]
    assert """grep -F -e '/a'"'"';id;'"'"''""" in shipped().manual_command(found)


def test_the_literal_part_of_a_path_is_looked_for() -> None:
    one = whose("new0", ATTACK, kind="addresses", refused=111, requests=500)
    one["endpoints"] = {"/users/{id}/login": one["endpoints"]["/sign"]}
    (found,) = [each for each in said(cluster(THREE, [one]), users.login_stuffing) if isinstance(each, Finding)]
    assert "grep -F -e /users/ | grep -wF -e 203" in shipped().manual_command(found)


OVER: list[tuple[str, Json, bool]] = [
    ("twenty were well since", {}, True),
    ("it paused for as long before", {"longest_good": 10}, False),
    ("the only tenant that fails may have given up", {"tenants": {"9": [40, 40], "8": [60, 0]}}, False),
    ("few were well since", {"good_after_error": 2}, False),
]


@pytest.mark.parametrize(("case", "changes", "is_over"), OVER, ids=[row[0] for row in OVER])
def test_when_errors_are_over(case: str, changes: Json, is_over: bool) -> None:
    one = log("old0", 100, 40, good=0, after=20)
    one["endpoints"]["/sign"].update(changes)
    seen = list(traffic.server_errors(t.cast("t.Any", cluster(OLDS[:1], [one], releases=[release(1, OLD)]))))
    assert [isinstance(each, RuledOut) for each in seen] == [is_over], seen
    assert not is_over or "errors are over on /sign since 02:10:05Z (20 well)" in t.cast("RuledOut", seen[0]).why


def test_failures_of_paths_that_were_not_kept_are_a_gap() -> None:
    one = {**log("old0", 400), "endpoints": {**log("old0", 400)["endpoints"], **log("old0", 15, 4, path="(others)")["endpoints"]}}
    (seen,) = traffic.server_errors(t.cast("t.Any", cluster(OLDS[:1], [one], releases=[release(1, OLD)])))
    assert isinstance(seen, Gap)


def test_the_rules_are_played() -> None:
    assert set(users.RULES) <= set(kubernetes.SYSTEM.rules)
