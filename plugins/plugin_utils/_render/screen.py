# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The first screen: what is the cause, how do we know, what to type next, can it be undone (private; pure)."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import re
import shlex
import typing as t
import unicodedata

from ansible_collections.sre.runbooks.plugins.plugin_utils._judgement.catalogue import Catalogue
from ansible_collections.sre.runbooks.plugins.plugin_utils._judgement.shapes import (
    NO_VERDICT,
    FindingData,
    MeasuredData,
    Offer,
    Verdict,
)
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.inputs import PUBLIC, plain
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.outbox import PLANNED
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.shapes import Event, Incident, time_of
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.store import moment_of

Json = dict[str, t.Any]
# Nothing is cut that anybody needs; this only bounds what comes from outside.
LONGEST = 1200
LONGEST_COMMAND = 40000
WIDTH = 100
# Where a row goes on in the next line: never where one begins, so that no text of ours or of others looks like a row.
# More than sixteen blanks would be taken for a forgery (``plain``).
HANGING, HANGING_UNDER = " " * 11, " " * 14
WITH = "with"
COMMANDS = ("DO", "PREVENT", "STEP", "UNDO", "TELL", "LOOK")
SAME_CAUSES = 2
MOST_GAPS = 3
TRY = "the same with --check --diff shows what it would do, and changes and sends nothing"
SAFETY = (
    "each target is looked at again first, and left alone if it has changed; afterwards users are measured again: FIXED, or "
    "NOT YET and why"
)
TOLD = "asks for your words, and posts them to everybody who was notified"
SEVERAL = "type the first one, read what it did, then the next one if it is still offered"
LEFT_OUT = "if this run was started with other -e variables, add them: they may be secret, so they are not repeated"


@dataclasses.dataclass(frozen=True)
class Screen:
    """Everything that the screen shows. ``command``: what to type again; ``others_typed``: it lacks variables that were typed.
    ``undo``: the command that takes back what is still in force, and what that is. ``measures``: what the systems' facts say, a
    label and its parts a line; ``to_measure``: what is missing where no user was measured. ``tell``: the command
    with which a person tells everybody something; ``undo_command``: that which takes back what is done from now on.
    ``procedure``: what the runbook offers whatever is found."""

    incident: Incident
    verdict: Verdict | None
    events: t.Sequence[Event]
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
    tell: str = ""
    undo_command: str = ""
    procedure: t.Sequence[Offer] = ()
    width: int = WIDTH


def next_update(events: t.Sequence[Event], minutes: float, now: datetime.datetime) -> str:
    """When those who wait must hear again, or since when they should have."""
    said = [moment_of(event["at"]) for event in events if event["kind"] == "stage" and event.get("channels", True)]
    due = max(said, default=now) + datetime.timedelta(minutes=minutes)
    return f"OVERDUE: the next update was due at {due:%H:%MZ}" if due < now else f"next update due at {due:%H:%MZ}"


def render(screen: Screen, catalogue: Catalogue) -> list[str]:
    """The screen's lines: printable text only, none longer than the width, and commands that can be pasted."""
    rows = [*_head(screen), *_verdict(screen), *_done(screen), *_do(screen, catalogue), *_undo(screen), *_tail(screen)]
    return [line for row in rows for line in fitted(plain(row, _longest(row)), screen.width)]


def _longest(row: str) -> int:
    """Commands are never cut: they are ours, and have to be typed."""
    return LONGEST if _command_at(row) is None else LONGEST_COMMAND


def _command_at(row: str) -> int | None:
    """Where in a row a command begins; None where it has none."""
    if row[:9].strip():
        return 9 if row[:9].strip() in COMMANDS else None
    return 24 if row[9:24].strip() == WITH else None


def fitted(row: str, width: int) -> list[str]:
    """A row in as many lines as it needs, each going on where no row begins. Wide letters take two columns.

    >>> fitted("CAUSE    one two three four", 20)
    ['CAUSE    one two', '           three', '           four']
    >>> fitted("DO       a.yml -e b=c -e d=e", 25)
    ['DO       a.yml -e b=c \\\\', '           -e d=e']
    """
    if columns(row) <= width:
        return [row]
    hanging, begins = HANGING if row[:9].strip() else HANGING_UNDER, _command_at(row)
    return _wrapped(row, hanging, width) if begins is None else _command_lines(row[:begins], row[begins:], hanging, width)


