# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The shapes of what the judgement says, as findings.json keeps them (private to the collection; pure)."""

from __future__ import annotations

import typing as t

from ansible_collections.sre.runbooks.plugins.plugin_utils._judgement.model import Confidence, Json, Measurement, Role, Severity

Judged = t.Literal["cause_found", "unproven", "healthy"]


class RefData(t.TypedDict):
    """One thing in one system."""

    system: str
    kind: str
    key: str


class Explained(t.TypedDict):
    """What a finding explains."""

    id: str
    subject: RefData
    summary: str


class FindingData(t.TypedDict):
    """A finding with the place that the ranking gave it. ``began``: UTC, or nobody knows. ``targets``: by mitigation."""

    id: str
    severity: Severity
    confidence: Confidence
    role: Role
    subject: RefData
    links: list[RefData]
    explains: list[Explained]
    began: str | None
    summary: str
    message: str
    manual_command: str
    action: str
    advice: bool
    evidence: Json
    targets: dict[str, list[Json]]
    mitigations: list[str]


class Offer(t.TypedDict):
    """What may be done to one system. ``finding``: the one that offers it; none for a step that the runbook declares."""

    mitigation: str
    system: str
    finding: str | None
    preventive: bool
    by_name: bool
    targets: list[Json]


class GapData(t.TypedDict):
    """What could not be seen of a kind of system; ``vital``: without it nobody knows how the system is."""

    system: str
    kind: str
    what: str
    why: str
    vital: bool


class RuledOutData(t.TypedDict):
    """A cause that was looked for and is not there."""

    system: str
    id: str
    why: str


class MeasuredData(t.TypedDict):
    """What was really measured."""

    system: str
    what: str
    of: Measurement


class Verdict(t.TypedDict):
    """The verdict on the facts of all systems. ``last_hop``: where an unproven one ends."""

    verdict: Judged
    findings: list[FindingData]
    offers: list[Offer]
    last_hop: str | None
    gaps: list[GapData]
    ruled_out: list[RuledOutData]
    measured: list[MeasuredData]


class Saved(Verdict):
    """A verdict of the record: which run made it, ``at`` when (UTC), in which schema."""

    schema: int
    at: str
    run: str
    incident: str


# What is known where nothing was judged.
NO_VERDICT: Verdict = {
    "verdict": "unproven", "findings": [], "offers": [], "last_hop": None, "gaps": [], "ruled_out": [], "measured": [],
}  # fmt: skip
