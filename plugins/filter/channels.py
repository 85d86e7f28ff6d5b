# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter that tells which channels are on: a thin shell over plugin_utils/_record/channels."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleFilterError
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.channels import KNOWN, channels_from

DOCUMENTATION = r"""
name: channels
short_description: Tells which channels an incident uses
version_added: 0.1.0
author:
  - The sre.runbooks contributors (@sre-runbooks)
description:
  - From the names of channels and their settings, the ones that can be used, and for the others the reason why not.
options:
  _input:
    description: Names of channels.
    type: list
    elements: str
    required: true
  settings:
    description: The settings of every channel by its name.
    type: dict
    required: true
  public:
    description: Whether the incident may be told to the public.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Which channels are on?
  ansible.builtin.debug:
    msg: "{{ ['pagerduty'] | sre.runbooks.channels(settings=my_settings) }}"
"""

RETURN = r"""
_value:
  description:
    - RV(ignore:on) maps the usable channels to their settings, RV(ignore:off) lists the others with the reason.
  type: dict
  sample: {"on": {}, "off": ["pagerduty (not configured: incident_pagerduty_token)"]}
"""


def channels(wanted: list[str], settings: dict[str, t.Any], public: bool = False) -> dict[str, t.Any]:
    """The channels that are on and those that are off. Raises AnsibleFilterError for an unknown one."""
    if not isinstance(wanted, list):
        raise AnsibleFilterError(
            f"incident_channels is a list of names ({', '.join(KNOWN)}), not {str(wanted)!r}: "
            """-e '{"incident_channels": ["pagerduty"]}'"""
        )
    try:
        return channels_from(wanted, settings, public=public)
    except ValueError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"channels": channels}
