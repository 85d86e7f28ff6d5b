# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules on a load balancer's targets: whether they serve (private to the collection; pure)."""

from __future__ import annotations

import collections
import typing as t

from ansible_collections.sre.runbooks.plugins.module_utils._aws.facts import TargetGroup
from ansible_collections.sre.runbooks.plugins.plugin_utils._judgement.model import (
    Finding,
    Gap,
    Measured,
    Observation,
    Ref,
    RuledOut,
)
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems.aws.facts import Facts

SERVES = "healthy"
UNHEALTHY = "unhealthy"


def group_ref(facts: Facts, group: TargetGroup) -> Ref:
    return Ref(facts["system"], "target_group", group["name"])


def unread(facts: Facts) -> t.Iterator[Observation]:
    """What could not be read."""
    for gap in facts["gaps"]:
        yield Gap(facts["system"], gap["diagnostic"], gap["reason"])
    if not facts["target_groups"] and not facts["gaps"]:
        yield Gap(facts["system"], "target groups", f"no load balancer forwards to one in {facts['region']}")


def unhealthy(facts: Facts) -> t.Iterator[Observation]:
    """Target groups of which targets do not serve."""
    for group in facts["target_groups"]:
        yield Measured(facts["system"], f"targets of {group['name']}", "system")
        serving = [one for one in group["targets"] if one["state"] == SERVES]
        if not group["targets"]:
            yield Gap(facts["system"], f"targets of {group['name']}", "none is registered, or none was read")
        elif not serving or any(one["state"] == UNHEALTHY for one in group["targets"]):
            yield _finding(facts, group)
        else:
            yield RuledOut(facts["system"], "aws.targets_unhealthy", f"{group['name']}: {len(serving)} healthy, none unhealthy")


def _finding(facts: Facts, group: TargetGroup) -> Finding:
    others = [one for one in group["targets"] if one["state"] != SERVES]
    reasons = collections.Counter(one["description"] or one["reason"] or one["state"] for one in others)
    evidence = {
        "group": group["name"], "healthy": len(group["targets"]) - len(others), "targets": len(group["targets"]),
        "arn": group["arn"], "region": facts["region"], "why": ", ".join(f"{n} × {why}" for why, n in sorted(reasons.items())),
    }  # fmt: skip
    links = tuple(Ref(facts["system"], "target", one["id"]) for one in others)
    return Finding("aws.targets_unhealthy", "proven", group_ref(facts, group), links=links, evidence=evidence)


RULES = (unread, unhealthy)
