# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The incident's report, in Markdown and as one HTML page, from one structure (private to the collection; pure)."""

from __future__ import annotations

import dataclasses
import datetime
import html
import re
import typing as t

from ansible_collections.sre.runbooks.plugins.plugin_utils._judgement.shapes import NO_VERDICT, Verdict
from ansible_collections.sre.runbooks.plugins.plugin_utils._judgement.system import Table
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.history import standing_proof
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.inputs import plain
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.shapes import Event, Incident, Instant, time_of
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.store import moment_of
from ansible_collections.sre.runbooks.plugins.plugin_utils._render.timeline_svg import svg

Json = dict[str, t.Any]
POST_MORTEM_HOURS = 48
LONGEST = 400
EDGE_OF_A_WORD = re.compile(r"(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")


@dataclasses.dataclass(frozen=True)
class Section:
    """A heading, paragraphs, a picture (SVG), and a table (its head first; ``even``: no column matters more than others)."""

    title: str
    paragraphs: tuple[str, ...] = ()
    table: tuple[tuple[str, ...], ...] = ()
    picture: str = ""
    even: bool = False


@dataclasses.dataclass(frozen=True)
class Source:
    """What a report is made from: the record, what was sent (when, to whom, what, how it ended), what was
    measured (its name, before and after the last mitigation), the systems' own tables, and what there is still to do."""

    incident: Incident
    verdict: Verdict | None
    events: t.Sequence[Event]
    sent: t.Sequence[tuple[str, str, str, str]] = ()
    numbers: t.Sequence[tuple[str, str, str]] = ()
    tables: t.Sequence[Table] = ()
    to_do: t.Sequence[str] = ()


def sections(source: Source) -> list[Section]:
    """The report's content: what was found, done, proven and said, and the draft of the post-mortem."""
    incident, verdict, events = source.incident, source.verdict, source.events
    return [
        Section(
            f"{incident['title']}: {', '.join(incident['targets'])}",
            table=_summary(incident, verdict, events),
            picture=svg(incident, events),
        ),
        *([Section("What to do next", tuple(source.to_do))] if source.to_do else []),
        _actions(events),
        Section("Before and after", table=(("what", "before", "after"), *source.numbers), even=True),
        _findings(verdict),
        *(Section(one.title, one.notes, table=(one.head, *one.rows), even=True) for one in source.tables if one.rows),
        Section("What could not be read", table=_rows(("system", "what", "why"), verdict, "gaps", "what", "why")),
        Section("What was ruled out", table=_rows(("system", "what", "how we know"), verdict, "ruled_out", "id", "why")),
        Section("What was sent", table=(("when", "to", "what", "outcome"), *source.sent), even=True),
        _timeline(events),
        _post_mortem(incident, verdict),
    ]


def _summary(incident: Incident, verdict: Verdict | None, events: t.Sequence[Event]) -> tuple[tuple[str, ...], ...]:
    """What somebody asks who opens the report on a phone: what was it, is it over, how long did it take, how do we know."""
    causes = [f["summary"] for f in (verdict or NO_VERDICT).get("findings", []) if f["role"] == "cause"]
    rows = [
        ("incident", f"{incident['id']}, {incident['severity']}, {incident['state']}"),
        ("cause", "; ".join(causes) or f"none proven (verdict: {(verdict or NO_VERDICT).get('verdict', 'none')})"),
    ]
    if incident.get("alert"):
        rows.append(("alert", str(incident["alert"])))
    happened: tuple[Instant, ...] = ("declared", "mitigated", "resolved")
    rows += [(name, f"{_day_and_time(at)}{_after(incident, name)}") for name in happened if (at := time_of(incident, name))]
    proof = standing_proof(events)
    if proof:
        rows.append(("recovery", f"{'proven' if proof['proven'] else 'not proven'}: {proof['why']}"))
    elif any(event["kind"] == "verified" for event in events):
        rows.append(("recovery", "not proven: what was proven before does not hold any more"))
    return (("", ""), *rows)


def _day_and_time(moment: str) -> str:
    return f"{moment_of(moment):%Y-%m-%d %H:%M:%S} UTC"


