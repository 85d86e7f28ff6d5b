# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Opening a run: who is it about, is there an incident already, is anybody else at work (private to the collection)."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import os
import pathlib
import shutil
import tempfile
import time
import typing as t

from ansible_collections.sre.runbooks.plugins.plugin_utils._judgement.catalogue import Catalogue
from ansible_collections.sre.runbooks.plugins.plugin_utils._record import lock
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.alert import read_alert
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.errors import LockHeldError, RecordError
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.inputs import (
    DISCLOSURES,
    NEED_TO_KNOW,
    PUBLIC,
    Words,
    key_for,
    new_id,
    plain,
    strictest,
    targets_from,
    words_from,
)
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.shapes import Incident, Noted, Opened
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.store import (
    Record,
    as_json,
    content_of,
    current_incident,
    data_of,
    file_lock,
    incident_folder,
    is_unreadable,
    make_folder,
    prune_healthy,
    remember_key,
    stamp,
    trouble,
    writable_root,
    write_whole,
)
from ansible_collections.sre.runbooks.plugins.plugin_utils._run.dependencies import surroundings
from ansible_collections.sre.runbooks.plugins.plugin_utils._run.procedure import steps_of

Json = dict[str, t.Any]
SEVERITIES = ("P1", "P2", "P3", "P4")
OPENING_SECONDS = 300.0
CHECK_FOLDER = "sre-runbooks-check-"
OWNER = "owner.json"
# How long an alert waits for a run that will not look at the systems, an update or an undo.
ALERT_TRIES = 30
ALERT_PAUSE_SECONDS = 2.0


@dataclasses.dataclass(frozen=True)
class Opening:
    """What the runbook and the inventory say about the run that is to be opened.

    ``kinds``: of each host that is a system, what kinds of one. ``depends_on``: what each stands on; None where the inventory
    does not say, and it is what users see: then it stands on the targets. ``disclosures``: who may read about it, by the runbook
    and by the inventory, ``host_disclosures``: about one of its systems; the strictest counts. ``procedure``: what the runbook
    may do whatever is found (see procedure.py).
    """

    runbook: str
    title: str
    severity: str
    root: str
    declare: str
    relapse_window: float
    hosts: tuple[str, ...]
    group: str
    kinds: t.Mapping[str, t.Sequence[str]]
    depends_on: t.Mapping[str, t.Sequence[str] | None]
    alert_file: str | None
    check: bool
    pid: int
    update_minutes: float = 20.0
    seconds_before_verdict: float = 3.0
    group_name: str | None = None
    keep_healthy_days: float = 7.0
    disclosures: tuple[str, ...] = (PUBLIC,)
    host_disclosures: t.Mapping[str, str] = dataclasses.field(default_factory=dict)
    procedure: t.Sequence[t.Mapping[str, t.Any]] = ()


def open_run(asked: Opening, raw: t.Mapping[str, object], catalogue: Catalogue, now: datetime.datetime) -> Opened | Noted:
    """Validates everything, finds or creates the incident, takes the lock. Returns what the run's other tasks need.

    Raises RecordError before anything is touched. An alert for an incident that another run works on is noted there
    and ends well (``ended``). Where nothing can be recorded the run looks all the same, in a folder that will be lost
    (``unrecorded`` says why), and does nothing.
    """
    words = words_from(raw, catalogue)
    targets = targets_from(words.target, asked.hosts, asked.group)
    expected, depends_on = surroundings(targets, asked.depends_on, asked.kinds)
    if asked.severity not in SEVERITIES:
        raise RecordError(f"severity is one of {', '.join(SEVERITIES)}, not {plain(asked.severity, 40)!r}")
    procedure = steps_of(asked.procedure, catalogue, asked.kinds)
    key = key_for(asked.runbook, targets, words.incident_key)
    asked = _with_disclosure(asked, expected, key)
    alert = read_alert(asked.alert_file, asked.pid)
    owner = lock.this_run(asked.pid, f"{now:%Y%m%dT%H%M%SZ}-{asked.pid}")
    root, unrecorded = _root_for(asked, key, owner, now)
    try:
        found = _opened(asked, words, targets, root, owner, now, alert)
    except OSError as error:
        if asked.check or unrecorded:
            raise
        unrecorded, root = trouble(error, root), _copy_for_check(root, key, asked, owner, now)
        found = _opened(asked, words, targets, root, owner, now, alert)
    if isinstance(found, dict):
        return found
    record, incident, relapse = found
    if alert is not None:
        _keep_alert(record, alert)
    record.append("run_started", asked=_asked(words), check=asked.check, targets=list(targets))
    return {
        "incident_id": incident["id"],
        "path": str(record.path),
        "run": owner.run,
        "targets": list(targets),
        "expected": expected,
        "depends_on": depends_on,
        "words": dataclasses.asdict(words),
        "declare": asked.declare,
        "relapse": relapse,
        "check": asked.check,
        "ended": False,
        "pid": asked.pid,
        "update_minutes": asked.update_minutes,
        "seconds_before_verdict": asked.seconds_before_verdict,
        "unrecorded": unrecorded,
        "looks": True,
        "procedure": procedure,
    }


