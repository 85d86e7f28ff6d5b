# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules on releases: what a new revision did to those who use it (private to the collection; pure).

A release is a cause only where it separates: its pods fail and those of the release before do not, or its pods failed from their
first requests on. Errors that came long after it, or in both releases, are not its own.
"""

from __future__ import annotations

import datetime
import typing as t

from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.reasons import FAILING
from ansible_collections.sre.runbooks.plugins.plugin_utils._judgement.model import (
    Confidence,
    Finding,
    Gap,
    Json,
    Observation,
    RuledOut,
)
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems.kubernetes.common import (
    is_unread,
    key_of,
    pods_of,
    service_ref,
    services_of,
    top_error,
    traffic_of,
    watched_workloads,
    workload_ref,
    worst_endpoint,
)

# Why a pod will not come up by itself.
BROKEN = (*FAILING, "OOMKilled", "Error")
MOST_CHANGES = 5
LONGEST_CAUSE = 120


def _moment(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text[:19] + "+00:00")


def _is_broken(pod: Json) -> bool:
    return not pod["ready"] and pod["reason"] in BROKEN


def bad_release(facts: Json) -> t.Iterator[Observation]:
    """The newest release of a workload that users depend on, where it can be shown that it fails."""
    if is_unread(facts, "workloads", "releases", "pods"):
        yield Gap(facts["system"], "releases", "the workloads, their releases or their pods could not be read")
        return
    for workload in watched_workloads(facts):
        yield from _judged(facts, workload)


def _judged(facts: Json, workload: Json) -> t.Iterator[Observation]:
    key, releases = key_of(facts, workload), workload["releases"]
    if len(releases) < 2:
        yield RuledOut(facts["system"], "k8s.bad_release", f"{key} has no earlier release")
        return
    new = pods_of(facts, workload, releases[0]["revision"])
    old = [pod for pod in pods_of(facts, workload) if pod["revision"] != releases[0]["revision"]]
    why = _broken(new, old) or _failing(facts, new, old, releases[0])
    if why is not None:
        yield _finding(facts, workload, why)
    elif new and all(pod["ready"] for pod in new):
        yield RuledOut(facts["system"], "k8s.bad_release", f"{key}: the pods of revision {releases[0]['revision']} are well")


def _broken(new: list[Json], old: list[Json]) -> tuple[Confidence, str] | None:
    """Pods of the release that do not come up, while those of the one before do, or are gone for it."""
    broken = [pod for pod in new if _is_broken(pod)]
    if not broken or len(broken) < len(new) or any(_is_broken(pod) for pod in old):
        return None
    reasons = ", ".join(sorted({str(pod["reason"]) for pod in broken}))
    return "proven", f"{len(broken)} of its {len(new)} pods: {reasons}"


def _failing(facts: Json, new: list[Json], old: list[Json], release: Json) -> tuple[Confidence, str] | None:
    """Pods of the release that answer with 5xx: proven where the old ones do not, likely where it did from its start."""
    limits, now, before = facts["limits"], traffic_of(facts, new), traffic_of(facts, old)
    if now.requests < limits["requests_min"] or now.ratio <= limits["error_ratio_max"]:
        return None
    worst = worst_endpoint(facts, new)
    said = f"its pods answer {worst.errors} of {worst.requests} requests to {worst.path} with 5xx"
    if before.requests >= limits["requests_min"]:
        if before.ratio > limits["error_ratio_max"]:
            return None  # both fail, so it is not what they differ in
        return "proven", f"{said}, those of the release before {before.server_errors} of {before.requests}"
    if now.first_error is None or worst.good_before >= limits["requests_min"]:
        return None  # it had served well before that
    later = (_moment(now.first_error) - _moment(release["rolled_out_at"])).total_seconds()
    return "likely", f"{said}, from {later:.0f} s after it came"


def _finding(facts: Json, workload: Json, why: tuple[Confidence, str]) -> Finding:
    new, was = workload["releases"][0], workload["releases"][1]
    names = services_of(facts, workload)
    pods = pods_of(facts, workload, new["revision"])
    target = {
        "namespace": facts["namespace"], "kind": workload["kind"], "name": workload["name"], "uid": workload["uid"],
        "from_hash": new["hash"], "to_hash": was["hash"], "from_revision": new["revision"], "to_revision": was["revision"],
    }  # fmt: skip
    owner = workload["owner"]
    told = (new["change_cause"] or "no change-cause")[:LONGEST_CAUSE]
    changes = "; ".join(new["changes"][:MOST_CHANGES]) or "nothing that is known"
    return Finding(
        "k8s.bad_release",
        why[0],
        workload_ref(facts, workload),
        links=tuple(service_ref(facts, name) for name in names),
        began=f"{new['rolled_out_at'][:19]}Z",
        evidence={
            "workload": key_of(facts, workload), "revision": new["revision"], "before": was["revision"],
            "since": new["rolled_out_at"], "why": why[1], "changes": changes, "cause": told,
            "error": top_error(facts, pods) or "none", "namespace": facts["namespace"], "name": workload["name"],
            "kept": f"{owner['tool']} keeps it: {owner['suspend']} first, then " if owner else "",
        },
        targets={} if owner or workload["paused"] else {"rollback": (target,)},
    )  # fmt: skip


RULES = (bad_release,)
