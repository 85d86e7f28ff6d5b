# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The shape of what is known of a service's certificates (private to the collection; pure)."""

from __future__ import annotations

import typing as t

from ansible_collections.sre.runbooks.plugins.module_utils._tls.facts import Served


class Limits(t.TypedDict):
    """From how many days before its end on a certificate is said to end soon (roles/tls_diagnostics)."""

    days_left_min: float


class Facts(t.TypedDict):
    """One service: its name in the inventory, and what its endpoints serve."""

    system: str
    kind: str
    depends_on: list[str]
    limits: Limits
    served: list[Served]
