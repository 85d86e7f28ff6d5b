# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One run on its record, from the facts to the last word: a method an operation (private to the collection).

What is said to others is the Notifier's, what is done to systems the Executor's; this judges, proves and ends.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import pathlib
import typing as t

from ansible_collections.sre.runbooks.plugins.plugin_utils._channels.notifier import Notifier
from ansible_collections.sre.runbooks.plugins.plugin_utils._judgement.catalogue import Catalogue
from ansible_collections.sre.runbooks.plugins.plugin_utils._judgement.shapes import NO_VERDICT, Saved, Verdict
from ansible_collections.sre.runbooks.plugins.plugin_utils._judgement.system import Experience, Table
from ansible_collections.sre.runbooks.plugins.plugin_utils._judgement.verdict import judge
from ansible_collections.sre.runbooks.plugins.plugin_utils._record import lock
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.context import SCHEMA, Context, Outside
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.errors import RecordError
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.history import alerted_since, done_effects, standing_proof
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.inputs import plain
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.shapes import Incident, Opened
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.store import (
    file_lock,
    moment_of,
    remember_healthy,
    stamp,
    write_whole,
)
from ansible_collections.sre.runbooks.plugins.plugin_utils._render.report import Source, sections, to_html, to_markdown
from ansible_collections.sre.runbooks.plugins.plugin_utils._render.screen import Screen, next_update, render
from ansible_collections.sre.runbooks.plugins.plugin_utils._run.command_line import companion, left_out, next_command, plays
from ansible_collections.sre.runbooks.plugins.plugin_utils._run.executor import Executor
from ansible_collections.sre.runbooks.plugins.plugin_utils._run.opening import OPENING_SECONDS, remove_temporary
from ansible_collections.sre.runbooks.plugins.plugin_utils._run.plan import ending
from ansible_collections.sre.runbooks.plugins.plugin_utils._run.procedure import procedure_offers
from ansible_collections.sre.runbooks.plugins.plugin_utils._run.undo import undo_steps

Json = dict[str, t.Any]


