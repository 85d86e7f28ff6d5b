# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which systems stand behind which others (private to the collection; pure)."""

from __future__ import annotations

import typing as t

from ansible_collections.sre.runbooks.plugins.plugin_utils._record.errors import RecordError
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.inputs import plain

Named = t.Mapping[str, t.Sequence[str]]


def closed(named: Named) -> dict[str, list[str]]:
    """For each system everything behind it, directly or through others. Raises RecordError for a circle, with its path.

    >>> closed({"shop": ["pods"], "pods": ["db"]})
    {'shop': ['pods', 'db'], 'pods': ['db']}
    """
    return {system: _behind(system, named, (system,)) for system in named}


def _behind(system: str, named: Named, path: tuple[str, ...]) -> list[str]:
    found: list[str] = []
    for other in named.get(system, ()):
        if other in path:
            circle = " → ".join(plain(one, 80) for one in (*path[path.index(other) :], other))
            raise RecordError(f"runbooks_depends_on goes in a circle: {circle}")
        found += [other, *_behind(other, named, (*path, other))]
    return list(dict.fromkeys(found))


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
