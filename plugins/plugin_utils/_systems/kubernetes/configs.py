# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rule on features that a key of a ConfigMap switches (private to the collection; pure).

A feature is a cause only where it separates: of pods of one release those fail that were started since, all of them and from
their first requests on, and the others do not, for the same path in the same minutes; or, where pods take it as a file, all were
well and all fail from right after it was written. A ConfigMap has no history: what a key held before is not known, nor what was
taken away, and unless the server's books show that it was written by itself, nor when it was changed. So time alone rules nothing
out; only that users are well with it does, or that it is off in all pods.
"""

from __future__ import annotations

import dataclasses
import datetime
import typing as t

from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.facts import Config
from ansible_collections.sre.runbooks.plugins.module_utils._times import moment, seconds_between
from ansible_collections.sre.runbooks.plugins.plugin_utils._judgement.model import (
    Finding,
    Gap,
    Json,
    Observation,
    Ref,
    RuledOut,
)
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems.kubernetes.answers import MAY_BE_CHANCE, SERVED_WELL
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems.kubernetes.cases import Innocent, Judged, Shown, Untold
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems.kubernetes.common import (
    is_unread,
    key_of,
    service_ref,
    services_of,
    watched_workloads,
    workload_ref,
)
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems.kubernetes.facts import Facts
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems.kubernetes.requests import (
    Path,
    are_read,
    are_read_from_their_start,
    paths_of,
    recent_minutes,
    separates,
    that_answer_well,
    top_error,
    total,
    worst,
)
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems.kubernetes.takers import Taken, is_off, others_take, taken_by

# How long the kubelet takes until a pod sees a change in its file (syncFrequency 60 s and the cache's time to live).
SEEN_WITHIN = 150.0
SEEN = datetime.timedelta(seconds=SEEN_WITHIN)
# A pod that was started later than that after the key was written may fail for whatever came in between.
STARTED_WITHIN = 3600.0
OFF_WORDS = ("", "0", "disabled", "false", "no", "off")


def features(facts: Facts) -> t.Iterator[Observation]:
    """The features that the inventory names, where users' requests fail. Where several fit, none is shown to be the one."""
    found: list[tuple[Config, Taken, Shown]] = []
    for config in facts["configs"]:
        name = f"the feature {config['key']} of {config['configmap']}"
        if is_unread(facts, "workloads", "pods", "services"):
            yield Gap(facts["system"], name, "who takes it could not be read")
            continue
        users = [taken for one in watched_workloads(facts) if (taken := taken_by(facts, one, config))]
        if not users:
            yield Gap(facts["system"], name, "no pod behind a service that users depend on is known to take it from there")
        for taken in users:
            judged = _judged(facts, config, taken)
            where = f"{name} in {key_of(facts, taken.workload)}"
            if isinstance(judged, Untold):
                yield Gap(facts["system"], where, judged.why)
            elif isinstance(judged, Innocent):
                yield RuledOut(facts["system"], "k8s.config_changed", f"{where}: {judged.why}")
            else:
                found.append((config, taken, judged))
    others = len({(config["configmap"], config["key"]) for config, _taken, _shown in found}) - 1
    for config, taken, shown in found:
        yield _finding(facts, config, taken, _among_others(shown, others))


def _among_others(shown: Shown, others: int) -> Shown:
    return Shown("possible", f"{shown.why}; so do {others} other features") if others else shown


def _judged(facts: Facts, config: Config, taken: Taken) -> Judged:
    if not isinstance(config["off_value"], str):
        return Untold(f"its off_value in the inventory is no text: write it in quotes ({str(config['off_value']).lower()!r})")
    if not config["is_shown"]:
        return Untold("what it holds is more than one short word, or looks like a secret, and is not looked at")
    if taken.why_unsure:
        return Untold(taken.why_unsure)
    recent = recent_minutes(facts)
    # Those that have it are looked at alone, too: beside many that do not, their failures are few.
    bad = worst(facts, paths_of(facts, taken.since), recent) or worst(facts, paths_of(facts, taken.pods), recent)
    if bad is None:
        return _well(facts, taken)
    if config["value"] is None:
        return Untold("the key is not there; since when, and what the application does without it, is not known")
    if is_off(config):
        return _off_by_now(facts, taken)
    if config["value"].strip().lower() in OFF_WORDS:
        return Untold(
            f"whether {config['value']!r} is on or off is not known; the inventory says that {config['off_value']!r} is off"
        )
    judged = _as_a_file(facts, config, taken, bad) if taken.is_file else _as_a_variable(facts, config, taken)
    if isinstance(judged, Shown) and not config["is_alone"]:
        return Shown("possible", f"{judged.why}; what else was written with it, and when it was changed itself, is not known")
    return judged


