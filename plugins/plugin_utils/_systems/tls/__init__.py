# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""TLS: which certificates a service's users get (private to the collection; pure)."""

from __future__ import annotations

from ansible_collections.sre.runbooks.plugins.plugin_utils._judgement.system import Part, System, data_beside
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems.tls import rules, views

SYSTEM = System(
    kind="tls",
    group="role_tls",
    diagnose=Part("sre.runbooks.tls_diagnostics"),
    verify=Part("sre.runbooks.tls_diagnostics"),
    rules=rules.RULES,
    findings=data_beside(__file__, "catalogue.yml"),
    numbers=views.numbers,
    lines=views.lines,
    tables=views.tables,
)
