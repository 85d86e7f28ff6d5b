# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules on releases: what a new revision did to those who use it (private to the collection; pure).

A release is a cause only where it separates: its pods fail and those beside them do not, in the same minutes and for the same
path; or where everything that its pods ever answered is known, and they failed from their first requests on. Errors that came
later, or in both releases, are not its own; and what cannot be told apart is a gap.
"""

from __future__ import annotations

import dataclasses
import typing as t

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
    reasons,
    seconds_between,
    service_ref,
    services_of,
    trouble_of,
    watched_workloads,
    workload_ref,
)
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems.kubernetes.requests import (
    are_read,
    are_read_from_their_start,
    paths_of,
    recent_minutes,
    separates,
    top_error,
    total,
    worst,
)

MOST_CHANGES = 5
LONGEST_CAUSE = 120
COMPLETE = "NewReplicaSetAvailable"
# For how long after a release's pods were all up their end is still its own likely fault.
SETTLES_WITHIN = 900.0
# How long a rollout may take, from its beginning to its first pod, and from there to its end.
ROLLS_OUT_WITHIN = 600.0
# How many errors a path must have been without, where it should have had them: by chance e^-7 and e^-3 (Poisson).
SERVED_WELL = 7.0
MAY_BE_CHANCE = 3.0


@dataclasses.dataclass(frozen=True)
class Case:
    """A workload's newest release: ``newest`` and what came ``before`` it, the pods of both, and the pods of other workloads
    behind the same services (a canary's twins)."""

    workload: Json
    newest: Json
    before: Json
    new: t.Sequence[Json]
    old: t.Sequence[Json]
    twins: t.Sequence[Json]


@dataclasses.dataclass(frozen=True)
class Shown:
    """How sure it is that the release is at fault, and by what."""

    confidence: Confidence
    why: str


@dataclasses.dataclass(frozen=True)
class Innocent:
    """By what it is known that the release is not at fault."""

    why: str


@dataclasses.dataclass(frozen=True)
class Untold:
    """Why nobody can tell."""

    why: str


Judged = Shown | Innocent | Untold


def bad_release(facts: Json) -> t.Iterator[Observation]:
    """The newest release of a workload that users depend on, where it can be shown that it fails."""
    if is_unread(facts, "workloads", "releases", "pods", "services"):
        yield Gap(facts["system"], "releases", "not all of the workloads, their releases, pods and services could be read")
        return
    for workload in watched_workloads(facts):
        key = key_of(facts, workload)
        case = _case(facts, workload)
        judged = case if isinstance(case, (Innocent, Untold)) else _broken(facts, case) or _failing(facts, case)
        if isinstance(judged, Untold):
            yield Gap(facts["system"], f"the release of {key}", judged.why)
        elif isinstance(judged, Innocent):
            yield RuledOut(facts["system"], "k8s.bad_release", f"{key}: {judged.why}")
        elif isinstance(case, Case):
            yield _finding(facts, case, judged)


def _case(facts: Json, workload: Json) -> Case | Innocent | Untold:
    releases = workload["releases"]
    if not releases:
        return Untold(f"the releases of a {workload['kind']} are not read")
    # A restart makes a revision of its own, and is no release: what it restarted is.
    own = next((number for number, one in enumerate(releases) if not one["restart"]), len(releases) - 1)
    before = next(iter(releases[own + 1 : own + 2]), None)
    if before is None:
        is_first = releases[own]["revision"] == 1
        return (
            Innocent("it has had no other release") if is_first else Untold("no earlier release is kept (revisionHistoryLimit)")
        )
    revisions = {one["revision"] for one in releases[: own + 1]}
    every = pods_of(facts, workload)
    mine = set(services_of(facts, workload))
    others = [one for one in watched_workloads(facts) if one is not workload and mine & set(services_of(facts, one))]
    return Case(
        workload, {**releases[own], "hash": releases[0]["hash"], "revision": releases[0]["revision"]}, before,
        [pod for pod in every if pod["revision"] in revisions], [pod for pod in every if pod["revision"] not in revisions],
        [pod for one in others if one["name"] != workload["name"] for pod in pods_of(facts, one)],
    )  # fmt: skip


def _broken(facts: Json, case: Case) -> Judged | None:
    """Pods of the release that do not come up: proven where nobody else of the workload serves; only possible where those of the
    release before do; and not told where the release had been complete for long."""
    broken = [pod for pod in case.new if trouble_of(facts, case.workload, pod)]
    if not broken or len(broken) < len(case.new) or any(trouble_of(facts, case.workload, pod) for pod in case.old):
        return None
    said = f"{len(broken)} of its {len(case.new)} pods: {reasons(facts, case.workload, broken)}"
    if case.workload["progress"] == COMPLETE:
        age = seconds_between(case.workload["progress_at"], facts["at"])
        if age is None or age > SETTLES_WITHIN:
            return Innocent("its pods had been complete and well for long before they failed")
        return Shown("likely", f"{said}, within {age:.0f} s after all of them were up")
    serving = sum(pod["ready"] for pod in case.old)
    if serving:
        return Shown("possible", f"{said}; {serving} of the release before still serve")
    return Shown("proven", said)


def _failing(facts: Json, case: Case) -> Judged:
    """Pods of the release that answer with 5xx, or do not."""
    limits, own = facts["limits"], paths_of(facts, case.new)
    recent = recent_minutes(facts)
    now, bad = total(own, recent), worst(own, recent)
    if not case.new or now.requests < limits["requests_min"]:
        return Untold(f"its pods answered {now.requests} requests that were read, too few to tell")
    if now.ratio <= limits["error_ratio_max"]:
        is_all = are_read(facts, case.new) and all(pod["ready"] for pod in case.new)
        said = f"its pods answered {now.requests} requests, {now.errors} with 5xx"
        return Innocent(said) if is_all else Untold(f"{said}, and not all of its pods are ready and read")
    there = bad.within(recent)
    said = f"its pods answer {there.errors} of {there.requests} requests to {bad.name} with 5xx"
    beside = paths_of(facts, case.old or case.twins).get(bad.name)
    if beside is not None:
        minutes = set(bad.minutes) & set(beside.minutes)
        mine, theirs = bad.within(minutes), beside.within(minutes)
        if min(mine.requests, theirs.requests) >= limits["requests_min"]:
            return _compared(mine, theirs, said, limits["error_ratio_max"])
    if not (_are_its_first(facts, case) and are_read_from_their_start(facts, case.new)):
        return Untold(f"{said}; whether from their start is not known: the logs that were read do not go back to it")
    well = f"it had answered {bad.good_before} requests to {bad.name} well before the first 5xx"
    if bad.expected_errors >= SERVED_WELL:
        return Innocent(well)
    if bad.expected_errors >= MAY_BE_CHANCE:
        return Untold(f"{said}; {well}, which may be chance")
    later = seconds_between(case.newest["rolled_out_at"], bad.first_error)
    return Shown("likely", f"{said}, from their first ones on" + ("" if later is None else f" ({later:.0f} s after it came)"))


def _are_its_first(facts: Json, case: Case) -> bool:
    """Whether the pods that are there are the release's first ones: young pods may also be there because somebody restarted them,
    or a node was emptied, and then what the first ones answered is not known."""
    first = case.newest["rolled_out_at"]
    after_it = seconds_between(case.newest["created_at"], first)
    until_complete = seconds_between(first, case.workload["progress_at"])
    came_with_it = after_it is not None and after_it <= ROLLS_OUT_WITHIN
    was_completed = until_complete is not None and 0 <= until_complete <= ROLLS_OUT_WITHIN
    return not case.workload["releases"][0]["restart"] and (came_with_it or was_completed)


def _compared(mine: t.Any, theirs: t.Any, said: str, tolerated: float) -> Judged:
    beside = f"those beside them {theirs.errors} of {theirs.requests} in the same minutes"
    if separates(mine, theirs):
        return Shown("proven", f"{said}, {beside}")
    if theirs.ratio > tolerated:
        return Innocent(f"{said}, and {beside} as well")
    return Untold(f"{said}, {beside}: too few to tell them apart")


def _finding(facts: Json, case: Case, shown: Shown) -> Finding:
    workload, new, was = case.workload, case.newest, case.before
    owner = workload["owner"]
    told = (new["change_cause"] or "no change-cause")[:LONGEST_CAUSE]
    return Finding(
        "k8s.bad_release",
        shown.confidence,
        workload_ref(facts, workload),
        links=tuple(service_ref(facts, name) for name in services_of(facts, workload)),
        began=f"{new['rolled_out_at'][:19]}Z",
        evidence={
            "workload": key_of(facts, workload), "revision": new["revision"], "before": was["revision"],
            "since": new["rolled_out_at"], "why": shown.why,
            "changes": "; ".join(new["changes"][:MOST_CHANGES]) or "nothing that is known", "cause": told,
            "error": top_error(facts, case.new) or "none", "namespace": facts["namespace"], "name": workload["name"],
            "kept": _first_of_all(facts, workload),
        },
        targets={} if owner or workload["paused"] else _targets(facts, case),
    )  # fmt: skip


def _first_of_all(facts: Json, workload: Json) -> str:
    """What must be done by hand before a rollback would hold, or be rolled out at all."""
    owner, words = workload["owner"], []
    if owner:
        words.append(f"{owner['tool']} keeps it: {owner['suspend']} first, then ")
    if workload["paused"]:
        words.append(f"it is paused: kubectl -n {facts['namespace']} rollout resume deployment/{workload['name']} first, then ")
    return "".join(words)


def _targets(facts: Json, case: Case) -> dict[str, tuple[Json, ...]]:
    """What may be rolled back: only what is known by its uid and by the templates of both releases."""
    workload, new, was = case.workload, case.newest, case.before
    if not (workload["uid"] and new["hash"] and was["hash"]) or new["hash"] == was["hash"]:
        return {}
    target = {
        "namespace": facts["namespace"], "kind": workload["kind"], "name": workload["name"], "uid": workload["uid"],
        "from_hash": new["hash"], "to_hash": was["hash"], "from_revision": new["revision"], "to_revision": was["revision"],
    }  # fmt: skip
    return {"rollback": (target,)}


RULES = (bad_release,)
