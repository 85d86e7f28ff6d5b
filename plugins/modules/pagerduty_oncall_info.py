#!/usr/bin/python
# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pagerduty_oncall_info
short_description: Tells who is on call in PagerDuty
version_added: 0.1.0
description:
  - Returns the people on call for escalation policies, first level first.
notes:
  - No other collection reads on-calls.
author:
  - The sre.runbooks contributors (@sre-runbooks)
extends_documentation_fragment:
  - sre.runbooks.attributes
  - sre.runbooks.attributes.info_module
  - sre.runbooks.http_api
  - sre.runbooks.http_api.pagerduty
options:
  api_url:
    description: The API's address.
    type: str
    default: https://api.pagerduty.com
  escalation_policies:
    description: Names or ids of escalation policies.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Who is on call?
  sre.runbooks.pagerduty_oncall_info:
    api_key: "{{ lookup('ansible.builtin.env', 'PAGERDUTY_API_KEY') }}"
    escalation_policies: [Database on-call]
  register: oncall
"""

RETURN = r"""
oncalls:
  description: The people on call.
  returned: success
  type: list
  elements: dict
  sample: [{level: 1, name: Database on-call (primary), policy: Database on-call, schedule: null, until: null}]
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.sre.runbooks.plugins.module_utils._pagerduty.calls import ONCALL


def main() -> None:
    module = AnsibleModule(ONCALL.argument_spec, supports_check_mode=True)
    result = ONCALL.make(module.params, check_mode=module.check_mode)
    if result.get("failed"):
        module.fail_json(msg=result["msg"])
    module.exit_json(**result)


if __name__ == "__main__":
    main()
