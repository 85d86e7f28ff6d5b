"""The rooms for systems: which stand behind which, that the engine names none, and that each fits."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.errors import RecordError
from ansible_collections.sre.runbooks.plugins.plugin_utils._run.dependencies import (
    as_names,
    closed,
    concerned,
    refuse_circles,
    refuse_unaddressable,
    surroundings,
)
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems import found, shipped

from tests.lab.state import PROJECT
from tests.scenarios.runner import GROUNDS, sampled, scenarios

UTILS = PROJECT / "plugins" / "plugin_utils"
CHAIN = {"shop": ("pods",), "pods": ("db", "cache"), "other": ("cache",)}


# What only collectors need. Each worker of Ansible would import it anew for each task: 0.4 s a task.
COLLECTORS_ONLY = ("kubernetes", "pglast", "psycopg2", "boto3")
IMPORTS = f"""
import sys
from tests import collection
collection.install()
from ansible_collections.sre.runbooks.plugins.plugin_utils import _action
_action.shipped()
print(*(set({COLLECTORS_ONLY}) & set(sys.modules)))
"""


def test_judging_imports_no_client() -> None:
    done = subprocess.run([sys.executable, "-c", IMPORTS], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert not done.stdout.strip()


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


def test_a_host_that_is_both_what_users_call_and_the_database_behind_it() -> None:
    kinds = {"box": ["postgresql", "edge"], "db": ["postgresql"], "api": ["edge"]}
    expected, depends_on = surroundings(["box", "db"], {"box": None, "db": (), "api": None}, kinds)
    assert (expected, depends_on) == (
        {"box": kinds["box"], "db": kinds["db"], "api": kinds["api"]},
        {"box": ["db"], "api": ["db"]},
    )


def test_a_chain_goes_through_hosts_that_are_no_system() -> None:
    expected, depends_on = surroundings(["db"], {"shop": ["pods"], "pods": ["db"]}, {"shop": ["edge"], "db": ["postgresql"]})
    assert (expected, depends_on) == ({"db": ["postgresql"], "shop": ["edge"]}, {"shop": ["pods", "db"]})


CIRCLES = [({"a": ["b"], "b": ["c"], "c": ["b"]}, "in a circle: b → c → b"), ({"a": ["a"]}, "in a circle: a → a")]


@pytest.mark.parametrize(("named", "message"), CIRCLES)
def test_a_circle_is_refused_with_its_path(named: dict[str, list[str]], message: str) -> None:
    with pytest.raises(RecordError, match=message):
        refuse_circles(named, named)


def test_a_circle_elsewhere_stops_nobody_and_a_large_graph_takes_no_time() -> None:
    refuse_circles(["shop"], {**CHAIN, "x": ["y"], "y": ["x"]})
    layers = {f"{layer}-{one}": [f"{layer + 1}-{other}" for other in range(8)] for layer in range(12) for one in range(8)}
    assert len(closed(layers)["0-0"]) == 96
    assert len(closed({str(one): [str(one + 1)] for one in range(1500)})["0"]) == 1500


@pytest.mark.parametrize("name", ["arn:aws:rds:db1", "!db", "db*"])
def test_a_host_that_ansible_takes_for_a_pattern_is_refused(name: str) -> None:
    with pytest.raises(RecordError, match="cannot be addressed"):
        refuse_unaddressable([name])


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


ROOMS = ("_judgement", "_record", "_render", "_channels", "_run")
ROOM_FILES = sorted(path for room in ROOMS for path in UTILS.glob(f"{room}/*.py"))
ENGINE = [*ROOM_FILES, *sorted((PROJECT / "plugins/action").glob("incident_*.py")), UTILS / "_action.py"]


@pytest.mark.parametrize("path", ENGINE, ids=lambda path: path.name)
def test_the_engine_names_no_system(path: object) -> None:
    text = re.sub(r">>> .*\n.*", "", path.read_text())  # type: ignore[attr-defined]  # examples need some name
    assert not [word for word in sorted(own_words()) if re.search(rf"(?<![\w.]){re.escape(word)}(?!\w)", text)]


def test_no_system_is_imported_by_the_engine() -> None:
    for path in ROOM_FILES:
        assert "_systems" not in re.sub(r'""".*?"""', "", path.read_text(), flags=re.DOTALL), path.name


def test_every_kind_is_found_once() -> None:
    assert [system.kind for system in shipped().systems.values()] == ["postgresql", "kubernetes", "auth", "aws", "tls", "edge"]


@pytest.mark.parametrize("seed", range(20))
def test_a_sample_has_each_verdict_and_is_the_same_for_a_seed(seed: int) -> None:
    chosen = sampled(scenarios(), 12, seed)
    verdicts = {(runbook, verdict) for runbook in GROUNDS for verdict in ("cause_found", "unproven", "healthy")}
    assert {(one.runbook, one.verdict) for one in chosen} == verdicts
    assert [one.name for one in chosen] == [one.name for one in sampled(scenarios(), 12, seed)]
    assert len(chosen) == 12
