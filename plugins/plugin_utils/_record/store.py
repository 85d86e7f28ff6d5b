# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The incident's folder: written by one action plugin, read by anyone (private to the collection).

``incident.json`` is replaced whole; ``timeline.jsonl`` and ``outbox.jsonl`` only grow, under a file lock, synced to the
disk. A torn last line, left by a crash, is skipped and told.
"""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import json
import os
import pathlib
import time
import typing as t

from ansible_collections.sre.runbooks.plugins.plugin_utils._record.errors import RecordError
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.words import checked_id

Json = dict[str, t.Any]
# How many incidents are named when the one that was asked for is not there.
NEWEST = 3
EFFECT_WAIT_SECONDS = 120.0


def utc_now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def stamp(moment: datetime.datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def moment_of(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))


@contextlib.contextmanager
def file_lock(path: pathlib.Path, seconds: float, what: str) -> t.Iterator[None]:
    """An exclusive lock on a file, held by this process. Raises RecordError when it is not free in time."""
    with path.open("a") as handle:
        deadline = time.monotonic() + seconds
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise RecordError(f"{what} has not come free within {seconds:g} s ({path})") from None
                time.sleep(0.05)
        yield


def append_line(path: pathlib.Path, data: Json) -> None:
    """One line, whole and on the disk before this returns."""
    line = json.dumps(data, sort_keys=True, default=str) + "\n"
    with path.open("a+b") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        handle.seek(0, os.SEEK_END)
        if handle.tell():
            handle.seek(-1, os.SEEK_END)
            # After a torn line the next one starts on its own, so that only the torn one is lost.
            line = line if handle.read(1) == b"\n" else "\n" + line
        handle.write(line.encode())
        handle.flush()
        os.fsync(handle.fileno())


def read_lines(path: pathlib.Path) -> tuple[list[Json], int]:
    """The lines of a file and how many were torn."""
    if not path.exists():
        return [], 0
    lines: list[Json] = []
    torn = 0
    for text in path.read_bytes().split(b"\n"):
        if not text.strip():
            continue
        try:
            lines.append(json.loads(text))
        except ValueError:
            torn += 1
    return lines, torn


def write_whole(path: pathlib.Path, content: str) -> None:
    """A file replaced whole or not at all."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    with partial.open("w") as handle:
        handle.write(content)
        handle.flush()
        os.fsync(handle.fileno())
    partial.replace(path)


def as_json(data: t.Any) -> str:
    return json.dumps(data, indent=1, sort_keys=True, default=str) + "\n"


class Record:
    """One incident's folder, as one run uses it."""

    def __init__(self, path: pathlib.Path, run: str, *, clock: t.Callable[[], datetime.datetime] = utc_now) -> None:
        self.path = path
        self.run = run
        self.clock = clock

    @property
    def incident(self) -> Json:
        return t.cast("Json", json.loads((self.path / "incident.json").read_text()))

    def update(self, **changes: t.Any) -> Json:
        """Changes fields of ``incident.json`` and returns it."""
        current = self.incident if (self.path / "incident.json").exists() else {}
        current |= changes
        write_whole(self.path / "incident.json", as_json(current))
        return current

    def append(self, kind: str, **fields: t.Any) -> Json:
        """One event of the timeline."""
        event = {"at": stamp(self.clock()), "run": self.run, "kind": kind, **fields}
        append_line(self.path / "timeline.jsonl", event)
        return event

    def events(self) -> list[Json]:
        lines, torn = read_lines(self.path / "timeline.jsonl")
        if torn:
            lines.append({"at": stamp(self.clock()), "run": self.run, "kind": "torn", "lines": torn})
        return lines

    def of_run(self) -> list[Json]:
        return [event for event in self.events() if event["run"] == self.run]

    def save_facts(self, slot: str, system: str, facts: Json) -> None:
        folder = self.path / "facts" / f"{self.run}-{slot}"
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / f"{system.replace('/', '_')}.json", as_json(facts))

    def facts(self, slot: str, run: str | None = None) -> list[Json]:
        """The facts of a phase of a run, this one unless another is given."""
        folder = self.path / "facts" / f"{run or self.run}-{slot}"
        return [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]

    def save(self, name: str, data: t.Any) -> None:
        write_whole(self.path / name, as_json(data))

    def load(self, name: str) -> Json | None:
        path = self.path / name
        return json.loads(path.read_text()) if path.exists() else None

    @contextlib.contextmanager
    def effects(self) -> t.Iterator[None]:
        """Held around every outward effect: what a killed run left unfinished is waited for, not overtaken."""
        with file_lock(self.path / "effects.lock", EFFECT_WAIT_SECONDS, "an effect of an earlier run"):
            yield


def writable_root(root: pathlib.Path) -> pathlib.Path:
    """The folder that holds all incidents. Raises RecordError naming the way out when it cannot be written."""
    probe = root / f".writable-{os.getpid()}"
    try:
        root.mkdir(parents=True, exist_ok=True)
        probe.write_text("")
        probe.unlink()
    except OSError as error:
        raise RecordError(
            f"the record's folder {root} cannot be written ({error.strerror}); nothing was done. "
            "Give one that can: -e incident_record_root=/path"
        ) from error
    return root


def incident_folder(root: pathlib.Path, identity: str) -> pathlib.Path:
    """The folder of an incident that is there. Raises RecordError for a malformed id or an unknown incident, with the newest."""
    if not identity:
        raise RecordError(f"which incident? -e incident_id=…; {_newest(root)}")
    folder = root / checked_id(identity)
    if not (folder / "incident.json").exists():
        raise RecordError(f"there is no incident {identity}; {_newest(root)}")
    return folder


def _newest(root: pathlib.Path) -> str:
    newest = [f"{one['id']} ({one['state']})" for dummy, one in all_incidents(root)[:NEWEST]]
    return f"the newest in {root}: {', '.join(newest)}" if newest else f"there is none in {root}: -e incident_record_root=…"


def all_incidents(root: pathlib.Path) -> list[tuple[pathlib.Path, Json]]:
    """Every readable incident of a root, newest first."""
    found = []
    for path in root.glob("*/incident.json"):
        with contextlib.suppress(ValueError, OSError):
            found.append((path.parent, json.loads(path.read_text())))
    return sorted(found, key=lambda pair: str(pair[1].get("opened_at", "")), reverse=True)


def current_incident(
    root: pathlib.Path, key: str, now: datetime.datetime, relapse_window: float
) -> tuple[pathlib.Path, Json] | None:
    """The incident of a key that is not over: unresolved, or resolved less than the window (seconds) ago."""
    for folder, incident in all_incidents(root):
        if incident.get("key") != key or incident["state"] == "closed":
            continue
        if incident["state"] == "open":
            return folder, incident
        if (now - moment_of(incident["resolved_at"])).total_seconds() < relapse_window:
            return folder, incident
    return None
