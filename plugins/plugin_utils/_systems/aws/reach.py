# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules on what keeps a load balancer's health check from its targets (private to the collection; pure)."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.sre.runbooks.plugins.module_utils._aws.facts import Change, Instance, Lost, Target, TargetGroup
from ansible_collections.sre.runbooks.plugins.module_utils._times import seconds_between
from ansible_collections.sre.runbooks.plugins.plugin_utils._judgement.model import (
    Confidence,
    Finding,
    Gap,
    Observation,
    Ref,
    RuledOut,
)
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems.aws.facts import Facts
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems.aws.paths import Hop, is_for, path
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems.aws.targets import SERVES, as_sure, group_ref, is_unhealthy

# What is said where nothing came back at all, and where the target itself answered; a network load balancer says less.
NO_ANSWER = "Target.Timeout"
FAILED = "Target.FailedHealthChecks"
ANSWERED = "Target.ResponseCodeMismatch"
BLOCKED = "aws.health_check_blocked"
# What changes whether a load balancer gets through to a target.
NETWORK = {
    "CreateNetworkAclEntry",
    "DeleteNetworkAclEntry",
    "ModifyInstanceAttribute",
    "ModifyNetworkInterfaceAttribute",
    "ModifySecurityGroupRules",
    "ModifyTargetGroup",
    "ReplaceNetworkAclAssociation",
    "ReplaceNetworkAclEntry",
    "RevokeSecurityGroupEgress",
    "RevokeSecurityGroupIngress",
    "SetSecurityGroups",
    "SetSubnets",
}
NOBODY = "CloudTrail names nobody yet (it lags by about five minutes)"
UNREAD = "who changed it could not be read"
# For how long a target may still count as healthy behind a way that was closed: a few checks, each up to five minutes apart.
LAG_SECONDS = 600.0


@dataclasses.dataclass(frozen=True)
class Way:
    """A target, the instance behind it, and the hops to one of its ports from its load balancers."""

    target: Target
    instance: Instance
    port: int
    hops: tuple[Hop, ...]

    def closed(self) -> list[Hop]:
        return [hop for hop in self.hops if hop.verdict == "closed"]

    def is_open(self) -> bool:
        return bool(self.hops) and all(hop.verdict == "open" for hop in self.hops)


@dataclasses.dataclass(frozen=True)
class Author:
    """The change that closed the way, if one is known, and the rule that it took away, where that is the missing one."""

    change: Change | None
    lost: Lost | None = None
    unread: bool = False

    def __str__(self) -> str:
        if self.change is None:
            return UNREAD if self.unread else NOBODY
        told = f"{self.change['name']} by {self.change['who']} at {self.change['at'][11:19]}Z"
        return told if self.lost else f"perhaps {told}"


def _fronts(facts: Facts, group: TargetGroup) -> list[t.Any]:
    return [one for one in facts["balancers"] if one["arn"] in group["balancers"]]


def _is_silent(target: Target) -> bool:
    return is_unhealthy(target) and target["reason"] in (NO_ANSWER, FAILED)


def _is_reached(target: Target) -> bool:
    return target["state"] == SERVES or target["reason"] == ANSWERED


def ways(facts: Facts, group: TargetGroup, chosen: t.Callable[[Target], bool], *, requests: bool = False) -> list[Way]:
    """The way of the health check (or of users' requests) to each chosen target that is an instance which was read."""
    known = {one["id"]: one for one in facts["instances"]}
    found = []
    for target in group["targets"]:
        if chosen(target) and target["id"] in known:
            instance = known[target["id"]]
            port = target["port"] if requests else group["health_port"] or target["port"]
            hops = [hop for front in _fronts(facts, group) for hop in path(facts, front, instance, port)]
            if group["addresses"] != "ipv4":
                hops = [Hop("unknown", "in", (), "ways by IPv6 are not judged")]
            found.append(Way(target, instance, port, tuple(hops)))
    return found


def blocked(facts: Facts) -> t.Iterator[Observation]:
    """A security group or a network ACL that keeps the health check from targets that do not answer it."""
    for group in facts["target_groups"]:
        silent = [one for one in group["targets"] if _is_silent(one)]
        if not silent:
            yield from _all_reached(facts, group)
            continue
        found = [way for way in ways(facts, group, _is_silent) if way.instance["state"] == "running"]
        if len(found) < len(silent):
            why = f"{len(silent) - len(found)} of {len(silent)} silent targets are no running instances that were read"
            yield Gap(facts["system"], _way_to(group), why)
        if found:
            yield _judged(facts, group, found)


def _way_to(group: TargetGroup) -> str:
    return f"the way to {group['name']}"


def _all_reached(facts: Facts, group: TargetGroup) -> t.Iterator[Observation]:
    """Ruled out only where every target is reached by the health check, and users' requests take the same way or an open one."""
    if not group["targets"]:
        return
    others = [one for one in group["targets"] if not _is_reached(one)]
    apart = [way for way in ways(facts, group, _is_reached, requests=True) if way.port != (group["health_port"] or way.port)]
    if others:
        yield Gap(
            facts["system"], _way_to(group), f"nothing is known of the way to {len(others)} of {len(group['targets'])} targets"
        )
    elif not all(way.is_open() for way in apart):
        why = f"the health check has a port of its own; whether users' requests get through on port {apart[0].port} is not shown"
        yield Gap(facts["system"], _way_to(group), why)
    else:
        yield RuledOut(facts["system"], BLOCKED, f"health checks reach the targets of {group['name']}")


