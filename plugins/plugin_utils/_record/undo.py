# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Going back: what was done in an incident, latest first, and what each needs to be undone (private; pure)."""

from __future__ import annotations

import typing as t

from ansible_collections.sre.runbooks.plugins.plugin_utils._judgement.catalogue import Catalogue

Json = dict[str, t.Any]


def undo_lines(events: t.Sequence[Json], catalogue: Catalogue) -> list[str]:
    """For each mitigation that was carried out, latest first: how it is undone, or that it cannot be."""
    done = [event for event in events if event["kind"] == "outcome" and event.get("system") and event["status"] == "done"]
    if not done:
        return ["nothing was done in this incident, so there is nothing to undo"]
    lines = []
    for event in reversed(done):
        by_hand = catalogue.mitigations[event["effect"]].undo_by_hand
        lines.append(f"{event['at']}  {event['effect']} on {event['system']} ({event['detail']}): cannot be undone; {by_hand}")
    return lines
