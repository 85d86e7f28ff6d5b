# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules on what keeps a load balancer's health check from its targets (private to the collection; pure)."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.sre.runbooks.plugins.module_utils._aws.facts import Change, Instance, Target, TargetGroup
from ansible_collections.sre.runbooks.plugins.plugin_utils._judgement.model import (
    Confidence,
    Finding,
    Gap,
    Observation,
    Ref,
    RuledOut,
)
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems.aws.facts import Facts
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems.aws.paths import Hop, path
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems.aws.targets import SERVES, UNHEALTHY, group_ref

# What is said where nothing came back at all, and where the target itself answered.
NO_ANSWER = "Target.Timeout"
ANSWERED = "Target.ResponseCodeMismatch"
BLOCKED = "aws.health_check_blocked"
REVOKED = "RevokeSecurityGroupIngress"
# What changes whether a load balancer gets through to a target.
NETWORK = {REVOKED, "RevokeSecurityGroupEgress", "ModifySecurityGroupRules", "ModifyNetworkInterfaceAttribute",
           "ModifyInstanceAttribute", "SetSecurityGroups", "CreateNetworkAclEntry", "ReplaceNetworkAclEntry",
           "DeleteNetworkAclEntry", "ReplaceNetworkAclAssociation"}  # fmt: skip
NOBODY = "CloudTrail names nobody yet (it lags by about five minutes)"


@dataclasses.dataclass(frozen=True)
class Way:
    """A target, the instance behind it, and the hops to it from its load balancers."""

    target: Target
    instance: Instance
    port: int
    hops: tuple[Hop, ...]

    def closed(self) -> list[Hop]:
        return [hop for hop in self.hops if hop.verdict == "closed"]


@dataclasses.dataclass(frozen=True)
class Author:
    """The change that closed the way, if one is known. ``is_exact``: it took a rule away that names both groups."""

    change: Change | None
    is_exact: bool = False

    def __str__(self) -> str:
        if self.change is None:
            return NOBODY
        told = f"{self.change['name']} by {self.change['who']} at {self.change['at'][11:19]}Z"
        return told if self.is_exact else f"perhaps {told}"


def _fronts(facts: Facts, group: TargetGroup) -> list[t.Any]:
    return [one for one in facts["balancers"] if one["arn"] in group["balancers"]]


def _is_silent(target: Target) -> bool:
    return target["state"] == UNHEALTHY and target["reason"] == NO_ANSWER


def _is_reached(target: Target) -> bool:
    return target["state"] == SERVES or target["reason"] == ANSWERED


def ways(facts: Facts, group: TargetGroup, chosen: t.Callable[[Target], bool]) -> list[Way]:
    """The way of the health check to each chosen target that is an instance which was read."""
    known = {one["id"]: one for one in facts["instances"]}
    found = []
    for target in group["targets"]:
        if chosen(target) and target["id"] in known:
            instance, port = known[target["id"]], group["health_port"] or target["port"]
            hops = [hop for front in _fronts(facts, group) for hop in path(facts, front, instance, port)]
            found.append(Way(target, instance, port, tuple(hops)))
    return found


def blocked(facts: Facts) -> t.Iterator[Observation]:
    """A security group or a network ACL that keeps the health check from targets that do not answer it."""
    for group in facts["target_groups"]:
        silent = [one for one in group["targets"] if _is_silent(one)]
        found = [way for way in ways(facts, group, _is_silent) if way.instance["state"] == "running"]
        if not silent:
            if any(_is_reached(one) for one in group["targets"]):
                yield RuledOut(facts["system"], BLOCKED, f"health checks reach the targets of {group['name']}")
            continue
        if len(found) < len(silent):
            why = f"{len(silent) - len(found)} of {len(silent)} silent targets are no running instances that were read"
            yield Gap(facts["system"], f"the way to {group['name']}", why)
        if found:
            yield _judged(facts, group, found)


