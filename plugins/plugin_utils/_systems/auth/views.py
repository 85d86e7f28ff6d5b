# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How what token_check_info saw is shown (private to the collection; pure)."""

from __future__ import annotations

from ansible_collections.sre.runbooks.plugins.plugin_utils._systems.auth.facts import Facts
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems.auth.rules import answers


def numbers(facts: Facts) -> list[tuple[str, str]]:
    """For each kind of token what it was answered with."""
    return [
        (f"{facts['system']}: {facts['checked']['url']} ({attempt['kind']})", answers(attempt))
        for attempt in facts["checked"]["attempts"]
    ]
