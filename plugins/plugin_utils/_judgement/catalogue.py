# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The two data files that say what can be found and what can be done about it (private to the collection)."""

from __future__ import annotations

import dataclasses
import functools
import pathlib
import typing as t

import yaml
from ansible_collections.sre.runbooks.plugins.plugin_utils._judgement.model import (
    Finding,
    JudgementError,
    Severity,
)

Reach = t.Literal["linked", "same_system", "dependents"]


@dataclasses.dataclass(frozen=True)
class Entry:
    """What the catalogue says of one kind of finding; the fields are described at the head of catalogue.yml."""

    id: str
    rank: int
    severity: Severity
    summary: str
    told: str
    meaning: str
    action: str
    explains: t.Mapping[str, Reach]
    mitigations: tuple[str, ...]
    by_hand: str = ""
    user_visible: bool = False
    self_evident: bool = False
    preventive: bool = False
    by_name: bool = False
    ends_writes: bool = False


@dataclasses.dataclass(frozen=True)
class Mitigation:
    """What the catalogue says of one mitigation; the fields are described at the head of mitigations.yml."""

    name: str
    role: str
    group: str
    touches: str
    risk: str
    cap: str
    undo: str | None
    undo_by_hand: str
    identity: tuple[str, ...]
    asks: bool = False
    each: bool = False


@dataclasses.dataclass(frozen=True)
class Catalogue:
    """All findings and all mitigations, checked against each other."""

    entries: t.Mapping[str, Entry]
    mitigations: t.Mapping[str, Mitigation]

    def __post_init__(self) -> None:
        for entry in self.entries.values():
            for other in entry.explains:
                if other not in self.entries:
                    raise JudgementError(f"the catalogue says that {entry.id} explains {other}, which is not in it")
            for name in entry.mitigations:
                if name not in self.mitigations:
                    raise JudgementError(f"the catalogue offers {name} for {entry.id}, which mitigations.yml lacks")

    def entry(self, finding_id: str) -> Entry:
        """The entry of a finding. Raises JudgementError for an id that the catalogue does not know."""
        try:
            return self.entries[finding_id]
        except KeyError:
            raise JudgementError(f"{finding_id} is not in the catalogue of findings") from None

    def summary(self, finding: Finding) -> str:
        """The line on the screen."""
        return self.entry(finding.id).summary.format_map(_shown(finding.evidence))

    def told(self, finding: Finding) -> str:
        """The sentence for messages."""
        return self.entry(finding.id).told.format_map(_shown(finding.evidence))

    def by_hand(self, finding: Finding) -> str:
        """What to type where no mitigation does it."""
        return self.entry(finding.id).by_hand.format_map(finding.evidence)


def _shown(evidence: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Evidence as a part of a sentence: texts with single blanks, so that no name looks like the end of our line."""
    return {name: " ".join(value.split()) if isinstance(value, str) else value for name, value in evidence.items()}


def parse(findings: t.Mapping[str, t.Any], mitigations: t.Mapping[str, t.Any]) -> Catalogue:
    """The catalogue from the two files' data. Raises JudgementError, naming the entry that is wrong."""
    entries = {}
    for rank, (identity, fields) in enumerate(findings.items()):
        try:
            values = {**fields, "mitigations": tuple(fields["mitigations"])}
            entries[identity] = Entry(id=identity, rank=rank, **values)
        except (TypeError, KeyError) as error:
            raise JudgementError(f"the catalogue's entry {identity} is wrong: {error}") from error
    known = {}
    for name, fields in mitigations.items():
        try:
            known[name] = Mitigation(name=name, **{**fields, "identity": tuple(fields["identity"])})
        except (TypeError, KeyError) as error:
            raise JudgementError(f"the mitigation {name} is wrong: {error}") from error
    return Catalogue(entries, known)


@functools.cache
def shipped() -> Catalogue:
    """The catalogue that the collection ships."""
    folder = pathlib.Path(__file__).parent
    return parse(*(yaml.safe_load((folder / name).read_text()) for name in ("catalogue.yml", "mitigations.yml")))
