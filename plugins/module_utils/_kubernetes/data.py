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

Json = dict[str, t.Any]
NOT_FOUND = 404
CONFLICTS = (409, 422)
LOOK_AGAIN = "nothing was changed; look again"


def written_of(one: Json) -> dict[str, str]:
    """When each key was written, at the latest: the server keeps one time for all that somebody wrote in one way."""
    written: dict[str, str] = {}
    for entry in one["metadata"].get("managedFields") or []:
        for field in (entry.get("fieldsV1") or {}).get("f:data") or {}:
            name = str(field).removeprefix("f:")
            written[name] = max(written.get(name, ""), str(entry.get("time") or ""))
    return {key: at for key, at in written.items() if key in (one.get("data") or {})}


def checked(said: str, kind: str, found: Json, uid: str | None) -> Json:
    """The object, which is the one that was meant. Raises KubernetesError where it is not."""
    meta, data = found.get("metadata"), found.get("data")
    if not isinstance(meta, dict) or not {"uid", "resourceVersion"} <= set(meta) or not isinstance(data, dict | None):
        raise KubernetesError(f"{said}: the API server's answer is no {kind}. Nothing was changed")
    if uid and meta.get("uid") != uid:
        raise KubernetesError(f"{said}: it is another {kind} than was looked at (its uid differs): {LOOK_AGAIN}")
    if found.get("immutable"):
        raise KubernetesError(f"{said}: the {kind} is immutable; a new one needs a new name. Nothing was changed")
    return found


def write_data(client: Client, path: str, found: Json, data: Json, *, dry_run: bool) -> None:
    """Only what differs, and only if nobody wrote the object in between: the server itself compares. Raises RefusedError (a
    conflict is one of ``CONFLICTS``), OutcomeUnknownError."""
    meta, now = found["metadata"], found.get("data") or {}
    patch = [{"op": "test", "path": f"/metadata/{name}", "value": meta[name]} for name in ("uid", "resourceVersion")]
    if "data" not in found:
        patch.append({"op": "add", "path": "/data", "value": {}})
    patch += [{"op": "add", "path": f"/data/{name}", "value": value} for name, value in data.items() if now.get(name) != value]
    patch += [{"op": "remove", "path": f"/data/{name}"} for name in now if name not in data]
    client.patch(path, patch, JSON_PATCH, dry_run=dry_run)
