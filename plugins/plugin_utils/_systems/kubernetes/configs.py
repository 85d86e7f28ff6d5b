# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rule on features that a key of a ConfigMap switches (private to the collection; pure).

A feature is a cause only where it separates: of pods of one release those fail that were started since, for the same path in the
same minutes; or, where pods take it as a file, all were well before it was written and fail from right after it. A ConfigMap has
no history: where other keys were written with it, nobody can tell which of them was changed.
"""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.facts import Config, Pod, Watched
from ansible_collections.sre.runbooks.plugins.plugin_utils._judgement.model import Finding, Gap, Json, Observation, RuledOut
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems.kubernetes.answers import SERVED_WELL
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems.kubernetes.cases import Innocent, Judged, Shown, Untold
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems.kubernetes.common import (
    is_unread,
    key_of,
    pods_of,
    seconds_between,
    service_ref,
    services_of,
    watched_workloads,
    workload_ref,
)
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems.kubernetes.facts import Facts
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems.kubernetes.requests import (
    Path,
    are_read,
    paths_of,
    recent_minutes,
    separates,
    top_error,
    total,
    worst,
)

# How long the kubelet takes until a pod sees a change in its file (syncFrequency 60 s and the cache's time to live).
SEEN_WITHIN = 150.0


@dataclasses.dataclass(frozen=True)
class Taken:
    """How a workload's pods stand to a key: those started ``since`` it was written, and ``before``; ``is_live``: all see it as a
    file, ``is_known``: of each pod it is known when it took it."""

    workload: Watched
    pods: t.Sequence[Pod]
    since: t.Sequence[Pod]
    before: t.Sequence[Pod]
    is_live: bool

    @property
    def is_known(self) -> bool:
        return len(self.since) + len(self.before) == len(self.pods)


def features(facts: Facts) -> t.Iterator[Observation]:
    """The features that the inventory names, where users' requests fail."""
    for config in facts["configs"]:
        name = f"the feature {config['key']} of {config['configmap']}"
        if is_unread(facts, "workloads", "pods", "services"):
            yield Gap(facts["system"], name, "who takes it could not be read")
            continue
        users = [(one, pods) for one in watched_workloads(facts) if (pods := _that_take(facts, one, config))]
        if not users:
            yield Gap(facts["system"], name, "no pod behind a service that users depend on takes it from there")
        for workload, pods in users:
            yield _observed(facts, config, _taken(workload, pods, config), name)


def _that_take(facts: Facts, workload: Watched, config: Config) -> list[Pod]:
    return [pod for pod in pods_of(facts, workload) if _references(pod, config)]


def _references(pod: Pod, config: Config) -> list[tuple[str, bool]]:
    """By which containers a pod takes a key, and whether as a file."""
    return [
        (one["container"], one["is_live"]) for one in pod["configs"]
        if one["configmap"] == config["configmap"] and one["key"] in ("", config["key"])
    ]  # fmt: skip


def _taken(workload: Watched, pods: t.Sequence[Pod], config: Config) -> Taken:
    references = {pod["name"]: _references(pod, config) for pod in pods}
    started = {
        pod["name"]: min((pod["started"].get(container, "") for container, _live in references[pod["name"]]), default="")
        for pod in pods
    }
    ages = [(pod, seconds_between(config["written"], started[pod["name"]])) for pod in pods]
    return Taken(
        workload, pods, [pod for pod, age in ages if age is not None and age > 0],
        [pod for pod, age in ages if age is not None and age < 0],
        all(live for every in references.values() for _container, live in every),
    )  # fmt: skip


def _observed(facts: Facts, config: Config, taken: Taken, name: str) -> Observation:
    key = key_of(facts, taken.workload)
    judged = _judged(facts, config, taken)
    if isinstance(judged, Untold):
        return Gap(facts["system"], f"{name} in {key}", judged.why)
    if isinstance(judged, Innocent):
        return RuledOut(facts["system"], "k8s.config_changed", f"{name} in {key}: {judged.why}")
    return _finding(facts, config, taken, judged)


def _judged(facts: Facts, config: Config, taken: Taken) -> Judged:
    if not isinstance(config["off_value"], str):
        return Untold(f"its off_value in the inventory is no text: write it in quotes ({str(config['off_value']).lower()!r})")
    if not config["is_shown"]:
        return Untold("what it holds is long, or looks like a secret, and is not looked at")
    bad = worst(facts, paths_of(facts, taken.pods), recent_minutes(facts))
    if bad is None:
        return _well(facts, taken)
    if config["value"] in (None, config["off_value"]):
        return _off_by_now(facts, config, taken)
    judged = _as_a_file(taken, config, bad, facts) if taken.is_live else _as_a_variable(facts, taken)
    if isinstance(judged, Shown) and config["beside"]:
        others = f"{config['beside']} other keys have the same time in the server's books: which one was changed is not known"
        return Shown("possible", f"{judged.why}; {others}")
    return judged


def _off_by_now(facts: Facts, config: Config, taken: Taken) -> Judged:
    """Pods keep what was there when they were started, or for as long as the kubelet needs."""
    age = seconds_between(config["written"], facts["at"])
    have_it = age is not None and age > SEEN_WITHIN if taken.is_live else taken.is_known and not taken.before
    if not have_it:
        return Untold("it is off, or not there, by now; pods that were there before it was written may still have it on")
    return Innocent("it is off, or not there, and all pods have that")


