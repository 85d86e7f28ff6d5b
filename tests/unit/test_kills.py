"""A run killed at each of its writes to a file, one after the other: nothing is stuck, lost, doubled, or said and not done.

The record's code is the real one, the vendors are the lab's simulators in this process, and the kill is an exception out of an
audit hook as a file is opened, made, renamed or removed.
"""

from __future__ import annotations

import collections
import contextlib
import email.message
import itertools
import json
import os
import pathlib
import sys
import typing as t
import urllib.parse

import pytest
from ansible_collections.sre.runbooks.plugins.module_utils._http.client import Client
from ansible_collections.sre.runbooks.plugins.module_utils._http.transport import Response
from ansible_collections.sre.runbooks.plugins.module_utils._pagerduty import calls as pagerduty
from ansible_collections.sre.runbooks.plugins.module_utils._statuspage import calls as status_page
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.errors import RecordError
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.store import utc_now
from ansible_collections.sre.runbooks.plugins.plugin_utils._run.executor import Effect
from ansible_collections.sre.runbooks.plugins.plugin_utils._run.opening import open_given
from ansible_collections.sre.runbooks.plugins.plugin_utils._run.run import Run
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems import shipped

from tests.lab.inventory import PAGE_ID
from tests.lab.sim.framework import Rejected, Request, Simulator
from tests.lab.sim.pagerduty import PagerDuty
from tests.lab.sim.statuspage import Statuspage
from tests.unit.test_session import CANCEL, SICK, TEXTS, WELL, Runs, gone

Json = dict[str, t.Any]
MOST_RERUNS = 3


class Killed(BaseException):
    """The process is gone: nothing catches it."""


class Killer:
    """Counts the writes below a folder, and kills at one of them."""

    def __init__(self) -> None:
        self.root: str | None = None
        self.at: int | None = None
        self.count = 0
        sys.addaudithook(self)  # cannot be removed, so there is one for all tests

    def __call__(self, event: str, args: tuple[t.Any, ...]) -> None:
        if self.root is None or event not in ("open", "os.mkdir", "os.rename", "os.remove", "shutil.rmtree"):
            return
        if not str(args[0]).startswith(self.root) or (event == "open" and not (args[2] or 0) & (os.O_WRONLY | os.O_RDWR)):
            return
        self.count += 1
        if self.count == self.at:
            self.at = None
            raise Killed

    @contextlib.contextmanager
    def killing(self, root: pathlib.Path, at: int | None) -> t.Iterator[None]:
        self.root, self.at, self.count = str(root), at, 0
        try:
            yield
        finally:
            self.root = self.at = None


KILLER = Killer()


class World(Runs):
    """One system that is sick until its statement is cancelled, and vendors that remember."""

    def __init__(self, root: pathlib.Path) -> None:
        super().__init__(root)
        self.sims: dict[str, Simulator] = {"pagerduty": PagerDuty(), "status_page": Statuspage()}
        self.done: list[str] = []
        self.mails: list[str] = []
        self.now = utc_now()
        self.vendors = self  # type: ignore[assignment]

    def __call__(self, module: str, args: Json) -> Json:
        if module == "mail":
            self.mails.append(args["subject"])
            return {"changed": True, "requests": []}
        if module in ("postgresql_backend", "postgresql_client"):
            self.done.append(f"{module} {args.get('state', '')}".strip())
            return {"changed": True, "done": ["it"]}
        call = {"pagerduty_incident": pagerduty.INCIDENT, "pagerduty_notice": pagerduty.NOTICE,
                "status_page_incident": status_page.INCIDENT}[module]  # fmt: skip
        options = {name: option.get("default") for name, option in call.argument_spec.items()}
        return call.make({**options, **args}, check_mode=False, transport=self._transport)

    def _transport(self, method: str, url: str, headers: t.Mapping[str, str], data: bytes | None, seconds: float) -> Response:
        parts = urllib.parse.urlsplit(url)
        simulator = self.sims[(parts.hostname or "").partition(".")[0].replace("-", "_")]
        message: email.message.Message[str, str] = email.message.Message()
        for name, value in headers.items():
            message[name] = value
        path = parts.path.removeprefix(simulator.prefix)
        request = Request(method, path, urllib.parse.parse_qs(parts.query), message, json.loads(data) if data else {})
        try:
            status, body = simulator.serve(request)
        except Rejected as refusal:
            status, body = refusal.status, refusal.body
        return Response(status, json.dumps(body).encode(), {})

    @property
    def channels(self) -> Json:
        pager, page = self.sims["pagerduty"], self.sims["status_page"]
        common = {"timeout": 10.0, "tries": 4}
        return {
            "pagerduty": {"service": "Custody database", "escalation_policy": None, "responders": ["Database on-call"], "login": {
                **common, "api_url": "https://pagerduty.example.org", "api_key": pager.key, "from_email": "oncall@example.org"}},
            "status_page": {"texts": TEXTS | {"mitigated": "measures were taken"}, "components": ["Custody API"], "login": {
                **common, "api_url": f"https://status-page.example.org{page.prefix}", "api_key": page.key, "page_id": PAGE_ID}},
            "mail": {"login": {**common, "to": ["x@example.org"]}},
        }  # fmt: skip

    def session(self, run: Json, channels: Json | None = None, answer: str | None = None) -> Run:
        return super().session(run, self.channels, answer)

    def read(self, session: Run, slot: str, facts: list[Json]) -> None:
        super().read(session, slot, WELL if self.done else SICK)

    def told(self) -> Json:
        """Everything that people were told and that was done, in order, without what each run calls by another name."""
        pager, page = self.sims["pagerduty"].state(), self.sims["status_page"].state()
        notes = [note["content"].split("\n")[0] for notes in pager["notes"].values() for note in notes]
        updates = [
            [one["status"], one["body"]] for incident in page["incidents"] for one in reversed(incident["incident_updates"])
        ]
        return {
            "pager": [(one["title"], one["status"]) for one in pager["incidents"]], "notes": notes, "page": updates,
            "mails": self.mails, "done": self.done, "state": self.incident["state"],
        }  # fmt: skip


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda handle: None)
    defaults: Json = dict(Client.__init__.__kwdefaults__ or {})
    monkeypatch.setattr(Client.__init__, "__kwdefaults__", {**defaults, "sleep": lambda seconds: None})


