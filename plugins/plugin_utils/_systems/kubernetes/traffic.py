# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules on who serves: services without a ready pod, pods that do not come up, answers with 5xx (private; pure)."""

from __future__ import annotations

import typing as t

from ansible_collections.sre.runbooks.plugins.plugin_utils._judgement.model import (
    Finding,
    Gap,
    Json,
    Measured,
    Observation,
    RuledOut,
)
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems.kubernetes.common import (
    is_unread,
    key_of,
    pods_of,
    reasons,
    selects,
    service_ref,
    services_of,
    trouble_of,
    watched_workloads,
    workload_ref,
)
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems.kubernetes.requests import (
    are_read,
    paths_of,
    recent_minutes,
    top_error,
    total,
    worst,
)

# Of the pods that there should be, how many at least serve where users need not notice.
ENOUGH = 0.5


def gaps(facts: Json) -> t.Iterator[Observation]:
    """What could not be read."""
    for gap in facts["gaps"]:
        yield Gap(facts["system"], gap["diagnostic"], gap["reason"])
    if not is_unread(facts, "pods", "workloads"):
        yield Measured(facts["system"], f"namespace {facts['namespace']}", "system")


def no_endpoints(facts: Json) -> t.Iterator[Observation]:
    """A service that users depend on and that nobody serves."""
    if is_unread(facts, "services", "endpoints", "pods", "workloads"):
        return
    for service in facts["services"]:
        if service["name"] not in facts["watched"]:
            continue
        key = f"{facts['namespace']}/{service['name']}"
        if service["type"] == "ExternalName":
            yield Gap(
                facts["system"], f"service {service['name']}", "it is a name elsewhere (ExternalName); who serves is not seen"
            )
        elif service["ready"]:
            yield RuledOut(facts["system"], "k8s.no_endpoints", f"{key} has {len(service['ready'])} ready endpoints")
        else:
            yield _unserved(facts, service, key)


def _unserved(facts: Json, service: Json, key: str) -> Finding:
    owners = [one for one in watched_workloads(facts) if service["name"] in services_of(facts, one)]
    return Finding(
        "k8s.no_endpoints",
        "proven",
        service_ref(facts, service["name"]),
        links=tuple(workload_ref(facts, one) for one in owners),
        evidence={
            "service": key, "why": _why_unserved(facts, service), "selector": _selector(service) or "no selector",
            "ports": ", ".join(service["ports"]) or "no port", "namespace": facts["namespace"], "name": service["name"],
        },
    )  # fmt: skip


def _why_unserved(facts: Json, service: Json) -> str:
    empty = [one for one in facts["workloads"] if not one["replicas"] and selects(service["selector"], one["selector"])]
    if empty:
        return f"{key_of(facts, empty[0])}, which it selects, is scaled to 0"
    if service["portless"]:
        return "its pods are ready, and have no port of the name that it asks for"
    if not service["selector"]:
        return "it has no selector, and none of the endpoints that were made by hand is ready"
    return f"{len(service['pods'])} pods match its selector, none of them is a ready endpoint"


def _selector(service: Json) -> str:
    return ",".join(f"{name}={value}" for name, value in sorted(service["selector"].items()))


def pods_failing(facts: Json) -> t.Iterator[Observation]:
    """Pods of a workload that users depend on which do not come up, whatever the reason: a cause where hardly any serves."""
    if is_unread(facts, "workloads", "releases", "pods"):
        return
    for workload in watched_workloads(facts):
        pods = pods_of(facts, workload)
        failing = [pod for pod in pods if trouble_of(facts, workload, pod)]
        if failing or workload["refused"]:
            yield _failing(facts, workload, pods, failing)
        elif pods and all(pod["ready"] for pod in pods):
            yield RuledOut(facts["system"], "k8s.pods_failing", f"{key_of(facts, workload)}: all of its pods are ready")


def _failing(facts: Json, workload: Json, pods: list[Json], failing: list[Json]) -> Finding:
    serving = sum(pod["ready"] for pod in pods)
    few = serving < ENOUGH * workload["replicas"]
    why = reasons(facts, workload, failing) or "they cannot be made"
    first = failing[0] if failing else None
    return Finding(
        "k8s.pods_failing",
        "proven" if not serving else "likely" if few else "possible",
        workload_ref(facts, workload),
        links=tuple(service_ref(facts, name) for name in services_of(facts, workload)),
        evidence={
            "workload": key_of(facts, workload), "serving": serving, "wanted": workload["replicas"], "reasons": why,
            "message": workload["refused"] or (first and first["message"]) or "no message", "namespace": facts["namespace"],
            "object": f"pod/{first['name']}" if first else f"{workload['kind'].lower()}/{workload['name']}",
        },
    )  # fmt: skip


def server_errors(facts: Json) -> t.Iterator[Observation]:
    """Answers with 5xx, by the pods' own logs, with their denominator."""
    limits = facts["limits"]
    for workload in watched_workloads(facts):
        pods = pods_of(facts, workload)
        paths = paths_of(facts, pods)
        minutes = recent_minutes(facts)
        seen, bad = total(paths, minutes), worst(paths, minutes)
        there = bad.within(minutes)
        key = key_of(facts, workload)
        if seen.requests < limits["requests_min"]:
            why = f"only {seen.requests} requests of the last minutes in the logs of {key}, too few to judge"
            yield Gap(facts["system"], f"errors of {workload['name']}", why)
        elif seen.ratio > limits["error_ratio_max"]:
            yield Finding(
                "k8s.server_errors",
                "proven",
                workload_ref(facts, workload),
                links=tuple(service_ref(facts, name) for name in services_of(facts, workload)),
                began=f"{bad.first_error[:19]}Z" if bad.first_error else None,
                evidence={
                    "workload": key, "errors": seen.errors, "requests": seen.requests, "path": bad.name,
                    "path_errors": there.errors, "path_requests": there.requests,
                    "error": top_error(facts, pods) or "no error line",
                },
            )  # fmt: skip
        elif are_read(facts, pods):
            said = f"{key}: {seen.errors} of {seen.requests} requests failed"
            yield RuledOut(facts["system"], "k8s.server_errors", said)
        else:
            yield Gap(facts["system"], f"errors of {workload['name']}", "not all of its pods' logs could be read")


RULES = (gaps, no_endpoints, pods_failing, server_errors)
