#!/usr/bin/python
# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: datadog_metric_info
short_description: Reads a metric from Datadog
version_added: 0.2.0
description:
  - Reads a query's series over a window that ends now, and says how old the last point is. Points come late and in buckets, so a
    recovery shows here after users have seen it.
notes:
  - No other collection reads metrics.
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
  query:
    description: The query.
    type: str
    required: true
  window:
    description: How far to look back, in seconds.
    type: int
    default: 900
  now:
    description: The end of the window in seconds since 1970, the present by default.
    type: int
"""

EXAMPLES = r"""
- name: The 95th percentile of the API's answers
  sre.runbooks.datadog_metric_info:
    api_key: "{{ lookup('ansible.builtin.env', 'DD_API_KEY') }}"
    application_key: "{{ lookup('ansible.builtin.env', 'DD_APP_KEY') }}"
    query: p95:api.response_time{service:api}
  register: p95
"""

RETURN = r"""
series:
  description: The series; none where there is no data, which is no good news.
  returned: success
  type: list
  elements: dict
  sample:
    - {metric: api.response_time, scope: "service:api", last: 0.52, last_age_seconds: 75.0, highest: 2.1, mean: 0.7, points: 60}
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.sre.runbooks.plugins.module_utils._datadog.calls import METRIC


def main() -> None:
    module = AnsibleModule(METRIC.argument_spec, supports_check_mode=True)
    result = METRIC.make(module.params, check_mode=module.check_mode)
    if result.get("failed"):
        module.fail_json(msg=result["msg"])
    module.exit_json(**result)


if __name__ == "__main__":
    main()
