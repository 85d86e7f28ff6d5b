# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PagerDuty: an incident, its notes, whom else to call (private to the collection; pure)."""

from __future__ import annotations

import typing as t

from ansible_collections.sre.runbooks.plugins.plugin_utils._channels.channel import (
    Channel,
    Stage,
    api_login,
    disclosure_of,
    name_of,
    title,
    vendor_key,
)
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.inputs import NEED_TO_KNOW
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.outbox import Message
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.shapes import Incident

Json = dict[str, t.Any]
NAME = "pagerduty"
INCIDENT = "pagerduty_incident"
NOTICE = "pagerduty_notice"
URGENCY = {"P1": "high", "P2": "high", "P3": "low", "P4": "low"}


def _login(settings: Json) -> Json:
    return {**api_login(settings), "from_email": settings["from"], "auth_scheme": settings["auth_scheme"]}


def _incident(stage: Stage, settings: Json) -> Json:
    incident = stage.incident
    args: Json = {"state": "triggered", "incident_key": vendor_key(incident)}
    if stage.name == "declared" and not incident["epoch"]:
        runbook = "" if stage.is_confidential else f"Runbook {incident['runbook']}, incident "
        return args | {
            "service": settings["service"],
            "escalation_policy": settings.get("escalation_policy"),
            "title": title(incident),
            "urgency": URGENCY[incident["severity"]],
            "priority": incident["severity"] if settings.get("priorities", True) else None,
            "body": f"{runbook}{name_of(incident)}.",
        }
    args["note"] = stage.note()
    if stage.name != "declared":
        args["state"] = "present"
    if stage.name == "resolved" and (settings.get("resolve_adopted") or not incident.get("adopted")):
        args |= {"state": "resolved", "resolution": "Resolved." if stage.is_confidential else "Recovered as users see it."}
    return args


def _messages(stage: Stage, settings: Json) -> list[Message]:
    found = [Message(stage.identity(NAME), NAME, stage.name, INCIDENT, _incident(stage, settings))]
    if stage.name == "declared" and settings.get("responders"):
        args = {"responders": list(settings["responders"]), "responder_message": f"Please join: {title(stage.incident)}."}
        found.append(Message(stage.identity(NAME, "responders"), NAME, stage.name, NOTICE, args, once=True))
    # Those who follow the service are many.
    if stage.name != "declared" and settings.get("status_updates") and not stage.is_confidential:
        identity = stage.identity(NAME, f"status_update:{stage.name}")
        found.append(Message(identity, NAME, stage.name, NOTICE, {"status_update": " ".join(stage.said())}, once=True))
    return found


def _update(incident: Incident, text: str, number: int, settings: Json) -> list[Message]:
    if disclosure_of(incident) == NEED_TO_KNOW:
        return []
    stage = Stage(incident, f"update:{number}")
    args = {"state": "present", "incident_key": vendor_key(incident), "note": f"{text}\n[{incident['id']} {stage.name}]"}
    return [Message(stage.identity(NAME), NAME, "update", INCIDENT, args)]


def _overdue(incident: Incident, minutes: float, settings: Json) -> Message | None:
    """Calls the next level when nobody has acknowledged the incident in time (``escalate_after`` minutes; 0: never)."""
    limit = float(settings.get("escalate_after") or 0)
    status = incident.get("vendors", {}).get(NAME, {}).get("status")
    if not limit or status != "triggered" or minutes < limit:
        return None
    level = int(settings.get("escalate_to") or 2)
    identity = Stage(incident, f"escalated:{level}").identity(NAME)
    return Message(identity, NAME, "escalated", NOTICE, {"escalation_level": level}, once=True)


def _addressed(message: Message, incident: Incident) -> Json:
    known = incident.get("vendors", {}).get(NAME, {}).get("id")
    if known:
        return {"incident_id": known}
    return {"incident_key": vendor_key(incident)} if message.module == NOTICE else {}


def _on_call(settings: Json) -> tuple[str, Json] | None:
    if not settings.get("escalation_policy"):
        return None
    login = {name: value for name, value in settings["login"].items() if name != "from_email"}
    return "pagerduty_oncall_info", {**login, "escalation_policies": [settings["escalation_policy"]]}


CHANNEL = Channel(
    name=NAME,
    vendor="PagerDuty",
    modules=(INCIDENT, NOTICE),
    needed=("token", "from", "service"),
    lists=("responders",),
    login=_login,
    addressed=_addressed,
    messages=_messages,
    update=_update,
    overdue=_overdue,
    on_call=_on_call,
)
