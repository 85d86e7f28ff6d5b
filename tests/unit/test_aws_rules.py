"""What a region's facts say: which targets serve, and what keeps the health check from those that do not."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.sre.runbooks.plugins.plugin_utils._judgement.model import Finding, Gap, RuledOut
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems.aws import instances, reach, targets

Json = dict[str, t.Any]
BALANCER, INSTANCES, OTHER = "sg-0000000b", "sg-0000000a", "sg-0000000c"
PUBLIC, PRIVATE = "subnet-0000000b", "subnet-0000000a"
TIMEOUT = {"state": "unhealthy", "reason": "Target.Timeout", "description": "Request timed out"}
REFUSED = {"state": "unhealthy", "reason": "Target.ResponseCodeMismatch", "description": "codes: [503]"}
HEALTHY = {"state": "healthy", "reason": "", "description": ""}
MINE = {"security_group": INSTANCES, "source_group": BALANCER, "port": 4000, "region": "eu-central-1", "account": "1",
        "mark": "2026-11-27T02:20:00Z"}  # fmt: skip


def rule(of: str, *, egress: bool = False, **changes: t.Any) -> Json:
    return {"id": "sgr-1", "security_group": of, "egress": egress, "protocol": "tcp", "from_port": 4000, "to_port": 4000,
            "group": "", "cidr": "", "prefix_list": "", "description": "", **changes}  # fmt: skip


OUT = rule(BALANCER, egress=True, protocol="-1", from_port=-1, to_port=-1, cidr="0.0.0.0/0")
IN = rule(INSTANCES, group=BALANCER)
SSH = rule(INSTANCES, from_port=22, to_port=22, cidr="10.0.0.0/8")


def entry(number: int, *, egress: bool, allow: bool = True, **changes: t.Any) -> Json:
    return {"number": number, "egress": egress, "allow": allow, "protocol": "-1", "from_port": -1, "to_port": -1,
            "cidr": "0.0.0.0/0", **changes}  # fmt: skip


def acl(name: str, subnet: str, *entries: Json) -> Json:
    last = [entry(32767, egress=way, allow=False) for way in (True, False)]
    every = entries or (entry(100, egress=True), entry(100, egress=False))
    return {"id": name, "subnets": [subnet], "entries": [*every, *last]}


ACLS = (acl("acl-b", PUBLIC), acl("acl-a", PRIVATE))


AT = "2026-11-27T02:20:00Z"


def lost(**changes: t.Any) -> Json:
    """A rule that let the load balancer in, as CloudTrail tells that it was taken away."""
    return {
        "security_group": INSTANCES,
        "source_group": BALANCER,
        "protocol": "tcp",
        "from_port": 4000,
        "to_port": 4000,
        **changes,
    }


def change(name: str, *touches: str, at: str = "2026-11-27T02:14:00Z", **changes: t.Any) -> Json:
    return {"lost": [], "id": "e", "at": at, "name": name, "source": "ec2.amazonaws.com", "who": "pipeline", "refused": "",
            "touches": [*touches], **changes}  # fmt: skip


REVOKE = "RevokeSecurityGroupIngress"
REVOKED = change(REVOKE, INSTANCES, BALANCER, lost=[lost()])


def region(
    *states: Json,
    rules: t.Sequence[Json] = (OUT, SSH),
    changes: t.Sequence[Json] = (),
    acls: t.Sequence[Json] = ACLS,
    **more: t.Any,
) -> Json:
    """A load balancer in front of instances, one for each state, with what stands between them."""
    instance = {
        "name": "",
        "state": "running",
        "why": "",
        "checks": ["ok", "ok"],
        "subnet": PRIVATE,
        "security_groups": [INSTANCES],
    }
    own = more.pop("instances", {})
    instances = [{**instance, "id": f"i-{n}", "address": f"10.20.10.{n + 4}", **own.get(n, {})} for n in range(len(states))]
    group = {"arn": "arn:tg", "name": "api", "kind": "instance", "protocol": "HTTP", "port": 4000, "health_port": 0,
             "health_path": "/health", "addresses": "ipv4", "balancers": ["arn:lb"],
             "targets": [{"id": f"i-{n}", "port": 4000, **state} for n, state in enumerate(states)], **more.pop("group", {})}  # fmt: skip
    front = {"arn": "arn:lb", "name": "api", "kind": "application", "state": "active", "security_groups": [BALANCER],
             "subnets": [PUBLIC], **more.pop("front", {})}  # fmt: skip
    return {
        "system": "cloud", "kind": "aws", "depends_on": [], "limits": {"named": True}, "region": "eu-central-1", "account": "1", "at": AT,
        "target_groups": [group], "balancers": [front], "instances": instances, "rules": [*rules], "acls": [*acls],
        "subnets": {PUBLIC: "10.20.0.0/24", PRIVATE: "10.20.10.0/24"}, "changes": [*changes], "changes_seconds": 7200,
        "gaps": [], **more,
    }  # fmt: skip


def told(facts: Json) -> tuple[str, str, list[Json] | None]:
    """What is concluded of the way: a finding's id and confidence and what it offers, or a gap, or that it is ruled out."""
    one = [*reach.blocked(t.cast("t.Any", facts)), None][0]
    if isinstance(one, Finding):
        return one.id, one.confidence, [dict(target) for every in one.targets.values() for target in every]
    if isinstance(one, Gap):
        return "gap", one.why, None
    assert isinstance(one, RuledOut)
    return "ruled out", one.why, None


