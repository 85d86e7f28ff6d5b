# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The shapes of what a TLS endpoint serves (private to the collection; pure)."""

from __future__ import annotations

import typing as t


class Certificate(t.TypedDict):
    """One certificate. ``names``: the DNS names and addresses that it is for; times are UTC (RFC 3339); ``serial``: hexadecimal;
    ``is_own_issuer``: whether it names itself as the one who issued it."""

    subject: str
    issuer: str
    names: list[str]
    not_before: str
    not_after: str
    serial: str
    is_own_issuer: bool


class Served(t.TypedDict):
    """What one endpoint (``host:port``) serves to those who ask for a name, the leaf first, and the ``urls`` behind it.

    ``at``: when, by the clock here. ``failure``: why there was no handshake at all, empty where there was. ``distrust``: why it
    is not trusted here, empty where it is, and ``distrust_code``, OpenSSL's number for it.
    """

    endpoint: str
    name: str
    urls: list[str]
    at: str
    failure: str
    distrust: str
    distrust_code: int
    chain: list[Certificate]
