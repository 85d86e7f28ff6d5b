# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the facts of a namespace are shown (private to the collection; pure)."""

from __future__ import annotations

from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.facts import Watched
from ansible_collections.sre.runbooks.plugins.plugin_utils._judgement.system import Table
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems.kubernetes.common import key_of, pods_of, watched_workloads
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems.kubernetes.facts import Facts

MOST_RELEASES = 5


def _release(workload: Watched) -> str:
    if not workload["releases"]:
        return "no release"
    newest = workload["releases"][0]
    images = ", ".join(image.rpartition("/")[2] for image in newest["images"].values())
    return f"revision {newest['revision']} ({images}) since {newest['rolled_out_at'][11:19]}Z"


def _ready(facts: Facts, workload: Watched) -> str:
    pods = pods_of(facts, workload)
    return f"{sum(pod['ready'] for pod in pods)} of {workload['replicas']} ready"


def numbers(facts: Facts) -> list[tuple[str, str]]:
    """For each workload behind a service how many pods are ready, and of which release."""
    return [
        (f"{facts['system']}: {key_of(facts, one)}", f"{_ready(facts, one)}, {_release(one)}") for one in watched_workloads(facts)
    ]


def lines(facts: Facts) -> list[tuple[str, list[str]]]:
    """The screen's line on what serves."""
    return [("serves", [f"{one['name']} {_ready(facts, one)}, {_release(one)}" for one in watched_workloads(facts)])]


def tables(facts: Facts) -> list[Table]:
    """The releases of the workloads behind the services, and the newest warnings."""
    releases = [
        (key_of(facts, one), str(release["revision"]), release["rolled_out_at"], ", ".join(release["images"].values()),
         release["change_cause"] or "", "; ".join(release["changes"]))
        for one in watched_workloads(facts)
        for release in one["releases"][:MOST_RELEASES]
    ]  # fmt: skip
    warnings = [(str(one["last_at"]), one["about"], str(one["reason"]), one["message"]) for one in facts["warnings"]]
    head = ("workload", "revision", "since", "images", "change-cause", "what changed")
    found = [Table("Releases", head, tuple(releases))] if releases else []
    return [*found, *([Table("Warnings", ("last", "about", "reason", "message"), tuple(warnings))] if warnings else [])]
