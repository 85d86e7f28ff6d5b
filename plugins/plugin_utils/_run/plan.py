# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which of the asked mitigations may be carried out on which system, and how a run must end (private; pure)."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.sre.runbooks.plugins.plugin_utils._judgement.catalogue import Catalogue
from ansible_collections.sre.runbooks.plugins.plugin_utils._judgement.shapes import NO_VERDICT, Offer, Verdict
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.errors import RecordError
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.history import Before, begun_effects, fruitless_tries
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.inputs import Words
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.shapes import Event

Json = dict[str, t.Any]
# After this many tries without effect the same again is no plan.
MOST_FRUITLESS = 2


@dataclasses.dataclass(frozen=True)
class Step:
    """One mitigation on one system. ``before``: an earlier run did it (``done``), or set out to (``unknown``)."""

    mitigation: str
    system: str
    targets: tuple[Json, ...]
    before: Before | None = None


def _refuse_a_loop(events: list[Event], mitigation: str, system: str, epoch: int) -> None:
    tries = fruitless_tries(events, mitigation, system, epoch)
    if len(tries) >= MOST_FRUITLESS:
        raise RecordError(
            f"{mitigation} on {system} was carried out {len(tries)} times without a proven recovery ({', '.join(tries)}), so it "
            "is not tried again: the cause is another one, or it comes back by itself. If you know better: "
            f"-e mitigate={mitigation} -e mitigate_unoffered=true -e reason='…'"
        )


def _chosen(
    name: str, targets: t.Sequence[Json], everywhere: t.Sequence[Json], words: Words, catalogue: Catalogue, *, by_name: bool
) -> tuple[Json, ...]:
    """The targets of one system that are meant: all that are offered, or those that were named. ``everywhere`` are those of all
    systems. Raises RecordError."""
    key_of, only = catalogue.mitigations[name].key_of, words.only.get(name, ())
    offered = list(dict.fromkeys(key_of(target) for target in everywhere))
    unknown = [key for key in only if key not in offered]
    if unknown:
        raise RecordError(f"{name} is not offered for {', '.join(unknown)}, but for {', '.join(offered)}. Nothing was touched")
    if by_name and not only:
        raise RecordError(
            f"{name} needs the name of one, since nobody is shown to be the cause: -e mitigate={name}:NAME "
            f"({', '.join(offered)}). Nothing was touched"
        )
    known = {key_of(target): target for target in targets}
    if only and len(known) < len(targets):
        raise RecordError(f"{name}: two of its targets have one name, and cannot be told apart by it. Nothing was touched")
    return tuple(known[key] for key in only if key in known) if only else tuple(targets)


def steps_for(
    system: str,
    kinds: t.Collection[str],
    words: Words,
    verdict: Verdict | None,
    events: list[Event],
    epoch: int,
    catalogue: Catalogue,
    procedure: t.Sequence[Offer] = (),
) -> list[Step]:
    """What to do on one system, by the mitigations of its kinds. ``procedure``: what the runbook offers whatever is found.
    Raises RecordError for one that is offered nowhere."""
    asked = [name for name in words.mitigate if catalogue.mitigations[name].kind in kinds]
    if not asked:
        return []
    declared = {offer["mitigation"] for offer in procedure}
    if verdict is None and not declared.issuperset(asked):
        raise RecordError(
            "there are no fresh findings to act on: run the runbook without --tags, or --tags diagnose,mitigate,verify"
        )
    begun = begun_effects(events, epoch)
    steps: list[Step] = []
    for name in asked:
        offers = _offers(name, words, verdict or NO_VERDICT, procedure, catalogue)
        if offers:
            if not words.mitigate_unoffered:
                _refuse_a_loop(events, name, system, epoch)
            everywhere = [target for offer in offers for target in offer["targets"]]
            here = [offer for offer in offers if offer["system"] == system]
            own = [target for offer in here for target in offer["targets"]]
            by_name = any(offer["by_name"] for offer in here)
            targets = _chosen(name, own, everywhere, words, catalogue, by_name=by_name) if here else ()
            steps += [Step(name, system, targets)] if targets else []
        elif any(one[0] == name for one in begun) and (verdict or NO_VERDICT)["verdict"] == "healthy":
            steps += [Step(name, system, (), begun[name, system])] if (name, system) in begun else []
        elif words.mitigate_unoffered:
            steps += _unoffered(name, system, words, verdict or NO_VERDICT, catalogue)
        else:
            raise RecordError(_refusal(name, verdict or NO_VERDICT))
    return steps


