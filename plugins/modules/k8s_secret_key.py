#!/usr/bin/python
# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: k8s_secret_key
short_description: Puts a random value into one key of a Secret, rotates it, or takes it back, and restarts who uses it
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
      - V(rotated) puts 48 random bytes in place of a value that is well, which goes to the key O(previous), so that sessions
        live on. Refused where the Deployment O(restart) does not take O(previous), or that is there still, where the value is a
        document (PEM, JSON), and where pods of others take the Secret.
      - V(replaced) does the same and keeps nothing, also not what O(previous) holds; every session ends.
      - V(retired) takes O(previous) away, O(lifetime_seconds) after the last pod could sign with it.
    type: str
    choices: [present, absent, rotated, replaced, retired]
    default: present
  previous:
    description: The key in which the application looks for the value from before, of which it accepts what it signed.
    type: str
  any_text:
    description: Whether any random text will do as the value (HMAC). Needed for O(state=rotated) and O(state=replaced).
    type: bool
    default: false
  lifetime_seconds:
    description: How long what the old value signed may live, with the clocks' difference, in seconds.
    type: float
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

- name: Rotate it, and go on accepting what the old one signed
  sre.runbooks.k8s_secret_key:
    namespace: custody
    secret: api-secrets
    key: JWT_SECRET
    previous: JWT_SECRET_PREVIOUS
    any_text: true
    state: rotated
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

import secrets
import typing as t

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.client import KUBERNETES_IMPORT_ERROR, Client
from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.client import argument_spec as access_spec
from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.restarts import carry_out, restart_spec
from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.rotation import Plan, Rotation
from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.secrets import Key, SecretKey
from ansible_collections.sre.runbooks.plugins.module_utils._spec import Spec

ARGUMENT_SPEC: Spec = {
    "secret": {"type": "str", "required": True, "no_log": False},
    "key": {"type": "str", "required": True, "no_log": False},
    "uid": {"type": "str"},
    "state": {"type": "str", "choices": ["present", "absent", "rotated", "replaced", "retired"], "default": "present"},
    "previous": {"type": "str", "no_log": False},
    "any_text": {"type": "bool", "default": False},
    "lifetime_seconds": {"type": "float"},
    "bytes_min": {"type": "int", "default": 32},
    "digest": {"type": "str"},
    "kept": {"type": "str", "default": ""},
    **restart_spec(),
}


class Write:
    """Puts a value there, changes it, or takes it back."""

    def __init__(self, params: t.Mapping[str, t.Any], client: Client) -> None:
        self.params, self.keys = params, SecretKey(client, secrets.token_bytes)
        self.rotation = Rotation(client, self.keys, secrets.token_bytes)
        self.key = Key(params["namespace"], params["secret"], params["key"], params["uid"])
        self.made, self.ours_since = self.keys.made, ""

    def write(self, *, dry_run: bool) -> str:
        params, state = self.params, self.params["state"]
        if state == "present":
            return self.keys.generate(self.key, params["bytes_min"], dry_run=dry_run)
        if state in ("rotated", "replaced", "retired"):
            plan = Plan(self.key, params["previous"], params["restart"], params["bytes_min"], params["any_text"])
            return self._rotate(plan, dry_run=dry_run)
        told = {"digest": self.params["digest"], "kept": self.params["kept"], "previous": self.params["previous"]}
        return self.keys.take_back(self.key, **told, dry_run=dry_run)

    def _rotate(self, plan: Plan, *, dry_run: bool) -> str:
        if self.params["state"] != "retired":
            return self.rotation.rotate(plan, overlap=self.params["state"] == "rotated", dry_run=dry_run)
        said = self.rotation.retire(plan, self.params["lifetime_seconds"], dry_run=dry_run)
        self.ours_since = self.rotation.ours_since
        return said


def main() -> None:
    both = ["previous", "restart"]
    needs = [("state", "absent", ["digest"]), ("state", "rotated", both), ("state", "replaced", both),
             ("state", "retired", [*both, "lifetime_seconds"])]  # fmt: skip
    module = AnsibleModule(argument_spec={**access_spec(), **ARGUMENT_SPEC}, required_if=needs, supports_check_mode=True)
    if KUBERNETES_IMPORT_ERROR:
        module.fail_json(msg=missing_required_lib("kubernetes"), exception=KUBERNETES_IMPORT_ERROR)
    result = carry_out(module.params, lambda client: Write(module.params, client), dry_run=bool(module.check_mode))
    if "msg" in result:
        module.fail_json(**result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
