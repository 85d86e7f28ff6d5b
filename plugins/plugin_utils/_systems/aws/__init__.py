# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""AWS: what stands between a load balancer and its targets (private to the collection; pure)."""

from __future__ import annotations

from ansible_collections.sre.runbooks.plugins.plugin_utils._judgement.system import Part, System, data_beside
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems.aws import instances, reach, targets, views

SYSTEM = System(
    kind="aws",
    group="role_cloud",
    diagnose=Part("sre.runbooks.aws_diagnostics"),
    verify=Part("sre.runbooks.aws_diagnostics"),
    rules=(*targets.RULES, *instances.RULES, *reach.RULES),
    findings=data_beside(__file__, "catalogue.yml"),
    mitigations=data_beside(__file__, "mitigations.yml"),
    vital=("target groups", "target health", "load balancers"),
    numbers=views.numbers,
    lines=views.lines,
    tables=views.tables,
)
