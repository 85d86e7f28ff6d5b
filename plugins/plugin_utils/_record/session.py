# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run does with its record after it was opened, one method an operation (private to the collection).

Everything that reaches outside is injected: ``execute`` runs a module, ``show`` prints a line, ``ask`` asks a person.
"""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import json
import os
import pathlib
import typing as t

from ansible_collections.sre.runbooks.plugins.plugin_utils._judgement.catalogue import Catalogue
from ansible_collections.sre.runbooks.plugins.plugin_utils._judgement.verdict import judge
from ansible_collections.sre.runbooks.plugins.plugin_utils._record import lock
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.channels import outcome_unknown
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.errors import RecordError
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.messages import (
    escalation,
    messages_for,
    person_says,
    title,
)
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.outbox import Message, Outbox
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.plan import Step, done_effects, ending, steps_for
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.report import Source, sections, to_html, to_markdown
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.screen import PLANNED, Screen, next_command, render
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.store import (
    Record,
    moment_of,
    stamp,
    write_whole,
)
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.undo import undo_steps
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.words import Words, plain

Json = dict[str, t.Any]
MAIL = "community.general.mail"
VENDORS = {"pagerduty": "PagerDuty", "status_page": "status page", "mail": "mail"}


class Execute(t.Protocol):
    """Runs a module of this collection with arguments; the result says ``failed`` and ``msg`` like any module's."""

    def __call__(self, module: str, args: Json) -> Json: ...


@dataclasses.dataclass(frozen=True)
class Outside:
    """The ways out of a session."""

    execute: Execute
    show: t.Callable[[str], None]
    ask: t.Callable[[str, float], str | None]
    argv: t.Sequence[str] = ()


@dataclasses.dataclass(frozen=True)
class Effect:
    """One act of a mitigation on one system, by a module. ``target`` is what an undo needs; ``undoes`` says that it is one.

    ``count`` things would be touched by the whole mitigation; with more than ``max`` of them nothing is.
    """

    name: str
    system: str
    module: str = ""
    args: Json = dataclasses.field(default_factory=dict)
    target: Json | None = None
    undoes: bool = False
    count: int = 1
    max: int | None = None

    @property
    def label(self) -> str:
        return f"the undo of {self.name}" if self.undoes else self.name


