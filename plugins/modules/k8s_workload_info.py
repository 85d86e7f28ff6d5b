#!/usr/bin/python
# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: k8s_workload_info
short_description: Reads what is wrong with the workloads of a Kubernetes namespace, in one call
version_added: 0.3.0
description:
  - Reads Deployments with their releases, pods, Services and who serves them, warnings, and the logs of the pods behind the
    Services, side by side.
  - What could not be read is a gap, with the reason; nothing else is left out because of it.
  - Of logs it returns counts and error templates in which ids, numbers and secrets are masked, never a line as it was.
notes:
  - M(kubernetes.core.k8s_info) asks for one kind of object a task and discovers all API groups first, M(kubernetes.core.k8s_log)
    reads the first matching pod only, without a beginning or a limit; so a diagnosis would take a task for each kind and pod.
author:
  - The sre.runbooks contributors (@sre-runbooks)
extends_documentation_fragment:
  - sre.runbooks.attributes
  - sre.runbooks.attributes.info_module
  - sre.runbooks.kubernetes
options:
  services:
    description: The Services that users depend on; all that have a selector by default. Their pods' logs are read.
    type: list
    elements: str
    default: []
  secrets:
    description:
      - Secrets of which the keys' names and lengths are told. Their values are read and not returned.
    type: list
    elements: str
    default: []
    version_added: 0.3.0
  features:
    description:
      - What can be switched off by a key of a ConfigMap. It is told what the key holds, where that is short and does not look
        like a secret, and when it was written.
    type: list
    elements: dict
    default: []
    version_added: 0.3.0
    suboptions:
      configmap:
        description: The ConfigMap's name.
        type: str
        required: true
      key:
        description: The key.
        type: str
        required: true
      off_value:
        description: What it holds where the feature is off, in quotes; returned as it is.
        type: raw
        required: true
  pool:
    description: The key that says how many connections to its database each pod may have.
    type: dict
    version_added: 0.3.0
    suboptions:
      configmap:
        description: The ConfigMap's name.
        type: str
        required: true
      key:
        description: The key.
        type: str
        required: true
      connections_max:
        description: How many connections all pods together may have. It is not used here; the judgement does.
        type: int
        required: true
  log_seconds:
    description: How far back logs are read, in seconds.
    type: int
    default: 1800
  log_bytes_max:
    description: How much of each container's log is read, in bytes. Of one that has more, that is a gap.
    type: int
    default: 5242880
  log_bytes_max_all:
    description: How much of all containers' logs together, in bytes. Each has an equal share; more is a gap.
    type: int
    default: 25165824
    version_added: 0.3.0
  seconds_max:
    description: How long everything may take, in seconds.
    type: float
    default: 15.0
"""

EXAMPLES = r"""
- name: Look at the workloads behind a Service
  sre.runbooks.k8s_workload_info:
    kubeconfig: /etc/runbooks/reader.kubeconfig
    namespace: custody
    services: [api-server]
  register: look
"""

RETURN = r"""
cluster:
  description:
    - What was read. Times are the server's (RFC 3339, UTC).
  returned: success
  type: dict
  contains:
    namespace:
      description: The namespace.
      type: str
      returned: always
    at:
      description: The API server's clock; empty where it said none.
      type: str
      returned: always
    log_seconds:
      description: How far back logs were read, in seconds.
      type: int
      returned: always
    workloads:
      description: Deployments, each with its releases, newest revision first.
      type: list
      elements: dict
      returned: always
    pods:
      description: Pods, each with its release, and why it is not ready.
      type: list
      elements: dict
      returned: always
    services:
      description: Services, the pods that they select, and the ready ones.
      type: list
      elements: dict
      returned: always
    watched:
      description: The names of the Services that users depend on.
      type: list
      elements: str
      returned: always
    secrets:
      description: Of each Secret that was asked for its keys with their length in bytes, when its data was last written, and who
        else writes it.
      type: list
      elements: dict
      returned: always
    configs:
      description:
        - Of each key that was asked for its value, when it was written at the latest, whether by itself, when anything beside it
          was, and who else writes it.
      type: list
      elements: dict
      returned: always
    pools:
      description: The same of the key that says how many connections each pod may have.
      type: list
      elements: dict
      returned: always
    logs:
      description:
        - Of each container behind them, requests and answers with 5xx by path and minute, whose requests failed or were
          refused (C(tenants), C(addresses)), and the templates of errors.
        - C(cut) says that only the newest part was read.
      type: list
      elements: dict
      returned: always
    warnings:
      description: The newest warning events.
      type: list
      elements: dict
      returned: always
    gaps:
      description: What could not be read, and why.
      type: list
      elements: dict
      returned: always
"""

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.client import KUBERNETES_IMPORT_ERROR
from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.triage import argument_spec, triage_from


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    if KUBERNETES_IMPORT_ERROR:
        module.fail_json(msg=missing_required_lib("kubernetes"), exception=KUBERNETES_IMPORT_ERROR)
    module.exit_json(changed=False, cluster=triage_from(module.params))


if __name__ == "__main__":
    main()
