# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which pods take a key of a ConfigMap, and whether they have what is there now (private to the collection; pure)."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.facts import Config, ConfigReference, Pod, Watched
from ansible_collections.sre.runbooks.plugins.module_utils._times import seconds_between
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems.kubernetes.common import pods_of
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems.kubernetes.facts import Facts


@dataclasses.dataclass(frozen=True)
class Taken:
    """How a workload's running ``pods`` stand to a key: started ``since`` it was written, or ``before``; what is in neither is
    not known; ``missing``: so many others take it and do not run. ``why_unsure``: why nothing can be told of them; ``beside``:
    what else they take that was not looked at."""

    workload: Watched
    pods: t.Sequence[Pod]
    since: t.Sequence[Pod]
    before: t.Sequence[Pod]
    started_since: t.Sequence[str]
    started_before: t.Sequence[str]
    missing: int
    is_file: bool
    why_unsure: str
    beside: str

    @property
    def is_known(self) -> bool:
        return len(self.since) + len(self.before) == len(self.pods)

    @property
    def is_whole(self) -> bool:
        """Whether of every pod that takes it, also of one that does not run, it is known."""
        return self.is_known and not self.missing


def taken_by(facts: Facts, workload: Watched, config: Config) -> Taken | None:
    """How a workload takes a key; None where no pod of it that runs is known to."""
    takers = [pod for pod in pods_of(facts, workload) if references(pod, config)]
    pods = [pod for pod in takers if pod["started"]]
    if not takers:
        return None
    every = [one for pod in takers for one in references(pod, config)]
    started = {pod["name"]: _starts(pod, config) for pod in pods}
    since = [pod for pod in pods if all(_is_after(config["written"], at) for at in started[pod["name"]])]
    before = [pod for pod in pods if all(_is_after(at, config["written"]) for at in started[pod["name"]])]
    return Taken(
        workload, pods, since, before, [at for pod in since for at in started[pod["name"]]],
        [at for pod in before for at in started[pod["name"]]], len(takers) - len(pods),
        all(one["is_live"] for one in every), _why_unsure(workload, takers, every), _beside(takers, config),
    )  # fmt: skip


def _starts(pod: Pod, config: Config) -> list[str]:
    """When each container that takes the key was started; of one that does not run that is not known."""
    return [pod["started"].get(one["container"], "") for one in references(pod, config)]


def _is_after(earlier: str, later: str) -> bool:
    seconds = seconds_between(earlier, later)
    return seconds is not None and seconds > 0


def references(pod: Pod, config: Config) -> list[ConfigReference]:
    """By what a pod's containers take a key: by its name, or as one of all."""
    return [
        one for one in pod["configs"]
        if one["configmap"] == config["configmap"] and one["key"] in ("", config["key"]) and config["key"] not in one["but"]
    ]  # fmt: skip


def others_take(facts: Facts, workload: Watched, config: Config) -> bool:
    """Whether pods of another workload take anything of the ConfigMap."""
    mine = (workload["kind"], workload["name"])
    takers = [pod for pod in facts["pods"] if any(one["configmap"] == config["configmap"] for one in pod["configs"])]
    return any((pod["kind"], pod["workload"]) != mine for pod in takers)


def _why_unsure(workload: Watched, pods: t.Sequence[Pod], every: t.Sequence[ConfigReference]) -> str:
    if not all(one["is_sure"] for one in every):
        return "other sources of variables or files may stand before it, or it is taken under another name"
    if len({one["is_live"] for one in every}) > 1:
        return "it is taken both as a variable and as a file"
    own = next((number for number, one in enumerate(workload["releases"]) if not one["restart"]), len(workload["releases"]))
    revisions = {one["revision"] for one in workload["releases"][: own + 1]}
    if not all(pod["revision"] in revisions for pod in pods):
        return "not all of its pods are known to be of one release: whether it is the release or the feature is not known"
    return ""


def _beside(pods: t.Sequence[Pod], config: Config) -> str:
    others = {
        f"ConfigMap {one['configmap']}" for pod in pods for one in pod["configs"] if one["configmap"] != config["configmap"]
    }
    others |= {f"Secret {one['secret']}" for pod in pods for one in pod["secrets"]}
    told = f"what else they take ({', '.join(sorted(others))})" if others else "what else they take"
    return f"; {told} may have changed too, and a key that was taken away leaves no trace"


def is_off(config: Config) -> bool:
    """Whether a feature is off, as the inventory says what that is."""
    value, off = config["value"], config["off_value"]
    return value is not None and isinstance(off, str) and value.strip().lower() == off.strip().lower()
