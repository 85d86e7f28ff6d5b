"""Calls to AWS: what is asked, what becomes of each answer and each error, with botocore's own stub in AWS's place."""

from __future__ import annotations

import datetime
import json
import threading
import time
import typing as t

import boto3
import botocore.exceptions
import pytest
from ansible_collections.sre.runbooks.plugins.module_utils._aws import answers, triage
from ansible_collections.sre.runbooks.plugins.module_utils._aws.account import (
    Access,
    Account,
    AwsError,
    OutcomeUnknownError,
    clients,
)
from ansible_collections.sre.runbooks.plugins.module_utils._aws.rules import Outcome, Rules, Wanted
from botocore.stub import Stubber

Json = dict[str, t.Any]
REGION = "eu-central-1"
MARK = "sre.runbooks 2026-11-27T02:20:00Z"
WANTED = Wanted("sg-0000000a", "sg-0000000b", 4000, MARK)
PERMISSION = {"IpProtocol": "tcp", "FromPort": 4000, "ToPort": 4000,
              "UserIdGroupPairs": [{"GroupId": "sg-0000000b", "Description": MARK}]}  # fmt: skip


class Aws:
    """Clients that answer from a script, in order; what is not asked exactly so is an error."""

    def __init__(self) -> None:
        self.stubs: dict[str, Stubber] = {}
        self.clients = {
            name: boto3.client(name, region_name=REGION, aws_access_key_id="k", aws_secret_access_key="s")
            for name in ("ec2", "cloudtrail", "sts", "elbv2")
        }
        for name, one in self.clients.items():
            self.stubs[name] = Stubber(one)
            self.stubs[name].activate()
        self.tries: list[tuple[str, int]] = []
        self.account = Account(REGION, self.client_for)

    def client_for(self, name: str, tries: int) -> t.Any:
        self.tries.append((name, tries))
        return self.clients[name]

    def expect(self, service: str, operation: str, answer: Json, **asked: t.Any) -> None:
        self.stubs[service].add_response(operation, answer, asked)

    def refuse(self, service: str, operation: str, code: str, message: str = "no", **asked: t.Any) -> None:
        self.stubs[service].add_client_error(operation, code, message, expected_params=asked or None)

    def is_done(self) -> None:
        for stub in self.stubs.values():
            stub.assert_no_pending_responses()


@pytest.fixture
def aws() -> t.Iterator[Aws]:
    scripted = Aws()
    yield scripted
    scripted.is_done()


ERRORS = [
    ("UnauthorizedOperation", "not allowed; the role of the runbooks needs ec2:DescribeSubnets: no (UnauthorizedOperation)"),
    ("ExpiredToken", "the credentials have expired; log in again (aws sso login): no (ExpiredToken)"),
    ("AuthFailure", "the credentials are none of this account: no (AuthFailure)"),
    ("RequestLimitExceeded", "throttled 3 times; others ask too: no (RequestLimitExceeded)"),
    ("InternalError", "no (InternalError)"),
]


@pytest.mark.parametrize(("code", "said"), ERRORS, ids=[case[0] for case in ERRORS])
def test_an_error_names_the_region_the_action_and_the_way_out(aws: Aws, code: str, said: str) -> None:
    aws.refuse("ec2", "describe_subnets", code)
    with pytest.raises(AwsError) as caught:
        aws.account.call("ec2", "describe_subnets")
    assert (str(caught.value), caught.value.code) == (f"AWS {REGION}, ec2:DescribeSubnets: {said}", code)


def test_a_load_balancers_action_is_named_as_iam_names_it(aws: Aws) -> None:
    aws.refuse("elbv2", "describe_target_groups", "AccessDenied")
    with pytest.raises(AwsError, match="elasticloadbalancing:DescribeTargetGroups"):
        aws.account.pages("elbv2", "describe_target_groups", "TargetGroups")


def test_pages_are_followed_also_empty_ones_with_a_token(aws: Aws) -> None:
    for answer, asked in (({"Events": [], "NextToken": "1"}, {}), ({"Events": [{"EventId": "a"}]}, {"NextToken": "1"})):
        aws.expect("cloudtrail", "lookup_events", answer, **asked)
    assert aws.account.pages("cloudtrail", "lookup_events", "Events") == [{"EventId": "a"}]


