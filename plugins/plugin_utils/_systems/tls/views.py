# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How certificates are shown (private to the collection; pure)."""

from __future__ import annotations

from ansible_collections.sre.runbooks.plugins.plugin_utils._judgement.system import Table
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems.tls.facts import Facts


def _leaves(facts: Facts) -> list[tuple[str, str]]:
    return [
        (one["endpoint"], f"serial {one['chain'][0]['serial'][-8:]} until {one['chain'][0]['not_after'][:16]}Z")
        for one in facts["served"]
        if one["chain"]
    ]


def numbers(facts: Facts) -> list[tuple[str, str]]:
    """Which certificate each endpoint serves."""
    return [(f"{facts['system']}: {endpoint}", leaf) for endpoint, leaf in _leaves(facts)]


def lines(facts: Facts) -> list[tuple[str, list[str]]]:
    """The screen's line on what is served."""
    return [("certificates", [f"{endpoint} {leaf}" for endpoint, leaf in _leaves(facts)])]


def tables(facts: Facts) -> list[Table]:
    """Every certificate that is served."""
    rows = [
        (served["endpoint"], one["subject"], ", ".join(one["names"][:5]), one["not_before"], one["not_after"], one["issuer"])
        for served in facts["served"]
        for one in served["chain"]
    ]
    head = ("endpoint", "subject", "names", "from", "until", "issuer")
    return [Table("Certificates that are served", head, tuple(rows))] if rows else []
