"""The record's files: torn lines, locks, the outbox."""

from __future__ import annotations

import dataclasses
import datetime
import json
import os
import pathlib
import typing as t

import pytest
from ansible_collections.sre.runbooks.plugins.plugin_utils._channels.settings import MODULES
from ansible_collections.sre.runbooks.plugins.plugin_utils._record import lock
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.errors import LockHeldError, RecordError
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.outbox import Message, Outbox
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.store import (
    Record,
    current_incident,
    file_lock,
    incident_folder,
    stamp,
    writable_root,
)

NOW = datetime.datetime(2026, 11, 24, 2, 14, tzinfo=datetime.UTC)


def ago(seconds: float) -> datetime.datetime:
    return NOW - datetime.timedelta(seconds=seconds)


def test_a_torn_last_line_is_skipped_and_told_and_the_next_one_is_whole(tmp_path: pathlib.Path) -> None:
    record = Record(tmp_path, "run", clock=lambda: NOW)
    record.append("note", text="first")
    with (tmp_path / "timeline.jsonl").open("a") as handle:
        handle.write('{"at": "2026-11-24T02:14:00.000Z", "kind": "no')
    record.append("note", text="second")
    assert [(event["kind"], event.get("text"), event.get("lines")) for event in record.events()] == [
        ("note", "first", None), ("note", "second", None), ("torn", None, 1),
    ]  # fmt: skip


def test_an_incident_is_replaced_whole(tmp_path: pathlib.Path) -> None:
    record = Record(tmp_path, "run")
    assert record.update(a=1) == {"a": 1}
    assert record.update(b=2) == {"a": 1, "b": 2} == record.incident
    assert [path.name for path in tmp_path.iterdir()] == ["incident.json"]


def incident(root: pathlib.Path, name: str, **fields: t.Any) -> None:
    (root / name).mkdir(parents=True)
    data = {"id": name, "key": "k", "state": "open", "opened_at": stamp(NOW), **fields}
    (root / name / "incident.json").write_text(json.dumps(data))


INCIDENTS: list[tuple[str, dict[str, t.Any], bool]] = [
    ("an open one, however old", {"opened_at": stamp(ago(900000))}, True),
    ("another key", {"key": "other"}, False),
    ("closed: it was healthy", {"state": "closed"}, False),
    ("resolved just now", {"state": "resolved", "resolved_at": stamp(ago(60))}, True),
    ("resolved long ago", {"state": "resolved", "resolved_at": stamp(ago(9000))}, False),
]


@pytest.mark.parametrize(("name", "fields", "found"), INCIDENTS, ids=[one[0] for one in INCIDENTS])
def test_the_incident_that_is_not_over(tmp_path: pathlib.Path, name: str, fields: dict[str, t.Any], found: bool) -> None:
    incident(tmp_path, "db-x-20261124T0214Z", **fields)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "incident.json").write_text("{")
    assert (current_incident(tmp_path, "k", NOW, 3600.0) is not None) is found


def test_a_folder_that_cannot_be_written_names_the_way_out(tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RecordError, match="cannot be read or written .* incident_record_root="):
        writable_root(tmp_path / "file" / "incidents")


def test_only_an_incident_that_is_there_has_a_folder(tmp_path: pathlib.Path) -> None:
    with pytest.raises(RecordError, match="there is no incident"):
        incident_folder(tmp_path, "db-x-20261124T0214Z")
    with pytest.raises(RecordError, match="is not an incident's id"):
        incident_folder(tmp_path, "../x")
    with pytest.raises(RecordError, match=r"which incident\? .*there is none in"):
        incident_folder(tmp_path, "")


def test_an_unknown_incident_is_answered_with_the_newest_ones(tmp_path: pathlib.Path) -> None:
    for minute in range(14, 19):
        folder = tmp_path / f"db-x-20261124T02{minute}Z"
        folder.mkdir()
        incident = {"id": folder.name, "state": "open", "opened_at": f"2026-11-24T02:{minute}:00.000Z"}
        (folder / "incident.json").write_text(json.dumps(incident))
    newest = ", ".join(rf"db-x-20261124T02{minute}Z \(open\)" for minute in (18, 17, 16))
    for asked in ("", "db-y-20261124T0214Z"):
        with pytest.raises(RecordError, match=rf"the newest in .*: {newest}$"):
            incident_folder(tmp_path, asked)


