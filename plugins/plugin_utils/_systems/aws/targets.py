# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules on a load balancer's targets: whether they serve (private to the collection; pure)."""

from __future__ import annotations

import collections
import typing as t

from ansible_collections.sre.runbooks.plugins.module_utils._aws.facts import Target, TargetGroup
from ansible_collections.sre.runbooks.plugins.plugin_utils._judgement.model import (
    Confidence,
    Finding,
    Gap,
    Measured,
    Observation,
    Ref,
    RuledOut,
)
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems.aws.facts import Facts

SERVES = "healthy"
# The health check is switched off: nobody knows.
UNKNOWN = "unavailable"
UNHEALTHY = "unhealthy"


def group_ref(facts: Facts, group: TargetGroup) -> Ref:
    return Ref(facts["system"], "target_group", group["name"])


def unread(facts: Facts) -> t.Iterator[Observation]:
    """What could not be read."""
    for gap in facts["gaps"]:
        yield Gap(facts["system"], gap["diagnostic"], gap["reason"])
    if not facts["target_groups"] and not facts["gaps"]:
        yield Gap(facts["system"], "target groups", f"no load balancer forwards to one in {facts['region']}")


def as_sure(facts: Facts, confidence: Confidence) -> Confidence:
    """Of several groups that the inventory does not name, nobody knows which one users depend on."""
    is_known = facts["limits"]["named"] or len(facts["target_groups"]) == 1
    return confidence if is_known else "possible"


def is_unhealthy(target: Target) -> bool:
    return target["state"].startswith(UNHEALTHY)


def unhealthy(facts: Facts) -> t.Iterator[Observation]:
    """Target groups of which targets do not serve. Only where all of them do that is ruled out."""
    for balancer in facts["balancers"]:
        if balancer["state"] not in ("active", ""):
            yield Gap(facts["system"], f"the load balancer {balancer['name']}", f"its state is {balancer['state']}")
    for group in facts["target_groups"]:
        yield Measured(facts["system"], f"targets of {group['name']}", "system")
        yield _state_of(facts, group)


def _state_of(facts: Facts, group: TargetGroup) -> Observation:
    what, targets = f"targets of {group['name']}", group["targets"]
    serving = [one for one in targets if one["state"] == SERVES]
    if not targets:
        return Gap(facts["system"], what, "none is registered, or none was read")
    if len(serving) == len(targets):
        return RuledOut(facts["system"], "aws.targets_unhealthy", f"all {len(serving)} of {group['name']} are healthy")
    if any(is_unhealthy(one) for one in targets) or (not serving and not any(one["state"] == UNKNOWN for one in targets)):
        return _finding(facts, group)
    states = collections.Counter(one["state"] for one in targets if one["state"] != SERVES)
    return Gap(facts["system"], what, f"{len(serving)} healthy, {_counted(states)}")


def _counted(found: t.Mapping[str, int]) -> str:
    return ", ".join(f"{n} × {why}" for why, n in sorted(found.items()))


def _finding(facts: Facts, group: TargetGroup) -> Finding:
    others = [one for one in group["targets"] if one["state"] != SERVES]
    reasons = collections.Counter(one["description"] or one["reason"] or one["state"] for one in others)
    evidence = {
        "group": group["name"], "healthy": len(group["targets"]) - len(others), "targets": len(group["targets"]),
        "arn": group["arn"], "region": facts["region"], "why": _counted(reasons),
    }  # fmt: skip
    links = tuple(Ref(facts["system"], "target", one["id"]) for one in others)
    return Finding("aws.targets_unhealthy", "proven", group_ref(facts, group), links=links, evidence=evidence)


RULES = (unread, unhealthy)
