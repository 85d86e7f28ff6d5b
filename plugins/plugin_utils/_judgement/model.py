# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What diagnostics, rules, ranking and verdict share (private to the collection; pure)."""

from __future__ import annotations

import dataclasses
import typing as t

Json = dict[str, t.Any]
Severity = t.Literal["critical", "warning", "info"]
Confidence = t.Literal["proven", "likely", "possible"]
Role = t.Literal["cause", "symptom", "suspect", "contributing", "risk", "context"]
Measurement = t.Literal["reads", "writes", "system"]


@dataclasses.dataclass(frozen=True, order=True)
class Ref:
    """One thing in one system: a backend by its pid, a database, a URL, a whole system."""

    system: str
    kind: str
    key: str


@dataclasses.dataclass(frozen=True)
class Finding:
    """What a rule found. ``links`` are the things it touches; two findings meet where they share one.

    ``began``: since when it is so, where that is known, as UTC (``2026-11-24T02:14:00Z``): what began before a symptom explains
    it better than what began after it. ``targets``: for each mitigation what it would act on, named by what cannot change hands.
    Without one it is not offered.
    """

    id: str
    confidence: Confidence
    subject: Ref
    links: tuple[Ref, ...] = ()
    evidence: t.Mapping[str, t.Any] = dataclasses.field(default_factory=dict)
    began: str | None = None
    targets: t.Mapping[str, tuple[t.Mapping[str, t.Any], ...]] = dataclasses.field(default_factory=dict)

    @property
    def refs(self) -> frozenset[Ref]:
        return frozenset((self.subject, *self.links))

    @property
    def order(self) -> tuple[str, Ref]:
        return (self.id, self.subject)


@dataclasses.dataclass(frozen=True, order=True)
class RuledOut:
    """A cause that was looked for and is not there, with how we know."""

    system: str
    id: str
    why: str


@dataclasses.dataclass(frozen=True, order=True)
class Gap:
    """Something that could not be seen, with the reason."""

    system: str
    what: str
    why: str


@dataclasses.dataclass(frozen=True, order=True)
class Measured:
    """What was really measured: ``reads`` or ``writes`` as a user makes them, without which nothing may be called healthy, or
    only a system's own account of itself."""

    system: str
    what: str
    of: Measurement


Observation = Finding | RuledOut | Gap | Measured


class JudgementError(Exception):
    """The catalogue or the facts are not as the judgement needs them."""
