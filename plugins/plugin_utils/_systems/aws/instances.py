# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules on the instances behind a load balancer: whether they run (private to the collection; pure)."""

from __future__ import annotations

import typing as t

from ansible_collections.sre.runbooks.plugins.module_utils._aws.facts import Change, Instance, TargetGroup
from ansible_collections.sre.runbooks.plugins.plugin_utils._judgement.model import Finding, Gap, Observation, Ref, RuledOut
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems.aws.facts import Facts
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems.aws.targets import SERVES, as_sure, group_ref

STOPPED = "stopped"
FINE = ("ok", "initializing", "insufficient-data", "not-applicable")
ISOLATING = {"ModifyInstanceAttribute", "ModifyNetworkInterfaceAttribute", "DeregisterTargets", "EnterStandby", "DetachInstances"}
GONE = ("stopping", "stopped", "shutting-down", "terminated")


def stopped(facts: Facts) -> t.Iterator[Observation]:
    """Targets that are instances which do not run."""
    known = {one["id"]: one for one in facts["instances"]}
    for group in facts["target_groups"]:
        ids = [one["id"] for one in group["targets"] if one["id"].startswith("i-")]
        unread = len([one for one in ids if one not in known])
        if unread:
            yield Gap(facts["system"], f"instances of {group['name']}", f"{unread} of {len(ids)} were not read")
        for one in (known[name] for name in ids if name in known):
            if any(check not in FINE for check in one["checks"]):
                yield Gap(facts["system"], f"the instance {one['id']}", f"its status checks say {', '.join(one['checks'])}")
        down = [known[one] for one in ids if one in known and known[one]["state"] in GONE]
        if down:
            yield _finding(facts, group, down)
        elif ids and not unread:
            yield RuledOut(facts["system"], "aws.instances_stopped", f"all {len(ids)} instances of {group['name']} run")


def _finding(facts: Facts, group: TargetGroup, down: t.Sequence[Instance]) -> Finding:
    """Where others serve it is not shown that these are missed, and where others fail too there is more to it."""
    ids = sorted(one["id"] for one in down)
    others = [one for one in group["targets"] if one["id"] not in ids]
    author = _author(facts, ids)
    evidence = {
        "group": group["name"], "down": len(down), "targets": len(group["targets"]),
        "serving": sum(one["state"] == SERVES for one in others), "region": facts["region"], "ids": " ".join(ids),
        "who": f"{author['name']} by {author['who']} at {author['at'][11:19]}Z" if author else "nobody is known who did it",
        "which": ", ".join(sorted(f"{one['id']} {one['name']}".strip() for one in down)),
        "states": ", ".join(sorted({one["state"] for one in down})),
    }  # fmt: skip
    targets = tuple(
        {"instance_id": one["id"], "region": facts["region"], "account": facts["account"]}
        for one in down
        if one["state"] == STOPPED and _is_plain(facts, one["id"])
    )
    links = (group_ref(facts, group), *(Ref(facts["system"], "target", one) for one in ids))
    return Finding(
        "aws.instances_stopped", as_sure(facts, "possible" if others else "proven"),
        Ref(facts["system"], "instances", group["name"]), links, evidence, author["at"] if author else None,
        {"start_instances": targets if len(targets) == len(down) else ()},
    )  # fmt: skip


def _is_plain(facts: Facts, instance: str) -> bool:
    """Whether it is known who stopped an instance, and nothing else was done to it: to isolate one, it is moved to other security
    groups, or out of its target group, and then stopped."""
    about = [one["name"] for one in facts["changes"] if instance in one["touches"] and not one["refused"]]
    return "StopInstances" in about and not set(about) & ISOLATING


def _author(facts: Facts, ids: t.Collection[str]) -> Change | None:
    names = ("StopInstances", "TerminateInstances")
    done = [one for one in facts["changes"] if one["name"] in names and not one["refused"] and set(one["touches"]) & set(ids)]
    return max(done, key=lambda one: one["at"], default=None)


RULES = (stopped,)