def _judged(facts: Facts, group: TargetGroup, silent: t.Sequence[Way]) -> Observation:
    """What is concluded of the silent targets' ways together. Health lags behind the network by two or three checks, so that a
    target may still count as healthy behind a way that was closed a moment ago: then a change must be known that closed it."""
    closed = [way.closed() for way in silent]
    what = f"the way to {group['name']}"
    if all(closed):
        author = _author(facts, silent, [hops[0] for hops in closed])
        reached = any(way.closed() for way in ways(facts, group, _is_reached))
        if reached and not author.is_exact:
            return Gap(facts["system"], what, "it looks closed, and a target behind it is reached all the same")
        return _finding(facts, group, silent, author, "likely" if reached else "proven")
    if any(closed):
        return Gap(facts["system"], what, "it looks closed to some of the silent targets and open to others")
    if any(hop.verdict == "unknown" for way in silent for hop in way.hops) or not all(way.hops for way in silent):
        return Gap(facts["system"], what, "whether security groups and network ACLs let the health check through")
    return RuledOut(facts["system"], BLOCKED, f"security groups and network ACLs let it through to {group['name']}")


def _finding(facts: Facts, group: TargetGroup, silent: t.Sequence[Way], author: Author, confidence: Confidence) -> Finding:
    hops = [way.closed()[0] for way in silent]
    subjects = sorted({subject for hop in hops for subject in hop.subjects}) or [group["name"]]
    ports = sorted({way.port for way in silent})
    sources = sorted({one for front in _fronts(facts, group) for one in front["security_groups"]})
    evidence = {
        "group": group["name"], "silent": len(silent), "targets": len(group["targets"]), "port": ", ".join(map(str, ports)),
        "where": " and ".join(subjects), "sources": " and ".join(sources) or "the load balancer", "region": facts["region"],
        "who": str(author), "hop": hops[0].why,
    }  # fmt: skip
    links = (group_ref(facts, group), *(Ref(facts["system"], "target", way.target["id"]) for way in silent))
    began = author.change["at"] if author.change and author.is_exact else None
    if {hop.kind for hop in hops} != {"in"}:
        return Finding("aws.path_closed", confidence, Ref(facts["system"], "path", subjects[0]), links, evidence, began)
    offered = _missing_rule(facts, group, silent, author, sources, ports)
    subject = Ref(facts["system"], "security_group", subjects[0])
    evidence["security_group"], evidence["source_group"] = subjects[0], (sources or ["the load balancer's"])[0]
    return Finding(BLOCKED, confidence, subject, links, evidence, began, {"restore_health_check_rule": offered})


def _author(facts: Facts, silent: t.Sequence[Way], hops: t.Sequence[Hop]) -> Author:
    """Who closed the way: exactly, where a rule was revoked that names the target's group and the balancer's; else perhaps who
    last changed anything that the way depends on."""
    subjects = {subject for hop in hops for subject in hop.subjects}
    others = {subject for way in silent for hop in way.hops for subject in hop.subjects} - subjects
    concerned = subjects | others | {way.instance["id"] for way in silent}
    done = sorted((one for one in facts["changes"] if one["name"] in NETWORK and not one["refused"]), key=lambda one: one["at"])
    for change in reversed(done):
        if change["name"] == REVOKED and set(change["touches"]) & subjects and set(change["touches"]) & others:
            return Author(change, is_exact=True)
    return Author(next((one for one in reversed(done) if set(one["touches"]) & concerned), None))


def _missing_rule(
    facts: Facts, group: TargetGroup, silent: t.Sequence[Way], author: Author, sources: t.Sequence[str], ports: t.Sequence[int]
) -> tuple[dict[str, t.Any], ...]:
    """The one rule that lets the load balancer in again, in the one group that every target has. Nothing where that is not plain,
    or where something else was changed that the way depends on: instances are moved to another group to isolate them."""
    known = {one["id"]: one for one in facts["instances"]}
    every = [known[one["id"]]["security_groups"] for one in group["targets"] if one["id"] in known]
    shared = set.intersection(*map(set, every)) if every else set()
    if author.change and not author.is_exact:
        return ()
    chosen = sorted(shared & set(author.change["touches"])) if author.change else sorted(shared)
    if len(chosen) != 1 or len(sources) != 1 or len(ports) != 1:
        return ()
    return ({"security_group": chosen[0], "source_group": sources[0], "port": ports[0], "region": facts["region"]},)


RULES = (blocked,)
