#!/usr/bin/python
# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: aws_triage_info
short_description: Reads what stands between a load balancer and its targets in AWS, in one call
version_added: 0.4.0
description:
  - Reads target groups with the health of their targets, the load balancers in front, the instances behind (stopped ones too),
    the security groups and network ACLs between them, and who changed what lately (CloudTrail), side by side.
  - What could not be read is a gap, with the reason and, where it is a permission, the IAM action; nothing else is left out
    because of it.
  - Of changes it returns who, when, what and which things, not what else was in the request. Its own calls are left out.
notes:
  - M(community.aws.elb_target_group_info), M(amazon.aws.ec2_instance_info) and others read one kind of thing a task, one after
    the other; no module reads DescribeInstanceStatus, DescribeSecurityGroupRules or LookupEvents.
  - CloudTrail lags by about five minutes, and answers two requests a second.
author:
  - The sre.runbooks contributors (@sre-runbooks)
extends_documentation_fragment:
  - sre.runbooks.attributes
  - sre.runbooks.attributes.info_module
  - sre.runbooks.aws
options:
  target_groups:
    description: The target groups, by name or ARN; all that a load balancer forwards to by default.
    type: list
    elements: str
    default: []
  change_seconds:
    description: How far back changes are looked for, in seconds.
    type: int
    default: 7200
  seconds_max:
    description: How long everything may take, in seconds.
    type: float
    default: 20.0
"""

EXAMPLES = r"""
- name: Look at what stands between the load balancer and the API
  sre.runbooks.aws_triage_info:
    region: eu-central-1
    target_groups: [custody-api]
  register: look
"""

RETURN = r"""
cloud:
  description:
    - What was read. Times are UTC (RFC 3339).
  returned: success
  type: dict
  contains:
    region:
      description: The region.
      type: str
      returned: always
    account:
      description: The account's number; empty where it is not known.
      type: str
      returned: always
    at:
      description: AWS's clock; empty where it said none.
      type: str
      returned: always
    target_groups:
      description: Target groups, each with its health check and its targets' states and reasons.
      type: list
      elements: dict
      returned: always
    balancers:
      description: The load balancers in front of them, with their security groups and subnets.
      type: list
      elements: dict
      returned: always
    instances:
      description: The instances behind them, with their states and status checks.
      type: list
      elements: dict
      returned: always
    rules:
      description: The rules of all these security groups.
      type: list
      elements: dict
      returned: always
    acls:
      description: The network ACLs of all these subnets, with their entries.
      type: list
      elements: dict
      returned: always
    subnets:
      description: The range of addresses of each subnet, by its id.
      type: dict
      returned: always
    changes:
      description: Write events of CloudTrail, newest first, with who, when, what and which things.
      type: list
      elements: dict
      returned: always
    changes_seconds:
      description: How far back changes were looked for, in seconds.
      type: int
      returned: always
    gaps:
      description: What could not be read, and why.
      type: list
      elements: dict
      returned: always
"""

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible_collections.sre.runbooks.plugins.module_utils._aws.account import AWS_IMPORT_ERROR
from ansible_collections.sre.runbooks.plugins.module_utils._aws.triage import argument_spec, triage_from


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    if AWS_IMPORT_ERROR:
        module.fail_json(msg=missing_required_lib("boto3"), exception=AWS_IMPORT_ERROR)
    module.exit_json(changed=False, cloud=triage_from(module.params))


if __name__ == "__main__":
    main()
