#!/usr/bin/python
# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: k8s_secret_key
short_description: Puts a random value into one key of a Secret, or takes it back, and restarts who uses it
version_added: 0.3.0
description:
  - Generates a value where a key is missing or too short, writes that key alone, and restarts a Deployment, so that its pods get
    it.
  - Neither the new value nor the old one is shown, returned or recorded. What was replaced stays in the Secret, in the key with
    C(.before) behind its name, until it is taken back or removed by hand; where all keys become variables or files, so does this.
notes:
  - M(kubernetes.core.k8s) would need the value as an argument, replaces what it is given, and cannot say that a key must still be
    as it was looked at.
  - A Secret that another tool writes (External Secrets, Sealed Secrets, Argo CD, Flux) is refused, as it would be written back.
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
  secret:
    description: The Secret's name.
    type: str
    required: true
  key:
    description: The key.
    type: str
    required: true
  uid:
    description: The uid that the Secret must have.
    type: str
  state:
    description:
      - V(present) puts 48 random bytes there, as base64, unless there is a value of O(bytes_min) bytes or more.
      - V(absent) puts back what was there before, if the value is the one with the O(digest).
    type: str
    choices: [present, absent]
    default: present
  bytes_min:
    description: How long a value has to be, in bytes.
    type: int
    default: 32
  digest:
    description: Of the value that is taken back, as RV(made) has it.
    type: str
  kept:
    description: Of the value that is put back, as RV(made) has it; empty where there was none.
    type: str
    default: ''
  restart:
    description: The Deployment that is restarted afterwards; none by default.
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
- name: Give the application the key that it signs sessions with
  sre.runbooks.k8s_secret_key:
    namespace: custody
    secret: api-secrets
    key: JWT_SECRET
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
      description: The Secret's uid.
      type: str
      returned: where something was written
    kept:
      description: A MAC of the value that was replaced, under the new one; empty where there was none.
      type: str
      returned: where something was written
    digest:
      description: The SHA-256 of the value; of 384 random bits it gives nothing away.
      type: str
      returned: where something was written
"""

import datetime
import secrets
import time

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.client import (
    KUBERNETES_IMPORT_ERROR,
    Client,
    access_from,
    connect,
)
from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.client import argument_spec as access_spec
from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.errors import KubernetesError
from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.rollout import Rollout, Target
from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.secrets import Key, SecretKey
from ansible_collections.sre.runbooks.plugins.module_utils._spec import Spec
from ansible_collections.sre.runbooks.plugins.module_utils._within import LateError, within

ACT_SECONDS = 60.0
ARGUMENT_SPEC: Spec = {
    "secret": {"type": "str", "required": True, "no_log": False},
    "key": {"type": "str", "required": True, "no_log": False},
    "uid": {"type": "str"},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "bytes_min": {"type": "int", "default": 32},
    "digest": {"type": "str"},
    "kept": {"type": "str", "default": ""},
    "restart": {"type": "str"},
    "restart_uid": {"type": "str"},
    "wait_seconds": {"type": "float", "default": 120.0},
}


class Change:
    """What is done, in order: the key, the restart, the wait. ``done`` grows with it."""

    def __init__(self, module: AnsibleModule, client: Client) -> None:
        self.params, self.dry_run = module.params, bool(module.check_mode)
        self.keys, self.rollout = SecretKey(client, secrets.token_bytes), Rollout(client, time.monotonic, time.sleep)
        self.done: list[str] = []

    def write(self) -> None:
        params = self.params
        if params["restart"]:  # what cannot be restarted afterwards is found out before anything is written
            self.rollout.refuse_paused(Target(params["namespace"], params["restart"], params["restart_uid"]))
        key = Key(params["namespace"], params["secret"], params["key"], params["uid"])
        if params["state"] == "present":
            said = self.keys.generate(key, params["bytes_min"], dry_run=self.dry_run)
        else:
            said = self.keys.take_back(key, params["digest"], params["kept"], dry_run=self.dry_run)
        self.done += [said] if said else []

    def restart(self) -> None:
        params = self.params
        if not (params["restart"] and self.done):
            return
        target = Target(params["namespace"], params["restart"], params["restart_uid"])
        stamp = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        outcome = self.rollout.restart(target, stamp, dry_run=self.dry_run)
        self.done += outcome.done
        if params["wait_seconds"] and not self.dry_run:
            self.rollout.wait(target, params["wait_seconds"], outcome.deployment)


def main() -> None:
    needs = [("state", "absent", ["digest"])]
    module = AnsibleModule(argument_spec={**access_spec(), **ARGUMENT_SPEC}, required_if=needs, supports_check_mode=True)
    if KUBERNETES_IMPORT_ERROR:
        module.fail_json(msg=missing_required_lib("kubernetes"), exception=KUBERNETES_IMPORT_ERROR)
    try:
        client = within(ACT_SECONDS, lambda: connect(access_from(module.params)))
    except (KubernetesError, LateError) as error:
        module.fail_json(msg=str(error))
    change = Change(module, client)
    try:
        within(ACT_SECONDS, change.write)
        within(ACT_SECONDS + module.params["wait_seconds"], change.restart)
    except Exception as error:  # what may have been stored is told as changed, whatever failed, so that it can be undone
        known = isinstance(error, (KubernetesError, LateError))
        said = "; ".join([*change.done, str(error) if known else f"{type(error).__name__} in an answer of the API server"])
        module.fail_json(msg=said, changed=client.wrote, done=change.done, made=change.keys.made)
    module.exit_json(changed=bool(change.done), done=change.done, made=change.keys.made)


if __name__ == "__main__":
    main()
