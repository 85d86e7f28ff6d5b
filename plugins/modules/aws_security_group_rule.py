#!/usr/bin/python
# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: aws_security_group_rule
short_description: Lets one security group into one port of another, or takes that rule away by its id
version_added: 0.4.0
description:
  - Adds one inbound rule to a security group, or takes one away. No other rule is touched.
  - A rule that lets the same in already is left as it is, and is not taken away afterwards.
notes:
  - M(amazon.aws.ec2_security_group) takes the whole list of rules, and takes all others away unless it is told not to; it names
    no rule by its id, so that an undo could take away a rule of somebody else.
author:
  - The sre.runbooks contributors (@sre-runbooks)
extends_documentation_fragment:
  - sre.runbooks.attributes
  - sre.runbooks.aws
attributes:
  check_mode:
    support: full
    details:
      - AWS checks the permission and stores nothing (C(DryRun)).
  diff_mode:
    support: none
  idempotent:
    support: full
options:
  security_group:
    description: The id of the security group that gets the rule.
    type: str
    required: true
  source_group:
    description: The id of the security group that is let in.
    type: str
    required: true
  port:
    description: The TCP port.
    type: int
    required: true
  description:
    description: The rule's description. A rule that has it is taken to be one's own, so it must be like no other's.
    type: str
    required: true
  rule_id:
    description: The id of the rule that is taken away. It must still let in the same. Without it, the one with O(description).
    type: str
  state:
    description: Whether the rule is to be there.
    type: str
    choices: [present, absent]
    default: present
"""

EXAMPLES = r"""
- name: Let the load balancer's health check in again
  sre.runbooks.aws_security_group_rule:
    region: eu-central-1
    security_group: sg-0a1b2c3d4e5f60718
    source_group: sg-1a1b2c3d4e5f60718
    port: 4000
    description: sre.runbooks 2026-11-27T02:20:00Z
"""

RETURN = r"""
done:
  description: What was done (in check mode, would be), in words.
  returned: always
  type: list
  elements: str
  sample: ["let sg-1a1b2c3d4e5f60718 into sg-0a1b2c3d4e5f60718 on TCP port 4000"]
made:
  description: By what an undo finds the rule. Empty where none was made.
  returned: always
  type: dict
  contains:
    rule_id:
      description: The rule's id.
      type: str
      returned: where a rule was made
"""

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible_collections.sre.runbooks.plugins.module_utils._aws.account import AWS_IMPORT_ERROR, argument_spec
from ansible_collections.sre.runbooks.plugins.module_utils._aws.rules import carry_out, rule_spec


def main() -> None:
    module = AnsibleModule(argument_spec={**argument_spec(), **rule_spec()}, supports_check_mode=True)
    if AWS_IMPORT_ERROR:
        module.fail_json(msg=missing_required_lib("boto3"), exception=AWS_IMPORT_ERROR)
    result = carry_out(module.params, dry_run=bool(module.check_mode))
    if "msg" in result:
        module.fail_json(**result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
