"""Whose requests fail: one tenant's, everybody's, or those of somebody who tries passwords."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.sre.runbooks.plugins.plugin_utils._judgement.model import Finding, Gap, Observation, RuledOut
from ansible_collections.sre.runbooks.plugins.plugin_utils._judgement.verdict import judge
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems import kubernetes, shipped
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems.kubernetes import users

from tests.unit.test_kubernetes_rules import NEW, OLD, OLDS, SICK, THREE, WELL, cluster, release, whose

Json = dict[str, t.Any]
Shares = dict[str, tuple[int, int]]


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


ATTACK: Shares = {"203.0.113.5": (40, 40), "203.0.113.6": (40, 39), "203.0.113.7": (30, 30), "10.0.0.1": (60, 2)}
REFUSALS: list[tuple[str, Shares, int, str, str]] = [
    ("three addresses", ATTACK, 111, "likely", "109 of 111"),
    ("one address", {"203.0.113.5": (90, 90), "10.0.0.1": (60, 2)}, 92, "likely", "90 of 92"),
    ("everybody", {f"10.0.0.{n}": (10, 8) for n in range(10)}, 80, "gap", "not from few addresses"),
    ("an address of many users, most of whom are let in", {"10.0.0.1": (400, 60), "10.0.0.2": (9, 2)}, 62, "gap", "not from few"),
    ("few refusals at night", {"203.0.113.5": (5, 4)}, 4, "nothing", ""),
    ("lines that tell no address", {}, 200, "gap", "no line tells an address"),
    ("more addresses than are kept", {"203.0.113.5": (40, 40), "(others)": (90, 80)}, 120, "gap", "not from few addresses"),
    ("one mistyped a few times beside an attacker",
     {"203.0.113.5": (90, 90), "10.0.0.9": (3, 3), "10.0.0.1": (60, 2)}, 95, "likely", "203.0.113.5 had 90"),
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


def test_the_rules_are_played() -> None:
    assert set(users.RULES) <= set(kubernetes.SYSTEM.rules)
