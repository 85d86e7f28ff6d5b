# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The first screen: what is the cause, how do we know, what to type next, can it be undone (private; pure)."""

from __future__ import annotations

import dataclasses
import datetime
import typing as t

from ansible_collections.sre.runbooks.plugins.plugin_utils._judgement.catalogue import Catalogue
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.plan import key_of
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.store import moment_of
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.words import plain

Json = dict[str, t.Any]
LONGEST = 220
# What has to be typed must be there whole.
LONGEST_BY_HAND = 600
# In check mode an incident that an earlier message would have opened has no id yet.
PLANNED = "{id}"


@dataclasses.dataclass(frozen=True)
class Screen:
    """Everything that the screen shows. ``command``: what to type again; ``others_typed``: it lacks variables that were typed.
    ``undo``: the command that takes back what is still in force, and what that is. ``measures``: what the systems' facts say, a
    label and its parts a line; ``to_measure``: what is missing where no user was measured."""

    incident: Json
    verdict: Json | None
    events: t.Sequence[Json]
    unsent: t.Sequence[str]
    channels: t.Sequence[str]
    off: t.Sequence[str]
    command: str
    report: str
    check: bool
    warnings: t.Sequence[str] = ()
    others_typed: bool = False
    undo: tuple[str, t.Sequence[str]] | None = None
    measures: t.Sequence[tuple[str, t.Sequence[str]]] = ()
    to_measure: str = ""


def next_update(events: t.Sequence[Json], minutes: float, now: datetime.datetime, how: str) -> str:
    """When those who wait must hear again, or since when they should have, and ``how``."""
    said = [moment_of(event["at"]) for event in events if event["kind"] == "stage"]
    due = max(said, default=now) + datetime.timedelta(minutes=minutes)
    if due < now:
        return f"OVERDUE: the next update was due at {due:%H:%MZ}; {how}"
    return f"next update due at {due:%H:%MZ}; {how}"


def render(screen: Screen, catalogue: Catalogue) -> list[str]:
    """The screen's lines: printable text only, each cut to a length."""
    lines = [*_head(screen), *_verdict(screen), *_done(screen), *_do(screen, catalogue), *_undo(screen), *_tail(screen)]
    return [plain(line, LONGEST_BY_HAND if line.startswith("BY HAND") else LONGEST) for line in lines]


def _row(label: str, text: str) -> str:
    return f"{label:<9}{text}"


def _under(label: str, parts: t.Iterable[str], most: int | None = None) -> list[str]:
    """A line of parts under the last label; of more than ``most`` the first ones and how many there are besides."""
    told = list(dict.fromkeys(parts))
    if most is not None and len(told) > most:
        told = [*told[:most], f"and {len(told) - most} more (see the report)"]
    return [_row("", f"{label:<15}{' · '.join(told)}")] if told else []


def _head(screen: Screen) -> list[str]:
    incident = screen.incident
    parts = [f"{incident['id']}  {incident['severity']}  {_state(screen)}"]
    vendors = incident.get("vendors", {})
    if "pagerduty" in vendors and vendors["pagerduty"]["id"] != PLANNED:
        parts.append(f"PagerDuty {vendors['pagerduty']['id']}")
    if "status_page" in vendors and vendors["status_page"]["id"] != PLANNED:
        parts.append(f"status page: {vendors['status_page']['status']}")
    parts += [f"{name}: off" for name in screen.off]
    head = [_row("INCIDENT", " · ".join(parts))]
    if screen.check:
        head.insert(0, _row("CHECK", "nothing was sent or changed; what would be is shown above"))
    people = [*incident.get("on_call", []), *(f"{role}: {who}" for role, who in incident.get("contacts", {}).items())]
    if people:
        head.append(_row("CALL", " · ".join(people)))
    if incident.get("alert"):
        head.append(_row("ALERT", incident["alert"]))
    return head


def _state(screen: Screen) -> str:
    incident = screen.incident
    if screen.check:
        return "nothing declared (check mode)"
    if incident["state"] == "resolved":
        return f"resolved {incident['resolved_at'][11:19]}Z"
    if incident.get("declared_at"):
        return f"declared {incident['declared_at'][11:19]}Z"
    return "not declared"


