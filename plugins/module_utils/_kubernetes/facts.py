# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The shapes of what is read of a namespace, for those who judge it (private to the collection; pure).

Times are the API server's (RFC 3339, UTC); those of logs are the container runtime's.
"""

from __future__ import annotations

import typing as t

from ansible_collections.sre.runbooks.plugins.module_utils._logs.facts import Told


class Gap(t.TypedDict):
    """A diagnostic that was not read, or not all of it."""

    diagnostic: str
    reason: str


class Owner(t.TypedDict):
    """The tool that writes an object back, and the command that suspends it."""

    tool: str
    name: str
    suspend: str


class Secret(t.TypedDict):
    """A Secret: its ``keys`` with the bytes that an application gets of each, and when each was written last, as far as the
    server's books say (at the latest then: they keep one time for all that somebody wrote, and none for what was removed)."""

    name: str
    exists: bool
    uid: str
    immutable: bool
    keys: dict[str, int]
    written: dict[str, str]
    owner: Owner | None


class Feature(t.TypedDict):
    """What is switched by one key of a ConfigMap, and what that holds for off, as the inventory says: no text if its quotes were
    forgotten, None for a key that is no switch (a pool's size)."""

    configmap: str
    key: str
    off_value: t.Any


class Config(Feature):
    """How a feature's key stands. ``value``: None where it is not there, or (``is_shown``) must not be shown; ``written``: when,
    at the latest; ``is_alone``: nothing else was written with it, by the server's books, so that it is when it was changed;
    ``beside``: when anything else of the ConfigMap was written last, empty where nothing was, None where that is not known."""

    uid: str
    immutable: bool
    value: str | None
    is_shown: bool
    written: str
    is_alone: bool
    beside: str | None
    owner: Owner | None


class ConfigReference(t.TypedDict):
    """What a container takes from a ConfigMap; without a ``key`` all of its keys, ``but`` those that it has from elsewhere.
    ``is_live``: as a file that the kubelet keeps up to date; else it has what was there when it was started. ``is_sure``: no
    other source may stand before it."""

    container: str
    configmap: str
    key: str
    is_live: bool
    is_sure: bool
    but: list[str]


class Reference(t.TypedDict):
    """An environment variable that a container takes from a Secret; without a ``key`` all of its keys are taken."""

    container: str
    secret: str
    key: str


class Release(t.TypedDict):
    """A ReplicaSet of a Deployment. ``images`` by container; ``rolled_out_at``: since when its oldest pod is there; ``changes``
    against the one before, by name; ``configuration`` and ``restart``: that nothing else changed."""

    revision: int
    replica_set: str
    uid: str
    hash: str
    images: dict[str, str]
    change_cause: str | None
    created_at: str
    rolled_out_at: str
    replicas: int
    changes: list[str]
    configuration: bool
    restart: bool
    secrets: list[Reference]


class Watched(t.TypedDict):
    """What is known of every workload behind a Service. ``replicas``: wanted; ``progress``: why its rollout stands where it
    does, and since when; ``refused``: why its pods cannot be made; ``releases``: newest first, none for a kind that has none."""

    kind: str
    name: str
    uid: str
    replicas: int
    paused: bool
    progress: str | None
    progress_at: str
    refused: str
    selector: dict[str, str]
    owner: Owner | None
    releases: list[Release]


class Workload(Watched):
    """A Deployment; counts are pods. ``observed``: its controller has seen its newest generation."""

    updated: int
    ready: int
    available: int
    observed: bool


class End(t.TypedDict):
    """How a container ended last."""

    reason: str | None
    exit_code: int | None
    at: str | None


class Pod(t.TypedDict):
    """A pod, what it belongs to, and why it is not ready. ``over``: it has ended for good, and is left over; ``started``: since
    when each container that runs does, which is when it got its environment; ``secrets`` and ``configs``: what
    that takes from there."""

    name: str
    uid: str
    kind: str | None
    workload: str | None
    revision: int | None
    hash: str
    phase: str | None
    ready: bool
    terminating: bool
    over: bool
    created_at: str
    restarts: int
    reason: str | None
    message: str
    last: End | None
    containers: list[str]
    image_ids: list[str]
    started: dict[str, str]
    secrets: list[Reference]
    configs: list[ConfigReference]


class Service(t.TypedDict):
    """A Service: the ``pods`` that its selector chooses, who is ``ready`` behind it; ``portless``: ready pods lack its port."""

    name: str
    type: str
    selector: dict[str, str]
    ports: list[str]
    pods: list[str]
    ready: list[str]
    portless: bool


class Warned(t.TypedDict):
    """An event of the type Warning."""

    about: str
    reason: str
    message: str
    count: int
    last_at: str


class Log(Told):
    """What a container's log tells; ``cut``: only its newest part was read."""

    pod: str
    container: str
    cut: bool


class Namespace(t.TypedDict):
    """What is read of one namespace; ``at``: the server's clock, empty where it did not answer; ``pools``: the key that says how
    many connections each pod may have, if the inventory names one."""

    namespace: str
    at: str
    workloads: list[Workload]
    pods: list[Pod]
    services: list[Service]
    warnings: list[Warned]
    secrets: list[Secret]
    configs: list[Config]
    pools: list[Config]
    gaps: list[Gap]
