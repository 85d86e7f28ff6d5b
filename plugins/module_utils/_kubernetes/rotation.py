# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Changing a key that is well: with an overlap, in which the old one is still accepted, and its end (private to the collection).

An overlap is only as good as the application: it must accept what either key signed. Whoever else takes the Secret and is not
restarted would sign and verify with the old key alone, so that is refused.
"""

from __future__ import annotations

import base64
import dataclasses
import email.utils
import re
import typing as t

from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.client import MANAGER, Client
from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.data import written_of
from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.errors import KubernetesError
from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.pods import containers_of, is_owned
from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.secrets import (
    BEFORE,
    RANDOM_BYTES,
    Key,
    SecretKey,
    decoded,
    digest_of,
)
from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.templates import RESTARTED
from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.times import seconds_since

Json = dict[str, t.Any]
MOST_SHOWN = 5
# A pod that is over takes nothing any more.
OVER = ("Succeeded", "Failed")
# What is no random text: a key in PEM, a document.
DOCUMENT = re.compile(rb"\s*(?:-----BEGIN|[{\[<])")
NOTHING = "Nothing was changed"


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is rotated: the ``key``, the one in which the application looks for the old value (``previous``), the Deployment that
    is restarted, how long a value has to be, in bytes, and whether any random text will do."""

    key: Key
    previous: str
    workload: str
    bytes_min: int = 32
    any_text: bool = False

    @property
    def restart(self) -> str:
        return f"kubectl -n {self.key.namespace} rollout restart deployment/{self.workload}"


