# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Times as the API server writes them (private to the collection; pure)."""

from __future__ import annotations

import datetime


def seconds_since(text: str, now: datetime.datetime) -> float | None:
    """How long ago a time was, None for what is none.

    >>> seconds_since("2026-11-24T02:00:00Z", datetime.datetime(2026, 11, 24, 2, 1, tzinfo=datetime.UTC))
    60.0
    """
    try:
        return (now - datetime.datetime.fromisoformat(text)).total_seconds()
    except (ValueError, TypeError):
        return None