def _off_by_now(facts: Facts, taken: Taken) -> Judged:
    """Pods keep what was there when they were started; so do most that take it as a file."""
    if taken.before or not taken.is_whole:
        again = f"kubectl -n {facts['namespace']} rollout restart deployment/{taken.workload['name']}"
        return Untold(f"it is off by now, and pods that were started before it was written may still have it on: {again}")
    return Innocent("it is off, and all pods were started since")


def _well(facts: Facts, taken: Taken) -> Judged:
    """Requests that do not fail, of pods that are all there; a path of which few were asked may still fail."""
    limits, recent = facts["limits"], recent_minutes(facts)
    now = total(facts, taken.pods, recent)
    said = f"its pods answered {now.requests} requests, {now.errors} with 5xx"
    rare = [path.name for path in paths_of(facts, taken.pods).values() if path.within(recent).ratio > limits["error_ratio_max"]]
    are_there = taken.is_whole and all(pod["ready"] for pod in taken.pods) and are_read(facts, taken.pods)
    if rare or not are_there or now.requests < limits["requests_min"] or now.ratio > limits["error_ratio_max"]:
        return Untold(f"{said}; not all of its pods are ready and read, or a path of few requests fails")
    return Innocent(said)


def _as_a_variable(facts: Facts, config: Config, taken: Taken) -> Judged:
    """Pods that have it beside pods of the same release that do not."""
    if not taken.is_known:
        return Untold("since when its pods run, against when it was written, is not known")
    if not taken.since:
        return Untold("all of its pods were started before it was written last; what it held then is not known")
    if not taken.before:
        return Untold("all of its pods were started since it was written; how they would answer without it is not known")
    with_it, without = paths_of(facts, taken.since), paths_of(facts, taken.before)
    bad = worst(facts, with_it, recent_minutes(facts))
    if bad is None:
        return _those_that_have_it(facts, taken)
    beside = without.get(bad.name, Path(bad.name))
    minutes = set(bad.minutes) & set(beside.minutes)
    mine, theirs = bad.within(minutes), beside.within(minutes)
    said = (
        f"its {len(taken.since)} pods that were started since fail {mine.errors} of {mine.requests} requests to {bad.name}, "
        f"those beside them {theirs.errors} of {theirs.requests} in the same minutes"
    )
    if min(mine.requests, theirs.requests) < facts["limits"]["requests_min"] or not separates(bad, beside):
        return Untold(f"{said}: too little to tell them apart")
    return _of_its_own(facts, config, taken, bad, said)


def _those_that_have_it(facts: Facts, taken: Taken) -> Judged:
    having = dataclasses.replace(taken, pods=taken.since, before=())
    judged = _well(facts, having)
    return Innocent(f"of those that have it, {judged.why}") if isinstance(judged, Innocent) else judged


def _of_its_own(facts: Facts, config: Config, taken: Taken, bad: Path, said: str) -> Judged:
    """Whether all pods that have it fail, from their first requests on, and were started soon after it was written."""
    good = that_answer_well(facts, taken.since, bad)
    if good:
        return Untold(f"{said}; but {', '.join(good)} has it too, and answers well")
    if not are_read_from_their_start(facts, taken.since):
        return Untold(f"{said}; whether from their first ones on is not known: the logs that were read do not go back to it")
    if bad.expected_errors >= MAY_BE_CHANCE:
        return Untold(f"{said}; but they had answered {bad.good_before} requests to it well, with the feature")
    why = _what_else_came(facts, config, taken, min(taken.started_before, default=""))
    if why:
        return Shown("possible", f"{said}; but {why}")
    return Shown("likely", f"{said}{taken.beside}")


