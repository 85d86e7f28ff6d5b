# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a namespace looks like: workloads with their releases, pods, services and who serves them, warnings (private).

Everything is read side by side; what could not be read is a gap, with what grants it where permission was missing.
Sources: https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/deployment-v1/,
https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/
"""

from __future__ import annotations

import concurrent.futures
import itertools
import typing as t

from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.client import Client
from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.errors import KubernetesError
from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.owners import owner_of

Json = dict[str, t.Any]
REVISION = "deployment.kubernetes.io/revision"
CAUSE = "kubernetes.io/change-cause"
HASH = "pod-template-hash"
MOST_WARNINGS = 30
LONGEST_MESSAGE = 300
DIAGNOSTICS = ("workloads", "releases", "pods", "services", "endpoints", "warnings")


def paths(namespace: str) -> dict[str, str]:
    """Where each diagnostic is read."""
    core, apps = f"/api/v1/namespaces/{namespace}", f"/apis/apps/v1/namespaces/{namespace}"
    return {
        "workloads": f"{apps}/deployments",
        "releases": f"{apps}/replicasets",
        "pods": f"{core}/pods",
        "services": f"{core}/services",
        "endpoints": f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices",
        "warnings": f"{core}/events",
    }


def look(client: Client, namespace: str) -> Json:
    """The facts of one namespace: ``namespace``, ``workloads``, ``pods``, ``services``, ``warnings``, ``gaps``. Times are the
    server's (RFC 3339, UTC), counts are pods."""
    read: dict[str, list[Json]] = {}
    gaps: list[Json] = []
    with concurrent.futures.ThreadPoolExecutor(len(DIAGNOSTICS)) as pool:
        query = {"warnings": {"fieldSelector": "type=Warning"}}
        asked = {name: pool.submit(client.items, path, **query.get(name, {})) for name, path in paths(namespace).items()}
        for name, answer in asked.items():
            try:
                read[name] = answer.result()
            except KubernetesError as error:
                gaps.append({"diagnostic": name, "reason": str(error)})
    every = read.get("pods", [])
    workloads = [_workload(one, read.get("releases", []), every) for one in read.get("workloads", [])]
    return {
        "namespace": namespace,
        "workloads": workloads,
        "pods": [pod_of(one, workloads) for one in every],
        "services": [_service(one, read.get("endpoints", []), every) for one in read.get("services", [])],
        "warnings": _warnings(read.get("warnings", [])),
        "gaps": gaps,
    }


def is_owned(one: Json, uid: str) -> bool:
    """Whether an object's controller is another one, by its uid: labels can be anybody's."""
    owners = one["metadata"].get("ownerReferences") or []
    return any(owner.get("controller") and owner.get("uid") == uid for owner in owners)


def releases_of(workload: Json, replica_sets: t.Iterable[Json]) -> list[Json]:
    """A Deployment's ReplicaSets, newest revision first. Revisions have gaps after a rollback."""
    own = [one for one in replica_sets if is_owned(one, workload["metadata"]["uid"])]
    return sorted(own, key=revision_of, reverse=True)


def revision_of(one: Json) -> int:
    """A ReplicaSet's revision, 0 where it has none."""
    told = (one["metadata"].get("annotations") or {}).get(REVISION, "0")
    return int(told) if str(told).isdigit() else 0


def _workload(one: Json, replica_sets: list[Json], pods: list[Json]) -> Json:
    meta, spec, status = one["metadata"], one["spec"], one.get("status") or {}
    newest_first = releases_of(one, replica_sets)
    conditions = {condition["type"]: condition for condition in status.get("conditions") or []}
    progressing = conditions.get("Progressing") or {}
    return {
        "kind": "Deployment",
        "name": meta["name"],
        "uid": meta["uid"],
        "replicas": spec.get("replicas", 1),
        "updated": status.get("updatedReplicas", 0),
        "ready": status.get("readyReplicas", 0),
        "available": status.get("availableReplicas", 0),
        "observed": status.get("observedGeneration", 0) >= meta.get("generation", 0),
        "paused": bool(spec.get("paused")),
        "progress": progressing.get("reason"),
        "selector": (spec.get("selector") or {}).get("matchLabels") or {},
        "owner": owner_of(one),
        "releases": [_release(own, before, pods) for own, before in itertools.zip_longest(newest_first, newest_first[1:])],
    }


def _release(own: Json, before: Json | None, pods: list[Json]) -> Json:
    meta, template = own["metadata"], own["spec"]["template"]
    started = [pod["metadata"]["creationTimestamp"] for pod in pods if is_owned(pod, meta["uid"])]
    return {
        "revision": revision_of(own),
        "replica_set": meta["name"],
        "hash": (meta.get("labels") or {}).get(HASH, ""),
        "images": {one["name"]: one["image"] for one in template["spec"]["containers"]},
        "change_cause": (meta.get("annotations") or {}).get(CAUSE),
        "created_at": meta["creationTimestamp"],
        # After a rollback an old ReplicaSet serves again: its pods tell since when.
        "rolled_out_at": min(started, default=meta["creationTimestamp"]),
        "replicas": (own.get("status") or {}).get("replicas", 0),
        "changes": _changes(before["spec"]["template"], template) if before else [],
    }


