# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules on the key that sessions are signed with: whether it is there, long enough, and the same in all pods (private; pure).

A pod keeps the environment that it was started with. What it was is not seen, only whether it was started after the Secret was
last written; so where pods are older than that, less is sure.
"""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.facts import Pod, Secret, Watched
from ansible_collections.sre.runbooks.plugins.plugin_utils._judgement.model import (
    Confidence,
    Finding,
    Gap,
    Json,
    Observation,
    RuledOut,
)
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems.kubernetes.common import (
    key_of,
    pods_of,
    seconds_between,
    service_ref,
    services_of,
    watched_workloads,
    workload_ref,
)
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems.kubernetes.facts import Facts
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems.kubernetes.requests import LEAST_ERRORS, unauthorized


def auth_key(facts: Facts) -> t.Iterator[Observation]:
    """The key that the inventory names, for each workload that takes it from the Secret."""
    name, key = facts["limits"].get("auth_secret"), facts["limits"].get("auth_key")
    secret = next((one for one in facts["secrets"] if one["name"] == name), None)
    if not key or secret is None:
        return
    users = [one for one in watched_workloads(facts) if _takes(one, secret["name"], key)]
    if not users:
        yield Gap(facts["system"], f"the key {key}", f"no workload takes it from the Secret {name} into its environment")
    for workload in users:
        yield from _judged(facts, workload, secret, key)


def _takes(workload: Watched, secret: str, key: str) -> bool:
    newest = next(iter(workload["releases"]), None)
    return newest is not None and any(one["secret"] == secret and one["key"] in (key, "") for one in newest["secrets"])


@dataclasses.dataclass(frozen=True)
class Pods:
    """A workload's pods, by whether they were started before or after the Secret was written. The server's times are whole
    seconds: of one that was started in the same second nobody knows."""

    every: t.Sequence[Pod]
    older: t.Sequence[Pod]
    newer: t.Sequence[Pod]

    @classmethod
    def of(cls, pods: t.Sequence[Pod], written_at: str) -> Pods:
        ages = [(pod, seconds_between(written_at, pod["created_at"])) for pod in pods]
        older = [pod for pod, age in ages if age is not None and age < 0]
        return cls(pods, older, [pod for pod, age in ages if age is not None and age > 0])


def _judged(facts: Facts, workload: Watched, secret: Secret, key: str) -> t.Iterator[Observation]:
    pods = Pods.of(pods_of(facts, workload), secret["written_at"])
    length = secret["keys"].get(key)
    if length is None or length < facts["limits"].get("auth_bytes_min", 0):
        yield _missing(facts, workload, secret, key, pods)
    elif pods.newer and pods.older:
        yield _stale(facts, workload, secret, pods)
    elif len(pods.newer) < len(pods.every):
        why = (
            "not all of its pods were started after the Secret was last written; whether they have what is there now is not known"
        )
        yield Gap(facts["system"], f"the key {key} of {key_of(facts, workload)}", why)
    else:
        yield RuledOut(facts["system"], "k8s.auth_key_missing", f"{key} has {length} bytes, and all pods are newer than it")


def _missing(facts: Facts, workload: Watched, secret: Secret, key: str, pods: Pods) -> Finding:
    length = secret["keys"].get(key)
    confidence: Confidence = "possible" if not pods.newer else "proven" if len(pods.newer) == len(pods.every) else "likely"
    if not secret["written_at"]:
        confidence = "likely"
    if not secret["exists"]:
        why = "is not there, nor is the Secret"
    else:
        why = "is not there" if length is None else f"has {length} bytes, and {facts['limits']['auth_bytes_min']} are needed"
    return Finding(
        "k8s.auth_key_missing",
        confidence,
        workload_ref(facts, workload),
        links=tuple(service_ref(facts, name) for name in services_of(facts, workload)),
        began=f"{secret['written_at'][:19]}Z" if secret["written_at"] else None,
        evidence={
            **_evidence(facts, workload, secret, pods),
            "name": secret["name"],
            "key": key,
            "why": why,
            "newer": len(pods.newer),
            "kept": _kept(secret),
        },
        targets={"set_auth_key": _targets(facts, workload, secret, key)},
    )


def _kept(secret: Secret) -> str:
    owner = secret["owner"]
    return f"{owner['tool']} writes it: {owner['suspend']}; then look: " if owner else ""


def _targets(facts: Facts, workload: Watched, secret: Secret, key: str) -> tuple[Json, ...]:
    """What may be written: a Secret that is known by its uid, and that nobody else writes."""
    if not (secret["uid"] and workload["uid"]) or secret["owner"] or secret["immutable"] or workload["paused"]:
        return ()
    return ({"namespace": facts["namespace"], "secret": secret["name"], "uid": secret["uid"], "key": key,
             "workload": workload["name"], "workload_uid": workload["uid"],
             "bytes_min": facts["limits"].get("auth_bytes_min", 0)},)  # fmt: skip


def _stale(facts: Facts, workload: Watched, secret: Secret, pods: Pods) -> Finding:
    refused = unauthorized(facts, pods.newer)
    target = {"namespace": facts["namespace"], "kind": workload["kind"], "name": workload["name"], "uid": workload["uid"]}
    return Finding(
        "k8s.auth_key_stale",
        "likely" if refused.errors >= LEAST_ERRORS and refused.ratio > facts["limits"]["error_ratio_max"] else "possible",
        workload_ref(facts, workload),
        links=tuple(service_ref(facts, name) for name in services_of(facts, workload)),
        began=min(pod["created_at"] for pod in pods.newer),
        evidence={
            **_evidence(facts, workload, secret, pods),
            "name": workload["name"],
            "older": len(pods.older),
            "refused": refused.errors,
            "requests": refused.requests,
        },
        targets={"restart_pods": (target,) if workload["uid"] and not workload["paused"] else ()},
    )


def _evidence(facts: Facts, workload: Watched, secret: Secret, pods: Pods) -> Json:
    return {
        "secret": f"{facts['namespace']}/{secret['name']}", "workload": key_of(facts, workload), "pods": len(pods.every),
        "written": secret["written_at"] or "nobody knows when", "namespace": facts["namespace"],
    }  # fmt: skip


RULES = (auth_key,)