def _offers(name: str, words: Words, verdict: Verdict, procedure: t.Sequence[Offer], catalogue: Catalogue) -> list[Offer]:
    """What the verdict offers, and on the other systems what the runbook declares; a target that was named may be of either."""
    found = [offer for offer in verdict["offers"] if offer["mitigation"] == name]
    judged, key_of = {offer["system"] for offer in found}, catalogue.mitigations[name].key_of
    shown = {key_of(target) for offer in found for target in offer["targets"]}
    others = set(words.only.get(name, ())) - shown
    declared = [offer for offer in procedure if offer["mitigation"] == name]
    return [*found, *(offer for offer in declared if offer["system"] not in judged or others)]


def _unoffered(name: str, system: str, words: Words, verdict: Verdict, catalogue: Catalogue) -> list[Step]:
    findings = [f for f in verdict["findings"] if f["subject"]["system"] == system]
    targets = [target for finding in findings for target in finding["targets"].get(name, [])]
    if not targets:
        raise RecordError(f"{name}: no finding on {system} names anything that it could act on, so nothing was touched")
    return [Step(name, system, _chosen(name, targets, targets, words, catalogue, by_name=False))]


def _refusal(name: str, verdict: Verdict) -> str:
    offered = sorted({offer["mitigation"] for offer in verdict["offers"]})
    said = f"{name} was refused: the verdict is {verdict['verdict']} and offers {', '.join(offered) or 'no mitigation'}"
    if not any(finding["targets"].get(name) for finding in verdict["findings"]):
        return f"{said}, and no finding names anything that it could act on. Nothing was touched"
    return (
        f"{said}. Nothing was touched. "
        f"If you know more than the findings: -e mitigate={name} -e mitigate_unoffered=true -e reason='…'"
    )


def ending(
    events: list[Event], verdict: Verdict | None, unsent: t.Sequence[str], *, check: bool, asked: t.Sequence[str] = ()
) -> str | None:
    """Why a run must not look green, in one sentence; None when it may. ``events`` are those of this run,
    ``asked`` the mitigations that it had to carry out."""
    kinds = {event["kind"]: event for event in events}
    begun = {(event["effect"], event["system"]) for event in events if event["kind"] == "intent" and "system" in event}
    ended = {(event["effect"], event["system"]) for event in events if event["kind"] == "outcome" and "system" in event}
    failed = [e for e in events if e["kind"] == "phase_failed" and e["phase"] in ("mitigate", "verify", "open", "close")]
    if failed:
        return str(failed[0]["why"])
    if "judged" in kinds and verdict is not None and not verdict["measured"]:
        return "nothing could be read, neither what users feel nor a system: see what could not be read above"
    outcomes = [event for event in events if event["kind"] == "outcome" and "system" in event]
    broken = [event for event in outcomes if event["status"] not in ("done", "unknown")]
    if broken:
        return f"{broken[0]['effect']} on {broken[0]['system']} failed: {broken[0]['detail']}"
    if begun - ended:
        name, system = sorted(begun - ended)[0]
        return f"{name} on {system} was begun, and nobody knows whether it was done: look there, then run it again"
    seen = {event["effect"] for event in events if event["kind"] in ("outcome", "planned", "unneeded") and "system" in event}
    missed = [name for name in asked if name not in seen]
    if missed:
        return f"{', '.join(missed)} was asked for, and no system was there to carry it out: unreachable, or left out by --limit"
    if check:
        return None
    if "alerted" in kinds:
        return "an alert came in after the last look, and nobody has looked since: run it again"
    verified = kinds.get("verified")
    if outcomes and not (verified and verified["proven"]):
        why = verified["why"] if verified else "it was not verified in this run: --tags verify,close"
        undone = sorted({event["effect"] for event in events if event["kind"] == "undone" and event["status"] == "done"})
        back = f"; {', '.join(undone)} was taken back by itself" if undone else ""
        return f"not recovered: {', '.join(sorted({e['effect'] for e in outcomes}))} was carried out, but {why}{back}"
    if unsent:
        return f"unsent: {', '.join(unsent)}; they stay in the outbox, and the next run sends them"
    return None
