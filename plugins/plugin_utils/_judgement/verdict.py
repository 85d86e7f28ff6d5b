# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the facts of all systems to one verdict (private to the collection; pure: the same facts give the same bytes)."""

from __future__ import annotations

import contextlib
import typing as t

from ansible_collections.sre.runbooks.plugins.plugin_utils._judgement.catalogue import EVERYTHING, Catalogue
from ansible_collections.sre.runbooks.plugins.plugin_utils._judgement.model import (
    Finding,
    Gap,
    Json,
    Measured,
    Observation,
    Ref,
    RuledOut,
)
from ansible_collections.sre.runbooks.plugins.plugin_utils._judgement.ranking import Ranked, rank
from ansible_collections.sre.runbooks.plugins.plugin_utils._judgement.shapes import (
    FindingData,
    GapData,
    Judged,
    Offer,
    RefData,
    Verdict,
)
from ansible_collections.sre.runbooks.plugins.plugin_utils._judgement.system import Below

OFFERING = ("proven", "likely")
# One host may be of several kinds, each with facts of its own.
Place = tuple[str, str]  # system, kind


def observe(facts: Json, catalogue: Catalogue) -> t.Iterator[Observation]:
    """Everything that the rules of its kind say about one system. A kind without rules is a gap, not an error."""
    if facts["kind"] not in catalogue.systems:
        yield Gap(facts["system"], facts["kind"], "no rule reads facts of this kind")
        return
    for rule in catalogue.systems[facts["kind"]].rules:
        try:
            yield from list(rule(facts))
        except Exception as error:  # what one rule does not understand leaves the others, and other systems, judged
            why = (
                f"the rule {getattr(rule, '__name__', 'of this kind')} does not understand what was read ({type(error).__name__})"
            )
            yield Gap(facts["system"], EVERYTHING, why)


def judge(every: t.Iterable[Json], expected: t.Mapping[Place, str], catalogue: Catalogue) -> Verdict:
    """The verdict on the facts of all systems.

    ``expected`` maps each system and kind that should have been read to the reason that is told when its facts are missing.
    Returns ``verdict`` (cause_found, unproven, healthy), ``findings`` in reading order, ``offers`` (what may be done, to whom),
    ``gaps`` (``vital``: without it nobody knows how the system is), ``ruled_out``, ``last_hop`` (for unproven) and
    ``measured``. Healthy needs users who were measured, a system's own account of itself is none; and systems that could be
    read, at least what is vital.
    """
    read = {(facts["system"], facts["kind"]): facts for facts in every}
    read_with = {place: {**facts, "below": _below(facts, read, expected, catalogue)} for place, facts in read.items()}
    seen = {place: list(observe(read_with[place], catalogue)) for place in sorted(read_with)}
    observations = [one for place in seen for one in seen[place]]
    gaps = {(place[1], one) for place in seen for one in seen[place] if isinstance(one, Gap)}
    gaps |= {(kind, Gap(system, EVERYTHING, why)) for (system, kind), why in expected.items() if (system, kind) not in read}
    dependencies = {system: tuple(facts["depends_on"]) for (system, _kind), facts in read.items()}
    ranked = rank((one for one in observations if isinstance(one, Finding)), catalogue, dependencies)
    measured = sorted({one for one in observations if isinstance(one, Measured)})
    found = {item.finding.id for item in ranked}
    excluded = sorted({one for one in observations if isinstance(one, RuledOut) and one.id not in found})
    told = [_gap(kind, gap, catalogue) for kind, gap in sorted(gaps, key=lambda one: (one[1], one[0]))]
    known = is_known(ranked, told, measured, catalogue)
    return {
        "verdict": _verdict(ranked, known),
        "findings": [_as_data(item, catalogue) for item in ranked],
        "offers": _offers(ranked, catalogue, known),
        "last_hop": _last_hop(ranked, catalogue),
        "gaps": told,
        "ruled_out": [{"system": item.system, "id": item.id, "why": item.why} for item in excluded],
        "measured": [{"system": item.system, "what": item.what, "of": item.of} for item in measured],
    }


