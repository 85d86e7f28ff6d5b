# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The shapes of what probes tell, for those who judge it (private to the collection; pure)."""

from __future__ import annotations

import typing as t


class Probed(t.TypedDict):
    """The last round of requests to one URL; the times count failed ones too, None where none was made. ``reasons``: why some
    were not good, each with how often."""

    url: str
    method: str
    requests: int
    failures: int
    reasons: dict[str, int]
    p50_ms: float | None
    p95_ms: float | None
    max_ms: float | None
    good: bool


class Rounds(t.TypedDict):
    """Rounds of requests to several URLs; ``in_a_row``: how many of the last ones were good; ``settled``: as many as wanted."""

    probes: list[Probed]
    rounds: int
    in_a_row: int
    settled: bool
    seconds: float