def _changes(before: Json, after: Json) -> list[str]:
    """What differs between two pod templates, by name: values may be secret."""
    found = []
    old = {one["name"]: one for one in before["spec"]["containers"]}
    for one in after["spec"]["containers"]:
        was = old.get(one["name"])
        if was is None:
            found.append(f"container {one['name']} is new")
            continue
        if was["image"] != one["image"]:
            found.append(f"image {was['image']} → {one['image']}")
        names = _different({e["name"]: e for e in was.get("env") or []}, {e["name"]: e for e in one.get("env") or []})
        found += [f"env {name}" for name in names]
        found += [part for part in ("resources", "envFrom", "command", "args", "ports", "readinessProbe", "livenessProbe",
                                    "volumeMounts") if was.get(part) != one.get(part)]  # fmt: skip
    return found


def _different(before: Json, after: Json) -> list[str]:
    return sorted(name for name in {*before, *after} if before.get(name) != after.get(name))


def pod_of(one: Json, workloads: t.Sequence[Json]) -> Json:
    """A pod, its release, and why it is not ready."""
    meta, status = one["metadata"], one.get("status") or {}
    owner = next((own["name"] for own in meta.get("ownerReferences") or [] if own.get("controller")), None)
    workload, revision = _release_named(owner, workloads)
    containers = status.get("containerStatuses") or []
    reason, message = _why_not_ready(containers, status)
    ready = next((c["status"] == "True" for c in status.get("conditions") or [] if c["type"] == "Ready"), False)
    return {
        "name": meta["name"],
        "uid": meta["uid"],
        "workload": workload,
        "revision": revision,
        "hash": (meta.get("labels") or {}).get(HASH, ""),
        "phase": status.get("phase"),
        "ready": ready and not meta.get("deletionTimestamp"),
        "terminating": bool(meta.get("deletionTimestamp")),
        "created_at": meta["creationTimestamp"],
        "restarts": sum(container.get("restartCount", 0) for container in containers),
        "reason": reason,
        "message": message,
        "last": _last_end(containers),
        "containers": [container["name"] for container in one["spec"]["containers"]],
    }


def _release_named(replica_set: str | None, workloads: t.Sequence[Json]) -> tuple[str | None, int | None]:
    for workload in workloads:
        for release in workload["releases"]:
            if release["replica_set"] == replica_set:
                return workload["name"], release["revision"]
    return None, None


def _why_not_ready(containers: t.Sequence[Json], status: Json) -> tuple[str | None, str]:
    for container in containers:
        state = container.get("state") or {}
        for told in (state.get("waiting"), state.get("terminated")):
            if told and not container.get("ready") and told.get("reason"):
                return str(told["reason"]), str(told.get("message") or "")[:LONGEST_MESSAGE]
    scheduled = next((c for c in status.get("conditions") or [] if c["type"] == "PodScheduled" and c["status"] == "False"), None)
    if scheduled:
        return str(scheduled.get("reason") or "Unschedulable"), str(scheduled.get("message") or "")[:LONGEST_MESSAGE]
    return None, ""


def _last_end(containers: t.Sequence[Json]) -> Json | None:
    for container in containers:
        told = (container.get("lastState") or {}).get("terminated")
        if told:
            return {"reason": told.get("reason"), "exit_code": told.get("exitCode"), "at": told.get("finishedAt")}
    return None


def _service(one: Json, slices: list[Json], pods: list[Json]) -> Json:
    meta, selector = one["metadata"], one["spec"].get("selector") or {}
    own = [part for part in slices if (part["metadata"].get("labels") or {}).get("kubernetes.io/service-name") == meta["name"]]
    endpoints = [(part, endpoint) for part in own for endpoint in part.get("endpoints") or []]
    ready = [e.get("targetRef", {}).get("name") for part, e in endpoints if e["conditions"].get("ready") and part.get("ports")]
    chosen = [pod["metadata"]["name"] for pod in pods if selector and _matches(selector, pod["metadata"].get("labels") or {})]
    return {
        "name": meta["name"],
        "selector": selector,
        "ports": [f"{port.get('port')}→{port.get('targetPort')}" for port in one["spec"].get("ports") or []],
        "pods": chosen,
        "ready": sorted({name for name in ready if name}),
    }


def _matches(selector: t.Mapping[str, str], labels: t.Mapping[str, str]) -> bool:
    return all(labels.get(name) == value for name, value in selector.items())


def _warnings(events: list[Json]) -> list[Json]:
    """The newest warnings."""
    told = [
        {
            "about": f"{one['involvedObject'].get('kind')}/{one['involvedObject'].get('name')}",
            "reason": one.get("reason"),
            "message": str(one.get("message") or "")[:LONGEST_MESSAGE],
            "count": one.get("count") or 1,
            "last_at": one.get("lastTimestamp") or one.get("eventTime") or one["metadata"]["creationTimestamp"],
        }
        for one in events
    ]
    return sorted(told, key=lambda one: str(one["last_at"]), reverse=True)[:MOST_WARNINGS]
