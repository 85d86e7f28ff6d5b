# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The keys of a Secret or a ConfigMap: when each was written, and a change of some of them (private).

Sources: https://kubernetes.io/docs/reference/using-api/server-side-apply/#field-management, RFC 6902
"""

from __future__ import annotations

import typing as t

from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.client import JSON_PATCH, Client
from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.errors import KubernetesError
from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.owners import owner_of_data

Json = dict[str, t.Any]
NOT_FOUND = 404
CONFLICTS = (409, 422)
LOOK_AGAIN = "nothing was changed; look again"


def written_of(one: Json) -> dict[str, str]:
    """When each key was written, at the latest: the server keeps one time for all that somebody wrote in one way."""
    return {
        key: at for key in one.get("data") or {}
        if (at := _newest([entry for entry in _entries(one) if f"f:{key}" in _data_of(entry)]))
    }  # fmt: skip


def _newest(entries: t.Sequence[Json]) -> str | None:
    """The newest time of some entries, None where one has none; empty without any."""
    times = [str(entry.get("time") or "") for entry in entries]
    return max(times, default="") if all(times) else None


def _entries(one: Json) -> list[Json]:
    return [entry for entry in one["metadata"].get("managedFields") or [] if isinstance(entry, dict)]


def is_written_alone(one: Json, key: str) -> bool:
    """Whether the books show that a key was written by itself: one owns it, and nothing else. An entry's time moves with anything
    that is written in the same way, be it a label, or another key that was taken away; of two owners the later one may have
    written what was there already."""
    entries = [entry for entry in _entries(one) if f"f:{key}" in _data_of(entry)]
    return len(entries) == 1 and all(
        set(entry["fieldsV1"]) <= {"f:data"} and set(_data_of(entry)) <= {".", f"f:{key}"} for entry in entries
    )


def written_beside(one: Json, key: str) -> str | None:
    """When anything else of an object's data was written last; empty where nothing was, None where that is not known."""
    kinds = {"f:data", "f:binaryData"}
    others = [one for one in _entries(one) if f"f:{key}" not in _data_of(one) and kinds & set(one.get("fieldsV1") or {})]
    return _newest(others)


def last_writers(one: Json, key: str) -> set[str]:
    """Who owns a key, by the server's books."""
    return {str(entry.get("manager")) for entry in _entries(one) if f"f:{key}" in _data_of(entry)}


def _data_of(entry: Json) -> Json:
    found = (entry.get("fieldsV1") or {}).get("f:data")
    return found if isinstance(found, dict) else {}


def checked(said: str, kind: str, found: Json, uid: str | None) -> Json:
    """The object, which is the one that was meant. Raises KubernetesError where it is not, or must not be written."""
    meta, data = found.get("metadata"), found.get("data")
    if not isinstance(meta, dict) or not {"uid", "resourceVersion"} <= set(meta) or not isinstance(data, dict | None):
        raise KubernetesError(f"{said}: the API server's answer is no {kind}. Nothing was changed")
    if uid and meta.get("uid") != uid:
        raise KubernetesError(f"{said}: it is another {kind} than was looked at (its uid differs): {LOOK_AGAIN}")
    owner = owner_of_data(found, kind.lower())
    if owner:
        raise KubernetesError(
            f"{said} is written by {owner['tool']} ({owner['name']}), which would write it back: change it there "
            f"({owner['suspend']}). Nothing was changed"
        )
    if found.get("immutable"):
        raise KubernetesError(f"{said}: the {kind} is immutable; a new one needs a new name. Nothing was changed")
    return found


def write_data(client: Client, path: str, found: Json, data: Json, *, dry_run: bool) -> Json:
    """Only what differs, and only if nobody wrote the object in between: the server itself compares. Raises RefusedError (a
    conflict is one of ``CONFLICTS``), OutcomeUnknownError. Returns the object as it is then."""
    meta, now = found["metadata"], found.get("data") or {}
    patch = [{"op": "test", "path": f"/metadata/{name}", "value": meta[name]} for name in ("uid", "resourceVersion")]
    if "data" not in found:
        patch.append({"op": "add", "path": "/data", "value": {}})
    patch += [{"op": "add", "path": f"/data/{name}", "value": value} for name, value in data.items() if now.get(name) != value]
    patch += [{"op": "remove", "path": f"/data/{name}"} for name in now if name not in data]
    return client.patch(path, patch, JSON_PATCH, dry_run=dry_run)