class Run:
    """One run's view of its incident."""

    def __init__(self, run: Opened, catalogue: Catalogue, outside: Outside, channels: t.Mapping[str, Json]) -> None:
        self.context = Context(run, catalogue, outside)
        self.opened, self.record, self.show = run, self.context.record, self.context.show
        self.notifier = Notifier(self.context, channels)
        self.executor = Executor(self.context)
        self.owner = lock.this_run(run["pid"], run["run"], looks=run.get("looks", True))
        if not run["check"]:
            with self._opening():
                lock.take(self.record.path, self.owner, self.record.clock())

    def _opening(self) -> t.ContextManager[t.Any]:
        """Keeps alerts and other runs out, so that they come either before what is done under it or after."""
        return file_lock(self.record.path.parent / ".opening", OPENING_SECONDS, "the record's folder")

    # -- reading -----------------------------------------------------------------------------------------------------

    def wants(self, phase: str, system: str) -> bool:
        """Whether a phase has anything to do on a system in this run."""
        if system not in self.opened["expected"]:
            return False
        if phase == "mitigate":
            return bool(self.context.words.mitigate)
        if phase == "verify":
            return self.needs_proof()
        return True  # diagnose, undo

    def parts(self, phase: str, system: str, *, users: bool) -> list[Json]:
        """What the roles of a system's kinds do in a phase: those that measure users, or the others."""
        kinds = [self.context.catalogue.systems[kind] for kind in self.opened["expected"].get(system, [])]
        chosen = [kind for kind in kinds if kind.measures_users == users]
        found = [(kind.kind, kind.diagnose if phase == "diagnose" else kind.verify) for kind in chosen]
        return [{"kind": kind, "role": part.role, "entry": part.entry} for kind, part in found]

    def look_begins(self, slot: str, system: str) -> None:
        """Notes that a system is looked at from now on: an alert that comes later was perhaps not seen."""
        self.record.append("look", slot=slot, system=system)

    def needs_proof(self) -> bool:
        """Whether there is something to prove: a mitigation of an open incident, or one that seems to be over by itself.
        When the diagnosis says that users suffer and nothing was done, that look was the verification."""
        incident, events = self.record.incident, self.record.of_run()
        if self.opened["check"]:
            return False
        if not any(event["kind"] == "judged" for event in events):
            return True
        if incident["state"] != "open":
            return False
        acted = any(event["kind"] in ("intent", "outcome") and "system" in event for event in events)
        return acted or (self._healthy() and (bool(incident.get("declared_at")) or self._alerted() or self._was_more()))

    def keep_facts(self, slot: str, system: str, kind: str, data: Json, limits: Json) -> None:
        if kind not in self.context.catalogue.systems:
            raise RecordError(f"there is no kind of system {kind!r}, only {', '.join(sorted(self.context.catalogue.systems))}")
        depends_on = self.opened["depends_on"].get(system, [])
        asked = self._watched(slot, system)
        suffer, well = any(not one.good for one in asked), bool(asked) and all(one.good for one in asked)
        facts = {"system": system, "kind": kind, "depends_on": depends_on, "limits": limits, "users_suffer": suffer,
                 "users_well": well, **data}  # fmt: skip
        self.record.save_facts(slot, system, kind, facts)
        self.record.append("facts", system=system, of=kind, slot=slot)

    def suffering(self, slot: str, system: str) -> list[str]:
        """The URLs of those that depend on a system and were measured as bad in this look."""
        return [one.name for one in self._watched(slot, system) if not one.good]

    def acted_seconds(self, slot: str) -> int:
        """In a verification, for how many seconds what was done last is done: what was before is over; 0 where nothing was."""
        done = [one["at"] for one in self.record.of_run() if one["kind"] == "outcome" and "system" in one and one["changed"]]
        if slot != "verify" or not done:
            return 0
        return max(1, int((self.record.clock() - moment_of(done[-1])).total_seconds()))

    def _watched(self, slot: str, system: str) -> list[Experience]:
        """What users had, in this look, of those that depend on a system."""
        watching = {system, *(host for host, named in self.opened["depends_on"].items() if system in named)}
        known = self.context.catalogue.known(self.record.facts(slot))
        return [one for kind, facts in known if facts["system"] in watching for one in kind.experiences(facts)]

    def keep_failure(self, phase: str, system: str, why: str, kind: str | None = None) -> None:
        """A role failed on one system: the run goes on without it."""
        self.record.append("phase_failed", phase=phase, system=system, of=kind, why=plain(why))
        self.show(phase, f"{system}: {plain(why)}")

    def judge(self, slot: str) -> Verdict:
        """The verdict on the facts of this run, saved for people and other tools."""
        facts = self.record.facts(slot)
        failed = {
            (e["system"], e.get("of")): e["why"]
            for e in self.record.of_run()
            if e["kind"] == "phase_failed" and e["phase"] == slot
        }
        silent = "no facts came: the system was unreachable"
        places = [(system, kind) for system, kinds in self.opened["expected"].items() for kind in kinds]
        expected = {place: failed.get(place, silent) for place in places}
        verdict = judge(facts, expected, self.context.catalogue)
        now = stamp(self.record.clock())
        name = "findings.json" if slot == "diagnose" else "verification.json"
        told: Saved = {"schema": SCHEMA, "at": now, "run": self.opened["run"], "incident": self.opened["incident_id"], **verdict}
        self.record.save(name, told)
        if slot == "diagnose" and verdict["verdict"] != "healthy":
            self.record.save("cause.json", told)
        causes = [one["id"] for one in verdict["findings"] if one["role"] == "cause"]
        self.record.append("judged", slot=slot, verdict=verdict["verdict"], causes=causes)
        self.show("verdict", " ".join([verdict["verdict"], *causes]))
        return verdict

    # -- ending ------------------------------------------------------------------------------------------------------

    def verify(self) -> None:
        """Judges whether the recovery is proven: users are well several times in a row, and the cause is gone."""
        facts = self.record.facts("verify")
        failed = [e for e in self.record.of_run() if e["kind"] == "phase_failed" and e["phase"] == "verify"]
        if not self.needs_proof() and not facts and not failed:
            return
        verdict = self.judge("verify")
        proven, why = proof(verdict, facts, self.context.catalogue)
        self.record.append("verified", proven=proven, why=why)
        self.show("verify", f"{'recovered, proven' if proven else 'not recovered'}: {why}")

    def close(self, max_age: float) -> None:
        """Sends what is left, resolves after a proven recovery, and writes the report."""
        # An alert is noted under the same lock: none comes between the look at the notes and the end of the incident.
        with self._opening():
            incident = self._closed(self.record.incident, max_age)
        if incident["state"] == "resolved" and incident.get("declared_at"):
            # Also when an earlier run resolved it and was killed before it could say so.
            self.notifier.tell("resolved", self.context.verdict("findings.json"))
        if any(event["kind"] == "verified" and not event["proven"] for event in self.record.of_run()):
            self.notifier.declare_what_is_left()
        self.notifier.escalate()
        self.notifier.last_flush()
        self.write_report()

    def _closed(self, incident: Incident, max_age: float) -> Incident:
        """The incident as it is after what was seen: resolved, closed because all was well, or open."""
        quiet = not incident.get("declared_at") and self._healthy()
        recovered = incident["state"] == "open" and self._recovered(max_age) and (self._was_more() or not quiet)
        well = incident["state"] == "open" and quiet and not self._was_more()
        if (recovered or well) and self._alerted():
            self.record.append("alerted")
            return incident
        if recovered:
            self.show("close", "would be resolved after a proven recovery" if self.opened["check"] else "resolved")
            return self.record.update(state="resolved", resolved_at=stamp(self.record.clock()))
        if well:
            self.record.update(state="closed", closed_at=stamp(self.record.clock()))
            remember_healthy(self.record.path)
        return incident

    def _was_more(self) -> bool:
        """Whether this incident was ever more than an alert about a system that was well: it was resolved once, or something was
        done in it. Such a one is never closed as nothing, and its record stays."""
        touched = any(event["kind"] in ("intent", "outcome") and "system" in event for event in self.record.events())
        return bool(self.record.incident["epoch"]) or touched

    def _alerted(self) -> bool:
        """Whether an alert came in that this run has perhaps not seen."""
        return alerted_since(self.record.events(), self.opened["run"])

    def _healthy(self) -> bool:
        judged = [event for event in self.record.of_run() if event["kind"] == "judged"]
        return bool(judged) and judged[-1]["verdict"] == "healthy"

    def _recovered(self, max_age: float) -> bool:
        if self.opened["check"]:
            return any(event["kind"] == "planned" and "system" in event for event in self.record.of_run())
        last = standing_proof(self.record.events())
        if last is None or not last["proven"]:
            return False
        age = (self.record.clock() - moment_of(last["at"])).total_seconds()
        return bool(last["run"] == self.opened["run"] or age <= max_age)

    def write_report(self) -> None:
        """The report, from everything that the record has."""
        # A later look finds a healthy system; the report is about what made it sick.
        verdict = self.context.verdict("cause.json") or self.context.verdict("findings.json")
        if verdict is None and self.record.load("findings.json") is not None and (self.record.path / "report.html").exists():
            self.show("report", "left as it is: another version of this collection made the verdict that it is about")
            return
        incident, events = self.record.incident, self.record.events()
        acted = [
            event["run"] for event in events
            if event["kind"] == "outcome" and "system" in event and event.get("epoch") == incident["epoch"]
        ]  # fmt: skip
        before = self.record.facts("diagnose", acted[-1] if acted else None)
        after = self.record.facts("verify", acted[-1]) if acted else []
        numbers = side_by_side(self._numbers(before), self._numbers(after))
        tables = self._tables(before)
        content = sections(Source(incident, verdict, events, self.notifier.sent(), numbers, tables, self._to_do(verdict)))
        write_whole(self.record.path / "report.md", to_markdown(content))
        write_whole(self.record.path / "report.html", to_html(content))
        if incident["state"] != "open":
            write_whole(self.record.path / "SHA256SUMS", checksums(self.record.path))

    def _numbers(self, every: t.Sequence[Json]) -> dict[str, str]:
        return {name: value for kind, facts in self.context.catalogue.known(every) for name, value in kind.numbers(facts)}

    def _tables(self, every: t.Sequence[Json]) -> list[Table]:
        """The tables of all systems, those of one title as one."""
        found: dict[str, Table] = {}
        for kind, facts in self.context.catalogue.known(every):
            for table in kind.tables(facts):
                above = found.get(table.title, dataclasses.replace(table, rows=(), notes=()))
                notes = tuple(dict.fromkeys([*above.notes, *table.notes]))
                found[table.title] = dataclasses.replace(above, rows=(*above.rows, *table.rows), notes=notes)
        return list(found.values())

    def _lines(self, every: t.Sequence[Json]) -> list[tuple[str, list[str]]]:
        """What the facts of all systems say on the screen, one line a label."""
        found: dict[str, dict[str, t.Sequence[str]]] = {}
        for kind, facts in self.context.catalogue.known(every):
            for label, parts in kind.lines(facts):
                if parts:
                    found.setdefault(label, {})[facts["system"]] = parts
        several = {label: len(systems) > 1 for label, systems in found.items()}
        return [
            (label, [f"{system}: {part}" if several[label] else part for system, parts in systems.items() for part in parts])
            for label, systems in found.items()
        ]

    def _to_do(self, verdict: Verdict | None) -> list[str]:
        """What is left to a person: about each cause, after each mitigation, and what is still in force."""
        done = done_effects(self.record.events(), self.record.incident["epoch"])
        causes = {
            one["id"]: one["action"] for one in (verdict or NO_VERDICT).get("findings", [])
            if one["role"] == "cause" and not set(done) & set(one["mitigations"])
        }  # fmt: skip
        mitigations = [self.context.catalogue.mitigations[name] for name in done]
        after = [f"After {one.name}: {one.undo_by_hand}." for one in mitigations if not one.undo]
        undo = self._undo()
        in_force = [f"Still in force: {', '.join(undo[1])}. Take it back with: {undo[0]}"] if undo else []
        return [*in_force, *after, *(f"{identity}: {action}" for identity, action in causes.items())]

    def screen(self, off: t.Sequence[str]) -> tuple[list[str], str | None, Json]:
        """The last word: the screen's lines, the sentence for which the run must fail (or None), the stats for AWX."""
        self._let_go()
        incident, events = self.record.incident, self.record.of_run()
        judged = any(event["kind"] == "judged" and event["slot"] == "diagnose" for event in events)
        verdict = self.context.verdict("findings.json") if judged else None
        unsent = self.notifier.unsent()
        if not (self.record.path / "report.html").exists():
            self.write_report()
        argv = self.context.outside.argv
        target = ",".join(self.opened["targets"]) if self.context.words.target else None
        shown = Screen(
            incident, verdict, events, unsent, list(self.notifier.channels), [*off, *self.notifier.silenced],
            next_command(argv, target),
            self._report_place(), self.opened["check"], self._notes(), left_out(argv), self._undo(),
            self._lines(self.record.facts("diagnose")) if judged else (), self.context.catalogue.to_measure(),
            self._tell(), companion(argv, "undo", f"incident_id={incident['id']}"),
            procedure_offers(self.opened["procedure"], self.opened["expected"], self.context.catalogue),
            self.context.outside.width,
        )  # fmt: skip
        asked = self.context.words.mitigate if plays(argv, "mitigate") else ()
        sentence = ending(events, verdict, unsent, check=self.opened["check"], asked=asked)
        if self.opened.get("unrecorded"):
            sentence = f"this run was not recorded: {self.opened['unrecorded']}"
        stats = {
            "incident_id": incident["id"],
            "incident_state": incident["state"],
            "incident_verdict": verdict["verdict"] if verdict else None,
            "incident_causes": [one["id"] for one in (verdict or NO_VERDICT).get("findings", []) if one["role"] == "cause"],
            "incident_mitigations": sorted({offer["mitigation"] for offer in (verdict or NO_VERDICT).get("offers", [])}),
        }
        self.end()
        return render(shown, self.context.catalogue), sentence, stats

    def _report_place(self) -> str:
        if self.opened["check"] or self.opened.get("unrecorded"):
            return "not kept (--check)" if self.opened["check"] else "not kept"
        return _relative(self.record.path / "report.html")

    def _tell(self) -> str:
        """The command with which a person tells everybody something, while somebody waits to hear."""
        incident = self.record.incident
        if incident["state"] != "open" or not incident.get("declared_at") or not self.notifier.channels or self.opened["check"]:
            return ""
        return companion(self.context.outside.argv, "update", f"incident_id={incident['id']}")

    def _notes(self) -> list[str]:
        """What else a person should know at the end of the run."""
        incident, events = self.record.incident, self.record.events()
        unrecorded = self.opened["unrecorded"]
        notes = [unrecorded] if unrecorded else _warnings(self.record.path)
        if not incident.get("declared_at") and "torn" in {event["kind"] for event in events}:
            notes.append("a crash tore the timeline's last line; it was skipped")
        if self._tell():
            notes.append(next_update(events, self.opened["update_minutes"], self.record.clock()))
        notes += self.notifier.left_open()
        refused = [message.id for message in self.notifier.outbox.refused()]
        if refused:
            notes.append(f"refused by the vendor, and not sent again: {', '.join(refused)}")
        maybe = [message.id for message in self.notifier.outbox.maybe()]
        if maybe:
            notes.append(f"maybe sent, and not sent again: {', '.join(maybe)}")
        return notes

    def _in_force(self) -> list[str]:
        """What was done and can still be taken back; nothing in check mode."""
        steps = [] if self.opened["check"] else undo_steps(self.record.events(), self.context.catalogue)
        return [f"{one.mitigation} on {one.system}" for one in steps]

    def _undo(self) -> tuple[str, list[str]] | None:
        """The command that takes back what is still in force, and what that is."""
        what = self._in_force()
        return (companion(self.context.outside.argv, "undo", f"incident_id={self.record.incident['id']}"), what) if what else None

    def undo_end(self) -> tuple[list[str], str | None]:
        """After the undo: what was taken back, and the sentence for which the run must fail (or None)."""
        events = self.record.of_run()
        lines = [
            f"{e['effect']} on {e['system']}: {e['detail']}" for e in events if e["kind"] == "undone" and e["status"] == "done"
        ]
        failed = [str(event["why"]) for event in events if event["kind"] == "phase_failed"]
        left = self._in_force()
        if not failed and left:
            failed = [f"not undone: {', '.join(left)}: the system was not reached"]
        if self.opened["check"]:
            lines = ["nothing: what would be taken back is shown above"]
        else:
            self.write_report()
        if lines:
            again = companion(self.context.outside.argv, f"runbook_{self.record.incident['runbook']}")
            lines.append(f"now look how users are: {again}")
        self.end()
        return lines or ["nothing was taken back"], failed[0] if failed else None

    def end(self) -> None:
        """Releases the incident for the next run; what was only for this one goes."""
        self._let_go()
        remove_temporary(self.opened)

    def _let_go(self) -> None:
        """Releases the incident. From now on an alert gets a run of its own; one that came since the look is told."""
        if self.opened["check"] or not (self.record.path / lock.NAME).exists():
            return
        with self._opening():
            events = self.record.of_run()
            over = self.record.incident["state"] != "open"
            if over and self._alerted() and not any(event["kind"] == "alerted" for event in events):
                self.record.append("alerted")
            lock.release(self.record.path, self.owner, self.record.clock())


