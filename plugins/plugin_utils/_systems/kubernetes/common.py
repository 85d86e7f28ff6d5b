# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the rules on Kubernetes share: names of things, pods of a release, why one is not well (private; pure)."""

from __future__ import annotations

import typing as t

from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.facts import Pod, Watched
from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.reasons import FAILING
from ansible_collections.sre.runbooks.plugins.module_utils._times import seconds_between
from ansible_collections.sre.runbooks.plugins.plugin_utils._judgement.model import Ref
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems.kubernetes.facts import Facts

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


def key_of(facts: Facts, workload: Watched) -> str:
    """What a workload is called: namespace, kind, name."""
    return f"{facts['namespace']}/{workload['kind']}/{workload['name']}"


def workload_ref(facts: Facts, workload: Watched) -> Ref:
    return Ref(facts["system"], "workload", key_of(facts, workload))


def service_ref(facts: Facts, name: str) -> Ref:
    return Ref(facts["system"], "service", f"{facts['namespace']}/{name}")


def is_unread(facts: Facts, *diagnostics: str) -> bool:
    """Whether one of these could not be read, or not all of it."""
    return bool({gap["diagnostic"] for gap in facts["gaps"]} & set(diagnostics))


def services_of(facts: Facts, workload: Watched) -> list[str]:
    """The services that users depend on and that a workload stands behind, by its pods, or by its labels where it has none."""
    own = {pod["name"] for pod in facts["pods"] if _is_of(pod, workload)}
    watched = [one for one in facts["services"] if one["name"] in facts["watched"]]
    return [one["name"] for one in watched if own & set(one["pods"]) or selects(one["selector"], workload["selector"])]


def selects(selector: t.Mapping[str, str], labels: t.Mapping[str, str]) -> bool:
    """Whether a Service's selector selects these labels; an empty one selects nothing."""
    return bool(selector) and all(labels.get(name) == value for name, value in selector.items())


def watched_workloads(facts: Facts) -> list[Watched]:
    """The workloads behind the services that users depend on; of a kind that is not read as such (a StatefulSet), what its pods
    tell."""
    known = {(one["kind"], one["name"]) for one in facts["workloads"]}
    others = {(pod["kind"] or "Pod", pod["workload"] or pod["name"]) for pod in facts["pods"]} - known
    every: list[Watched] = [*facts["workloads"], *(_unread(facts, *one) for one in sorted(others))]
    return [one for one in every if services_of(facts, one)]


def _unread(facts: Facts, kind: str, name: str) -> Watched:
    one: Watched = {
        "kind": kind, "name": name, "uid": "", "replicas": 0, "paused": False, "progress": None, "progress_at": "", "refused": "",
        "selector": {}, "owner": None, "releases": [],
    }  # fmt: skip
    one["replicas"] = len(pods_of(facts, one))
    return one


def _is_of(pod: Pod, workload: Watched) -> bool:
    return (pod["kind"] or "Pod", pod["workload"] or pod["name"]) == (workload["kind"], workload["name"])


def all_pods_of(facts: Facts, workload: Watched) -> list[Pod]:
    """A workload's pods, also those that end; none that is left over from an eviction."""
    return [pod for pod in facts["pods"] if _is_of(pod, workload) and not pod["over"]]


def pods_of(facts: Facts, workload: Watched) -> list[Pod]:
    """A workload's pods that are meant to stay."""
    return [pod for pod in all_pods_of(facts, workload) if not pod["terminating"]]


def trouble_of(facts: Facts, workload: Watched, pod: Pod) -> str:
    """Why a pod does not serve, by the kubelet's name for it; empty for one that does, or that only just starts."""
    if pod["ready"]:
        return ""
    age = seconds_between(pod["created_at"], facts["at"])
    is_late = workload["progress"] == STUCK or (age is not None and age > STARTS_WITHIN)
    if not (pod["reason"] in BROKEN or is_late):
        return ""
    ended = pod["last"]["reason"] if pod["last"] else None
    return OUT_OF_MEMORY if ended == OUT_OF_MEMORY else str(pod["reason"] or "NotReady")


def reasons(facts: Facts, workload: Watched, pods: t.Iterable[Pod]) -> str:
    """Why these pods do not serve, each reason once."""
    return ", ".join(sorted({trouble_of(facts, workload, pod) for pod in pods} - {""}))
