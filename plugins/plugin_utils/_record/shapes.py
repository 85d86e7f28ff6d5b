# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The shapes of what opening a run hands to its tasks (private to the collection; pure)."""

from __future__ import annotations

import typing as t

Json = dict[str, t.Any]


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
