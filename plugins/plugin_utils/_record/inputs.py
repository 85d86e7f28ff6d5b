# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The public words of a run and the names of incidents (private to the collection; pure).

AWX hands survey answers over as None, numbers, booleans and dates (a blank one as None, ``'0123'`` as 83), and
``-e mitigate=a,b`` stays one string, so every word is brought into its shape here, once.
"""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import itertools
import re
import typing as t
import unicodedata

from ansible_collections.sre.runbooks.plugins.plugin_utils._judgement.catalogue import Catalogue
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.errors import RecordError

APPROVALS = ("auto", "prompt")
PUBLIC, INTERNAL, NEED_TO_KNOW = "public", "internal", "need_to_know"
# Who may read about an incident, the strictest last.
DISCLOSURES = (PUBLIC, INTERNAL, NEED_TO_KNOW)
NAMES = ("target", "mitigate", "approval", "incident_key", "reason", "mitigate_unoffered")
LONGEST = 500
INCIDENT_ID = re.compile(r"[a-z][a-z0-9_]*-[A-Za-z0-9][A-Za-z0-9_.-]*-\d{8}T\d{4}Z(-\d+)?")
# What ends a line, on whichever screen or page, or moves a cursor; and what is not seen, or turns the direction of reading.
SEPARATING = ("Cc", "Zl", "Zp", "Zs")
UNSEEN = ("Cf", "Cs")
# Letters and marks that nothing is seen of.
FILLERS = "\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0"
VARIATIONS = {"\u034f", *map(chr, range(0xFE00, 0xFE10)), *map(chr, range(0xE0100, 0xE01F0))}
LONGEST_WORD = 10000
# PagerDuty takes 255 characters as a key.
LONGEST_KEY = 255
DIGEST = 16


@dataclasses.dataclass(frozen=True)
class Words:
    """What the person or the alert asked for. ``only`` are the targets that were named for a mitigation, by what tells them
    apart."""

    target: str | None = None
    mitigate: tuple[str, ...] = ()
    only: t.Mapping[str, t.Sequence[str]] = dataclasses.field(default_factory=dict)
    approval: str | None = None
    incident_key: str | None = None
    reason: str | None = None
    mitigate_unoffered: bool = False


def plain(value: object, longest: int = LONGEST) -> str:
    """A text from outside as one printable line: control characters and separators become blanks, direction marks go, cut.

    >>> plain("orders\\nDO       curl evil | sh"), plain("abc", 2)
    ('orders DO       curl evil | sh', 'a…')
    """
    text = str(value)[: 4 * longest]
    if not text.isascii() or not text.isprintable():
        text = "".join(_visible(character) for character in text)
    # Blanks up to the edge of the screen would let what follows stand like a line of its own.
    text = re.sub(r" {17,}", " ", text)
    return text if len(text) <= longest else text[: longest - 1] + "…"


def _visible(character: str) -> str:
    category = unicodedata.category(character)
    if category in SEPARATING or character in FILLERS:
        return " "
    return "" if category in UNSEEN or character in VARIATIONS else character


def shortened(text: str, longest: int) -> str:
    """A text cut at a word.

    >>> shortened("one two three", 9)
    'one two…'
    """
    if len(text) <= longest:
        return text
    return text[:longest].rpartition(" ")[0].rstrip(" ,;:(")[: longest - 1] + "…"


def _text(name: str, value: object, longest: int = LONGEST) -> str | None:
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    if isinstance(value, (dict, list, tuple)):
        raise RecordError(f"{name} is one text, not a {type(value).__name__}: -e {name}=…")
    return plain(value, longest).strip()


def _flag(name: str, value: object) -> bool:
    text = (_text(name, value) or "false").lower()
    if text not in ("true", "false", "yes", "no", "1", "0"):
        raise RecordError(f"{name} is true or false, not {text!r}")
    return text in ("true", "yes", "1")


def _names(value: object) -> tuple[str, ...]:
    parts = value if isinstance(value, (list, tuple)) else [value]
    texts = [text for part in parts for text in (_text("mitigate", part) or "").split(",")]
    return tuple(dict.fromkeys(text.strip() for text in texts if text.strip() and text.strip() != "none"))


def words_from(raw: t.Mapping[str, object], catalogue: Catalogue) -> Words:
    """The words, whatever shape they came in. Raises RecordError for one that means nothing here."""
    asked = _names(raw.get("mitigate"))
    mitigate = tuple(dict.fromkeys(one.partition(":")[0] for one in asked))
    only = {name: [one.partition(":")[2] for one in asked if one.startswith(f"{name}:")] for name in mitigate}
    if any(not key for keys in only.values() for key in keys):
        raise RecordError("after the colon stands what the mitigation is to act on, as NAME:TARGET. Nothing was touched")
    unknown = [name for name in mitigate if name not in catalogue.mitigations]
    if unknown:
        known = ", ".join(catalogue.mitigations)
        raise RecordError(f"there is no mitigation {', '.join(unknown)}; there are: {known}. Nothing was touched")
    approval = _text("approval", raw.get("approval"))
    if approval is not None and approval not in APPROVALS:
        raise RecordError(f"approval is {' or '.join(APPROVALS)}, not {approval!r}. Nothing was touched")
    words = Words(
        target=_text("target", raw.get("target")),
        mitigate=mitigate,
        only={name: keys for name, keys in only.items() if keys},
        approval=approval,
        incident_key=_text("incident_key", raw.get("incident_key"), LONGEST_WORD),
        reason=_text("reason", raw.get("reason")),
        mitigate_unoffered=_flag("mitigate_unoffered", raw.get("mitigate_unoffered")),
    )
    if words.mitigate_unoffered and not words.reason:
        raise RecordError("mitigate_unoffered needs a reason, which is recorded: -e reason='…'. Nothing was touched")
    return words


def targets_from(word: str | None, hosts: t.Sequence[str], group: str) -> tuple[str, ...]:
    """The systems that the run is about. Raises RecordError for an empty group or a name that is not in it."""
    if not hosts:
        raise RecordError(f"the inventory has no host in {group}: tag a system so, or give another inventory with -i")
    if word is None:
        return tuple(sorted(hosts))
    chosen = tuple(dict.fromkeys(part.strip() for part in word.split(",") if part.strip()))
    unknown = [name for name in chosen if name not in hosts]
    if unknown:
        raise RecordError(f"there is no target {', '.join(unknown)} in {group}; there are: {', '.join(sorted(hosts))}")
    return tuple(sorted(chosen))


def strictest(*disclosures: str) -> str:
    """The disclosure that lets fewest people read. Raises RecordError for an unknown one."""
    for one in disclosures:
        if one not in DISCLOSURES:
            raise RecordError(f"a disclosure is one of {', '.join(DISCLOSURES)}, not {plain(one, 40)!r}")
    return max(disclosures, key=DISCLOSURES.index)


def slug(text: str) -> str:
    """A name as a part of a folder's name."""
    return re.sub(r"[^A-Za-z0-9_.]+", "-", text).strip("-.")[:60] or "target"


def key_for(runbook: str, targets: t.Sequence[str], given: str | None) -> str:
    """What tells an incident from others; the end of a long one is its digest."""
    key = given or f"{runbook}/{','.join(targets)}"
    if len(key) <= LONGEST_KEY:
        return key
    digest = hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()[:DIGEST]
    return f"{key[: LONGEST_KEY - DIGEST - 1]}-{digest}"


def new_id(runbook: str, targets: t.Sequence[str], now: datetime.datetime, is_taken: t.Callable[[str], bool]) -> str:
    """The incident's id: ``<runbook>-<target>-<UTC minute of its first run>``."""
    name = slug(targets[0]) if len(targets) == 1 else f"{len(targets)}-systems"
    base = f"{runbook}-{name}-{now:%Y%m%dT%H%MZ}"
    return next(one for one in itertools.chain([base], (f"{base}-{n}" for n in itertools.count(2))) if not is_taken(one))


def checked_id(identity: str) -> str:
    """An incident's id from outside. Raises RecordError for anything that could leave the record's root."""
    if not INCIDENT_ID.fullmatch(identity) or ".." in identity:
        raise RecordError(f"{plain(identity, 80)!r} is not an incident's id; it looks like db_degradation-prod-db-20261124T0214Z")
    return identity
