# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One rule of a security group: added, and taken away by its id (private to the collection)."""

from __future__ import annotations

import dataclasses
import time
import typing as t

from ansible_collections.sre.runbooks.plugins.module_utils._aws import answers
from ansible_collections.sre.runbooks.plugins.module_utils._aws.account import (
    Account,
    AwsError,
    OutcomeUnknownError,
    access_from,
    connect,
)
from ansible_collections.sre.runbooks.plugins.module_utils._aws.facts import Rule
from ansible_collections.sre.runbooks.plugins.module_utils._spec import Spec
from ansible_collections.sre.runbooks.plugins.module_utils._within import LateError, within

Json = dict[str, t.Any]
ACT_SECONDS = 60.0
# What AWS answers to a dry run that would have been done.
WOULD = "DryRunOperation"
DUPLICATE = "InvalidPermission.Duplicate"
LOOKS = 4
LOOK_AGAIN_SECONDS = 1.0


@dataclasses.dataclass(frozen=True)
class Wanted:
    """Who is let in where: one security group to one TCP port of the things in another."""

    security_group: str
    source_group: str
    port: int
    description: str

    def is_met_by(self, rule: Rule) -> bool:
        """Whether a rule is this one and nothing more."""
        same = (rule["security_group"], rule["group"]) == (self.security_group, self.source_group)
        return (
            same
            and not rule["egress"]
            and (rule["protocol"], rule["from_port"], rule["to_port"]) == ("tcp", self.port, self.port)
        )

    def __str__(self) -> str:
        return f"{self.source_group} into {self.security_group} on TCP port {self.port}"


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What was done, in words, and the id of the rule that was made, empty where none was."""

    done: tuple[str, ...] = ()
    rule_id: str = ""


def rule_spec() -> Spec:
    return {
        "security_group": {"type": "str", "required": True},
        "source_group": {"type": "str", "required": True},
        "port": {"type": "int", "required": True},
        "description": {"type": "str", "required": True},
        "rule_id": {"type": "str"},
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    }


class Rules:
    """The rules of one account. What was written is not always listed at once, so it is looked for several times."""

    def __init__(self, account: Account, sleep: t.Callable[[float], None] = time.sleep) -> None:
        self._account, self._sleep = account, sleep

    def _of(self, name: str, value: str) -> list[Rule]:
        filters = [{"Name": name, "Values": [value]}]
        found = self._account.pages("ec2", "describe_security_group_rules", "SecurityGroupRules", Filters=filters)
        return [answers.rule(one) for one in found]

    def _standing(self, wanted: Wanted) -> list[Rule]:
        return [rule for rule in self._of("group-id", wanted.security_group) if wanted.is_met_by(rule)]

    def _own(self, wanted: Wanted, looks: int) -> str:
        """The id of the rule that carries our own words, empty where none is found."""
        for look in range(looks):
            if look:
                self._sleep(LOOK_AGAIN_SECONDS)
            for rule in self._standing(wanted):
                if rule["description"] == wanted.description:
                    return rule["id"]
        return ""

    def add(self, wanted: Wanted, *, dry_run: bool) -> Outcome:
        """Lets it in, unless that is so already. Raises AwsError."""
        if self._standing(wanted):
            return Outcome(rule_id=self._own(wanted, 1))
        pair = {"GroupId": wanted.source_group, "Description": wanted.description}
        permission = {"IpProtocol": "tcp", "FromPort": wanted.port, "ToPort": wanted.port, "UserIdGroupPairs": [pair]}
        done = (f"let {wanted}",)
        try:
            told = self._account.write("ec2", "authorize_security_group_ingress", GroupId=wanted.security_group,
                                       IpPermissions=[permission], DryRun=dry_run)  # fmt: skip
        except AwsError as error:
            if dry_run and error.code == WOULD:
                return Outcome(done)
            own = self._own(wanted, LOOKS) if isinstance(error, OutcomeUnknownError) or error.code == DUPLICATE else ""
            if own:
                return Outcome(done, own)
            raise
        return Outcome(done, told["SecurityGroupRules"][0]["SecurityGroupRuleId"])

    def remove(self, wanted: Wanted, rule_id: str | None, *, dry_run: bool) -> Outcome:
        """Takes the rule of this id away, if it is there and lets in what it did; without an id (nobody heard what came of it)
        the one that carries our own words. Raises AwsError."""
        found = rule_id or self._own(wanted, LOOKS)
        standing = self._of("security-group-rule-id", found) if found else []
        if not standing:
            return Outcome()
        if not wanted.is_met_by(standing[0]):
            raise AwsError(f"AWS {self._account.region}: the rule {found} is another one now; it does not let {wanted}")
        done = Outcome((f"took the rule {found} away, which let {wanted}",))
        try:
            self._account.write("ec2", "revoke_security_group_ingress", GroupId=wanted.security_group,
                                SecurityGroupRuleIds=[found], DryRun=dry_run)  # fmt: skip
        except OutcomeUnknownError:
            if self._of("security-group-rule-id", found):
                raise
        except AwsError as error:
            if not (dry_run and error.code == WOULD):
                raise
        return done


def carry_out(params: t.Mapping[str, t.Any], *, dry_run: bool) -> Json:
    """The module's result: ``changed``, ``done`` and ``made``; ``msg`` where it failed."""
    wanted = Wanted(params["security_group"], params["source_group"], params["port"], params["description"])

    def act() -> Outcome:
        rules = Rules(connect(access_from(params)))
        if params["state"] == "present":
            return rules.add(wanted, dry_run=dry_run)
        return rules.remove(wanted, params["rule_id"], dry_run=dry_run)

    try:
        outcome = within(ACT_SECONDS, act)
    except (AwsError, LateError) as error:
        return {"msg": str(error), "changed": isinstance(error, (OutcomeUnknownError, LateError)), "done": [], "made": {}}
    made = {"rule_id": outcome.rule_id} if outcome.rule_id and params["state"] == "present" else {}
    return {"changed": bool(outcome.done), "done": list(outcome.done), "made": made}
