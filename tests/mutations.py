"""``make mutations``: takes one rule, one cap, one escape away at a time; the unit tests must notice each.

A mutation is (what it takes away, file, old text, new text); a text that is not there is an error.
"""

from __future__ import annotations

import contextlib
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import typing as t

from tests.lab.state import PROJECT

UTILS = "plugins/plugin_utils"
DATABASE, RESOURCES = (f"{UTILS}/_judgement/rules/{name}.py" for name in ("database", "resources"))
BACKEND = "plugins/module_utils/_postgresql/backend.py"
ACTOR, TELLER = (f"{UTILS}/_record/{name}.py" for name in ("actor", "teller"))
REPORT = f"{UTILS}/_record/report.py"
MUTATIONS: list[tuple[str, str, str, str]] = [
    ("the rule on queued statements", DATABASE, "    connection,\n    queued_ddl,\n", "    connection,\n"),
    ("the rule on connections", RESOURCES, "RULES = (connection_slots, ", "RULES = ("),
    ("that an edge holds where findings meet", f"{UTILS}/_judgement/ranking.py", "and bool(cause.refs & symptom.refs)", ""),
    ("that no sample is no knowledge", f"{UTILS}/_judgement/verdict.py", " or not measured:", ":"),
    ("that a stale table proves no missing index", RESOURCES, " and few and not _is_stale(facts, table))", " and few)"),
    ("the cap on backends", BACKEND, "if len(signals) > wanted.max:", "if False:"),
    ("the check of a backend's start", BACKEND, 'if not row["same"]:', "if False:"),
    ("the cap on what is acted on one at a time", ACTOR, "act.count > act.max", "False"),
    ("the escape in HTML", REPORT, "return html.escape(plain(text, LONGEST))", "return plain(text, LONGEST)"),
    ("the escape in Markdown", REPORT, "escaped = escaped.replace(mark, ", "escaped.replace(mark, "),
    ("the look before a write is repeated", "plugins/module_utils/_http/client.py", "found = look()\n", "found = None\n"),
    ("that what cannot be looked up is sent once", TELLER, "if message.once and self._begun_before(message):", "if False:"),
    ("the check of a stranger's functions", "plugins/module_utils/_postgresql/plans.py", "    if strange:\n", "    if False:\n"),
    ("the check of an incident's id", f"{UTILS}/_record/words.py", "if not INCIDENT_ID.fullmatch(identity)", "if False"),
    ("that what comes back ends a proof", f"{UTILS}/_record/plan.py",
     'event["slot"] == "diagnose" and event["verdict"] != "healthy":', "False:"),
    ("the memory of what was there first", f"{UTILS}/_record/undo.py", "begun.setdefault(thing, (", "begun.__setitem__(thing, ("),
]  # fmt: skip
COPIED = ("plugins", "roles", "playbooks", "meta", "tests", "docs", "galaxy.yml", "pyproject.toml")


@contextlib.contextmanager
def a_copy() -> t.Iterator[pathlib.Path]:
    """The tree that the unit tests need, in a place of its own."""
    with tempfile.TemporaryDirectory(prefix="sre-runbooks-mutations-") as folder:
        root = pathlib.Path(folder)
        for name in COPIED:
            source = PROJECT / name
            if source.is_dir():
                shutil.copytree(source, root / name, ignore=shutil.ignore_patterns("__pycache__", "output"))
            else:
                shutil.copy(source, root / name)
        home = root / ".collections" / "ansible_collections" / "sre"
        home.mkdir(parents=True)
        (home / "runbooks").symlink_to(root, target_is_directory=True)
        yield root


def noticed(root: pathlib.Path) -> bool:
    """Whether the unit tests fail."""
    command = [sys.executable, "-m", "pytest", "tests/unit", "-x", "-q", "-W", "ignore"]
    deselected = [f"--deselect=tests/unit/test_house.py::{name}" for name in ("test_no_file_names_a_registry_or_a_machine",)]
    return subprocess.run([*command, *deselected], cwd=root, capture_output=True).returncode == 1


def main() -> int:
    missed = []
    with a_copy() as root:
        if noticed(root):
            print("mutations: the unit tests fail without any")
            return 1
        for what, file, old, new in MUTATIONS:
            path, started = root / file, time.monotonic()
            original = path.read_text()
            if old not in original:
                raise SystemExit(f"mutations: {file} does not have {old!r}")
            path.write_text(original.replace(old, new))
            good = noticed(root)
            path.write_text(original)
            missed += [] if good else [what]
            print(f"{'noticed' if good else 'MISSED':<8} without {what} ({time.monotonic() - started:.1f} s)", flush=True)
    print(f"mutations: {len(MUTATIONS) - len(missed)} passed, {len(missed)} failed")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
