# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules on the instances behind a load balancer: whether they run (private to the collection; pure)."""

from __future__ import annotations

import typing as t

from ansible_collections.sre.runbooks.plugins.module_utils._aws.facts import Change, Instance, TargetGroup
from ansible_collections.sre.runbooks.plugins.plugin_utils._judgement.model import Finding, Gap, Observation, Ref, RuledOut
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems.aws.facts import Facts
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems.aws.targets import SERVES, group_ref

STOPPED = "stopped"
GONE = ("stopping", "stopped", "shutting-down", "terminated")


def stopped(facts: Facts) -> t.Iterator[Observation]:
    """Targets that are instances which do not run."""
    known = {one["id"]: one for one in facts["instances"]}
    for group in facts["target_groups"]:
        ids = [one["id"] for one in group["targets"] if one["id"].startswith("i-")]
        unread = len([one for one in ids if one not in known])
        if unread:
            yield Gap(facts["system"], f"instances of {group['name']}", f"{unread} of {len(ids)} were not read")
        down = [known[one] for one in ids if one in known and known[one]["state"] in GONE]
        if down:
            yield _finding(facts, group, down)
        elif ids and not unread:
            yield RuledOut(facts["system"], "aws.instances_stopped", f"all {len(ids)} instances of {group['name']} run")


def _finding(facts: Facts, group: TargetGroup, down: t.Sequence[Instance]) -> Finding:
    """Where others serve they may be too few, which cannot be seen here; where others fail too, there is more to it."""
    ids = {one["id"] for one in down}
    others = [one for one in group["targets"] if one["id"] not in ids]
    serving = sum(one["state"] == SERVES for one in others)
    author = _author(facts, ids)
    evidence = {
        "group": group["name"], "down": len(down), "targets": len(group["targets"]), "serving": serving,
        "who": f"{author['name']} by {author['who']} at {author['at'][11:19]}Z" if author else "CloudTrail names nobody",
        "which": ", ".join(sorted(f"{one['id']} {one['name']}".strip() for one in down)), "ids": " ".join(sorted(ids)),
        "states": ", ".join(sorted({one["state"] for one in down})), "region": facts["region"],
    }  # fmt: skip
    targets = tuple({"instance_id": one["id"], "region": facts["region"]} for one in down if one["state"] == STOPPED)
    links = (group_ref(facts, group), *(Ref(facts["system"], "target", one) for one in sorted(ids)))
    return Finding(
        "aws.instances_stopped", "possible" if len(others) > serving else "likely" if serving else "proven",
        Ref(facts["system"], "instances", group["name"]), links, evidence, author["at"] if author else None,
        {"start_instances": targets},
    )  # fmt: skip


def _author(facts: Facts, ids: t.Collection[str]) -> Change | None:
    names = ("StopInstances", "TerminateInstances")
    done = [one for one in facts["changes"] if one["name"] in names and not one["refused"] and set(one["touches"]) & set(ids)]
    return max(done, key=lambda one: one["at"], default=None)


RULES = (stopped,)
