# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the rules on Kubernetes share: names of things, pods of a release, why one is not well (private; pure)."""

from __future__ import annotations

import datetime
import typing as t

from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.reasons import FAILING
from ansible_collections.sre.runbooks.plugins.plugin_utils._judgement.model import Json, Ref

# Why a pod will not come up by itself.
OUT_OF_MEMORY = "OOMKilled"
BROKEN = (*FAILING, OUT_OF_MEMORY, "Error")
# It waits for room, which may just be made.
UNSCHEDULABLE = "Unschedulable"
# A rollout that its controller has given up on (progressDeadlineSeconds).
STUCK = "ProgressDeadlineExceeded"
# One of which all pods were up.
COMPLETE = "NewReplicaSetAvailable"
# A pod that is still not ready after that is in trouble, whatever it says.
STARTS_WITHIN = 300.0


def key_of(facts: Json, workload: Json) -> str:
    """What a workload is called: namespace, kind, name."""
    return f"{facts['namespace']}/{workload['kind']}/{workload['name']}"


def workload_ref(facts: Json, workload: Json) -> Ref:
    return Ref(facts["system"], "workload", key_of(facts, workload))


def service_ref(facts: Json, name: str) -> Ref:
    return Ref(facts["system"], "service", f"{facts['namespace']}/{name}")


def is_unread(facts: Json, *diagnostics: str) -> bool:
    """Whether one of these could not be read, or not all of it."""
    return bool({gap["diagnostic"] for gap in facts["gaps"]} & set(diagnostics))


def services_of(facts: Json, workload: Json) -> list[str]:
    """The services that users depend on and that a workload stands behind, by its pods, or by its labels where it has none."""
    own = {pod["name"] for pod in facts["pods"] if _is_of(pod, workload)}
    watched = [one for one in facts["services"] if one["name"] in facts["watched"]]
    return [one["name"] for one in watched if own & set(one["pods"]) or selects(one["selector"], workload["selector"])]


def selects(selector: t.Mapping[str, str], labels: t.Mapping[str, str]) -> bool:
    """Whether a Service's selector selects these labels; an empty one selects nothing."""
    return bool(selector) and all(labels.get(name) == value for name, value in selector.items())


def watched_workloads(facts: Json) -> list[Json]:
    """The workloads behind the services that users depend on; of a kind that is not read as such (a StatefulSet), what its pods
    tell."""
    known = {(one["kind"], one["name"]) for one in facts["workloads"]}
    others = {(pod["kind"] or "Pod", pod["workload"] or pod["name"]) for pod in facts["pods"]} - known
    return [one for one in [*facts["workloads"], *(_unread(facts, *one) for one in sorted(others))] if services_of(facts, one)]


def _unread(facts: Json, kind: str, name: str) -> Json:
    one: Json = {"kind": kind, "name": name, "releases": [], "owner": None, "paused": False, "refused": "", "progress": None,
                 "selector": {}}  # fmt: skip
    return {**one, "replicas": len(pods_of(facts, one))}


def _is_of(pod: Json, workload: Json) -> bool:
    return (pod["kind"] or "Pod", pod["workload"] or pod["name"]) == (workload["kind"], workload["name"])


def all_pods_of(facts: Json, workload: Json) -> list[Json]:
    """A workload's pods, also those that end; none that is left over from an eviction."""
    return [pod for pod in facts["pods"] if _is_of(pod, workload) and not pod["over"]]


def pods_of(facts: Json, workload: Json) -> list[Json]:
    """A workload's pods that are meant to stay."""
    return [pod for pod in all_pods_of(facts, workload) if not pod["terminating"]]


def moment(text: str) -> datetime.datetime | None:
    """A time as the API server writes it, None for none."""
    try:
        found = datetime.datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=datetime.UTC)


def seconds_between(earlier: str, later: str) -> float | None:
    """How long it was from one time to another, None where one of them is not known."""
    first, second = moment(earlier), moment(later)
    return (second - first).total_seconds() if first and second else None


def trouble_of(facts: Json, workload: Json, pod: Json) -> str:
    """Why a pod does not serve, by the kubelet's name for it; empty for one that does, or that only just starts."""
    if pod["ready"]:
        return ""
    age = seconds_between(pod["created_at"], facts["at"])
    is_late = workload["progress"] == STUCK or (age is not None and age > STARTS_WITHIN)
    if not (pod["reason"] in BROKEN or is_late):
        return ""
    ended = (pod["last"] or {}).get("reason")
    return OUT_OF_MEMORY if ended == OUT_OF_MEMORY else str(pod["reason"] or "NotReady")


def reasons(facts: Json, workload: Json, pods: t.Iterable[Json]) -> str:
    """Why these pods do not serve, each reason once."""
    return ", ".join(sorted({trouble_of(facts, workload, pod) for pod in pods} - {""}))
