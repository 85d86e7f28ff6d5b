# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the probes of http_probe_info are shown (private to the collection; pure)."""

from __future__ import annotations

from ansible_collections.sre.runbooks.plugins.plugin_utils._judgement.system import Experience, Recovery
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems.edge.facts import Facts


def experiences(facts: Facts) -> list[Experience]:
    """The URLs that were really asked."""
    return [Experience(str(probe["url"]), bool(probe["good"])) for probe in facts["probes"] if probe["requests"]]


def recovery(facts: Facts) -> Recovery | None:
    """What the rounds of probes say together; None where there was no URL to ask."""
    probes = facts["probes"]
    if not probes:
        return None
    slowest = [probe["p95_ms"] for probe in probes if probe["p95_ms"] is not None]
    return Recovery(facts["settled"], facts["wanted_in_a_row"], facts["in_a_row"], facts["seconds"], max(slowest, default=None))


def numbers(facts: Facts) -> list[tuple[str, str]]:
    """For each URL its 95th percentile and its failures."""
    rows = []
    for probe in facts["probes"]:
        p95 = "no answer" if probe["p95_ms"] is None else f"p95 {probe['p95_ms']:g} ms"
        rows.append((f"{facts['system']}: {probe['url']}", f"{p95}, {probe['failures']} of {probe['requests']} failed"))
    return rows
