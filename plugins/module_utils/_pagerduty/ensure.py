# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bringing a PagerDuty incident to a wanted state: look first, adopt what is there (private to the collection)."""

from __future__ import annotations

import dataclasses

from ansible_collections.sre.runbooks.plugins.module_utils._http.client import Json
from ansible_collections.sre.runbooks.plugins.module_utils._http.errors import ApiError, HttpError, NotThereError
from ansible_collections.sre.runbooks.plugins.module_utils._pagerduty.api import Incident, PagerDuty

# In check mode: the incident that an earlier task of the same check would have created. Nothing is read for it.
PLANNED = "{id}"
ALREADY_OPEN = "matching dedup key already exists"


@dataclasses.dataclass(frozen=True)
class Wanted:
    """The incident as it should be. ``title``, ``body`` and ``escalation_policy`` count only where it is created.

    ``tried_before``: an earlier request for the same may have been carried out and not be listed yet.
    """

    state: str
    incident_key: str | None = None
    incident_id: str | None = None
    service: str | None = None
    title: str | None = None
    urgency: str | None = None
    priority: str | None = None
    escalation_policy: str | None = None
    body: str | None = None
    note: str | None = None
    resolution: str | None = None
    tried_before: bool = False


@dataclasses.dataclass(frozen=True)
class Result:
    """What was there, what is there now, and whether it was taken over from somebody else's alert."""

    before: Incident | None
    after: Incident | None
    adopted: bool


def ensure(api: PagerDuty, wanted: Wanted) -> Result:
    """Creates, changes or resolves, only where reality differs. Raises HttpError."""
    before = _find(api, wanted)
    if before is None:
        if wanted.state in ("resolved", "present"):
            return Result(None, None, adopted=False)
        after, adopted = _create(api, wanted)
        if wanted.note and (after is not None or api.client.check_mode):
            _note(api, after.id if after else PLANNED, wanted, is_new=not adopted)
        return Result(None, after, adopted)
    # The note comes first: what is said about the end belongs before the end.
    if wanted.note:
        _note(api, before.id, wanted, is_new=before.id == PLANNED)
    return Result(before, _change(api, before, wanted), adopted=True)


def _find(api: PagerDuty, wanted: Wanted) -> Incident | None:
    if wanted.incident_id == PLANNED and api.client.check_mode:
        status = "acknowledged" if wanted.state == "acknowledged" else "triggered"
        return Incident(PLANNED, 0, wanted.incident_key or "", "", status, wanted.urgency or "", "", None, "")
    if wanted.incident_id:
        return api.get(wanted.incident_id)
    found = api.open_by_key(wanted.incident_key or "")
    if found is None and wanted.tried_before:
        return api.client.seen(lambda: api.open_by_key(wanted.incident_key or ""))
    return found


def _create(api: PagerDuty, wanted: Wanted) -> tuple[Incident | None, bool]:
    if not (wanted.service and wanted.title):
        raise HttpError("PagerDuty: no open incident was found, and service and title are needed to create one")
    incident: Json = {"title": wanted.title, "service": {"type": "service_reference"}}
    incident["service"]["id"] = api.identify("services", wanted.service)
    if wanted.incident_key:
        incident["incident_key"] = wanted.incident_key
    if wanted.urgency:
        incident["urgency"] = wanted.urgency
    if wanted.body:
        incident["body"] = {"type": "incident_body", "details": wanted.body}
    if wanted.priority and (priority := _priority(api, wanted.priority)):
        incident["priority"] = {"type": "priority_reference", "id": priority}
    if wanted.escalation_policy:
        policy = api.identify("escalation_policies", wanted.escalation_policy)
        incident["escalation_policy"] = {"type": "escalation_policy_reference", "id": policy}
    try:
        created = api.create(incident, wanted.incident_key)
    except ApiError as error:
        # Somebody else was quicker between our look and our write: theirs is the incident.
        if ALREADY_OPEN not in error.body or not wanted.incident_key:
            raise
        api.client.sent.pop()
        return api.client.seen(lambda: api.open_by_key(wanted.incident_key or "")), True
    return created, False


def _change(api: PagerDuty, before: Incident, wanted: Wanted) -> Incident:
    changes = _differences(api, before, wanted)
    if not changes:
        return before
    body = dict(changes)
    if changes.get("status") == "resolved" and wanted.resolution:
        body["resolution"] = wanted.resolution

    def done(current: Incident) -> bool:
        return not _differences(api, current, wanted)

    after = api.update(before.id, body, done)
    return after or dataclasses.replace(before, status=changes.get("status", before.status))


def _differences(api: PagerDuty, current: Incident, wanted: Wanted) -> Json:
    """What has to be changed. The title stays: an adopted incident keeps the words of the alert that opened it."""
    changes: Json = {}
    if _status_differs(current.status, wanted.state):
        changes["status"] = wanted.state
    if wanted.urgency and wanted.urgency != current.urgency:
        changes["urgency"] = wanted.urgency
    if wanted.priority:
        identity = _priority(api, wanted.priority)
        if identity and identity != current.priority_id:
            changes["priority"] = {"type": "priority_reference", "id": identity}
    return changes


def _priority(api: PagerDuty, wanted: str) -> str | None:
    """The id of a priority; None where the account has none of that name: nobody is left unpaged for that."""
    try:
        return api.identify("priorities", wanted)
    except NotThereError:
        return None


def _status_differs(current: str, wanted: str) -> bool:
    """An acknowledged incident is open, so asking for ``triggered`` leaves it alone; only a resolved one is reopened. With
    ``present`` it stays as it is: a note must page nobody."""
    if wanted == "present":
        return False
    if wanted == "triggered":
        return current == "resolved"
    return current != wanted


def _note(api: PagerDuty, identity: str, wanted: Wanted, *, is_new: bool) -> None:
    note = wanted.note or ""
    if not is_new and api.has_note(identity, note):
        return
    if not is_new and wanted.tried_before and api.client.seen(lambda: api.has_note(identity, note) or None):
        return
    api.add_note(identity, note)
