# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How answers of AWS become facts (private to the collection; pure)."""

from __future__ import annotations

import datetime
import json
import re
import typing as t

from ansible_collections.sre.runbooks.plugins.module_utils._aws.facts import (
    Acl,
    Balancer,
    Change,
    Instance,
    Lost,
    Rule,
    Target,
    TargetGroup,
)

Json = dict[str, t.Any]
# What identifies a thing in a request: an id such as sg-0a1b…, or a whole ARN.
IDENTIFIER = re.compile(r"arn:aws[\w-]*:[^\s\"]+|\b(?:[a-z]{1,12}-)?[a-z]{1,12}-[0-9a-f]{8,17}\b")
MOST_IDENTIFIERS = 500
LONGEST_NAME = 128


def target_group(one: Json) -> TargetGroup:
    """Of DescribeTargetGroups; its targets are read apart."""
    port = str(one.get("HealthCheckPort") or "")
    return {
        "arn": one["TargetGroupArn"], "name": one["TargetGroupName"], "kind": one.get("TargetType", ""),
        "protocol": one.get("Protocol", ""), "port": int(one.get("Port") or 0),
        "health_port": int(port) if port.isdigit() else 0, "health_path": one.get("HealthCheckPath", ""),
        "addresses": one.get("IpAddressType") or "ipv4",
        "balancers": list(one.get("LoadBalancerArns") or []), "targets": [],
    }  # fmt: skip


def target(one: Json) -> Target:
    """Of DescribeTargetHealth."""
    health = one["TargetHealth"]
    return {
        "id": one["Target"]["Id"], "port": int(one["Target"].get("Port") or 0), "state": health["State"],
        "reason": health.get("Reason", ""), "description": health.get("Description", ""),
    }  # fmt: skip


def balancer(one: Json) -> Balancer:
    """Of DescribeLoadBalancers."""
    return {
        "arn": one["LoadBalancerArn"], "name": one["LoadBalancerName"], "kind": one.get("Type", ""),
        "state": (one.get("State") or {}).get("Code", ""), "security_groups": list(one.get("SecurityGroups") or []),
        "subnets": [zone["SubnetId"] for zone in one.get("AvailabilityZones") or [] if zone.get("SubnetId")],
    }  # fmt: skip


def instance(one: Json, status: Json | None) -> Instance:
    """Of DescribeInstances and DescribeInstanceStatus."""
    tags = {tag["Key"]: tag["Value"] for tag in one.get("Tags") or []}
    checks = [status[name]["Status"] for name in ("InstanceStatus", "SystemStatus")] if status else []
    state = one["State"]["Name"]
    return {
        "id": one["InstanceId"], "name": tags.get("Name", "")[:LONGEST_NAME], "state": state,
        "why": (one.get("StateReason") or {}).get("Message", ""), "checks": checks if state == "running" else [],
        "address": one.get("PrivateIpAddress", ""), "subnet": one.get("SubnetId", ""),
        "security_groups": [group["GroupId"] for group in one.get("SecurityGroups") or []],
    }  # fmt: skip


def rule(one: Json) -> Rule:
    """Of DescribeSecurityGroupRules."""
    return {
        "id": one["SecurityGroupRuleId"], "security_group": one["GroupId"], "egress": bool(one["IsEgress"]),
        "protocol": one["IpProtocol"], "from_port": int(one.get("FromPort", -1)), "to_port": int(one.get("ToPort", -1)),
        "group": (one.get("ReferencedGroupInfo") or {}).get("GroupId", ""),
        "cidr": one.get("CidrIpv4") or one.get("CidrIpv6") or "", "prefix_list": one.get("PrefixListId") or "",
        "description": one.get("Description") or "",
    }  # fmt: skip


def acl(one: Json) -> Acl:
    """Of DescribeNetworkAcls."""
    entries = one.get("Entries") or []
    return {
        "id": one["NetworkAclId"],
        "subnets": [association["SubnetId"] for association in one.get("Associations") or []],
        "entries": [
            {
                "number": int(entry["RuleNumber"]), "egress": bool(entry["Egress"]), "allow": entry["RuleAction"] == "allow",
                "protocol": str(entry["Protocol"]), "from_port": int((entry.get("PortRange") or {}).get("From", -1)),
                "to_port": int((entry.get("PortRange") or {}).get("To", -1)),
                "cidr": entry.get("CidrBlock") or entry.get("Ipv6CidrBlock") or "",
            }
            for entry in entries
        ],
    }  # fmt: skip


def change(one: Json) -> Change:
    """Of LookupEvents: who did what to which things. The request's other values stay where they are."""
    try:
        detail = _dict(json.loads(one.get("CloudTrailEvent") or "{}"))
    except ValueError:
        detail = {}
    asked = [detail.get(name) for name in ("requestParameters", "responseElements")]
    named = [str(resource.get("ResourceName", "")) for resource in one.get("Resources") or []]
    found = [*named, *IDENTIFIER.findall(json.dumps(asked))]
    refused = str(detail.get("errorCode") or "")
    return {
        "id": one["EventId"], "at": one["EventTime"].astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "name": one["EventName"], "source": one["EventSource"], "who": _who(one, _dict(detail.get("userIdentity"))),
        "refused": refused, "touches": [*dict.fromkeys(name for name in found if name)][:MOST_IDENTIFIERS],
        "lost": [] if refused or one["EventName"] != "RevokeSecurityGroupIngress" else _lost(detail),
    }  # fmt: skip


def _dict(value: t.Any) -> Json:
    return value if isinstance(value, dict) else {}


def _items(value: t.Any) -> list[Json]:
    """CloudTrail writes EC2's lists under ``items``."""
    found = _dict(value).get("items")
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _who(one: Json, identity: Json) -> str:
    """A role's session may be called anything by whoever takes the role, so the role's own name is told with it."""
    arn = str(identity.get("arn") or "")
    if identity.get("type") == "AssumedRole" and arn:
        return arn.rpartition(":")[2][:LONGEST_NAME]
    return str(one.get("Username") or arn or "nobody named")[:LONGEST_NAME]


def _lost(detail: Json) -> list[Lost]:
    """What RevokeSecurityGroupIngress took away: by its answer, where that tells, else by its request. Nothing where the answer
    says that some of it was not there.

    Source: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_RevokeSecurityGroupIngress.html
    """
    asked, answered = _dict(detail.get("requestParameters")), _dict(detail.get("responseElements"))
    if "revokedSecurityGroupRuleSet" in answered:
        rules = [one for one in _items(answered["revokedSecurityGroupRuleSet"]) if not one.get("isEgress")]
        return [_lost_rule(one.get("groupId"), one.get("referencedGroupId"), one) for one in rules]
    if _items(answered.get("unknownIpPermissionSet")):
        return []
    return [
        _lost_rule(asked.get("groupId"), pair.get("groupId"), permission)
        for permission in _items(asked.get("ipPermissions"))
        for pair in _items(permission.get("groups"))
    ]


def _lost_rule(group: t.Any, source: t.Any, rule: Json) -> Lost:
    ports = [int(rule[name]) if str(rule.get(name, "")).isdigit() else -1 for name in ("fromPort", "toPort")]
    return {"security_group": str(group or ""), "source_group": str(source or ""), "protocol": str(rule.get("ipProtocol") or ""),
            "from_port": ports[0], "to_port": ports[1]}  # fmt: skip
