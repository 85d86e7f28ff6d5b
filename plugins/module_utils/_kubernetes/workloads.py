# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a namespace looks like: workloads with their releases, services and who serves them, warnings (private).

Everything is read side by side; what could not be read is a gap, with what grants it where permission was missing.
Sources: https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/deployment-v1/,
https://kubernetes.io/docs/reference/kubernetes-api/service-resources/endpoint-slice-v1/
"""

from __future__ import annotations

import email.utils
import functools
import typing as t

from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.client import Client
from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.facts import (
    Gap,
    Namespace,
    Release,
    Service,
    Warned,
    Workload,
)
from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.owners import owner_of
from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.pods import (
    HASH,
    LONGEST_MESSAGE,
    is_owned,
    pod_of,
    references_of,
    shown_text,
)
from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.templates import changes, is_configuration, is_restarted
from ansible_collections.sre.runbooks.plugins.module_utils._within import within_each

Json = dict[str, t.Any]
T = t.TypeVar("T")
REVISION = "deployment.kubernetes.io/revision"
CAUSE = "kubernetes.io/change-cause"
MOST_WARNINGS = 30
LONGEST_REASON = 80
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


class _Read:
    """The lists that were read, and the gaps: what was not, or was not understood."""

    def __init__(self, client: Client, namespace: str, seconds: float) -> None:
        self.lists: dict[str, list[Json]] = {}
        self.gaps: list[Gap] = []
        query = {"warnings": {"fieldSelector": "type=Warning"}}
        every = paths(namespace)
        calls = [functools.partial(client.items, path, **query.get(name, {})) for name, path in every.items()]
        for name, answer in zip(every, within_each(seconds, calls, len(calls)), strict=True):
            if isinstance(answer, Exception):
                self.gaps.append({"diagnostic": name, "reason": str(answer) or type(answer).__name__})
            else:
                self.lists[name] = [one for one in answer if self._is_object(name, one)]

    def _is_object(self, name: str, one: t.Any) -> bool:
        good = isinstance(one, dict) and isinstance(one.get("metadata"), dict)
        if not good:
            self.gaps.append({"diagnostic": name, "reason": "something in the list is no object of the API's"})
        return good

    def each(self, name: str, told: t.Callable[[Json], T]) -> list[T]:
        """What is told of each object of a list; one that is not understood is a gap, and the others are told."""
        found = []
        for one in self.lists.get(name, []):
            try:
                found.append(told(one))
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                why = f"{one['metadata'].get('name') or 'an object'} is not understood ({type(error).__name__}: {error})"
                self.gaps.append({"diagnostic": name, "reason": why[:LONGEST_MESSAGE]})
        return found


def look(client: Client, namespace: str, seconds: float) -> Namespace:
    """The facts of one namespace: ``namespace``, ``at`` (the server's clock), ``workloads``, ``pods``, ``services``,
    ``warnings``, ``gaps``. Times are the server's (RFC 3339, UTC), counts are pods."""
    read = _Read(client, namespace, seconds)
    sets, every = read.lists.get("releases", []), read.lists.get("pods", [])
    workloads = read.each("workloads", lambda one: _workload(one, sets, every))
    slices = read.lists.get("endpoints", [])
    return {
        "namespace": namespace,
        "at": moment(client.date),
        "workloads": workloads,
        "pods": read.each("pods", lambda one: pod_of(one, workloads)),
        "services": read.each("services", lambda one: _service(one, slices, every)),
        "warnings": _newest(read.each("warnings", _warning)),
        "secrets": [],
        "configs": [],
        "pools": [],
        "gaps": read.gaps,
    }


def moment(date: str) -> str:
    """The header Date as RFC 3339, UTC; empty for none.

    >>> moment("Tue, 24 Nov 2026 02:10:00 GMT")
    '2026-11-24T02:10:00Z'
    """
    try:
        return email.utils.parsedate_to_datetime(date).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, TypeError, OverflowError):
        return ""


def releases_of(workload: Json, replica_sets: t.Iterable[Json]) -> list[Json]:
    """A Deployment's ReplicaSets, newest revision first. Revisions have gaps after a rollback."""
    own = [one for one in replica_sets if is_owned(one, workload["metadata"]["uid"])]
    return sorted(own, key=revision_of, reverse=True)


