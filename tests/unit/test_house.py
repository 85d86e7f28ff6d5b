"""The house rules that a machine can check: specs, defaults, catalogue, playbooks, and what modules may not do."""

from __future__ import annotations

import ast
import pathlib
import re
import subprocess
import typing as t

import pytest
import yaml
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems import shipped

from tests.docs import GENERATED
from tests.mutations import MUTATIONS

PROJECT = pathlib.Path(__file__).resolve().parents[2]
ROLES = sorted(path.name for path in (PROJECT / "roles").iterdir())
PLAYBOOKS = sorted((PROJECT / "playbooks").rglob("*.yml"))
Json = dict[str, t.Any]


def load(path: pathlib.Path) -> t.Any:
    return yaml.safe_load(path.read_text())


def entries(role: str) -> dict[str, Json]:
    return t.cast("dict[str, Json]", load(PROJECT / "roles" / role / "meta" / "argument_specs.yml")["argument_specs"])


def defaults(role: str) -> Json:
    return t.cast("Json", load(PROJECT / "roles" / role / "defaults" / "main.yml"))


def meant(default: t.Any) -> t.Any:
    """A default as a spec can say it: one that refers to a variable for all roles stands for that variable's default."""
    found = re.fullmatch(r"\{\{ runbooks_\w+ \| default\((?!runbooks_)(.*)\) \}\}", str(default))
    return yaml.safe_load(found[1]) if found else default


EVERY_ENTRY = [(role, entry) for role in ROLES for entry in entries(role)]


@pytest.mark.parametrize(("role", "entry"), EVERY_ENTRY)
def test_spec_and_defaults_say_the_same(role: str, entry: str) -> None:
    known, options = defaults(role), entries(role)[entry]["options"]
    for name, option in options.items():
        assert option.get("type"), name
        assert option.get("description"), name
        assert option["type"] != "list" or option.get("elements"), name
        assert name.startswith(role) or name == "runbooks_step", name
        assert bool(option.get("required")) is (name not in known), name
        if name in known:
            assert (name, option["default"]) == (name, meant(known[name]))


@pytest.mark.parametrize("role", ROLES)
def test_every_default_is_in_a_spec_and_every_entry_has_its_tasks(role: str) -> None:
    described = {name for entry in entries(role).values() for name in entry["options"]}
    assert set(defaults(role)) <= described
    for entry in entries(role):
        assert (PROJECT / "roles" / role / "tasks" / f"{entry}.yml").exists()


def tasks_of(path: pathlib.Path) -> t.Iterator[tuple[Json, Json]]:
    """Each task of a playbook with its play."""
    for play in load(path):
        for task in play.get("tasks", []):
            yield play, task


def included(task: Json) -> tuple[str, str] | None:
    name = task.get("ansible.builtin.include_role")
    return (name["name"].rpartition(".")[2], name.get("tasks_from", "main")) if name else None


@pytest.mark.parametrize("path", PLAYBOOKS, ids=lambda path: path.name)
def test_what_a_playbook_passes_exists(path: pathlib.Path) -> None:
    for play, task in tasks_of(path):
        role = included(task)
        if role is None:
            continue
        passed = {**play.get("vars", {}), **task.get("vars", {})}
        assert set(passed) <= set(entries(role[0])[role[1]]["options"])


def test_the_roles_of_every_kind_are_there() -> None:
    for system in shipped().systems.values():
        for part in (system.diagnose, system.verify):
            assert (PROJECT / "roles" / part.role.rpartition(".")[2] / "tasks" / f"{part.entry}.yml").exists()


@pytest.mark.parametrize("path", PLAYBOOKS, ids=lambda path: path.name)
def test_the_form_of_a_playbook(path: pathlib.Path) -> None:
    assert re.fullmatch(r"\w+\.yml", path.name), "a hyphen breaks the FQCN form"
    for play in load(path):
        if "ansible.builtin.import_playbook" in play:
            continue
        assert play["gather_facts"] is False
        assert len(play["tags"]) == 1
        assert play.get("any_errors_fatal") is not True
        for task in play["tasks"]:
            assert "tags" not in task, "tags on an include run nothing and exit 0"
            assert "ansible.builtin.import_role" not in task
            assert "ansible.builtin.shell" not in task


