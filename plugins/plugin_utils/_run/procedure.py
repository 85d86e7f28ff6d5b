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
from ansible_collections.sre.runbooks.plugins.plugin_utils._judgement.shapes import Offer
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.errors import RecordError
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.inputs import plain
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.shapes import Step

Json = dict[str, t.Any]
FIELDS = ("mitigation", "targets", "systems")


def steps_of(declared: object, catalogue: Catalogue, kinds: t.Mapping[str, t.Collection[str]]) -> list[Step]:
    """The steps of a runbook's ``runbook_procedure``, checked; ``kinds`` of the inventory's systems. Raises RecordError."""
    if not isinstance(declared, (list, tuple)):
        raise RecordError(f"runbook_procedure is a list of steps, not {plain(declared, 80)!r}")
    return [_step(one, catalogue, kinds) for one in declared]


def _step(one: object, catalogue: Catalogue, kinds: t.Mapping[str, t.Collection[str]]) -> Step:
    if not isinstance(one, dict) or set(one) - set(FIELDS) or not {"mitigation", "targets"} <= set(one):
        raise RecordError(f"a step of runbook_procedure has mitigation, targets and perhaps systems, unlike {plain(one, 160)}")
    name, targets, systems = str(one["mitigation"]), one["targets"], one.get("systems", [])
    mitigation = catalogue.mitigations.get(name)
    if mitigation is None:
        raise RecordError(f"runbook_procedure: there is no mitigation {plain(name, 80)!r}")
    if not mitigation.declarable:
        raise RecordError(
            f"runbook_procedure: {name} acts only on what a finding names, so that it can be undone and hits nobody else"
        )
    if not isinstance(targets, (list, tuple)) or not targets or not isinstance(systems, (list, tuple)):
        raise RecordError(f"runbook_procedure: {name} has a list of targets, not an empty one, and perhaps a list of systems")
    for target in targets:
        missing = [field for field in mitigation.identity if not _tells(target, field)]
        if missing:
            raise RecordError(f"runbook_procedure: a target of {name} lacks {', '.join(missing)}")
    wrong = [str(system) for system in systems if mitigation.kind not in kinds.get(str(system), ())]
    if wrong:
        raise RecordError(
            f"runbook_procedure: {name} cannot be done on {', '.join(wrong)}: no {mitigation.kind} of the inventory"
        )
    return {"mitigation": name, "targets": list(targets), "systems": [str(system) for system in systems]}


def _tells(target: object, field: str) -> bool:
    """Whether a target says by what it is told apart: a text or a number."""
    return isinstance(target, dict) and isinstance(target.get(field), (str, int, float)) and str(target[field]).strip() != ""


def procedure_offers(
    procedure: t.Sequence[Step], expected: t.Mapping[str, t.Collection[str]], catalogue: Catalogue
) -> list[Offer]:
    """The steps as offers, one for each mitigation and each of the run's systems that it is about, so that its cap counts all."""
    offers: dict[tuple[str, str], Offer] = {}
    for step in procedure:
        kind = catalogue.mitigations[step["mitigation"]].kind
        for system in (
            one for one, kinds in expected.items() if kind in kinds and (not step["systems"] or one in step["systems"])
        ):
            offer = offers.setdefault(
                (step["mitigation"], system),
                {"mitigation": step["mitigation"], "system": system, "finding": None, "preventive": False, "by_name": False,
                 "targets": []},
            )  # fmt: skip
            offer["targets"] += [target for target in step["targets"] if target not in offer["targets"]]
    return list(offers.values())
