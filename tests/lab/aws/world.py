"""What the lab's account holds, and how it is reached: as the runbook's reader, its operator, or somebody who breaks things."""

from __future__ import annotations

import json
import typing as t
import urllib.request

from tests.lab.state import Lab

REGION = "eu-central-1"
ACCOUNT = "123456789012"
PORT = 4000
NAME = "custody-api"
# Access keys, and whose they are; moto takes any. A person's or a pipeline's name stands in the trail's events.
SECRET = "lab-only"
USERS = {"AKIALABADMIN": "founder", "AKIALABREADER": "runbooks-reader", "AKIALABOPERATOR": "runbooks-operator",
         "AKIALABPIPELINE": "terraform-pipeline"}  # fmt: skip
ADMIN, READER, OPERATOR, PIPELINE = USERS


def client(lab: Lab, service: str, key: str = ADMIN) -> t.Any:
    """A client of one service at the lab's account, with somebody's key."""
    return client_at(lab.part("aws")["url"], service, key)


def client_at(url: str, service: str, key: str = ADMIN) -> t.Any:
    import boto3  # takes half a second, and every look at the inventory comes by here
    import botocore.config

    config = botocore.config.Config(retries={"total_max_attempts": 1}, read_timeout=10)
    return boto3.client(service, region_name=REGION, endpoint_url=url, aws_access_key_id=key, aws_secret_access_key=SECRET,
                        config=config)  # fmt: skip


def journal(lab: Lab) -> list[dict[str, t.Any]]:
    """Every call that the account received, in order."""
    with urllib.request.urlopen(f"{lab.part('aws')['url']}/lab/journal", timeout=10) as answer:
        return t.cast("list[dict[str, t.Any]]", json.load(answer))


def named(kind: str, name: str) -> list[dict[str, t.Any]]:
    return [{"ResourceType": kind, "Tags": [{"Key": "Name", "Value": name}]}]


def populate(url: str) -> dict[str, t.Any]:
    """A load balancer in front of two instances in two zones; returns the ids of what there is."""
    ec2, elb = client_at(url, "ec2"), client_at(url, "elbv2")
    vpc = ec2.create_vpc(CidrBlock="10.20.0.0/16")["Vpc"]["VpcId"]
    subnets = {
        name: ec2.create_subnet(VpcId=vpc, CidrBlock=cidr, AvailabilityZone=f"{REGION}{zone}")["Subnet"]["SubnetId"]
        for name, cidr, zone in (
            ("public-a", "10.20.0.0/24", "a"), ("public-b", "10.20.1.0/24", "b"),
            ("private-a", "10.20.10.0/24", "a"), ("private-b", "10.20.11.0/24", "b"),
        )
    }  # fmt: skip
    groups = {
        name: ec2.create_security_group(GroupName=name, Description=name, VpcId=vpc)["GroupId"]
        for name in (f"{NAME}-balancer", f"{NAME}-instances")
    }
    balancer_group, instance_group = groups.values()
    ec2.authorize_security_group_ingress(
        GroupId=balancer_group,
        IpPermissions=[{"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}],
    )
    ec2.authorize_security_group_ingress(GroupId=instance_group, IpPermissions=[from_balancer(balancer_group)])
    image = ec2.describe_images()["Images"][0]["ImageId"]
    instances = [
        ec2.run_instances(
            ImageId=image, MinCount=1, MaxCount=1, InstanceType="t3.small", SubnetId=subnets[f"private-{zone}"],
            SecurityGroupIds=[instance_group], TagSpecifications=named("instance", f"{NAME}-{zone}"),
        )["Instances"][0]["InstanceId"]
        for zone in ("a", "b")
    ]  # fmt: skip
    balancer = elb.create_load_balancer(
        Name=NAME, Subnets=[subnets["public-a"], subnets["public-b"]], SecurityGroups=[balancer_group], Scheme="internet-facing"
    )["LoadBalancers"][0]["LoadBalancerArn"]
    target_group = elb.create_target_group(
        Name=NAME, Protocol="HTTP", Port=PORT, VpcId=vpc, TargetType="instance", HealthCheckPath="/health"
    )["TargetGroups"][0]["TargetGroupArn"]
    elb.register_targets(TargetGroupArn=target_group, Targets=[{"Id": one} for one in instances])
    elb.create_listener(LoadBalancerArn=balancer, Protocol="HTTP", Port=80,
                        DefaultActions=[{"Type": "forward", "TargetGroupArn": target_group}])  # fmt: skip
    acl = ec2.describe_network_acls(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["NetworkAcls"][0]["NetworkAclId"]
    return {"vpc": vpc, "acl": acl, "subnets": subnets, "groups": groups, "instances": instances, "balancer": balancer,
            "target_group": target_group, "balancer_group": balancer_group, "instance_group": instance_group}  # fmt: skip


def from_balancer(group: str, port: int = PORT) -> dict[str, t.Any]:
    return {"IpProtocol": "tcp", "FromPort": port, "ToPort": port, "UserIdGroupPairs": [{"GroupId": group}]}