class Session:
    """One run's view of its incident."""

    def __init__(self, run: Json, catalogue: Catalogue, outside: Outside, channels: t.Mapping[str, Json]) -> None:
        self.run = run
        self.catalogue = catalogue
        self.outside = outside
        self.channels = channels
        self.record = Record(pathlib.Path(run["path"]), run["run"])
        self.outbox = Outbox(self.record.path)
        self.words = Words(**{**run["words"], "mitigate": tuple(run["words"]["mitigate"])})
        self.held: set[str] = set()
        self.owner = lock.this_run(run["pid"], run["run"])
        if not run["check"]:
            lock.take(self.record.path, self.owner, self.record.clock())

    def show(self, what: str, text: str) -> None:
        self.outside.show(f"{self.record.clock():%H:%M:%SZ}  {what:<9} {text}")

    # -- reading -----------------------------------------------------------------------------------------------------

    def wants(self, phase: str, system: str) -> bool:
        """Whether a phase has anything to do on a system in this run."""
        if system not in self.run["expected"]:
            return False
        if phase == "mitigate":
            return bool(self.words.mitigate) and system in self.run["targets"]
        if phase == "verify":
            return self.needs_proof()
        return True  # diagnose, undo

    def needs_proof(self) -> bool:
        """Whether there is something to prove: a mitigation of an open incident, or one that seems to be over by itself.
        When the diagnosis says that users suffer and nothing was done, that look was the verification."""
        incident, events = self.record.incident, self.record.of_run()
        if self.run["check"]:
            return False
        judged = [event for event in events if event["kind"] == "judged"]
        if not judged:
            return True
        if incident["state"] != "open":
            return False
        acted = any(event["kind"] in ("intent", "outcome") and "system" in event for event in events)
        return acted or (bool(incident.get("declared_at")) and judged[-1]["verdict"] == "healthy")

    def keep_facts(self, slot: str, system: str, kind: str, data: Json, limits: Json) -> None:
        depends_on = self.run["depends_on"].get(system, [])
        facts = {"system": system, "kind": kind, "depends_on": depends_on, "limits": limits, **data}
        self.record.save_facts(slot, system, facts)
        self.record.append("facts", system=system, slot=slot)

    def keep_failure(self, phase: str, system: str, why: str) -> None:
        """A role failed on one system: the run goes on without it."""
        self.record.append("phase_failed", phase=phase, system=system, why=plain(why))
        self.show(phase, f"{system}: {plain(why)}")

    def judge(self, slot: str) -> Json:
        """The verdict on the facts of this run, saved for people and other tools."""
        facts = self.record.facts(slot)
        failed = {e["system"]: e["why"] for e in self.record.of_run() if e["kind"] == "phase_failed" and e["phase"] == slot}
        silent = "no facts came: the system was unreachable"
        expected = {system: failed.get(system, silent) for system in self.run["expected"]}
        verdict = judge(facts, expected, self.catalogue)
        now = stamp(self.record.clock())
        name = "findings.json" if slot == "diagnose" else "verification.json"
        told = {"at": now, "run": self.run["run"], "incident": self.run["incident_id"], **verdict}
        self.record.save(name, told)
        if slot == "diagnose" and verdict["verdict"] != "healthy":
            self.record.save("cause.json", told)
        causes = [one["id"] for one in verdict["findings"] if one["role"] == "cause"]
        self.record.append("judged", slot=slot, verdict=verdict["verdict"], causes=causes)
        self.show("verdict", " ".join([verdict["verdict"], *causes]))
        return verdict

    def fresh_findings(self, max_age: float) -> Json | None:
        """The verdict of this run, or the record's when it is young enough to act on."""
        found = self.record.load("findings.json")
        if found is None:
            return None
        age = (self.record.clock() - moment_of(found["at"])).total_seconds()
        return found if found["run"] == self.run["run"] or age <= max_age else None

    # -- telling -----------------------------------------------------------------------------------------------------

    def declare(self, contacts: Json) -> None:
        """Before the diagnosis: people who start a runbook have seen something, so it is declared at once."""
        self.record.update(contacts={plain(role, 80): plain(who, 160) for role, who in contacts.items()})
        if self.run["declare"] == "at_once" and not self.run["relapse"]:
            self._declare()
        self.flush()

    def confirm(self, max_age: float) -> None:
        """After the diagnosis: declares what was confirmed, reopens what came back, says what the cause is."""
        verdict = self.fresh_findings(max_age)
        sick = verdict is not None and verdict["verdict"] != "healthy" and bool(verdict["measured"])
        incident = self.record.incident
        if verdict is None or not sick or self.run["declare"] == "never":
            return
        if incident["state"] == "resolved":
            incident = self.record.update(
                state="open", epoch=incident["epoch"] + 1, resolved_at=None, mitigated_at=None, declared_at=None
            )
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
        result = self.outside.execute("pagerduty_oncall_info", {**login, "escalation_policies": policies})
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
            self.tell("mitigated", self.fresh_findings(max_age))

    def _done(self) -> list[str]:
        events, epoch = self.record.events(), self.record.incident["epoch"]
        if self.run["check"]:
            planned = {event["effect"] for event in self.record.of_run() if event["kind"] == "planned" and "system" in event}
            return sorted(planned)
        return sorted({one[0] for one in done_effects(events, epoch)})

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

    def flush(self) -> None:
        """Sends what is in the outbox, in order; a channel that fails keeps the rest of its messages for the next task."""
        for message in self.outbox.unsent():
            if message.channel in self.channels and message.channel not in self.held and not self._deliver(message):
                self.held.add(message.channel)

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
        return self.outside.execute(message.module, args)

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

    # -- acting ------------------------------------------------------------------------------------------------------

    def plan(self, system: str, max_age: float, prompt_seconds: float) -> list[Json]:
        """The mitigations to carry out on a system. Raises RecordError when one is refused."""
        incident = self.record.incident
        steps = steps_for(system, self.words, self.fresh_findings(max_age), self.record.events(), incident["epoch"])
        todo = []
        for step in steps:
            if not step.found_done:
                self._approve(step.mitigation, step.system, len(step.targets), prompt_seconds)
                todo += self._parts(step)
            elif incident["state"] == "open":
                detail = "an earlier run did it, and the cause is gone"
                self._outcome("outcome", Effect(step.mitigation, system), "done", detail, changed=True)
            else:
                self.show("mitigate", f"{step.mitigation} on {system}: done before, nothing to do")
        return todo

    def _parts(self, step: Step) -> list[Json]:
        """A step as the role carries it out: whole, or one target at a time."""
        targets = [dict(target) for target in step.targets]
        whole = {"mitigation": step.mitigation, "count": len(targets), "targets": targets, "target": None}
        each = self.catalogue.mitigations[step.mitigation].each
        return [{**whole, "targets": [target], "target": target} for target in targets] if each else [whole]

    def _approve(self, mitigation: str, system: str, targets: int, seconds: float) -> None:
        asked = self.catalogue.mitigations[mitigation]
        if (self.words.approval or ("prompt" if asked.asks else "auto")) != "prompt" or self.run["check"]:
            return
        touches = asked.touches
        question = f"{mitigation} on {system} ({targets}): {touches}. Type {mitigation} to go on ({seconds:g} s): "
        answer = self.outside.ask(question, seconds)
        if answer is None or answer.strip() != mitigation:
            given = "nobody answered" if answer is None else f"the answer was {plain(answer, 40)!r}"
            hint = f"; without a terminal, and knowing what it does: -e approval=auto (risk {asked.risk})" if asked.asks else ""
            raise RecordError(f"{mitigation} was not approved ({given}), so nothing was touched{hint}")

    def effect(self, act: Effect) -> Json:
        """One outward effect on a system, with its intent before it and its outcome after it. Raises RecordError."""
        if act.max is not None and act.count > act.max:
            raise RecordError(
                f"{act.name} on {act.system} would act on {act.count} things, and max is {act.max}: nothing was touched"
            )
        kinds = ("undo_intent", "undone") if act.undoes else ("intent", "outcome")
        with self.record.effects():
            if not self.run["check"]:
                # What an undo needs is saved before anything is changed.
                self._effect_event(kinds[0], act, target=act.target)
            result = self.outside.execute(act.module, act.args)
            if result.get("failed"):
                why = plain(result.get("msg", "no reason given"))
                self._outcome(kinds[1], act, "failed", why, changed=bool(result.get("changed")))
                raise RecordError(f"{act.label} on {act.system} failed: {why}")
            detail = told(result)
            if self.run["check"]:
                self.record.append("planned", effect=act.name, system=act.system, signals=result.get("backends", []))
                self.show("would do", f"{act.label} on {act.system}: {detail}")
            else:
                self._outcome(kinds[1], act, "done", detail, changed=bool(result.get("changed")))
        return result

    def _effect_event(self, kind: str, act: Effect, **fields: t.Any) -> None:
        epoch = self.record.incident["epoch"]
        self.record.append(kind, effect=act.name, system=act.system, epoch=epoch, **fields)

    def _outcome(self, kind: str, act: Effect, status: str, detail: str, *, changed: bool) -> None:
        self._effect_event(kind, act, status=status, detail=detail, changed=changed, target=act.target)
        self.show("undo" if act.undoes else "mitigate", f"{act.name} on {act.system}: {status}, {detail}")

    def undo_plan(self, system: str) -> list[Json]:
        """What can be taken back on a system, latest first."""
        steps = undo_steps(self.record.events(), self.catalogue)
        return [{"mitigation": one.mitigation, "target": dict(one.target)} for one in steps if one.system == system]

    def undo_end(self) -> tuple[list[str], str | None]:
        """After the undo: what was taken back, and the sentence for which the run must fail (or None)."""
        events = self.record.of_run()
        lines = [
            f"{e['effect']} on {e['system']}: {e['detail']}" for e in events if e["kind"] == "undone" and e["status"] == "done"
        ]
        failed = [str(event["why"]) for event in events if event["kind"] == "phase_failed"]
        left = [] if self.run["check"] else undo_steps(self.record.events(), self.catalogue)
        if not failed and left:
            failed = [f"not undone: {', '.join(f'{one.mitigation} on {one.system}' for one in left)}: the system was not reached"]
        if not self.run["check"]:
            self.write_report()
        self.end()
        return lines or ["nothing was taken back"], failed[0] if failed else None

    # -- ending ------------------------------------------------------------------------------------------------------

    def verify(self) -> None:
        """Judges whether the recovery is proven: users are well several times in a row, and the cause is gone."""
        facts = self.record.facts("verify")
        failed = [e for e in self.record.of_run() if e["kind"] == "phase_failed" and e["phase"] == "verify"]
        if not self.needs_proof() and not facts and not failed:
            return
        verdict = self.judge("verify")
        proven, why = proof(verdict, facts)
        self.record.append("verified", proven=proven, why=why)
        self.show("verify", f"{'recovered, proven' if proven else 'not recovered'}: {why}")

    def close(self, max_age: float) -> None:
        """Sends what is left, resolves after a proven recovery, and writes the report."""
        incident = self.record.incident
        if incident["state"] == "open" and self._recovered(max_age):
            incident = self.record.update(state="resolved", resolved_at=stamp(self.record.clock()))
            self.show("close", "would be resolved after a proven recovery" if self.run["check"] else "resolved")
        elif incident["state"] == "open" and not incident.get("declared_at") and self._healthy():
            self.record.update(state="closed", closed_at=stamp(self.record.clock()))
        if incident["state"] == "resolved" and incident.get("declared_at"):
            # Also when an earlier run resolved it and was killed before it could say so.
            self.tell("resolved", self.record.load("findings.json"))
        self.escalate()
        self.flush()
        self.write_report()

    def _healthy(self) -> bool:
        judged = [event for event in self.record.of_run() if event["kind"] == "judged"]
        return bool(judged) and judged[-1]["verdict"] == "healthy"

    def _recovered(self, max_age: float) -> bool:
        if self.run["check"]:
            return any(event["kind"] == "planned" and "system" in event for event in self.record.of_run())
        for event in reversed(self.record.events()):
            if event["kind"] == "outcome" and "system" in event:
                return False
            if event["kind"] == "verified":
                age = (self.record.clock() - moment_of(event["at"])).total_seconds()
                return bool(event["proven"]) and (event["run"] == self.run["run"] or age <= max_age)
        return False

    def write_report(self) -> None:
        """The report, from everything that the record has."""
        # A later look finds a healthy system; the report is about what made it sick.
        verdict = self.record.load("cause.json") or self.record.load("findings.json")
        incident, events = self.record.incident, self.record.events()
        acted = [event["run"] for event in events if event["kind"] == "outcome" and "system" in event]
        before = self.record.facts("diagnose", acted[-1] if acted else None)
        after = self.record.facts("verify", acted[-1]) if acted else []
        content = sections(Source(incident, verdict, events, self._sent(incident), before, after))
        write_whole(self.record.path / "report.md", to_markdown(content))
        write_whole(self.record.path / "report.html", to_html(content))
        if incident["state"] != "open":
            write_whole(self.record.path / "SHA256SUMS", checksums(self.record.path))

    def _sent(self, incident: Json) -> list[tuple[str, str, str, str]]:
        """What left the house: when, to whom, what, and how it ended."""
        rows = []
        for message, line in self.outbox.journal():
            vendor = incident.get("vendors", {}).get(message.channel, {}).get("id")
            login = self.channels.get(message.channel, {}).get("login", {})
            to = ", ".join(login.get("to", [])) or " ".join(filter(None, [VENDORS[message.channel], vendor]))
            outcome = {"sent": "sent", "maybe": "maybe sent"}.get(line.get("op", ""), "unsent")
            detail = "" if outcome == "sent" else f": {line.get('detail', 'not tried yet')}"
            rows.append((line.get("at", "")[5:19].replace("T", " "), to, message.id.partition(":")[2], outcome + detail))
        return rows

    def screen(self, off: t.Sequence[str]) -> tuple[list[str], str | None, Json]:
        """The last word: the screen's lines, the sentence for which the run must fail (or None), the stats for AWX."""
        incident, events = self.record.incident, self.record.of_run()
        judged = any(event["kind"] == "judged" and event["slot"] == "diagnose" for event in events)
        verdict = self.record.load("findings.json") if judged else None
        unsent = [message.id for message in self.outbox.unsent() if message.channel in self.channels]
        if not (self.record.path / "report.html").exists():
            self.write_report()
        warnings = _warnings(self.record.path)
        if not incident.get("declared_at") and "torn" in {event["kind"] for event in self.record.events()}:
            warnings.append("a crash tore the timeline's last line; it was skipped")
        target = ",".join(self.run["targets"]) if self.words.target else None
        maybe = [message.id for message in self.outbox.maybe()]
        if incident["state"] == "open" and incident.get("declared_at") and self.channels and not self.run["check"]:
            warnings.append(next_update(self.record.events(), self.run["update_minutes"], self.record.clock()))
        if maybe:
            warnings.append(f"maybe sent, and not sent again: {', '.join(maybe)}")
        shown = Screen(
            incident, verdict, events, unsent, list(self.channels), off, next_command(self.outside.argv, target),
            _relative(self.record.path / "report.html"), self.run["check"], warnings,
        )  # fmt: skip
        sentence = ending(events, verdict, unsent, check=self.run["check"])
        stats = {
            "incident_id": incident["id"],
            "incident_state": incident["state"],
            "incident_verdict": (verdict or {}).get("verdict"),
            "incident_causes": [one["id"] for one in (verdict or {}).get("findings", []) if one["role"] == "cause"],
            "incident_mitigations": sorted({offer["mitigation"] for offer in (verdict or {}).get("offers", [])}),
        }
        self.end()
        return render(shown, self.catalogue), sentence, stats

    def end(self) -> None:
        """Gives the incident free for the next run."""
        if not self.run["check"]:
            lock.release(self.record.path, self.owner, self.record.clock())


