# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which systems stand behind which others (private to the collection; pure)."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.sre.runbooks.plugins.plugin_utils._record.errors import RecordError
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.inputs import plain

Json = dict[str, t.Any]
Named = t.Mapping[str, t.Sequence[str]]


def closed(named: Named) -> dict[str, list[str]]:
    """For each system everything behind it, directly or through others; itself too, where that is a circle.

    >>> closed({"shop": ["pods"], "pods": ["db"]})
    {'shop': ['pods', 'db'], 'pods': ['db']}
    """
    return {system: list(_before(system, named)) for system in named}


def _before(system: str, named: Named) -> dict[str, str]:
    """Everything behind a system, each with the one that stands directly on it."""
    found: dict[str, str] = {}
    todo = [system]
    while todo:
        one = todo.pop(0)
        for other in named.get(one, ()):
            if other not in found:
                found[other] = one
                todo.append(other)
    return found


def refuse_circles(systems: t.Iterable[str], named: Named) -> None:
    """Raises RecordError where one of these systems stands on itself, with the path."""
    for system in systems:
        before = _before(system, named)
        if system in before:
            path = [system]
            while len(path) == 1 or path[-1] != system:
                path.append(before[path[-1]])
            raise RecordError(f"runbooks_depends_on goes in a circle: {' → '.join(plain(one, 80) for one in reversed(path))}")


def refuse_unaddressable(systems: t.Iterable[str]) -> None:
    """Raises RecordError for a host whose name Ansible would take for a pattern: it would never be looked at."""
    for system in systems:
        if re.search(r"[:,&!*?\[\]~]", system):
            name = plain(system, 80)
            raise RecordError(f"the host {name!r} cannot be addressed, since Ansible takes its name for a pattern: rename it")


def surroundings(targets: t.Sequence[str], depends_on: t.Mapping[str, t.Sequence[str] | None], kinds: Named) -> tuple[Json, Json]:
    """What a run is about: the kinds of each system that it concerns, and what each of these stands on.

    What users see, and of which the inventory does not say on what it stands (None), stands on the targets that are none of these
    themselves. Raises RecordError for a circle, and for a host that cannot be addressed.
    """
    default = [one for one in targets if depends_on.get(one, ()) is not None]
    named = {host: default if what is None else what for host, what in depends_on.items()}
    behind = closed(named)
    about = concerned(targets, behind)
    refuse_circles(about, named)
    expected = {host: list(kinds[host]) for host in about if host in kinds}
    refuse_unaddressable(expected)
    return expected, {host: behind[host] for host in expected if behind.get(host)}


def concerned(targets: t.Sequence[str], behind: Named) -> list[str]:
    """The systems that a run is about: its targets, whoever depends on them, and what they depend on."""
    before = [system for system, others in behind.items() if set(others) & set(targets)]
    after = [other for target in targets for other in behind.get(target, ())]
    return list(dict.fromkeys([*targets, *before, *after]))


def as_names(system: str, value: object) -> tuple[str, ...]:
    """A host's runbooks_depends_on. Raises RecordError for anything but a list of names."""
    if not isinstance(value, (list, tuple)) or not all(isinstance(one, str) for one in value):
        raise RecordError(
            f"runbooks_depends_on of {plain(system, 80)} is a list of hosts of the inventory, not {plain(value, 80)!r}"
        )
    return tuple(str(one) for one in value)
