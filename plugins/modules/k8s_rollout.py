#!/usr/bin/python
# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: k8s_rollout
short_description: Rolls a Deployment back, restarts, pauses or resumes it, and waits until it is well
version_added: 0.3.0
description:
  - Does what C(kubectl rollout) does, for a Deployment that is named by its uid and the release that it runs.
  - Waiting ends at once, with each failing pod's reason, where the new pods will not come up by themselves.
notes:
  - M(kubernetes.core.k8s_rollback) has no target revision, does not wait, needs the revision right before the present one
    (there are gaps after each rollback), and replaces the Deployment's annotations; there is no restart in that collection.
  - What another tool keeps (Argo CD, Flux) is refused with the command that suspends it, since it would be rolled forward again.
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
    support: full
    details:
      - Shows names, images, ports and resources of the pod template, and neither values nor arguments.
  idempotent:
    support: partial
    details:
      - A restart makes new pods each time.
options:
  name:
    description: The Deployment's name.
    type: str
    required: true
  uid:
    description: The uid that it must have.
    type: str
  from_hash:
    description: The pod template's hash of the release that it must run (the label C(pod-template-hash)).
    type: str
  state:
    description:
      - V(undone) goes back to an earlier release, V(restarted) makes new pods of the same one.
      - V(imaged) gives a container the O(image), a hotfix, and takes that back where its pods do not come up.
      - V(paused) and V(resumed) keep changes from being rolled out, or let them. V(complete) only waits.
    type: str
    required: true
    choices: [undone, restarted, imaged, paused, resumed, complete]
  image:
    description: The image, by its digest (C(name@sha256:…)), for O(state=imaged).
    type: str
  container:
    description: The container that gets it; where there is only one, that.
    type: str
  to_revision:
    description: The revision to go back to; V(0) is the one before.
    type: int
    default: 0
  to_hash:
    description: The release to go back to, by its pod template's hash, which stays the same when its revision changes.
    type: str
  force:
    description: Whether to go on although another tool keeps the Deployment and may write it back.
    type: bool
    default: false
  wait_seconds:
    description: How long to wait until all pods are of the new release and available, in seconds. V(0) does not wait.
    type: float
    default: 120.0
"""

EXAMPLES = r"""
- name: Go back to the release before
  sre.runbooks.k8s_rollout:
    namespace: custody
    name: api-server
    state: undone

- name: Roll out a hotfix
  sre.runbooks.k8s_rollout:
    namespace: custody
    name: api-server
    state: imaged
    image: registry.example.org/api-server@sha256:2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae
"""

RETURN = r"""
done:
  description: What was done (in check mode, would be), in words.
  returned: success
  type: list
  elements: str
  sample: ["rolled Deployment custody/api-server back from revision 2 (api:1.5.0) to revision 1 (api:1.4.0)"]
made:
  description: By what an undo finds what was done. Empty where nothing was rolled back.
  returned: always
  type: dict
  contains:
    uid:
      description: The Deployment's uid.
      type: str
      returned: where something was rolled back
    from_hash:
      description: The pod template's hash of the release that it ran.
      type: str
      returned: where something was rolled back
    to_hash:
      description: The pod template's hash of the release that it went back to.
      type: str
      returned: where something was rolled back
"""

import datetime
import time
import typing as t

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible.module_utils.common.yaml import yaml_dump
from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.client import (
    KUBERNETES_IMPORT_ERROR,
    access_from,
    connect,
)
from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.client import argument_spec as access_spec
from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.errors import KubernetesError
from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.images import set_image
from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.rollout import Outcome, Rollout, Target, shown
from ansible_collections.sre.runbooks.plugins.module_utils._spec import Spec
from ansible_collections.sre.runbooks.plugins.module_utils._within import LateError, within

ACT_SECONDS = 60.0
WAITING = ("undone", "restarted", "imaged", "complete")
STATES = ["undone", "restarted", "imaged", "paused", "resumed", "complete"]
ARGUMENT_SPEC: Spec = {
    "name": {"type": "str", "required": True},
    "uid": {"type": "str"},
    "from_hash": {"type": "str"},
    "state": {"type": "str", "required": True, "choices": STATES},
    "to_revision": {"type": "int", "default": 0},
    "to_hash": {"type": "str"},
    "image": {"type": "str"},
    "container": {"type": "str"},
    "force": {"type": "bool", "default": False},
    "wait_seconds": {"type": "float", "default": 120.0},
}


def change(rollout: Rollout, target: Target, params: t.Mapping[str, t.Any], *, dry_run: bool) -> Outcome:
    state = params["state"]
    if state == "undone":
        wanted = {"to_revision": params["to_revision"], "to_hash": params["to_hash"], "force": params["force"]}
        return rollout.undo(target, **wanted, dry_run=dry_run)
    if state == "imaged":
        return set_image(rollout, target, params["image"], params["container"], force=params["force"], dry_run=dry_run)
    if state == "restarted":
        return rollout.restart(target, datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"), dry_run=dry_run)
    if state == "complete":
        return Outcome(False, (), {}, {}, rollout.read(target))
    return rollout.pause(target, paused=state == "paused", dry_run=dry_run)


def run(module: AnsibleModule) -> dict[str, t.Any]:
    params = module.params
    if params["to_revision"] < 0:
        raise KubernetesError(f"to_revision is 0 (the one before) or a revision, not {params['to_revision']}")
    client = within(ACT_SECONDS, lambda: connect(access_from(params)))
    rollout = Rollout(client, time.monotonic, time.sleep)
    target = Target(params["namespace"], params["name"], params["uid"], params["from_hash"])
    done: tuple[str, ...] = ()
    try:
        outcome = within(ACT_SECONDS, lambda: change(rollout, target, params, dry_run=module.check_mode))
        done = outcome.done
        if params["wait_seconds"] and params["state"] in WAITING and not module.check_mode:
            changed = outcome.deployment if outcome.changed else None
            within(ACT_SECONDS + params["wait_seconds"], lambda: rollout.wait(target, params["wait_seconds"], changed))
    except (KubernetesError, LateError) as error:  # what may have been stored is told as changed, so that it can be undone
        module.fail_json(msg="; ".join([*done, str(error)]), changed=client.wrote, done=list(done), made=rollout.made)
    diff = {"before": yaml_dump(shown(outcome.before)), "after": yaml_dump(shown(outcome.after))}
    return {"changed": outcome.changed, "done": list(outcome.done), "made": rollout.made, "diff": diff}


def main() -> None:
    needs = [("state", "imaged", ["image"])]
    module = AnsibleModule(argument_spec={**access_spec(), **ARGUMENT_SPEC}, required_if=needs, supports_check_mode=True)
    if KUBERNETES_IMPORT_ERROR:
        module.fail_json(msg=missing_required_lib("kubernetes"), exception=KUBERNETES_IMPORT_ERROR)
    try:
        result = run(module)
    except (KubernetesError, LateError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
