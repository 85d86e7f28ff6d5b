"""Running the shipped playbooks against a lab, as a person would: ``ansible-playbook`` in a process of its own."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
import typing as t

import psycopg2

from tests.lab import faults, observer
from tests.lab.__main__ import up
from tests.lab.postgresql.server import dsn
from tests.lab.sim import control
from tests.lab.state import PROJECT, Lab, LabError, wait_until

RUNBOOK = "playbooks/runbook_db_degradation.yml"
MOST_SECONDS = 300
VENDORS = ("pagerduty", "statuspage", "mail")
ALL_CHANNELS = {
    "incident_channels": ["pagerduty", "status_page", "mail"],
    "incident_public": True,
    "incident_pagerduty_escalation_policy": "Database on-call",
    "incident_pagerduty_responders": ["Database on-call"],
    "incident_pagerduty_status_updates": True,
}
Variables = t.Mapping[str, t.Any]


@dataclasses.dataclass(frozen=True)
class Run:
    """What a run of a playbook left: its exit code, its output with each row of the screen in one line, its record, and the
    output as it was printed."""

    code: int
    output: str
    seconds: float
    root: pathlib.Path
    printed: str = ""

    @property
    def folder(self) -> pathlib.Path:
        """The newest incident's folder."""
        return max(self.root.glob("*/incident.json"), key=lambda path: path.stat().st_mtime).parent

    def json(self, name: str) -> dict[str, t.Any]:
        return t.cast("dict[str, t.Any]", json.loads((self.folder / name).read_text()))

    @property
    def findings(self) -> dict[str, t.Any]:
        return self.json("findings.json")

    @property
    def cause(self) -> dict[str, t.Any]:
        """The verdict that the incident is about: the last one that was not healthy, else the last one."""
        return self.json("cause.json" if (self.folder / "cause.json").exists() else "findings.json")

    @property
    def incident(self) -> dict[str, t.Any]:
        return self.json("incident.json")

    @property
    def causes(self) -> list[dict[str, t.Any]]:
        return [finding for finding in self.cause["findings"] if finding["role"] == "cause"]

    def line(self, label: str) -> str:
        """The screen's line with this label, empty when there is none."""
        return next((line for line in self.output.splitlines() if line.startswith(label)), "")


def command(
    lab: Lab, root: pathlib.Path, *options: str, playbook: str = RUNBOOK, variables: Variables | None = None
) -> list[str]:
    values = {"incident_record_root": str(root), **(variables or {})}
    inventory = [] if "-i" in options else ["-i", str(PROJECT / "inventories" / "lab")]
    program = str(pathlib.Path(sys.executable).parent / "ansible-playbook")
    return [program, playbook, *inventory, "-e", json.dumps(values), *options]


def environment(lab: Lab, collections: pathlib.Path | None = None) -> dict[str, str]:
    chosen = {"LAB": lab.name, "LAB_ROOT": str(lab.root.parent), "ANSIBLE_CONFIG": str(PROJECT / "ansible.cfg")}
    if collections is not None:
        chosen["ANSIBLE_COLLECTIONS_PATH"] = str(collections)
    return {**os.environ, **chosen, "ANSIBLE_NOCOLOR": "1", "COLUMNS": "250",
            "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.default"}  # fmt: skip


