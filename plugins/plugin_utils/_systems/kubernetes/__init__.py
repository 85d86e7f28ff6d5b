# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kubernetes: the workloads of a namespace, their releases, and what their pods' logs tell (private to the collection; pure)."""

from __future__ import annotations

from ansible_collections.sre.runbooks.plugins.plugin_utils._judgement.system import Part, System, data_beside
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems.kubernetes import (
    configs,
    pools,
    releases,
    secrets,
    traffic,
    users,
    views,
)

SYSTEM = System(
    kind="kubernetes",
    group="role_cluster",
    depth=2,
    diagnose=Part("sre.runbooks.k8s_diagnostics"),
    verify=Part("sre.runbooks.k8s_diagnostics"),
    rules=(*releases.RULES, *secrets.RULES, *configs.RULES, *pools.RULES, *users.RULES, *traffic.RULES),
    findings=data_beside(__file__, "catalogue.yml"),
    mitigations=data_beside(__file__, "mitigations.yml"),
    vital=("workloads", "pods", "services", "endpoints"),
    numbers=views.numbers,
    lines=views.lines,
    tables=views.tables,
)
