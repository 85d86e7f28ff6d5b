# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The shape of what is known of one region of an account (private to the collection; pure)."""

from __future__ import annotations

import typing as t

from ansible_collections.sre.runbooks.plugins.module_utils._aws.facts import Region


class Limits(t.TypedDict):
    """What the inventory says of an account (roles/aws_diagnostics): whether it names the target groups that users depend on."""

    named: bool


class Facts(Region):
    """One region: its name in the inventory, what it depends on, and what was read of it."""

    system: str
    kind: str
    depends_on: list[str]
    limits: Limits
