# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is said to whom at which stage of an incident (private to the collection; pure).

The words have no measurements in them: a rerun after a crash must say the same as the first run would have said.
"""

from __future__ import annotations

import typing as t

from ansible_collections.sre.runbooks.plugins.plugin_utils._record.outbox import Message

Json = dict[str, t.Any]

URGENCY = {"P1": "high", "P2": "high", "P3": "low", "P4": "low"}
IMPACT = {"P1": "critical", "P2": "major", "P3": "minor", "P4": "none"}
COMPONENT = {"P1": "major_outage", "P2": "degraded_performance", "P3": "degraded_performance", "P4": "operational"}
STATUS = {"declared": "investigating", "identified": "identified", "mitigated": "monitoring", "resolved": "resolved"}


def title(incident: Json) -> str:
    return f"{incident['title']} ({', '.join(incident['targets'])})"


def _identity(incident: Json, stage: str, channel: str) -> str:
    epoch = f"#{incident['epoch']}" if incident["epoch"] else ""
    return f"{channel}:{stage}{epoch}"


def _note(incident: Json, stage: str, verdict: Json | None, done: t.Sequence[str]) -> str:
    """The note for the engineers. It ends with the incident's id, which also tells our notes from others."""
    causes = [f for f in (verdict or {}).get("findings", []) if f["role"] == "cause"]
    if stage == "identified":
        said = [f"Cause: {f['id']} ({f['confidence']}): {f['told']}." for f in causes]
    elif stage == "mitigated":
        said = [f"Done: {', '.join(done)}. Whether users see the recovery is being verified."]
    elif stage == "resolved":
        said = ["Recovered, as users see it: the checks passed several times in a row and the cause is gone."]
    else:
        said = ["Reopened: the same trouble is back."]
    mark = f"{incident['id']} {stage}" + (f" #{incident['epoch']}" if incident["epoch"] else "")
    return "\n".join([*said, f"[{mark}]"])


def pagerduty(incident: Json, stage: str, verdict: Json | None, done: t.Sequence[str], settings: Json) -> Json:
    """The arguments of pagerduty_incident for a stage."""
    args: Json = {"state": "triggered", "incident_key": incident["key"]}
    if stage == "declared" and not incident["epoch"]:
        return args | {
            "service": settings["service"],
            "escalation_policy": settings.get("escalation_policy"),
            "title": title(incident),
            "urgency": URGENCY[incident["severity"]],
            "priority": incident["severity"] if settings.get("priorities", True) else None,
            "body": f"Runbook {incident['runbook']}, incident {incident['id']}.",
        }
    args["note"] = _note(incident, stage, verdict, done)
    if stage == "resolved" and (settings.get("resolve_adopted") or not incident.get("adopted")):
        args |= {"state": "resolved", "resolution": "Recovered as users see it."}
    return args


def status_page(incident: Json, stage: str, settings: Json) -> Json:
    """The arguments of status_page_incident for a stage: what the public reads, nothing of the inside."""
    state = "operational" if stage == "resolved" else COMPONENT[incident["severity"]]
    return {
        "key": incident["id"],
        "update_key": _identity(incident, stage, "status_page"),
        "status": STATUS[stage],
        "name": settings["texts"]["name"],
        "body": settings["texts"][stage],
        "impact": IMPACT[incident["severity"]],
        "components": dict.fromkeys(settings.get("components") or [], state),
        "deliver_notifications": settings.get("notify", True),
    }


def messages_for(
    incident: Json, stage: str, verdict: Json | None, done: t.Sequence[str], channels: t.Mapping[str, Json]
) -> list[Message]:
    """The messages of a stage, one for each channel that is on. A public channel is never in ``channels`` for an
    incident that is not public."""
    found = []
    if "pagerduty" in channels:
        args = pagerduty(incident, stage, verdict, done, channels["pagerduty"])
        found.append(Message(_identity(incident, stage, "pagerduty"), "pagerduty", stage, "pagerduty_incident", args))
    if "status_page" in channels:
        args = status_page(incident, stage, channels["status_page"])
        found.append(Message(_identity(incident, stage, "status_page"), "status_page", stage, "status_page_incident", args))
    return found