def test_a_held_file_lock_is_waited_for_and_then_told(tmp_path: pathlib.Path) -> None:
    with file_lock(tmp_path / "l", 1, "first"), pytest.raises(RecordError, match="second was not released"):
        with file_lock(tmp_path / "l", 0.1, "second"):
            pass


ME = lock.this_run(os.getpid(), "me")
ELSEWHERE = {"host": "other", "boot": "other", "pid": 1, "start": "1", "run": "theirs"}
HERE = {"host": ME.host, "boot": ME.boot, "namespace": ME.namespace, "user": ME.user, "run": "theirs"}
HOLDERS: list[tuple[str, dict[str, t.Any], bool]] = [
    ("this very run", dataclasses.asdict(ME), False),
    ("another run of a process of this number elsewhere", {**dataclasses.asdict(ME), "host": "other", "run": "theirs"}, True),
    (
        "another container of this host, whose process was number 1",
        {**HERE, "namespace": "pid:[1]", "pid": 1, "start": "1"},
        True,
    ),
    ("another user's process may be hidden", {**HERE, "user": 4711, "pid": 2**22 + 1, "start": "1"}, os.getuid() != 0),
    ("a process whose start nobody could read", {**HERE, "pid": 2**22 + 1, "start": lock.UNKNOWN}, True),
    ("a dead process of this host", {**HERE, "pid": 2**22 + 1, "start": "1"}, False),
    ("a reused pid of this host", {**HERE, "pid": os.getppid(), "start": "1"}, False),
    ("a live process of this host", {**HERE, "pid": os.getppid(), "start": lock.process_start(os.getppid())}, True),
    ("another host, lease running", {**ELSEWHERE, "until": stamp(ago(-60))}, True),
    ("another host, lease over", {**ELSEWHERE, "until": stamp(ago(60))}, False),
    (
        "this host before its last boot, lease over",
        {**HERE, "boot": "before", "pid": 1, "start": "1", "until": stamp(ago(1))},
        False,
    ),
]


@pytest.mark.parametrize(("name", "holder", "held"), HOLDERS, ids=[one[0] for one in HOLDERS])
def test_lock(tmp_path: pathlib.Path, name: str, holder: dict[str, t.Any], held: bool) -> None:
    (tmp_path / lock.NAME).write_text(json.dumps({"until": stamp(ago(-60)), **holder}))
    if held:
        with pytest.raises(LockHeldError, match=r"another run works on this incident \(run theirs"):
            lock.take(tmp_path, ME, NOW)
        lock.release(tmp_path, ME, NOW)
        assert (tmp_path / lock.NAME).exists()
    else:
        lock.take(tmp_path, ME, NOW)
        assert json.loads((tmp_path / lock.NAME).read_text())["pid"] == ME.pid
        lock.release(tmp_path, ME, NOW)
        assert not (tmp_path / lock.NAME).exists()


def test_an_unreadable_lock_does_not_stop_anybody(tmp_path: pathlib.Path) -> None:
    (tmp_path / lock.NAME).write_text("{")
    lock.take(tmp_path, ME, NOW)


def message(identity: str, channel: str = "pagerduty") -> Message:
    module = {"pagerduty": "pagerduty_incident", "status_page": "status_page_incident"}.get(channel, channel)
    return Message(identity, channel, "declared", module, {"a": 1})


def test_outbox(tmp_path: pathlib.Path) -> None:
    outbox = Outbox(tmp_path, MODULES)
    assert outbox.queue([message("a"), message("b")]) == [message("a"), message("b")]
    assert outbox.queue([message("a"), message("c")]) == [message("c")]
    outbox.mark("a", "sent", "sent", "now")
    outbox.mark("b", "failed", "vendor down", "now")
    assert [one.id for one in outbox.unsent()] == ["b", "c"]
    assert [(one.id, line.get("op")) for one, line in outbox.journal()] == [("a", "sent"), ("b", "failed"), ("c", None)]
    assert (outbox.why("b"), outbox.why("c")) == ("vendor down", "not tried yet")
    outbox.mark("b", "sent", "sent", "later")
    assert [one.id for one in Outbox(tmp_path, MODULES).unsent()] == ["c"]
