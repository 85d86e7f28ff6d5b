# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run does to systems and takes back: approved, capped, written down before and after (private to the collection)."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.sre.runbooks.plugins.plugin_utils._record.context import Context
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.errors import RecordError
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.inputs import plain
from ansible_collections.sre.runbooks.plugins.plugin_utils._run.plan import Step, steps_for
from ansible_collections.sre.runbooks.plugins.plugin_utils._run.procedure import procedure_offers
from ansible_collections.sre.runbooks.plugins.plugin_utils._run.undo import undo_steps

Json = dict[str, t.Any]


@dataclasses.dataclass(frozen=True)
class Effect:
    """One act of a mitigation on one system, by a module. ``target`` is what an undo needs; ``undoes`` says that it is one.

    ``sentence`` says what was done, for a module that does not say so itself (``done``, a list of sentences). ``count`` things
    would be touched by the whole mitigation; with more than ``max`` of them nothing is.
    """

    name: str
    system: str
    module: str = ""
    args: Json = dataclasses.field(default_factory=dict)
    target: Json | None = None
    undoes: bool = False
    count: int = 1
    max: int | None = None
    sentence: str = ""

    @property
    def label(self) -> str:
        return f"the undo of {self.name}" if self.undoes else self.name


class Executor:
    """The mitigations of a run."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.opened, self.record, self.show = context.opened, context.record, context.show
        self.catalogue, self.words = context.catalogue, context.words

    def plan(self, system: str, max_age: float, prompt_seconds: float) -> list[Json]:
        """The mitigations to carry out on a system. Raises RecordError when one is refused."""
        incident = self.record.incident
        findings, events = self.context.fresh_findings(max_age), self.record.events()
        kinds = self.opened["expected"].get(system, [])
        procedure = procedure_offers(self.opened["procedure"], self.opened["expected"], self.catalogue)
        steps = steps_for(system, kinds, self.words, findings, events, incident["epoch"], self.catalogue, procedure)
        if steps and self.opened.get("unrecorded"):
            raise RecordError(f"nothing is done that cannot be recorded: {self.opened['unrecorded']}")
        todo = []
        for step in steps:
            if step.before is None:
                self._approve(step.mitigation, step.system, len(step.targets), prompt_seconds)
                todo += self._parts(step)
            elif step.before == "unknown" and incident["state"] == "open":
                detail = "an earlier run was ended as it set out to do it, and the cause is gone; whether by it is not known"
                self._outcome("outcome", Effect(step.mitigation, system), "unknown", detail, changed=False, made={})
            else:
                self.record.append("unneeded", effect=step.mitigation, system=system)
                self.show("mitigate", f"{step.mitigation} on {system}: done before, nothing to do")
        return todo

    def _parts(self, step: Step) -> list[Json]:
        """A step as the role carries it out: whole, or one target at a time."""
        targets = [dict(target) for target in step.targets]
        role = self.catalogue.mitigations[step.mitigation].role
        whole = {"mitigation": step.mitigation, "role": role, "count": len(targets), "targets": targets, "target": None}
        each = self.catalogue.mitigations[step.mitigation].each
        return [{**whole, "targets": [target], "target": target} for target in targets] if each else [whole]

    def _approve(self, mitigation: str, system: str, targets: int, seconds: float) -> None:
        asked = self.catalogue.mitigations[mitigation]
        if (self.words.approval or ("prompt" if asked.requires_approval else "auto")) != "prompt" or self.opened["check"]:
            return
        touches = asked.effect
        question = f"{mitigation} on {system} ({targets}): {touches}. Type {mitigation} to go on ({seconds:g} s): "
        answer = self.context.outside.ask(question, seconds)
        if answer is None or answer.strip() != mitigation:
            given = "nobody answered" if answer is None else f"the answer was {plain(answer, 40)!r}"
            hint = (
                f"; without a terminal, and knowing what it does: -e approval=auto (risk {asked.risk})"
                if asked.requires_approval
                else ""
            )
            raise RecordError(f"{mitigation} was not approved ({given}), so nothing was touched{hint}")

    def effect(self, act: Effect) -> Json:
        """One outward effect on a system, with its intent before it and its outcome after it. Raises RecordError."""
        if act.max is not None and act.count > act.max:
            raise RecordError(
                f"{act.name} on {act.system} would act on {act.count} things, and max is {act.max}: nothing was touched"
            )
        kinds = ("undo_intent", "undone") if act.undoes else ("intent", "outcome")
        with self.record.effects():
            if not act.undoes and self.record.incident["state"] == "resolved":
                self.context.reopen()  # so that its end is proven again
            if not self.opened["check"]:
                # What an undo needs is saved before anything is changed.
                self._effect_event(kinds[0], act, target=act.target)
            result = self.context.outside.execute(act.module, act.args)
            if result.get("failed"):
                why = plain(result.get("msg", "no reason given"))
                changed = bool(result.get("changed"))
                self._outcome(kinds[1], act, "failed", why, changed=changed, made=(changed and result.get("made")) or {})
                raise RecordError(f"{act.label} on {act.system} failed: {why}")
            detail = told(result, act.sentence)
            if self.opened["check"]:
                self.record.append("planned", effect=act.name, system=act.system, detail=detail)
                self.show("would do", f"{act.label} on {act.system}: {detail}")
            else:
                made = result.get("made") or {}
                self._outcome(kinds[1], act, "done", detail, changed=bool(result.get("changed")), made=made)
        return result

    def _effect_event(self, kind: str, act: Effect, **fields: t.Any) -> None:
        epoch = self.record.incident["epoch"]
        self.record.append(kind, effect=act.name, system=act.system, epoch=epoch, **fields)

    def _outcome(self, kind: str, act: Effect, status: str, detail: str, *, changed: bool, made: Json) -> None:
        self._effect_event(kind, act, status=status, detail=detail, changed=changed, target=act.target, made=made)
        self.show("undo" if act.undoes else "mitigate", f"{act.name} on {act.system}: {status}, {detail}")

    def undo_plan(self, system: str, *, unproven: bool = False) -> list[Json]:
        """What can be taken back on a system, latest first; ``unproven``: what this run did in vain, and takes back by itself."""
        steps = undo_steps(self.record.events(), self.catalogue)
        known = self.catalogue.mitigations
        in_vain = self._in_vain(system) if unproven else set(known)
        return [
            {"mitigation": one.mitigation, "role": known[one.mitigation].role, "target": dict(one.target)}
            for one in steps
            if one.system == system and one.mitigation in in_vain
        ]

    def _in_vain(self, system: str) -> set[str]:
        """What this run did to a system that is taken back by itself: it failed half-way, or users are shown not to be well."""
        events = self.record.of_run()
        verified = next((event for event in reversed(events) if event["kind"] == "verified"), None)
        is_in_vain = verified is not None and not verified["proven"]
        outcomes = [event for event in events if event["kind"] == "outcome" and event.get("system") == system]
        failed = {event["effect"] for event in outcomes if is_in_vain or event["status"] == "failed"}
        return {name for name in failed if name in self.catalogue.mitigations and self.catalogue.mitigations[name].reverts}


def told(result: Json, sentence: str = "") -> str:
    """What a mitigation's module says that it did, or what is said of it where it changed something."""
    said = [str(one) for one in result.get("done", [])] or ([sentence] if sentence and result.get("changed") else [])
    return "; ".join(said) or "nothing had to be done"