def _after(incident: Incident, name: Instant) -> str:
    """How long after its detection something happened."""
    if name == "declared" or not incident.get("detected_at"):
        return ""
    seconds = (moment_of(time_of(incident, name)) - moment_of(incident["detected_at"])).total_seconds()
    return f", {datetime.timedelta(seconds=round(seconds))} after it was noticed"


def _findings(verdict: Verdict | None) -> Section:
    rows = [(f["role"], f["id"], f["confidence"], f["summary"]) for f in (verdict or NO_VERDICT).get("findings", [])]
    by_hand = tuple(
        f"By hand: {f['manual_command']}"
        for f in (verdict or NO_VERDICT).get("findings", [])
        if f["role"] == "cause" and f["manual_command"]
    )
    return Section("Findings", by_hand, table=(("role", "finding", "confidence", "what"), *rows))


def _rows(head: tuple[str, ...], verdict: Verdict | None, name: str, *columns: str) -> tuple[tuple[str, ...], ...]:
    told = t.cast("dict[str, list[dict[str, str]]]", verdict or NO_VERDICT)[name]
    return (head, *((one["system"], *(one[column] for column in columns)) for one in told))


def _actions(events: t.Sequence[Event]) -> Section:
    rows = [
        (_clock(event["at"]), _effect(event), event["system"], event["status"], str(event["detail"]))
        for event in events
        if event["kind"] in ("outcome", "undone") and "system" in event
    ]
    return Section("What was done", table=(("when", "mitigation", "system", "outcome", "what"), *rows))


def _effect(event: Event) -> str:
    return f"undo of {event['effect']}" if event["kind"] == "undone" else str(event["effect"])


def describe(event: Event) -> str:
    """One event of the timeline in words."""
    texts = {
        "run_started": "a run began: {asked}",
        "judged": "verdict at {slot}: {verdict} {causes}",
        "stage": "stage: {stage}",
        "intent": "about to: {effect}",
        "outcome": "{effect}: {status}, {detail}",
        "undo_intent": "about to undo: {effect}",
        "undone": "undo of {effect}: {status}, {detail}",
        "planned": "check mode, would be done: {effect}",
        "verified": "recovery proven: {proven}; {why}",
        "phase_failed": "{phase} failed on {system}: {why}",
        "note": "{text}",
        "unneeded": "{effect}: done before, nothing to do",
        "torn": "{lines} line(s) of the timeline were torn by a crash and skipped",
    }
    template = texts.get(event["kind"], str(event["kind"]))
    try:
        return template.format_map({**event, "causes": ", ".join(event.get("causes", []))}).strip()
    except KeyError:
        return str(event["kind"])


def _timeline(events: t.Sequence[Event]) -> Section:
    """What happened, without what only serves a rerun: facts, and intents whose outcome follows."""
    known = {(event["run"], event["effect"]) for event in events if event["kind"] == "outcome"}
    shown = [
        event
        for event in events
        if event["kind"] not in ("facts", "look") and not (event["kind"] == "intent" and (event["run"], event["effect"]) in known)
    ]
    return Section("Timeline", table=(("when", "what"), *((_clock(event["at"]), describe(event)) for event in shown)))


def _clock(moment: str) -> str:
    return f"{moment_of(moment):%m-%d %H:%M:%S}"


def _post_mortem(incident: Incident, verdict: Verdict | None) -> Section:
    if not incident.get("resolved_at"):
        return Section("Post-mortem", ("Due 48 hours after the incident is resolved.",))
    due = moment_of(time_of(incident, "resolved")) + datetime.timedelta(hours=POST_MORTEM_HOURS)
    findings = (verdict or NO_VERDICT).get("findings", [])
    causes = [one["summary"] for one in findings if one["role"] == "cause"]
    ended: tuple[Instant, ...] = ("mitigated", "resolved")
    took = ", ".join(f"{name}{_after(incident, name)[1:]}" for name in ended if time_of(incident, name))
    advice = [one["summary"] for one in findings if one.get("advice")]
    return Section(
        f"Post-mortem, due {due:%Y-%m-%d %H:%M} UTC",
        (
            f"What happened: {'; '.join(causes) or 'to be found'}",
            f"How long it took: {took}",
            "Why it could happen: …",
            "What went well, what went badly: …",
            *(f"Proposed: {one}" for one in advice),
            "What will be different (owner, date): …",
        ),
    )