class Rotation:
    """Gives an application a new key in place of one that is well; by what an undo knows it, ``keys.made`` says. ``ours_since``:
    since when an old key is gone that this collection took away, as far as the books tell."""

    def __init__(self, client: Client, keys: SecretKey, draw: t.Callable[[int], bytes]) -> None:
        self._client, self._keys, self._draw = client, keys, draw
        self.ours_since = ""

    def rotate(self, plan: Plan, *, overlap: bool, dry_run: bool) -> str:
        """Puts a new random value into the key, and the old one into ``previous``; without ``overlap`` the old one is dropped,
        with all that was kept before, and every session ends. Returns what was done. Raises KubernetesError, having changed
        nothing, where the value is no random text, an overlap is not over or would be none, and where others take the Secret."""
        key, previous = plan.key, plan.previous
        secret = self._read(plan)
        data = secret.get("data") or {}
        self._refuse(plan, data, overlap=overlap)
        value, before = base64.b64encode(self._draw(RANDOM_BYTES)), data[key.name]
        kept = digest_of(value, decoded(before)) if overlap else ""
        self._keys.made.update(uid=secret["metadata"]["uid"], digest=digest_of(value), kept=kept)
        rest = {name: one for name, one in data.items() if overlap or name not in (previous, key.name + BEFORE)}
        after = {**rest, key.name: base64.b64encode(value).decode(), **({previous: before} if overlap else {})}
        self._keys.store(key, secret, after, dry_run=dry_run)
        gone = sorted(set(data) - set(after))
        said = f"the one before stays in {previous} until it is retired" if overlap else "the one before is gone"
        told = f", and so is what was in {', '.join(gone)}" if gone else ""
        return f"put {RANDOM_BYTES} random bytes (as {len(value)} letters) into {key.said}; {said}{told}"

    def retire(self, plan: Plan, seconds: float, *, dry_run: bool) -> str:
        """Takes the old key away, when nothing that it signed can be good any more: so many seconds after it was put there and
        the Deployment was restarted last. Returns what was done; empty where there is none. Raises KubernetesError where it may
        still be needed, or nobody knows."""
        if not 0 < seconds < float("inf"):
            raise KubernetesError(f"how long a session may live is a number of seconds above 0, not {seconds!r}. {NOTHING}")
        secret = self._read(plan)
        data = dict(secret.get("data") or {})
        if plan.previous not in data:
            self.ours_since = _written_by_us(secret)
            return ""
        deployment, since = self._deployment(plan), written_of(secret).get(plan.previous, "")
        template = deployment["spec"]["template"]
        self._refuse_others(plan, deployment, since)
        self._refuse_needed(plan, template)
        restarted = str(((template.get("metadata") or {}).get("annotations") or {}).get(RESTARTED) or "")
        now = email.utils.parsedate_to_datetime(self._client.date)
        ages = [seconds_since(one, now) for one in (since, restarted)]
        if None in ages:
            raise KubernetesError(
                f"{plan.key.said}: since when {plan.previous} is there, or when its pods were restarted, is not told. {NOTHING}"
            )
        age = min(one for one in ages if one is not None)
        if age < seconds:
            raise KubernetesError(
                f"{plan.key.said}: pods signed with {plan.previous} until {age:.0f} s ago, and such sessions may live for "
                f"{seconds:g} s: retire it in {(seconds - age) / 60:.0f} minutes. {NOTHING}"
            )
        del data[plan.previous]
        self._keys.store(plan.key, secret, data, dry_run=dry_run)
        return f"took away {plan.previous}, of which nothing was signed for {age / 3600:.1f} h"

    def _read(self, plan: Plan) -> Json:
        if not plan.previous or plan.previous == plan.key.name:
            raise KubernetesError(
                f"{plan.key.said}: in which other key the application looks for the old value is not known "
                f"(runbooks_k8s_auth_previous_key). {NOTHING}"
            )
        secret = self._keys.read(plan.key)
        if plan.key.name not in (secret.get("data") or {}):
            raise KubernetesError(f"{plan.key.said} is not there, so there is nothing to rotate. {NOTHING}")
        return secret

    def _refuse(self, plan: Plan, data: Json, *, overlap: bool) -> None:
        now = decoded(data[plan.key.name])
        if not plan.any_text:
            raise KubernetesError(
                f"{plan.key.said}: that any random text will do is not said (runbooks_k8s_auth_generate). {NOTHING}"
            )
        if DOCUMENT.match(now):
            raise KubernetesError(f"{plan.key.said} holds a document (PEM, JSON), and no random text will do. {NOTHING}")
        deployment = self._deployment(plan)
        self._refuse_others(plan, deployment, None)
        if not overlap:
            return
        if plan.previous in data:
            raise KubernetesError(
                f"{plan.key.said}: {plan.previous} is there already, from a rotation that is not over: retire it first "
                f"(playbooks/retire_auth_key.yml). If a run was ended before it restarted the pods: {plan.restart}. {NOTHING}"
            )
        if len(now) < plan.bytes_min:
            raise KubernetesError(
                f"{plan.key.said} has {len(now)} bytes, and {plan.bytes_min} are needed: it must not be accepted any longer "
                f"(replace_auth_key). {NOTHING}"
            )
        if not _takes(deployment["spec"]["template"]["spec"], plan.key.secret, plan.previous):
            raise KubernetesError(
                f"{plan.key.said}: the Deployment {plan.workload} does not take {plan.previous}, so that every session would "
                f"end. {NOTHING}"
            )

    def _refuse_needed(self, plan: Plan, template: Json) -> None:
        """Raises KubernetesError where pods could not be made without the old key."""
        variables = [one for container in containers_of(template["spec"]) for one in container.get("env") or []]
        for one in variables:
            taken = (one.get("valueFrom") or {}).get("secretKeyRef") or {}
            if (taken.get("name"), taken.get("key")) == (plan.key.secret, plan.previous) and not taken.get("optional"):
                raise KubernetesError(
                    f"the Deployment {plan.workload} needs {plan.previous} to start (its reference is not optional): make it "
                    f"optional first. {NOTHING}"
                )

    def _deployment(self, plan: Plan) -> Json:
        """What is restarted."""
        return self._client.get(f"/apis/apps/v1/namespaces/{plan.key.namespace}/deployments/{plan.workload}")

    def _refuse_others(self, plan: Plan, deployment: Json, since: str | None) -> None:
        """Raises KubernetesError where pods take the Secret that are not of the Deployment, or, where a time is given, were made
        before it."""
        base, uid = f"namespaces/{plan.key.namespace}", deployment["metadata"]["uid"]
        sets = self._client.items(f"/apis/apps/v1/{base}/replicasets")
        own = {one["metadata"]["uid"] for one in sets if is_owned(one, uid)}
        pods = [one for one in self._client.items(f"/api/v1/{base}/pods") if _takes(one["spec"], plan.key.secret)]
        alive = [one for one in pods if (one.get("status") or {}).get("phase") not in OVER]
        others = [one for one in alive if not any(is_owned(one, replica_set) for replica_set in own)]
        if others:
            raise KubernetesError(
                f"{plan.key.said}: the Secret is taken by pods that would not be restarted ({_names(others)}), and would go on "
                f"with the old key: rotate it by hand, all of them together. {NOTHING}"
            )
        older = [one for one in alive if since is not None and one["metadata"]["creationTimestamp"] < since]
        if older:
            raise KubernetesError(
                f"{plan.key.said}: pods run since before it was rotated ({_names(older)}), and sign with the old key: "
                f"{plan.restart}. {NOTHING}"
            )


def _names(pods: t.Sequence[Json]) -> str:
    more = f" and {len(pods) - MOST_SHOWN} more" if len(pods) > MOST_SHOWN else ""
    return ", ".join(one["metadata"]["name"] for one in pods[:MOST_SHOWN]) + more


def _written_by_us(secret: Json) -> str:
    """When this collection wrote the Secret last; empty for never."""
    entries = [one for one in secret["metadata"].get("managedFields") or [] if one.get("manager") == MANAGER]
    return max((str(one.get("time") or "") for one in entries), default="")


def _takes(spec: Json, secret: str, key: str | None = None) -> bool:
    """Whether a pod takes anything of a Secret, or this key of it, as a variable or a file."""
    volumes = spec.get("volumes") or []
    files = [one.get("secret") or {} for one in volumes]
    files += [one.get("secret") or {} for volume in volumes for one in (volume.get("projected") or {}).get("sources") or []]
    taken = [
        (one.get("secretName") or one.get("name"), {item.get("key") for item in one.get("items") or []}) for one in files if one
    ]
    for container in containers_of(spec):
        taken += [((one.get("secretRef") or {}).get("name"), set()) for one in container.get("envFrom") or []]
        references = [(one.get("valueFrom") or {}).get("secretKeyRef") or {} for one in container.get("env") or []]
        taken += [(one.get("name"), {one.get("key")}) for one in references if one]
    return any(name == secret and (key is None or not keys or key in keys) for name, keys in taken)
