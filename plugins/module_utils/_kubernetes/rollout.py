# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rolling a Deployment back, restarting, pausing it, and waiting for the new pods: as kubectl rollout does (private).

Differences: a workload is named by its uid and its present revision, so that nothing is done to another one or twice; the server
itself compares them (JSON Patch's test); waiting ends at once where the new pods will not come up by themselves.
Source: kubectl's polymorphichelpers/rollback.go and rollout_status.go, RFC 6902
"""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.client import JSON_PATCH, STRATEGIC_PATCH, Client
from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.errors import KubernetesError, RefusedError
from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.owners import owner_of
from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.pods import HASH, is_owned, pod_of
from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.reasons import FAILING
from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.templates import RESTARTED
from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.workloads import releases_of, revision_of
from ansible_collections.sre.runbooks.plugins.module_utils._logs.lines import without_secrets

Json = dict[str, t.Any]
# What stays the Deployment's own; everything else goes back to what the release's ReplicaSet has kept.
KEPT = (
    "kubectl.kubernetes.io/last-applied-configuration",
    "deployment.kubernetes.io/revision",
    "deployment.kubernetes.io/revision-history",
    "deployment.kubernetes.io/desired-replicas",
    "deployment.kubernetes.io/max-replicas",
    "deprecated.deployment.rollback.to",
)
TRIES = 3
INTERVAL = 0.5
OBSERVED_SECONDS = 10.0
# One look may see a pull that is only just tried again.
FAILING_LOOKS = 3
CONFLICTS = (409, 422)
# What asking again does not change.
FINAL = (401, 403, 404)
LONGEST_REFUSAL = 200


@dataclasses.dataclass(frozen=True)
class Target:
    """One Deployment. ``uid`` and ``from_hash``: what it must be and run, or nothing is done."""

    namespace: str
    name: str
    uid: str | None = None
    from_hash: str | None = None

    @property
    def path(self) -> str:
        return f"/apis/apps/v1/namespaces/{self.namespace}/deployments/{self.name}"

    @property
    def said(self) -> str:
        return f"Deployment {self.namespace}/{self.name}"


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What was done: the sentences, the pod templates' differences, and the Deployment after it."""

    changed: bool
    done: tuple[str, ...]
    before: Json
    after: Json
    deployment: Json


class _OvertakenError(KubernetesError):
    """Somebody else changed it meanwhile."""


class Rollout:
    """The Deployments of one cluster. ``clock`` in seconds, ``sleep`` waits."""

    def __init__(self, client: Client, clock: t.Callable[[], float], sleep: t.Callable[[float], None]) -> None:
        self.client, self._clock, self._sleep = client, clock, sleep
        # By what an undo finds what was done, known before it is: ``uid``, ``from_hash``, ``to_hash``.
        self.made: Json = {}

    def read(self, target: Target) -> Json:
        """The Deployment. Raises KubernetesError where it is not the one that was meant."""
        found = self.client.get(target.path)
        if not all(isinstance(found.get(part), dict) for part in ("metadata", "spec")) or "template" not in found["spec"]:
            raise KubernetesError(f"{target.said}: the API server's answer is no Deployment")
        if target.uid and found["metadata"]["uid"] != target.uid:
            raise KubernetesError(f"{target.said} is another one than was looked at (its uid differs): nothing was changed")
        return found

    def releases(self, target: Target, deployment: Json) -> list[Json]:
        """Its ReplicaSets, newest revision first."""
        return releases_of(deployment, self.client.items(f"/apis/apps/v1/namespaces/{target.namespace}/replicasets"))

    def undo(self, target: Target, *, to_revision: int, to_hash: str | None, force: bool, dry_run: bool) -> Outcome:
        """Goes back to a release: a revision, or with 0 the one before, or the one with this template's hash."""
        for attempt in range(TRIES):
            deployment = self.observed(target)
            releases = self.releases(target, deployment)
            wanted = chosen(target, releases, to_revision, to_hash)
            template, annotations = rolled_back(deployment, wanted)
            before = deployment["spec"]["template"]
            if before != template or to_hash is None:
                self.refuse(target, deployment, releases, force=force)
            if before == template:
                already = f"{target.said} has the template of revision {revision_of(wanted)} already"
                return Outcome(False, (already,), before, before, deployment)
            now = hash_of(releases[0]) if releases else ""
            self.made = {"uid": deployment["metadata"]["uid"], "from_hash": now, "to_hash": hash_of(wanted)}
            patch = [
                {"op": "test", "path": "/metadata/uid", "value": deployment["metadata"]["uid"]},
                {"op": "test", "path": "/metadata/resourceVersion", "value": deployment["metadata"]["resourceVersion"]},
                {"op": "replace", "path": "/spec/template", "value": template},
                {"op": "add", "path": "/metadata/annotations", "value": annotations},
            ]
            try:
                after = self.client.patch(target.path, patch, JSON_PATCH, dry_run=dry_run)
            except RefusedError as error:
                if error.status in CONFLICTS and attempt < TRIES - 1:
                    continue  # somebody wrote it in between: it is read and judged anew
                raise
            said = [_said(target, releases[0], wanted)]
            if deployment["spec"].get("revisionHistoryLimit") == 0:
                said.append("its history is not kept (revisionHistoryLimit: 0), so this cannot be undone")
            if not deployment["spec"].get("replicas", 1):
                said.append("it is scaled to 0, so no pod shows whether that helps")
            return Outcome(True, tuple(said), before, template, after)
        raise KubernetesError(f"{target.said} was changed by somebody else at each of {TRIES} tries: nothing was changed")

    def observed(self, target: Target) -> Json:
        """The Deployment as its controller has seen it: before that, its ReplicaSets tell nothing of its newest template."""
        until = self._clock() + OBSERVED_SECONDS
        while not is_observed(found := self.read(target)):
            if self._clock() >= until:
                raise KubernetesError(
                    f"{target.said} was changed just now and its controller has not seen it within {OBSERVED_SECONDS:g} s; is "
                    "kube-controller-manager well? Nothing was changed"
                )
            self._sleep(INTERVAL)
        return found

    def refuse(self, target: Target, deployment: Json, releases: list[Json], *, force: bool) -> None:
        """Raises KubernetesError where the Deployment may not be given another release."""
        if deployment["spec"].get("paused"):
            raise KubernetesError(
                f"{target.said} is paused, so a rollback would not be rolled out: kubectl -n {target.namespace} rollout resume "
                f"deployment/{target.name} first. Nothing was changed"
            )
        now = hash_of(releases[0]) if releases else ""
        newer = not releases or bare(releases[0]["spec"]["template"]) != bare(deployment["spec"]["template"])
        if target.from_hash is not None and (now != target.from_hash or newer):
            raise KubernetesError(
                f"{target.said} runs another release by now than was looked at: nothing was changed. Look again"
            )
        owner = owner_of(deployment)
        if owner and not force:
            raise KubernetesError(
                f"{target.said} is kept by {owner['tool']} ({owner['name']}), which would roll it forward again: "
                f"{owner['suspend']} first, or take the release back in its repository. Nothing was changed"
            )

    def refuse_paused(self, target: Target) -> Json:
        """The Deployment. Raises KubernetesError where new pods would not be made."""
        deployment = self.read(target)
        if deployment["spec"].get("paused"):
            raise KubernetesError(f"{target.said} is paused, so a restart would not be rolled out. Nothing was changed")
        return deployment

    def restart(self, target: Target, stamp: str, *, dry_run: bool) -> Outcome:
        """New pods of the same release."""
        deployment = self.refuse_paused(target)
        body = {
            "metadata": {"uid": deployment["metadata"]["uid"]},
            "spec": {"template": {"metadata": {"annotations": {RESTARTED: stamp}}}},
        }
        after = self.client.patch(target.path, body, STRATEGIC_PATCH, dry_run=dry_run)
        before, now = deployment["spec"]["template"], after["spec"]["template"]
        return Outcome(True, (f"restarted the pods of {target.said}",), before, now, after)

    def restarted_at(self, target: Target) -> str:
        """When the Deployment was restarted last (RFC 3339, UTC); empty for never, or where that is not told so."""
        template = self.read(target)["spec"]["template"]
        stamp = str(((template.get("metadata") or {}).get("annotations") or {}).get(RESTARTED) or "")
        return stamp.replace("+00:00", "Z") if stamp.endswith(("Z", "+00:00")) else ""

    def pause(self, target: Target, *, paused: bool, dry_run: bool) -> Outcome:
        """Keeps changes of the template from being rolled out, or lets them."""
        deployment = self.read(target)
        if bool(deployment["spec"].get("paused")) is paused:
            return Outcome(False, (), {}, {}, deployment)
        after = self.client.patch(target.path, {"spec": {"paused": paused}}, STRATEGIC_PATCH, dry_run=dry_run)
        said = f"{'paused' if paused else 'resumed'} {target.said}"
        return Outcome(True, (said,), {"paused": not paused}, {"paused": paused}, after)

    def wait(self, target: Target, seconds: float, changed: Json | None = None) -> Json:
        """Until all pods are of the newest release and available. Returns the Deployment. Raises KubernetesError, with each
        failing pod's reason, when they will not come up or have not in time, and when another release came meanwhile than
        the Deployment ``changed`` has. A request that fails is asked again."""
        until = self._clock() + seconds
        trouble: str | None = None
        looks = 0
        while True:
            try:
                deployment = self.read(target)
                if changed is not None and bare(deployment["spec"]["template"]) != bare(changed["spec"]["template"]):
                    raise _OvertakenError(f"{target.said} was given another release meanwhile, by somebody else: look again")
                if is_complete(deployment):
                    self._remember(target, deployment)
                    return deployment
                failing = self._failing(target, deployment)
                looks, trouble = looks + 1 if failing else 0, None
            except RefusedError as error:
                if error.status in FINAL:
                    raise
                failing, trouble = [], str(error)
            except _OvertakenError:
                raise
            except KubernetesError as error:
                failing, trouble = [], str(error)
            if trouble is None and (looks >= FAILING_LOOKS or _stuck(deployment, changed)):
                why = "; ".join(failing) or "it made no progress within its progressDeadlineSeconds"
                raise KubernetesError(f"{target.said}: the new pods do not come up: {why}")
            if self._clock() >= until:
                raise KubernetesError(trouble or _incomplete(target, deployment, seconds))
            self._sleep(INTERVAL)

    def _remember(self, target: Target, deployment: Json) -> None:
        """The release as it came out: a webhook may have changed the template, and with it the hash by which an undo knows it."""
        if self.made:
            newest = next(iter(self.releases(target, deployment)), None)
            self.made = {**self.made, "to_hash": hash_of(newest) if newest else self.made["to_hash"]}

    def _failing(self, target: Target, deployment: Json) -> list[str]:
        releases = self.releases(target, deployment)
        if not releases or not is_observed(deployment):
            return []
        newest = releases[0]["metadata"]["uid"]
        pods = [one for one in self.client.items(f"/api/v1/namespaces/{target.namespace}/pods") if is_owned(one, newest)]
        told = [pod_of(one, ()) for one in pods]
        return [
            f"{pod['name']} {pod['reason']} {pod['message']}".strip()
            for pod in told
            if pod["reason"] in FAILING and not pod["terminating"]
        ]


def chosen(target: Target, releases: t.Sequence[Json], to_revision: int, to_hash: str | None) -> Json:
    """The ReplicaSet to go back to. Raises KubernetesError naming what there is."""
    if to_hash is not None:
        found = [one for one in releases if hash_of(one) == to_hash != ""]
    elif to_revision:
        found = [one for one in releases if revision_of(one) == to_revision]
    else:
        found = list(releases[1:2])
    if not found:
        there = ", ".join(str(revision_of(one)) for one in releases) or "none"
        wanted = f"release {to_hash}" if to_hash is not None else f"revision {to_revision}" if to_revision else "earlier revision"
        raise KubernetesError(f"{target.said} has no {wanted}; there are: {there}. Nothing was changed")
    if len(found) > 1:
        same = ", ".join(str(revision_of(one)) for one in found)
        raise KubernetesError(f"{target.said}: the revisions {same} cannot be told apart by {to_hash}. Nothing was changed")
    return found[0]


def hash_of(release: Json) -> str:
    """The hash of a ReplicaSet's pod template, empty where it has none."""
    return str((release["metadata"].get("labels") or {}).get(HASH, ""))


def bare(template: Json) -> Json:
    """A pod template without what the controller adds for its ReplicaSet."""
    meta = dict(template.get("metadata") or {})
    meta["labels"] = {name: value for name, value in (meta.get("labels") or {}).items() if name != HASH}
    meta.pop("creationTimestamp", None)
    return {**template, "metadata": meta}


def rolled_back(deployment: Json, release: Json) -> tuple[Json, Json]:
    """The template and the annotations that a Deployment has after it went back to a release."""
    kept_by_it = release["spec"]["template"]
    template = bare(kept_by_it)
    if "creationTimestamp" in (deployment["spec"]["template"].get("metadata") or {}):
        template["metadata"]["creationTimestamp"] = (kept_by_it.get("metadata") or {}).get("creationTimestamp")
    own = deployment["metadata"].get("annotations") or {}
    kept = {name: value for name, value in own.items() if name in KEPT}
    old = {name: value for name, value in (release["metadata"].get("annotations") or {}).items() if name not in KEPT}
    return template, {**old, **kept}


def shown(template: Json) -> Json:
    """What a diff may show of a pod template: names, images, ports and resources. Arguments, values and probes may be secret."""
    spec, meta = template.get("spec"), template.get("metadata") or {}
    if not spec:
        return template
    return {
        "labels": meta.get("labels") or {},
        "annotations": sorted(meta.get("annotations") or {}),
        **{kind: [_container(one) for one in spec[kind]] for kind in ("initContainers", "containers") if spec.get(kind)},
    }


def _container(one: Json) -> Json:
    lists = {name: [part.get("name") for part in one.get(name) or []] for name in ("env", "volumeMounts")}
    return {**{name: one[name] for name in ("name", "image", "ports", "resources") if name in one}, **lists}


def _incomplete(target: Target, deployment: Json, seconds: float) -> str:
    status = deployment.get("status") or {}
    told = f"{status.get('updatedReplicas', 0)} updated, {status.get('availableReplicas', 0)} available"
    refused = [one.get("message") for one in status.get("conditions") or [] if one.get("type") == "ReplicaFailure"]
    told += "".join(f"; {without_secrets(str(message))[:LONGEST_REFUSAL]}" for message in refused)
    return (
        f"{target.said} was not complete within {seconds:g} s ({told} of {deployment['spec'].get('replicas', 1)}): "
        f"kubectl -n {target.namespace} rollout status deployment/{target.name}"
    )


def is_observed(deployment: Json) -> bool:
    """Whether its controller has seen its newest version."""
    return bool((deployment.get("status") or {}).get("observedGeneration", 0) >= deployment["metadata"].get("generation", 0))


def is_complete(deployment: Json) -> bool:
    """Whether all pods are of the newest template and available, and no others are there."""
    status, wanted = deployment.get("status") or {}, deployment["spec"].get("replicas", 1)
    numbers = [status.get(name, 0) for name in ("replicas", "updatedReplicas", "availableReplicas")]
    return is_observed(deployment) and numbers == [wanted] * 3


def _progress(deployment: Json) -> Json:
    conditions = (deployment.get("status") or {}).get("conditions") or []
    return next((one for one in conditions if one["type"] == "Progressing"), {})


def _stuck(deployment: Json, changed: Json | None) -> bool:
    """Whether it made no progress, and its controller did not say so of the release before."""
    told = _progress(deployment)
    new = changed is None or told != _progress(changed)
    return is_observed(deployment) and new and told.get("reason") == "ProgressDeadlineExceeded"


def _said(target: Target, now: Json, wanted: Json) -> str:
    def name(one: Json) -> str:
        images = ", ".join(container["image"] for container in one["spec"]["template"]["spec"]["containers"])
        return f"revision {revision_of(one)} ({images})"

    return f"rolled {target.said} back from {name(now)} to {name(wanted)}"
