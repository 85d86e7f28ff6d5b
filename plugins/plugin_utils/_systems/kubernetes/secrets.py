# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules on the key that sessions are signed with: whether it is there, long enough, and the same in all pods (private; pure).

What a pod has in its environment is not seen, only since when its containers run and when the Secret was written, as far as the
server's books say; they say nothing of what was removed, and one time for all that somebody wrote. So nothing is a cause by these
alone: the application itself has to say what it lacks, in its log.
"""

from __future__ import annotations

import dataclasses
import re
import typing as t

from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.facts import Pod, Reference, Secret, Watched
from ansible_collections.sre.runbooks.plugins.module_utils._times import seconds_between
from ansible_collections.sre.runbooks.plugins.plugin_utils._judgement.model import (
    Confidence,
    Finding,
    Gap,
    Json,
    Observation,
    RuledOut,
)
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems.kubernetes.common import (
    COMPLETE,
    all_pods_of,
    is_unread,
    key_of,
    pods_of,
    service_ref,
    services_of,
    watched_workloads,
    workload_ref,
)
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems.kubernetes.facts import Facts
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems.kubernetes.requests import LEAST_ERRORS

# What an application says that got a token signed with another key.
SIGNATURE = re.compile(r"signature|invalid token|verification failed", re.IGNORECASE)
# What was said last before that is over.
RECENT_SECONDS = 300.0


@dataclasses.dataclass(frozen=True)
class Taken:
    """One workload that takes the key into its environment: its pods, those whose containers run since before, or after, the key
    was written (of the others nobody knows; the server's times are whole seconds), and what their logs say: ``named`` lines that
    name the key, and ``refused`` ones, of the older and of the newer pods, that tell of a signature."""

    workload: Watched
    pods: t.Sequence[Pod]
    older: t.Sequence[Pod]
    newer: t.Sequence[Pod]
    named: int
    refused: tuple[int, int]


def auth_key(facts: Facts) -> t.Iterator[Observation]:
    """The key that the inventory names, for each workload that takes it from the Secret."""
    name, key = facts["limits"].get("auth_secret"), facts["limits"].get("auth_key")
    secret = next((one for one in facts["secrets"] if one["name"] == name), None)
    if not key or secret is None:
        return
    if is_unread(facts, "workloads", "releases", "pods", "services"):
        yield Gap(facts["system"], f"who takes the key {key}", "not all of the workloads, pods and services could be read")
        return
    users = [one for one in watched_workloads(facts) if _takes(facts, one, secret["name"], key)]
    if not users:
        yield Gap(facts["system"], f"the key {key}", f"no workload takes it from the Secret {name} into its environment")
    for workload in users:
        yield from _judged(facts, _taken(facts, workload, secret, key), secret, key)


def _takes(facts: Facts, workload: Watched, secret: str, key: str) -> bool:
    newest = next(iter(workload["releases"]), None)
    sources = [*(newest["secrets"] if newest else []), *(one for pod in all_pods_of(facts, workload) for one in pod["secrets"])]
    return any(_is_of(one, secret, key) for one in sources)


def _is_of(reference: Reference, secret: str, key: str) -> bool:
    """Whether a container takes a key; one that takes all of a Secret's keys does."""
    return reference["secret"] == secret and reference["key"] in (key, "")


def _since(pod: Pod, secret: str, key: str) -> str:
    """Since when the container that takes the key runs; empty where that is not known."""
    containers = {one["container"] for one in pod["secrets"] if _is_of(one, secret, key)}
    return min((at for name, at in pod["started"].items() if name in containers), default="")


def _taken(facts: Facts, workload: Watched, secret: Secret, key: str) -> Taken:
    pods, written = pods_of(facts, workload), secret["written"].get(key, "")
    ages = [(pod, seconds_between(written, _since(pod, secret["name"], key))) for pod in pods]
    older = [pod for pod, age in ages if age is not None and age < 0]
    newer = [pod for pod, age in ages if age is not None and age > 0]
    word = re.compile(rf"(?<![\w.-]){re.escape(key)}(?![\w.-])")
    refused = tuple(_said(facts, some, SIGNATURE, written) for some in (older, newer))
    return Taken(workload, pods, older, newer, _said(facts, pods, word, ""), (refused[0], refused[1]))


def _said(facts: Facts, pods: t.Sequence[Pod], words: re.Pattern[str], since: str) -> int:
    """How many error lines of some pods say something, where they said it in the last minutes, and not before a time."""
    names, number = {pod["name"] for pod in pods}, 0
    for one in facts["logs"]:
        for template, told in one["templates"].items() if one["pod"] in names else ():
            ago, after = seconds_between(told["last"], facts["at"]), seconds_between(since, told["first"])
            is_old = after is not None and after < 0
            if words.search(template) and ago is not None and ago <= RECENT_SECONDS and not is_old:
                number += told["count"]
    waiting = [pod for pod in pods if pod["reason"] == "CreateContainerConfigError" and words.search(pod["message"])]
    return number + LEAST_ERRORS * len(waiting)


def _judged(facts: Facts, taken: Taken, secret: Secret, key: str) -> t.Iterator[Observation]:
    length = secret["keys"].get(key)
    says_so = taken.named >= LEAST_ERRORS
    if length is None or length < facts["limits"].get("auth_bytes_min", 0):
        yield _missing(facts, taken, secret, key)
    elif says_so and not taken.newer:
        yield _stale(facts, taken, secret, "likely", f"its pods say that they lack {key}, which has {length} bytes by now")
    elif taken.newer and taken.older:
        both = min(taken.refused) >= LEAST_ERRORS
        told = f"{taken.refused[0]} and {taken.refused[1]} error lines of these and those tell of a signature"
        yield _stale(facts, taken, secret, "likely" if both else "possible", told)
    elif not taken.pods or len(taken.newer) < len(taken.pods):
        why = (
            "not all of its pods are known to have started after it was written; whether they have what is there now is not known"
        )
        yield Gap(facts["system"], f"the key {key} of {key_of(facts, taken.workload)}", why)
    else:
        why = f"{key} has {length} bytes, and by the server's books all pods are newer than it"
        yield RuledOut(facts["system"], "k8s.auth_key_missing", why)


def _missing(facts: Facts, taken: Taken, secret: Secret, key: str) -> Finding:
    length, says_so = secret["keys"].get(key), taken.named >= LEAST_ERRORS
    if not secret["exists"]:
        why = "is not there, nor is the Secret"
    else:
        why = "is not there" if length is None else f"has {length} bytes, and {facts['limits'].get('auth_bytes_min')} are needed"
    confidence: Confidence = "proven" if says_so else "possible"
    workload = taken.workload
    return Finding(
        "k8s.auth_key_missing", confidence, workload_ref(facts, workload),
        links=tuple(service_ref(facts, name) for name in services_of(facts, workload)),
        evidence={**_evidence(facts, taken, secret), "name": secret["name"], "key": key, "why": why, "lines": taken.named,
                  "owner": f"; {secret['owner']['tool']} ({secret['owner']['name']}) writes it" if secret["owner"] else ""},
        targets={"set_auth_key": _targets(facts, taken, secret, key) if says_so else ()},
    )  # fmt: skip


def _targets(facts: Facts, taken: Taken, secret: Secret, key: str) -> tuple[Json, ...]:
    """What may be written: a Secret that is known by its uid, that nobody else writes, and that this workload alone takes; and
    only where the inventory says that any random text will do."""
    workload = taken.workload
    using = [pod for pod in facts["pods"] if any(one["secret"] == secret["name"] for one in pod["secrets"])]
    takers = {(pod["kind"], pod["workload"]) for pod in using}
    others = takers - {(workload["kind"], workload["name"])}
    may_be_made = facts["limits"].get("auth_generate") and not others
    is_known = secret["uid"] and workload["uid"]
    if not (may_be_made and is_known) or secret["owner"] or secret["immutable"] or workload["paused"]:
        return ()
    return ({"namespace": facts["namespace"], "secret": secret["name"], "uid": secret["uid"], "key": key,
             "workload": workload["name"], "workload_uid": workload["uid"],
             "bytes_min": facts["limits"].get("auth_bytes_min", 0)},)  # fmt: skip


def _stale(facts: Facts, taken: Taken, secret: Secret, confidence: Confidence, told: str) -> Finding:
    workload = taken.workload
    target = {"namespace": facts["namespace"], "kind": workload["kind"], "name": workload["name"], "uid": workload["uid"]}
    may_restart = workload["uid"] and not workload["paused"] and workload["progress"] == COMPLETE
    return Finding(
        "k8s.auth_key_stale", confidence, workload_ref(facts, workload),
        links=tuple(service_ref(facts, name) for name in services_of(facts, workload)),
        evidence={**_evidence(facts, taken, secret), "name": workload["name"], "older": len(taken.older), "told": told},
        targets={"restart_pods": (target,) if may_restart else ()},
    )  # fmt: skip


def _evidence(facts: Facts, taken: Taken, secret: Secret) -> Json:
    return {
        "secret": f"{facts['namespace']}/{secret['name']}", "workload": key_of(facts, taken.workload), "pods": len(taken.pods),
        "namespace": facts["namespace"],
    }  # fmt: skip


RULES = (auth_key,)
