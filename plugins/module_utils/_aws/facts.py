# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The shapes of what is read of one AWS account in one region (private to the collection; pure)."""

from __future__ import annotations

import typing as t


class Target(t.TypedDict):
    """One target: an instance's id or an address; ``state`` and ``reason`` as DescribeTargetHealth says them."""

    id: str
    port: int
    state: str
    reason: str
    description: str


class TargetGroup(t.TypedDict):
    """A target group. ``health_port``: of its health check, 0 where that is each target's own; ``balancers``: their ARNs;
    ``addresses``: ipv4 or ipv6."""

    arn: str
    name: str
    kind: str
    protocol: str
    port: int
    health_port: int
    health_path: str
    addresses: str
    balancers: list[str]
    targets: list[Target]


class Balancer(t.TypedDict):
    """A load balancer, its security groups and the subnets of its nodes."""

    arn: str
    name: str
    kind: str
    state: str
    security_groups: list[str]
    subnets: list[str]


class Instance(t.TypedDict):
    """An instance, running or not. ``checks``: its own and the system's status check, empty while it does not run."""

    id: str
    name: str
    state: str
    why: str
    checks: list[str]
    address: str
    subnet: str
    security_groups: list[str]


class Rule(t.TypedDict):
    """A rule of a security group. ``protocol``: tcp, udp, icmp, a number, or -1 (all); ports are -1 where all are meant. Its
    other side is one of ``group`` (a security group), ``cidr`` or ``prefix_list``; the others are empty."""

    id: str
    security_group: str
    egress: bool
    protocol: str
    from_port: int
    to_port: int
    group: str
    cidr: str
    prefix_list: str
    description: str


class AclEntry(t.TypedDict):
    """An entry of a network ACL; the lowest number that matches decides."""

    number: int
    egress: bool
    allow: bool
    protocol: str
    from_port: int
    to_port: int
    cidr: str


class Acl(t.TypedDict):
    """A network ACL and the subnets that it is of."""

    id: str
    subnets: list[str]
    entries: list[AclEntry]


class Lost(t.TypedDict):
    """An inbound rule that a change took away, which let one security group into another. Ports are -1 where all were meant."""

    security_group: str
    source_group: str
    protocol: str
    from_port: int
    to_port: int


class Change(t.TypedDict):
    """A write event of CloudTrail. ``touches``: every identifier that it names, anywhere; ``lost``: the rules that it took away
    for certain; ``refused``: its error code, if any."""

    id: str
    at: str
    name: str
    source: str
    who: str
    refused: str
    touches: list[str]
    lost: list[Lost]


class GapSeen(t.TypedDict):
    diagnostic: str
    reason: str


class Region(t.TypedDict):
    """What was read of one region. ``at``: AWS's clock; ``subnets``: each one's range of addresses; ``changes_seconds``: how far
    back changes were looked for."""

    region: str
    account: str
    at: str
    target_groups: list[TargetGroup]
    balancers: list[Balancer]
    instances: list[Instance]
    rules: list[Rule]
    acls: list[Acl]
    subnets: dict[str, str]
    changes: list[Change]
    changes_seconds: int
    gaps: list[GapSeen]
