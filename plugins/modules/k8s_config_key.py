#!/usr/bin/python
# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: k8s_config_key
short_description: Puts another value into one key of a ConfigMap, and restarts who takes it
version_added: 0.3.0
description:
  - Writes one key of a ConfigMap, only while it holds what was looked at, and restarts a Deployment, so that its pods get it.
  - Where O(value) is there already, put by this collection, and the Deployment was not restarted since, it is restarted now.
  - Called with O(value) and O(was) changed for each other, and O(own), it takes itself back.
notes:
  - M(kubernetes.core.k8s) writes whatever is there meanwhile, and cannot say that a key must still hold what was looked at.
  - A ConfigMap that another tool writes (Argo CD, Flux) is refused, as it would be written back.
  - Values are shown. What is secret belongs into a Secret.
author:
  - The sre.runbooks contributors (@sre-runbooks)
extends_documentation_fragment:
  - sre.runbooks.attributes
  - sre.runbooks.kubernetes
attributes:
  check_mode:
    support: full
    details:
      - The server checks the change and stores nothing (a dry run).
  diff_mode:
    support: none
  idempotent:
    support: full
options:
  configmap:
    description: The ConfigMap's name.
    type: str
    required: true
  key:
    description: The key.
    type: str
    required: true
  uid:
    description: The uid that the ConfigMap must have.
    type: str
  value:
    description: What is put there.
    type: str
    required: true
  was:
    description: What must be there before. Where it is anything else than this or O(value), nothing is written.
    type: str
    required: true
  own:
    description: Write only where this collection wrote O(was), by the server's books (C(managedFields)), and nobody since.
    type: bool
    default: false
  at:
    description: With O(own), when it was written, as RV(made) has it; empty where that is not known.
    type: str
    default: ''
  restart:
    description:
      - The Deployment that is restarted afterwards; none by default.
      - Pods that take the key as a file get it by themselves, within a minute or two.
    type: str
  restart_uid:
    description: The uid that the Deployment must have.
    type: str
  wait_seconds:
    description: How long to wait until all of its pods are new and available, in seconds. V(0) does not wait.
    type: float
    default: 120.0
"""

EXAMPLES = r"""
- name: Switch a feature off
  sre.runbooks.k8s_config_key:
    namespace: custody
    configmap: api-config
    key: FEATURE_BULK_SIGN
    value: "false"
    was: "true"
    restart: api-server
"""

RETURN = r"""
done:
  description: What was done (in check mode, would be), in words.
  returned: always
  type: list
  elements: str
  sample: ["restarted the pods of Deployment custody/api-server"]
made:
  description: By what an undo finds what was done. Empty where nothing was written.
  returned: always
  type: dict
  contains:
    uid:
      description: The ConfigMap's uid.
      type: str
      returned: where something was written
    at:
      description: When it was written, by the server's books (RFC 3339, UTC).
      type: str
      returned: where something was written, and its answer came
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.client import KUBERNETES_IMPORT_ERROR, Client
from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.client import argument_spec as access_spec
from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.configs import ConfigKey, ConfigWriter, Own
from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.restarts import carry_out, restart_spec
from ansible_collections.sre.runbooks.plugins.module_utils._spec import Spec

ARGUMENT_SPEC: Spec = {
    "configmap": {"type": "str", "required": True},
    "key": {"type": "str", "required": True, "no_log": False},
    "uid": {"type": "str"},
    "value": {"type": "str", "required": True},
    "was": {"type": "str", "required": True},
    "own": {"type": "bool", "default": False},
    "at": {"type": "str", "default": ""},
    **restart_spec(),
}


def writer(params: t.Mapping[str, t.Any], client: Client) -> ConfigWriter:
    key = ConfigKey(params["namespace"], params["configmap"], params["key"], params["uid"])
    return ConfigWriter(client, key, params["value"], params["was"], Own(params["at"]) if params["own"] else None)


def main() -> None:
    module = AnsibleModule(argument_spec={**access_spec(), **ARGUMENT_SPEC}, supports_check_mode=True)
    if KUBERNETES_IMPORT_ERROR:
        module.fail_json(msg=missing_required_lib("kubernetes"), exception=KUBERNETES_IMPORT_ERROR)
    result = carry_out(module.params, lambda client: writer(module.params, client), dry_run=bool(module.check_mode))
    if "msg" in result:
        module.fail_json(**result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
