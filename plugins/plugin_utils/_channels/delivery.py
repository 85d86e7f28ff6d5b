# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sending what is in the outbox: the channels side by side, each in order, and none of them waited for (private)."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import time
import typing as t

from ansible_collections.sre.runbooks.plugins.module_utils._within import LateError, within
from ansible_collections.sre.runbooks.plugins.plugin_utils._channels.channel import disclosure_of
from ansible_collections.sre.runbooks.plugins.plugin_utils._channels.settings import CHANNELS, MODULES
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.context import Context
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.errors import RecordError
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.inputs import plain, strictest
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.outbox import Message, Outbox
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.shapes import Event, Fields
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.store import EFFECT_WAIT_SECONDS, stamp

Json = dict[str, t.Any]
# A call keeps its own deadline; where it does not, it is left behind this much later.
GRACE_SECONDS = 2.0


@dataclasses.dataclass(frozen=True)
class Patience:
    """How long all channels together may take, how long one answer, and how often a request is tried."""

    seconds: float
    answer: float
    tries: int

    def of(self, login: Json, left: float) -> Json:
        """A channel's own patience, as far as this one allows it."""
        timeout = max(0.1, min(float(login["timeout"]), self.answer, left))
        limits: Json = {"timeout": timeout}
        if "tries" in login:
            limits |= {"tries": min(int(login["tries"]), self.tries), "budget": max(0.1, left)}
        return limits


class Delivery:
    """The way of the messages out of one run. ``arrived`` is told of each that arrived, with the result."""

    def __init__(self, context: Context, channels: t.Mapping[str, Json], arrived: t.Callable[[Message, Json], None]) -> None:
        self.context, self.channels, self._arrived = context, channels, arrived
        self.record, self.opened, self.show = context.record, context.opened, context.show
        self.outbox = Outbox(self.record.path, MODULES)

    def down(self) -> set[str]:
        """The channels that did not answer in this run: they are not asked again in it."""
        return {event["effect"].partition(":")[0] for event in self.record.of_run() if event.get("down")}

    def flush(self, patience: Patience, only: t.Collection[str] | None = None) -> None:
        """Sends what can be sent, to those that are not down or to the named ones; a channel that fails keeps the rest of its
        messages for the next time."""
        until = time.monotonic() + patience.seconds
        self._withdraw()
        down = self.down()
        on = [name for name in self.channels if (name in only if only is not None else name not in down)]
        unsent = self.outbox.unsent()
        waiting = {name: [one for one in unsent if one.channel == name] for name in on}
        while first := [messages[0] for messages in waiting.values() if messages]:
            left = until - time.monotonic()
            if left <= 0:
                return
            try:
                failed = self._round(first, patience, left)
            except RecordError as error:
                self.show("unsent", str(error))
                return
            waiting = {name: [] if name in failed else messages[1:] for name, messages in waiting.items()}

    def _withdraw(self) -> None:
        """What was written when more people might read about the incident is not sent any more."""
        now = disclosure_of(self.record.incident)
        for message in self.outbox.unsent():
            if strictest(message.disclosure, now) != message.disclosure:
                unclear = _ended_unclear(self.record.events(), message)
                self._end_of(message, "maybe" if unclear else "withdrawn", f"it was written before the incident became {now}")

    def _round(self, messages: t.Sequence[Message], patience: Patience, left: float) -> set[str]:
        """Sends one message of each channel, side by side. Returns the channels where it failed."""
        until = time.monotonic() + left
        with self.record.effects(min(left, EFFECT_WAIT_SECONDS)):
            left = max(0.1, until - time.monotonic())
            events = self.record.events()
            doubts = {one.id: _ended_unclear(events, one) for one in messages}
            sent = [one for one in messages if not (one.once and doubts[one.id])]
            for message in messages:
                if message not in sent:
                    # A run was killed while it sent this; sending it again could say it twice.
                    self._end_of(message, "maybe", "an earlier run was ended while it sent this")
            for message in sent:
                self.record.append("intent", effect=message.id)
            args = {one.id: self._arguments(one, patience, left, doubts[one.id]) for one in sent}
            results = self._side_by_side(sent, args, left)
            return {one.channel for one in sent if not self._settled(one, results[one.id])}

    def _side_by_side(self, messages: t.Sequence[Message], args: t.Mapping[str, Json], left: float) -> dict[str, Json]:
        def send(message: Message) -> Json:
            try:
                return within(left + GRACE_SECONDS, lambda: self.context.outside.execute(message.module, args[message.id]))
            except LateError as error:
                return {"failed": True, "msg": str(error), "unknown": True, "down": True}

        if not messages:
            return {}
        with concurrent.futures.ThreadPoolExecutor(len(messages)) as pool:
            return dict(zip([one.id for one in messages], pool.map(send, messages), strict=True))

    def _settled(self, message: Message, result: Json) -> bool:
        """Writes down what became of a message. Returns whether its channel may go on."""
        if not result.get("failed"):
            self._end_of(message, "sent", "sent")
            self._arrived(message, result)
            return True
        detail = plain(result.get("msg", "no reason given"))
        unknown = bool(result.get("unknown"))
        if message.once and result.get("refused"):
            self._end_of(message, "refused", detail)
            return True
        if message.once and unknown:
            self._end_of(message, "maybe", detail, down=bool(result.get("down")))
            return not result.get("down")
        self._end_of(message, "failed", detail, unknown=unknown, down=bool(result.get("down")))
        self.show("unsent", f"{message.id}: {detail}")
        return False

    def _end_of(self, message: Message, outcome: str, detail: str, *, unknown: bool = False, down: bool = False) -> None:
        to = ", ".join(self.channels.get(message.channel, {}).get("login", {}).get("to", []))
        self.outbox.mark(message.id, outcome, detail, stamp(self.record.clock()), to)
        told: Fields = {"effect": message.id, "status": {"sent": "done"}.get(outcome, outcome), "detail": detail}
        if unknown:
            told["unknown"] = True
        if down:
            told["down"] = True
        self.record.append("outcome", **told)
        if outcome in ("maybe", "refused", "withdrawn"):
            self.show("maybe sent" if outcome == "maybe" else outcome, f"{message.id}: {detail}")

    def _arguments(self, message: Message, patience: Patience, left: float, in_doubt: bool) -> Json:
        login = self.channels[message.channel]["login"]
        args = {name: value for name, value in message.args.items() if value is not None}
        args |= {**login, **patience.of(login, left), **CHANNELS[message.channel].addressed(message, self.record.incident)}
        if in_doubt:
            args["tried_before"] = True
        return args


def _ended_unclear(events: t.Sequence[Event], message: Message) -> bool:
    """Whether somebody set out to send a message and nobody knows how that ended."""
    about = [event for event in events if event.get("effect") == message.id and "system" not in event]
    return bool(about) and (about[-1]["kind"] == "intent" or bool(about[-1].get("unknown")))
