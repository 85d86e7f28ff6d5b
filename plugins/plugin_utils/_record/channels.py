# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which channels are on, with what each needs to send (private to the collection; pure)."""

from __future__ import annotations

import re
import typing as t

Json = dict[str, t.Any]
KNOWN = ("pagerduty", "status_page", "mail")
NEEDED = {
    "pagerduty": ("token", "from", "service"),
    "status_page": ("token", "page_id"),
    "mail": ("host", "from", "to"),
}


def channels_from(wanted: t.Sequence[str], settings: t.Mapping[str, Json], *, public: bool) -> Json:
    """The channels that are on (``on``: name to settings, with ``login`` as the module's arguments) and, for those that
    were asked for and are not, why (``off``). Raises ValueError for an unknown name."""
    unknown = [name for name in wanted if name not in KNOWN]
    if unknown:
        raise ValueError(f"there is no channel {', '.join(unknown)}; there are: {', '.join(KNOWN)}")
    on: Json = {}
    off: list[str] = []
    for name in dict.fromkeys(wanted):
        missing = [f"incident_{name}_{field}" for field in NEEDED[name] if not settings[name].get(field)]
        if missing:
            off.append(f"{name} (not configured: {', '.join(missing)})")
        elif name == "status_page" and not public:
            off.append("status_page (incident_public is false)")
        else:
            on[name] = {**settings[name], "login": _LOGIN[name](settings[name])}
    return {"on": on, "off": off}


def outcome_unknown(module: str, result: Json) -> bool:
    """Whether a failed message may have arrived all the same: no clear answer after it was handed over."""
    if module == "community.general.mail":
        message = str(result.get("msg", ""))
        # A refusal has the server's code in it; what broke off after the text was handed over has not.
        return message.startswith("Failed to send mail") and not re.search(r"\(\d{3}, b", message)
    return bool(result.get("unknown"))


def _common(settings: Json) -> Json:
    return {"api_url": settings["url"], "api_key": settings["token"], "timeout": settings["timeout"],
            "tries": settings["tries"]}  # fmt: skip


_LOGIN: dict[str, t.Callable[[Json], Json]] = {
    "pagerduty": lambda settings: {**_common(settings), "from_email": settings["from"]},
    "status_page": lambda settings: {**_common(settings), "page_id": settings["page_id"]},
    "mail": lambda settings: {
        "host": settings["host"],
        "port": settings["port"],
        "username": settings["username"] or None,
        "password": settings["password"] or None,
        "secure": settings["secure"],
        "timeout": int(settings["timeout"]),
        "sender": settings["from"],
        "to": settings["to"],
    },
}
