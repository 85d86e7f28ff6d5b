# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From findings to causes: who explains whom (private to the collection; pure).

An edge of the catalogue holds between two findings only where it can be shown: within one system where their subjects
and links meet, anywhere in it (``same_system``), or, for ``dependents``, where the symptom's system depends on the cause's. A
finding that explains a user-visible symptom, through however many edges, and that nothing explains, is a cause; where it is
only possible, a suspect, which takes nothing away from what is better proven.
"""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.sre.runbooks.plugins.plugin_utils._judgement.catalogue import Catalogue
from ansible_collections.sre.runbooks.plugins.plugin_utils._judgement.model import Finding, Role

CONFIDENCE = {"proven": 0, "likely": 1, "possible": 2}
Dependencies = t.Mapping[str, t.Collection[str]]


@dataclasses.dataclass(frozen=True)
class Ranked:
    """A finding with the place that the ranking gave it."""

    finding: Finding
    role: Role
    explains: tuple[Finding, ...]


def holds(cause: Finding, symptom: Finding, catalogue: Catalogue, dependencies: Dependencies) -> bool:
    """Whether the catalogue's edge from one finding to the other holds between these two."""
    reach = catalogue.entry(cause.id).explains.get(symptom.id)
    if reach == "dependents":
        # A host of two kinds stands on itself.
        return cause.subject.system in (symptom.subject.system, *dependencies.get(symptom.subject.system, ()))
    if reach == "same_system":
        return cause.subject.system == symptom.subject.system
    return reach == "linked" and cause.subject.system == symptom.subject.system and bool(cause.refs & symptom.refs)


def rank(findings: t.Iterable[Finding], catalogue: Catalogue, dependencies: Dependencies) -> list[Ranked]:
    """All findings with their roles, causes first, in the order in which they should be read.

    The order of causes: user-visible symptoms explained (most first), those that began before what they explain, confidence, the
    catalogue's order, id, subject.
    It depends on each cause's own explanations only, so an unrelated finding never changes the first.
    """
    every = sorted(set_of(findings), key=lambda finding: finding.order)
    direct = {
        cause.order: [other for other in every if other is not cause and holds(cause, other, catalogue, dependencies)]
        for cause in every
    }
    sure = [cause for cause in every if cause.confidence != "possible"]
    explained = {other.order for cause in sure for other in direct[cause.order]}
    ranked = []
    for finding in every:
        reached = sorted(_reached(finding, direct), key=lambda other: (catalogue.entry(other.id).rank, other.order))
        ranked.append(Ranked(finding, _role(finding, reached, finding.order in explained, catalogue), tuple(reached)))
    return sorted(ranked, key=lambda item: _reading_order(item, catalogue))


def set_of(findings: t.Iterable[Finding]) -> list[Finding]:
    """The findings without repetitions of the same id and subject."""
    return list({finding.order: finding for finding in findings}.values())


def _reached(start: Finding, direct: t.Mapping[t.Any, list[Finding]]) -> list[Finding]:
    """Everything that a finding explains, directly or through others."""
    found: dict[t.Any, Finding] = {}
    todo = list(direct[start.order])
    while todo:
        finding = todo.pop()
        if finding.order not in found and finding is not start:
            found[finding.order] = finding
            todo += direct[finding.order]
    return list(found.values())


def _role(finding: Finding, reached: list[Finding], explained: bool, catalogue: Catalogue) -> Role:
    entry = catalogue.entry(finding.id)
    visible = any(catalogue.entry(other.id).user_visible for other in reached)
    if not explained and (entry.self_evident or (visible and not entry.user_visible)):
        return "suspect" if finding.confidence == "possible" else "cause"
    if entry.user_visible:
        return "symptom"
    if visible:
        return "contributing"
    return "context" if entry.severity == "info" else "risk"


def _came_later(item: Ranked, catalogue: Catalogue) -> bool:
    """Whether a finding is known to have begun only after all that it explains to users had."""
    since = [other.began for other in item.explains if catalogue.entry(other.id).user_visible]
    known = [moment for moment in since if moment is not None]
    return item.finding.began is not None and bool(known) and max(known) < item.finding.began


def _reading_order(item: Ranked, catalogue: Catalogue) -> tuple[t.Any, ...]:
    roles = ("cause", "symptom", "suspect", "contributing", "risk", "context")
    visible = sum(catalogue.entry(other.id).user_visible for other in item.explains)
    return (
        roles.index(item.role),
        -visible,
        _came_later(item, catalogue),
        CONFIDENCE[item.finding.confidence],
        catalogue.entry(item.finding.id).rank,
        item.finding.order,
    )
