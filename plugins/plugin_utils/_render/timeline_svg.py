# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An incident's course as a picture: one bar from the first sign to the end, and when each thing happened (private; pure)."""

from __future__ import annotations

import dataclasses
import datetime
import html
import itertools
import typing as t

from ansible_collections.sre.runbooks.plugins.plugin_utils._record.inputs import plain
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.shapes import Event, Incident, Instant, time_of
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.store import moment_of

Json = dict[str, t.Any]
WIDTH = 360
BAR = 14
ROW = 18
LABEL_LENGTH = 42
# How it is for users: they suffer, something was done about it, they are well. Dark enough to be told apart in grey.
SUFFERING, RELIEVED, WELL = "#b3261e", "#e0a030", "#2e7d4f"


@dataclasses.dataclass(frozen=True)
class Moment:
    """Something that happened, for how long it colours the bar until the next one does."""

    at: datetime.datetime
    label: str
    colour: str


def moments(incident: Incident, events: t.Sequence[Event]) -> list[Moment]:
    """What belongs into the picture, in order."""
    told: tuple[tuple[Instant, str, str], ...] = (
        ("detected", "noticed", SUFFERING), ("declared", "declared", SUFFERING), ("acknowledged", "acknowledged", SUFFERING),
        ("resolved", "resolved", WELL),
    )  # fmt: skip
    found = [Moment(moment_of(at), label, colour) for name, label, colour in told if (at := time_of(incident, name))]
    for event in events:
        if event["kind"] == "outcome" and "system" in event:
            label = f"{event['effect']}: {event['status']}"
            found.append(Moment(moment_of(event["at"]), label, RELIEVED if event["status"] == "done" else SUFFERING))
        elif event["kind"] == "undone":
            found.append(Moment(moment_of(event["at"]), f"undo of {event['effect']}: {event['status']}", WELL))
        elif event["kind"] == "verified":
            proven = event["proven"]
            found.append(
                Moment(moment_of(event["at"]), "recovery proven" if proven else "not recovered", WELL if proven else SUFFERING)
            )
    return sorted(found, key=lambda moment: moment.at)


def offset(start: datetime.datetime, at: datetime.datetime) -> str:
    """The time since the start.

    >>> offset(datetime.datetime(2026, 1, 1), datetime.datetime(2026, 1, 1, 0, 1, 5))
    '+1:05'
    """
    seconds = round((at - start).total_seconds())
    hours, minutes = divmod(seconds // 60, 60)
    return f"+{hours}:{minutes:02}:{seconds % 60:02}" if hours else f"+{minutes}:{seconds % 60:02}"


def svg(incident: Incident, events: t.Sequence[Event]) -> str:
    """The picture as inline SVG, nothing loaded and no script; empty when there is nothing to show."""
    shown = moments(incident, events)
    if len(shown) < 2:
        return ""
    start, end = shown[0].at, shown[-1].at
    whole = max(1.0, (end - start).total_seconds())

    def place(at: datetime.datetime) -> float:
        return round(6 + (WIDTH - 12) * (at - start).total_seconds() / whole, 1)

    parts = []
    for moment, following in itertools.pairwise(shown):
        x, width = place(moment.at), round(place(following.at) - place(moment.at), 1)
        parts.append(f'<rect x="{x}" y="0" width="{max(width, 0.5)}" height="{BAR}" fill="{moment.colour}"/>')
    for number, moment in enumerate(shown):
        y = BAR + 8 + ROW * (number + 0.5)
        label = html.escape(plain(f"{moment.at:%H:%M:%S}  {offset(start, moment.at)}  {moment.label}", LABEL_LENGTH))
        parts.append(f'<circle cx="12" cy="{y - 4}" r="4" fill="{moment.colour}"/>')
        parts.append(f'<text x="24" y="{y}" font-size="12">{label}</text>')
    height = round(BAR + 12 + ROW * len(shown))
    title = html.escape(plain(f"{len(shown)} events in {offset(start, end)[1:]}", 80))
    return (
        f'<svg viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" role="img" font-family="system-ui, sans-serif">'
        f"<title>{title}</title>{''.join(parts)}</svg>"
    )
