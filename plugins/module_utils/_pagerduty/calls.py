# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the PagerDuty modules do, with their options (private to the collection)."""

from __future__ import annotations

import dataclasses

from ansible_collections.sre.runbooks.plugins.module_utils._http.call import Call, Json, Params
from ansible_collections.sre.runbooks.plugins.module_utils._http.client import Client, http_argument_spec
from ansible_collections.sre.runbooks.plugins.module_utils._http.errors import HttpError
from ansible_collections.sre.runbooks.plugins.module_utils._pagerduty.api import (
    AUTH_SCHEMES,
    URL,
    Incident,
    PagerDuty,
    settings,
)
from ansible_collections.sre.runbooks.plugins.module_utils._pagerduty.ensure import PLANNED, Wanted, ensure
from ansible_collections.sre.runbooks.plugins.module_utils._spec import Spec


def _data(incident: Incident | None) -> Json | None:
    return dataclasses.asdict(incident) if incident else None


def _incident(params: Params, client: Client) -> Json:
    result = ensure(PagerDuty(client), Wanted(**{field.name: params[field.name] for field in dataclasses.fields(Wanted)}))
    return {
        "incident": _data(result.after),
        "adopted": result.adopted,
        "diff": {"before": _data(result.before) or {}, "after": _data(result.after) or {}},
    }


def _oncalls(params: Params, client: Client) -> Json:
    api = PagerDuty(client)
    found = [entry for policy in params["escalation_policies"] for entry in api.on_call(policy)]
    return {"oncalls": [dataclasses.asdict(entry) for entry in found]}


def _notice(params: Params, client: Client) -> Json:
    api = PagerDuty(client)
    identity = params["incident_id"] or _by_key(api, params["incident_key"])
    if params["responders"]:
        requester = api.identify("users", params["from_email"])
        targets = [api.target(wanted) for wanted in params["responders"]]
        api.request_responders(identity, requester, params["responder_message"], targets)
    if params["status_update"]:
        api.post_status_update(identity, params["status_update"])
    # Who has acknowledged it meanwhile is at work.
    if params["escalation_level"] and (identity == PLANNED or api.get(identity).status == "triggered"):
        api.escalate(identity, params["escalation_level"])
    return {}


def _by_key(api: PagerDuty, key: str) -> str:
    """The id of the open incident of a key. One that has just been created is not always listed at once."""
    found = api.open_by_key(key) or (None if api.client.check_mode else api.client.seen(lambda: api.open_by_key(key)))
    if found is None and not api.client.check_mode:
        raise HttpError(f"PagerDuty: there is no open incident of the key {key}")
    return found.id if found else PLANNED


_COMMON: Spec = {
    **http_argument_spec(URL),
    "auth_scheme": {"type": "str", "default": "token", "choices": list(AUTH_SCHEMES)},
}
INCIDENT_SPEC: Spec = {
    **_COMMON,
    "from_email": {"type": "str", "required": True},
    "state": {"type": "str", "default": "triggered", "choices": ["triggered", "acknowledged", "resolved", "present"]},
    "incident_key": {"type": "str", "no_log": False},
    "urgency": {"type": "str", "choices": ["high", "low"]},
    **{name: {"type": "str"} for name in ("incident_id", "service", "title", "priority", "escalation_policy", "body")},
    **{name: {"type": "str"} for name in ("note", "resolution")},
    "tried_before": {"type": "bool", "default": False},
}
INCIDENT = Call(INCIDENT_SPEC, settings, _incident, required_one_of=[("incident_key", "incident_id")])
ONCALL_SPEC: Spec = {
    **_COMMON,
    "escalation_policies": {"type": "list", "elements": "str", "required": True},
}
ONCALL = Call(ONCALL_SPEC, settings, _oncalls)
NOTICE_KINDS = ("responders", "status_update", "escalation_level")
NOTICE_SPEC: Spec = {
    **_COMMON,
    "from_email": {"type": "str", "required": True},
    "incident_id": {"type": "str"},
    "incident_key": {"type": "str", "no_log": False},
    "responders": {"type": "list", "elements": "str"},
    "responder_message": {"type": "str", "default": "Please join."},
    "status_update": {"type": "str"},
    "escalation_level": {"type": "int"},
}
NOTICE = Call(NOTICE_SPEC, settings, _notice, required_one_of=[NOTICE_KINDS, ("incident_id", "incident_key")])
