# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Another image for one container of a Deployment: a hotfix (private to the collection).

An image is named by its digest: a tag may be another image by the time that a pod pulls it, and it may not be there.
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.client import JSON_PATCH
from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.errors import KubernetesError
from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.rollout import Outcome, Rollout, Target, hash_of

Json = dict[str, t.Any]
DIGEST = re.compile(r"[\w.:/-]{1,255}@sha256:[0-9a-f]{64}")
CAUSE = "kubernetes.io/change-cause"


def set_image(rollout: Rollout, target: Target, image: str, container: str | None, *, force: bool, dry_run: bool) -> Outcome:
    """Gives a container another image. Raises KubernetesError, having changed nothing, for an image without a digest, a container
    that is not there or not the only one, and a Deployment that is paused, kept by another tool, or another one by now."""
    if not DIGEST.fullmatch(image):
        raise KubernetesError(
            f"{target.said}: a hotfix is named by its digest (name@sha256:…), not {image[:120]!r}: a tag may be another image by "
            "the time that it is pulled. Nothing was changed"
        )
    deployment = rollout.observed(target)
    releases = rollout.releases(target, deployment)
    place, now = _place(target, deployment, container)
    template: Json = deployment["spec"]["template"]
    if now["image"] == image:
        return Outcome(False, (f"{target.said} has this image already",), template, template, deployment)
    rollout.refuse(target, deployment, releases, force=force)
    meta = deployment["metadata"]
    rollout.made = {"uid": meta["uid"], "from_hash": hash_of(releases[0]) if releases else "", "to_hash": ""}
    annotations = {**(meta.get("annotations") or {}), CAUSE: f"hotfix {image}"}
    patch = [
        {"op": "test", "path": "/metadata/uid", "value": meta["uid"]},
        {"op": "test", "path": "/metadata/resourceVersion", "value": meta["resourceVersion"]},
        {"op": "replace", "path": f"/spec/template/spec/containers/{place}/image", "value": image},
        {"op": "add", "path": "/metadata/annotations", "value": annotations},
    ]
    after = rollout.client.patch(target.path, patch, JSON_PATCH, dry_run=dry_run)
    said = f"gave the container {now['name']} of {target.said} the image {image}; it had {now['image']}"
    return Outcome(True, (said,), template, after["spec"]["template"], after)


def _place(target: Target, deployment: Json, container: str | None) -> tuple[int, Json]:
    """Where the container stands, and itself."""
    every = deployment["spec"]["template"]["spec"]["containers"]
    found = [(number, one) for number, one in enumerate(every) if container in (None, one["name"])]
    if len(found) != 1:
        names = ", ".join(one["name"] for one in every)
        wanted = f"no container {container!r}" if container else "more than one container: name it"
        raise KubernetesError(f"{target.said} has {wanted}; there are: {names}. Nothing was changed")
    return found[0]
