# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every part of a run shares: its record, its words, and the ways out (private to the collection)."""

from __future__ import annotations

import dataclasses
import pathlib
import typing as t

from ansible_collections.sre.runbooks.plugins.plugin_utils._judgement.catalogue import Catalogue
from ansible_collections.sre.runbooks.plugins.plugin_utils._judgement.shapes import Saved
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.inputs import Words
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.shapes import Opened
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.store import Record, moment_of

Json = dict[str, t.Any]
# Of what findings.json holds. 2: message, manual_command, advice; gaps by kind, with whether they are vital.
SCHEMA = 2


class Execute(t.Protocol):
    """Runs a module of this collection with arguments; the result says ``failed`` and ``msg`` like any module's."""

    def __call__(self, module: str, args: Json) -> Json: ...


@dataclasses.dataclass(frozen=True)
class Outside:
    """The ways out of a run: ``execute`` runs a module, ``show`` prints a line, ``ask`` asks a person; lines of ``width``."""

    execute: Execute
    show: t.Callable[[str], None]
    ask: t.Callable[[str, float], str | None]
    argv: t.Sequence[str] = ()
    width: int = 100


class Context:
    """One run and its incident."""

    def __init__(self, opened: Opened, catalogue: Catalogue, outside: Outside) -> None:
        self.opened = opened
        self.catalogue = catalogue
        self.outside = outside
        self.record = Record(pathlib.Path(opened["path"]), opened["run"])
        self.words = Words(**{**opened["words"], "mitigate": tuple(opened["words"]["mitigate"])})

    def show(self, what: str, text: str) -> None:
        self.outside.show(f"{self.record.clock():%H:%M:%SZ}  {what:<9} {text}")

    def verdict(self, name: str) -> Saved | None:
        """A verdict of the record; one that another version of this collection has left is none."""
        found = self.record.load(name)
        return t.cast("Saved", found) if found is not None and found.get("schema") == SCHEMA else None

    def reopen(self) -> None:
        """The incident goes on: the same trouble is back, or something is done about it again."""
        again = self.record.incident["epoch"] + 1
        self.record.update(state="open", epoch=again, resolved_at=None, mitigated_at=None, declared_at=None)

    def fresh_findings(self, max_age: float) -> Saved | None:
        """The verdict of this run, or the record's when it is young enough to act on."""
        found = self.verdict("findings.json")
        if found is None:
            return None
        age = (self.record.clock() - moment_of(found["at"])).total_seconds()
        # A clock that was set back makes findings of the future; how old those are, nobody knows.
        return found if found["run"] == self.opened["run"] or 0 <= age <= max_age else None
