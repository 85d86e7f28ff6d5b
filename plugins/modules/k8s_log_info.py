#!/usr/bin/python
# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: k8s_log_info
short_description: Tells what the logs of the pods of a selector say, all together
version_added: 0.3.0
description:
  - Reads the logs of all containers of the pods, side by side and with bounded memory, those from before a restart too, and tells
    requests and their failures by path, tenant and address, and the kinds of errors.
  - Of the lines only counts and templates are returned; ids, numbers, addresses and secrets in them are masked.
notes:
  - M(kubernetes.core.k8s_log) returns the text of one pod; C(kubectl logs -l) the last ten lines of each.
  - Formats and what a request is are described in docs/runbooks/error-rate.md.
author:
  - The sre.runbooks contributors (@sre-runbooks)
extends_documentation_fragment:
  - sre.runbooks.attributes
  - sre.runbooks.kubernetes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  idempotent:
    support: full
options:
  selector:
    description: Which pods, by their labels, as C(kubectl -l) has it. One that matches none is an error.
    type: str
    required: true
  since_seconds:
    description: How far back, in seconds.
    type: int
    default: 1800
  bytes_max:
    description: How much of each container's log is read at most, in bytes. Of one that has more, the newest part; that is a gap.
    type: int
    default: 5242880
  bytes_max_all:
    description: How much of all of them together, in bytes. Each has an equal share.
    type: int
    default: 67108864
  previous:
    description: Whether the logs from before a container's last restart are read too.
    type: bool
    default: true
  seconds_max:
    description: How long everything may take, in seconds. What did not come is a gap.
    type: float
    default: 15.0
"""

EXAMPLES = r"""
- name: See which requests fail, and what the errors say
  sre.runbooks.k8s_log_info:
    namespace: custody
    selector: app=api-server
    since_seconds: 600
  register: told
"""

RETURN = r"""
pods:
  description: The names of the pods.
  returned: success
  type: list
  elements: str
  sample: ["api-server-7d9c-x2x4z"]
sources:
  description: What was read, as pod and container.
  returned: success
  type: list
  elements: str
lines:
  description: How many lines were read.
  returned: success
  type: int
requests:
  description: How many requests they tell of.
  returned: success
  type: int
server_errors:
  description: How many of these were answered with 5xx.
  returned: success
  type: int
error_ratio:
  description: Their share of all requests, from 0 to 1.
  returned: success
  type: float
levels:
  description: Lines by level, in lower case.
  returned: success
  type: dict
  sample: {"info": 812, "error": 9}
errors:
  description: The kinds of error lines with most lines; C(text), C(count), C(first), C(last) (RFC 3339, UTC), C(sources).
  returned: success
  type: list
  elements: dict
endpoints:
  description:
    - The paths with most failures; C(path), C(requests), C(server_errors), C(error_ratio), C(refused) (401, 403, 429),
      C(first_error), C(last_error).
    - C(tenants) has requests and 5xx by tenant, C(addresses) requests, refusals and those that were well, where any was.
  returned: success
  type: list
  elements: dict
gaps:
  description: What could not be read, or not all of it, and why.
  returned: success
  type: list
  elements: dict
"""

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.client import KUBERNETES_IMPORT_ERROR
from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.errors import KubernetesError
from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.log_info import argument_spec, logs_from
from ansible_collections.sre.runbooks.plugins.module_utils._within import LateError


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    if KUBERNETES_IMPORT_ERROR:
        module.fail_json(msg=missing_required_lib("kubernetes"), exception=KUBERNETES_IMPORT_ERROR)
    try:
        found = logs_from(module.params)
    except (KubernetesError, LateError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, **found)


if __name__ == "__main__":
    main()
