# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the record's code raises (private to the collection)."""

from __future__ import annotations


class RecordError(Exception):
    """The run cannot go on as asked; the message is one sentence that names the way out."""


class LockHeldError(RecordError):
    """Another run works on the incident; ``looks``: it will look at its systems before it ends."""

    def __init__(self, message: str, *, looks: bool = True) -> None:
        super().__init__(message)
        self.looks = looks
