# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the facts of a region are shown (private to the collection; pure)."""

from __future__ import annotations

from ansible_collections.sre.runbooks.plugins.plugin_utils._judgement.system import Table
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems.aws.facts import Facts

MOST_CHANGES = 20


def _healthy(facts: Facts) -> list[tuple[str, str]]:
    return [
        (group["name"], f"{sum(one['state'] == 'healthy' for one in group['targets'])} of {len(group['targets'])} healthy")
        for group in facts["target_groups"]
    ]


def numbers(facts: Facts) -> list[tuple[str, str]]:
    """How many targets of each group are healthy."""
    return [(f"{facts['system']}: {name}", told) for name, told in _healthy(facts)]


def lines(facts: Facts) -> list[tuple[str, list[str]]]:
    """The screen's line on what the load balancers forward to."""
    return [("targets", [f"{name} {told}" for name, told in _healthy(facts)])]


def tables(facts: Facts) -> list[Table]:
    """The targets, and what was changed lately."""
    targets = [
        (group["name"], one["id"], str(one["port"]), one["state"], one["description"] or one["reason"])
        for group in facts["target_groups"]
        for one in group["targets"]
    ]
    changes = [(one["at"], one["who"], one["name"], ", ".join(one["touches"][:5]), one["refused"]) for one in facts["changes"]]
    lag = f"CloudTrail, the last {facts['changes_seconds'] // 60} minutes; it lags by about five"
    found = [Table("Targets", ("group", "target", "port", "state", "why"), tuple(targets))] if targets else []
    head = ("at", "who", "what", "touches", "refused")
    return [*found, *([Table("Changes in AWS", head, tuple(changes[:MOST_CHANGES]), (lag,))] if changes else [])]
