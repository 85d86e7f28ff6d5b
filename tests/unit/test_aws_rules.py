"""What a region's facts say: which targets serve, and what keeps the health check from those that do not."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.sre.runbooks.plugins.plugin_utils._judgement.model import Finding, Gap, RuledOut
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems.aws import reach, targets

Json = dict[str, t.Any]
BALANCER, INSTANCES, OTHER = "sg-0000000b", "sg-0000000a", "sg-0000000c"
PUBLIC, PRIVATE = "subnet-0000000b", "subnet-0000000a"
TIMEOUT = {"state": "unhealthy", "reason": "Target.Timeout", "description": "Request timed out"}
REFUSED = {"state": "unhealthy", "reason": "Target.ResponseCodeMismatch", "description": "codes: [503]"}
HEALTHY = {"state": "healthy", "reason": "", "description": ""}
MINE = {"security_group": INSTANCES, "source_group": BALANCER, "port": 4000, "region": "eu-central-1"}


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


def change(name: str, *touches: str, at: str = "2026-11-27T02:14:00Z", **changes: t.Any) -> Json:
    return {"id": "e", "at": at, "name": name, "source": "ec2.amazonaws.com", "who": "pipeline", "refused": "",
            "touches": [*touches], **changes}  # fmt: skip


REVOKED = change("RevokeSecurityGroupIngress", INSTANCES, BALANCER)


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
             "health_path": "/health", "balancers": ["arn:lb"],
             "targets": [{"id": f"i-{n}", "port": 4000, **state} for n, state in enumerate(states)], **more.pop("group", {})}  # fmt: skip
    front = {"arn": "arn:lb", "name": "api", "kind": "application", "state": "active", "security_groups": [BALANCER],
             "subnets": [PUBLIC], **more.pop("front", {})}  # fmt: skip
    return {
        "system": "cloud", "kind": "aws", "depends_on": [], "limits": {}, "region": "eu-central-1", "account": "1", "at": "",
        "target_groups": [group], "balancers": [front], "instances": instances, "rules": [*rules], "acls": [*acls],
        "subnets": {PUBLIC: "10.20.0.0/24", PRIVATE: "10.20.10.0/24"}, "changes": [*changes], "changes_seconds": 7200,
        "gaps": [], **more,
    }  # fmt: skip


def told(facts: Json) -> tuple[str, str, list[Json] | None]:
    """What is concluded of the way: a finding's id and confidence and what it offers, or a gap, or that it is ruled out."""
    (one,) = list(reach.blocked(t.cast("t.Any", facts)))[-1:] or [None]
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
WAYS: list[tuple[str, Json, tuple[str, str, list[Json] | None]]] = [
    ("nobody knows who took the rule away", region(TIMEOUT, TIMEOUT), (BLOCKED, "proven", [MINE])),
    ("CloudTrail knows", region(TIMEOUT, TIMEOUT, changes=[REVOKED]), (BLOCKED, "proven", [MINE])),
    ("a change that AWS refused closed nothing", region(TIMEOUT, HEALTHY, changes=[{**REVOKED, "refused": "Client.UnauthorizedOperation"}]),
     ("gap", "it looks closed, and a target behind it is reached all the same", None)),
    ("one target's health lags behind", region(TIMEOUT, HEALTHY, changes=[REVOKED]), (BLOCKED, "likely", [MINE])),
    ("one serves behind it", region(TIMEOUT, HEALTHY), ("gap", "it looks closed, and a target behind it is reached all the same", None)),
    ("one answers behind it", region(TIMEOUT, REFUSED), ("gap", "it looks closed, and a target behind it is reached all the same", None)),
    ("another rule of the group was taken away", region(TIMEOUT, changes=[change("RevokeSecurityGroupIngress", INSTANCES)]),
     (BLOCKED, "proven", [])),
    ("an instance was moved to another group", region(TIMEOUT, changes=[change("ModifyInstanceAttribute", "i-0", OTHER)]),
     (BLOCKED, "proven", [])),
    ("the balancer got other groups", region(TIMEOUT, changes=[change("SetSecurityGroups", BALANCER)]), (BLOCKED, "proven", [])),
    ("the targets share no group", region(TIMEOUT, TIMEOUT, instances={1: {"security_groups": [OTHER]}}), (BLOCKED, "proven", [])),
    ("the targets share two groups", region(TIMEOUT, instances={0: {"security_groups": [INSTANCES, OTHER]}}), (BLOCKED, "proven", [])),
    ("the same, and it is known which one had it", region(TIMEOUT, instances={0: {"security_groups": [INSTANCES, OTHER]}}, changes=[REVOKED]),
     (BLOCKED, "proven", [MINE])),
    ("two security groups of the balancer", region(TIMEOUT, front={"security_groups": [BALANCER, OTHER]}, rules=[OUT]),
     (BLOCKED, "proven", [])),
    ("the health check has a port of its own", region(TIMEOUT, rules=[OUT, IN], group={"health_port": 9000}),
     (BLOCKED, "proven", [{**MINE, "port": 9000}])),
    ("the rule is there", region(TIMEOUT, rules=[OUT, IN]), ("ruled out", "security groups and network ACLs let it through to api", None)),
    ("for all protocols", region(TIMEOUT, rules=[OUT, rule(INSTANCES, protocol="-1", from_port=-1, to_port=-1, group=BALANCER)]),
     ("ruled out", "security groups and network ACLs let it through to api", None)),
    ("UDP is no TCP", region(TIMEOUT, rules=[OUT, rule(INSTANCES, protocol="udp", group=BALANCER)]), (BLOCKED, "proven", [MINE])),
    ("a range of ports", region(TIMEOUT, rules=[OUT, rule(INSTANCES, from_port=3999, to_port=4001, group=BALANCER)]),
     ("ruled out", "security groups and network ACLs let it through to api", None)),
    ("by addresses of all nodes", region(TIMEOUT, rules=[OUT, rule(INSTANCES, cidr="10.20.0.0/16")]),
     ("ruled out", "security groups and network ACLs let it through to api", None)),
    ("by addresses of some nodes", region(TIMEOUT, rules=[OUT, rule(INSTANCES, cidr="10.20.0.0/25")]),
     ("gap", "whether security groups and network ACLs let the health check through", None)),
    ("by addresses of one of two subnets",
     region(TIMEOUT, rules=[OUT, rule(INSTANCES, cidr="10.20.0.0/24")], front={"subnets": [PUBLIC, PRIVATE]}),
     ("gap", "whether security groups and network ACLs let the health check through", None)),
    ("by a prefix list", region(TIMEOUT, rules=[OUT, rule(INSTANCES, prefix_list="pl-1")]),
     ("gap", "whether security groups and network ACLs let the health check through", None)),
    ("by IPv6 only", region(TIMEOUT, rules=[OUT, rule(INSTANCES, cidr="::/0")]), (BLOCKED, "proven", [MINE])),
    ("an address that is none", region(TIMEOUT, rules=[OUT, rule(INSTANCES, cidr="everybody")]), (BLOCKED, "proven", [MINE])),
    ("the balancer lets nothing out", region(TIMEOUT, rules=[IN]), (CLOSED, "proven", [])),
    ("a balancer without groups, by addresses", region(TIMEOUT, front={"security_groups": []}, rules=[rule(INSTANCES, cidr="10.20.0.0/16")]),
     ("ruled out", "security groups and network ACLs let it through to api", None)),
    ("a network ACL denies the question", region(TIMEOUT, rules=[OUT, IN], acls=[ACLS[0], DENY]), (CLOSED, "proven", [])),
    ("a network ACL lets no answer out", region(TIMEOUT, rules=[OUT, IN], acls=[ACLS[0], NO_ANSWER]), (CLOSED, "proven", [])),
    ("a network ACL lets some answers out", region(TIMEOUT, rules=[OUT, IN], acls=[ACLS[0], SOME_ANSWERS]),
     ("gap", "whether security groups and network ACLs let the health check through", None)),
    ("within one subnet no ACL stands between", region(TIMEOUT, rules=[OUT, IN], acls=[DENY], front={"subnets": [PRIVATE]}),
     ("ruled out", "security groups and network ACLs let it through to api", None)),
    ("ACLs were not read", region(TIMEOUT, rules=[OUT, IN], acls=[]), ("gap", "whether security groups and network ACLs let the health check through", None)),
    ("rules were not read", region(TIMEOUT, rules=[], gaps=[{"diagnostic": "security groups", "reason": "late"}]),
     ("gap", "whether security groups and network ACLs let the health check through", None)),
    ("the balancer was not read", region(TIMEOUT, balancers=[]), ("gap", "whether security groups and network ACLs let the health check through", None)),
    ("closed to one, open to another", region(TIMEOUT, TIMEOUT, rules=[OUT, IN], instances={1: {"security_groups": [OTHER]}}),
     ("gap", "it looks closed to some of the silent targets and open to others", None)),
    ("all serve", region(HEALTHY, rules=[OUT]), ("ruled out", "health checks reach the targets of api", None)),
    ("the silent one does not run", region(TIMEOUT, instances={0: {"state": "stopped"}}),
     ("gap", "1 of 1 silent targets are no running instances that were read", None)),
]  # fmt: skip