def columns(text: str) -> int:
    """How many columns of a terminal a text takes."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(one) else 2 if unicodedata.east_asian_width(one) in "WF" else 1 for one in text)


def _wrapped(row: str, hanging: str, width: int) -> list[str]:
    lines = [""]
    for word in re.split(r"(?<=\S)(?= )", row):
        if columns(lines[-1] + word) <= width:
            lines[-1] += word
            continue
        rest = word.strip() if lines[-1] else word
        if lines[-1]:
            lines.append(hanging)
        for character in rest:
            if columns(lines[-1] + character) > width:
                lines.append(hanging)
            lines[-1] += character
    return lines


def _command_lines(label: str, command: str, hanging: str, width: int) -> list[str]:
    """A command over several lines, as a shell takes it; an option stays with its value. What is longer than a line is left for
    its reader to type: a terminal would go on with it where a row begins."""
    try:
        words = shlex.split(command)
    except ValueError:
        return _wrapped(label + command, hanging, width)
    room = width - len(hanging) - 2
    parts: list[str] = []
    for word in words:
        option = f"{parts.pop()} " if parts and parts[-1] in ("-i", "-e") else ""
        whole = option + shlex.quote(word)
        name = shlex.quote(word.partition("=")[0][: room // 4])
        parts.append(whole if columns(whole) <= room else f"{option}{name}=AS-YOU-TYPED-IT")
    lines = [label]
    for part in parts:
        if columns(lines[-1] + part) + 2 > width and lines[-1] not in (label, hanging):
            lines[-1] = f"{lines[-1].rstrip()} \\"
            lines.append(hanging)
        lines[-1] += f"{part} "
    return [line.rstrip() for line in lines]


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
    quiet = not incident.get("declared_at") and (screen.verdict or NO_VERDICT).get("verdict") == "healthy"
    parts = ["  ".join([incident["id"], *([] if quiet else [incident["severity"]]), _state(screen)])]
    vendors = incident.get("vendors", {})
    if "pagerduty" in vendors and vendors["pagerduty"]["id"] != PLANNED:
        parts.append(f"PagerDuty {vendors['pagerduty']['id']}")
    if "status_page" in vendors and vendors["status_page"]["id"] != PLANNED:
        parts.append(f"status page: {vendors['status_page']['status']}")
    parts += [f"{name}: off" for name in screen.off]
    if incident.get("disclosure", PUBLIC) != PUBLIC:
        parts.append(incident["disclosure"].replace("_", " "))
    head = [_row("INCIDENT", " · ".join(parts))]
    if screen.check:
        head.insert(0, _row("CHECK", "nothing was sent or changed; what would be is shown above"))
    people = [*incident.get("on_call", []), *(f"{role}: {who}" for role, who in incident.get("contacts", {}).items())]
    if people:
        head.append(_row("ON CALL", " · ".join(people)))
    if incident.get("alert"):
        head.append(_row("ALERT", incident["alert"]))
    return head


def _state(screen: Screen) -> str:
    incident = screen.incident
    if screen.check:
        return "nothing declared (check mode)"
    if incident["state"] == "resolved":
        return f"resolved {time_of(incident, 'resolved')[11:19]}Z"
    if incident.get("declared_at"):
        return f"declared {time_of(incident, 'declared')[11:19]}Z"
    return "not declared"


def _verdict(screen: Screen) -> list[str]:
    verdict = screen.verdict
    if verdict is None:
        return [_row("VERDICT", "none: nothing was diagnosed in this run (--tags diagnose)")]
    findings = verdict["findings"]
    lines: list[str] = []
    causes = [one for one in findings if one["role"] == "cause"]
    numbers = _numbers(verdict)
    for number, finding in enumerate(causes):
        alike = [one["id"] for one in causes[:number]].count(finding["id"])
        if alike < SAME_CAUSES:
            label = f"CAUSE {numbers.get(finding['id'], '')}"
            lines.append(_row(label, f"{finding['id']} ({finding['confidence']})  {finding['summary']}"))
            lines += _under("explains", (other["summary"] for other in finding["explains"]), most=2)
    more = sum(max(0, number - SAME_CAUSES) for number in collections.Counter(one["id"] for one in causes).values())
    if more:
        lines.append(_row("CAUSE", f"and {more} more of the same kind (see the report)"))
    users = [one for one in verdict["measured"] if one["of"] != "system"]
    if verdict["verdict"] == "unproven":
        hop = verdict["last_hop"] or _why_unproven(verdict, users, screen.to_measure)
        at = f"users feel it at {hop}" if verdict["last_hop"] else hop
        lines.append(_row("UNPROVEN", f"no cause was found; {at}"))
        lines += [_row("SUSPECT", f"{one['id']} ({one['confidence']})  {one['summary']}") for one in _suspects(verdict)]
        settle = [f"{gap['what']} of {gap['system']}" for gap in verdict["gaps"]] or [
            "what the systems that this one calls do: look there by hand"
        ]
        lines += _under("not seen", settle)
    risks = [one for one in findings if one["role"] == "risk"]
    lines += _healthy(users, risks) if verdict["verdict"] == "healthy" else []
    lines += [_row("RISK", one["summary"]) for one in risks if one["severity"] == "critical"]
    lines += _under("risks", (one["summary"] for one in risks if one["severity"] != "critical"))
    if verdict["verdict"] != "healthy":
        for label, parts in screen.measures:
            lines += _under(label, parts)
    if not causes:  # beside a cause they would only take attention from it; the report has them
        lines += _under("checked", (one["why"] for one in verdict["ruled_out"]), most=3)
    gaps = (f"{gap['system']} {gap['what']}: {gap['why']}" for gap in verdict["gaps"])
    lines += _under("could not read", gaps, most=MOST_GAPS)
    return lines + (_next(screen) if verdict["verdict"] == "unproven" else [])


def _numbers(verdict: Verdict) -> dict[str, int]:
    """Several causes get numbers, and each command says which of them it is for; one alone has none."""
    kinds = list(dict.fromkeys(one["id"] for one in verdict.get("findings", []) if one["role"] == "cause"))
    return {kind: number for number, kind in enumerate(kinds, 1)} if len(kinds) > 1 else {}


def _healthy(users: t.Sequence[MeasuredData], risks: t.Sequence[FindingData]) -> list[str]:
    """Whose answers were measured, and that there is nothing to do."""
    urls = collections.Counter(one["system"] for one in users)
    what = [f"{system}: {number} URL{'s' if number > 1 else ''} measured" for system, number in urls.items()]
    reads = "" if any(one["of"] == "writes" for one in users) else "; reads only, no write was tried"
    lines = [_row("HEALTHY", f"users feel no fault ({', '.join(what)}{reads})")]
    optional = "nothing has to be done now, and PREVENT is optional: ask first whose it is that the risk names"
    wait = optional if risks else "nothing to do"
    return [*lines, _row("NEXT", f"{wait}; if users told you otherwise, ask which URL")]


def _next(screen: Screen) -> list[str]:
    """What to do where no cause was found: nothing is offered then."""
    said = "nothing else is offered" if screen.procedure else "nothing is offered"
    findings = (screen.verdict or NO_VERDICT).get("findings", [])
    first = "first what BY HAND says, then LOOK" if any(map(_is_for_hands, findings)) else "look again in a minute with LOOK"
    steps = [f"{first} (it only reads): {said}, because nothing is shown to be the cause"]
    people = screen.incident.get("on_call", [])
    if people:
        steps.append(f"no cause in ten minutes: do not stay alone with it, call {people[0]}, or the next level if it is you")
    return [_row("NEXT", "; ".join(steps)), _row("LOOK", screen.command)]


def _why_unproven(verdict: Verdict, users: t.Sequence[MeasuredData], to_measure: str) -> str:
    """Why nothing is said where nobody is seen to suffer."""
    if not users:
        return f"no user was measured ({to_measure})"
    if any(gap["vital"] for gap in verdict["gaps"]):
        return "users feel no fault, and what is behind them could not be read"
    return "reads are well, and no write was tried (a health URL may be POST https://…); see the risk below"


def _suspects(verdict: Verdict) -> list[FindingData]:
    """What would explain it and is not shown to; at most three."""
    return [one for one in verdict["findings"] if one["role"] == "suspect"][:3]


def _done(screen: Screen) -> list[str]:
    lines = []
    for event in screen.events:
        if event["kind"] == "outcome" and "system" in event:
            lines.append(_row("DONE", f"{event['effect']} on {event['system']}: {event['status']}, {event['detail']}"))
        elif event["kind"] == "verified":
            label = "FIXED" if event["proven"] else "NOT YET"
            lines.append(_row(label, event["why"]))
    return lines


def _do(screen: Screen, catalogue: Catalogue) -> list[str]:
    verdict = screen.verdict or NO_VERDICT
    found = {(offer["mitigation"], offer["system"]) for offer in verdict.get("offers", [])}
    steps = [step for step in screen.procedure if (step["mitigation"], step["system"]) not in found]
    offers = [*verdict.get("offers", []), *steps]
    if any(event["kind"] == "outcome" and "system" in event for event in screen.events):
        return []
    lines = [_row("ORDER", SEVERAL)] if len(offers) > 1 else []
    hands = [one for one in verdict.get("findings", []) if _is_for_hands(one)]
    numbers = _numbers(verdict)
    for offer in offers:
        mitigation = catalogue.mitigations[offer["mitigation"]]
        label = "PREVENT" if offer["preventive"] else "DO" if offer["finding"] else "STEP"
        keys = [mitigation.key_of(target) for target in offer["targets"]]
        name = f"{mitigation.name}:NAME" if offer["by_name"] else mitigation.name
        lines.append(_row(label, f"{screen.command} -e mitigate={name}"))
        lines += _under("and", [LEFT_OUT]) if screen.others_typed and offer is offers[0] else []
        lines += _under("for", [f"cause {numbers[offer['finding']]}"] if offer["finding"] in numbers else [])
        lines += _under("or by hand", [one["manual_command"] for one in hands if _of(offer, one)])
        where = f"{'.'.join(mitigation.identity)} {', '.join(keys)} on {offer['system']} (risk {mitigation.risk})"
        lines += _under("what", [f"{'NAME is one of ' if offer['by_name'] else ''}{where}: {mitigation.effect}"])
        lines += _under("helps", [mitigation.helps])
        lines += _under("hurts", [mitigation.hurts])
        lines += _under("undo", [mitigation.undo or f"cannot be undone; instead: {mitigation.undo_by_hand}"])
        lines += _under(WITH, [screen.undo_command]) if mitigation.undo else []
    lines += [*_under("try", [TRY]), *_under("safety", [SAFETY])] if offers else []
    alone = [one for one in hands if not any(_of(offer, one) for offer in offers)]
    return [*lines, *(_row("BY HAND", one["manual_command"]) for one in alone)]


def _of(offer: Offer, finding: FindingData) -> bool:
    return (offer["finding"], offer["system"]) == (finding["id"], finding["subject"]["system"])


def _is_for_hands(finding: FindingData) -> bool:
    urgent = finding["role"] in ("cause", "suspect") or (finding["role"] == "risk" and finding["severity"] == "critical")
    return bool(urgent and finding.get("manual_command"))


def _undo(screen: Screen) -> list[str]:
    if screen.undo is None:
        return []
    command, what = screen.undo
    return [_row("UNDO", command), _row("", f"takes back what is in force: {', '.join(what)}")]


def _tail(screen: Screen) -> list[str]:
    verdict = screen.verdict or NO_VERDICT
    seen = f"{len(verdict.get('ruled_out', []))} ruled out, {len(verdict.get('gaps', []))} could not be read"
    rows = [_row("RECORD", f"{screen.report}{f'  ({seen})' if verdict else ''}")]
    if screen.unsent:
        rows.append(_row("UNSENT", ", ".join(screen.unsent)))
    elif not screen.channels:
        rows.append(_row("NOTE", "nobody was told: all channels are off (incident_channels)"))
    rows += [_row("NOTE", text) for text in screen.warnings]
    return [*rows, _row("TELL", screen.tell), *_under("what", [TOLD])] if screen.tell else rows
