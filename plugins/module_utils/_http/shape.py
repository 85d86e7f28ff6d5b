# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading JSON that may be anything: what is not of the kind that it must be is said (private to the collection; pure)."""

from __future__ import annotations

import typing as t

Json = dict[str, t.Any]
LONGEST_TEXT = 65536


class ShapeError(Exception):
    """An answer is not what the vendor's documentation says; the message says where, and nothing of what came."""


def mapping(data: t.Any, name: str | None = None) -> Json:
    """An object, or the object in one of its fields. Raises ShapeError."""
    found = data if name is None else mapping(data).get(name)
    if not isinstance(found, dict):
        raise ShapeError(f"{name or 'the answer'} is no object")
    return found


def items(data: t.Any, name: str | None = None) -> list[t.Any]:
    """A list, or the list in a field of an object. Raises ShapeError."""
    found = data if name is None else mapping(data).get(name)
    if not isinstance(found, list):
        raise ShapeError(f"{name or 'the answer'} is no list")
    return found


def text(data: t.Any, name: str) -> str:
    """The text in a field of an object. Raises ShapeError.

    >>> text({"id": "P1"}, "id")
    'P1'
    """
    found = mapping(data).get(name)
    if not isinstance(found, str):
        raise ShapeError(f"{name} is no text")
    if len(found) > LONGEST_TEXT:
        raise ShapeError(f"{name} is longer than any text of its kind")
    return found


def text_or_none(data: t.Any, name: str) -> str | None:
    """The same where it may be null or missing. Raises ShapeError."""
    return None if mapping(data).get(name) is None else text(data, name)


def number(data: t.Any, name: str) -> int:
    """The whole number in a field of an object. Raises ShapeError."""
    found = mapping(data).get(name)
    if not isinstance(found, int) or isinstance(found, bool):
        raise ShapeError(f"{name} is no whole number")
    return found


def mapping_or_empty(data: t.Any, name: str) -> Json:
    """The object in a field that may be null or missing. Raises ShapeError."""
    return {} if mapping(data).get(name) is None else mapping(data, name)


def items_or_empty(data: t.Any, name: str) -> list[t.Any]:
    """The list in a field that may be null or missing. Raises ShapeError."""
    return [] if mapping(data).get(name) is None else items(data, name)
