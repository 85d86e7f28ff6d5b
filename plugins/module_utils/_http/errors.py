# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the vendors' clients raise (private to the collection)."""

from __future__ import annotations


class HttpError(Exception):
    """A request to a vendor did not do what was asked; the message names the system, the request and the way out."""


class ApiError(HttpError):
    """The vendor answered and refused. ``status`` is the HTTP status, ``body`` the start of the answer's text."""

    def __init__(self, message: str, *, status: int, body: str) -> None:
        super().__init__(message)
        self.status = status
        self.body = body


class NetworkError(HttpError):
    """No answer. ``sent`` is False only where it is certain that the vendor never saw the request."""

    def __init__(self, message: str, *, sent: bool) -> None:
        super().__init__(message)
        self.sent = sent


class OutcomeUnknownError(HttpError):
    """A write got no clear answer: it may have been done. Look before you write again."""
