# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bringing an incident on a status page to a wanted state: look first, post once (private to the collection)."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.sre.runbooks.plugins.module_utils._http.client import Json
from ansible_collections.sre.runbooks.plugins.module_utils._http.errors import HttpError
from ansible_collections.sre.runbooks.plugins.module_utils._statuspage.api import MARKER, Incident, Statuspage

# In check mode: the incident that an earlier task of the same check would have created. Nothing is read for it.
PLANNED = "{id}"


@dataclasses.dataclass(frozen=True)
class Wanted:
    """The incident as it should be. ``update_key`` names this update, so that it is posted once whatever its words.

    ``tried_before``: an earlier request for the same may have been carried out and not be listed yet.
    """

    key: str
    status: str
    incident_id: str | None = None
    name: str | None = None
    body: str | None = None
    impact: str | None = None
    update_key: str | None = None
    components: t.Mapping[str, str] = dataclasses.field(default_factory=dict)
    deliver_notifications: bool = True
    tried_before: bool = False


@dataclasses.dataclass(frozen=True)
class Result:
    """What was there, what is there now, and what was left out of it because the page does not have it."""

    before: Incident | None
    after: Incident | None
    left_out: str = ""


def ensure(page: Statuspage, wanted: Wanted) -> Result:
    """Creates or updates, only where reality differs. Raises HttpError."""
    before = _find(page, wanted)
    if before is None and wanted.status == "resolved":
        return Result(None, None)
    if before is not None and not wanted.incident_id and wanted.status == "investigating":
        # Another controller, or a record that is lost, has told it already: to begin again would look like a second incident.
        return Result(before, before)
    components, left_out = page.identify(wanted.components) if wanted.components else ({}, "")
    if before is not None and _was_done(page, before, wanted, components):
        return Result(before, before, left_out)
    if before is not None:
        return _updated(page, before, wanted, components, left_out)
    if not wanted.name:
        raise HttpError("Statuspage: there is no open incident of this key, and a name is needed to create one")
    listed = page.client.seen(lambda: page.by_key(wanted.key, resolved=False)) if wanted.tried_before else None
    if listed is not None and is_done(listed, wanted, components):
        return Result(listed, listed, left_out)
    if listed is not None:
        return _updated(page, listed, wanted, components, left_out)
    body = _body(wanted, components)
    return Result(None, page.create({"name": wanted.name, **body}, wanted.key), left_out)


def _was_done(page: Statuspage, before: Incident, wanted: Wanted, components: t.Mapping[str, str]) -> bool:
    """Whether this update has been posted; one that was perhaps sent is looked for several times."""
    if is_done(before, wanted, components):
        return True
    if not wanted.tried_before or wanted.update_key is None:
        return False
    return page.client.seen(lambda: is_done(page.get(before.id), wanted, components) or None) is not None


def _updated(page: Statuspage, before: Incident, wanted: Wanted, components: t.Mapping[str, str], left_out: str) -> Result:
    body = _body(wanted, components)
    after = page.update(before.id, body, lambda current: is_done(current, wanted, components))
    return Result(before, after or dataclasses.replace(before, status=wanted.status), left_out)


def _find(page: Statuspage, wanted: Wanted) -> Incident | None:
    if wanted.incident_id == PLANNED and page.client.check_mode:
        return Incident(PLANNED, "", "", None, wanted.key, None, None, {}, "")
    if wanted.incident_id:
        return page.get(wanted.incident_id)
    found = page.by_key(wanted.key, resolved=False)
    if found is None and wanted.status == "resolved":
        found = page.by_key(wanted.key, resolved=True)
    return found


def is_done(current: Incident, wanted: Wanted, components: t.Mapping[str, str]) -> bool:
    """Whether this update has been posted: by its key where it has one, else by its status and words."""
    if wanted.update_key is not None:
        return current.update_key == wanted.update_key
    states = all(current.components.get(identity) == status for identity, status in components.items())
    words = wanted.body is None or wanted.body == current.last_body
    impact = wanted.impact is None or wanted.impact == current.impact
    return current.status == wanted.status and states and words and impact


def _body(wanted: Wanted, components: t.Mapping[str, str]) -> Json:
    marker = {"incident": wanted.key}
    if wanted.update_key is not None:
        marker["update"] = wanted.update_key
    body: Json = {
        "status": wanted.status,
        "metadata": {MARKER: marker},
        "deliver_notifications": wanted.deliver_notifications,
    }
    if wanted.body is not None:
        body["body"] = wanted.body
    if wanted.impact is not None:
        body["impact_override"] = wanted.impact
    if components:
        body["components"] = dict(components)
    return body
