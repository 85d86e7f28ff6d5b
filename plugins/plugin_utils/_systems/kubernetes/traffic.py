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
    service_ref,
    services_of,
    top_error,
    traffic_of,
    watched_workloads,
    workload_ref,
    worst_endpoint,
)


def gaps(facts: Json) -> t.Iterator[Observation]:
    """What could not be read."""
    for gap in facts["gaps"]:
        yield Gap(facts["system"], gap["diagnostic"], gap["reason"])
    if not is_unread(facts, "pods", "workloads"):
        yield Measured(facts["system"], f"namespace {facts['namespace']}", "system")


def no_endpoints(facts: Json) -> t.Iterator[Observation]:
    """A service that users depend on and that nobody serves."""
    if is_unread(facts, "services", "endpoints", "pods"):
        return
    for service in facts["services"]:
        if service["name"] not in facts["watched"]:
            continue
        key = f"{facts['namespace']}/{service['name']}"
        if service["ready"]:
            yield RuledOut(facts["system"], "k8s.no_endpoints", f"{key} has {len(service['ready'])} ready endpoints")
            continue
        owners = [one for one in watched_workloads(facts) if service["name"] in services_of(facts, one)]
        yield Finding(
            "k8s.no_endpoints",
            "proven",
            service_ref(facts, service["name"]),
            links=tuple(workload_ref(facts, one) for one in owners),
            evidence={
                "service": key, "pods": len(service["pods"]), "selector": _selector(service),
                "ports": ", ".join(service["ports"]), "namespace": facts["namespace"], "name": service["name"],
            },
        )  # fmt: skip


def _selector(service: Json) -> str:
    return ",".join(f"{name}={value}" for name, value in sorted(service["selector"].items()))


def pods_failing(facts: Json) -> t.Iterator[Observation]:
    """Pods of a workload that users depend on which do not come up, whatever the reason."""
    if is_unread(facts, "workloads", "releases", "pods"):
        return
    for workload in watched_workloads(facts):
        failing = [pod for pod in pods_of(facts, workload) if not pod["ready"] and pod["reason"]]
        if not failing:
            yield RuledOut(facts["system"], "k8s.pods_failing", f"{key_of(facts, workload)}: no pod fails")
            continue
        first = failing[0]
        yield Finding(
            "k8s.pods_failing",
            "proven",
            workload_ref(facts, workload),
            links=tuple(service_ref(facts, name) for name in services_of(facts, workload)),
            evidence={
                "workload": key_of(facts, workload), "failing": len(failing), "pods": len(pods_of(facts, workload)),
                "reasons": ", ".join(sorted({str(pod["reason"]) for pod in failing})),
                "message": first["message"] or "no message", "namespace": facts["namespace"], "pod": first["name"],
            },
        )  # fmt: skip


def server_errors(facts: Json) -> t.Iterator[Observation]:
    """Answers with 5xx, by the pods' own logs, with their denominator."""
    limits = facts["limits"]
    for workload in watched_workloads(facts):
        pods = pods_of(facts, workload)
        seen = traffic_of(facts, pods)
        key = key_of(facts, workload)
        if seen.requests < limits["requests_min"]:
            why = f"only {seen.requests} requests in the logs of {key}, too few to judge"
            yield Gap(facts["system"], f"errors of {workload['name']}", why)
        elif seen.ratio > limits["error_ratio_max"]:
            worst = worst_endpoint(facts, pods)
            yield Finding(
                "k8s.server_errors",
                "proven",
                workload_ref(facts, workload),
                links=tuple(service_ref(facts, name) for name in services_of(facts, workload)),
                began=f"{seen.first_error[:19]}Z" if seen.first_error else None,
                evidence={
                    "workload": key, "errors": seen.server_errors, "requests": seen.requests, "path": worst.path,
                    "path_errors": worst.errors, "path_requests": worst.requests,
                    "error": top_error(facts, pods) or "no error line",
                },
            )  # fmt: skip
        else:
            yield RuledOut(
                facts["system"], "k8s.server_errors", f"{key}: {seen.server_errors} of {seen.requests} requests failed"
            )


RULES = (gaps, no_endpoints, pods_failing, server_errors)