def play(lab: Lab, root: pathlib.Path, *options: str, **kwargs: t.Any) -> Run:
    """Runs a playbook to its end."""
    cwd = kwargs.pop("cwd", PROJECT)
    stdin = kwargs.pop("stdin", None)
    collections = kwargs.pop("collections", None)
    more = kwargs.pop("env", {})
    started = time.monotonic()
    try:
        done = subprocess.run(
            command(lab, root, *options, **kwargs), cwd=cwd, env={**environment(lab, collections), **more}, text=True,
            input=stdin or "", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=MOST_SECONDS,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise LabError(f"the playbook did not end within {MOST_SECONDS} s: {str(error.output)[-1500:]}") from error
    return Run(done.returncode, rows(done.stdout), time.monotonic() - started, root, done.stdout)


def rows(printed: str) -> str:
    """What was printed, with each row of the screen in one line again."""
    return re.sub(r"(?: \\)?\n(?: {11}| {14})(?=\S)", " ", printed)


def start(lab: Lab, root: pathlib.Path, *options: str, output: pathlib.Path, **kwargs: t.Any) -> subprocess.Popen[bytes]:
    """Begins a run in a process group of its own."""
    with output.open("wb") as handle:
        return subprocess.Popen(
            command(lab, root, *options, **kwargs), cwd=PROJECT, env=environment(lab), stdin=subprocess.DEVNULL,
            stdout=handle, stderr=handle, start_new_session=True,
        )  # fmt: skip


def sessions(lab: Lab) -> dict[int, str]:
    """The server's client sessions: pid to backend_start."""
    connection = psycopg2.connect(dsn(lab, "postgres"))
    with contextlib.closing(connection), connection.cursor() as cursor:
        cursor.execute(
            "SELECT pid, backend_start::text FROM pg_stat_activity "
            "WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND application_name <> 'observer'"
        )
        return dict(cursor.fetchall())


def alive(lab: Lab, session: Variables) -> bool:
    """Whether a fault's session is still the same one."""
    return sessions(lab).get(session["pid"]) == str(session["backend_start"])


def probe_of(lab: Lab, path: str) -> str:
    """What is asked of the lab's application: a path, or ``POST path``."""
    method, rest = path.split(" ") if " " in path else ("", path)
    return f"{method} {lab.part('app')['url']}/{rest}".strip()


def of_role(told: Variables, role: str) -> list[dict[str, t.Any]]:
    return [session for session in told["sessions"] if session["role"] == role]


def writes(lab: Lab) -> list[dict[str, t.Any]]:
    """All writes that the vendors received since the last reset, in the order of their times."""
    found = [{"vendor": vendor, **entry} for vendor in VENDORS for entry in control.writes(lab, vendor)]
    return sorted(found, key=lambda entry: entry["at"])


def heal_all(lab: Lab) -> None:
    for name in faults.standing(lab):
        faults.heal(lab, name)


def well(load: Variables) -> bool:
    """Whether the lab's users are well, by what they or the observer wrote."""
    return bool(load.get("requests", 0) > 20 and load["errors"] == 0 and load["p95_ms"] < 200)


def settle(lab: Lab) -> None:
    """Heals everything, forgets what the vendors saw, and waits until users are well."""
    heal_all(lab)
    control.reset(lab, *VENDORS)
    wait_until(lambda: well(lab.read("load.json") or {}), 20, "the users' recovery after healing", 0.1)


def suffering(lab: Lab, *, locks: bool = True) -> None:
    """Waits until users feel a fault, and, if it is one of locks, until some have waited for longer than the default limit."""
    wait_until(lambda: faults.suffers(lab), 30, "the users' suffering", 0.1)
    if locks:
        wait_until(lambda: observer.last(lab)["waiters"] >= 5, 10, "waiting sessions", 0.1)
        wait_until(lambda: longest_wait(lab) > 1.2, 10, "sessions that have waited for more than a second", 0.1)


def longest_wait(lab: Lab) -> float:
    """For how many seconds a session of the application's database has been waiting for a lock."""
    with faults.superuser(lab) as cursor:
        cursor.execute(
            "SELECT coalesce(max(extract(epoch FROM clock_timestamp() - query_start)), 0)::float8 FROM pg_stat_activity "
            "WHERE wait_event_type = 'Lock' AND datname = current_database() AND usename = 'custody_app'"
        )
        return float((cursor.fetchone() or (0.0,))[0])


@contextlib.contextmanager
def a_lab(
    name: str, parts: t.Sequence[str] = (), *, postgresql: str = "18", settings: Variables | None = None
) -> t.Iterator[Lab]:
    """A lab of its own, gone afterwards."""
    lab = Lab.named(name)
    lab.end()
    try:
        up(lab, parts, postgresql, dict(settings or {}))
        yield lab
    finally:
        lab.end()


def write_page(page: pathlib.Path, head: t.Sequence[str], sections: t.Callable[[Lab], t.Iterable[str]]) -> None:
    """Writes a page of the documentation from what a lab of its own shows."""
    with a_lab(page.stem) as lab:
        page.write_text("\n".join([*head, *sections(lab)]).rstrip("\n") + "\n")
    print(page.relative_to(PROJECT))


@contextlib.contextmanager
def a_root() -> t.Iterator[pathlib.Path]:
    """A folder for records, gone afterwards."""
    root = pathlib.Path(tempfile.mkdtemp(prefix="sre-runbooks-test-"))
    try:
        yield root
    finally:
        shutil.rmtree(root, ignore_errors=True)


@contextlib.contextmanager
def mutated(**changes: tuple[str, str, str]) -> t.Iterator[pathlib.Path]:
    """The collection's product with texts replaced, installed in a place of its own; yields the collections path.

    Each change is (file, old text, new text); a text that is not there is an error, so that a mutation cannot do nothing.
    """
    with a_root() as root:
        home = root / "ansible_collections" / "sre" / "runbooks"
        for name in ("plugins", "roles", "playbooks", "meta"):
            shutil.copytree(PROJECT / name, home / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(PROJECT / "galaxy.yml", home)
        for file, old, new in changes.values():
            text = (home / file).read_text()
            assert old in text, f"{file} does not have {old!r}"
            (home / file).write_text(text.replace(old, new))
        yield root
