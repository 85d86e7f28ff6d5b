# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run says to whom, at which stage, and that none of it is lost (private to the collection)."""

from __future__ import annotations

import dataclasses
import json
import typing as t

from ansible_collections.sre.runbooks.plugins.plugin_utils._channels.channel import Done, Stage, disclosure_of, title
from ansible_collections.sre.runbooks.plugins.plugin_utils._channels.delivery import Delivery, Patience
from ansible_collections.sre.runbooks.plugins.plugin_utils._channels.settings import CHANNELS, narrowed
from ansible_collections.sre.runbooks.plugins.plugin_utils._judgement.shapes import Verdict
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.context import Context
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.errors import RecordError
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.history import done_effects, unknown_effects
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.inputs import PUBLIC, plain
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.outbox import PLANNED, Message
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.shapes import Event, time_of
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.store import moment_of, stamp

Json = dict[str, t.Any]
# How long all channels together may take once the verdict is shown (a mitigation waits for them), one answer then, and those that
# were down before at the end (seconds).
AFTER_SECONDS = 30.0
ANSWER_SECONDS = 5.0
LAST_SECONDS = 12.0
MOST_TRIES = 10
# The same words within this time are the same update, which a person types again because the first run was ended (seconds).
SAME_UPDATE_SECONDS = 300.0


