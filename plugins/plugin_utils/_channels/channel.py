# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a channel is, and what there is to say at the stages of an incident, as far as it may be said (private; pure).

An incident's disclosure says who may read what: ``public``; ``internal``, nothing outside the company; ``need_to_know``, only
that there is something, under a reference instead of a name.
"""

from __future__ import annotations

import dataclasses
import hashlib
import typing as t

from ansible_collections.sre.runbooks.plugins.plugin_utils._judgement.shapes import NO_VERDICT, Verdict
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.inputs import DISCLOSURES, NEED_TO_KNOW, PUBLIC, shortened
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.outbox import Message
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.shapes import Incident

Json = dict[str, t.Any]
LONGEST_TITLE = 200
REFERENCE_DIGITS = 12


@dataclasses.dataclass(frozen=True)
class Done:
    """The mitigations that were carried out, and those of which nobody knows."""

    known: t.Sequence[str] = ()
    unknown: t.Sequence[str] = ()


@dataclasses.dataclass(frozen=True)
class Stage:
    """A stage of an incident (declared, identified, mitigated, resolved), with what is known and what was done."""

    incident: Incident
    name: str
    verdict: Verdict | None = None
    done: Done = dataclasses.field(default_factory=Done)

    @property
    def is_confidential(self) -> bool:
        return disclosure_of(self.incident) == NEED_TO_KNOW

    def said(self) -> list[str]:
        """What there is to say, in sentences."""
        return self._hinted() if self.is_confidential else self._told()

    def _told(self) -> list[str]:
        causes = [f for f in (self.verdict or NO_VERDICT).get("findings", []) if f["role"] == "cause"]
        if self.name == "identified":
            return [f"Cause: {f['id']} ({f['confidence']}): {f['message']}." for f in causes]
        if self.name == "mitigated":
            return [f"Done: {', '.join(self.done.known)}. Whether users see the recovery is being verified."]
        if self.name == "resolved":
            unknown = f" Not known whether {', '.join(self.done.unknown)} was carried out." if self.done.unknown else ""
            return [f"Recovered, as users see it: the checks passed several times in a row and the cause is gone.{unknown}"]
        if self.incident["epoch"]:
            return ["Reopened: the same trouble is back."]
        return ["Users are affected; the cause is being looked for."]

    def _hinted(self) -> list[str]:
        return [
            {
                "identified": "More is known now.",
                "mitigated": "Something was done, and is being verified.",
                "resolved": "It is over.",
            }.get(self.name, "Reopened." if self.incident["epoch"] else "It is being looked into.")
            + " Those who need to know have the details."
        ]

    def note(self) -> str:
        """The note for the engineers. It ends with the incident's name, which also tells our notes from others."""
        epoch = f" #{self.incident['epoch']}" if self.incident["epoch"] else ""
        return "\n".join([*self.said(), f"[{name_of(self.incident)} {self.name}{epoch}]"])

    def identity(self, channel: str, what: str | None = None) -> str:
        """What tells a message of this stage from all others of the incident."""
        epoch = f"#{self.incident['epoch']}" if self.incident["epoch"] else ""
        return f"{channel}:{what or self.name}{epoch}"


def _unchanged(settings: Json, disclosure: str) -> Json:
    return settings


def _no_arguments(message: Message, incident: Incident) -> Json:
    return {}


def _no_messages(*_given: t.Any) -> list[Message]:
    return []


def _no_message(*_given: t.Any) -> None:
    return None


@dataclasses.dataclass(frozen=True)
class Channel:
    """A way to tell somebody.

    ``modules``: those that speak to it. ``needed``: the settings (incident_<name>_...) without which it is not configured
    (or, of several, without one of them),
    ``lists``: those that are lists of names. ``login``: from the settings, the arguments with which its modules reach it.
    ``narrowed``: its settings for an incident of a disclosure, or why it is off then. ``addressed``: the arguments by which its
    modules find what the vendor has of an incident. ``messages``: what it is told at a stage. ``update``: a person's words
    (incident, text, number, settings). ``overdue``: what it is told when nobody has reacted (incident, minutes since it was
    declared, settings). ``on_call``: the module and the arguments that say who is on call.
    """

    name: str
    vendor: str
    modules: tuple[str, ...]
    needed: tuple[str | tuple[str, ...], ...]
    login: t.Callable[[Json], Json]
    messages: t.Callable[[Stage, Json], list[Message]]
    lists: tuple[str, ...] = ()
    narrowed: t.Callable[[Json, str], Json | str] = _unchanged
    addressed: t.Callable[[Message, Incident], Json] = _no_arguments
    update: t.Callable[[Incident, str, int, Json], list[Message]] = _no_messages
    overdue: t.Callable[[Incident, float, Json], Message | None] = _no_message
    on_call: t.Callable[[Json], tuple[str, Json] | None] = _no_message


def api_login(settings: Json) -> Json:
    """How a vendor's API is reached."""
    return {"api_url": settings["url"], "api_key": settings["token"], "timeout": settings["timeout"],
            "tries": settings["tries"], "allow_plaintext": settings["allow_plaintext"], "validate_certs": True}  # fmt: skip


def disclosure_of(incident: Incident) -> str:
    """Who may read about an incident. A record of an earlier version does not say; what is not understood is the strictest."""
    told = incident.get("disclosure", PUBLIC)
    return told if told in DISCLOSURES else NEED_TO_KNOW


def reference(incident: Incident) -> str:
    """What a confidential incident is called where not everybody may know what it is. The same for the same key, so that
    another run, wherever it is started, finds it."""
    return hashlib.sha256(str(incident["key"]).encode("utf-8", "replace")).hexdigest()[:REFERENCE_DIGITS]


def name_of(incident: Incident) -> str:
    """An incident's id, or its reference."""
    return reference(incident) if disclosure_of(incident) == NEED_TO_KNOW else str(incident["id"])


def vendor_key(incident: Incident) -> str:
    """The key under which a vendor knows an incident. One that was given came from there, and is kept."""
    if disclosure_of(incident) == NEED_TO_KNOW and not incident.get("key_was_given"):
        return f"sre.runbooks/{reference(incident)}"
    return str(incident["key"])


def title(incident: Incident) -> str:
    """What the incident is called, short enough for every vendor."""
    if disclosure_of(incident) == NEED_TO_KNOW:
        return f"Confidential incident {reference(incident)}"
    return shortened(f"{incident['title']} ({', '.join(incident['targets'])})", LONGEST_TITLE)
