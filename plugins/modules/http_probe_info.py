#!/usr/bin/python
# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: http_probe_info
short_description: Measures URLs as a user would
version_added: 0.1.0
description:
  - Requests all URLs side by side, several times each, and returns failures with their reasons and latency percentiles.
  - Can go on until a number of good rounds came in a row, within a time. One good answer is no recovery.
  - Redirects are not followed; a redirect is an answer with a status that is wanted or not.
notes:
  - M(ansible.builtin.uri) makes one request to one URL a task and measures no latency.
author:
  - The sre.runbooks contributors (@sre-runbooks)
extends_documentation_fragment:
  - sre.runbooks.attributes
  - sre.runbooks.attributes.info_module
options:
  urls:
    description:
      - The URLs. An empty list is allowed and proves nothing (RV(settled) is V(false)).
      - An address alone is read. C(POST https://…) (or C(PUT)) writes, with an empty body, to an endpoint that the application
        has for it, so that it shows whether writes work; in check mode it is not sent, and its entry has no requests.
    type: list
    elements: str
    required: true
  requests:
    description: How many requests a round makes to each URL.
    type: int
    default: 10
  concurrency:
    description: How many of them run at the same time.
    type: int
    default: 5
  timeout:
    description: How long one request may take, in seconds.
    type: float
    default: 2.0
  statuses:
    description: The statuses of a good answer.
    type: list
    elements: int
    default: [200]
  body_pattern:
    description: A regular expression that the body of a good answer contains, in its first 16 KiB.
    type: str
  p95_ms_max:
    description: The 95th percentile that a good round does not exceed, in milliseconds.
    type: float
  consecutive:
    description: How many good rounds must come in a row.
    type: int
    default: 1
  within:
    description: How long to go on trying for them, in seconds. V(0) makes one round.
    type: float
    default: 0.0
  interval:
    description: The pause between rounds, in seconds.
    type: float
    default: 1.0
  validate_certs:
    description: Whether certificates are verified.
    type: bool
    default: true
  ca_path:
    description: A file of certificates of authorities to trust instead of the system's.
    type: path
"""

EXAMPLES = r"""
- name: Prove that the API is back
  sre.runbooks.http_probe_info:
    urls: ["https://api.example.org/health", "https://api.example.org/keys?tenant=7"]
    p95_ms_max: 500
    consecutive: 3
    within: 60
  register: probe
  failed_when: not probe.settled
"""

RETURN = r"""
probes:
  description: The last round, one entry for each URL. Failed requests count in the percentiles.
  returned: success
  type: list
  elements: dict
  sample:
    - {url: "https://api.example.org/health", method: GET, requests: 10, failures: 2, reasons: {HTTP 503: 2}, p50_ms: 12.1,
       p95_ms: 2000.4, max_ms: 2000.9, good: false}
settled:
  description: Whether enough good rounds came in a row.
  returned: success
  type: bool
rounds:
  description: How many rounds were made.
  returned: success
  type: int
in_a_row:
  description: How many of the last rounds were good.
  returned: success
  type: int
seconds:
  description: How long it took, in seconds.
  returned: success
  type: float
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.sre.runbooks.plugins.module_utils._probe.probe import argument_spec, probe_from


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    try:
        result = probe_from(module.params, check_mode=module.check_mode)
    except ValueError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
