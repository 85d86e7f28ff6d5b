# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Going back: what was done in an incident, latest first, and what each needs to be undone (private; pure)."""

from __future__ import annotations

import dataclasses
import json
import typing as t

from ansible_collections.sre.runbooks.plugins.plugin_utils._judgement.catalogue import Catalogue
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.shapes import Event

Json = dict[str, t.Any]


@dataclasses.dataclass(frozen=True)
class UndoStep:
    """One mitigation that can be taken back: on what, and as it was before the first time."""

    mitigation: str
    system: str
    target: Json


def _thing(event: Event, catalogue: Catalogue) -> str:
    """What an effect was about, however often it was done: what tells its target apart."""
    target, identity = event.get("target") or {}, catalogue.mitigations[event["effect"]].identity
    return json.dumps([event["effect"], event["system"], [target.get(field) for field in identity]])


def undo_steps(events: t.Sequence[Event], catalogue: Catalogue) -> list[UndoStep]:
    """What was done and not yet taken back, latest first.

    An intent without an outcome may have been done, so it is taken back too (that is harmless if it was not). What the
    first of several tries found is what was there before; what the last one made is what must still be there.
    """
    begun: dict[str, tuple[str, UndoStep]] = {}  # by thing: the run that first set out to do it, and what it found
    for event in events:
        target = event.get("target")
        if not target or event.get("effect") not in catalogue.mitigations:
            continue
        thing = _thing(event, catalogue)
        if event["kind"] == "intent" and catalogue.mitigations[event["effect"]].undo:
            begun.setdefault(thing, (event["run"], UndoStep(event["effect"], event["system"], target)))
        elif thing in begun:
            run, step = begun[thing]
            nothing_changed = event["kind"] == "outcome" and not event.get("changed") and run == event["run"]
            if nothing_changed or (event["kind"] == "undone" and event["status"] == "done"):
                del begun[thing]
            elif event["kind"] == "outcome" and event.get("changed"):
                begun[thing] = (run, dataclasses.replace(step, target={**step.target, **(event.get("made") or {})}))
    return [step for dummy, step in reversed(begun.values())]


def undo_lines(events: t.Sequence[Event], catalogue: Catalogue) -> list[str]:
    """For each mitigation that was carried out, latest first: how it is undone, or that it cannot be."""
    done = [
        event
        for event in events
        if event["kind"] == "outcome"
        and event.get("system")
        and event["status"] == "done"
        and event["effect"] in catalogue.mitigations
    ]
    if not done:
        return ["nothing was done in this incident, so there is nothing to undo"]
    undone = {
        _thing(event, catalogue): event["at"]
        for event in events
        if event["kind"] == "undone" and event["status"] == "done" and event["effect"] in catalogue.mitigations
    }
    lines = []
    for event in reversed(done):
        mitigation = catalogue.mitigations[event["effect"]]
        how = mitigation.undo or f"cannot be undone; {mitigation.undo_by_hand}"
        thing = _thing(event, catalogue)
        if undone.get(thing, "") > event["at"]:
            how = f"taken back at {undone[thing]}"
        lines.append(f"{event['at']}  {event['effect']} on {event['system']} ({event['detail']}): {how}")
    return lines
