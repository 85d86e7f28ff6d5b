# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the engine knows of a kind of system: its rules, findings and mitigations, and how its facts are shown (private; pure).

A kind lies in a folder of ``_systems`` and is found there. Nothing outside of that folder, its modules and its roles names it.
"""

from __future__ import annotations

import dataclasses
import pathlib
import typing as t

import yaml
from ansible_collections.sre.runbooks.plugins.plugin_utils._judgement.model import Observation

# Each kind of system declares the shape of its own facts; nobody else knows it.
Facts = t.Any
Rule = t.Callable[[Facts], t.Iterable[Observation]]
COLLECTION = "sre.runbooks"
# libyaml reads ten times as fast, and each task of a run reads what the systems know anew.
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclasses.dataclass(frozen=True)
class Part:
    """What a role does in a phase: its name, with its collection's, and its entry point."""

    role: str
    entry: str = "main"


@dataclasses.dataclass(frozen=True)
class Experience:
    """What users had of one thing that was really tried: a URL, and whether it was good."""

    name: str
    good: bool


@dataclasses.dataclass(frozen=True)
class Recovery:
    """A look at users that was to be good several times in a row: whether it was, ``within`` how many seconds, and the slowest
    95th percentile in milliseconds."""

    settled: bool
    wanted: int
    in_a_row: int
    within: float
    p95_ms: float | None


class Room(t.TypedDict):
    """How many ``more`` sessions (connections) a system takes of those that depend on it, beside the ``sessions`` that these
    have."""

    more: int
    sessions: int


class Below(t.TypedDict):
    """What a system that one depends on says of itself; None where it does not know."""

    system: str
    room: Room | None


@dataclasses.dataclass(frozen=True)
class Table:
    """A table of the report: a title, its head, its rows, and what has to be said about it."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()


def _nothing(_facts: Facts) -> tuple[()]:
    return ()


def _no_recovery(_facts: Facts) -> None:
    return None


@dataclasses.dataclass(frozen=True)
class System:
    """One kind of system.

    ``kind`` names its facts, ``group`` the inventory's group of its hosts. ``diagnose`` and ``verify`` are its role's parts in
    these phases. ``depth``: of two equally good causes the one further from the users is named first. ``findings`` and
    ``mitigations`` are described at the heads of catalogue.yml and mitigations.yml. ``vital``: without these of its facts nobody
    knows whether it is well. A kind that measures what users have (``measures_users``) is looked at before all others, and
    ``to_measure`` says what is missing where nobody was measured.

    The views read the facts of one host: ``experiences`` and ``recovery`` of its users, ``numbers`` (what is shown before and
    after, by name), ``lines`` (for the screen: a label and its parts), ``tables`` (for the report). ``room``: how many more
    sessions it takes of those that depend on it, None where it does not know; of a kind that has none there is no view.
    """

    kind: str
    group: str
    diagnose: Part
    verify: Part
    rules: tuple[Rule, ...]
    findings: t.Mapping[str, t.Any]
    mitigations: t.Mapping[str, t.Any] = dataclasses.field(default_factory=dict)
    depth: int = 1
    vital: tuple[str, ...] = ()
    measures_users: bool = False
    to_measure: str = ""
    experiences: t.Callable[[Facts], t.Sequence[Experience]] = _nothing
    recovery: t.Callable[[Facts], Recovery | None] = _no_recovery
    room: t.Callable[[Facts], Room | None] | None = None
    numbers: t.Callable[[Facts], t.Sequence[tuple[str, str]]] = _nothing
    lines: t.Callable[[Facts], t.Sequence[tuple[str, t.Sequence[str]]]] = _nothing
    tables: t.Callable[[Facts], t.Sequence[Table]] = _nothing


def data_beside(module_file: str, name: str) -> t.Mapping[str, t.Any]:
    """The data of a YAML file beside a module; nothing where there is none."""
    path = pathlib.Path(module_file).with_name(name)
    if not path.exists():
        return {}
    return t.cast("t.Mapping[str, t.Any]", yaml.load(path.read_text(), Loader=LOADER) or {})  # noqa: S506  # both are safe
