# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the status page module does, with its options (private to the collection)."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.sre.runbooks.plugins.module_utils._http.call import Call, Json, Params
from ansible_collections.sre.runbooks.plugins.module_utils._http.client import Client, http_argument_spec
from ansible_collections.sre.runbooks.plugins.module_utils._http.errors import HttpError
from ansible_collections.sre.runbooks.plugins.module_utils._spec import Spec
from ansible_collections.sre.runbooks.plugins.module_utils._statuspage.api import URL, Incident, Statuspage, settings
from ansible_collections.sre.runbooks.plugins.module_utils._statuspage.ensure import Wanted, ensure

STATES = ("operational", "degraded_performance", "partial_outage", "major_outage", "under_maintenance")


def problems(params: Params) -> t.Iterator[str]:
    """What the vendor would refuse, told before anything is sent."""
    for name, longest in (("name", 255), ("body", 25000)):
        if len(params[name] or "") > longest:
            yield f"{name} has {len(params[name])} characters, at most {longest} are allowed"
    for component, state in params["components"].items():
        if state not in STATES:
            yield f"component {component} cannot be {state!r}; it can be {', '.join(STATES)}"


def _data(incident: Incident | None) -> Json | None:
    return dataclasses.asdict(incident) if incident else None


def _incident(params: Params, client: Client) -> Json:
    for problem in problems(params):
        raise HttpError(f"Statuspage: {problem}")
    wanted = Wanted(**{field.name: params[field.name] for field in dataclasses.fields(Wanted)})
    result = ensure(Statuspage(client, params["page_id"]), wanted)
    return {
        "incident": _data(result.after),
        "left_out": result.left_out,
        "diff": {"before": _data(result.before) or {}, "after": _data(result.after) or {}},
    }


INCIDENT_SPEC: Spec = {
    **http_argument_spec(URL),
    "provider": {"type": "str", "default": "atlassian", "choices": ["atlassian"]},
    "page_id": {"type": "str", "required": True},
    "key": {"type": "str", "required": True, "no_log": False},
    "update_key": {"type": "str", "no_log": False},
    **{name: {"type": "str"} for name in ("incident_id", "name", "body")},
    "status": {"type": "str", "required": True, "choices": ["investigating", "identified", "monitoring", "resolved"]},
    "impact": {"type": "str", "choices": ["none", "minor", "major", "critical"]},
    "components": {"type": "dict", "default": {}},
    "deliver_notifications": {"type": "bool", "default": True},
    "tried_before": {"type": "bool", "default": False},
}
INCIDENT = Call(INCIDENT_SPEC, settings, _incident)
