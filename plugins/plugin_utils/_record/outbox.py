# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The outbox: every message to a vendor is queued before it is sent, and stays until it is known to have arrived.

A channel's messages leave in the order in which they were queued; one that cannot be sent holds back those behind it,
and no other channel. (private to the collection)
"""

from __future__ import annotations

import dataclasses
import pathlib
import typing as t

from ansible_collections.sre.runbooks.plugins.plugin_utils._record.inputs import DISCLOSURES, PUBLIC
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.store import append_line, read_lines

Json = dict[str, t.Any]
# In check mode an incident that an earlier message would have opened has no id yet.
PLANNED = "{id}"


@dataclasses.dataclass(frozen=True)
class Message:
    """One message: what it says, to which channel, by which module. No secrets: those are added when it is sent.

    ``once``: nobody can look up whether it arrived, so it is sent at most once. ``disclosure``: the
    incident's when it was written.
    """

    id: str
    channel: str
    stage: str
    module: str
    args: t.Mapping[str, t.Any]
    once: bool = False
    disclosure: str = PUBLIC


def _message(line: Json, modules: t.Mapping[str, t.Sequence[str]]) -> Message | None:
    known = {field.name for field in dataclasses.fields(Message)}
    try:
        message = Message(**{name: value for name, value in line.items() if name in known})
        return (
            message
            if message.module in modules[message.channel] and isinstance(message.args, dict) and message.disclosure in DISCLOSURES
            else None
        )
    except (TypeError, KeyError):
        return None


class Outbox:
    """The messages of one incident. ``modules``: which speak to which channel; a line that says otherwise is none of ours."""

    def __init__(self, folder: pathlib.Path, modules: t.Mapping[str, t.Sequence[str]]) -> None:
        self._modules = modules
        self._path = folder / "outbox.jsonl"

    def _state(self) -> tuple[dict[str, Message], dict[str, Json]]:
        messages: dict[str, Message] = {}
        last: dict[str, Json] = {}
        for line in read_lines(self._path, ("op", "id"))[0]:
            if line["op"] == "queued":
                message = _message(line, self._modules)
                if message is not None:
                    messages.setdefault(message.id, message)
            elif line["op"] == "withdrawn":  # it may be written anew, for fewer readers
                messages.pop(line["id"], None)
                last.pop(line["id"], None)
            else:
                last[line["id"]] = line
        return messages, last

    def queue(self, messages: t.Iterable[Message]) -> list[Message]:
        """Queues those messages that have not been queued before; the id decides. Returns the new ones."""
        known = self._state()[0]
        new = [message for message in messages if message.id not in known]
        for message in new:
            append_line(self._path, {"op": "queued", **dataclasses.asdict(message)})
        return new

    def mark(self, identity: str, outcome: str, detail: str, at: str, to: str = "") -> None:
        """What became of a message, and ``to`` whom it went: ``sent``, ``failed``, ``refused``, ``withdrawn``, or ``maybe`` (sent
        once, and nobody can tell)."""
        append_line(self._path, {"op": outcome, "id": identity, "detail": detail, "at": at, **({"to": to} if to else {})})

    def unsent(self) -> list[Message]:
        """The messages that are not known to have arrived and may be sent (again), in order."""
        messages, last = self._state()
        return [one for one in messages.values() if last.get(one.id, {}).get("op") not in ("sent", "maybe", "refused")]

    def refused(self) -> list[Message]:
        """The messages that a vendor will never take."""
        return [message for message, line in self.journal() if line.get("op") == "refused"]

    def maybe(self) -> list[Message]:
        """The messages that were sent once and of which nobody can tell whether they arrived."""
        return [message for message, line in self.journal() if line.get("op") == "maybe"]

    def journal(self) -> list[tuple[Message, Json]]:
        """Every message with the last line about it (empty while it was not tried)."""
        messages, last = self._state()
        return [(one, last.get(one.id, {})) for one in messages.values()]

    def why(self, identity: str) -> str:
        """Why a message has not arrived."""
        return str(self._state()[1].get(identity, {}).get("detail", "not tried yet"))