def _opened(
    asked: Opening, words: Words, targets: tuple[str, ...], root: pathlib.Path, owner: lock.Owner, now: datetime.datetime,
    alert: str | None,
) -> tuple[Record, Incident, bool] | Noted:  # fmt: skip
    """The incident, found or made, or what an alert's run returns that noted it for a run at work."""
    for attempt in range(ALERT_TRIES):
        with file_lock(root / ".opening", OPENING_SECONDS, "the record's folder"):
            prune_healthy(root, now, asked.keep_healthy_days)
            try:
                return _find_or_create(asked, words, targets, root, owner, now)
            except LockHeldError as held:
                if alert is not None and held.looks:
                    return _note_alert(asked, words, targets, root, owner, now, alert)
                if alert is None or attempt == ALERT_TRIES - 1:
                    raise
        time.sleep(ALERT_PAUSE_SECONDS)
    raise RecordError("the incident was not released")


def _root_for(asked: Opening, key: str, owner: lock.Owner, now: datetime.datetime) -> tuple[pathlib.Path, str | None]:
    """Where this run records what it does, and why that will be lost."""
    root = pathlib.Path(asked.root).expanduser().absolute()
    if asked.check:
        return _copy_for_check(root, key, asked, owner, now), None
    try:
        return writable_root(root, asked.group_name), None
    except RecordError as error:
        return _copy_for_check(root, key, asked, owner, now), str(error)


def _with_disclosure(asked: Opening, expected: t.Collection[str], key: str) -> Opening:
    """What the runbook, the inventory and the systems of this run say, strictest; where an incident of this key is there and
    cannot be read, nobody knows who may read about it. Raises RecordError for an unknown one."""
    told = [*asked.disclosures, *(asked.host_disclosures[host] for host in expected if host in asked.host_disclosures)]
    root = pathlib.Path(asked.root).expanduser().absolute()
    try:
        unreadable = is_unreadable(root, key)
    except OSError:
        unreadable = True
    return dataclasses.replace(asked, disclosures=(strictest(*told, *([NEED_TO_KNOW] if unreadable else [])),))


def _tighten(record: Record, incident: Incident, asked: Opening) -> None:
    """The incident's disclosure, if this run's is stricter."""
    now = incident.get("disclosure", PUBLIC)
    known = now if now in DISCLOSURES else NEED_TO_KNOW
    wanted = strictest(known, *asked.disclosures)
    if wanted != now:
        record.update(disclosure=wanted)


def open_given(root: pathlib.Path, identity: str, now: datetime.datetime, pid: int, asked: str, *, check: bool) -> Opened:
    """A run about an incident that is there, an undo or an update. Raises RecordError for an unknown one, or one at work."""
    folder = incident_folder(root, identity)
    owner = lock.this_run(pid, f"{now:%Y%m%dT%H%M%SZ}-{pid}", looks=False)
    if check:
        folder = _copied(folder, _temporary(owner, now))
    else:
        with file_lock(root / ".opening", OPENING_SECONDS, "the record's folder"):
            lock.take(folder, owner, now)
    record = Record(folder, owner.run)
    systems = sorted({event["system"] for event in record.events() if event.get("effect") and event.get("system")})
    record.append("run_started", asked=asked, check=check, targets=systems)
    return {
        "incident_id": identity, "path": str(folder), "run": owner.run, "targets": systems,
        "expected": {system: [] for system in systems}, "depends_on": {},
        "words": dataclasses.asdict(Words()), "declare": "never", "relapse": False, "check": check,
        "ended": False, "pid": pid, "update_minutes": 0.0, "unrecorded": None,
        "seconds_before_verdict": 3.0, "looks": False, "procedure": [],
    }  # fmt: skip


def _asked(words: Words) -> str:
    what = [":".join([name, *words.only.get(name, ())]) for name in words.mitigate]
    parts = [f"mitigate {', '.join(what)}"] if what else ["look, do nothing"]
    if words.mitigate_unoffered:
        parts.append(f"even if not offered, because: {words.reason}")
    elif words.reason:
        parts.append(f"because: {words.reason}")
    return "; ".join(parts)


