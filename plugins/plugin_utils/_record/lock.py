# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One run at a time: the lock file of an incident (private to the collection).

A lock names the run's process with its start, and where that number means anything: host, boot, pid namespace and user. A
lock left by a killed run is seen to be dead at once by whoever could see its process; for everybody else it lasts until its
lease ends, which every task of the run renews.
"""

from __future__ import annotations

import dataclasses
import datetime
import os
import pathlib
import socket
import typing as t

from ansible_collections.sre.runbooks.plugins.plugin_utils._record.errors import LockHeldError
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.store import as_json, data_of, moment_of, stamp, write_whole

LEASE_SECONDS = 900.0
NAME = "lock.json"
UNKNOWN = "unknown"


@dataclasses.dataclass(frozen=True)
class Owner:
    """A run, told apart from every other one."""

    host: str
    boot: str
    namespace: str
    user: int
    pid: int
    start: str
    run: str
    looks: bool = True


def process_start(pid: int) -> str | None:
    """The start of a live process in clock ticks since the boot (proc(5), field 22); None when it is gone."""
    try:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return None
    return None if fields[0] == b"Z" else fields[19].decode()


def this_run(pid: int, run: str, *, looks: bool = True) -> Owner:
    """The owner that a run with this ansible-playbook process is; ``looks``: it looks at its systems before it ends."""
    boot = pathlib.Path("/proc/sys/kernel/random/boot_id")
    try:
        boot_id, namespace = boot.read_text().strip(), os.readlink("/proc/self/ns/pid")
    except OSError:  # no Linux, or a /proc that shows nothing
        boot_id = namespace = UNKNOWN
    return Owner(socket.gethostname(), boot_id, namespace, os.getuid(), pid, process_start(pid) or UNKNOWN, run, looks)


def _could_be_seen(holder: t.Mapping[str, t.Any], me: Owner) -> bool:
    """Whether the holder's process would be seen from here, if it were there: where numbers of processes mean the same, /proc
    can be read, and does not hide others' processes (hidepid)."""
    same_place = all(holder.get(name) == getattr(me, name) != UNKNOWN for name in ("host", "boot", "namespace"))
    readable = me.start != UNKNOWN and holder.get("start") != UNKNOWN
    return same_place and readable and (holder.get("user") == me.user or me.user == 0)


def is_alive(holder: t.Mapping[str, t.Any], me: Owner, now: datetime.datetime) -> bool:
    """Whether a lock's owner may still be at work."""
    if _could_be_seen(holder, me):
        return process_start(int(holder["pid"])) == str(holder["start"])
    return moment_of(holder["until"]) > now


def holder_of(folder: pathlib.Path, me: Owner, now: datetime.datetime) -> dict[str, t.Any] | None:
    """Who holds the incident, None when nobody does, a dead run does, or we do."""
    try:
        holder = data_of(folder / NAME)
        mine = all(holder.get(name) == value for name, value in dataclasses.asdict(me).items())
        return None if mine or not is_alive(holder, me, now) else holder
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def take(folder: pathlib.Path, me: Owner, now: datetime.datetime) -> None:
    """Takes or renews the lock. Raises LockHeldError naming the holder. The caller keeps others out while it looks."""
    holder = holder_of(folder, me, now)
    if holder is not None:
        raise LockHeldError(
            f"another run works on this incident (run {holder['run']}, process {holder['pid']} on {holder['host']}, "
            f"until {holder['until']} unless it goes on): wait for its end, or look at its screen",
            looks=bool(holder.get("looks", True)),
        )
    until = stamp(now + datetime.timedelta(seconds=LEASE_SECONDS))
    write_whole(folder / NAME, as_json({**dataclasses.asdict(me), "until": until}))


def release(folder: pathlib.Path, me: Owner, now: datetime.datetime) -> None:
    """Gives the lock back, if it is ours."""
    if holder_of(folder, me, now) is None:
        (folder / NAME).unlink(missing_ok=True)
