# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The shape of what is known of one namespace (private to the collection; pure)."""

from __future__ import annotations

import typing as t

from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.facts import Log, Namespace
from ansible_collections.sre.runbooks.plugins.plugin_utils._judgement.system import Below


class Limits(t.TypedDict):
    """What the inventory says of a namespace (roles/k8s_diagnostics): from when on requests fail, and which key of which Secret
    sessions are signed with, if any."""

    requests_min: int
    error_ratio_max: float
    auth_secret: t.NotRequired[str]
    auth_key: t.NotRequired[str]
    auth_bytes_min: t.NotRequired[int]
    auth_generate: t.NotRequired[bool]
    pool: t.NotRequired[PoolLimits | None]


class PoolLimits(t.TypedDict):
    """The key of a ConfigMap that says how many connections each pod may have, and how many all of them together may."""

    configmap: str
    key: str
    connections_max: int


class Facts(Namespace):
    """One namespace: its name in the inventory, the Services that users depend on (``watched``), and what the logs of the pods
    behind them tell of the last ``log_seconds``. ``below``: what the systems that it depends on say of themselves."""

    system: str
    kind: str
    depends_on: list[str]
    users_suffer: bool
    limits: Limits
    watched: list[str]
    logs: list[Log]
    log_seconds: int
    below: t.NotRequired[list[Below]]
