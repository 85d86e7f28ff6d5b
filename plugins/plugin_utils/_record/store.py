# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The incident's folder: written by one action plugin, read by anyone (private to the collection).

``incident.json`` is replaced whole; ``timeline.jsonl`` and ``outbox.jsonl`` only grow, under a file lock, synced to the
disk. A torn last line, left by a crash, is skipped and told. Only the user who runs it reads it, whatever the umask; or, where
the root is set-group-ID, the group.
"""

from __future__ import annotations

import contextlib
import datetime
import errno
import fcntl
import hashlib
import json
import os
import pathlib
import secrets
import shutil
import stat
import tempfile
import time
import typing as t
import urllib.parse

from ansible_collections.sre.runbooks.plugins.plugin_utils._record.errors import RecordError
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.inputs import INCIDENT_ID, checked_id
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.shapes import Event, Fields, Incident

Json = dict[str, t.Any]
# How many incidents are named when the one that was asked for is not there.
NEWEST = 3
EFFECT_WAIT_SECONDS = 120.0
# As much as a run may write.
ROOM_BYTES = 1024 * 1024
# More than any file of a record.
LARGEST_FILE = 64 * 1024 * 1024
# How long a line waits for somebody who holds a lock on its file.
APPEND_SECONDS = 30.0
# How many old folders a run removes at most, so that it does not wait for it.
MOST_PRUNED = 20


def utc_now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def stamp(moment: datetime.datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def moment_of(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))


def is_shared(folder: pathlib.Path) -> bool:
    """Whether a folder is for its group too: then it is set-group-ID, and what is made in it belongs to that group."""
    return bool(folder.stat().st_mode & stat.S_ISGID)


def make_folder(path: pathlib.Path) -> pathlib.Path:
    """A folder in the record; one that is there already stays as it is. Raises OSError where it is a link to somewhere else."""
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=0o700)
        path.chmod(0o2770 if is_shared(path.parent) else 0o700)
    if path.is_symlink():
        raise OSError(errno.ELOOP, "it is a link to somewhere else", str(path))
    return path


def opened(path: pathlib.Path, flags: int) -> t.BinaryIO:
    """A file for those who may read the folder and for nobody else. Raises OSError for what is no plain file of this folder: who
    shares the folder could otherwise let us write anywhere."""
    mode = 0o660 if is_shared(path.parent) else 0o600
    handle = os.open(path, flags | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, mode)
    found = os.fstat(handle)
    if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
        os.close(handle)
        raise OSError(errno.ELOOP, "it is no plain file", str(path))
    if found.st_uid == os.geteuid() and stat.S_IMODE(found.st_mode) != mode:
        os.fchmod(handle, mode)
    return os.fdopen(handle, "r+b")


def content_of(path: pathlib.Path) -> bytes:
    """What is in a plain file. Raises OSError for anything else (a pipe would never end), and for one that is too large."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(handle, "rb") as file:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.ELOOP, "it is no plain file", str(path))
        if found.st_size > LARGEST_FILE:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(path))
        return file.read()


def data_of(path: pathlib.Path) -> Json:
    """The JSON object in a file. Raises OSError, and ValueError for what is none."""
    try:
        found = json.loads(content_of(path))
    except RecursionError as error:
        raise ValueError(f"{path} is no JSON") from error
    if not isinstance(found, dict):
        raise ValueError(f"{path} holds no JSON object")
    return found


def trouble(error: OSError, root: pathlib.Path) -> str:
    """What a person can do about a file that cannot be read or written."""
    path = pathlib.Path(str(error.filename or root))
    way_out = "Give one that can: -e incident_record_root=/path"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"the record in {root} cannot be written: no space is left ({error.strerror}). Make some, or: {way_out}"
    if error.errno in (errno.EACCES, errno.EPERM):
        try:
            whose = f"it belongs to {path.owner() if path.exists() else path.parent.owner()}"
        except (OSError, KeyError):
            whose = "it belongs to another user"
        return (
            f"the record {path} cannot be read or written ({error.strerror}): {whose}. Whoever works on incidents shares a "
            f"group: -e incident_record_group=NAME when the folder is made. {way_out}"
        )
    return f"the record {path} cannot be read or written ({error.strerror}). {way_out}"


@contextlib.contextmanager
def file_lock(path: pathlib.Path, seconds: float, what: str) -> t.Iterator[t.BinaryIO]:
    """An exclusive lock on a file, held by this process. Raises RecordError when it is not free in time."""
    with opened(path, os.O_RDWR) as handle:
        deadline = time.monotonic() + seconds
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise RecordError(f"{what} was not released within {seconds:g} s ({path})") from None
                time.sleep(0.05)
        yield handle


