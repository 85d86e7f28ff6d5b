#!/usr/bin/python
# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: datadog_monitor_info
short_description: Tells the state of Datadog monitors
version_added: 0.2.0
description:
  - Reads monitors by id or by a search, with the groups of each that are not well.
  - A monitor lags behind what users see by its evaluation window and more; it is a witness, not a proof.
notes:
  - M(community.general.datadog_monitor) only writes monitors, and has no check mode.
author:
  - The sre.runbooks contributors (@sre-runbooks)
extends_documentation_fragment:
  - sre.runbooks.attributes
  - sre.runbooks.attributes.info_module
  - sre.runbooks.http_api
options:
  api_url:
    description: The API's address; it differs by site, for example C(https://api.datadoghq.eu).
    type: str
    default: https://api.datadoghq.com
  application_key:
    description: The application key.
    type: str
    required: true
  monitors:
    description: Ids of monitors.
    type: list
    elements: int
  query:
    description: A monitor search, for example V(tag:service:api).
    type: str
"""

EXAMPLES = r"""
- name: What do the monitors of the API say?
  sre.runbooks.datadog_monitor_info:
    api_key: "{{ lookup('ansible.builtin.env', 'DD_API_KEY') }}"
    application_key: "{{ lookup('ansible.builtin.env', 'DD_APP_KEY') }}"
    query: tag:service:api
  register: told
"""

RETURN = r"""
monitors:
  description:
    - The monitors with their state, one of V(OK), V(Alert), V(Warn), V(No Data), V(Unknown), V(Ignored), V(Skipped), and the
      groups that are not V(OK) (not with a search, which does not tell them).
  returned: success
  type: list
  elements: dict
  sample: [{id: 4711, name: API p95, type: metric alert, state: Alert, groups: {"service:api": Alert}}]
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.sre.runbooks.plugins.module_utils._datadog.calls import MONITOR


def main() -> None:
    module = AnsibleModule(MONITOR.argument_spec, required_one_of=MONITOR.required_one_of, supports_check_mode=True)
    result = MONITOR.make(module.params, check_mode=module.check_mode)
    if result.get("failed"):
        module.fail_json(msg=result["msg"])
    module.exit_json(**result)


if __name__ == "__main__":
    main()
