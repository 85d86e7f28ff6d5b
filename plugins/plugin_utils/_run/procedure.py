# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a runbook may do whatever is found: maintenance, a drill, containment before the cause is known (private; pure).

A step names a mitigation and its targets, and may name its systems. It is asked for, approved, capped, recorded and taken back
like one that the verdict offers.
"""

from __future__ import annotations

import typing as t

from ansible_collections.sre.runbooks.plugins.plugin_utils._judgement.catalogue import Catalogue
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.errors import RecordError
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.inputs import plain

Json = dict[str, t.Any]
FIELDS = ("mitigation", "targets", "systems")


def steps_of(declared: object, catalogue: Catalogue) -> list[Json]:
    """The steps of a runbook's ``runbook_procedure``, checked. Raises RecordError."""
    if not isinstance(declared, (list, tuple)):
        raise RecordError(f"runbook_procedure is a list of steps, not {plain(declared, 80)!r}")
    return [_step(one, catalogue) for one in declared]


def _step(one: object, catalogue: Catalogue) -> Json:
    if not isinstance(one, dict) or set(one) - set(FIELDS) or not {"mitigation", "targets"} <= set(one):
        raise RecordError(f"a step of runbook_procedure has mitigation, targets and perhaps systems, unlike {plain(one, 160)}")
    mitigation = catalogue.mitigations.get(one["mitigation"])
    if mitigation is None:
        raise RecordError(f"runbook_procedure: there is no mitigation {plain(one['mitigation'], 80)!r}")
    for target in one["targets"]:
        missing = [field for field in mitigation.identity if not isinstance(target, dict) or field not in target]
        if missing:
            raise RecordError(f"runbook_procedure: a target of {mitigation.name} lacks {', '.join(missing)}")
    return {"mitigation": mitigation.name, "targets": list(one["targets"]), "systems": list(one.get("systems", []))}


def procedure_offers(
    procedure: t.Sequence[Json], expected: t.Mapping[str, t.Collection[str]], catalogue: Catalogue
) -> list[Json]:
    """The steps as offers, one for each of the run's systems that they are about."""
    return [
        {"mitigation": step["mitigation"], "system": system, "finding": None, "preventive": False, "by_name": False,
         "targets": step["targets"]}
        for step in procedure
        for system, kinds in expected.items()
        if catalogue.mitigations[step["mitigation"]].kind in kinds and (not step["systems"] or system in step["systems"])
    ]  # fmt: skip
