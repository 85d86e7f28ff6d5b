"""What the account's network lets through, by moto's own objects: the lab's targets are reached only where it does."""

from __future__ import annotations

import ipaddress
import typing as t

from moto.ec2.models import ec2_backends
from moto.elbv2.models import elbv2_backends

from tests.lab.aws.world import ACCOUNT, NAME, REGION

# Any port that a load balancer asks from.
ASKS_FROM = 40000


def _ec2() -> t.Any:
    return ec2_backends[ACCOUNT][REGION]


def _covers(rule: t.Any, port: int) -> bool:
    if rule.ip_protocol == "-1":
        return True
    return bool(rule.ip_protocol == "tcp" and int(rule.from_port) <= port <= int(rule.to_port))


def _lets_in(rule: t.Any, port: int, groups: t.Collection[str], address: str) -> bool:
    if not _covers(rule, port):
        return False
    if rule.source_group and rule.source_group.get("GroupId") in groups:
        return True
    given = (rule.ip_range or {}).get("CidrIp")
    return given is not None and ipaddress.ip_address(address) in ipaddress.ip_network(given)


def balancer() -> t.Any:
    return next(one for one in elbv2_backends[ACCOUNT][REGION].load_balancers.values() if one.name == NAME)


def target_group() -> t.Any:
    return next(one for one in elbv2_backends[ACCOUNT][REGION].target_groups.values() if one.name == NAME)


def state_of(instance_id: str) -> str:
    return str(_ec2().get_instance(instance_id).state)


def _acl_lets(acl: t.Any, port: int, address: str, *, egress: bool) -> bool:
    """The lowest entry that matches decides."""
    for entry in sorted(acl.network_acl_entries, key=lambda one: int(one.rule_number)):
        if str(entry.egress).lower() != str(egress).lower() or entry.protocol not in ("-1", "6"):
            continue
        whole = entry.port_range_from is None
        if not whole and not int(entry.port_range_from) <= port <= int(entry.port_range_to):
            continue
        if ipaddress.ip_address(address) in ipaddress.ip_network(entry.cidr_block):
            return bool(entry.rule_action == "allow")
    return False


def _acls_let(port: int, asks_from: int, node: str, target: str) -> bool:
    """The lab's subnets share one ACL, so both ways pass it twice."""
    (acl,) = [one for one in _ec2().network_acls.values() if one.vpc_id == balancer().vpc_id]
    there = all(_acl_lets(acl, port, to, egress=out) for to, out in ((target, True), (node, False)))
    return there and all(_acl_lets(acl, asks_from, to, egress=out) for to, out in ((node, True), (target, False)))


def is_reached(instance_id: str, port: int) -> bool:
    """Whether every node of the load balancer gets through to a port of an instance that runs."""
    instance = _ec2().get_instance(instance_id)
    if instance.state != "running":
        return False
    front = balancer()
    nodes = [str(next(iter(ipaddress.ip_network(one.cidr_block).hosts()))) for one in front.subnets]
    own = [_ec2().get_security_group_from_id(one.id) for one in instance.security_groups]
    fronts = [_ec2().get_security_group_from_id(one) for one in front.security_groups]
    goes_out = any(
        _lets_in(rule, port, {one.id for one in own}, str(instance.private_ip)) for group in fronts for rule in group.egress_rules
    )
    comes_in = all(
        any(_lets_in(rule, port, {one.id for one in fronts}, node) for group in own for rule in group.ingress_rules)
        for node in nodes
    )
    return goes_out and comes_in and all(_acls_let(port, ASKS_FROM, node, str(instance.private_ip)) for node in nodes)
