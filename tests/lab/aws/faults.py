"""What can be broken in the lab's AWS account: writes to its API, as a person or a pipeline makes them."""

from __future__ import annotations

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
    fault.sessions.append(Session("rule", 0, "", "", "", "", part["instance_group"]))
    felt(fault)


def unseen_health_check_rule(fault: Fault) -> None:
    """The same, and CloudTrail does not tell it yet."""
    fault.lab.write("aws.json", {"trail_delay": 300.0})
    health_check_rule(fault)


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


FAULTS: dict[str, Kind] = {
    "health-check-rule": Kind(health_check_rule, rule_is_back, felt=True, locks=False),
    "unseen-health-check-rule": Kind(unseen_health_check_rule, rule_is_back, felt=True, locks=False),
}