def append_line(path: pathlib.Path, data: Json) -> None:
    """One line, whole and on the disk before this returns."""
    line = json.dumps(data, sort_keys=True, default=str) + "\n"
    with file_lock(path, APPEND_SECONDS, "a file that somebody reads") as handle:
        handle.seek(0, os.SEEK_END)
        if handle.tell():
            handle.seek(-1, os.SEEK_END)
            # After a torn line the next one starts on its own, so that only the torn one is lost.
            line = line if handle.read(1) == b"\n" else "\n" + line
            handle.seek(0, os.SEEK_END)
        handle.write(line.encode())
        handle.flush()
        os.fsync(handle.fileno())


def read_lines(path: pathlib.Path, needed: t.Sequence[str] = ()) -> tuple[list[Json], int]:
    """The lines of a file, each an object with the texts that are needed, and how many others there were."""
    if not path.exists():
        return [], 0
    lines: list[Json] = []
    torn = 0
    for text in content_of(path).split(b"\n"):
        if not text.strip():
            continue
        try:
            line = json.loads(text)
        except (ValueError, RecursionError):
            line = None
        whole = isinstance(line, dict) and all(isinstance(line.get(name), str) for name in needed)
        lines += [line] if whole else []
        torn += not whole
    return lines, torn


def write_whole(path: pathlib.Path, content: str) -> None:
    """A file replaced whole or not at all."""
    partial = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    with opened(partial, os.O_RDWR | os.O_EXCL) as handle:
        handle.write(content.encode("utf-8", "replace"))
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
    def incident(self) -> Incident:
        return t.cast("Incident", data_of(self.path / "incident.json"))

    def update(self, **changes: t.Any) -> Incident:
        """Changes fields of ``incident.json`` and returns it."""
        path = self.path / "incident.json"
        current = {**(data_of(path) if path.exists() else {}), **changes}
        write_whole(path, as_json(current))
        return t.cast("Incident", current)

    def append(self, kind: str, **fields: t.Unpack[Fields]) -> Event:
        """One event of the timeline."""
        event: Event = {"at": stamp(self.clock()), "run": self.run, "kind": kind, **fields}
        append_line(self.path / "timeline.jsonl", {**event})
        return event

    def events(self) -> list[Event]:
        lines, torn = read_lines(self.path / "timeline.jsonl", ("at", "run", "kind"))
        if torn:
            lines.append({"at": stamp(self.clock()), "run": self.run, "kind": "torn", "lines": torn})
        return t.cast("list[Event]", lines)

    def of_run(self) -> list[Event]:
        return [event for event in self.events() if event["run"] == self.run]

    def save_facts(self, slot: str, system: str, kind: str, facts: Json) -> None:
        """Keeps what was read of one kind of a system."""
        folder = make_folder(make_folder(self.path / "facts") / f"{self.run}-{slot}")
        write_whole(folder / f"{urllib.parse.quote(system, safe='')}.{kind}.json", as_json(facts))

    def facts(self, slot: str, run: str | None = None) -> list[Json]:
        """The facts of a phase of a run, this one unless another is given."""
        folder = self.path / "facts" / f"{run or self.run}-{slot}"
        return [data_of(path) for path in sorted(folder.glob("*.json"))]

    def save(self, name: str, data: t.Any) -> None:
        write_whole(self.path / name, as_json(data))

    def load(self, name: str) -> Json | None:
        path = self.path / name
        return data_of(path) if path.exists() else None

    @contextlib.contextmanager
    def effects(self, seconds: float = EFFECT_WAIT_SECONDS) -> t.Iterator[None]:
        """Held around every outward effect: what a killed run left unfinished is waited for, not overtaken."""
        with file_lock(self.path / "effects.lock", seconds, "an effect of an earlier run"):
            yield


def writable_root(root: pathlib.Path, group: str | None = None) -> pathlib.Path:
    """The folder that holds all incidents. Raises RecordError naming the way out when it cannot be written."""
    probe = root / f".writable-{secrets.token_hex(8)}"
    try:
        if not root.exists():
            _make_root(root, group)
        # An empty file can be made on a full disk.
        with opened(probe, os.O_RDWR | os.O_EXCL) as handle:
            handle.write(b"0" * ROOM_BYTES)
            handle.flush()
            os.fsync(handle.fileno())
    except OSError as error:
        raise RecordError(trouble(error, root)) from error
    except LookupError as error:
        raise RecordError(f"there is no group {group} on this machine (incident_record_group)") from error
    finally:
        with contextlib.suppress(OSError):
            probe.unlink()
    return root


