# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The shape of what is known of a service's users (private to the collection; pure)."""

from __future__ import annotations

import typing as t

from ansible_collections.sre.runbooks.plugins.module_utils._probe.facts import Rounds


class Limits(t.TypedDict):
    """From when on users suffer (roles/recovery_check)."""

    p95_ms_max: float
    error_ratio_max: float


class Monitor(t.TypedDict):
    """A Datadog monitor, and the groups that it alerts for."""

    id: int
    name: str | None
    state: str
    groups: list[str]


class Facts(Rounds):
    """One service: its name in the inventory, what it depends on, what its probes saw and what monitors say (or why not)."""

    system: str
    kind: str
    depends_on: list[str]
    limits: Limits
    wanted_in_a_row: int
    monitors: t.NotRequired[list[Monitor]]
    monitors_refused: t.NotRequired[str]
