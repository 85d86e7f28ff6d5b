# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A workload's newest release, what came before it and who serves beside it; and the three ways to judge it (private; pure)."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.facts import Pod, Release, Watched
from ansible_collections.sre.runbooks.plugins.module_utils._times import seconds_between
from ansible_collections.sre.runbooks.plugins.plugin_utils._judgement.model import Confidence
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems.kubernetes.common import (
    all_pods_of,
    pods_of,
    services_of,
)
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems.kubernetes.facts import Facts

# For how long after a release's pods were all up their end is still its own likely fault.
SETTLES_WITHIN = 900.0


@dataclasses.dataclass(frozen=True)
class Case:
    """A workload's newest release: ``newest`` and what came ``before`` it, the pods of both that are meant to stay (``new`` and
    ``old``), all ``earlier`` pods (also those that end), and the pods of other Deployments behind the same Services (a canary's
    ``twins``)."""

    workload: Watched
    newest: Release
    before: Release
    new: t.Sequence[Pod]
    old: t.Sequence[Pod]
    earlier: t.Sequence[Pod]
    twins: t.Sequence[Pod]


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


def case_of(facts: Facts, workload: Watched) -> Case | Innocent | Untold:
    """The case, or why there is none."""
    releases = workload["releases"]
    if not releases:
        return Untold(f"the releases of a {workload['kind']} are not read")
    # A restart makes a revision of its own, and is no release: what it restarted is.
    own = next((number for number, one in enumerate(releases) if not one["restart"]), len(releases) - 1)
    newest = releases[own]
    before = next(iter(releases[own + 1 : own + 2]), None)
    if before is None:
        return _without_a_release_before(facts, newest)
    if (seconds_between(before["created_at"], newest["created_at"]) or 0.0) < 0.0:
        return Untold("it is a release of old that somebody went back to; what was taken back is no way out of it")
    revisions = {one["revision"] for one in releases[: own + 1]}
    every = pods_of(facts, workload)
    mine = set(services_of(facts, workload))
    others = [one for one in facts["workloads"] if one is not workload and mine & set(services_of(facts, one))]
    return Case(
        workload, {**newest, "hash": releases[0]["hash"], "revision": releases[0]["revision"]}, before,
        [pod for pod in every if pod["revision"] in revisions], [pod for pod in every if pod["revision"] not in revisions],
        [pod for pod in all_pods_of(facts, workload) if pod["revision"] not in revisions],
        [pod for one in others for pod in pods_of(facts, one)],
    )  # fmt: skip


def _without_a_release_before(facts: Facts, newest: Release) -> Innocent | Untold:
    if newest["revision"] != 1:
        return Untold("no earlier release is kept (revisionHistoryLimit)")
    age = seconds_between(newest["created_at"], facts["at"])
    if age is None or age <= facts["log_seconds"]:
        return Untold("it is the first release of a Deployment that is new itself, with nothing to compare it with")
    return Innocent("it has had no other release")