@pytest.mark.parametrize(("facts", "wanted"), [case[1:] for case in WAYS], ids=[case[0] for case in WAYS])
def test_the_way_of_the_health_check(facts: Json, wanted: tuple[str, str, list[Json] | None]) -> None:
    assert told(facts) == wanted


def test_a_target_that_answers_is_reached() -> None:
    (one,) = reach.blocked(t.cast("t.Any", region(REFUSED, REFUSED, rules=[OUT])))
    assert one == RuledOut("cloud", BLOCKED, "health checks reach the targets of api")


AUTHORS: list[tuple[str, list[Json], str, str | None]] = [
    ("it is known", [REVOKED], "RevokeSecurityGroupIngress by pipeline at 02:14:00Z", "2026-11-27T02:14:00Z"),
    ("only which group", [change("RevokeSecurityGroupIngress", INSTANCES)], "perhaps RevokeSecurityGroupIngress by pipeline at 02:14:00Z", None),
    ("the newest of two", [REVOKED, change("RevokeSecurityGroupIngress", INSTANCES, BALANCER, at="2026-11-27T02:20:00Z", who="person")],
     "RevokeSecurityGroupIngress by person at 02:20:00Z", "2026-11-27T02:20:00Z"),
    ("a stranger's group", [change("RevokeSecurityGroupIngress", OTHER)], reach.NOBODY, None),
    ("something else about the group", [change("CreateTags", INSTANCES, BALANCER)], reach.NOBODY, None),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "who", "began"), [case[1:] for case in AUTHORS], ids=[case[0] for case in AUTHORS])
def test_who_closed_the_way(changes: list[Json], who: str, began: str | None) -> None:
    (found,) = reach.blocked(t.cast("t.Any", region(TIMEOUT, changes=changes)))
    assert isinstance(found, Finding)
    assert (found.evidence["who"], found.began) == (who, began)


SERVING: list[tuple[str, Json, tuple[str, str]]] = [
    ("one of two", region(HEALTHY, REFUSED), ("finding", "1 of 2: 1 × codes: [503]")),
    ("all are well", region(HEALTHY, HEALTHY), ("ruled out", "api: 2 healthy, none unhealthy")),
    ("one is new", region(HEALTHY, {**HEALTHY, "state": "initial"}), ("ruled out", "api: 1 healthy, none unhealthy")),
    ("all are new", region({**HEALTHY, "state": "initial"}), ("finding", "0 of 1: 1 × initial")),
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
