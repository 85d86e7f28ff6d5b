# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One key of a Secret: how it stands, and putting a new value there; the value itself leaves nothing here (private).

A key is changed by itself (``kubectl create secret … | kubectl apply`` drops the others), and only where the server finds the
Secret as it was looked at. A value that was replaced stays in the Secret under another name, so that an undo can put it back.
Source: https://kubernetes.io/docs/reference/kubernetes-api/config-and-storage-resources/secret-v1/, RFC 6902
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import hashlib
import hmac
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
from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.errors import (
    KubernetesError,
    OutcomeUnknownError,
    RefusedError,
)
from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.facts import Secret
from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.owners import owner_of_data

Json = dict[str, t.Any]
# A name that no application asks for.
BEFORE = ".before"
RANDOM_BYTES = 48
# A webhook, or a proxy, may say what it was sent.
UNSAID = "its words are not shown, since they may hold values: kubectl auth can-i patch secrets, and the API server's audit log"


def path_of(namespace: str, name: str) -> str:
    return f"/api/v1/namespaces/{namespace}/secrets/{name}"


def look_at_secret(client: Client, namespace: str, name: str) -> Secret:
    """How a Secret stands. Raises KubernetesError where it cannot be read; one that is not there is an answer."""
    try:
        return secret_of(name, client.get(path_of(namespace, name)))
    except RefusedError as error:
        if error.status == NOT_FOUND:
            return {"name": name, "exists": False, "uid": "", "immutable": False, "keys": {}, "written": {}, "owner": None}
        raise


def secret_of(name: str, one: Json) -> Secret:
    """The names of its keys with their lengths, and when each was written, as the server's own books say."""
    return {
        "name": name,
        "exists": True,
        "uid": one["metadata"]["uid"],
        "immutable": bool(one.get("immutable")),
        "keys": {key: length_of(value) for key, value in (one.get("data") or {}).items()},
        "written": written_of(one),
        "owner": owner_of_data(one, "secret"),
    }


def length_of(value: t.Any) -> int:
    """The bytes that an application gets, of a value as the API has it (base64)."""
    return len(decoded(value))


@dataclasses.dataclass(frozen=True)
class Key:
    """One key of the Secret that was looked at."""

    namespace: str
    secret: str
    name: str
    uid: str | None = None

    @property
    def path(self) -> str:
        return path_of(self.namespace, self.secret)

    @property
    def said(self) -> str:
        return f"the key {self.name} of the Secret {self.namespace}/{self.secret}"


class SecretKey:
    """Writes one key. ``draw`` gives so many random bytes; ``made``: by what an undo knows what was written, never the value."""

    def __init__(self, client: Client, draw: t.Callable[[int], bytes]) -> None:
        self._client, self._draw = client, draw
        self.made: Json = {}

    def read(self, key: Key) -> Json:
        """The Secret. Raises KubernetesError where it is not the one that was meant, or must not be written."""
        return checked(key.said, "Secret", self._client.get(key.path), key.uid)

    def generate(self, key: Key, least: int, *, dry_run: bool) -> str:
        """Puts a new random value where there is none, or a shorter one than ``least`` bytes. Returns what was done; empty where
        one that is long enough is there already."""
        secret = self.read(key)
        data = secret.get("data") or {}
        length = length_of(data[key.name]) if key.name in data else None
        if length is not None and length >= least:
            return ""
        if key.name + BEFORE in data:
            raise KubernetesError(
                f"{key.said}: there is a {key.name}{BEFORE} from an earlier change, which would be lost: remove it first. "
                "Nothing was changed"
            )
        # The text itself is the secret, as most applications read it; decoded it is long enough too.
        number = max(RANDOM_BYTES, least)
        value = base64.b64encode(self._draw(number))
        kept = digest_of(value, decoded(data[key.name])) if length is not None else ""
        self.made.update(uid=secret["metadata"]["uid"], digest=digest_of(value), kept=kept)
        after = {**data, key.name: base64.b64encode(value).decode()}
        if length is not None:
            after[key.name + BEFORE] = data[key.name]
        self.store(key, secret, after, dry_run=dry_run)
        was = f"it had {length} bytes" if length is not None else "it was not there"
        return f"put {number} random bytes (as {len(value)} letters) into {key.said}; {was}"

    def take_back(self, key: Key, digest: str, kept: str, *, previous: str | None = None, dry_run: bool) -> str:
        """Puts back what was there before, which is in the key ``previous``. Returns what was done; empty where what was written
        is not there."""
        kept_in = previous or key.name + BEFORE
        secret = self.read(key)
        data = dict(secret.get("data") or {})
        now = data.get(key.name)
        if now is None:
            return ""
        value, before = decoded(now), data.get(kept_in)
        if digest_of(value) != digest or (digest_of(value, decoded(before)) if before is not None else "") != kept:
            raise KubernetesError(f"{key.said} was changed by somebody else since: nothing was taken back")
        data.pop(kept_in, None)
        del data[key.name]
        if before is not None:
            data[key.name] = before
        self.store(key, secret, data, dry_run=dry_run)
        return f"{'put the value from before back into' if before is not None else 'took away'} {key.said}"

    def store(self, key: Key, secret: Json, data: Json, *, dry_run: bool) -> None:
        """Writes what differs. Raises KubernetesError without the server's words, which may hold values."""
        try:
            write_data(self._client, key.path, secret, data, dry_run=dry_run)
        except RefusedError as error:
            if error.status in CONFLICTS:
                raise KubernetesError(f"{key.said} was changed by somebody else in between: {LOOK_AGAIN}") from None
            raise KubernetesError(f"{key.said}: the API server refused it (HTTP {error.status}); {UNSAID}") from None
        except OutcomeUnknownError:
            raise OutcomeUnknownError(f"{key.said}: whether it was written is not known; {UNSAID}") from None


def digest_of(value: bytes, other: bytes | None = None) -> str:
    """What tells a random value from others, and with it another value (a MAC under the random one): of 384 random bits neither
    gives anything away."""
    return hashlib.sha256(value).hexdigest() if other is None else hmac.new(value, other, hashlib.sha256).hexdigest()


def decoded(value: t.Any) -> bytes:
    """A value as an application gets it; empty for what is no base64."""
    try:
        return base64.b64decode(str(value), validate=True)
    except (binascii.Error, ValueError):
        return b""