def proof(verdict: Json, facts: t.Sequence[Json]) -> tuple[bool, str]:
    """Whether a recovery is proven, and the sentence that says how, or why not."""
    looks = [one for one in facts if one["kind"] == "edge" and one["probes"]]
    if not looks:
        return False, "nothing measured what users see (runbooks_health_urls on a host of role_edge)"
    unsettled = [one for one in looks if not one["settled"]]
    if unsettled:
        seconds = max(one["seconds"] for one in unsettled)
        return False, f"users were not well {unsettled[0]['wanted_in_a_row']} times in a row within {seconds:g} s"
    if verdict["verdict"] != "healthy":
        visible = [one["summary"] for one in verdict["findings"] if one["role"] in ("cause", "symptom")]
        return False, f"{verdict['verdict']}: {'; '.join(visible) or 'not everything could be read'}"
    missing = [gap["system"] for gap in verdict["gaps"] if gap["what"] in ("everything", "PostgreSQL")]
    if missing:
        return False, f"{', '.join(missing)} could not be read, so nobody knows whether the cause is gone"
    p95 = max(probe["p95_ms"] for one in looks for probe in one["probes"])
    times = min(one["in_a_row"] for one in looks)
    return True, f"{times} good rounds in a row, p95 at most {p95:g} ms, and the cause is gone"