def proof(verdict: Verdict, facts: t.Sequence[Json], catalogue: Catalogue) -> tuple[bool, str]:
    """Whether a recovery is proven, and the sentence that says how, or why not."""
    looks = [look for kind, one in catalogue.known(facts) if (look := kind.recovery(one)) is not None]
    if not looks:
        return False, f"nothing measured what users see ({catalogue.to_measure()})"
    unsettled = [one for one in looks if not one.settled]
    visible = [one["summary"] for one in verdict["findings"] if one["role"] in ("cause", "symptom")]
    if unsettled:
        seconds = max(one.within for one in unsettled)
        last = f"; in the last look {'; '.join(visible)}" if visible else ""
        return False, f"users were not well {unsettled[0].wanted} times in a row within {seconds:g} s{last}"
    if visible:
        return False, f"{verdict['verdict']}: {'; '.join(visible)}"
    missing = sorted({gap["system"] for gap in verdict["gaps"] if gap["vital"]})
    if missing or verdict["verdict"] != "healthy":
        return False, f"{', '.join(missing) or 'a system'} could not be read, so nobody knows whether the cause is gone"
    p95 = max(one.p95_ms or 0.0 for one in looks)
    times = min(one.in_a_row for one in looks)
    return True, f"{times} good rounds in a row, p95 at most {p95:g} ms, and the cause is gone"


def side_by_side(before: t.Mapping[str, str], after: t.Mapping[str, str]) -> list[tuple[str, str, str]]:
    """What was measured before and after the mitigation; nothing where there was no look after one."""
    names = list(dict.fromkeys([*before, *after]))
    return [(name, before.get(name, "not measured"), after.get(name, "not measured")) for name in names if after]


def checksums(folder: pathlib.Path) -> str:
    """The digests of the record's files in the form of sha256sum(1), so that a later change shows."""
    skipped = ("SHA256SUMS", "effects.lock", lock.NAME)
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name not in skipped)
    return "".join(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(folder)}\n" for path in files)


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
