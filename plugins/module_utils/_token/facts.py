# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The shapes of what token_check_info tells, for those who judge it (private to the collection; pure)."""

from __future__ import annotations

import typing as t

Kind = t.Literal["token", "none", "garbage", "unsigned", "forged"]


class Attempt(t.TypedDict):
    """Requests with one kind of token. ``statuses``: how often which HTTP status came; ``failures``: why none came, each with how
    often."""

    kind: Kind
    requests: int
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
    """The names of an issuer's public keys, or why they are not known (``refusal``)."""

    url: str
    kids: list[str]
    refusal: str | None


class Checked(t.TypedDict):
    """One URL tried with good and false tokens. ``claims``: None without a token that says any. ``clock``: by how many seconds
    the service's clock is ahead of ours (its Date header has whole seconds), None where it told none. ``now``: our clock."""

    url: str
    attempts: list[Attempt]
    claims: Claims | None
    clock: float | None
    keys: Keys | None
    now: float
