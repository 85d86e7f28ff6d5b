# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The shapes of the record: an incident, its events, and what opening a run hands to its tasks (private; pure).

Times are RFC 3339, UTC, to the second.
"""

from __future__ import annotations

import typing as t

Json = dict[str, t.Any]


class Incident(t.TypedDict):
    """incident.json. ``epoch``: how often it was opened again. ``vendors``: what a vendor calls it. A time that has not come is
    missing, or None after it was opened again."""

    id: str
    key: str
    runbook: str
    title: str
    severity: str
    targets: list[str]
    key_was_given: bool
    state: t.Literal["open", "resolved", "closed"]
    epoch: int
    opened_at: str
    detected_at: str
    vendors: dict[str, t.Any]
    disclosure: t.NotRequired[str]
    alert: t.NotRequired[str]
    contacts: t.NotRequired[dict[str, str]]
    on_call: t.NotRequired[list[str]]
    declared_at: t.NotRequired[str | None]
    acknowledged_at: t.NotRequired[str | None]
    mitigated_at: t.NotRequired[str | None]
    resolved_at: t.NotRequired[str | None]
    closed_at: t.NotRequired[str | None]


Instant = t.Literal["detected", "declared", "acknowledged", "mitigated", "resolved"]


def time_of(incident: Incident, what: Instant) -> str:
    """When something happened, empty where it did not."""
    return str(incident.get(f"{what}_at") or "")


class Fields(t.TypedDict, total=False):
    """What an event may tell besides when and by which run it was written; which of them, its ``kind`` says."""

    asked: str
    check: bool
    unknown: bool
    down: bool
    targets: list[str]
    effect: str
    system: str
    epoch: int
    status: str
    detail: str
    changed: bool
    target: Json | None
    made: Json
    request: t.Any
    vendor_id: str | None
    stage: str
    channels: list[str]
    text: str
    update: int
    alert: bool
    phase: str
    of: str | None
    slot: str
    why: str
    verdict: str
    causes: list[str]
    proven: bool
    lines: int


class Event(Fields):
    """A line of timeline.jsonl."""

    at: t.Required[str]
    run: t.Required[str]
    kind: t.Required[str]


class Step(t.TypedDict):
    """A step of a runbook's procedure; without ``systems`` it is about all of its mitigation's kind."""

    mitigation: str
    targets: list[Json]
    systems: list[str]


class Opened(t.TypedDict):
    """An open run. ``path``: the incident's folder. ``expected``: the kinds of each system that it is about. ``ended``: there is
    nothing more to do. ``unrecorded``: why what it writes will be lost. ``looks``: whether it looks at systems."""

    incident_id: str
    path: str
    run: str
    targets: list[str]
    expected: dict[str, list[str]]
    depends_on: dict[str, list[str]]
    words: Json
    declare: str
    relapse: bool
    check: bool
    ended: bool
    pid: int
    update_minutes: float
    seconds_before_verdict: float
    unrecorded: str | None
    looks: bool
    procedure: list[Step]


class Noted(t.TypedDict):
    """What an alert's run returns that was noted in the incident that another run works on."""

    incident_id: str
    path: str
    ended: bool