def _judged(facts: Facts, group: TargetGroup, silent: t.Sequence[Way]) -> Observation:
    """What is concluded of the silent targets' ways together. Health lags behind the network by a few checks, so that a target
    may still count as healthy behind a way that was closed a moment ago: then a change must be known that closed it."""
    closed = [way.closed() for way in silent]
    if all(closed):
        author = _author(facts, group, silent)
        reached = any(way.closed() for way in ways(facts, group, _is_reached))
        if reached and not (author.lost and author.change and _is_recent(facts, author.change)):
            return Gap(facts["system"], _way_to(group), "it looks closed, and a target behind it is reached all the same")
        sure = not reached and all(way.target["reason"] == NO_ANSWER for way in silent)
        return _finding(facts, group, silent, author, as_sure(facts, "proven" if sure else "likely"))
    if any(closed):
        return Gap(facts["system"], _way_to(group), "it looks closed to some of the silent targets and open to others")
    if not all(way.is_open() for way in silent):
        return Gap(facts["system"], _way_to(group), "whether security groups and network ACLs let the health check through")
    return RuledOut(facts["system"], BLOCKED, f"security groups and network ACLs let it through to {group['name']}")


def _is_recent(facts: Facts, change: Change) -> bool:
    """Whether health may still lag behind a change, by AWS's clock; not where that is not known."""
    age = seconds_between(change["at"], facts["at"])
    return age is not None and age <= LAG_SECONDS


def _finding(facts: Facts, group: TargetGroup, silent: t.Sequence[Way], author: Author, confidence: Confidence) -> Finding:
    hops = [hop for way in silent for hop in way.closed()]
    kinds = {hop.kind for hop in hops}
    subjects = sorted({subject for hop in hops for subject in hop.subjects}) or [group["name"]]
    ports = sorted({way.port for way in silent})
    sources = sorted({one for front in _fronts(facts, group) for one in front["security_groups"]})
    evidence = {
        "group": group["name"], "silent": len(silent), "targets": len(group["targets"]), "port": ", ".join(map(str, ports)),
        "where": " and ".join(subjects), "sources": " and ".join(sources) or "the load balancer", "region": facts["region"],
        "who": str(author), "hop": "; ".join(sorted({hop.why for hop in hops})), "security_group": subjects[0],
        "source_group": (sources or ["the load balancer's"])[0],
    }  # fmt: skip
    links = (group_ref(facts, group), *(Ref(facts["system"], "target", way.target["id"]) for way in silent))
    began = author.change["at"] if author.change and author.lost else None
    subject = Ref(facts["system"], "way", group["name"])
    if kinds != {"in"}:
        return Finding("aws.path_closed", confidence, subject, links, evidence, began)
    offered = {"restore_health_check_rule": _missing_rule(facts, silent, author, ports)}
    return Finding(BLOCKED, confidence, subject, links, evidence, began, offered)


def _author(facts: Facts, group: TargetGroup, silent: t.Sequence[Way]) -> Author:
    """Who closed the way: for certain, where the newest change on it took away the very rule that is missing."""
    concerned = {subject for way in silent for hop in way.hops for subject in hop.subjects} | {group["arn"], *group["balancers"]}
    concerned |= {way.instance["id"] for way in silent}
    done = [one for one in facts["changes"] if one["name"] in NETWORK and not one["refused"] and set(one["touches"]) & concerned]
    if not done:
        return Author(None, unread=any(gap["diagnostic"] == "changes" for gap in facts["gaps"]))
    newest = max(done, key=lambda one: one["at"])
    sources = {one for front in _fronts(facts, group) for one in front["security_groups"]}
    for lost in newest["lost"]:
        if lost["source_group"] in sources and all(_lets(lost, way) for way in silent):
            return Author(newest, lost)
    return Author(newest)


def _lets(lost: Lost, way: Way) -> bool:
    """Whether a rule that was taken away let the health check in to a target."""
    return is_for(lost, way.port) and lost["security_group"] in way.instance["security_groups"]


def _missing_rule(facts: Facts, silent: t.Sequence[Way], author: Author, ports: t.Sequence[int]) -> tuple[dict[str, t.Any], ...]:
    """The rule that was taken away, for this one port; nothing where it is not shown which one that was, or where anything else
    of the way is closed or not known. ``mark``: by what the rule is known as this incident's."""
    plain = all(hop.verdict == "open" or hop.kind == "in" for way in silent for hop in way.hops)
    if author.lost is None or len(ports) != 1 or not plain or not facts["at"]:
        return ()
    lost = author.lost
    return ({"security_group": lost["security_group"], "source_group": lost["source_group"], "port": ports[0],
             "region": facts["region"], "account": facts["account"], "mark": facts["at"]},)  # fmt: skip


RULES = (blocked,)
