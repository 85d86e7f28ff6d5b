# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The status page: what the public reads, nothing of the inside (private to the collection; pure)."""

from __future__ import annotations

import typing as t

from ansible_collections.sre.runbooks.plugins.plugin_utils._channels.channel import Channel, Stage, api_login
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.inputs import PUBLIC
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.outbox import Message
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.shapes import Incident

Json = dict[str, t.Any]
NAME = "status_page"
INCIDENT = "status_page_incident"
IMPACT = {"P1": "critical", "P2": "major", "P3": "minor", "P4": "none"}
COMPONENT = {"P1": "major_outage", "P2": "degraded_performance", "P3": "degraded_performance", "P4": "operational"}
STATUS = {"declared": "investigating", "identified": "identified", "mitigated": "monitoring", "resolved": "resolved"}


def _login(settings: Json) -> Json:
    return {**api_login(settings), "page_id": settings["page_id"]}


def _narrowed(settings: Json, disclosure: str) -> Json | str:
    return settings if disclosure == PUBLIC else f"the incident is {disclosure}"


def _addressed(message: Message, incident: Incident) -> Json:
    known = incident.get("vendors", {}).get(NAME, {}).get("id")
    return {"incident_id": known} if known else {}


def _update_key(stage: Stage) -> str:
    """What tells an update of this incident from one of an earlier incident of the same key."""
    return f"{stage.incident['id']} {stage.identity(NAME).partition(':')[2]}"


def _messages(stage: Stage, settings: Json) -> list[Message]:
    incident = stage.incident
    state = "operational" if stage.name == "resolved" else COMPONENT[incident["severity"]]
    args = {
        "key": incident["key"],
        "update_key": _update_key(stage),
        "status": STATUS[stage.name],
        "name": settings["texts"]["name"],
        "body": settings["texts"][stage.name],
        "impact": IMPACT[incident["severity"]],
        "components": dict.fromkeys(settings.get("components") or [], state),
        "deliver_notifications": settings.get("notify", True),
    }
    return [Message(stage.identity(NAME), NAME, stage.name, INCIDENT, args)]


def _update(incident: Incident, text: str, number: int, settings: Json) -> list[Message]:
    """A person's words, under the present status."""
    page = incident.get("vendors", {}).get(NAME)
    if not page:
        return []
    stage = Stage(incident, f"update:{number}")
    args = {"key": incident["key"], "update_key": _update_key(stage), "status": page["status"],
            "body": text, "deliver_notifications": settings.get("notify", True)}  # fmt: skip
    return [Message(stage.identity(NAME), NAME, "update", INCIDENT, args)]


CHANNEL = Channel(
    name=NAME,
    vendor="status page",
    modules=(INCIDENT,),
    needed=("token", "page_id"),
    lists=("components",),
    login=_login,
    narrowed=_narrowed,
    addressed=_addressed,
    messages=_messages,
    update=_update,
)
