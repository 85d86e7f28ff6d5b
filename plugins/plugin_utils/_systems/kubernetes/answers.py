# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a release's pods answer with 5xx, and whether that is its own fault (private to the collection; pure).

Proven only beside pods that answer the same path in the same minutes well; likely only where everything that its pods ever
answered is known. Where its own pods do not agree it is something that only some of them have: a node, a connection.
"""

from __future__ import annotations

from ansible_collections.sre.runbooks.plugins.module_utils._times import seconds_between
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems.kubernetes.cases import Case, Innocent, Judged, Shown, Untold
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems.kubernetes.common import COMPLETE
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems.kubernetes.facts import Facts
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems.kubernetes.requests import (
    Path,
    are_read,
    are_read_from_their_start,
    paths_of,
    recent_minutes,
    separates,
    that_answer_well,
    total,
    worst,
)

# How many errors a path must have been without, where it should have had them: by chance e^-7 and e^-3 (Poisson).
SERVED_WELL = 7.0
MAY_BE_CHANCE = 3.0
# How long a rollout may take, from its beginning to its first pod, and from there to its end.
ROLLS_OUT_WITHIN = 600.0


def failing(facts: Facts, case: Case) -> Judged:
    """Whether its pods answer with 5xx by its own fault."""
    recent = recent_minutes(facts)
    bad = worst(facts, paths_of(facts, case.new), recent)
    if bad is None:
        return _well(facts, case)
    there = bad.within(recent)
    said = f"its pods answer {there.errors} of {there.requests} requests to {bad.name} with 5xx"
    good = that_answer_well(facts, case.new, bad)
    if good:
        return Shown("possible", f"{said}; but {', '.join(good)} of the same release answers it well")
    return _beside(facts, case, bad, said) or _from_their_start(facts, case, bad, said)


def _well(facts: Facts, case: Case) -> Judged:
    limits = facts["limits"]
    now = total(facts, case.new, recent_minutes(facts))
    said = f"its pods answered {now.requests} requests, {now.errors} with 5xx"
    if now.requests < limits["requests_min"]:
        return Untold(f"{said}; too few were read to tell")
    if now.ratio > limits["error_ratio_max"]:
        return Untold(f"{said}, and no path fails by itself")
    if not (are_read(facts, case.new) and all(pod["ready"] for pod in case.new)):
        return Untold(f"{said}, and not all of its pods are ready and read")
    return Innocent(said)


def _beside(facts: Facts, case: Case, bad: Path, said: str) -> Judged | None:
    """What the pods beside them say of the same path in the same minutes; None where they say too little. Those that end are
    heard too: they may have failed before the release came."""
    others = [pod for pod in (case.earlier or case.twins) if pod["ready"] or pod["terminating"]]
    beside = paths_of(facts, others).get(bad.name)
    if beside is None:
        return None
    before = seconds_between(beside.first_error, case.newest["rolled_out_at"])
    if before is not None and before > 0 and beside.fails(facts["limits"]):
        return Innocent(f"{said}, and those of the release before did {before:.0f} s before it came")
    minutes = set(bad.minutes) & set(beside.minutes)
    mine, theirs = bad.within(minutes), beside.within(minutes)
    if min(mine.requests, theirs.requests) < facts["limits"]["requests_min"]:
        return None
    told = f"those beside them {theirs.errors} of {theirs.requests} in the same minutes"
    if theirs.ratio > facts["limits"]["error_ratio_max"]:
        return Innocent(f"{said}, and {told} as well") if not separates(bad, beside) else Untold(f"{said}, and {told}")
    return Shown("proven", f"{said}, {told}") if separates(bad, beside) else Untold(f"{said}, {told}: too few to tell them apart")


def _from_their_start(facts: Facts, case: Case, bad: Path, said: str) -> Judged:
    """What its own pods say, where everything that they ever answered is known."""
    if not (_are_its_first(facts, case) and are_read_from_their_start(facts, case.new)):
        return Untold(f"{said}; whether from their start is not known: the logs that were read do not go back to it")
    well = f"it had answered {bad.good_before} requests to {bad.name} well before the first 5xx"
    if bad.expected_errors >= SERVED_WELL:
        return Innocent(well)
    if bad.expected_errors >= MAY_BE_CHANCE:
        return Untold(f"{said}; {well}, which may be chance")
    later = seconds_between(case.newest["rolled_out_at"], bad.first_error)
    return Shown("likely", f"{said}, from their first ones on" + ("" if later is None else f" ({later:.0f} s after it came)"))


def _are_its_first(facts: Facts, case: Case) -> bool:
    """Whether the pods that are there are the release's first ones: young pods may also be there because somebody restarted them,
    or a node was emptied, and then what the first ones answered is not known."""
    first, workload = case.newest["rolled_out_at"], case.workload
    after_it = seconds_between(case.newest["created_at"], first)
    since_complete = seconds_between(workload["progress_at"], first) if workload["progress"] == COMPLETE else None
    are_later = since_complete is not None and since_complete > 0
    return not workload["releases"][0]["restart"] and not are_later and after_it is not None and after_it <= ROLLS_OUT_WITHIN