BLOCKED = "aws.health_check_blocked"
CLOSED = "aws.path_closed"
DENY = acl("acl-a", PRIVATE, entry(90, egress=False, allow=False, protocol="6", from_port=4000, to_port=4000), entry(100, egress=False),
           entry(100, egress=True))  # fmt: skip
NO_ANSWER = acl("acl-a", PRIVATE, entry(100, egress=False), entry(100, egress=True, protocol="6", from_port=1, to_port=1023))
SOME_ANSWERS = acl(
    "acl-a", PRIVATE, entry(100, egress=False), entry(100, egress=True, protocol="6", from_port=4000, to_port=4000)
)
FAILED = {"state": "unhealthy", "reason": "Target.FailedHealthChecks", "description": "Health checks failed"}
DRAINS = {"state": "draining", "reason": "Target.DeregistrationInProgress", "description": ""}
THROUGH = ("ruled out", "security groups and network ACLs let it through to api", None)
UNKNOWN = ("gap", "whether security groups and network ACLs let the health check through", None)
REACHED = ("gap", "it looks closed, and a target behind it is reached all the same", None)
SEEN = (BLOCKED, "proven", [MINE])
NOT_OFFERED = (BLOCKED, "proven", [])
SECOND = {"arn": "arn:lb", "name": "api", "kind": "application", "state": "active", "security_groups": [BALANCER]}
Case = tuple[str, Json, tuple[str, str, list[Json] | None]]
BACKWARDS = lost(security_group=BALANCER, source_group=INSTANCES)
CHECKED = rule(INSTANCES, from_port=9000, to_port=9000, group=BALANCER)
OFFERED: list[Case] = [
    ("CloudTrail knows who took the rule away", region(TIMEOUT, TIMEOUT, changes=[REVOKED]), SEEN),
    ("nobody is known", region(TIMEOUT, TIMEOUT), NOT_OFFERED),
    ("changes were not read", region(TIMEOUT, gaps=[{"diagnostic": "changes", "reason": "late"}]), NOT_OFFERED),
    ("a change that AWS refused", region(TIMEOUT, changes=[{**REVOKED, "refused": "Client.UnauthorizedOperation"}]), NOT_OFFERED),
    ("it took nothing away for certain", region(TIMEOUT, changes=[change(REVOKE, INSTANCES, BALANCER)]), NOT_OFFERED),
    ("another port", region(TIMEOUT, changes=[change(REVOKE, INSTANCES, BALANCER, lost=[lost(from_port=22, to_port=22)])]), NOT_OFFERED),
    ("a range of ports", region(TIMEOUT, changes=[change(REVOKE, INSTANCES, BALANCER, lost=[lost(from_port=4000, to_port=5000)])]), SEEN),
    ("all ports", region(TIMEOUT, changes=[change(REVOKE, INSTANCES, BALANCER, lost=[lost(protocol="-1", from_port=-1, to_port=-1)])]), SEEN),
    ("UDP", region(TIMEOUT, changes=[change(REVOKE, INSTANCES, BALANCER, lost=[lost(protocol="udp")])]), NOT_OFFERED),
    ("another source", region(TIMEOUT, changes=[change(REVOKE, INSTANCES, OTHER, lost=[lost(source_group=OTHER)])]), NOT_OFFERED),
    ("the other direction", region(TIMEOUT, changes=[change(REVOKE, INSTANCES, BALANCER, lost=[BACKWARDS])]), NOT_OFFERED),
    ("a group that one target does not have", region(TIMEOUT, TIMEOUT, changes=[REVOKED], instances={1: {"security_groups": [OTHER]}}), NOT_OFFERED),
    ("an instance was moved afterwards", region(TIMEOUT, changes=[REVOKED, change("ModifyInstanceAttribute", "i-0", OTHER, at=AT)]), NOT_OFFERED),
    ("the balancer got other groups afterwards", region(TIMEOUT, changes=[REVOKED, change("SetSecurityGroups", BALANCER, at=AT)]), NOT_OFFERED),
    ("the health check was moved afterwards", region(TIMEOUT, changes=[REVOKED, change("ModifyTargetGroup", "arn:tg", at=AT)]), NOT_OFFERED),
    ("a stranger's things changed afterwards", region(TIMEOUT, changes=[REVOKED, change("ModifyInstanceAttribute", "i-9", at=AT)]), SEEN),
    ("its tags changed afterwards", region(TIMEOUT, changes=[REVOKED, change("CreateTags", INSTANCES, at=AT)]), SEEN),
    ("a network ACL is closed too", region(TIMEOUT, changes=[REVOKED], acls=[ACLS[0], DENY]), (CLOSED, "proven", [])),
    ("whether a network ACL is closed is not known", region(TIMEOUT, changes=[REVOKED], acls=[]), NOT_OFFERED),
    ("AWS's clock is not known", region(TIMEOUT, changes=[REVOKED], at=""), NOT_OFFERED),
    ("one target's health lags behind", region(TIMEOUT, HEALTHY, changes=[REVOKED]), (BLOCKED, "likely", [MINE])),
    ("for too long", region(TIMEOUT, HEALTHY, changes=[REVOKED], at="2026-11-27T02:24:01Z"), REACHED),
    ("one serves behind it", region(TIMEOUT, HEALTHY), REACHED),
    ("one answers behind it", region(TIMEOUT, REFUSED), REACHED),
    ("a network load balancer says less", region(FAILED, changes=[REVOKED]), (BLOCKED, "likely", [MINE])),
    ("one of several groups that nobody named", region(TIMEOUT, limits={"named": False}, target_groups=[
        *region(TIMEOUT)["target_groups"], {**region()["target_groups"][0], "name": "other"}]), (BLOCKED, "possible", [])),
]  # fmt: skip
WAYS: list[Case] = [
    ("the health check has a port of its own", region(TIMEOUT, rules=[OUT, IN], group={"health_port": 9000}), NOT_OFFERED),
    ("the rule is there", region(TIMEOUT, rules=[OUT, IN]), THROUGH),
    ("for all protocols", region(TIMEOUT, rules=[OUT, rule(INSTANCES, protocol="-1", from_port=-1, to_port=-1, group=BALANCER)]), THROUGH),
    ("UDP is no TCP", region(TIMEOUT, rules=[OUT, rule(INSTANCES, protocol="udp", group=BALANCER)]), NOT_OFFERED),
    ("a range of ports", region(TIMEOUT, rules=[OUT, rule(INSTANCES, from_port=3999, to_port=4001, group=BALANCER)]), THROUGH),
    ("by addresses of all nodes", region(TIMEOUT, rules=[OUT, rule(INSTANCES, cidr="10.20.0.0/16")]), THROUGH),
    ("by addresses of some nodes", region(TIMEOUT, rules=[OUT, rule(INSTANCES, cidr="10.20.0.0/25")]), UNKNOWN),
    ("by addresses of one of two subnets",
     region(TIMEOUT, rules=[OUT, rule(INSTANCES, cidr="10.20.0.0/24")], front={"subnets": [PUBLIC, PRIVATE]}), UNKNOWN),
    ("by a prefix list", region(TIMEOUT, rules=[OUT, rule(INSTANCES, prefix_list="pl-1")]), UNKNOWN),
    ("by IPv6, of a group that asks by IPv4", region(TIMEOUT, rules=[OUT, rule(INSTANCES, cidr="::/0")]), NOT_OFFERED),
    ("of a group that asks by IPv6", region(TIMEOUT, rules=[OUT, rule(INSTANCES, cidr="::/0")], group={"addresses": "ipv6"}), UNKNOWN),
    ("an address that is none", region(TIMEOUT, rules=[OUT, rule(INSTANCES, cidr="everybody")]), NOT_OFFERED),
    ("the balancer lets nothing out", region(TIMEOUT, rules=[IN]), (CLOSED, "proven", [])),
    ("a balancer without groups, by addresses", region(TIMEOUT, front={"security_groups": []}, rules=[rule(INSTANCES, cidr="10.20.0.0/16")]), THROUGH),
    ("a network ACL denies the question", region(TIMEOUT, rules=[OUT, IN], acls=[ACLS[0], DENY]), (CLOSED, "proven", [])),
    ("a network ACL lets no answer out", region(TIMEOUT, rules=[OUT, IN], acls=[ACLS[0], NO_ANSWER]), (CLOSED, "proven", [])),
    ("a network ACL lets some answers out", region(TIMEOUT, rules=[OUT, IN], acls=[ACLS[0], SOME_ANSWERS]), UNKNOWN),
    ("within one subnet no ACL stands between", region(TIMEOUT, rules=[OUT, IN], acls=[DENY], front={"subnets": [PRIVATE]}), THROUGH),
    ("ACLs were not read", region(TIMEOUT, rules=[OUT, IN], acls=[]), UNKNOWN),
    ("rules were not read", region(TIMEOUT, rules=[], gaps=[{"diagnostic": "security groups", "reason": "late"}]), UNKNOWN),
    ("the balancer was not read", region(TIMEOUT, balancers=[]), UNKNOWN),
    ("closed to one, open to another", region(TIMEOUT, TIMEOUT, rules=[OUT, IN], instances={1: {"security_groups": [OTHER]}}),
     ("gap", "it looks closed to some of the silent targets and open to others", None)),
    ("all serve", region(HEALTHY, rules=[OUT]), ("ruled out", "health checks reach the targets of api", None)),
    ("one drains", region(HEALTHY, DRAINS, rules=[OUT, IN]), ("gap", "nothing is known of the way to 1 of 2 targets", None)),
    ("requests take another port, which is closed", region(HEALTHY, rules=[OUT, CHECKED], group={"health_port": 9000}),
     ("gap", "the health check has a port of its own; whether users' requests get through on port 4000 is not shown", None)),
    ("requests take another port, which is open", region(HEALTHY, rules=[OUT, IN], group={"health_port": 9000}),
     ("ruled out", "health checks reach the targets of api", None)),
    ("the silent one does not run", region(TIMEOUT, instances={0: {"state": "stopped"}}),
     ("gap", "1 of 1 silent targets are no running instances that were read", None)),
]  # fmt: skip


