# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is said to whom at which stage of an incident (private to the collection; pure).

The words have no measurements in them: a rerun after a crash must say the same as the first run would have said.
"""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.sre.runbooks.plugins.plugin_utils._record.inputs import shortened
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.outbox import Message

Json = dict[str, t.Any]

URGENCY = {"P1": "high", "P2": "high", "P3": "low", "P4": "low"}
IMPACT = {"P1": "critical", "P2": "major", "P3": "minor", "P4": "none"}
COMPONENT = {"P1": "major_outage", "P2": "degraded_performance", "P3": "degraded_performance", "P4": "operational"}
NOTICE = "pagerduty_notice"
MAIL = "mail"
LONGEST_TITLE = 200
STATUS = {"declared": "investigating", "identified": "identified", "mitigated": "monitoring", "resolved": "resolved"}


def title(incident: Json) -> str:
    """What the incident is called, short enough for every vendor."""
    return shortened(f"{incident['title']} ({', '.join(incident['targets'])})", LONGEST_TITLE)


@dataclasses.dataclass(frozen=True)
class Done:
    """The mitigations that were carried out, and those of which nobody knows."""

    known: t.Sequence[str] = ()
    unknown: t.Sequence[str] = ()


def _identity(incident: Json, stage: str, channel: str) -> str:
    epoch = f"#{incident['epoch']}" if incident["epoch"] else ""
    return f"{channel}:{stage}{epoch}"


def _update_key(incident: Json, stage: str) -> str:
    """What tells an update of this incident from one of an earlier incident of the same key."""
    return f"{incident['id']} {_identity(incident, stage, 'status_page').partition(':')[2]}"


def _said(incident: Json, stage: str, verdict: Json | None, done: Done) -> list[str]:
    """What there is to say at a stage, in sentences."""
    causes = [f for f in (verdict or {}).get("findings", []) if f["role"] == "cause"]
    if stage == "identified":
        return [f"Cause: {f['id']} ({f['confidence']}): {f['message']}." for f in causes]
    if stage == "mitigated":
        return [f"Done: {', '.join(done.known)}. Whether users see the recovery is being verified."]
    if stage == "resolved":
        unknown = f" Not known whether {', '.join(done.unknown)} was carried out." if done.unknown else ""
        return [f"Recovered, as users see it: the checks passed several times in a row and the cause is gone.{unknown}"]
    return ["Reopened: the same trouble is back." if incident["epoch"] else "Users are affected; the cause is being looked for."]


def _note(incident: Json, stage: str, verdict: Json | None, done: Done) -> str:
    """The note for the engineers. It ends with the incident's id, which also tells our notes from others."""
    mark = f"{incident['id']} {stage}" + (f" #{incident['epoch']}" if incident["epoch"] else "")
    return "\n".join([*_said(incident, stage, verdict, done), f"[{mark}]"])


def pagerduty(incident: Json, stage: str, verdict: Json | None, done: Done, settings: Json) -> Json:
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
    if stage != "declared":
        args["state"] = "present"
    if stage == "resolved" and (settings.get("resolve_adopted") or not incident.get("adopted")):
        args |= {"state": "resolved", "resolution": "Recovered as users see it."}
    return args


def status_page(incident: Json, stage: str, settings: Json) -> Json:
    """The arguments of status_page_incident for a stage: what the public reads, nothing of the inside."""
    state = "operational" if stage == "resolved" else COMPONENT[incident["severity"]]
    return {
        "key": incident["key"],
        "update_key": _update_key(incident, stage),
        "status": STATUS[stage],
        "name": settings["texts"]["name"],
        "body": settings["texts"][stage],
        "impact": IMPACT[incident["severity"]],
        "components": dict.fromkeys(settings.get("components") or [], state),
        "deliver_notifications": settings.get("notify", True),
    }


def mail(incident: Json, stage: str, verdict: Json | None, done: Done) -> Json:
    """What a mail says at a stage: the engineers' note, to those who are not paged."""
    words = {"declared": "opened", "mitigated": "being verified"}.get(stage, stage)
    said = _said(incident, stage, verdict, done)
    return {
        "subject": f"[{incident['severity']}] {title(incident)}: {words}",
        "body": "\n".join([*said, "", f"Incident {incident['id']}"]) + "\n",
        "incident": incident["id"],
    }


def extras(incident: Json, stage: str, verdict: Json | None, done: Done, settings: Json) -> list[Message]:
    """What PagerDuty can be told besides, each at most once: whom to call in, and the words for the stakeholders."""
    found = []
    if stage == "declared" and settings.get("responders"):
        args = {"responders": list(settings["responders"]), "responder_message": f"Please join: {title(incident)}."}
        found.append(Message(_identity(incident, "responders", "pagerduty"), "pagerduty", stage, NOTICE, args, once=True))
    if stage != "declared" and settings.get("status_updates"):
        args = {"status_update": " ".join(_said(incident, stage, verdict, done))}
        identity = _identity(incident, f"status_update:{stage}", "pagerduty")
        found.append(Message(identity, "pagerduty", stage, NOTICE, args, once=True))
    return found


def escalation(incident: Json, level: int) -> Message:
    """Nobody has acknowledged the incident in time: the next level is called, once."""
    identity = _identity(incident, f"escalated:{level}", "pagerduty")
    return Message(identity, "pagerduty", "escalated", NOTICE, {"escalation_level": level}, once=True)


def person_says(incident: Json, text: str, number: int, channels: t.Mapping[str, Json]) -> list[Message]:
    """A person's words for everybody: on the status page under its present status, as a note for the engineers."""
    stage = f"update:{number}"
    found = []
    if "pagerduty" in channels:
        args = {"state": "present", "incident_key": incident["key"], "note": f"{text}\n[{incident['id']} {stage}]"}
        found.append(Message(_identity(incident, stage, "pagerduty"), "pagerduty", "update", "pagerduty_incident", args))
    page = incident.get("vendors", {}).get("status_page")
    if "status_page" in channels and page:
        args = {"key": incident["key"], "update_key": _update_key(incident, stage), "status": page["status"],
                "body": text, "deliver_notifications": channels["status_page"].get("notify", True)}  # fmt: skip
        found.append(Message(_identity(incident, stage, "status_page"), "status_page", "update", "status_page_incident", args))
    return found


def messages_for(incident: Json, stage: str, verdict: Json | None, done: Done, channels: t.Mapping[str, Json]) -> list[Message]:
    """The messages of a stage, for each channel that is on. A public channel is never in ``channels`` for an incident
    that is not public."""
    found = []
    if "pagerduty" in channels:
        args = pagerduty(incident, stage, verdict, done, channels["pagerduty"])
        found.append(Message(_identity(incident, stage, "pagerduty"), "pagerduty", stage, "pagerduty_incident", args))
        found += extras(incident, stage, verdict, done, channels["pagerduty"])
    if "status_page" in channels:
        args = status_page(incident, stage, channels["status_page"])
        found.append(Message(_identity(incident, stage, "status_page"), "status_page", stage, "status_page_incident", args))
    if "mail" in channels:
        args = mail(incident, stage, verdict, done)
        found.append(Message(_identity(incident, stage, "mail"), "mail", stage, MAIL, args, once=True))
    return found