def _well(facts: Facts, taken: Taken) -> Judged:
    now = total(facts, taken.pods, recent_minutes(facts))
    is_enough = now.requests >= facts["limits"]["requests_min"] and now.ratio <= facts["limits"]["error_ratio_max"]
    if is_enough and are_read(facts, taken.pods):
        return Innocent(f"its pods answered {now.requests} requests, {now.errors} with 5xx")
    return Untold(f"its pods answered {now.requests} requests, {now.errors} with 5xx, and no path fails by itself")


def _as_a_variable(facts: Facts, taken: Taken) -> Judged:
    """Pods that have it beside pods of the same release that do not."""
    if not taken.is_known:
        return Untold("since when its pods run, against when it was written, is not known")
    if not taken.since:
        return Innocent("all of its pods were started before it was written, and have what was there then")
    if not taken.before:
        return Untold("all of its pods were started since it was written; how they would answer without it is not known")
    if len({pod["hash"] for pod in taken.pods}) > 1:
        return Untold("pods of two releases stand beside each other: whether it is the release or the feature is not known")
    with_it, without = paths_of(facts, taken.since), paths_of(facts, taken.before)
    bad = worst(facts, with_it, recent_minutes(facts))
    if bad is None:
        return Innocent("the pods that have it answer well")
    beside = without.get(bad.name, Path(bad.name))
    minutes = set(bad.minutes) & set(beside.minutes)
    mine, theirs = bad.within(minutes), beside.within(minutes)
    said = (
        f"its {len(taken.since)} pods that were started since fail {mine.errors} of {mine.requests} requests to {bad.name}, "
        f"those beside them {theirs.errors} of {theirs.requests} in the same minutes"
    )
    if min(mine.requests, theirs.requests) < facts["limits"]["requests_min"]:
        return Untold(f"{said}: too few to tell them apart")
    if not separates(bad, beside):
        return Innocent(f"{said}") if theirs.ratio > facts["limits"]["error_ratio_max"] else Untold(said)
    return Shown("likely", said)


def _as_a_file(taken: Taken, config: Config, bad: Path, facts: Facts) -> Judged:
    """Pods that were well, and fail from right after it was written."""
    later = seconds_between(config["written"], bad.first_error)
    if later is None or not taken.is_known:
        return Untold("when it was written, or when requests began to fail, is not known")
    if later < 0:
        return _after_errors(facts, config, bad, -later)
    if taken.since:
        return Untold(f"{len(taken.since)} of its pods were started since it was written: something else may have come with them")
    if later > SEEN_WITHIN:
        return Innocent(f"requests to {bad.name} began to fail {later:.0f} s after it was written, long after the pods had it")
    if bad.expected_errors < SERVED_WELL:
        return Untold(f"{bad.good_before} requests to {bad.name} were answered well before it was written: too few to tell")
    return Shown(
        "likely", f"requests to {bad.name} fail since {later:.0f} s after it was written; {bad.good_before} before were well"
    )


def _after_errors(facts: Facts, config: Config, bad: Path, seconds: float) -> Judged:
    """Requests failed before it was written: as often as now, or only now and then."""
    minute = config["written"][: len("2026-11-24T02:10")]
    before = bad.within([one for one in bad.minutes if one < minute])
    if before.requests >= facts["limits"]["requests_min"] and before.ratio > facts["limits"]["error_ratio_max"]:
        return Innocent(f"requests to {bad.name} failed before it was written ({before.errors} of {before.requests})")
    return Untold(f"the first failed request to {bad.name} came {seconds:.0f} s before it was written")


def _finding(facts: Facts, config: Config, taken: Taken, shown: Shown) -> Finding:
    workload, owner = taken.workload, config["owner"]
    return Finding(
        "k8s.config_changed", shown.confidence, workload_ref(facts, workload),
        links=tuple(service_ref(facts, name) for name in services_of(facts, workload)),
        began=config["written"],
        evidence={
            "workload": key_of(facts, workload), "configmap": f"{facts['namespace']}/{config['configmap']}", "key": config["key"],
            "value": repr(config["value"]), "since": config["written"], "why": shown.why, "name": config["configmap"],
            "namespace": facts["namespace"], "error": top_error(facts, taken.since or taken.pods) or "none",
            "owner": f"; {owner['tool']} ({owner['name']}) writes it: {owner['suspend']}" if owner else "",
        },
        targets={"disable_feature": _targets(facts, config, taken)},
    )  # fmt: skip


def _targets(facts: Facts, config: Config, taken: Taken) -> tuple[Json, ...]:
    """What may be written: a ConfigMap that is known by its uid, that nobody else keeps, and that this workload alone takes."""
    workload = taken.workload
    takers = {(pod["kind"], pod["workload"]) for pod in facts["pods"] if _references(pod, config)}
    is_alone = takers == {(workload["kind"], workload["name"])}
    if not (is_alone and config["uid"] and workload["uid"]) or config["owner"] or config["immutable"] or workload["paused"]:
        return ()
    restart = {} if taken.is_live else {"workload": workload["name"], "workload_uid": workload["uid"]}
    return ({"namespace": facts["namespace"], "configmap": config["configmap"], "uid": config["uid"], "key": config["key"],
             "was": config["value"], "value": config["off_value"], "workload": "", "workload_uid": "", **restart},)  # fmt: skip


RULES = (features,)