@pytest.mark.parametrize(("facts", "wanted"), [case[1:] for case in OFFERED + WAYS], ids=[case[0] for case in OFFERED + WAYS])
def test_the_way_of_the_health_check(facts: Json, wanted: tuple[str, str, list[Json] | None]) -> None:
    assert told(facts) == wanted


def test_a_target_that_answers_is_reached() -> None:
    (one,) = reach.blocked(t.cast("t.Any", region(REFUSED, REFUSED, rules=[OUT])))
    assert one == RuledOut("cloud", BLOCKED, "health checks reach the targets of api")


AUTHORS: list[tuple[str, list[Json], str, str | None]] = [
    ("it is known", [REVOKED], "RevokeSecurityGroupIngress by pipeline at 02:14:00Z", "2026-11-27T02:14:00Z"),
    ("only which group", [change(REVOKE, INSTANCES)], "perhaps RevokeSecurityGroupIngress by pipeline at 02:14:00Z", None),
    ("the newest of two", [REVOKED, change(REVOKE, INSTANCES, BALANCER, at="2026-11-27T02:20:00Z", who="person", lost=[lost()])],
     "RevokeSecurityGroupIngress by person at 02:20:00Z", "2026-11-27T02:20:00Z"),
    ("a stranger's group", [change(REVOKE, OTHER)], reach.NOBODY, None),
    ("something else about the group", [change("CreateTags", INSTANCES, BALANCER)], reach.NOBODY, None),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "who", "began"), [case[1:] for case in AUTHORS], ids=[case[0] for case in AUTHORS])