def _markdown_text(text: str) -> str:
    """Text from outside in Markdown: nothing of it is markup."""
    escaped = html.escape(plain(text, LONGEST), quote=False)
    for mark in "\\`*{}[]|~":
        escaped = escaped.replace(mark, "\\" + mark)
    # Between letters and digits an underscore is one; only at a word's edge it could begin or end emphasis.
    return EDGE_OF_A_WORD.sub(r"\\_", escaped).replace("\n", " ")


def to_markdown(content: t.Sequence[Section]) -> str:
    """The report for a terminal or a pull request."""
    lines: list[str] = []
    for number, section in enumerate(content):
        lines += [("# " if number == 0 else "## ") + _markdown_text(section.title), ""]
        for paragraph in section.paragraphs:
            lines += [_markdown_text(paragraph), ""]
        if len(section.table) > 1:
            head, *rows = section.table
            lines += ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
            lines += ["| " + " | ".join(_markdown_text(cell) for cell in row) + " |" for row in rows]
            lines.append("")
        elif section.table:
            lines += ["Nothing.", ""]
    return "\n".join(lines)


STYLE = """
body { font: 16px/1.45 system-ui, sans-serif; max-width: 60rem; margin: 0 auto; padding: 0.75rem; color: #1a1a1a; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 1.6rem; border-bottom: 1px solid #ccc; }
p, h1, h2 { overflow-wrap: anywhere; }
svg { display: block; width: 100%; max-width: 30rem; height: auto; margin: 0.8rem 0; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: 0.25rem 0.4rem; border-bottom: 1px solid #e5e5e5;
         overflow-wrap: anywhere; font-size: 0.85rem; }
th { white-space: nowrap; }
th:empty { display: none; }
td:first-child { min-width: 6.5rem; }
td:last-child { width: 60%; }
td[data-label=""]:first-child { width: 8rem; }
td[data-label=""]:last-child { width: auto; }
.even td { width: auto; }
@media (max-width: 600px) {
  table, tbody, tr, td { display: block; }
  thead { display: none; }
  tr { padding: 0.4rem 0; }
  td, td:first-child, td:last-child { border: 0; padding: 0.1rem 0; white-space: normal; width: auto; }
  td:not([data-label=""])::before { content: attr(data-label) ": "; color: #666; }
  td[data-label=""]:first-child { color: #666; width: auto; }
}
"""


def to_html(content: t.Sequence[Section]) -> str:
    """The report as one self-contained page, readable on a phone: no script, nothing loaded."""
    parts = []
    for number, section in enumerate(content):
        level = 1 if number == 0 else 2
        parts.append(f"<h{level}>{_html(section.title)}</h{level}>")
        parts += [f"<p>{_html(paragraph)}</p>" for paragraph in section.paragraphs]
        if section.picture:
            parts.append(section.picture)
        if len(section.table) > 1:
            parts.append(_html_table(section.table, even=section.even))
        elif section.table:
            parts.append("<p>Nothing.</p>")
    title = _html(content[0].title)
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        f"<style>{STYLE}</style></head>\n<body>\n" + "\n".join(parts) + "\n</body></html>\n"
    )


def _html(text: str) -> str:
    return html.escape(plain(text, LONGEST))


def _html_table(table: tuple[tuple[str, ...], ...], *, even: bool) -> str:
    head, *rows = table
    titles = "".join(f"<th>{_html(cell)}</th>" for cell in head)
    body = "".join(
        "<tr>"
        + "".join(f'<td data-label="{_html(name)}">{_html(cell)}</td>' for name, cell in zip(head, row, strict=True))
        + "</tr>\n"
        for row in rows
    )
    opening = '<table class="even">' if even else "<table>"
    return f"{opening}<thead><tr>{titles}</tr></thead>\n<tbody>\n{body}</tbody></table>"
