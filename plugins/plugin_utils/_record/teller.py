# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run says to whom, at which stage, and that none of it is lost (private to the collection)."""

from __future__ import annotations

import json
import typing as t

from ansible_collections.sre.runbooks.plugins.plugin_utils._record.channels import outcome_unknown
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.context import Context
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.messages import (
    escalation,
    messages_for,
    person_says,
    title,
)
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.outbox import Message, Outbox
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.plan import done_effects
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.screen import PLANNED
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.store import moment_of, stamp
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.words import plain

Json = dict[str, t.Any]
MAIL = "community.general.mail"
VENDORS = {"pagerduty": "PagerDuty", "status_page": "status page", "mail": "mail"}


class Teller:
    """The stages of an incident and the messages that go with them, through the outbox. ``channels``: those that are on."""

    def __init__(self, context: Context, channels: t.Mapping[str, Json]) -> None:
        self.context = context
        self.run, self.record, self.show = context.run, context.record, context.show
        self.channels = channels
        self.outbox = Outbox(self.record.path)
        self._held: set[str] = set()

    # -- the stages --------------------------------------------------------------------------------------------------

    def declare(self, contacts: Json) -> None:
        """Before the diagnosis: people who start a runbook have seen something, so it is declared at once."""
        self.record.update(contacts={plain(role, 80): plain(who, 160) for role, who in contacts.items()})
        if self.run["declare"] == "at_once" and not self.run["relapse"]:
            self._declare()
        self.flush()

    def confirm(self, max_age: float) -> None:
        """After the diagnosis: declares what was confirmed, reopens what came back, says what the cause is."""
        verdict = self.context.fresh_findings(max_age)
        sick = verdict is not None and verdict["verdict"] != "healthy" and bool(verdict["measured"])
        incident = self.record.incident
        if verdict is None or not sick:
            return
        if incident["state"] == "resolved":
            self.record.update(state="open", epoch=incident["epoch"] + 1, resolved_at=None, mitigated_at=None, declared_at=None)
        if self.run["declare"] == "never":
            return
        self._declare()
        if verdict["verdict"] == "cause_found":
            self.tell("identified", verdict)

    def _declare(self) -> None:
        incident = self.record.incident
        if not incident.get("declared_at"):
            self.record.update(declared_at=stamp(self.record.clock()))
            self._who_is_on_call()
        self.tell("declared", None)

    def _who_is_on_call(self) -> None:
        """Who is on call, for the screen; when PagerDuty does not answer, the inventory's contacts serve."""
        settings = self.channels.get("pagerduty", {})
        if not settings.get("escalation_policy"):
            return
        login = {name: value for name, value in settings["login"].items() if name != "from_email"}
        policies = [settings["escalation_policy"]]
        result = self.context.outside.execute("pagerduty_oncall_info", {**login, "escalation_policies": policies})
        if not result.get("failed"):
            names = [f"{plain(one['name'], 80)} (level {one['level']})" for one in result["oncalls"]]
            self.record.update(on_call=names)

    def update(self, max_age: float) -> None:
        """After the mitigations: says that something was done."""
        done = self._done()
        incident = self.record.incident
        if not done or incident["state"] != "open":
            return
        if not incident.get("mitigated_at"):
            self.record.update(mitigated_at=stamp(self.record.clock()))
        if incident.get("declared_at"):
            self.tell("mitigated", self.context.fresh_findings(max_age))

    def _done(self) -> list[str]:
        events, epoch = self.record.events(), self.record.incident["epoch"]
        if self.run["check"]:
            planned = {event["effect"] for event in self.record.of_run() if event["kind"] == "planned" and "system" in event}
            return sorted(planned)
        return sorted(done_effects(events, epoch))

    def tell(self, stage: str, verdict: Json | None) -> None:
        """Queues a stage's messages, once an incident, and sends what is in the outbox."""
        new = self.outbox.queue(messages_for(self.record.incident, stage, verdict, self._done(), self.channels))
        if new or stage in ("identified", "mitigated", "resolved"):
            already = [e for e in self.record.events() if e["kind"] == "stage" and e["stage"] == stage]
            if new or not already:
                self.record.append("stage", stage=stage, channels=[message.channel for message in new])
        self.flush()

    def escalate(self) -> None:
        """Calls the next level when nobody has acknowledged the incident in time (``escalate_after`` minutes; 0: never)."""
        settings, incident = self.channels.get("pagerduty", {}), self.record.incident
        minutes = float(settings.get("escalate_after") or 0)
        told = incident.get("vendors", {}).get("pagerduty", {})
        if not minutes or incident["state"] != "open" or not incident.get("declared_at") or told.get("status") != "triggered":
            return
        if (self.record.clock() - moment_of(incident["declared_at"])).total_seconds() >= 60 * minutes:
            self.outbox.queue([escalation(incident, int(settings.get("escalate_to") or 2))])

    def say(self, text: str) -> None:
        """A person's words for everybody, once each time."""
        number = 1 + sum(event["kind"] == "stage" and event["stage"] == "update" for event in self.record.events())
        new = self.outbox.queue(person_says(self.record.incident, text, number, self.channels))
        self.record.append("note", text=text)
        self.record.append("stage", stage="update", channels=[message.channel for message in new])
        self.flush()

    # -- the way out -------------------------------------------------------------------------------------------------

    def flush(self) -> None:
        """Sends what is in the outbox, in order; a channel that fails keeps the rest of its messages for the next task."""
        for message in self.outbox.unsent():
            if message.channel in self.channels and message.channel not in self._held and not self._deliver(message):
                self._held.add(message.channel)

    def unsent(self) -> list[str]:
        """The messages of the channels that are on that have not arrived."""
        return [message.id for message in self.outbox.unsent() if message.channel in self.channels]

    def _deliver(self, message: Message) -> bool:
        with self.record.effects():
            if message.once and self._begun_before(message):
                # A run was killed while it sent this; sending it again could say it twice.
                self._end_of(message, "maybe", "an earlier run was ended while it sent this")
                return True
            if not (message.module == MAIL and self.run["check"]):
                self.record.append("intent", effect=message.id)
            result = self._send(message)
            failed = bool(result.get("failed"))
            detail = plain(result.get("msg", "no reason given")) if failed else "sent"
            if failed and message.once and outcome_unknown(message.module, result):
                self._end_of(message, "maybe", detail)
                return True
            self._end_of(message, "failed" if failed else "sent", detail)
        if failed:
            self.show("unsent", f"{message.id}: {detail}")
            return False
        self._remember(message, result)
        return True

    def _begun_before(self, message: Message) -> bool:
        """Whether an earlier run set out to send a message and nobody knows how that ended."""
        about = [event for event in self.record.events() if event.get("effect") == message.id and "system" not in event]
        return bool(about) and about[-1]["kind"] == "intent"

    def _end_of(self, message: Message, outcome: str, detail: str) -> None:
        self.outbox.mark(message.id, outcome, detail, stamp(self.record.clock()))
        status = {"sent": "done"}.get(outcome, outcome)
        self.record.append("outcome", effect=message.id, status=status, detail=detail)
        if outcome == "maybe":
            self.show("maybe sent", f"{message.id}: {detail}")

    def _send(self, message: Message) -> Json:
        args = self._arguments(message)
        if message.module == MAIL and self.run["check"]:
            # The module has no check mode: here nothing of it runs.
            shown = {name: args[name] for name in ("sender", "to", "subject", "body")}
            return {"changed": True, "requests": [{"method": "MAIL", "path": ",".join(args["to"]), "body": shown}]}
        return self.context.outside.execute(message.module, args)

    def _arguments(self, message: Message) -> Json:
        vendor = self.record.incident["vendors"].get(message.channel, {})
        args = {**message.args, **self.channels[message.channel]["login"]}
        if vendor.get("id") and message.module != MAIL:
            args["incident_id"] = vendor["id"]
        return {name: value for name, value in args.items() if value is not None}

    def _remember(self, message: Message, result: Json) -> None:
        """What the vendor calls the incident, and, in check mode, what would have been sent."""
        incident = self.record.incident
        for request in result.get("requests", []) if self.run["check"] else []:
            body = json.dumps(request["body"], sort_keys=True)
            self.record.append("planned", effect=message.id, request=request)
            self.show("would send", f"{message.channel} {request['method']} {request['path']} {body}")
        if message.once:
            if not self.run["check"]:
                self.show("tell", f"{VENDORS[message.channel]}: {message.id.partition(':')[2]}")
            return
        told = result.get("incident")
        if told is None and self.run["check"]:
            told = {"id": PLANNED, "status": message.args.get("status", "triggered")}
        if told is None:
            self.show("tell", f"{VENDORS[message.channel]}: nothing of this incident is there, so nothing was said")
            return
        vendors = {**incident["vendors"], message.channel: {name: told.get(name) for name in ("id", "status", "url")}}
        changes: Json = {"vendors": vendors}
        if result.get("adopted") and message.stage == "declared" and told.get("title") != title(incident):
            changes["adopted"] = True
        if told.get("status") == "acknowledged" and not incident.get("acknowledged_at"):
            changes["acknowledged_at"] = stamp(self.record.clock())
        self.record.update(**changes)
        if not self.run["check"]:
            name = VENDORS[message.channel]
            what = "nothing new" if not result.get("changed") else f"{message.stage}"
            self.show("tell", f"{name} {told['id']}: {what} ({told['status']})")

    def sent(self) -> list[tuple[str, str, str, str]]:
        """What left the house: when, to whom, what, and how it ended."""
        rows = []
        for message, line in self.outbox.journal():
            vendor = self.record.incident.get("vendors", {}).get(message.channel, {}).get("id")
            login = self.channels.get(message.channel, {}).get("login", {})
            to = ", ".join(login.get("to", [])) or " ".join(filter(None, [VENDORS[message.channel], vendor]))
            outcome = {"sent": "sent", "maybe": "maybe sent"}.get(line.get("op", ""), "unsent")
            detail = "" if outcome == "sent" else f": {line.get('detail', 'not tried yet')}"
            rows.append((line.get("at", "")[5:19].replace("T", " "), to, message.id.partition(":")[2], outcome + detail))
        return rows