def _find_or_create(
    asked: Opening,
    words: Words,
    targets: tuple[str, ...],
    root: pathlib.Path,
    owner: lock.Owner,
    now: datetime.datetime,
) -> tuple[Record, Incident, bool]:
    key = key_for(asked.runbook, targets, words.incident_key)
    found = current_incident(root, key, now, asked.relapse_window)
    if found is not None:
        folder, incident = found
        if not asked.check:
            lock.take(folder, owner, now)
        record = Record(folder, owner.run)
        _tighten(record, incident, asked)
        return record, incident, incident["state"] == "resolved"
    # A folder without an incident is left of a run that was killed as it made it.
    identity = new_id(asked.runbook, targets, now, lambda name: (root / name / "incident.json").exists())
    folder = make_folder(root / identity)
    lock.take(folder, owner, now)
    record = Record(folder, owner.run)
    # Found by its key before it is there: a run that is killed in between leaves nothing that a second one would not find.
    remember_key(folder, key)
    incident = record.update(
        id=identity, key=key, runbook=asked.runbook, title=asked.title, severity=asked.severity, targets=list(targets),
        state="open", epoch=0, opened_at=stamp(now), detected_at=stamp(now), vendors={},
        disclosure=strictest(*asked.disclosures), key_was_given=bool(words.incident_key),
    )  # fmt: skip
    return record, incident, False


def _temporary(owner: lock.Owner, now: datetime.datetime) -> pathlib.Path:
    """A folder that ends with the run; those of runs that were killed end now."""
    for left in pathlib.Path(tempfile.gettempdir()).glob(f"{CHECK_FOLDER}*"):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            mine = left.lstat().st_uid == os.geteuid() and not left.is_symlink()
            if mine and not lock.is_alive(data_of(left / OWNER), owner, now):
                shutil.rmtree(left)
    folder = pathlib.Path(tempfile.mkdtemp(prefix=CHECK_FOLDER))
    until = stamp(now + datetime.timedelta(seconds=lock.LEASE_SECONDS))
    write_whole(folder / OWNER, as_json({**dataclasses.asdict(owner), "until": until}))
    return folder


def remove_temporary(run: Opened) -> None:
    """Removes the folder of a run in check mode, or of one that could not be recorded."""
    folder = pathlib.Path(run["path"]).parent
    if (run["check"] or run.get("unrecorded")) and folder.name.startswith(CHECK_FOLDER):
        shutil.rmtree(folder, ignore_errors=True)


def _copied(folder: pathlib.Path, to: pathlib.Path) -> pathlib.Path:
    """A copy of an incident: its own files, and nothing that somebody has put beside them."""
    copy = make_folder(to / folder.name)
    for path in [*folder.glob("*.json*"), *folder.glob("facts/*/*.json")]:
        target = copy / path.relative_to(folder)
        with contextlib.suppress(OSError):
            for parent in reversed(target.relative_to(copy).parents[:-1]):
                make_folder(copy / parent)
            write_whole(target, content_of(path).decode("utf-8", "replace"))
    return copy


def _copy_for_check(root: pathlib.Path, key: str, asked: Opening, owner: lock.Owner, now: datetime.datetime) -> pathlib.Path:
    """Check mode keeps its record in a temporary folder, beginning with a copy of the incident that it is about."""
    copy = _temporary(owner, now)
    with contextlib.suppress(OSError):  # what cannot be read cannot be gone on with
        found = current_incident(root, key, now, asked.relapse_window, only_look=True) if root.exists() else None
        if found is not None:
            remember_key(_copied(found[0], copy), key)
    return copy


def _keep_alert(record: Record, alert: str) -> None:
    write_whole(make_folder(record.path / "evidence") / f"alert-{record.run}.txt", alert)
    first = next((line for line in alert.splitlines() if line.strip()), "")
    record.update(alert=" ".join(plain(first, 160).split()))


def _note_alert(
    asked: Opening, words: Words, targets: tuple[str, ...], root: pathlib.Path, owner: lock.Owner,
    now: datetime.datetime, alert: str,
) -> Noted:  # fmt: skip
    key = key_for(asked.runbook, targets, words.incident_key)
    found = current_incident(root, key, now, asked.relapse_window)
    if found is None:  # it was resolved and closed between the two looks
        raise RecordError("the incident was closed while this alert came in: start the runbook again")
    record = Record(found[0], owner.run)
    _tighten(record, found[1], asked)
    write_whole(make_folder(record.path / "evidence") / f"alert-{owner.run}.txt", alert)
    first = alert.strip().splitlines()[0] if alert.strip() else ""
    record.append("note", text=f"the same alert came again: {plain(first, 160)}", alert=True)
    return {"incident_id": found[1]["id"], "path": str(found[0]), "ended": True}
