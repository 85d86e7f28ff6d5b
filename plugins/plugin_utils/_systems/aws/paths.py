# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a network lets through between a load balancer and one of its targets (private to the collection; pure).

A packet must leave the balancer's security groups and come in by the target's. Between two subnets it also passes network ACLs,
four times; they know no connections, so the answer is judged on its own, on the ports that load balancers ask from.

Source: https://docs.aws.amazon.com/vpc/latest/userguide/infrastructure-security.html
"""

from __future__ import annotations

import dataclasses
import ipaddress
import typing as t

from ansible_collections.sre.runbooks.plugins.module_utils._aws.facts import Acl, AclEntry, Balancer, Instance, Lost, Rule
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems.aws.facts import Facts

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Verdict = t.Literal["open", "closed", "unknown"]
# The ports that a load balancer's nodes ask from.
EPHEMERAL = (1024, 65535)
TCP = ("tcp", "6")
ALL = "-1"


@dataclasses.dataclass(frozen=True)
class Hop:
    """One place that a request passes: the security groups or the network ACL, in which direction, and whether it passes."""

    verdict: Verdict
    kind: t.Literal["in", "out", "acl"]
    subjects: tuple[str, ...]
    why: str = ""


def _network(text: str) -> Network | None:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None


def _holds(outer: str, inner: Network) -> bool:
    network = _network(outer)
    return network is not None and network.version == inner.version and t.cast("t.Any", inner).subnet_of(network)


def _meets(outer: str, inner: Network) -> bool:
    network = _network(outer)
    return network is not None and network.version == inner.version and network.overlaps(inner)


def is_for(rule: Rule | Lost, port: int) -> bool:
    """Whether a rule is for a TCP port."""
    if rule["protocol"] == ALL:
        return True
    return rule["protocol"] in TCP and (rule["from_port"] == -1 or rule["from_port"] <= port <= rule["to_port"])


def by_rules(rules: t.Sequence[Rule], port: int, groups: t.Collection[str], networks: t.Sequence[Network]) -> Verdict:
    """Whether these rules let a port through to or from everything that is meant: the members of the security groups, which have
    these addresses. Where a rule names a list of addresses that is not read, or some of the addresses, that is not known."""
    meant = [rule for rule in rules if is_for(rule, port)]
    if any(rule["group"] in groups for rule in meant if rule["group"]):
        return "open"
    ranges = [rule["cidr"] for rule in meant if rule["cidr"]]
    if networks and all(any(_holds(one, network) for one in ranges) for network in networks):
        return "open"
    partly = any(_meets(one, network) for one in ranges for network in networks)
    return "unknown" if partly or not networks or any(rule["prefix_list"] for rule in meant) else "closed"


def by_acl(acl: Acl, *, egress: bool, ports: tuple[int, int], other: Network) -> Verdict:
    """Whether a network ACL lets all of these ports through to or from all addresses of a network: the lowest entry that matches
    decides; where it matches in part only, what comes after decides the rest, and that is not known here."""
    entries = sorted((one for one in acl["entries"] if one["egress"] is egress), key=lambda one: one["number"])
    for entry in entries:
        if not _is_for_ports(entry, ports) or not _meets(entry["cidr"], other):
            continue
        if _is_for_all_ports(entry, ports) and _holds(entry["cidr"], other):
            return "open" if entry["allow"] else "closed"
        return "unknown"
    return "closed"


def _is_for_ports(entry: AclEntry, ports: tuple[int, int]) -> bool:
    if entry["protocol"] == ALL:
        return True
    whole = entry["from_port"] == -1
    return entry["protocol"] in TCP and (whole or (entry["from_port"] <= ports[1] and ports[0] <= entry["to_port"]))


def _is_for_all_ports(entry: AclEntry, ports: tuple[int, int]) -> bool:
    whole = entry["protocol"] == ALL or entry["from_port"] == -1
    return whole or (entry["from_port"] <= ports[0] and ports[1] <= entry["to_port"])


def path(facts: Facts, balancer: Balancer, instance: Instance, port: int) -> list[Hop]:
    """All hops of a health check, in its order. Raises nothing: what is not understood is ``unknown``."""
    nodes = [network for one in balancer["subnets"] if (network := _network(facts["subnets"].get(one, "")))]
    own = _network(instance["address"]) if instance["address"] else None
    outside, inside = tuple(balancer["security_groups"]), tuple(instance["security_groups"])
    return [
        _group_hop(facts, "out", port, outside, inside, [own] if own else []),
        _group_hop(facts, "in", port, inside, outside, nodes),
        *_acl_hops(facts, balancer, instance, port, own),
    ]


def _group_hop(
    facts: Facts, kind: t.Literal["in", "out"], port: int, own: tuple[str, ...], others: tuple[str, ...],
    networks: t.Sequence[Network],
) -> Hop:  # fmt: skip
    if not own:  # a network load balancer may have none: then nothing of this kind is in the way
        return Hop("open", kind, own)
    if any(gap["diagnostic"] == "security groups" for gap in facts["gaps"]):
        return Hop("unknown", kind, own, "their rules were not read")
    mine = [one for one in facts["rules"] if one["security_group"] in own and one["egress"] is (kind == "out")]
    why = {"in": "no inbound rule lets it in", "out": "no outbound rule of the load balancer's lets it out"}[kind]
    return Hop(by_rules(mine, port, others, networks), kind, own, why)


def _acl_hops(facts: Facts, balancer: Balancer, instance: Instance, port: int, own: Network | None) -> t.Iterator[Hop]:
    acls = {subnet: acl for acl in facts["acls"] for subnet in acl["subnets"]}
    inner = acls.get(instance["subnet"])
    for subnet in balancer["subnets"]:
        if subnet == instance["subnet"]:
            continue
        outer, nodes = acls.get(subnet), _network(facts["subnets"].get(subnet, ""))
        if outer is None or inner is None or nodes is None or own is None:
            yield Hop("unknown", "acl", (), "the network ACLs were not read")
            continue
        for acl, egress, ports, other, why in (
            (outer, True, (port, port), own, "the request, out of the balancer's subnet"),
            (inner, False, (port, port), nodes, "the request, into the target's subnet"),
            (inner, True, EPHEMERAL, nodes, "the answer, out of the target's subnet"),
            (outer, False, EPHEMERAL, own, "the answer, into the balancer's subnet"),
        ):
            yield Hop(by_acl(acl, egress=egress, ports=ports, other=other), "acl", (acl["id"],), why)
