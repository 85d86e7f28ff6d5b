# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What users see of a service: the URLs that they call (private to the collection; pure)."""

from __future__ import annotations

from ansible_collections.sre.runbooks.plugins.plugin_utils._judgement.system import Part, System, data_beside
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems.edge import rules, views

SYSTEM = System(
    kind="edge",
    group="role_edge",
    depth=0,
    diagnose=Part("sre.runbooks.recovery_check", "look"),
    verify=Part("sre.runbooks.recovery_check"),
    rules=rules.RULES,
    findings=data_beside(__file__, "catalogue.yml"),
    vital=(rules.NOBODY,),
    measures_users=True,
    to_measure="runbooks_health_urls on a host of role_edge",
    experiences=views.experiences,
    recovery=views.recovery,
    numbers=views.numbers,
)
