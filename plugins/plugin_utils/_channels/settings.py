# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The channels that there are, and which of them are on (private to the collection; pure)."""

from __future__ import annotations

import typing as t

from ansible_collections.sre.runbooks.plugins.plugin_utils._channels import mail, pagerduty, status_page
from ansible_collections.sre.runbooks.plugins.plugin_utils._channels.channel import Channel
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.errors import RecordError
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.inputs import plain

Json = dict[str, t.Any]
CHANNELS: t.Mapping[str, Channel] = {one.CHANNEL.name: one.CHANNEL for one in (pagerduty, status_page, mail)}
# Which modules speak to which channel.
MODULES = {name: channel.modules for name, channel in CHANNELS.items()}


def channels_from(wanted: t.Sequence[str], settings: t.Mapping[str, Json], *, public: bool) -> Json:
    """The channels that are on (``on``: name to settings, with ``login`` as the module's arguments) and, for those that
    were asked for and are not, why (``off``). Raises RecordError for an unknown name."""
    if not isinstance(wanted, (list, tuple)):
        raise RecordError(
            f"incident_channels is a list of names ({', '.join(CHANNELS)}), not {plain(wanted, 80)!r}: "
            """-e '{"incident_channels": ["pagerduty"]}'"""
        )
    unknown = [name for name in wanted if name not in CHANNELS]
    if unknown:
        raise RecordError(f"there is no channel {', '.join(map(str, unknown))}; there are: {', '.join(CHANNELS)}")
    on: Json = {}
    off: list[str] = []
    for name in dict.fromkeys(wanted):
        channel = CHANNELS[name]
        missing = [
            f"incident_{name}_{fields[0]}" for fields in map(_several, channel.needed) if not any(map(settings[name].get, fields))
        ]
        if missing:
            off.append(f"{name} (not configured: {', '.join(missing)})")
        elif name == status_page.NAME and not public:
            off.append("status_page (incident_public is false)")
        else:
            lists = {field: _names(value) for field, value in settings[name].items() if field in channel.lists}
            told = {**settings[name], **lists}
            on[name] = {**told, "login": channel.login(told)}
    return {"on": on, "off": off}


def narrowed(on: t.Mapping[str, Json], disclosure: str) -> tuple[dict[str, Json], list[str]]:
    """Those of the channels that may be told of an incident of this disclosure, and why the others are off."""
    chosen = {name: CHANNELS[name].narrowed(settings, disclosure) for name, settings in on.items()}
    off = [f"{name} ({why})" for name, why in chosen.items() if isinstance(why, str)]
    return {name: settings for name, settings in chosen.items() if not isinstance(settings, str)}, off


def _several(fields: str | tuple[str, ...]) -> tuple[str, ...]:
    return (fields,) if isinstance(fields, str) else fields


def _names(value: object) -> list[str]:
    """A list of names, also where one text was given (``-e incident_mail_to=a@example.org,b@example.org``)."""
    parts = value if isinstance(value, (list, tuple)) else str(value or "").split(",")
    return [str(part).strip() for part in parts if str(part).strip()]