def revision_of(one: Json) -> int:
    """A ReplicaSet's revision, 0 where it has none."""
    told = str((one["metadata"].get("annotations") or {}).get(REVISION, "0"))
    return int(told) if told.isdecimal() and len(told) < len("10000000000000000000") else 0


def _workload(one: Json, replica_sets: list[Json], pods: list[Json]) -> Workload:
    meta, spec, status = one["metadata"], one["spec"], one.get("status") or {}
    newest_first = releases_of(one, replica_sets)
    conditions = {condition["type"]: condition for condition in status.get("conditions") or []}
    progressing, refused = conditions.get("Progressing") or {}, conditions.get("ReplicaFailure") or {}
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
        "progress_at": str(progressing.get("lastUpdateTime") or ""),
        "refused": shown_text(refused.get("message")) if refused.get("status") == "True" else "",
        "selector": (spec.get("selector") or {}).get("matchLabels") or {},
        "owner": owner_of(one),
        "releases": [_release(newest_first, number, pods) for number in range(len(newest_first))],
    }


def _release(newest_first: t.Sequence[Json], number: int, pods: list[Json]) -> Release:
    own, before = newest_first[number], next(iter(newest_first[number + 1 : number + 2]), None)
    meta, template = own["metadata"], own["spec"]["template"]
    started = [pod["metadata"]["creationTimestamp"] for pod in pods if is_owned(pod, meta["uid"])]
    earlier = before["spec"]["template"] if before else None
    return {
        "revision": revision_of(own),
        "replica_set": meta["name"],
        "uid": meta["uid"],
        "hash": (meta.get("labels") or {}).get(HASH, ""),
        "images": {one["name"]: one["image"] for one in template["spec"]["containers"]},
        "change_cause": shown_text((meta.get("annotations") or {}).get(CAUSE)) or None,
        "created_at": meta["creationTimestamp"],
        # After a rollback an old ReplicaSet serves again: its pods tell since when.
        "rolled_out_at": min(started, default=meta["creationTimestamp"]),
        "replicas": (own.get("status") or {}).get("replicas", 0),
        "changes": changes(earlier, template) if earlier is not None else [],
        "configuration": earlier is not None and is_configuration(earlier, template),
        "restart": earlier is not None and is_restarted(earlier, template),
        "secrets": references_of(template["spec"]),
    }


def _service(one: Json, slices: list[Json], pods: list[Json]) -> Service:
    meta, spec = one["metadata"], one["spec"]
    selector = spec.get("selector") or {}
    own = [part for part in slices if (part["metadata"].get("labels") or {}).get("kubernetes.io/service-name") == meta["name"]]
    chosen = [pod["metadata"]["name"] for pod in pods if selector and _matches(selector, pod["metadata"].get("labels") or {})]
    wants_port = bool(spec.get("ports"))
    return {
        "name": meta["name"],
        "type": spec.get("type") or "ClusterIP",
        "selector": selector,
        "ports": [f"{port.get('port')}→{port.get('targetPort')}" for port in spec.get("ports") or []],
        "pods": chosen,
        "ready": sorted({name for part in own if part.get("ports") or not wants_port for name in _ready(part)}),
        "portless": any(_ready(part) and wants_port and not part.get("ports") for part in own),
    }


def _ready(part: Json) -> t.Iterator[str]:
    """Who is ready in one slice, by name, or by address where it has none. What is not said is ready, by the API's own words."""
    for endpoint in part.get("endpoints") or []:
        if (endpoint.get("conditions") or {}).get("ready") is not False:
            yield str((endpoint.get("targetRef") or {}).get("name") or (endpoint.get("addresses") or ["?"])[0])


def _matches(selector: t.Mapping[str, str], labels: t.Mapping[str, str]) -> bool:
    return all(labels.get(name) == value for name, value in selector.items())


def _warning(one: Json) -> Warned:
    about = one.get("involvedObject") or {}
    return {
        "about": shown_text(f"{about.get('kind')}/{about.get('name')}"),
        "reason": shown_text(one.get("reason"))[:LONGEST_REASON],
        "message": shown_text(one.get("message")),
        "count": one.get("count") or 1,
        "last_at": one.get("lastTimestamp") or one.get("eventTime") or one["metadata"]["creationTimestamp"],
    }


def _newest(warnings: list[Warned]) -> list[Warned]:
    return sorted(warnings, key=lambda one: str(one["last_at"]), reverse=True)[:MOST_WARNINGS]
