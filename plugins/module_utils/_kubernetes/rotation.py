# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Changing a key that is well: with an overlap, in which the old one is still accepted, and its end (private to the collection).

An overlap is only as good as the application: it must accept what either key signed. Whoever else takes the Secret and is not
restarted would sign and verify with the old key alone, so that is refused.
"""

from __future__ import annotations

import base64
import email.utils
import typing as t

from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.client import Client
from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.data import written_of
from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.errors import KubernetesError
from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.pods import references_of
from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.secrets import (
    RANDOM_BYTES,
    Key,
    SecretKey,
    decoded,
    digest_of,
)
from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.times import seconds_since

Json = dict[str, t.Any]
MOST_SHOWN = 5


class Rotation:
    """Gives an application a new key in place of one that is well; by what an undo knows it, ``keys.made`` says."""

    def __init__(self, client: Client, keys: SecretKey, draw: t.Callable[[int], bytes]) -> None:
        self._client, self._keys, self._draw = client, keys, draw

    def rotate(self, key: Key, previous: str | None, workload: str | None, *, dry_run: bool) -> str:
        """Puts a new random value into the key, and the old one into ``previous``; without that the old one is dropped, and
        every session that it signed ends. Returns what was done. Raises KubernetesError, having changed nothing, where there is
        no key, where an overlap is not over yet, and where others take the Secret."""
        if previous == "":
            raise KubernetesError(
                f"{key.said}: where the application looks for the old key is not known (runbooks_k8s_auth_previous_key), and "
                "without that every session would end. Nothing was changed"
            )
        secret = self._keys.read(key)
        data = secret.get("data") or {}
        if key.name not in data:
            raise KubernetesError(f"{key.said} is not there, so there is nothing to rotate. Nothing was changed")
        if previous is not None and previous in data:
            raise KubernetesError(
                f"{key.said}: the key {previous} is there already, from a rotation that is not over: retire it first "
                "(playbooks/retire_auth_key.yml). If a run was ended before it restarted the pods: kubectl -n "
                f"{key.namespace} rollout restart deployment/{workload or 'NAME'}. Nothing was changed"
            )
        self._refuse_others(key, workload)
        value, before = base64.b64encode(self._draw(RANDOM_BYTES)), data[key.name]
        kept = digest_of(value, decoded(before)) if previous else ""
        self._keys.made.update(uid=secret["metadata"]["uid"], digest=digest_of(value), kept=kept)
        after = {**data, key.name: base64.b64encode(value).decode(), **({previous: before} if previous else {})}
        self._keys.store(key, secret, after, dry_run=dry_run)
        said = f"the one before stays in {previous} until it is retired" if previous else "the one before is gone"
        return f"put {RANDOM_BYTES} random bytes (as {len(value)} letters) into {key.said}; {said}"

    def retire(self, key: Key, seconds: float, *, dry_run: bool) -> str:
        """Takes an old key away that was put there at least so many seconds ago. Returns what was done; empty for none.
        Raises KubernetesError where it may still be needed, or nobody knows."""
        secret = self._keys.read(key)
        data = dict(secret.get("data") or {})
        if key.name not in data:
            return ""
        age = seconds_since(written_of(secret).get(key.name, ""), email.utils.parsedate_to_datetime(self._client.date))
        if age is None:
            raise KubernetesError(f"{key.said}: the server's books do not say since when it is there. Nothing was changed")
        if age < seconds:
            raise KubernetesError(
                f"{key.said} is there for {age:.0f} s, and sessions that it signed may live for {seconds:g} s: retire it in "
                f"{(seconds - age) / 60:.0f} minutes. Nothing was changed"
            )
        del data[key.name]
        self._keys.store(key, secret, data, dry_run=dry_run)
        return f"took away {key.said}, which was there for {age / 3600:.1f} h"

    def _refuse_others(self, key: Key, workload: str | None) -> None:
        """Raises KubernetesError where pods take the Secret that are not of the workload that is restarted."""
        base = f"namespaces/{key.namespace}"
        selector: Json = {}
        if workload:
            found = self._client.get(f"/apis/apps/v1/{base}/deployments/{workload}")
            selector = found["spec"]["selector"].get("matchLabels") or {}
        others = [
            one["metadata"]["name"] for one in self._client.items(f"/api/v1/{base}/pods")
            if _takes(one["spec"], key.secret) and not _is_selected(one, selector)
        ]  # fmt: skip
        if others:
            told = ", ".join(others[:MOST_SHOWN]) + (f" and {len(others) - MOST_SHOWN} more" if len(others) > MOST_SHOWN else "")
            raise KubernetesError(
                f"{key.said}: the Secret is taken by pods that would not be restarted ({told}), and would go on with the old "
                "key: rotate it by hand, all of them together. Nothing was changed"
            )


def _takes(spec: Json, secret: str) -> bool:
    """Whether a pod takes anything of a Secret, as a variable or a file."""
    volumes = spec.get("volumes") or []
    projected = [one for volume in volumes for one in (volume.get("projected") or {}).get("sources") or []]
    files = {(volume.get("secret") or {}).get("secretName") for volume in volumes}
    files |= {(one.get("secret") or {}).get("name") for one in projected}
    return secret in files or any(one["secret"] == secret for one in references_of(spec))


def _is_selected(pod: Json, selector: Json) -> bool:
    labels = pod["metadata"].get("labels") or {}
    return bool(selector) and all(labels.get(name) == value for name, value in selector.items())
