# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The shape of what is known of one PostgreSQL server (private to the collection; pure)."""

from __future__ import annotations

import typing as t

from ansible_collections.sre.runbooks.plugins.module_utils._postgresql.facts import Triage


class Pool(t.TypedDict):
    """What a client should use: so many instances, each with a pool of so many connections."""

    instances: int
    size: int


class Limits(t.TypedDict):
    """What the inventory says of a server (roles/db_diagnostics): from when on something counts, and whose the sessions are."""

    application_users: list[str] | str
    lock_wait_seconds_max: float
    idle_in_transaction_seconds_max: float
    long_statement_seconds_max: float
    application_statement_ms_max: float
    application_statement_seconds_max: float
    waiters_min: int
    scanned_rows_max: int
    cores: int
    writable: bool
    pools: t.NotRequired[dict[str, Pool]]
    monitor_user: str
    host: str
    port: int


class Facts(t.TypedDict):
    """One server: its name in the inventory, what it depends on, whether the users of what depends on it suffer (``users_well``:
    they were measured and do not), and what its triage returned."""

    system: str
    kind: str
    depends_on: list[str]
    users_suffer: bool
    users_well: t.NotRequired[bool]
    limits: Limits
    postgresql: Triage
