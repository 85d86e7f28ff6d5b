# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """The options that the AWS modules share (see module_utils/_aws/account.py)."""

    DOCUMENTATION = r"""
requirements:
  - boto3 and botocore
options:
  region:
    description: The region; the profile's by default.
    type: str
  profile:
    description: The profile in AWS's own configuration. Without it and keys, what AWS's libraries find (environment, instance).
    type: str
  access_key:
    description: The id of an access key.
    type: str
  secret_key:
    description: Its secret.
    type: str
  session_token:
    description: The token that belongs to temporary keys.
    type: str
  endpoint_url:
    description: Another address of the API than AWS's own.
    type: str
  account:
    description: The number that the account must have. Of another one nothing is asked.
    type: str
  timeout:
    description: How long AWS may take for one answer, in seconds.
    type: float
    default: 5.0
"""
