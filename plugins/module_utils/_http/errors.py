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
    """No answer, or not all of it. The vendor may have seen the request."""


class UnreachedError(NetworkError):
    """No answer, and it is certain that the vendor never saw the request."""


class DownError(HttpError):
    """No try got an answer in time: the vendor, or the way to it, is down."""


class UnusableAnswerError(HttpError):
    """The vendor answered, and what it says is not what its documentation says. Nothing follows from it."""


class NotThereError(HttpError):
    """The account has nothing of the name that was given."""


class OutcomeUnknownError(HttpError):
    """A write got no clear answer: it may have been done. Look before you write again. ``down``: there was none at all."""

    def __init__(self, message: str, *, down: bool = False) -> None:
        super().__init__(message)
        self.down = down
