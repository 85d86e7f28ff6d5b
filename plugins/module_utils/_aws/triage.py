# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything that a diagnosis reads of one AWS account in one region, in one call (private to the collection)."""

from __future__ import annotations

import datetime
import queue
import threading
import time
import typing as t

from ansible_collections.sre.runbooks.plugins.module_utils._aws import answers
from ansible_collections.sre.runbooks.plugins.module_utils._aws.account import (
    Account,
    AwsError,
    access_from,
    connect,
)
from ansible_collections.sre.runbooks.plugins.module_utils._aws.account import argument_spec as access_spec
from ansible_collections.sre.runbooks.plugins.module_utils._aws.facts import Region, TargetGroup
from ansible_collections.sre.runbooks.plugins.module_utils._spec import Spec
from ansible_collections.sre.runbooks.plugins.module_utils._within import LateError, within, within_each

Json = dict[str, t.Any]
AT_ONCE = 8
LEAST_SECONDS = 0.1
# CloudTrail answers two requests a second, fifty events each.
MOST_CHANGES = 200
# DescribeLoadBalancers takes so many names at once, DescribeInstances so many ids.
MOST_ARNS = 20
MOST_IDS = 100
ALL = ("target groups", "target health", "load balancers", "instances", "security groups", "network ACLs", "subnets", "changes")


def argument_spec() -> Spec:
    return {
        **access_spec(),
        "target_groups": {"type": "list", "elements": "str", "default": []},
        "change_seconds": {"type": "int", "default": 7200},
        "seconds_max": {"type": "float", "default": 20.0},
    }


class _Look:
    """One look: what is asked side by side, and what did not come."""

    def __init__(self, account: Account, until: float) -> None:
        self.account, self._until = account, until
        self.gaps: list[Json] = []

    def ask(self, **questions: t.Callable[[], t.Any]) -> Json:
        """The answers by name (``_`` stands for a space in the name of a gap), an empty list where none came."""
        results = self._results(list(questions.values()))
        return {name: self.answer(name.replace("_", " "), result) for name, result in zip(questions, results, strict=True)}

    def _results(self, questions: t.Sequence[t.Callable[[], t.Any]]) -> list[t.Any]:
        return within_each(max(LEAST_SECONDS, self._until - time.monotonic()), questions, AT_ONCE)

    def answer(self, what: str, result: t.Any) -> t.Any:
        """An answer, or an empty list and a gap where it is an error."""
        if isinstance(result, Exception):
            self.gap(what, result)
            return []
        return result

    def begin(self, question: t.Callable[[], t.Any]) -> t.Callable[[], t.Any]:
        """Asks something beside everything else; what is returned waits for the answer, or for the error, while there is time."""
        answered: queue.SimpleQueue[t.Any] = queue.SimpleQueue()
        threading.Thread(target=lambda: answered.put(self._results([question])[0]), daemon=True).start()
        return answered.get

    def gap(self, what: str, error: Exception | str) -> None:
        known = isinstance(error, (AwsError, LateError, str))
        self.gaps.append({"diagnostic": what, "reason": str(error) if known else f"{type(error).__name__} in an answer of AWS"})

    def changes(self, seconds: int) -> list[t.Any]:
        since = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=seconds)
        found = self.account.pages(
            "cloudtrail", "lookup_events", "Events", MOST_CHANGES + 1, whole=False, StartTime=since,
            LookupAttributes=[{"AttributeKey": "ReadOnly", "AttributeValue": "false"}],
        )  # fmt: skip
        if len(found) > MOST_CHANGES:
            self.gap("changes", f"there were more than {MOST_CHANGES} in {seconds} s; the newest were read")
        return [answers.change(one) for one in found[:MOST_CHANGES]]

    def target_groups(self, wanted: t.Sequence[str]) -> list[TargetGroup]:
        """Those that are wanted, by name or ARN, or all that a load balancer forwards to."""
        found = [answers.target_group(one) for one in self.account.pages("elbv2", "describe_target_groups", "TargetGroups")]
        for name in wanted:
            if not any(name in (one["name"], one["arn"]) for one in found):
                self.gap("target groups", f"there is none named {name} in {self.account.region}")
        return [one for one in found if (one["name"] in wanted or one["arn"] in wanted if wanted else one["balancers"])]

    def read_health(self, groups: t.Sequence[TargetGroup]) -> None:
        """Gives each group its targets."""
        questions = [(lambda group=group: self.health(group)) for group in groups]
        for group, result in zip(groups, self._results(questions), strict=True):
            named = AwsError(f"{group['name']}: {result}") if isinstance(result, (AwsError, LateError)) else result
            group["targets"] = self.answer("target health", named)

    def health(self, group: TargetGroup) -> list[t.Any]:
        told = self.account.call("elbv2", "describe_target_health", TargetGroupArn=group["arn"])
        return [answers.target(one) for one in told["TargetHealthDescriptions"]]

    def balancers(self, arns: t.Sequence[str]) -> list[t.Any]:
        parts = [arns[start : start + MOST_ARNS] for start in range(0, len(arns), MOST_ARNS)]
        return [
            answers.balancer(one)
            for part in parts
            for one in self.account.pages("elbv2", "describe_load_balancers", "LoadBalancers", LoadBalancerArns=list(part))
        ]

    def instances(self, ids: t.Sequence[str]) -> list[t.Any]:
        """Stopped ones too: DescribeInstanceStatus leaves them out unless it is told otherwise."""
        found: list[t.Any] = []
        for start in range(0, len(ids), MOST_IDS):
            part = list(ids[start : start + MOST_IDS])
            told = self.account.pages("ec2", "describe_instance_status", "InstanceStatuses", IncludeAllInstances=True,
                                      InstanceIds=part)  # fmt: skip
            status = {one["InstanceId"]: one for one in told}
            reservations = self.account.pages("ec2", "describe_instances", "Reservations", InstanceIds=part)
            found += [
                answers.instance(one, status.get(one["InstanceId"])) for every in reservations for one in every["Instances"]
            ]
        return found

    def filtered(self, operation: str, key: str, name: str, values: t.Sequence[str]) -> list[Json]:
        if not values:
            return []
        return self.account.pages("ec2", operation, key, Filters=[{"Name": name, "Values": sorted(set(values))}])