def test_who_closed_the_way(changes: list[Json], who: str, began: str | None) -> None:
    (found,) = reach.blocked(t.cast("t.Any", region(TIMEOUT, changes=changes)))
    assert isinstance(found, Finding)
    assert (found.evidence["who"], found.began) == (who, began)


SERVING: list[tuple[str, Json, tuple[str, str]]] = [
    ("one of two", region(HEALTHY, REFUSED), ("finding", "1 of 2: 1 × codes: [503]")),
    ("all are well", region(HEALTHY, HEALTHY), ("ruled out", "all 2 of api are healthy")),
    ("one is new", region(HEALTHY, {**HEALTHY, "state": "initial"}), ("gap", "1 healthy, 1 × initial")),
    (
        "one drains in bad health",
        region(HEALTHY, {**REFUSED, "state": "unhealthy.draining"}),
        ("finding", "1 of 2: 1 × codes: [503]"),
    ),
    ("all are new", region({**HEALTHY, "state": "initial"}), ("finding", "0 of 1: 1 × initial")),
    ("nobody checks", region({**HEALTHY, "state": "unavailable"}), ("gap", "0 healthy, 1 × unavailable")),
    ("none is registered", region(), ("gap", "none is registered, or none was read")),
]


@pytest.mark.parametrize(("facts", "wanted"), [case[1:] for case in SERVING], ids=[case[0] for case in SERVING])
def test_which_targets_serve(facts: Json, wanted: tuple[str, str]) -> None:
    one = list(targets.unhealthy(t.cast("t.Any", facts)))[-1]
    if isinstance(one, Finding):
        assert wanted == ("finding", "{healthy} of {targets}: {why}".format(**one.evidence))
    elif isinstance(one, RuledOut):
        assert wanted == ("ruled out", one.why)
    else:
        assert isinstance(one, Gap)
        assert wanted == ("gap", one.why)


