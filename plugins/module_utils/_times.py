# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Times as facts have them, and how long it was between two (private to the collection; pure)."""

from __future__ import annotations

import datetime


def moment(text: str) -> datetime.datetime | None:
    """A time as RFC 3339 has it, by UTC where it names no zone; None for none."""
    try:
        found = datetime.datetime.fromisoformat(text)
    except (ValueError, TypeError):
        return None
    return found if found.tzinfo else found.replace(tzinfo=datetime.UTC)


def seconds_between(earlier: str, later: str) -> float | None:
    """How long it was from one time to another, None where one of them is not known."""
    first, second = moment(earlier), moment(later)
    return (second - first).total_seconds() if first and second else None
