# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """The options that the vendors' modules share (see module_utils/_http/client.py)."""

    DOCUMENTATION = r"""
options:
  api_key:
    description: The API key.
    type: str
    required: true
  timeout:
    description: How long one exchange may take, from the first byte sent to the last one read, in seconds.
    type: float
    default: 10.0
  budget:
    description: How long everything together may take, in seconds. No try and no pause is begun that would end later.
    type: float
    default: 120.0
  tries:
    description:
      - How often a request is tried when the vendor does not answer, limits the rate or fails with 5xx.
      - A write that may have been done is looked up before it is tried again.
    type: int
    default: 4
  validate_certs:
    description: Whether the vendor's certificate is verified.
    type: bool
    default: true
  allow_plaintext:
    description: Whether the key may be sent unencrypted to another machine, because something else encrypts it on its way.
    type: bool
    default: false
"""

    PAGERDUTY = r"""
options:
  auth_scheme:
    description:
      - What O(api_key) is, an API key (V(token)) or an OAuth token that has scopes (V(bearer)). C(docs/access.md) of the
        collection lists the scopes that each call needs.
    type: str
    choices: [token, bearer]
    default: token
"""

    LISTED_LATE = r"""
options:
  tried_before:
    description:
      - Whether an earlier request for the same may have been carried out. Then it is looked for several times, since what was
        just written is not always listed at once, before it is written.
    type: bool
    default: false
"""
