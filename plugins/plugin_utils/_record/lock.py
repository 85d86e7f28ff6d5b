# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One run at a time: the lock file of an incident (private to the collection).

A lock names the host, its boot, and the run's process with its start time, so that a lock left by a killed run on this
host is seen to be dead at once; one of another host lasts until its lease ends, which every event renews.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import pathlib
import socket
import typing as t

from ansible_collections.sre.runbooks.plugins.plugin_utils._record.errors import LockHeldError
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.store import as_json, moment_of, stamp, write_whole

LEASE_SECONDS = 900.0
NAME = "lock.json"


@dataclasses.dataclass(frozen=True)
class Owner:
    """A run, told apart from every other one."""

    host: str
    boot: str
    pid: int
    start: str
    run: str


def process_start(pid: int) -> str | None:
    """The start of a live process in clock ticks since the boot (proc(5), field 22); None when it is gone."""
    try:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else fields[19]


def this_run(pid: int, run: str) -> Owner:
    """The owner that a run with this ansible-playbook process is."""
    boot = pathlib.Path("/proc/sys/kernel/random/boot_id")
    boot_id = boot.read_text().strip() if boot.exists() else "unknown"
    return Owner(socket.gethostname(), boot_id, pid, process_start(pid) or "unknown", run)


def is_alive(holder: t.Mapping[str, t.Any], me: Owner, now: datetime.datetime) -> bool:
    """Whether a lock's owner may still be at work."""
    if holder["host"] == me.host and holder["boot"] == me.boot:
        return process_start(int(holder["pid"])) == str(holder["start"])
    return moment_of(holder["until"]) > now


def holder_of(folder: pathlib.Path, me: Owner, now: datetime.datetime) -> dict[str, t.Any] | None:
    """Who holds the incident, None when nobody does, a dead run does, or we do."""
    try:
        holder: dict[str, t.Any] = json.loads((folder / NAME).read_text())
        mine = (holder["pid"], holder["start"]) == (me.pid, me.start)
        return None if mine or not is_alive(holder, me, now) else holder
    except (OSError, ValueError, KeyError):
        return None


def take(folder: pathlib.Path, me: Owner, now: datetime.datetime) -> None:
    """Takes or renews the lock. Raises LockHeldError naming the holder. The caller keeps others out while it looks."""
    holder = holder_of(folder, me, now)
    if holder is not None:
        raise LockHeldError(
            f"another run works on this incident (run {holder['run']}, process {holder['pid']} on {holder['host']}, "
            f"until {holder['until']} unless it goes on): wait for its end, or look at its screen"
        )
    until = stamp(now + datetime.timedelta(seconds=LEASE_SECONDS))
    write_whole(folder / NAME, as_json({**dataclasses.asdict(me), "until": until}))


def release(folder: pathlib.Path, me: Owner, now: datetime.datetime) -> None:
    """Gives the lock back, if it is ours."""
    if holder_of(folder, me, now) is None:
        (folder / NAME).unlink(missing_ok=True)
