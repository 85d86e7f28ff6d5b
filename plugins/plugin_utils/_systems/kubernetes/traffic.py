# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules on who serves: services without a ready pod, pods that do not come up, answers with 5xx (private; pure)."""

from __future__ import annotations

import typing as t

from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.facts import Pod, Service, Watched
from ansible_collections.sre.runbooks.plugins.plugin_utils._judgement.model import (
    Confidence,
    Finding,
    Gap,
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
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems.kubernetes.facts import Facts
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems.kubernetes.requests import (
    OTHERS,
    Count,
    Path,
    are_read,
    paths_of,
    recent_minutes,
    top_error,
    total,
    worst,
)

# Of the pods that there should be, how many at least serve where users need not notice.
ENOUGH = 0.5


def gaps(facts: Facts) -> t.Iterator[Observation]:
    """What could not be read."""
    for gap in facts["gaps"]:
        yield Gap(facts["system"], gap["diagnostic"], gap["reason"])
    if not is_unread(facts, "pods", "workloads"):
        yield Measured(facts["system"], f"namespace {facts['namespace']}", "system")


def no_endpoints(facts: Facts) -> t.Iterator[Observation]:
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


def _unserved(facts: Facts, service: Service, key: str) -> Finding:
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


def _why_unserved(facts: Facts, service: Service) -> str:
    chosen = [one for one in facts["workloads"] if selects(service["selector"], one["selector"])]
    empty = [one for one in chosen if not one["replicas"]]
    if chosen and len(empty) == len(chosen):
        return f"{key_of(facts, empty[0])}, which it selects, is scaled to 0"
    if service["portless"]:
        return "its pods are ready, and have no port of the name that it asks for"
    if not service["selector"]:
        return "it has no selector, and none of the endpoints that were made by hand is ready"
    return f"{len(service['pods'])} pods match its selector, none of them is a ready endpoint"


def _selector(service: Service) -> str:
    return ",".join(f"{name}={value}" for name, value in sorted(service["selector"].items()))


def pods_failing(facts: Facts) -> t.Iterator[Observation]:
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


def _failing(facts: Facts, workload: Watched, pods: list[Pod], failing: list[Pod]) -> Finding:
    serving = sum(pod["ready"] for pod in pods)
    why = reasons(facts, workload, failing) or "they cannot be made"
    first = failing[0] if failing else None
    return Finding(
        "k8s.pods_failing",
        _how_sure(facts, workload),
        workload_ref(facts, workload),
        links=tuple(service_ref(facts, name) for name in services_of(facts, workload)),
        evidence={
            "workload": key_of(facts, workload), "serving": serving, "wanted": workload["replicas"], "reasons": why,
            "message": workload["refused"] or (first and first["message"]) or "no message", "namespace": facts["namespace"],
            "object": f"pod/{first['name']}" if first else f"{workload['kind'].lower()}/{workload['name']}",
        },
    )  # fmt: skip


def _how_sure(facts: Facts, workload: Watched) -> Confidence:
    """Whether a workload's failing pods are why users suffer: weighed against all who serve the same Services."""
    mine = services_of(facts, workload)
    shares = []
    for service in facts["services"]:
        if service["name"] in mine:
            beside = [one for one in watched_workloads(facts) if service["name"] in services_of(facts, one)]
            shares.append(len(service["ready"]) / max(1, sum(one["replicas"] for one in beside)))
    least = min(shares, default=1.0)
    return "proven" if least == 0 else "likely" if least < ENOUGH else "possible"


def server_errors(facts: Facts) -> t.Iterator[Observation]:
    """Answers with 5xx, by the logs of pods that serve, with their denominator."""
    for workload in watched_workloads(facts):
        pods = [pod for pod in pods_of(facts, workload) if pod["kind"] or pod["ready"]]
        yield _errors_of(facts, workload, pods)


def _errors_of(facts: Facts, workload: Watched, pods: list[Pod]) -> Observation:
    limits, minutes, key = facts["limits"], recent_minutes(facts), key_of(facts, workload)
    paths = paths_of(facts, pods)
    over = [path for path in paths.values() if path.is_over and path.within(minutes).errors]
    seen, bad = total(facts, pods, minutes) - sum((path.within(minutes) for path in over), Count()), worst(facts, paths, minutes)
    if bad is None and seen.requests < limits["requests_min"] and not over:
        why = f"only {seen.requests} requests of the last minutes in the logs of {key}, too few to judge"
        return Gap(facts["system"], f"errors of {workload['name']}", why)
    if bad is None and seen.ratio <= limits["error_ratio_max"]:
        if OTHERS in paths and paths[OTHERS].within(minutes).errors:
            return Gap(facts["system"], f"errors of {workload['name']}", "requests to more paths than are kept fail")
        if not are_read(facts, pods):
            return Gap(facts["system"], f"errors of {workload['name']}", "not all of its pods' logs could be read")
        said = f"{key}: {seen.errors} of {seen.requests} requests failed{_over(over)}"
        return RuledOut(facts["system"], "k8s.server_errors", said)
    there = bad.within(minutes) if bad else seen
    return Finding(
        "k8s.server_errors",
        "proven",
        workload_ref(facts, workload),
        links=tuple(service_ref(facts, name) for name in services_of(facts, workload)),
        began=f"{bad.first_error[:19]}Z" if bad and bad.first_error else None,
        evidence={
            "workload": key, "errors": seen.errors, "requests": seen.requests, "path": bad.name if bad else "many paths",
            "path_errors": there.errors, "path_requests": there.requests, "error": top_error(facts, pods) or "no error line",
        },
    )  # fmt: skip


def _over(paths: t.Sequence[Path]) -> str:
    """Errors that are over, in words."""
    told = [f"{one.name} since {one.last_error[11:19]}Z ({sum(since[0] for since in one.since_last)} well)" for one in paths]
    return f"; errors are over on {', '.join(told)}" if told else ""


RULES = (gaps, no_endpoints, pods_failing, server_errors)