@pytest.mark.parametrize("name", sorted(shipped().mitigations))
def test_every_mitigation_has_its_task_file_and_cap(name: str) -> None:
    mitigation = shipped().mitigations[name]
    role = mitigation.role.rpartition(".")[2]
    path = PROJECT / "roles" / role / "tasks" / f"{name}.yml"
    assert mitigation.cap in path.read_text()
    assert mitigation.cap in defaults(role)
    offered = [one for entry in shipped().entries.values() for one in entry.mitigations]
    assert name in offered or shipped().mitigations[name].declarable


def test_every_mitigation_task_file_is_in_the_catalogue() -> None:
    every = shipped().mitigations.values()
    for role in {one.role.rpartition(".")[2] for one in every}:
        own = {one for one in every if one.role.rpartition(".")[2] == role}
        # What several have in common begins with an underscore.
        files = {path.stem for path in (PROJECT / "roles" / role / "tasks").glob("[!_]*.yml")} - {"main", "undo"}
        assert files == {one.name for one in own} | {f"undo_{one.name}" for one in own if one.undo}


PYTHON = sorted((PROJECT / "plugins").rglob("*.py"))


@pytest.mark.parametrize("path", PYTHON, ids=lambda path: str(path.relative_to(PROJECT)))
def test_the_size_and_the_signatures(path: pathlib.Path) -> None:
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            lines = (node.end_lineno or 0) - node.lineno + 1
            limit = 20 if node.name == "main" and path.parent.name == "modules" else 50
            assert lines <= limit, f"{node.name}: {lines} lines"
            if path.parent.name != "modules":
                assert "AnsibleModule" not in ast.unparse(node.args), node.name


@pytest.mark.parametrize("path", sorted((PROJECT / "plugins" / "modules").glob("*.py")), ids=lambda path: path.stem)
def test_a_module_is_short(path: pathlib.Path) -> None:
    code = path.read_text().rpartition('"""\n')[2]
    if "def main" not in path.read_text():
        return  # the documentation of an action plugin
    whole = path.read_text()
    code = whole[
        whole.index("\nimport" if "\nimport dataclasses" in whole or "\nimport re" in whole else "\nfrom ansible.module_utils") :
    ]
    assert code.count("\n") <= 100


@pytest.mark.parametrize("folder", ["_judgement", "_record", "_render", "_run"])
def test_the_rooms_keep_to_themselves(folder: str) -> None:
    forbidden = ("open_url", "psycopg2", "subprocess", "AnsibleModule", "socket.create")
    for path in (PROJECT / "plugins" / "plugin_utils" / folder).rglob("*.py"):
        text = path.read_text()
        assert not [word for word in forbidden if word in text], path.name
        if folder == "_judgement" and path.name != "catalogue.py":
            assert "open(" not in text
            assert "datetime" not in text


@pytest.mark.parametrize("name", sorted(GENERATED))
def test_generated_references_are_up_to_date(name: str) -> None:
    assert (PROJECT / name).read_text() == GENERATED[name](), "run: make docs"


def test_no_file_names_a_registry_or_a_machine() -> None:
    files = subprocess.run(["git", "ls-files"], cwd=PROJECT, capture_output=True, text=True, check=True).stdout.split()
    found = []
    for name in files:
        path = PROJECT / name
        if path.is_file() and not path.is_symlink() and path.name not in ("LICENSE",):
            text = path.read_text(errors="replace")
            if re.search(
                r"--(extra-)?index-url|pypi\.org|files\.pythonhosted|galaxy\.ansible\.com|(?<![\w.])/(work|root)/", text
            ):
                found.append(name)
    assert [name for name in found if name != "tests/unit/test_house.py"] == []


@pytest.mark.parametrize(("what", "file", "old"), [one[:3] for one in MUTATIONS], ids=[one[0] for one in MUTATIONS])
def test_every_mutation_still_finds_what_it_takes_away(what: str, file: str, old: str) -> None:
    assert old in (PROJECT / file).read_text(), what


DOCUMENTS = sorted([*PROJECT.glob("*.md"), *PROJECT.glob("docs/**/*.md"), *PROJECT.glob("roles/*/README.md")])


def anchors(path: pathlib.Path) -> set[str]:
    """The anchors that a page's headings get."""
    heads = re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(PROJECT)))
def test_every_link_leads_somewhere(path: pathlib.Path) -> None:
    text = re.sub(r"```.*?```", "", path.read_text(), flags=re.DOTALL)
    for link in re.findall(r"\]\(([^)]+)\)", text):
        assert "example.org" not in link, link
        if re.match(r"https?://", link):
            continue
        place, anchor = link.partition("#")[::2]
        target = (path.parent / place).resolve() if place else path
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link