def _what_else_came(facts: Facts, config: Config, taken: Taken, since: str) -> str:
    """What, beside the feature, those that fail have and the others do not, as far as is known; empty for nothing."""
    later = min((seconds_between(config["written"], at) or 0.0 for at in taken.started_since), default=0.0)
    if later > STARTED_WITHIN:
        return f"it was written {later / 3600:.1f} h before they were started"
    if len({tuple(pod["image_ids"]) for pod in taken.pods}) > 1:
        return "not all of them run the same images"
    if config["beside"] is None or _is_later(since, config["beside"]):
        return "something else of the ConfigMap may have been written since, too"
    secrets = [one["name"] for one in facts["secrets"] if any(_is_later(since, at) for at in one["written"].values())]
    return f"the Secret {', '.join(secrets)} was written since, too" if secrets else ""


def _is_later(since: str, at: str) -> bool:
    """Whether something was written after a time; where one of them is not known, it may have been. Nothing was at none."""
    seconds = seconds_between(since, at)
    return bool(at) and (seconds is None or seconds >= 0)


def _as_a_file(facts: Facts, config: Config, taken: Taken, bad: Path) -> Judged:
    """Pods that were all well, and all fail from right after it was written."""
    later = seconds_between(config["written"], bad.first_error)
    if later is None or not taken.is_known:
        return Untold("when it was written, or when requests began to fail, is not known")
    if later < 0:
        return Untold(f"requests to {bad.name} failed {-later:.0f} s before it was written last; what it held then is not known")
    said = f"requests to {bad.name} fail since {later:.0f} s after it was written"
    if taken.since:
        return Untold(
            f"{said}; but {len(taken.since)} of its pods were started since, and something else may have come with them"
        )
    if later > SEEN_WITHIN:
        return Untold(f"{said}, as far as the logs that were read go back: long after the pods had it")
    if bad.expected_errors < SERVED_WELL:
        return Untold(f"{said}; {bad.good_before} were answered well before: too few to tell")
    good = that_answer_well(facts, taken.pods, bad)
    if good:
        return Untold(f"{said}; but {', '.join(good)} sees it too, and answers well")
    begins = moment(config["written"])
    why = _what_else_came(facts, config, taken, (begins - SEEN).isoformat() if begins else "")
    if why:
        return Shown("possible", f"{said}; but {why}")
    return Shown("likely", f"{said}; {bad.good_before} before were well{taken.beside}")


def _finding(facts: Facts, config: Config, taken: Taken, shown: Shown) -> Finding:
    workload, owner = taken.workload, config["owner"]
    name = f"{facts['namespace']}/{config['configmap']}"
    return Finding(
        "k8s.config_changed", shown.confidence, Ref(facts["system"], "config", f"{name}/{config['key']}"),
        links=(workload_ref(facts, workload), *(service_ref(facts, one) for one in services_of(facts, workload))),
        began=config["written"],
        evidence={
            "workload": key_of(facts, workload), "configmap": name, "key": config["key"], "value": repr(config["value"]),
            "since": config["written"], "why": shown.why, "name": config["configmap"], "namespace": facts["namespace"],
            "error": top_error(facts, taken.since or taken.pods) or "none",
            "owner": f"; {owner['tool']} ({owner['name']}) writes it: {owner['suspend']}" if owner else "",
        },
        targets={"disable_feature": _targets(facts, config, taken) if shown.confidence == "likely" else ()},
    )  # fmt: skip


def _targets(facts: Facts, config: Config, taken: Taken) -> tuple[Json, ...]:
    """What may be written: a ConfigMap that is known by its uid, that nobody else keeps, and that this workload alone takes."""
    workload = taken.workload
    is_kept = config["owner"] or config["immutable"] or workload["paused"] or others_take(facts, workload, config)
    if is_kept or not (config["uid"] and workload["uid"]):
        return ()
    return ({"namespace": facts["namespace"], "configmap": config["configmap"], "uid": config["uid"], "key": config["key"],
             "was": config["value"], "value": config["off_value"], "workload": workload["name"],
             "workload_uid": workload["uid"]},)  # fmt: skip


RULES = (features,)
