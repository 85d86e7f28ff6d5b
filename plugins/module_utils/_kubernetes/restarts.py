# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A change of what pods take when they start, and the restart that gives it to them (private to the collection)."""

from __future__ import annotations

import datetime
import time
import typing as t

from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.client import Client, access_from, connect
from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.errors import KubernetesError
from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.rollout import Rollout, Target
from ansible_collections.sre.runbooks.plugins.module_utils._spec import Spec
from ansible_collections.sre.runbooks.plugins.module_utils._within import LateError, within

Json = dict[str, t.Any]
ACT_SECONDS = 60.0


def restart_spec() -> Spec:
    return {"restart": {"type": "str"}, "restart_uid": {"type": "str"}, "wait_seconds": {"type": "float", "default": 120.0}}


class Writer(t.Protocol):
    """What writes: ``made`` is by what an undo finds it, as soon as it may have been written; ``ours_since``: since when this
    collection's value is there already, empty where it is not or nobody knows."""

    made: Json
    ours_since: str

    def write(self, *, dry_run: bool) -> str:
        """Returns what was done, in words; empty where nothing was to be done."""


class Change:
    """What is done, in order: the writing, the restart, the wait. ``done`` grows with it."""

    def __init__(self, params: t.Mapping[str, t.Any], client: Client, writer: Writer, *, dry_run: bool) -> None:
        self.rollout, self.writer, self.dry_run = Rollout(client, time.monotonic, time.sleep), writer, dry_run
        self.target = Target(params["namespace"], params["restart"], params["restart_uid"]) if params["restart"] else None
        self.wait_seconds: float = params["wait_seconds"]
        self.done: list[str] = []

    def write(self) -> None:
        if self.target:  # what cannot be restarted afterwards is found out before anything is written
            self.rollout.refuse_paused(self.target)
        said = self.writer.write(dry_run=self.dry_run)
        self.done += [said] if said else []

    def restart(self) -> None:
        if self.target is None or not (self.done or self._is_behind(self.target)):
            return
        stamp = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        outcome = self.rollout.restart(self.target, stamp, dry_run=self.dry_run)
        self.done += outcome.done
        if self.wait_seconds and not self.dry_run:
            self.rollout.wait(self.target, self.wait_seconds, outcome.deployment)

    def _is_behind(self, target: Target) -> bool:
        """Whether a run before wrote, and was ended before it restarted."""
        since = self.writer.ours_since
        return bool(since) and self.rollout.restarted_at(target) < since


def carry_out(params: t.Mapping[str, t.Any], writer_for: t.Callable[[Client], Writer], *, dry_run: bool) -> Json:
    """Writes and restarts. Returns the module's result: ``changed``, ``done``, ``made``; ``msg`` where something failed."""
    try:
        client = within(ACT_SECONDS, lambda: connect(access_from(params)))
    except (KubernetesError, LateError) as error:
        return {"msg": str(error)}
    change, said = Change(params, client, writer_for(client), dry_run=dry_run), {}
    try:
        within(ACT_SECONDS, change.write)
        within(ACT_SECONDS + change.wait_seconds, change.restart)
    except Exception as error:  # what may have been stored is told as changed, whatever failed, so that it can be undone
        known = isinstance(error, (KubernetesError, LateError))
        why = str(error) if known else f"{type(error).__name__} in an answer of the API server"
        said = {"msg": "; ".join([*change.done, why])}
    changed = client.wrote if said else bool(change.done)
    return {"changed": changed, "done": change.done, "made": change.writer.made, **said}