def next_update(events: t.Sequence[Json], minutes: float, now: datetime.datetime) -> str:
    """When those who wait must hear again, or since when they should have."""
    said = [moment_of(event["at"]) for event in events if event["kind"] == "stage"]
    due = max(said, default=now) + datetime.timedelta(minutes=minutes)
    how = "playbooks/update.yml -e incident_id=… -e text='…'"
    if due < now:
        return f"OVERDUE: the next update was due at {due:%H:%MZ}; {how}"
    return f"next update due at {due:%H:%MZ}; {how}"


def checksums(folder: pathlib.Path) -> str:
    """The digests of the record's files in the form of sha256sum(1), so that a later change shows."""
    skipped = ("SHA256SUMS", "effects.lock", lock.NAME)
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name not in skipped)
    return "".join(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(folder)}\n" for path in files)


def told(result: Json) -> str:
    """What a mitigation's module did, in a few words."""
    parts = [f"{one['signal']} pid {one['pid']} ({one['user']}, {one['application']})" for one in result.get("backends", [])]
    parts += [str(one) for one in result.get("done", [])]
    parts += [f"left pid {one['pid']} alone: {one['reason']}" for one in result.get("left_alone", [])]
    return "; ".join(parts) or "nothing had to be done"


def _warnings(path: pathlib.Path) -> list[str]:
    """What a person should know about where the record lies."""
    # In a job of AWX everything below /runner goes with the container; only another mount stays.
    kept = any(
        parent.is_mount() for parent in path.parents if parent != pathlib.Path("/") and parent.parts[:2] != ("/", "runner")
    )
    if os.environ.get("AWX_ISOLATED_DATA_DIR") and not kept:
        return [f"{path} is inside the job's container and vanishes with it: mount a folder and set incident_record_root"]
    return []


def _relative(path: pathlib.Path) -> str:
    try:
        return str(path.relative_to(pathlib.Path.cwd()))
    except ValueError:
        return str(path)
