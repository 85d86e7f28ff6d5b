# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Mail: the engineers' notes, to those who are not paged (private to the collection; pure)."""

from __future__ import annotations

import typing as t

from ansible_collections.sre.runbooks.plugins.plugin_utils._channels.channel import Channel, Stage, name_of, title
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.inputs import NEED_TO_KNOW
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.outbox import Message

Json = dict[str, t.Any]
NAME = "mail"
MODULE = "mail"
WORDS = {"declared": "opened", "mitigated": "being verified"}


def _login(settings: Json) -> Json:
    return {
        "host": settings["host"],
        "port": settings["port"],
        "username": settings["username"] or None,
        "password": settings["password"] or None,
        "secure": settings["secure"],
        "ca_path": settings["ca_path"] or None,
        "timeout": settings["timeout"],
        "allow_plaintext": settings["allow_plaintext"],
        "sender": settings["from"],
        "to": settings["to"],
    }


def _narrowed(settings: Json, disclosure: str) -> Json | str:
    if disclosure != NEED_TO_KNOW:
        return settings if settings["login"]["to"] else "incident_mail_to names nobody"
    readers = settings.get("need_to_know_to") or []
    if not readers:
        return f"the incident is {disclosure}, and incident_mail_need_to_know_to names nobody"
    return {**settings, "to": readers, "login": {**settings["login"], "to": readers}}


def _messages(stage: Stage, settings: Json) -> list[Message]:
    args = {
        "subject": f"[{stage.incident['severity']}] {title(stage.incident)}: {WORDS.get(stage.name, stage.name)}",
        "body": "\n".join([*stage.said(), "", f"Incident {name_of(stage.incident)}"]) + "\n",
        "incident": name_of(stage.incident),
    }
    return [Message(stage.identity(NAME), NAME, stage.name, MODULE, args, once=True)]


CHANNEL = Channel(
    name=NAME,
    vendor="mail",
    modules=(MODULE,),
    needed=("host", "from", ("to", "need_to_know_to")),
    lists=("to", "need_to_know_to"),
    login=_login,
    narrowed=_narrowed,
    messages=_messages,
)