def until_green(world: World, play: t.Callable[[], str | None]) -> int:
    """Types the same again until it is green. Returns how often that was."""
    for number in range(1, MOST_RERUNS + 1):
        with contextlib.suppress(RecordError):
            if play() is None:
                return number
    raise AssertionError(f"not green after {MOST_RERUNS} reruns: {play()}")


UNKNOWN = " Not known whether cancel_queued_ddl was carried out."


def without_mitigated(good: Json) -> Json:
    """What people are told where nobody knows whether the mitigation was carried out."""
    return {
        **good,
        "notes": [
            note + UNKNOWN if note.startswith("Recovered") else note for note in good["notes"] if not note.startswith("Done")
        ],
        "page": [one for one in good["page"] if one[0] != "monitoring"],
        "mails": [one for one in good["mails"] if not one.endswith("being verified")],
    }


def compare(good: Json, found: Json) -> None:
    expected = good if any(note.startswith("Done") for note in found["notes"]) else without_mitigated(good)
    # A mail cannot be looked up: it is there once, or not at all where the run was killed around it.
    doubled = collections.Counter(found["mails"]) - collections.Counter(expected["mails"])
    assert not doubled
    assert len(expected["mails"]) - len(found["mails"]) <= 1
    assert {**found, "mails": ()} == {**expected, "mails": ()}


def played(root: pathlib.Path, at: int | None) -> tuple[World, int]:
    """A run that is killed at one of its writes, and what is left after the same was typed again."""
    world = World(root / "incidents")
    with KILLER.killing(world.root, at):
        with contextlib.suppress(Killed):
            if world.play(CANCEL, pid=gone(world)) is None:
                return world, KILLER.count
        writes = KILLER.count
    world.kill()
    until_green(world, lambda: world.play(CANCEL))
    return world, writes


def test_a_run_killed_at_each_write_says_and_does_everything_once(tmp_path: pathlib.Path) -> None:
    good, writes = played(tmp_path / "good", None)
    good.kill()
    assert good.told()["done"] == ["postgresql_backend"]
    assert good.told()["state"] == "resolved"
    assert writes > 100
    for at in range(1, writes + 1):
        world, _writes = played(tmp_path / str(at), at)
        try:
            compare(good.told(), world.told())
        except AssertionError as error:
            raise AssertionError(f"killed at write {at} of {writes}: {error}") from error


def say(world: World, text: str) -> str | None:
    run = open_given(world.root, world.incident["id"], utc_now(), gone(world), "update", check=False)
    session = world.session(run)
    session.notifier.say(text)
    session.end()
    return None


@pytest.mark.parametrize("again", ["the same text", "another text"])
def test_an_update_killed_at_each_write_is_neither_lost_nor_doubled(tmp_path: pathlib.Path, again: str) -> None:
    for at in itertools.count(1):
        world = World(tmp_path / str(at) / "incidents")
        world.play(pid=gone(world))
        world.kill()
        before = collections.Counter(world.told()["notes"])
        ended = False
        with KILLER.killing(world.root, at):
            try:
                say(world, "the same text")
                ended = True
            except Killed:
                pass
        world.kill()
        noted = "the same text" in (next(world.root.glob("db-*")) / "timeline.jsonl").read_text()
        say(world, again)
        world.kill()
        said = collections.Counter(world.told()["notes"]) - before
        first = {"the same text": 1} if noted or again == "the same text" else {}
        assert said == {**first, again: 1}, f"killed at write {at}: {said}"
        if ended:
            break
    assert at > 15


def isolate(world: World) -> str | None:
    """A run that does what can be undone."""
    session = world.session(world.open(pid=gone(world)))
    target = {"role": "billing", "connection_limit": 20}
    session.executor.effect(Effect("isolate_client", "db", "postgresql_client", {"state": "isolated"}, target))
    session.end()
    return None


def undo(world: World) -> str | None:
    run = open_given(world.root, world.incident["id"], utc_now(), gone(world), "undo", check=False)
    session = world.session(run)
    for step in session.executor.undo_plan("db"):
        args = {"state": "restored"}
        session.executor.effect(Effect(step["mitigation"], "db", "postgresql_client", args, step["target"], undoes=True))
    return session.undo_end()[1]


def test_an_undo_killed_at_each_write_is_finished_by_the_next(tmp_path: pathlib.Path) -> None:
    for at in itertools.count(1):
        world = World(tmp_path / str(at) / "incidents")
        isolate(world)
        world.kill()
        ended = False
        with KILLER.killing(world.root, at):
            try:
                undo(world)
                ended = True
            except Killed:
                pass
        world.kill()
        until_green(world, lambda w=world: undo(w))
        session = world.session(world.open(pid=gone(world)))
        assert session.executor.undo_plan("db") == []
        # Putting a limit back twice is the same as once: the module looks first.
        assert set(world.done) == {"postgresql_client isolated", "postgresql_client restored"}
        world.kill()
        if ended:
            break
    assert at > 10
    assert shipped().mitigations["isolate_client"].undo