def _verdict(screen: Screen) -> list[str]:
    verdict = screen.verdict
    if verdict is None:
        return [_row("VERDICT", "none: nothing was diagnosed in this run (--tags diagnose)")]
    findings = verdict["findings"]
    lines: list[str] = []
    for finding in (one for one in findings if one["role"] == "cause"):
        lines.append(_row("CAUSE", f"{finding['id']} ({finding['confidence']})  {finding['summary']}"))
        lines += _under("explains", (other["summary"] for other in finding["explains"]), most=2)
    users = [one for one in verdict["measured"] if one["of"] != "system"]
    if verdict["verdict"] == "unproven":
        hop = verdict["last_hop"] or _why_unproven(verdict, users, screen.to_measure)
        lines.append(_row("UNPROVEN", f"last provable hop: {hop}"))
        lines += [_row("SUSPECT", f"{one['id']} ({one['confidence']})  {one['summary']}") for one in _suspects(verdict)]
        settle = [gap["what"] for gap in verdict["gaps"]] or ["what the systems behind this one do; look there by hand"]
        lines += _under("would settle", settle)
    if verdict["verdict"] == "healthy":
        what = [f"{one['system']}: {one['what']}" for one in users]
        reads = "" if any(one["of"] == "writes" for one in users) else "reads only, no write was tried: "
        lines.append(_row("HEALTHY", f"{reads}users feel no fault ({', '.join(what)})"))
    risks = [one for one in findings if one["role"] == "risk"]
    lines += [_row("RISK", one["summary"]) for one in risks if one["severity"] == "critical"]
    lines += _under("risks", (one["summary"] for one in risks if one["severity"] != "critical"))
    if verdict["verdict"] != "healthy":
        for label, parts in screen.measures:
            lines += _under(label, parts)
    lines += _under("ruled out", (one["why"] for one in verdict["ruled_out"]), most=3)
    lines += _under("could not read", (f"{gap['system']} {gap['what']}: {gap['why']}" for gap in verdict["gaps"]))
    return lines


def _why_unproven(verdict: Json, users: t.Sequence[Json], to_measure: str) -> str:
    """Why nothing is said where nobody is seen to suffer."""
    if not users:
        return f"no user was measured ({to_measure})"
    if any(gap["vital"] for gap in verdict["gaps"]):
        return "users feel no fault, and what is behind them could not be read"
    return "reads are well, and no write was tried (a health URL may be POST https://…); see the risk below"


def _suspects(verdict: Json) -> list[Json]:
    """What would explain it and is not shown to; at most three."""
    return [one for one in verdict["findings"] if one["role"] == "suspect"][:3]


def _done(screen: Screen) -> list[str]:
    lines = []
    for event in screen.events:
        if event["kind"] == "outcome" and "system" in event:
            lines.append(_row("DONE", f"{event['effect']} on {event['system']}: {event['status']}, {event['detail']}"))
        elif event["kind"] == "verified":
            label = "PROVEN" if event["proven"] else "NOT YET"
            lines.append(_row(label, event["why"]))
    return lines


def _do(screen: Screen, catalogue: Catalogue) -> list[str]:
    verdict = screen.verdict or {}
    offers = verdict.get("offers", [])
    if any(event["kind"] == "outcome" and "system" in event for event in screen.events):
        return []
    hands = [one for one in verdict.get("findings", []) if one["role"] in ("cause", "suspect") and one.get("by_hand")]
    lines = [_row("BY HAND", one["by_hand"]) for one in hands]
    for offer in offers:
        mitigation = catalogue.mitigations[offer["mitigation"]]
        where = f"{len(offer['targets'])} on {offer['system']}"
        label = "PREVENT" if offer["preventive"] else "DO"
        keys = [key_of(target, mitigation.identity) for target in offer["targets"]]
        name = f"{mitigation.name}:NAME" if offer["by_name"] else mitigation.name
        where += f"; NAME is one of {', '.join(keys)}" if offer["by_name"] else ""
        lines.append(_row(label, f"{screen.command} -e mitigate={name}"))
        undo = f"undo.yml {mitigation.undo}" if mitigation.undo else f"none ({mitigation.undo_by_hand})"
        lines.append(_row("", f"{mitigation.touches} ({where}; risk {mitigation.risk}); undo: {undo}"))
    if offers and screen.others_typed:
        lines.append(_row("", "and the other -e variables that you typed: they may be secret, so they are not repeated"))
    return lines


def _undo(screen: Screen) -> list[str]:
    if screen.undo is None:
        return []
    command, what = screen.undo
    return [_row("UNDO", command), _row("", f"takes back what is in force: {', '.join(what)}")]


def _tail(screen: Screen) -> list[str]:
    unsent = ", ".join(screen.unsent) or "nothing"
    if not screen.channels:
        unsent = "nothing (all channels are off: incident_channels)"
    return [_row("RECORD", f"{screen.report}      UNSENT  {unsent}"), *(_row("NOTE", text) for text in screen.warnings)]
