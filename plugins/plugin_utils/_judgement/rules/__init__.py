# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules, by the kind of system whose facts they read (private to the collection).

A rule is one function: facts and limits of one system in, observations out. It finds, rules out, says what it could not
see, and says when it measured what users feel. A new rule is a function in its module and its name in that module's RULES.
"""

from __future__ import annotations

import typing as t

from ansible_collections.sre.runbooks.plugins.plugin_utils._judgement.model import Json, Observation
from ansible_collections.sre.runbooks.plugins.plugin_utils._judgement.rules import connections, edge, locks, plans, server, work

Rule = t.Callable[[Json], t.Iterable[Observation]]

RULES: dict[str, tuple[Rule, ...]] = {
    "database": (*connections.RULES, *locks.RULES, *plans.RULES, *work.RULES, *server.RULES),
    "edge": edge.RULES,
}
