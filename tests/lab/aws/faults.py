"""What can be broken in the lab's AWS account: writes to its API, as a person or a pipeline makes them."""

from __future__ import annotations

import datetime
import typing as t
import urllib.parse

from tests.lab import certificates
from tests.lab.aws import world
from tests.lab.postgresql.core import Fault, Kind, Session, suffers
from tests.lab.state import Lab, wait_until

FELT_WITHIN = 30


def felt(fault: Fault) -> None:
    wait_until(lambda: suffers(fault.lab), FELT_WITHIN, f"the suffering of {fault.name}'s users", 0.1)


def health_check_rule(fault: Fault) -> None:
    """A pipeline takes away the rule that lets the load balancer in to its targets."""
    part = fault.lab.part("aws")
    ec2 = world.client(fault.lab, "ec2", world.PIPELINE)
    ec2.revoke_security_group_ingress(GroupId=part["instance_group"], IpPermissions=[world.from_balancer(part["balancer_group"])])
    fault.sessions.append(Session("rule", 0, "", "", "", "", world.NAME))
    felt(fault)


def unseen_health_check_rule(fault: Fault) -> None:
    """The same, and CloudTrail does not tell it yet."""
    fault.lab.write("aws.json", {"trail_delay": 300.0})
    health_check_rule(fault)


def instances_stopped(fault: Fault) -> None:
    """Somebody stops the instances behind the load balancer."""
    part = fault.lab.part("aws")
    world.client(fault.lab, "ec2", world.PIPELINE).stop_instances(InstanceIds=part["instances"])
    fault.sessions.append(Session("instances", 0, "", "", "", "", world.NAME))
    felt(fault)


def instances_run(lab: Lab) -> None:
    world.client(lab, "ec2").start_instances(InstanceIds=lab.part("aws")["instances"])


def acl_denies(fault: Fault) -> None:
    """A network ACL lets no answer of the targets out any more."""
    part = fault.lab.part("aws")
    ec2 = world.client(fault.lab, "ec2", world.PIPELINE)
    number = fault.draw.randint(1, 99)
    entry = {"RuleNumber": number, "Protocol": "6", "RuleAction": "deny", "Egress": True, "CidrBlock": "10.20.0.0/16",
             "PortRange": {"From": 1024, "To": 65535}}  # fmt: skip
    ec2.create_network_acl_entry(NetworkAclId=part["acl"], **entry)
    fault.lab.write("aws-acl.json", {"number": number})
    fault.sessions.append(Session("acl", 0, "", "", "", "", world.NAME))
    felt(fault)


def acl_allows(lab: Lab) -> None:
    number = (lab.read("aws-acl.json") or {}).get("number")
    world.client(lab, "ec2").delete_network_acl_entry(NetworkAclId=lab.part("aws")["acl"], RuleNumber=number, Egress=True)


def innocent_change(fault: Fault) -> None:
    """Decoy: a pipeline opens another port of the same group, the newest change of all."""
    permission = {"IpProtocol": "tcp", "FromPort": 9100, "ToPort": 9100, "IpRanges": [{"CidrIp": "10.20.0.0/16"}]}
    group = fault.lab.part("aws")["instance_group"]
    world.client(fault.lab, "ec2", world.PIPELINE).authorize_security_group_ingress(GroupId=group, IpPermissions=[permission])


def rule_is_back(lab: Lab) -> None:
    """The rule as it was; what the runbook made is its own, and goes first."""
    part = lab.part("aws")
    lab.write("aws.json", {})
    ec2 = world.client(lab, "ec2")
    rules = ec2.describe_security_group_rules(Filters=[{"Name": "group-id", "Values": [part["instance_group"]]}])
    inbound = [one["SecurityGroupRuleId"] for one in rules["SecurityGroupRules"] if not one["IsEgress"]]
    if inbound:
        ec2.revoke_security_group_ingress(GroupId=part["instance_group"], SecurityGroupRuleIds=inbound)
    permission = world.from_balancer(part["balancer_group"])
    ec2.authorize_security_group_ingress(GroupId=part["instance_group"], IpPermissions=[permission])


def _served(fault: Fault, **changes: t.Any) -> None:
    certificates.serve(fault.lab, **changes)
    endpoint = urllib.parse.urlsplit(fault.lab.part("aws")["edge"]).netloc
    fault.sessions.append(Session("endpoint", 0, "", "", "", "", endpoint))
    felt(fault)


def certificate_expired(fault: Fault) -> None:
    """The certificate that the edge serves has ended."""
    _served(fault, ends=-datetime.timedelta(hours=fault.draw.randint(1, 72)))


def certificate_wrong_name(fault: Fault) -> None:
    """The edge serves a certificate for another name."""
    _served(fault, host=fault.draw.choice(["www.example.org", "staging.example.org", "127.0.0.2"]))


def certificate_alone(fault: Fault) -> None:
    """The edge serves its certificate without its issuer's."""
    _served(fault, whole=False)


def certificate_ends_soon(fault: Fault) -> None:
    """Decoy: the certificate that the edge serves ends in a few days."""
    certificates.serve(fault.lab, ends=datetime.timedelta(days=fault.draw.randint(2, 9)))


def certificate_good(lab: Lab) -> None:
    certificates.serve(lab)


FAULTS: dict[str, Kind] = {
    "certificate-expired": Kind(certificate_expired, certificate_good),
    "certificate-wrong-name": Kind(certificate_wrong_name, certificate_good),
    "certificate-alone": Kind(certificate_alone, certificate_good),
    "certificate-ends-soon": Kind(certificate_ends_soon, certificate_good, felt=False),
    "health-check-rule": Kind(health_check_rule, rule_is_back),
    "instances-stopped": Kind(instances_stopped, instances_run),
    "acl-denies": Kind(acl_denies, acl_allows),
    "innocent-change": Kind(innocent_change, rule_is_back, felt=False),
    "unseen-health-check-rule": Kind(unseen_health_check_rule, rule_is_back),
}
