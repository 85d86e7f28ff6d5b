# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PostgreSQL (private to the collection; pure).

A rule is one function: facts and limits of one server in, observations out. It finds, rules out, says what it could not see.
A new one is a function in its module and its name in that module's RULES.
"""

from __future__ import annotations

from ansible_collections.sre.runbooks.plugins.plugin_utils._judgement.system import Part, System, data_beside
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems.postgresql import (
    connections,
    locks,
    plans,
    server,
    views,
    work,
)

SYSTEM = System(
    kind="postgresql",
    group="role_database",
    depth=3,
    diagnose=Part("sre.runbooks.db_diagnostics"),
    verify=Part("sre.runbooks.db_diagnostics"),
    rules=(*connections.RULES, *locks.RULES, *plans.RULES, *work.RULES, *server.RULES),
    findings=data_beside(__file__, "catalogue.yml"),
    mitigations=data_beside(__file__, "mitigations.yml"),
    vital=("PostgreSQL", "locks", "samples"),
    room=connections.room,
    numbers=views.numbers,
    lines=views.lines,
    tables=views.tables,
)
