# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a release's pods do not come up, and whether that is its own fault (private to the collection; pure)."""

from __future__ import annotations

from ansible_collections.sre.runbooks.plugins.module_utils._times import seconds_between
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems.kubernetes.cases import (
    SETTLES_WITHIN,
    Case,
    Judged,
    Shown,
    Untold,
)
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems.kubernetes.common import (
    BROKEN,
    COMPLETE,
    STUCK,
    UNSCHEDULABLE,
    pods_of,
    reasons,
    trouble_of,
)
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems.kubernetes.facts import Facts

# A rollout that its controller is still at, or has given up on: never all of its pods were up.
UNFINISHED = ("NewReplicaSetCreated", "FoundNewReplicaSet", "ReplicaSetUpdated", STUCK)
# What decides where a pod may run.
PLACING = ("resources", "affinity", "nodeSelector", "tolerations", "volumes", "topologySpreadConstraints")


def broken(facts: Facts, case: Case) -> Judged | None:
    """Pods of the release that do not come up: proven where the rollout was never complete, nobody beside them serves, and
    nothing else was in trouble before; only possible where others serve; None where no, or not all of its pods fail."""
    failing = [pod for pod in case.new if trouble_of(facts, case.workload, pod)]
    if not failing or len(failing) < len(case.new) or any(trouble_of(facts, case.workload, pod) for pod in case.old):
        return None
    why = reasons(facts, case.workload, failing)
    said = f"{len(failing)} of its {len(case.new)} pods: {why}"
    if why == UNSCHEDULABLE and not set(case.newest["changes"]) & set(PLACING):
        return Untold(f"{said}: there is no room for them, and the release asks for no more than the one before")
    serving = sum(pod["ready"] for pod in (*case.old, *case.twins))
    if serving:
        return Shown("possible", f"{said}; {serving} pods beside them still serve")
    if case.workload["progress"] not in UNFINISHED:
        return _after_it_was_up(facts, case, said)
    earlier = _in_trouble_before(facts, case)
    if earlier:
        return Shown("likely", f"{said}; {earlier} was in trouble before it came")
    is_sure = case.workload["progress"] == STUCK or all(pod["reason"] in BROKEN for pod in failing)
    return Shown("proven" if is_sure else "likely", said)


def _after_it_was_up(facts: Facts, case: Case, said: str) -> Judged:
    """Pods that were all up once, or of which that is not known, and failed later."""
    is_known = case.workload["progress"] == COMPLETE
    age = seconds_between(case.workload["progress_at"] if is_known else case.newest["created_at"], facts["at"])
    if age is None or age > SETTLES_WITHIN:
        return Untold(f"{said}; it came long before that, and whether it is why is not known")
    return Shown("likely", f"{said}, {age:.0f} s after {'all of them were up' if is_known else 'it came'}")


def _in_trouble_before(facts: Facts, case: Case) -> str:
    """The name of another workload of the namespace whose pods were in trouble before the release came; empty for none."""
    for one in facts["workloads"]:
        pods = pods_of(facts, one) if one is not case.workload else []
        sick = [pod for pod in pods if trouble_of(facts, one, pod)]
        since = [seconds_between(pod["created_at"], case.newest["created_at"]) for pod in sick]
        if sick and len(sick) == len(pods) and any(seconds is not None and seconds > 0 for seconds in since):
            return str(one["name"])
    return ""
