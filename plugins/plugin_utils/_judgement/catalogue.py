# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be found and what can be done about it, of all kinds of systems together (private to the collection; pure)."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.sre.runbooks.plugins.plugin_utils._judgement.model import (
    Finding,
    Json,
    JudgementError,
    Severity,
)
from ansible_collections.sre.runbooks.plugins.plugin_utils._judgement.system import System

EVERYTHING = "everything"
Reach = t.Literal["linked", "same_system", "dependents"]


@dataclasses.dataclass(frozen=True)
class Entry:
    """What the catalogue says of one kind of finding; the fields are described at the head of catalogue.yml, and ``kind`` is its
    system's."""

    id: str
    kind: str
    rank: int
    severity: Severity
    summary: str
    message: str
    meaning: str
    action: str
    explains: t.Mapping[str, Reach]
    mitigations: tuple[str, ...]
    manual_command: str = ""
    user_visible: bool = False
    self_evident: bool = False
    advice: bool = False
    preventive: bool = False
    by_name: bool = False
    ends_writes: bool = False


@dataclasses.dataclass(frozen=True)
class Mitigation:
    """What the catalogue says of one mitigation; the fields are described at the head of mitigations.yml, and ``kind`` is its
    system's."""

    name: str
    kind: str
    role: str
    effect: str
    helps: str
    hurts: str
    risk: str
    cap: str
    undo: str | None
    undo_by_hand: str
    identity: tuple[str, ...]
    requires_approval: bool = False
    each: bool = False
    declarable: bool = False
    reverts: bool = False

    def key_of(self, target: t.Mapping[str, t.Any]) -> str:
        """What a person calls a target: the fields that tell it apart, joined by a dot (``public.keys_idx``)."""
        return ".".join(str(target.get(field, "")) for field in self.identity)


@dataclasses.dataclass(frozen=True)
class Catalogue:
    """All kinds of systems with all their findings and mitigations, checked against each other."""

    systems: t.Mapping[str, System]
    entries: t.Mapping[str, Entry]
    mitigations: t.Mapping[str, Mitigation]

    def __post_init__(self) -> None:
        for mitigation in self.mitigations.values():
            if not mitigation.identity:
                raise JudgementError(f"the mitigation {mitigation.name} does not say what tells its targets apart (identity)")
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

    def message(self, finding: Finding) -> str:
        """The sentence for messages."""
        return self.entry(finding.id).message.format_map(_shown(finding.evidence))

    def is_vital(self, kind: str, what: str) -> bool:
        """Whether nobody knows how a system is without this of it."""
        return what == EVERYTHING or (kind in self.systems and what in self.systems[kind].vital)

    def of_group(self, hosts: t.Mapping[str, t.Collection[str]]) -> dict[str, list[str]]:
        """The kinds of each host, from the hosts of the inventory's groups."""
        found: dict[str, list[str]] = {}
        for system in self.systems.values():
            for host in hosts.get(system.group, ()):
                found.setdefault(host, []).append(system.kind)
        return found

    def known(self, every: t.Iterable[Json]) -> t.Iterator[tuple[System, Json]]:
        """Facts with their kind of system; an older record may have facts of a kind that is no more."""
        for facts in every:
            if facts["kind"] in self.systems:
                yield self.systems[facts["kind"]], facts

    def to_measure(self) -> str:
        """What is missing where no user was measured."""
        return "; ".join(system.to_measure for system in self.systems.values() if system.to_measure)

    def manual_command(self, finding: Finding) -> str:
        """What to type where no mitigation does it."""
        return self.entry(finding.id).manual_command.format_map(finding.evidence)


def _shown(evidence: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Evidence as a part of a sentence: texts with single blanks, so that no name looks like the end of our line."""
    return {name: " ".join(value.split()) if isinstance(value, str) else value for name, value in evidence.items()}


def load(systems: t.Sequence[System]) -> Catalogue:
    """The catalogue of some kinds of systems. Raises JudgementError, naming what is wrong."""
    kinds: dict[str, System] = {}
    entries: dict[str, Entry] = {}
    mitigations: dict[str, Mitigation] = {}
    for system in sorted(systems, key=lambda one: (-one.depth, one.kind)):
        _add(kinds, system.kind, system)
        for identity, fields in system.findings.items():
            _add(entries, identity, _entry(identity, fields, system.kind, len(entries)))
        for name, fields in system.mitigations.items():
            _add(mitigations, name, _mitigation(name, fields, system.kind))
    return Catalogue(kinds, entries, mitigations)


def _add(known: dict[str, t.Any], name: str, value: t.Any) -> None:
    if name in known:
        raise JudgementError(f"{name} is there twice, in the catalogues of two systems")
    known[name] = value


def _entry(identity: str, fields: t.Mapping[str, t.Any], kind: str, rank: int) -> Entry:
    try:
        return Entry(id=identity, kind=kind, rank=rank, **{**fields, "mitigations": tuple(fields["mitigations"])})
    except (TypeError, KeyError) as error:
        raise JudgementError(f"the catalogue's entry {identity} is wrong: {error}") from error


def _mitigation(name: str, fields: t.Mapping[str, t.Any], kind: str) -> Mitigation:
    try:
        return Mitigation(name=name, kind=kind, **{**fields, "identity": tuple(fields["identity"])})
    except (TypeError, KeyError) as error:
        raise JudgementError(f"the mitigation {name} is wrong: {error}") from error
