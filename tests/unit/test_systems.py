"""The rooms for systems: which stand behind which, that the engine names none, and that each fits."""

from __future__ import annotations

import re

import pytest
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.dependencies import as_names, closed, concerned
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.errors import RecordError
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems import found, shipped

from tests.lab.state import PROJECT
from tests.scenarios.runner import sampled, scenarios

UTILS = PROJECT / "plugins" / "plugin_utils"
CHAIN = {"shop": ("pods",), "pods": ("db", "cache"), "other": ("cache",)}


def test_dependencies_chain() -> None:
    assert closed(CHAIN) == {"shop": ["pods", "db", "cache"], "pods": ["db", "cache"], "other": ["cache"]}


CONCERNED = [
    ("a database: who stands on it", ["db"], ["db", "shop", "pods"]),
    ("what users call: what it stands on", ["shop"], ["shop", "pods", "db", "cache"]),
    ("one in the middle: both", ["pods"], ["pods", "shop", "db", "cache"]),
    ("one that stands alone", ["alone"], ["alone"]),
]


@pytest.mark.parametrize(("name", "targets", "expected"), CONCERNED, ids=[row[0] for row in CONCERNED])
def test_what_a_run_is_about(name: str, targets: list[str], expected: list[str]) -> None:
    assert concerned(targets, closed(CHAIN)) == expected


CIRCLES = [({"a": ["b"], "b": ["c"], "c": ["b"]}, "in a circle: b → c → b"), ({"a": ["a"]}, "in a circle: a → a")]


@pytest.mark.parametrize(("named", "message"), CIRCLES)
def test_a_circle_is_refused_with_its_path(named: dict[str, list[str]], message: str) -> None:
    with pytest.raises(RecordError, match=message):
        closed(named)


@pytest.mark.parametrize("value", ["prod-db", {"prod-db": 1}, [1], 7])
def test_what_a_system_stands_on_is_a_list_of_names(value: object) -> None:
    with pytest.raises(RecordError, match="runbooks_depends_on of shop is a list of hosts of the inventory"):
        as_names("shop", value)


def own_words() -> set[str]:
    """What only a kind of system may say: its kind, its group, its roles, its findings and its mitigations."""
    words: set[str] = set()
    for system in found():
        words |= {system.group, system.diagnose.role.rpartition(".")[2], *system.findings, *system.mitigations}
        words |= {system.kind} if len(system.kind) > len("edge") else {f'"{system.kind}"'}
    return words


ENGINE = sorted([*UTILS.glob("_judgement/*.py"), *UTILS.glob("_record/*.py"), PROJECT / "plugins/action/incident_record.py"])


@pytest.mark.parametrize("path", ENGINE, ids=lambda path: path.name)
def test_the_engine_names_no_system(path: object) -> None:
    text = re.sub(r">>> .*\n.*", "", path.read_text())  # type: ignore[attr-defined]  # examples need some name
    assert not [word for word in sorted(own_words()) if re.search(rf"(?<![\w.]){re.escape(word)}(?!\w)", text)]


def test_no_system_is_imported_by_the_engine() -> None:
    for path in (*UTILS.glob("_judgement/*.py"), *UTILS.glob("_record/*.py")):
        assert "_systems" not in re.sub(r'""".*?"""', "", path.read_text(), flags=re.DOTALL), path.name


def test_every_kind_is_found_once() -> None:
    assert [system.kind for system in shipped().systems.values()] == ["postgresql", "edge"]


@pytest.mark.parametrize("seed", range(20))
def test_a_sample_has_each_verdict_and_is_the_same_for_a_seed(seed: int) -> None:
    chosen = sampled(scenarios(), 5, seed)
    assert {one.verdict for one in chosen} == {"cause_found", "unproven", "healthy"}
    assert [one.name for one in chosen] == [one.name for one in sampled(scenarios(), 5, seed)]
    assert len(chosen) == 5