def _make_root(root: pathlib.Path, group: str | None) -> None:
    """A root for this user, or for a group of theirs, whatever the folder is like in which it is made: it comes under its name
    when it is ready. Raises LookupError for a group that is not there."""
    for parent in reversed([one for one in root.parents if not one.exists()]):
        parent.mkdir(mode=0o755)
        parent.chmod(0o755)
    partial = pathlib.Path(tempfile.mkdtemp(prefix=f".{root.name}-", dir=root.parent))
    try:
        if group:
            shutil.chown(partial, group=group)
        partial.chmod(0o2770 if group else 0o700)
        with contextlib.suppress(FileExistsError):  # another run was quicker
            partial.rename(root)
    finally:
        if partial.exists():
            partial.rmdir()


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


def all_incidents(root: pathlib.Path) -> list[tuple[pathlib.Path, Incident]]:
    """Every readable incident of a root, newest first."""
    found = []
    for path in root.glob("*/incident.json"):
        with contextlib.suppress(ValueError, OSError):
            incident = data_of(path)
            if {"id", "state"} <= incident.keys():
                found.append((path.parent, t.cast("Incident", incident)))
    return sorted(found, key=lambda pair: str(pair[1].get("opened_at", "")), reverse=True)


def current_incident(
    root: pathlib.Path, key: str, now: datetime.datetime, relapse_window: float, *, only_look: bool = False
) -> tuple[pathlib.Path, Incident] | None:
    """The incident of a key that is not over: unresolved, or resolved less than the window (seconds) ago."""
    folder = _of_key(root, key, only_look=only_look)
    if folder is None:
        return None
    try:
        incident = data_of(folder / "incident.json")
        if incident.get("key") != key or incident["state"] == "closed":
            return None
        if incident["state"] == "open" or (now - moment_of(incident["resolved_at"])).total_seconds() < relapse_window:
            return folder, t.cast("Incident", incident)
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return None


def is_unreadable(root: pathlib.Path, key: str) -> bool:
    """Whether an incident of a key is there that cannot be read. Raises OSError where the root cannot."""
    if not root.exists():
        return False
    folder = _of_key(root, key, only_look=True)
    if folder is None or not (folder / "incident.json").exists():
        return False
    try:
        return not isinstance(data_of(folder / "incident.json"), dict)
    except ValueError:
        return True


# -- the index of the newest incident by key: a root may hold ten thousand ----------------------------------------------


def _index(root: pathlib.Path, key: str) -> pathlib.Path:
    return root / ".keys" / hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()[:32]


def _of_key(root: pathlib.Path, key: str, *, only_look: bool) -> pathlib.Path | None:
    """The newest incident's folder of a key. The caller keeps others from opening incidents meanwhile."""
    if not (root / ".keys").exists() and only_look:
        return next((folder for folder, incident in all_incidents(root) if incident.get("key") == key), None)
    if not (root / ".keys").exists():
        _make_index(root)
    try:
        return root / checked_id(content_of(_index(root, key)).decode("ascii", "replace").strip())
    except (FileNotFoundError, RecordError):
        return None


def _make_index(root: pathlib.Path) -> None:
    """Once for a root that was made before there was an index. Not synced file by file: it counts when it has its name, and ten
    thousand syncs would keep everybody waiting."""
    partial = make_folder(root / f".keys-{secrets.token_hex(8)}")
    newest = {_index(root, str(incident.get("key"))).name: folder.name for folder, incident in reversed(all_incidents(root))}
    for name, folder_name in newest.items():
        with opened(partial / name, os.O_RDWR | os.O_EXCL) as handle:
            handle.write(folder_name.encode())
    partial.rename(root / ".keys")


def remember_key(folder: pathlib.Path, key: str) -> None:
    """Lets an incident be found by its key."""
    make_folder(folder.parent / ".keys")
    write_whole(_index(folder.parent, key), folder.name)


# -- what was opened for an alert and found healthy goes after a while ---------------------------------------------------


def remember_healthy(folder: pathlib.Path) -> None:
    """Lets an incident that was closed because all was well be removed later."""
    write_whole(make_folder(folder.parent / ".healthy") / folder.name, "")


def prune_healthy(root: pathlib.Path, now: datetime.datetime, days: float) -> None:
    """Removes the oldest of those that are older than so many days, a few at a time; with 0 none."""
    markers = root / ".healthy"
    if not days or markers.is_symlink() or not markers.exists():
        return
    limit = now.timestamp() - 86400 * days
    old = sorted((one.lstat().st_mtime, one) for one in markers.iterdir() if INCIDENT_ID.fullmatch(one.name))
    for _age, marker in [pair for pair in old if pair[0] < limit][:MOST_PRUNED]:
        folder = root / marker.name
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            events = read_lines(folder / "timeline.jsonl", ("kind",))[0]
            noted = any(event["kind"] == "note" and not event.get("alert") for event in events)
            if data_of(folder / "incident.json")["state"] == "closed" and not noted:
                shutil.rmtree(folder)
        marker.unlink(missing_ok=True)