def test_a_region_without_target_groups_is_a_gap() -> None:
    (gap,) = targets.unread(t.cast("t.Any", region(target_groups=[])))
    assert isinstance(gap, Gap)
    assert gap.why == "no load balancer forwards to one in eu-central-1"


def test_a_load_balancer_that_is_not_active_is_a_gap() -> None:
    observed = list(targets.unhealthy(t.cast("t.Any", region(HEALTHY, front={"state": "provisioning"}))))
    assert Gap("cloud", "the load balancer api", "its state is provisioning") in observed


def test_findings_of_two_groups_behind_the_same_rule_are_two() -> None:
    one = region(TIMEOUT)
    two = {**one, "target_groups": [one["target_groups"][0], {**one["target_groups"][0], "name": "web"}]}
    found = [each.subject.key for each in reach.blocked(t.cast("t.Any", two)) if isinstance(each, Finding)]
    assert found == ["api", "web"]


STOP = change("StopInstances", "i-0", "i-1")
UNUSED = {"state": "unused", "reason": "Target.InvalidState", "description": "Target is in the stopped state"}
DOWN = {0: {"state": "stopped"}}
BOTH = {**DOWN, 1: {"state": "stopped"}}
START = {"region": "eu-central-1", "account": "1"}
DOWN_CASES: list[tuple[str, Json, tuple[str, list[str]]]] = [
    ("all, and it is known who did it", region(UNUSED, UNUSED, instances=BOTH, changes=[STOP]), ("proven", ["i-0", "i-1"])),
    ("all, and nobody knows who", region(UNUSED, UNUSED, instances=BOTH), ("proven", [])),
    ("one of them by somebody unknown", region(UNUSED, UNUSED, instances=BOTH, changes=[change("StopInstances", "i-0")]), ("proven", [])),
    ("refused", region(UNUSED, instances=DOWN, changes=[{**STOP, "refused": "Client.UnauthorizedOperation"}]), ("proven", [])),
    ("isolated before", region(UNUSED, instances=DOWN, changes=[STOP, change("ModifyInstanceAttribute", "i-0", OTHER)]), ("proven", [])),
    ("taken out of service before", region(UNUSED, instances=DOWN, changes=[STOP, change("DeregisterTargets", "i-0")]), ("proven", [])),
    ("others serve", region(UNUSED, HEALTHY, instances=DOWN, changes=[STOP]), ("possible", ["i-0"])),
    ("others fail", region(UNUSED, REFUSED, instances=DOWN, changes=[STOP]), ("possible", ["i-0"])),
    ("one is being ended", region(UNUSED, UNUSED, instances={**DOWN, 1: {"state": "terminated"}}, changes=[STOP]), ("proven", [])),
    ("of a group that nobody named", region(UNUSED, instances=DOWN, changes=[STOP], limits={"named": False}, target_groups=[
        *region(UNUSED)["target_groups"], {**region()["target_groups"][0], "name": "other"}]), ("possible", ["i-0"])),
]  # fmt: skip


@pytest.mark.parametrize(("facts", "wanted"), [case[1:] for case in DOWN_CASES], ids=[case[0] for case in DOWN_CASES])
def test_instances_that_do_not_run(facts: Json, wanted: tuple[str, list[str]]) -> None:
    (found,) = [one for one in instances.stopped(t.cast("t.Any", facts)) if isinstance(one, Finding)]
    offered = [target["instance_id"] for target in found.targets["start_instances"]]
    assert (found.confidence, offered) == wanted
    assert all({name: target[name] for name in START} == START for target in found.targets["start_instances"])


def test_instances_that_run_are_ruled_out_and_sick_ones_are_gaps() -> None:
    observed = list(instances.stopped(t.cast("t.Any", region(HEALTHY, HEALTHY, instances={1: {"checks": ["ok", "impaired"]}}))))
    assert observed == [
        Gap("cloud", "the instance i-1", "its status checks say ok, impaired"),
        RuledOut("cloud", "aws.instances_stopped", "all 2 instances of api run"),
    ]
