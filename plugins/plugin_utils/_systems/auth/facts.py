# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The shape of what is known of a service's tokens (private to the collection; pure)."""

from __future__ import annotations

import typing as t

from ansible_collections.sre.runbooks.plugins.module_utils._token.facts import Checked


class Limits(t.TypedDict):
    """By how many seconds a clock may differ (roles/token_check)."""

    clock_seconds_max: float


class Facts(t.TypedDict):
    """One service: its name in the inventory, what it depends on, and what came of the tokens."""

    system: str
    kind: str
    depends_on: list[str]
    limits: Limits
    checked: Checked