class Notifier:
    """The stages of an incident and the messages that go with them, through the outbox. ``channels``: those that are on; those
    that may not be told of this incident are ``silenced``."""

    def __init__(self, context: Context, channels: t.Mapping[str, Json]) -> None:
        self.context = context
        self.opened, self.record, self.show = context.opened, context.record, context.show
        self._before = set(channels)
        self.channels, self.silenced = narrowed(channels, disclosure_of(self.record.incident))
        self._delivery = Delivery(context, self.channels, self._remember)
        self.outbox = self._delivery.outbox

    # -- the stages --------------------------------------------------------------------------------------------------

    def declare(self, contacts: Json) -> None:
        """Before the diagnosis: people who start a runbook have seen something, so it is declared at once."""
        self.record.update(contacts={plain(role, 80): plain(who, 160) for role, who in contacts.items()})
        seconds = self.opened["seconds_before_verdict"]
        quickly = Patience(seconds, seconds, 1)
        incident = self.record.incident
        # One that was resolved before is only told of again where users suffer.
        again = self.opened["relapse"] or (incident["epoch"] and not incident.get("declared_at"))
        if self.opened["declare"] == "at_once" and not again:
            self._declare(quickly)
        else:
            self.flush(quickly)

    def confirm(self, max_age: float) -> None:
        """After the diagnosis: declares what was confirmed, reopens what came back, says what the cause is."""
        verdict = self.context.fresh_findings(max_age)
        sick = verdict is not None and verdict["verdict"] != "healthy" and bool(verdict["measured"])
        if verdict is None or not sick:
            return
        if self.record.incident["state"] == "resolved":
            self.context.reopen()
        if self.opened["declare"] == "never":
            return
        self._declare()
        if verdict["verdict"] == "cause_found":
            self.tell("identified", verdict)
        self._who_is_on_call()

    def declare_what_is_left(self) -> None:
        """After a look that found no recovery: nobody may wait for it without knowing."""
        incident = self.record.incident
        if incident["state"] == "open" and not incident.get("declared_at") and self.opened["declare"] != "never":
            self._declare()

    def left_open(self) -> list[str]:
        """The notes on channels that were told once and may not be told any more."""
        vendors = self.record.incident.get("vendors", {})
        return [
            f"{CHANNELS[name].vendor} still says {vendors[name].get('status')}, and is not told any more: end it there by hand"
            for name in self._before - self.channels.keys()
            if name in vendors and vendors[name].get("status") != "resolved"
        ]

    def _declare(self, patience: Patience | None = None) -> None:
        if not self.record.incident.get("declared_at"):
            self.record.update(declared_at=stamp(self.record.clock()))
        self.tell("declared", None, patience)

    def _who_is_on_call(self) -> None:
        """Who is on call, for the screen; when nobody answers, the inventory's contacts serve."""
        if self.record.incident.get("on_call"):
            return
        for name in self.channels.keys() - self._delivery.down():
            asked = CHANNELS[name].on_call(self.channels[name])
            if asked is None:
                continue
            seconds = self.opened["seconds_before_verdict"]
            result = self.context.outside.execute(asked[0], {**asked[1], "tries": 1, "timeout": seconds, "budget": seconds})
            if not result.get("failed"):
                names = [f"{plain(one['name'], 80)} (level {one['level']})" for one in result["oncalls"]]
                self.record.update(on_call=names)

    def update(self, max_age: float) -> None:
        """After the mitigations: says that something was done."""
        done = self._done()
        incident = self.record.incident
        if not done.known or incident["state"] != "open":
            return
        if not incident.get("mitigated_at"):
            self.record.update(mitigated_at=stamp(self.record.clock()))
        if incident.get("declared_at"):
            self.tell("mitigated", self.context.fresh_findings(max_age))

    def _done(self) -> Done:
        events, epoch = self.record.events(), self.record.incident["epoch"]
        if self.opened["check"]:
            planned = {event["effect"] for event in self.record.of_run() if event["kind"] == "planned" and "system" in event}
            return Done(sorted(planned))
        return Done(sorted(done_effects(events, epoch)), sorted(unknown_effects(events, epoch)))

    def tell(self, stage: str, verdict: Verdict | None, patience: Patience | None = None) -> None:
        """Queues a stage's messages, once an incident, and sends what is in the outbox."""
        told = Stage(self.record.incident, stage, verdict, self._done())
        new = self._queue(
            message for name, settings in self.channels.items() for message in CHANNELS[name].messages(told, settings)
        )
        if new or stage in ("identified", "mitigated", "resolved"):
            already = [e for e in self.record.events() if e["kind"] == "stage" and e["stage"] == stage]
            if new or not already:
                self.record.append("stage", stage=stage, channels=[message.channel for message in new])
        self.flush(patience)

    def escalate(self) -> None:
        """Calls the next level when nobody has reacted in time."""
        incident = self.record.incident
        if incident["state"] != "open" or not incident.get("declared_at"):
            return
        minutes = (self.record.clock() - moment_of(time_of(incident, "declared"))).total_seconds() / 60
        overdue = [CHANNELS[name].overdue(incident, minutes, settings) for name, settings in self.channels.items()]
        self._queue(message for message in overdue if message is not None)

    def say(self, text: str) -> None:
        """A person's words for everybody, once each time. They are written down first, so that a run that is ended loses none;
        the same words soon after are the same update."""
        events = self.record.events()
        updates = [event for event in events if event["kind"] == "note" and "update" in event]
        last = updates[-1] if updates else None
        if last is None or last["text"] != text or self._age(last) > SAME_UPDATE_SECONDS:
            number = 1 + max((event["update"] for event in updates), default=0)
            updates.append(self.record.append("note", text=text, update=number))
        staged = {event["update"] for event in events if event["kind"] == "stage" and "update" in event}
        for event in updates:
            if event["update"] not in staged:
                messages = self._updates(event["text"], event["update"])
                channels = [message.channel for message in self._queue(messages)]
                self.record.append("stage", stage="update", update=event["update"], channels=channels)
                if event is updates[-1] and not messages:
                    raise RecordError("nobody was told: no channel that is on takes these words now; they are kept as a note")
        self.flush()

    def _queue(self, messages: t.Iterable[Message]) -> list[Message]:
        disclosure = disclosure_of(self.record.incident)
        return self.outbox.queue(dataclasses.replace(message, disclosure=disclosure) for message in messages)

    def _updates(self, text: str, number: int) -> list[Message]:
        incident = self.record.incident
        every = [CHANNELS[name].update(incident, text, number, settings) for name, settings in self.channels.items()]
        return [message for messages in every for message in messages]

    def _age(self, event: Event) -> float:
        return (self.record.clock() - moment_of(event["at"])).total_seconds()

    # -- the way out -------------------------------------------------------------------------------------------------

    def flush(self, patience: Patience | None = None) -> None:
        """Sends what is in the outbox; what cannot be sent now stays for later, and the next run."""
        self._delivery.flush(patience or Patience(AFTER_SECONDS, ANSWER_SECONDS, MOST_TRIES))

    def last_flush(self) -> None:
        """Sends what is left, also to those who did not answer before: once, and not for long."""
        down = self._delivery.down()
        self.flush()
        self._delivery.flush(Patience(LAST_SECONDS, self.opened["seconds_before_verdict"], 1), only=down)

    def unsent(self) -> list[str]:
        """The messages of the channels that are on that have not arrived."""
        return [message.id for message in self.outbox.unsent() if message.channel in self.channels]

    def _remember(self, message: Message, result: Json) -> None:
        """What the vendor calls the incident, and, in check mode, what would have been sent."""
        incident = self.record.incident
        if result.get("left_out"):
            self.show("tell", f"{CHANNELS[message.channel].vendor}, without a part: {plain(result['left_out'])}")
        for request in result.get("requests", []) if self.opened["check"] else []:
            body = json.dumps(request["body"], sort_keys=True)
            self.record.append("planned", effect=message.id, request=request)
            self.show("would send", f"{message.channel} {request['method']} {request['path']} {body}")
        if message.once:
            if not self.opened["check"]:
                self.show("tell", f"{CHANNELS[message.channel].vendor}: {message.id.partition(':')[2]}")
            return
        told = result.get("incident")
        if told is None and self.opened["check"]:
            told = {"id": PLANNED, "status": message.args.get("status", "triggered")}
        if told is None:
            self.show("tell", f"{CHANNELS[message.channel].vendor}: nothing of this incident is there, so nothing was said")
            return
        vendors = {**incident["vendors"], message.channel: {name: told.get(name) for name in ("id", "status", "url")}}
        changes: Json = {"vendors": vendors}
        ours = {title(incident), title({**incident, "disclosure": PUBLIC})}
        if result.get("adopted") and message.stage == "declared" and told.get("title") not in ours:
            changes["adopted"] = True
        if told.get("status") == "acknowledged" and not incident.get("acknowledged_at"):
            changes["acknowledged_at"] = stamp(self.record.clock())
        self.record.update(**changes)
        if not self.opened["check"]:
            name = CHANNELS[message.channel].vendor
            what = "nothing new" if not result.get("changed") else f"{message.stage}"
            self.show("tell", f"{name} {told['id']}: {what} ({told['status']})")

    def sent(self) -> list[tuple[str, str, str, str]]:
        """What was sent: when, to whom, what, and how it ended."""
        rows = []
        for message, line in self.outbox.journal():
            vendor = self.record.incident.get("vendors", {}).get(message.channel, {}).get("id")
            login = self.channels.get(message.channel, {}).get("login", {})
            to = (
                line.get("to")
                or ", ".join(login.get("to", []))
                or " ".join(filter(None, [CHANNELS[message.channel].vendor, vendor]))
            )
            outcome = {"sent": "sent", "maybe": "maybe sent", "refused": "refused"}.get(line.get("op", ""), "unsent")
            detail = "" if outcome == "sent" else f": {line.get('detail', 'not tried yet')}"
            rows.append((line.get("at", "")[5:19].replace("T", " "), to, message.id.partition(":")[2], outcome + detail))
        return rows
