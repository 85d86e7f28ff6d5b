# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an incident's events tell: what was done and whether it helped, whether a proof still stands (private; pure)."""

from __future__ import annotations

import typing as t

from ansible_collections.sre.runbooks.plugins.plugin_utils._record.shapes import Event

Json = dict[str, t.Any]
Before = t.Literal["done", "unknown"]


def done_effects(events: t.Iterable[Event], epoch: int) -> list[str]:
    """The mitigations that have been carried out since the incident was last opened, in their order."""
    done = (
        event["effect"]
        for event in events
        if event["kind"] == "outcome" and event.get("epoch") == epoch and event["status"] == "done" and "system" in event
    )
    return list(dict.fromkeys(done))


def begun_effects(events: t.Iterable[Event], epoch: int) -> dict[tuple[str, str], Before]:
    """The pairs that a run has set out to do since the incident was last opened, and whether it did: one that failed and
    changed nothing is none, one of which no outcome was recorded is ``unknown``."""
    found: dict[tuple[str, str], Before] = {}
    before: dict[tuple[str, str], Before | None] = {}
    for event in events:
        if event.get("epoch") != epoch or "system" not in event or event["kind"] not in ("intent", "outcome"):
            continue
        pair = (event["effect"], event["system"])
        if event["kind"] == "intent":
            before[pair] = found.get(pair)
            found[pair] = "unknown"
        elif event["status"] == "done":
            found[pair] = "done"
        elif event["status"] == "failed" and not event.get("changed"):
            earlier = before.pop(pair, None)
            found.pop(pair, None)
            if earlier is not None:
                found[pair] = earlier
    return found


def unknown_effects(events: t.Iterable[Event], epoch: int) -> list[str]:
    """The mitigations of which nobody knows whether they were carried out, in their order."""
    return list(dict.fromkeys(name for (name, _system), state in begun_effects(events, epoch).items() if state == "unknown"))


def fruitless_tries(events: t.Iterable[Event], mitigation: str, system: str, epoch: int) -> list[str]:
    """When a mitigation was carried out since the incident was last opened, and the recovery was not proven after it."""
    tries: dict[t.Any, str] = {}
    for event in events:
        if event["kind"] == "outcome" and (event.get("effect"), event.get("system")) == (mitigation, system):
            if event.get("epoch") == epoch and event["status"] == "done":
                tries.setdefault(event.get("run", event["at"]), str(event["at"]))
        elif event["kind"] == "verified" and event["proven"]:
            tries.clear()
    return list(tries.values())


def standing_proof(events: t.Sequence[Event]) -> Event | None:
    """The last look at whether users have recovered, if nothing has overtaken it since: no later diagnosis found users
    suffering, nothing was done, and nothing was taken back."""
    for event in events[::-1]:
        if event["kind"] == "verified":
            return event
        if event["kind"] in ("outcome", "undo_intent", "undone") and "system" in event:
            return None
        if event["kind"] == "judged" and event["slot"] == "diagnose" and event["verdict"] != "healthy":
            return None
    return None


def alerted_since(events: t.Sequence[Event], run: str) -> bool:
    """Whether an alert was noted after a run's last look at its systems began: what it tells was perhaps not seen."""
    looks = [(number, one["slot"]) for number, one in enumerate(events) if one["kind"] == "look" and one["run"] == run]
    if not looks:
        return False
    begun = min(number for number, slot in looks if slot == looks[-1][1])
    return any(event.get("alert") for event in events[begun:])
