# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One key of a ConfigMap: how it stands, and another value in its place (private).

Source: https://kubernetes.io/docs/reference/kubernetes-api/config-and-storage-resources/config-map-v1/
"""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.client import MANAGER, Client
from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.data import (
    CONFLICTS,
    LOOK_AGAIN,
    NOT_FOUND,
    checked,
    is_written_alone,
    last_writers,
    write_data,
    written_beside,
    written_of,
)
from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.errors import KubernetesError, RefusedError
from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.facts import Config, Feature
from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.owners import owner_of_data
from ansible_collections.sre.runbooks.plugins.module_utils._logs.lines import without_secrets

Json = dict[str, t.Any]
# A switch is a short word; what is longer may be a document, or a secret, and stays where it is.
LONGEST_VALUE = 24


def path_of(namespace: str, name: str) -> str:
    return f"/api/v1/namespaces/{namespace}/configmaps/{name}"


def look_at_configs(client: Client, namespace: str, features: t.Sequence[Feature]) -> list[Config]:
    """How the keys of one ConfigMap stand. Raises KubernetesError where it cannot be read; one that is not there is an answer."""
    try:
        one = client.get(path_of(namespace, features[0]["configmap"]))
    except RefusedError as error:
        if error.status != NOT_FOUND:
            raise
        one = {"metadata": {"uid": ""}}
    return [config_of(feature, one) for feature in features]


def config_of(feature: Feature, one: Json) -> Config:
    """The key's value, where it is short and no secret, and when it was written, as the server's own books say."""
    key, data, written = feature["key"], one.get("data") or {}, written_of(one)
    value = data.get(key)
    return {
        **feature,
        "uid": one["metadata"]["uid"],
        "immutable": bool(one.get("immutable")),
        "value": value if is_switch(key, value) else None,
        "is_shown": key not in data or is_switch(key, value),
        "written": written.get(key, ""),
        "is_alone": is_written_alone(one, key),
        "beside": written_beside(one, key),
        "owner": owner_of_data(one, "configmap"),
    }


def is_switch(key: str, value: t.Any) -> bool:
    """Whether a value may stand on a screen and in the record: short, one line, and nothing that looks like a secret."""
    if not isinstance(value, str) or len(value) > LONGEST_VALUE or not value.isprintable():
        return False
    return all(without_secrets(text) == text for text in (value, f"{key}={value}"))


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


@dataclasses.dataclass(frozen=True)
class Own:
    """What this collection wrote, and when, as far as that is known (empty where its outcome was not)."""

    at: str

    def is_still_there(self, found: Json, key: str) -> bool:
        return last_writers(found, key) == {MANAGER} and self.at in ("", written_of(found).get(key))


class ConfigWriter:
    """Puts ``value`` where ``was`` is; with ``own`` only where that is what this collection wrote. ``made``: the uid of what may
    have been written, and when it was. ``ours_since``: since when the value is there, where this collection wrote it."""

    def __init__(self, client: Client, key: ConfigKey, value: str, was: str, own: Own | None = None) -> None:
        self._client, self._key, self._value, self._was, self._own = client, key, value, was, own
        self.made: Json = {}
        self.ours_since = ""

    def write(self, *, dry_run: bool) -> str:
        """Returns what was done, empty where the value is there already. Raises KubernetesError, having changed nothing, where it
        is not the one that was looked at, or another tool keeps it."""
        key = self._key
        found = checked(key.said, "ConfigMap", self._client.get(key.path), key.uid)
        data = found.get("data") or {}
        if data.get(key.key) == self._value:
            self.ours_since = written_of(found).get(key.key, "") if last_writers(found, key.key) == {MANAGER} else ""
            return ""
        if data.get(key.key) != self._was:
            raise KubernetesError(f"{key.said} does not hold {self._was!r}: {LOOK_AGAIN}")
        if self._own and not self._own.is_still_there(found, key.key):
            raise KubernetesError(
                f"{key.said} was written by somebody else since: what they put there stays. Nothing was changed"
            )
        self.made.update(uid=found["metadata"]["uid"])
        try:
            after = write_data(self._client, key.path, found, {**data, key.key: self._value}, dry_run=dry_run)
            self.made.update(at=written_of(after).get(key.key, ""))
        except RefusedError as error:
            if error.status in CONFLICTS:
                raise KubernetesError(f"{key.said} was changed by somebody else in between: {LOOK_AGAIN}") from None
            raise
        return f"put {self._value!r} into {key.said}; it was {self._was!r}"
