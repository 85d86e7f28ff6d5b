# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a pod says of itself: whose it is, and why it is not ready (private to the collection; pure).

Source: https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/#PodStatus
"""

from __future__ import annotations

import itertools
import typing as t

from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.facts import ConfigReference, End, Pod, Reference, Workload
from ansible_collections.sre.runbooks.plugins.module_utils._logs.lines import without_secrets

Json = dict[str, t.Any]
HASH = "pod-template-hash"
LONGEST_MESSAGE = 300
# An init container that has done its work, and a pod that has ended for good.
ENDED_WELL = "Completed"
OVER = ("Succeeded", "Failed")


def shown_text(text: t.Any) -> str:
    """A text from the cluster as it may be shown: without what looks like a secret, and cut."""
    return without_secrets(str(text or ""))[:LONGEST_MESSAGE]


def is_owned(one: Json, uid: str) -> bool:
    """Whether an object's controller is another one, by its uid: labels can be anybody's."""
    owners = one["metadata"].get("ownerReferences") or []
    return any(owner.get("controller") and owner.get("uid") == uid for owner in owners)


def pod_of(one: Json, workloads: t.Sequence[Workload]) -> Pod:
    """A pod, its release, and why it is not ready. ``over``: it has ended for good (evicted, or done) and is only left over."""
    meta, status = one["metadata"], one.get("status") or {}
    owner: Json = next((own for own in meta.get("ownerReferences") or [] if own.get("controller")), {})
    kind, workload, revision = _belongs(owner, workloads)
    containers = status.get("containerStatuses") or []
    reason, message = _why_not_ready([*(status.get("initContainerStatuses") or []), *containers], status)
    ready = next((c["status"] == "True" for c in status.get("conditions") or [] if c["type"] == "Ready"), False)
    return {
        "name": meta["name"],
        "uid": meta["uid"],
        "kind": kind,
        "workload": workload,
        "revision": revision,
        "hash": (meta.get("labels") or {}).get(HASH, ""),
        "phase": status.get("phase"),
        "ready": ready and not meta.get("deletionTimestamp"),
        "terminating": bool(meta.get("deletionTimestamp")),
        "over": status.get("phase") in OVER,
        "created_at": meta["creationTimestamp"],
        "restarts": sum(container.get("restartCount", 0) for container in containers),
        "reason": reason,
        "message": shown_text(message),
        "last": _last_end(containers),
        "image_ids": sorted(str(container.get("imageID") or "") for container in containers),
        "started": {
            container["name"]: str(container["state"]["running"].get("startedAt") or "")
            for container in containers
            if (container.get("state") or {}).get("running")
        },
        "secrets": references_of(one["spec"]),
        "configs": configs_of(one["spec"]),
        "containers": [
            container["name"]
            for container in (*one["spec"]["containers"], *(one["spec"].get("initContainers") or []))
            if container in one["spec"]["containers"] or container.get("restartPolicy") == "Always"
        ],
    }


def containers_of(spec: Json) -> list[Json]:
    """The containers of a pod, and those that run before them."""
    return [*spec["containers"], *(spec.get("initContainers") or [])]


def references_of(spec: Json) -> list[Reference]:
    """What the containers of a pod take from Secrets into their environment; of a source that puts something before each name,
    nothing is known."""
    found: list[Reference] = []
    for one in containers_of(spec):
        for variable in one.get("env") or []:
            reference = (variable.get("valueFrom") or {}).get("secretKeyRef")
            if reference:
                found.append({"container": one["name"], "secret": reference["name"], "key": reference["key"]})
        for source in one.get("envFrom") or []:
            if source.get("secretRef") and not source.get("prefix"):
                found.append({"container": one["name"], "secret": source["secretRef"]["name"], "key": ""})
    return found


def configs_of(spec: Json) -> list[ConfigReference]:
    """What the containers of a pod take from ConfigMaps: variables, and files. What is not understood is left out, and makes
    nothing else unread."""
    found: list[ConfigReference] = []
    for one in containers_of(spec):
        for take in (_variables(one), _files(one, _dicts(spec.get("volumes")))):
            found += [t.cast("ConfigReference", {"container": one["name"], **reference}) for reference in take]
    return found


def _dicts(value: t.Any) -> list[Json]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _variables(container: Json) -> t.Iterator[Json]:
    """What is named by itself counts before what comes with all keys, and of two the later one."""
    named, sources = _dicts(container.get("env")), _dicts(container.get("envFrom"))
    names = [str(variable.get("name")) for variable in named]
    for variable in named:
        reference = (variable.get("valueFrom") or {}).get("configMapKeyRef") or {}
        if reference.get("name") and reference.get("key"):
            is_sure = names.count(str(variable.get("name"))) == 1
            yield {"configmap": reference["name"], "key": reference["key"], "is_live": False, "is_sure": is_sure, "but": []}
    for number, source in enumerate(sources):
        name = (source.get("configMapRef") or {}).get("name")
        if name:
            is_last = number == len(sources) - 1
            yield {"configmap": name, "key": "", "is_live": False, "but": names, "is_sure": is_last and not source.get("prefix")}


def _files(container: Json, volumes: t.Sequence[Json]) -> t.Iterator[Json]:
    """The kubelet keeps files up to date, but not one that is mounted by itself (subPath)."""
    mounts = _dicts(container.get("volumeMounts"))
    for volume in volumes:
        ways = [not (one.get("subPath") or one.get("subPathExpr")) for one in mounts if one.get("name") == volume.get("name")]
        projected = _dicts((volume.get("projected") or {}).get("sources"))
        sources = [one for one in (volume.get("configMap"), *(each.get("configMap") for each in projected)) if one]
        is_sure = len(set(ways)) == 1 and len(projected) <= 1
        for source in sources if ways else ():
            for item in _dicts(source.get("items")) or [{"key": ""}]:
                yield {"configmap": source.get("name", ""), "key": item.get("key", ""), "is_live": all(ways), "is_sure": is_sure,
                       "but": []}  # fmt: skip


def _belongs(owner: Json, workloads: t.Sequence[Workload]) -> tuple[str | None, str | None, int | None]:
    """What a pod belongs to: a Deployment through one of its ReplicaSets, by its uid; else what controls it. What only says that
    a Deployment controls it is a pod by itself: Deployments control none."""
    every = itertools.chain.from_iterable(((one, release) for release in one["releases"]) for one in workloads)
    for workload, release in every:
        if release["uid"] == owner.get("uid"):
            return workload["kind"], workload["name"], release["revision"]
    known = {(one["kind"], one["name"]) for one in workloads}
    return (None, None, None) if (owner.get("kind"), owner.get("name")) in known else (owner.get("kind"), owner.get("name"), None)


def _why_not_ready(containers: t.Sequence[Json], status: Json) -> tuple[str | None, str]:
    """The reason of the first container that does not run, init containers first."""
    for container in containers:
        state = container.get("state") or {}
        for told in (state.get("waiting"), state.get("terminated")):
            if told and not container.get("ready") and told.get("reason") not in (None, ENDED_WELL):
                return str(told["reason"]), str(told.get("message") or "")
    scheduled = next((c for c in status.get("conditions") or [] if c["type"] == "PodScheduled" and c["status"] == "False"), None)
    if scheduled:
        return str(scheduled.get("reason") or "Unschedulable"), str(scheduled.get("message") or "")
    return None, ""


def _last_end(containers: t.Sequence[Json]) -> End | None:
    for container in containers:
        told = (container.get("lastState") or {}).get("terminated")
        if told:
            return {"reason": told.get("reason"), "exit_code": told.get("exitCode"), "at": told.get("finishedAt")}
    return None
