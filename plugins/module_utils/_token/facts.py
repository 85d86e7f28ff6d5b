# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The shapes of what token_check_info tells, for those who judge it (private to the collection; pure)."""

from __future__ import annotations

import typing as t

# The good token, false ones, and the good one again after them.
Kind = t.Literal["token", "none", "garbage", "unsigned", "unsigned_other", "stripped", "forged", "unknown_key", "again"]


class Attempt(t.TypedDict):
    """Requests with one kind of token. ``accepted``: how many were answered with 2xx and, where one is asked for, the right body;
    ``statuses``: how often which HTTP status came; ``failures``: why none came, each with how often."""

    kind: Kind
    requests: int
    accepted: int
    statuses: dict[str, int]
    failures: dict[str, int]


class Claims(t.TypedDict):
    """What a token says of itself, unverified; times in seconds since 1970. ``kid`` names the key that signed it."""

    kid: str | None
    algorithm: str | None
    issuer: str | None
    issued: float | None
    not_before: float | None
    expires: float | None


class Keys(t.TypedDict):
    """Whether an issuer publishes a key of the name that the token says, of a kind that fits its algorithm (``has``: None where
    it names none), or why that is not known (``refusal``); how many of its keys have names, and how many have none; by how many
    seconds the issuer's clock is ahead of ours, None where it told none."""

    issuer: str
    url: str
    has: bool | None
    named: int
    unnamed: int
    refusal: str | None
    clock: float | None


class Clocks(t.TypedDict):
    """By how many seconds the clocks of those who answered are ahead of ours (Date headers have whole seconds): the least, the
    most, and the one furthest from ours among those who refused the good token."""

    least: float
    most: float
    refusing: float | None


class Checked(t.TypedDict):
    """One URL tried with good and false tokens. ``claims``: None without a token that says any. ``clocks``: None where no answer
    told one. ``now``: our clock, in seconds since 1970. ``body_asked``: whether the body says what accepted is."""

    url: str
    attempts: list[Attempt]
    claims: Claims | None
    clocks: Clocks | None
    keys: Keys | None
    now: float
    body_asked: bool
