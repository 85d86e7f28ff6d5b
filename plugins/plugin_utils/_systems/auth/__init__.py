# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A service that tells by tokens who asks (private to the collection; pure)."""

from __future__ import annotations

from ansible_collections.sre.runbooks.plugins.plugin_utils._judgement.system import Part, System, data_beside
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems.auth import rules, views

SYSTEM = System(
    kind="auth",
    group="role_auth",
    depth=1,
    diagnose=Part("sre.runbooks.token_check"),
    verify=Part("sre.runbooks.token_check"),
    rules=rules.RULES,
    findings=data_beside(__file__, "catalogue.yml"),
    numbers=views.numbers,
)
