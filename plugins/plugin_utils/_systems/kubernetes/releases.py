# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules on releases: what a new revision did to those who use it (private to the collection; pure).

A release is a cause only where it separates: its pods fail and those beside them do not, in the same minutes and for the same
path; or where everything that its pods ever answered is known, and they failed from their first requests on. Errors that came
later, or in both releases, are not its own; and what cannot be told apart is a gap.
"""

from __future__ import annotations

import typing as t

from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.facts import Release, Watched
from ansible_collections.sre.runbooks.plugins.module_utils._times import seconds_between
from ansible_collections.sre.runbooks.plugins.plugin_utils._judgement.model import Finding, Gap, Json, Observation, RuledOut
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems.kubernetes.answers import failing
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems.kubernetes.cases import Case, Innocent, Shown, Untold, case_of
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems.kubernetes.common import (
    is_unread,
    key_of,
    service_ref,
    services_of,
    watched_workloads,
    workload_ref,
)
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems.kubernetes.facts import Facts
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems.kubernetes.requests import top_error
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems.kubernetes.starts import broken
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems.kubernetes.takers import is_off, references

MOST_CHANGES = 5
LONGEST_CAUSE = 120


def bad_release(facts: Facts) -> t.Iterator[Observation]:
    """The newest release of a workload that users depend on, where it can be shown that it fails."""
    if is_unread(facts, "workloads", "releases", "pods", "services"):
        yield Gap(facts["system"], "releases", "not all of the workloads, their releases, pods and services could be read")
        return
    for workload in watched_workloads(facts):
        key = key_of(facts, workload)
        case = case_of(facts, workload)
        judged = case if isinstance(case, (Innocent, Untold)) else broken(facts, case) or failing(facts, case)
        if isinstance(judged, Untold):
            yield Gap(facts["system"], f"the release of {key}", judged.why)
        elif isinstance(judged, Innocent):
            yield RuledOut(facts["system"], "k8s.bad_release", f"{key}: {judged.why}")
        elif isinstance(case, Case):
            yield _finding(facts, case, judged)


def _finding(facts: Facts, case: Case, shown: Shown) -> Finding:
    workload, new, was = case.workload, case.newest, case.before
    owner, beside = workload["owner"], _features_beside(facts, case)
    told = (new["change_cause"] or "no change-cause")[:LONGEST_CAUSE]
    return Finding(
        "k8s.bad_release",
        "likely" if beside and shown.confidence == "proven" else shown.confidence,
        workload_ref(facts, workload),
        links=tuple(service_ref(facts, name) for name in services_of(facts, workload)),
        began=f"{new['rolled_out_at'][:19]}Z",
        evidence={
            "workload": key_of(facts, workload), "revision": new["revision"], "before": was["revision"],
            "since": new["rolled_out_at"], "why": shown.why + beside, "lived": _lived(case),
            "changes": "; ".join(new["changes"][:MOST_CHANGES]) or "nothing that is known", "cause": told,
            "error": top_error(facts, case.new) or "none", "namespace": facts["namespace"], "name": workload["name"],
            "kept": _first_of_all(facts, workload, new),
        },
        targets={} if owner or workload["paused"] or new["configuration"] else _targets(facts, case),
    )  # fmt: skip


def _features_beside(facts: Facts, case: Case) -> str:
    """The features that were switched on since the oldest pod of the release before was started: going back leaves them on."""
    since = min((pod["created_at"] for pod in case.earlier), default=case.before["created_at"])
    found = [
        f"{config['key']} of {config['configmap']} ({config['written'] or 'when is not known'})" for config in facts["configs"]
        if not (is_off(config) or (config["value"] is None and config["is_shown"])) and _may_be_since(since, config["written"])
        and any(references(pod, config) for pod in case.new)
    ]  # fmt: skip
    unread = [gap["diagnostic"] for gap in facts["gaps"] if gap["diagnostic"].startswith("configmap ")]
    return f"; written since the release before, or not known: {', '.join([*found, *unread])}" if found or unread else ""


def _may_be_since(since: str, at: str) -> bool:
    seconds = seconds_between(since, at)
    return seconds is None or seconds > 0


def _first_of_all(facts: Facts, workload: Watched, new: Release) -> str:
    """What must be done by hand before a rollback would hold, or be rolled out at all."""
    owner, words = workload["owner"], []
    if owner:
        words.append(f"{owner['tool']} keeps it: {owner['suspend']} first, then ")
    if workload["paused"]:
        words.append(f"it is paused: kubectl -n {facts['namespace']} rollout resume deployment/{workload['name']} first, then ")
    if new["configuration"]:
        words.append(
            "its configuration changed, which a rollback does not take back: put the ConfigMap or Secret back first, then "
        )
    return "".join(words)


def _lived(case: Case) -> str:
    """For how long the release before was the newest one, as far as is known: one that was replaced at once may be bad too."""
    seconds = seconds_between(case.before["created_at"], case.newest["created_at"])
    return f"newest for {seconds / 3600:.1f} h" if seconds is not None and seconds >= 0 else "it is not known for how long"


def _targets(facts: Facts, case: Case) -> dict[str, tuple[Json, ...]]:
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