def _clock(told: Json) -> tuple[str, str]:
    """The account's number, and AWS's own time."""
    date = str(told.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date", ""))
    try:
        at = datetime.datetime.strptime(date, "%a, %d %b %Y %H:%M:%S GMT").strftime("%Y-%m-%dT%H:%M:%SZ")
    except ValueError:
        at = ""
    return told["Account"], at


def _nothing(region: str, change_seconds: int) -> Region:
    return {
        "region": region, "account": "", "at": "", "target_groups": [], "balancers": [], "instances": [], "rules": [], "acls": [],
        "subnets": {}, "changes": [], "changes_seconds": change_seconds, "gaps": [],
    }  # fmt: skip


def triage(account: Account, wanted: t.Sequence[str], change_seconds: int, until: float) -> Region:
    """The facts of a region; what did not come is a gap."""
    look = _Look(account, until)
    changes = look.begin(lambda: look.changes(change_seconds))
    first = look.ask(
        identity=lambda: [*_clock(account.call("sts", "get_caller_identity"))],
        target_groups=lambda: look.target_groups(wanted),
    )
    groups: list[TargetGroup] = first["target_groups"]
    arns = sorted({arn for group in groups for arn in group["balancers"]})
    fronts = look.ask(load_balancers=lambda: look.balancers(arns))["load_balancers"]
    look.read_health(groups)
    ids = sorted({one["id"] for group in groups for one in group["targets"] if one["id"].startswith("i-")})
    instances = look.ask(instances=lambda: look.instances(ids))["instances"]
    security_groups = [group for one in (*fronts, *instances) for group in one["security_groups"]]
    subnets = [*(subnet for one in fronts for subnet in one["subnets"]), *(one["subnet"] for one in instances if one["subnet"])]
    third = look.ask(
        security_groups=lambda: look.filtered("describe_security_group_rules", "SecurityGroupRules", "group-id", security_groups),
        network_ACLs=lambda: look.filtered("describe_network_acls", "NetworkAcls", "association.subnet-id", subnets),
        subnets=lambda: look.filtered("describe_subnets", "Subnets", "subnet-id", subnets),
    )
    number, at = first["identity"] or ("", "")
    return {
        **_nothing(account.region, change_seconds), "account": number, "at": at,
        "target_groups": groups, "balancers": fronts, "instances": instances,
        "rules": [answers.rule(one) for one in third["security_groups"]],
        "acls": [answers.acl(one) for one in third["network_ACLs"]],
        "subnets": {one["SubnetId"]: one["CidrBlock"] for one in third["subnets"]},
        "changes": look.answer("changes", changes()), "gaps": t.cast("t.Any", look.gaps),
    }  # fmt: skip


def triage_from(params: t.Mapping[str, t.Any]) -> Region:
    """``triage`` with the options as a module has them. Of an account that cannot be read there is nothing but gaps."""
    until = time.monotonic() + params["seconds_max"]
    try:
        account = within(params["seconds_max"], lambda: connect(access_from(params)))
    except (AwsError, LateError) as error:
        gaps: t.Any = [{"diagnostic": name, "reason": str(error)} for name in ALL]
        return {**_nothing(params["region"] or "", params["change_seconds"]), "gaps": gaps}
    return triage(account, params["target_groups"], params["change_seconds"], until)