def _below(facts: Json, read: t.Mapping[Place, Json], expected: t.Iterable[Place], catalogue: Catalogue) -> list[Below]:
    """What the systems that this one depends on say of themselves, also those that should have been read and were not."""
    found: list[Below] = []
    for system, kind in sorted({*read, *expected}):
        view = catalogue.systems[kind].room if kind in catalogue.systems else None
        if system in facts["depends_on"] and view is not None:
            one: Below = {"system": system, "room": None}
            with contextlib.suppress(Exception):  # what was not understood there is a gap there, and nothing is known of it here
                one["room"] = view(read[system, kind])
            found.append(one)
    return found


def is_known(ranked: list[Ranked], gaps: list[GapData], measured: list[Measured], catalogue: Catalogue) -> bool:
    """Whether users were measured, their systems read, and, where something is proven to end all writes, writes tried."""
    ended = any(item.finding.confidence == "proven" and catalogue.entry(item.finding.id).ends_writes for item in ranked)
    users = {one.of for one in measured} - {"system"}
    return bool(users) and not any(gap["vital"] for gap in gaps) and not (ended and "writes" not in users)


def _verdict(ranked: list[Ranked], known: bool) -> Judged:
    if any(item.role == "cause" for item in ranked):
        return "cause_found"
    if any(item.role == "symptom" for item in ranked) or not known:
        return "unproven"
    return "healthy"


def _last_hop(ranked: list[Ranked], catalogue: Catalogue) -> str | None:
    """For an unproven verdict: the symptom nearest to the cause, the one that explains most of the others."""
    symptoms = [item for item in ranked if item.role == "symptom"]
    if not symptoms or any(item.role == "cause" for item in ranked):
        return None
    nearest = max(symptoms, key=lambda item: len(item.explains))
    return catalogue.summary(nearest.finding)


def _offers(ranked: list[Ranked], catalogue: Catalogue, known: bool) -> list[Offer]:
    """What may be done: for causes that are proven or likely; where users are well, what prevents a risk."""
    offers: dict[tuple[str, str], Offer] = {}
    well = known and not any(item.role in ("cause", "symptom") for item in ranked)
    for item in ranked:
        entry = catalogue.entry(item.finding.id)
        preventive = well and item.role == "risk" and entry.preventive
        if item.finding.confidence not in OFFERING or not (item.role == "cause" or preventive):
            continue
        for name in entry.mitigations:
            system, targets = item.finding.subject.system, item.finding.targets.get(name, ())
            if not targets:
                continue
            offer = offers.setdefault(
                (name, system),
                {
                    "mitigation": name,
                    "system": system,
                    "finding": item.finding.id,
                    "preventive": preventive,
                    "by_name": entry.by_name,
                    "targets": [],
                },
            )
            offer["by_name"] = offer["by_name"] and entry.by_name
            offer["targets"] += [dict(target) for target in targets if dict(target) not in offer["targets"]]
    return list(offers.values())


def _ref(ref: Ref) -> RefData:
    return {"system": ref.system, "kind": ref.kind, "key": ref.key}


def _gap(kind: str, gap: Gap, catalogue: Catalogue) -> GapData:
    return {"system": gap.system, "what": gap.what, "why": gap.why, "kind": kind, "vital": catalogue.is_vital(kind, gap.what)}


def _as_data(item: Ranked, catalogue: Catalogue) -> FindingData:
    finding = item.finding
    return {
        "id": finding.id,
        "severity": catalogue.entry(finding.id).severity,
        "confidence": finding.confidence,
        "role": item.role,
        "subject": _ref(finding.subject),
        "links": [_ref(link) for link in finding.links],
        "explains": [
            {"id": other.id, "subject": _ref(other.subject), "summary": catalogue.summary(other)} for other in item.explains
        ],
        "began": finding.began,
        "summary": catalogue.summary(finding),
        "message": catalogue.message(finding),
        "manual_command": catalogue.manual_command(finding),
        "action": catalogue.entry(finding.id).action,
        "advice": catalogue.entry(finding.id).advice,
        "evidence": dict(finding.evidence),
        "targets": {name: [dict(target) for target in targets] for name, targets in finding.targets.items()},
        "mitigations": list(catalogue.entry(finding.id).mitigations),
    }
