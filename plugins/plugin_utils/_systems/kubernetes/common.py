# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the rules on Kubernetes share: names of things, pods of a release, what their logs say (private; pure)."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.sre.runbooks.plugins.plugin_utils._judgement.model import Json, Ref


@dataclasses.dataclass(frozen=True)
class Traffic:
    """What the logs of some pods say of the requests that they answered."""

    requests: int
    server_errors: int
    first_error: str | None

    @property
    def ratio(self) -> float:
        return self.server_errors / self.requests if self.requests else 0.0


def key_of(facts: Json, workload: Json) -> str:
    """What a workload is called: namespace, kind, name."""
    return f"{facts['namespace']}/{workload['kind']}/{workload['name']}"


def workload_ref(facts: Json, workload: Json) -> Ref:
    return Ref(facts["system"], "workload", key_of(facts, workload))


def service_ref(facts: Json, name: str) -> Ref:
    return Ref(facts["system"], "service", f"{facts['namespace']}/{name}")


def is_unread(facts: Json, *diagnostics: str) -> bool:
    """Whether one of these could not be read."""
    return bool({gap["diagnostic"] for gap in facts["gaps"]} & set(diagnostics))


def services_of(facts: Json, workload: Json) -> list[str]:
    """The services that users depend on and that a workload's pods stand behind, by what its pods' template says."""
    own = {pod["name"] for pod in facts["pods"] if pod["workload"] == workload["name"]}
    return [one["name"] for one in facts["services"] if one["name"] in facts["watched"] and own & set(one["pods"])]


def watched_workloads(facts: Json) -> list[Json]:
    """The workloads behind the services that users depend on."""
    return [one for one in facts["workloads"] if services_of(facts, one)]


def pods_of(facts: Json, workload: Json, revision: int | None = None) -> list[Json]:
    """A workload's pods that are meant to stay, of one revision or of all."""
    own = [pod for pod in facts["pods"] if pod["workload"] == workload["name"] and not pod["terminating"]]
    return own if revision is None else [pod for pod in own if pod["revision"] == revision]


def traffic_of(facts: Json, pods: t.Iterable[Json]) -> Traffic:
    """What the logs of these pods say together."""
    names = {pod["name"] for pod in pods}
    logs = [one for one in facts["logs"] if one["pod"] in names]
    errors = [one["first_server_error"] for one in logs if one["first_server_error"]]
    return Traffic(
        sum(one["requests"] for one in logs),
        sum(one["server_errors"] for one in logs),
        min(errors, default=None),
    )


@dataclasses.dataclass(frozen=True)
class Worst:
    """The path with most answers of 5xx; ``good_before`` requests to it were answered before the first that was not."""

    path: str = ""
    errors: int = 0
    requests: int = 0
    good_before: int = 0


def worst_endpoint(facts: Json, pods: t.Iterable[Json]) -> Worst:
    """The path that fails most, over these pods."""
    names = {pod["name"] for pod in pods}
    found: dict[str, Worst] = {}
    for one in facts["logs"]:
        for path, told in one["endpoints"].items() if one["pod"] in names else ():
            before = found.get(path, Worst(path))
            found[path] = Worst(
                path, before.errors + told["server_errors"], before.requests + told["requests"],
                before.good_before + told["good_before_error"],
            )  # fmt: skip
    return max(found.values(), key=lambda one: (one.errors, one.path), default=Worst())


def top_error(facts: Json, pods: t.Iterable[Json]) -> str:
    """The template of most error lines, with how often it came; empty where there is none."""
    names = {pod["name"] for pod in pods}
    counts: dict[str, int] = {}
    for one in facts["logs"]:
        for template, told in one["templates"].items() if one["pod"] in names else ():
            counts[template] = counts.get(template, 0) + told["count"]
    best = max(counts, key=lambda name: (counts[name], name), default="")
    return f"{best} ({counts[best]} ×)" if best else ""