def test_pages_end_where_enough_was_read(aws: Aws) -> None:
    aws.expect("cloudtrail", "lookup_events", {"Events": [{"EventId": "a"}, {"EventId": "b"}], "NextToken": "1"})
    assert aws.account.pages("cloudtrail", "lookup_events", "Events", 1, whole=False) == [{"EventId": "a"}]


def test_a_list_that_is_longer_than_what_is_read_is_no_answer(aws: Aws) -> None:
    aws.expect("cloudtrail", "lookup_events", {"Events": [{"EventId": "a"}, {"EventId": "b"}]})
    with pytest.raises(AwsError, match="lists more than 1, which cannot be judged"):
        aws.account.pages("cloudtrail", "lookup_events", "Events", 1)


class Breaks:
    """A client whose calls break off."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def describe_subnets(self) -> Json:
        raise self._error


BROKEN: list[tuple[str, Exception, type[AwsError]]] = [
    ("never sent", botocore.exceptions.EndpointConnectionError(endpoint_url="https://ec2"), AwsError),
    ("not in time to connect", botocore.exceptions.ConnectTimeoutError(endpoint_url="https://ec2"), AwsError),
    ("no answer", botocore.exceptions.ReadTimeoutError(endpoint_url="https://ec2"), OutcomeUnknownError),
    ("broke off", botocore.exceptions.ConnectionClosedError(endpoint_url="https://ec2"), OutcomeUnknownError),
]


@pytest.mark.parametrize(("error", "kind"), [case[1:] for case in BROKEN], ids=[case[0] for case in BROKEN])
def test_whether_it_may_have_arrived(error: Exception, kind: type[AwsError]) -> None:
    with pytest.raises(AwsError) as caught:
        Account(REGION, lambda _name, _tries: Breaks(error)).call("ec2", "describe_subnets")
    assert isinstance(caught.value, OutcomeUnknownError) is (kind is OutcomeUnknownError)


def test_a_profile_that_is_none_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    with pytest.raises(AwsError, match="nobody"):
        clients(Access(profile="nobody", region=REGION))


def test_a_missing_region_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    with pytest.raises(AwsError, match="runbooks_aws_region"):
        clients(Access(access_key="k", secret_key="s"))


def standing(*, description: str = MARK, **changes: t.Any) -> Json:
    one = {"SecurityGroupRuleId": "sgr-1", "GroupId": "sg-0000000a", "IsEgress": False, "IpProtocol": "tcp", "FromPort": 4000,
           "ToPort": 4000, "ReferencedGroupInfo": {"GroupId": "sg-0000000b"}, "Description": description, **changes}  # fmt: skip
    return {"SecurityGroupRules": [one]}


def look(aws: Aws, answer: Json, name: str = "group-id", value: str = "sg-0000000a") -> None:
    aws.expect("ec2", "describe_security_group_rules", answer, Filters=[{"Name": name, "Values": [value]}])


def test_a_rule_is_added(aws: Aws) -> None:
    look(aws, standing(FromPort=22, ToPort=22))
    aws.expect(
        "ec2", "authorize_security_group_ingress", standing(), GroupId="sg-0000000a", IpPermissions=[PERMISSION], DryRun=False
    )
    assert Rules(aws.account).add(WANTED, dry_run=False) == Outcome(
        ("let sg-0000000b into sg-0000000a on TCP port 4000",), "sgr-1"
    )


def test_a_write_is_never_repeated_by_itself(aws: Aws) -> None:
    look(aws, {"SecurityGroupRules": []})
    aws.expect(
        "ec2", "authorize_security_group_ingress", standing(), GroupId="sg-0000000a", IpPermissions=[PERMISSION], DryRun=False
    )
    Rules(aws.account).add(WANTED, dry_run=False)
    assert aws.tries == [("ec2", 3), ("ec2", 1)]


def test_a_rule_that_was_made_and_is_listed_late_is_found(aws: Aws) -> None:
    waited: list[float] = []
    look(aws, {"SecurityGroupRules": []})
    aws.refuse("ec2", "authorize_security_group_ingress", "InvalidPermission.Duplicate")
    look(aws, {"SecurityGroupRules": []})
    look(aws, standing())
    assert Rules(aws.account, waited.append).add(WANTED, dry_run=False).rule_id == "sgr-1"
    assert waited == [1.0]


def test_a_duplicate_of_somebody_else_is_an_error(aws: Aws) -> None:
    look(aws, {"SecurityGroupRules": []})
    aws.refuse("ec2", "authorize_security_group_ingress", "InvalidPermission.Duplicate")
    for _look in range(4):
        look(aws, standing(description="terraform"))
    with pytest.raises(AwsError, match="Duplicate"):
        Rules(aws.account, lambda _seconds: None).add(WANTED, dry_run=False)


def test_without_an_id_the_rule_with_our_words_is_taken_away(aws: Aws) -> None:
    look(aws, standing())
    look(aws, standing(), "security-group-rule-id", "sgr-1")
    aws.expect(
        "ec2",
        "revoke_security_group_ingress",
        {"Return": True},
        GroupId="sg-0000000a",
        SecurityGroupRuleIds=["sgr-1"],
        DryRun=False,
    )
    assert Rules(aws.account).remove(WANTED, None, dry_run=False).done


def test_without_an_id_nobody_elses_rule_is_taken_away(aws: Aws) -> None:
    for _look in range(4):
        look(aws, standing(description="sre.runbooks 2026-11-26T00:00:00Z"))
    assert Rules(aws.account, lambda _seconds: None).remove(WANTED, None, dry_run=False) == Outcome()


def test_a_rule_of_somebody_else_is_left_and_is_not_ours(aws: Aws) -> None:
    look(aws, standing(description="terraform"))
    look(aws, standing(description="terraform"))
    assert Rules(aws.account).add(WANTED, dry_run=False) == Outcome()


def test_an_outbound_rule_lets_nobody_in(aws: Aws) -> None:
    look(aws, standing(IsEgress=True))
    aws.expect(
        "ec2", "authorize_security_group_ingress", standing(), GroupId="sg-0000000a", IpPermissions=[PERMISSION], DryRun=False
    )
    assert Rules(aws.account).add(WANTED, dry_run=False).rule_id == "sgr-1"


def test_a_rule_of_a_run_that_was_killed_is_ours(aws: Aws) -> None:
    look(aws, standing())
    look(aws, standing())
    assert Rules(aws.account).add(WANTED, dry_run=False) == Outcome((), "sgr-1")


def test_in_check_mode_the_permission_is_asked_for(aws: Aws) -> None:
    look(aws, {"SecurityGroupRules": []})
    aws.refuse(
        "ec2",
        "authorize_security_group_ingress",
        "DryRunOperation",
        GroupId="sg-0000000a",
        IpPermissions=[PERMISSION],
        DryRun=True,
    )
    assert Rules(aws.account).add(WANTED, dry_run=True) == Outcome(("let sg-0000000b into sg-0000000a on TCP port 4000",))


def test_in_check_mode_a_missing_permission_is_told(aws: Aws) -> None:
    look(aws, {"SecurityGroupRules": []})
    aws.refuse("ec2", "authorize_security_group_ingress", "UnauthorizedOperation")
    with pytest.raises(AwsError, match="needs ec2:AuthorizeSecurityGroupIngress"):
        Rules(aws.account).add(WANTED, dry_run=True)


def test_a_rule_is_taken_away_by_its_id(aws: Aws) -> None:
    look(aws, standing(), "security-group-rule-id", "sgr-1")
    aws.expect(
        "ec2",
        "revoke_security_group_ingress",
        {"Return": True},
        GroupId="sg-0000000a",
        SecurityGroupRuleIds=["sgr-1"],
        DryRun=False,
    )
    said = "took the rule sgr-1 away, which let sg-0000000b into sg-0000000a on TCP port 4000"
    assert Rules(aws.account).remove(WANTED, "sgr-1", dry_run=False) == Outcome((said,))


def test_a_rule_that_is_gone_is_no_error(aws: Aws) -> None:
    look(aws, {"SecurityGroupRules": []}, "security-group-rule-id", "sgr-1")
    assert Rules(aws.account).remove(WANTED, "sgr-1", dry_run=False) == Outcome()


def test_a_rule_that_somebody_changed_meanwhile_stays(aws: Aws) -> None:
    look(aws, standing(ToPort=5000), "security-group-rule-id", "sgr-1")
    with pytest.raises(AwsError, match="another one now"):
        Rules(aws.account).remove(WANTED, "sgr-1", dry_run=False)


AT = datetime.datetime(2026, 11, 27, 2, 14, tzinfo=datetime.UTC)


def event(detail: t.Any, **changes: t.Any) -> Json:
    return {"EventId": "e", "EventName": "RevokeSecurityGroupIngress", "EventTime": AT, "EventSource": "ec2.amazonaws.com",
            "Username": "pipeline", "CloudTrailEvent": detail if isinstance(detail, str) else json.dumps(detail), **changes}  # fmt: skip


REVOKED = {
    "groupId": "sg-0000000a",
    "isEgress": False,
    "ipProtocol": "tcp",
    "fromPort": 4000,
    "toPort": 4000,
    "referencedGroupId": "sg-0000000b",
}
ROLE = {"type": "AssumedRole", "arn": "arn:aws:sts::1:assumed-role/mallory-ci/alice"}
UNKNOWN = {"unknownIpPermissionSet": {"items": [{"ipProtocol": "tcp"}]}}
LOST = {"security_group": "sg-0000000a", "source_group": "sg-0000000b", "protocol": "tcp", "from_port": 4000, "to_port": 4000}
ASKED = {
    "requestParameters": {
        "groupId": "sg-0000000a",
        "ipPermissions": {
            "items": [{"ipProtocol": "tcp", "fromPort": 4000, "toPort": 4000, "groups": {"items": [{"groupId": "sg-0000000b"}]}}]
        },
    }
}
BY_ID = {"requestParameters": {"groupId": "sg-0000000a", "securityGroupRuleIds": {"items": [{"securityGroupRuleId": "sgr-00000001"}]}},
         "responseElements": {"revokedSecurityGroupRuleSet": {"items": [REVOKED]}}}  # fmt: skip
EVENTS: list[tuple[str, Json, Json]] = [
    ("what its request names", event({"requestParameters": {"groupId": "sg-0000000a", "password": "hunter2"}}), {"touches": ["sg-0000000a"]}),
    ("what its answer names", event(BY_ID), {"touches": ["sg-0000000a", "sgr-00000001", "sg-0000000b"]}),
    ("what it was refused with", event({"errorCode": "AccessDenied"}), {"refused": "AccessDenied"}),
    ("an identity without a name", event({"userIdentity": {"arn": "arn:aws:iam::1:root"}}, Username=None), {"who": "arn:aws:iam::1:root"}),
    ("a session may be called anything", event({"userIdentity": ROLE}, Username="alice"),
     {"who": "assumed-role/mallory-ci/alice"}),
    ("a rule that was taken away, by its request", event(ASKED), {"lost": [LOST]}),
    ("the same, refused", event({**ASKED, "errorCode": "AccessDenied"}), {"lost": []}),
    ("the same, of which some was not there", event({**ASKED, "responseElements": UNKNOWN}), {"lost": []}),
    ("by its answer", event(BY_ID), {"lost": [{**LOST, "from_port": 4000}]}),
    ("an outbound one", event({**BY_ID, "responseElements": {"revokedSecurityGroupRuleSet": {"items": [{**REVOKED, "isEgress": True}]}}}), {"lost": []}),
    ("a name in a description is no rule", event({"requestParameters": {"groupId": "sg-0000000a", "ipPermissions": {"items": [
        {"ipProtocol": "tcp", "fromPort": 22, "toPort": 22, "ipRanges": {"items": [{"description": "sg-0000000b"}]}}]}}}), {"lost": []}),
    ("another event takes nothing away", event(ASKED, EventName="AuthorizeSecurityGroupIngress"), {"lost": []}),
    ("lists that are none", event({"requestParameters": {"groupId": "sg-0000000a", "ipPermissions": {"items": "x"}}, "responseElements": "y"}), {"lost": []}),
    ("nobody", event({}, Username=None), {"who": "nobody named"}),
    ("no JSON", event("{"), {"touches": []}),
    ("no object", event([1]), {"touches": [], "who": "pipeline"}),
    ("an identity that is a text", event({"userIdentity": "x"}), {"who": "pipeline"}),
    ("a name without an end", event({}, Username="x" * 5000), {"who": "x" * 128}),
]  # fmt: skip


@pytest.mark.parametrize(("given", "wanted"), [case[1:] for case in EVENTS], ids=[case[0] for case in EVENTS])
def test_an_event_of_cloudtrail(given: Json, wanted: Json) -> None:
    told = t.cast("Json", answers.change(given))
    assert {name: told[name] for name in wanted} == wanted
    assert told["at"] == "2026-11-27T02:14:00Z"
    assert "hunter2" not in json.dumps(told)


def test_too_many_changes_are_said(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triage, "MOST_CHANGES", 2)
    events = [event({}, EventId=str(number)) for number in range(4)]
    aws.stubs["cloudtrail"].add_response("lookup_events", {"Events": events})
    read = triage._Look(aws.account, 0.0)
    assert [one["id"] for one in read.changes(60)] == ["0", "1"]
    assert read.gaps == [{"diagnostic": "changes", "reason": "there were more than 2 in 60 s; the newest were read"}]


def test_a_group_that_is_not_there_is_a_gap(aws: Aws) -> None:
    group = {
        "TargetGroupArn": "arn:tg",
        "TargetGroupName": "api",
        "LoadBalancerArns": ["arn:lb"],
        "HealthCheckPort": "traffic-port",
    }
    aws.expect("elbv2", "describe_target_groups", {"TargetGroups": [group]})
    read = triage._Look(aws.account, 0.0)
    assert [(one["name"], one["health_port"]) for one in read.target_groups(["arn:tg", "ledger"])] == [("api", 0)]
    assert read.gaps == [{"diagnostic": "target groups", "reason": f"there is none named ledger in {REGION}"}]


def test_an_instance_that_does_not_run_has_no_checks() -> None:
    one = {"InstanceId": "i-1", "State": {"Name": "stopped"}, "StateReason": {"Message": "Client.UserInitiatedShutdown"}}
    status = {"InstanceStatus": {"Status": "not-applicable"}, "SystemStatus": {"Status": "not-applicable"}}
    told = answers.instance(one, status)
    assert (told["state"], told["why"], told["checks"]) == ("stopped", "Client.UserInitiatedShutdown", [])


def test_a_slow_cloudtrail_takes_nothing_from_the_rest(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    group = {"TargetGroupArn": "arn:tg", "TargetGroupName": "api", "LoadBalancerArns": []}
    aws.expect("elbv2", "describe_target_groups", {"TargetGroups": [group]})
    aws.stubs["sts"].add_response("get_caller_identity", {"Account": "1"})
    never = threading.Event()
    monkeypatch.setattr(triage._Look, "changes", lambda _look, _seconds: never.wait(5))
    monkeypatch.setattr(triage._Look, "health", lambda _look, _group: [] if never.wait(0.3) else [{"id": "10.0.0.1"}])
    read = triage.triage(aws.account, ["api"], 60, time.monotonic() + 1.0)
    never.set()
    assert [one["id"] for one in read["target_groups"][0]["targets"]] == ["10.0.0.1"]
    assert [one["diagnostic"] for one in read["gaps"]] == ["changes"]


def test_a_group_whose_health_does_not_come_is_a_gap_that_names_it(aws: Aws) -> None:
    aws.refuse("elbv2", "describe_target_health", "Throttling")
    look_at = triage._Look(aws.account, time.monotonic() + 5)
    groups = [answers.target_group({"TargetGroupArn": "arn:tg", "TargetGroupName": "api"})]
    look_at.read_health(groups)
    assert groups[0]["targets"] == []
    assert [(one["diagnostic"], one["reason"].startswith("api: AWS")) for one in look_at.gaps] == [("target health", True)]
