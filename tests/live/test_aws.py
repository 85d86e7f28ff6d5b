"""AWS by moto's server, with the permissions that the documentation tells a user to grant and nothing more."""

from __future__ import annotations

import json
import pathlib
import typing as t

import pytest

from tests import collection, harness
from tests.lab import faults
from tests.lab.__main__ import CLOUD
from tests.lab.aws import world
from tests.lab.postgresql.server import free_port
from tests.lab.state import PROJECT, Lab

collection.install()

from ansible_collections.sre.runbooks.plugins.module_utils._aws.triage import argument_spec, triage_from

Json = dict[str, t.Any]
RUNBOOK = "playbooks/runbook_api_outage.yml"
RESTORE = ("-e", "mitigate=restore_health_check_rule", "-e", "approval=auto")


@pytest.fixture(scope="module")
def running_cloud() -> t.Iterator[Lab]:
    with harness.a_lab("cloud", CLOUD) as lab:
        yield lab


@pytest.fixture
def cloud(running_cloud: Lab) -> t.Iterator[Lab]:
    harness.settle(running_cloud)
    yield running_cloud
    running_cloud.write("aws.json", {})
    harness.heal_all(running_cloud)


def play(lab: Lab, root: pathlib.Path, *options: str, **kwargs: t.Any) -> harness.Run:
    return harness.play(lab, root, *options, playbook=kwargs.pop("playbook", RUNBOOK), **kwargs)


def described(lab: Lab) -> Json:
    """The account as AWS describes it, without what is new in each answer."""
    ec2, elb = world.client(lab, "ec2"), world.client(lab, "elbv2")
    return {
        "rules": sorted(
            ({**one, "Tags": []} for one in ec2.describe_security_group_rules()["SecurityGroupRules"]),
            key=lambda one: str(one["SecurityGroupRuleId"]),
        ),
        "acls": ec2.describe_network_acls()["NetworkAcls"],
        "groups": elb.describe_target_groups()["TargetGroups"],
        "health": elb.describe_target_health(TargetGroupArn=lab.part("aws")["target_group"])["TargetHealthDescriptions"],
    }


def calls(lab: Lab, key: str, since: int) -> set[str]:
    """What was called with a key, as IAM names it."""
    return {f"{one['service']}:{one['action']}" for one in world.journal(lab)[since:] if one["key"] == key}


def policy(name: str) -> set[str]:
    read = json.loads((PROJECT / "docs" / "iam" / f"{name}.json").read_text())
    return {action for statement in read["Statement"] for action in statement["Action"]}


# Everybody may ask who they are; no policy grants it.
WHO = {"sts:GetCallerIdentity"}


def test_a_rule_is_put_back_and_taken_away_with_what_the_policies_grant(cloud: Lab, root: pathlib.Path) -> None:
    since = len(world.journal(cloud))
    faults.break_it(cloud, "health-check-rule", 1)
    before = described(cloud)
    checked = play(cloud, root, *RESTORE, "--check")
    assert checked.code == 0, checked.output[-3000:]
    assert "let sg-" in checked.output
    assert described(cloud) == before, "check mode changed something"
    done = play(cloud, root, *RESTORE)
    assert (done.code, done.incident["state"]) == (0, "resolved"), done.output[-3000:]
    assert "terraform-pipeline" in done.output
    again = play(cloud, root, *RESTORE)
    assert again.code == 0, again.output[-3000:]
    made = [one for one in described(cloud)["rules"] if str(one.get("Description")).startswith("sre.runbooks ")]
    assert len(made) == 1, "twice is once"
    back = play(cloud, root, "-e", f"incident_id={done.folder.name}", playbook="playbooks/undo.yml")
    assert back.code == 0, back.output[-3000:]
    assert described(cloud) == before
    assert calls(cloud, world.READER, since) == policy("reader") | WHO
    rule = {"ec2:DescribeSecurityGroupRules", "ec2:AuthorizeSecurityGroupIngress", "ec2:RevokeSecurityGroupIngress"}
    assert calls(cloud, world.OPERATOR, since) == rule | WHO
    assert rule <= policy("operator")


def test_instances_that_were_stopped_run_again_with_what_the_policy_grants(cloud: Lab, root: pathlib.Path) -> None:
    since = len(world.journal(cloud))
    faults.break_it(cloud, "instances-stopped", 1)
    start = ("-e", "mitigate=start_instances", "-e", "approval=auto")
    checked = play(cloud, root, *start, "--check")
    assert checked.code == 0, checked.output[-3000:]
    states = {one["TargetHealth"]["State"] for one in described(cloud)["health"]}
    assert states == {"unused"}, "check mode started something"
    done = play(cloud, root, *start)
    assert (done.code, done.incident["state"]) == (0, "resolved"), done.output[-3000:]
    assert "StopInstances by terraform-pipeline" in done.output
    assert calls(cloud, world.OPERATOR, since) <= policy("operator") | WHO
    assert "ec2:StartInstances" in calls(cloud, world.OPERATOR, since)


def triage(lab: Lab, **changes: t.Any) -> Json:
    given = {name: option.get("default") for name, option in argument_spec().items()}
    part = lab.part("aws")
    reader = {"region": world.REGION, "endpoint_url": part["url"], "access_key": world.READER, "secret_key": world.SECRET}
    return t.cast("Json", triage_from({**given, **reader, **changes}))


def test_a_missing_permission_is_a_gap_that_names_it(cloud: Lab) -> None:
    cloud.write("aws.json", {"denied": ["DescribeNetworkAcls"]})
    told = triage(cloud)
    assert [one["diagnostic"] for one in told["gaps"]] == ["network ACLs"]
    assert "needs ec2:DescribeNetworkAcls" in told["gaps"][0]["reason"]
    assert len(told["instances"]) == 2


WRONG: list[tuple[str, Json, str]] = [
    ("another account", {"account": "999999999999"}, "these credentials are of account 123456789012, and 999999999999 is meant"),
    ("a group that is not there", {"target_groups": ["ledger"]}, "there is none named ledger in eu-central-1"),
    ("a profile that is not there", {"profile": "nobody", "access_key": None, "secret_key": None}, "nobody"),
]


@pytest.mark.parametrize(("changes", "said"), [case[1:] for case in WRONG], ids=[case[0] for case in WRONG])
def test_bad_input_is_said(cloud: Lab, changes: Json, said: str) -> None:
    assert said in " ".join(one["reason"] for one in triage(cloud, **changes)["gaps"])


def test_with_aws_away_the_database_is_named_and_aws_is_a_gap(cloud: Lab, root: pathlib.Path) -> None:
    faults.break_it(cloud, "queued-ddl", 1)
    harness.suffering(cloud)
    away = {"runbooks_aws_endpoint_url": f"http://127.0.0.1:{free_port()}", "aws_diagnostics_seconds_max": 5.0}
    told = play(cloud, root, variables=away)
    assert [one["id"] for one in told.causes] == ["db.queued_ddl"], told.output[-3000:]
    assert any("AWS" in gap for gap in map(str, told.cause["gaps"])), told.cause["gaps"]
