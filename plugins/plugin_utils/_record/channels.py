# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which channels are on, with what each needs to send (private to the collection; pure)."""

from __future__ import annotations

import typing as t

from ansible_collections.sre.runbooks.plugins.plugin_utils._record.errors import RecordError
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.inputs import plain

Json = dict[str, t.Any]
KNOWN = ("pagerduty", "status_page", "mail")
LISTS = ("to", "responders", "components")
NEEDED = {
    "pagerduty": ("token", "from", "service"),
    "status_page": ("token", "page_id"),
    "mail": ("host", "from", "to"),
}


def channels_from(wanted: t.Sequence[str], settings: t.Mapping[str, Json], *, public: bool) -> Json:
    """The channels that are on (``on``: name to settings, with ``login`` as the module's arguments) and, for those that
    were asked for and are not, why (``off``). Raises RecordError for an unknown name."""
    if not isinstance(wanted, (list, tuple)):
        raise RecordError(
            f"incident_channels is a list of names ({', '.join(KNOWN)}), not {plain(wanted, 80)!r}: "
            """-e '{"incident_channels": ["pagerduty"]}'"""
        )
    unknown = [name for name in wanted if name not in KNOWN]
    if unknown:
        raise RecordError(f"there is no channel {', '.join(map(str, unknown))}; there are: {', '.join(KNOWN)}")
    on: Json = {}
    off: list[str] = []
    for name in dict.fromkeys(wanted):
        missing = [f"incident_{name}_{field}" for field in NEEDED[name] if not settings[name].get(field)]
        if missing:
            off.append(f"{name} (not configured: {', '.join(missing)})")
        elif name == "status_page" and not public:
            off.append("status_page (incident_public is false)")
        else:
            lists = {field: _names(value) for field, value in settings[name].items() if field in LISTS}
            on[name] = {**settings[name], **lists, "login": _LOGIN[name]({**settings[name], **lists})}
    return {"on": on, "off": off}


def _names(value: object) -> list[str]:
    """A list of names, also where one text was given (``-e incident_mail_to=a@example.org,b@example.org``)."""
    parts = value if isinstance(value, (list, tuple)) else str(value or "").split(",")
    return [str(part).strip() for part in parts if str(part).strip()]


def _common(settings: Json) -> Json:
    return {"api_url": settings["url"], "api_key": settings["token"], "timeout": settings["timeout"],
            "tries": settings["tries"], "allow_plaintext": settings["allow_plaintext"], "validate_certs": True}  # fmt: skip


_LOGIN: dict[str, t.Callable[[Json], Json]] = {
    "pagerduty": lambda settings: {
        **_common(settings),
        "from_email": settings["from"],
        "auth_scheme": settings["auth_scheme"],
    },
    "status_page": lambda settings: {**_common(settings), "page_id": settings["page_id"]},
    "mail": lambda settings: {
        "host": settings["host"],
        "port": settings["port"],
        "username": settings["username"] or None,
        "password": settings["password"] or None,
        "secure": settings["secure"],
        "ca_path": settings["ca_path"] or None,
        "timeout": settings["timeout"],
        "allow_plaintext": settings["allow_plaintext"],
        "sender": settings["from"],
        "to": settings["to"],
    },
}
