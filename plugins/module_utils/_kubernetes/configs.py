# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One key of a ConfigMap: how it stands, and another value in its place (private).

Source: https://kubernetes.io/docs/reference/kubernetes-api/config-and-storage-resources/config-map-v1/
"""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.client import Client
from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.data import (
    CONFLICTS,
    LOOK_AGAIN,
    NOT_FOUND,
    checked,
    write_data,
    written_of,
)
from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.errors import KubernetesError, RefusedError
from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.facts import Config, Feature
from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.owners import owner_of_config
from ansible_collections.sre.runbooks.plugins.module_utils._logs.lines import without_secrets

Json = dict[str, t.Any]
# A switch is short; what is longer is a document, and stays where it is.
LONGEST_VALUE = 100


def path_of(namespace: str, name: str) -> str:
    return f"/api/v1/namespaces/{namespace}/configmaps/{name}"


def look_at_config(client: Client, namespace: str, feature: Feature) -> Config:
    """How a feature's key stands. Raises KubernetesError where it cannot be read; a ConfigMap that is not there is an answer."""
    try:
        return config_of(feature, client.get(path_of(namespace, feature["configmap"])))
    except RefusedError as error:
        if error.status == NOT_FOUND:
            return {**feature, "uid": "", "immutable": False, "value": None, "is_shown": True, "written": "", "beside": 0,
                    "owner": None}  # fmt: skip
        raise


def config_of(feature: Feature, one: Json) -> Config:
    """The key's value, where it is short and no secret, and when it was written, as the server's own books say."""
    key, data, written = feature["key"], one.get("data") or {}, written_of(one)
    value, at = data.get(key), written.get(key, "")
    return {
        **feature,
        "uid": one["metadata"]["uid"],
        "immutable": bool(one.get("immutable")),
        "value": value if is_plain(value) else None,
        "is_shown": key not in data or is_plain(value),
        "written": at,
        "beside": sum(other == at for other in written.values()) - 1 if at else 0,
        "owner": owner_of_config(one),
    }


def is_plain(value: t.Any) -> bool:
    """Whether a value may stand on a screen and in the record: short, one line, and nothing that looks like a secret."""
    return isinstance(value, str) and len(value) <= LONGEST_VALUE and value.isprintable() and without_secrets(value) == value


@dataclasses.dataclass(frozen=True)
class ConfigKey:
    """One key of the ConfigMap that was looked at."""

    namespace: str
    configmap: str
    key: str
    uid: str | None = None

    @property
    def path(self) -> str:
        return path_of(self.namespace, self.configmap)

    @property
    def said(self) -> str:
        return f"the key {self.key} of the ConfigMap {self.namespace}/{self.configmap}"


class ConfigWriter:
    """Puts ``value`` where ``was`` is. ``made``: the uid of what may have been written."""

    def __init__(self, client: Client, key: ConfigKey, value: str, was: str) -> None:
        self._client, self._key, self._value, self._was = client, key, value, was
        self.made: Json = {}

    def write(self, *, dry_run: bool) -> str:
        """Returns what was done, empty where the value is there already. Raises KubernetesError, having changed nothing, where it
        is not the one that was looked at, or another tool keeps it."""
        key = self._key
        found = checked(key.said, "ConfigMap", self._client.get(key.path), key.uid)
        owner, data = owner_of_config(found), found.get("data") or {}
        if owner:
            raise KubernetesError(
                f"{key.said} is written by {owner['tool']} ({owner['name']}), which would write it back: change it there "
                f"({owner['suspend']}). Nothing was changed"
            )
        if data.get(key.key) == self._value:
            return ""
        if data.get(key.key) != self._was:
            raise KubernetesError(f"{key.said} does not hold {self._was!r}: {LOOK_AGAIN}")
        self.made.update(uid=found["metadata"]["uid"])
        try:
            write_data(self._client, key.path, found, {**data, key.key: self._value}, dry_run=dry_run)
        except RefusedError as error:
            if error.status in CONFLICTS:
                raise KubernetesError(f"{key.said} was changed by somebody else in between: {LOOK_AGAIN}") from None
            raise
        return f"put {self._value!r} into {key.said}; it was {self._was!r}"
