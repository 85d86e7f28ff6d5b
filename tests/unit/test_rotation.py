"""A new key in place of one that is well, by the exchange with the API server: the overlap, its end, and what is refused."""

from __future__ import annotations

import json
import typing as t

import pytest
from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.client import Answer, Client
from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.errors import KubernetesError
from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.rotation import Rotation
from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.secrets import Key, SecretKey, digest_of

from tests.unit.test_secret_key import KEY, PATH, RANDOM, SAME, STORED, VALUE, secret, told

Json = dict[str, t.Any]
OLD = told("the old one " * 4)
OLD_KEY = Key("shop", "api-secrets", "JWT_PREVIOUS", "s1")
TAKES = [{"name": "JWT", "valueFrom": {"secretKeyRef": {"name": "api-secrets", "key": "JWT"}}}]
DATE = "Tue, 24 Nov 2026 03:00:00 GMT"
BOOKS = [{"manager": "sre.runbooks", "time": "2026-11-24T02:00:00Z", "fieldsV1": {"f:data": {"f:JWT": {}, "f:JWT_PREVIOUS": {}}}}]


def pod(name: str, labels: Json, **spec: t.Any) -> Json:
    return {
        "metadata": {"name": name, "labels": labels},
        "spec": {"containers": [{"name": "api", **spec.pop("container", {})}], **spec},
    }


MINE = pod("api-1", {"app": "api"}, container={"env": TAKES})


class Server:
    """An API server with a Secret, a Deployment and pods."""

    def __init__(self, one: Json, pods: t.Sequence[Json] = (MINE,)) -> None:
        self.one, self.pods = one, list(pods)
        self.sent: list[list[Json]] = []

    def __call__(self, method: str, path: str, body: bytes | None, content_type: str | None) -> Answer:
        if method == "PATCH":
            self.sent.append(json.loads(body or b""))
            return self._told(self.one)
        if path == PATH:
            return self._told(self.one)
        if path.startswith("/apis/apps/v1/namespaces/shop/deployments/api"):
            return self._told({"spec": {"selector": {"matchLabels": {"app": "api"}}}})
        assert path.startswith("/api/v1/namespaces/shop/pods"), path
        return self._told({"items": self.pods, "metadata": {}})

    def _told(self, body: Json) -> Answer:
        return Answer(200, [json.dumps(body).encode()], DATE)

    def both(self) -> tuple[Rotation, SecretKey]:
        client, draw = Client(self, "lab"), lambda number: RANDOM[:number]
        keys = SecretKey(client, draw)
        return Rotation(client, keys, draw), keys


def test_the_old_key_stays_where_the_application_looks_for_it() -> None:
    server = Server(secret({"JWT": OLD, "OTHER": "eA=="}))
    rotation, keys = server.both()
    said = rotation.rotate(KEY, "JWT_PREVIOUS", "api", dry_run=False)
    assert server.sent == [[*SAME, {"op": "add", "path": "/data/JWT", "value": STORED},
                            {"op": "add", "path": "/data/JWT_PREVIOUS", "value": OLD}]]  # fmt: skip
    assert keys.made == {"uid": "s1", "digest": digest_of(VALUE), "kept": digest_of(VALUE, b"the old one " * 4)}
    assert OLD not in said + json.dumps(keys.made)
    assert STORED not in said + json.dumps(keys.made)


def test_a_key_that_others_know_is_not_kept() -> None:
    server = Server(secret({"JWT": OLD}))
    rotation, keys = server.both()
    assert "the one before is gone" in rotation.rotate(KEY, None, "api", dry_run=False)
    assert server.sent == [[*SAME, {"op": "add", "path": "/data/JWT", "value": STORED}]]
    assert keys.made["kept"] == ""


def test_a_rotation_is_taken_back() -> None:
    server = Server(secret({"JWT": STORED, "JWT_PREVIOUS": OLD}))
    _rotation, keys = server.both()
    kept = digest_of(VALUE, b"the old one " * 4)
    assert keys.take_back(KEY, digest_of(VALUE), kept, previous="JWT_PREVIOUS", dry_run=False)
    assert server.sent == [
        [*SAME, {"op": "add", "path": "/data/JWT", "value": OLD}, {"op": "remove", "path": "/data/JWT_PREVIOUS"}]
    ]
    with pytest.raises(KubernetesError, match="changed by somebody else since"):
        keys.take_back(KEY, digest_of(VALUE), kept, previous="ELSEWHERE", dry_run=False)


OTHER = {"app": "worker"}
REFUSED: list[tuple[str, Json, list[Json], str | None, str]] = [
    ("there is no key", {}, [MINE], "JWT_PREVIOUS", "nothing to rotate"),
    ("a rotation is not over", {"JWT": OLD, "JWT_PREVIOUS": OLD}, [MINE], "JWT_PREVIOUS", "retire it first"),
    ("nobody said where the old one is looked for", {"JWT": OLD}, [MINE], "", "runbooks_k8s_auth_previous_key"),
    ("another workload takes it", {"JWT": OLD}, [MINE, pod("worker-1", OTHER, container={"env": TAKES})], "JWT_PREVIOUS", "worker-1"),
    ("another one takes all of it", {"JWT": OLD}, [pod("w", OTHER, container={"envFrom": [{"secretRef": {"name": "api-secrets"}}]})],
     "JWT_PREVIOUS", r"\(w\)"),
    ("another one has it as a file", {"JWT": OLD}, [pod("w", OTHER, volumes=[{"name": "s", "secret": {"secretName": "api-secrets"}}])],
     None, r"\(w\)"),
    ("another one has it in a projected file", {"JWT": OLD},
     [pod("w", OTHER, volumes=[{"name": "s", "projected": {"sources": [{"secret": {"name": "api-secrets"}}]}}])], None, r"\(w\)"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "data", "pods", "previous", "why"), REFUSED, ids=[row[0] for row in REFUSED])
def test_what_would_end_sessions_is_refused(name: str, data: Json, pods: list[Json], previous: str | None, why: str) -> None:
    server = Server(secret(data), pods)
    rotation, _keys = server.both()
    with pytest.raises(KubernetesError, match=why):
        rotation.rotate(KEY, previous, "api", dry_run=False)
    assert server.sent == [], name


RETIRED: list[tuple[str, Json, float, str | None]] = [
    ("it is old enough", {"managedFields": BOOKS}, 3600.0, None),
    ("a session may still live", {"managedFields": BOOKS}, 3660.0, "retire it in 1 minutes"),
    ("nobody knows since when it is there", {}, 0.0, "do not say since when"),
]


@pytest.mark.parametrize(("name", "books", "seconds", "why"), RETIRED, ids=[row[0] for row in RETIRED])
def test_the_old_key_ends_when_nothing_that_it_signed_is_good(name: str, books: Json, seconds: float, why: str | None) -> None:
    server = Server(secret({"JWT": STORED, "JWT_PREVIOUS": OLD}, metadata=books))
    rotation, _keys = server.both()
    if why is None:
        assert "took away the key JWT_PREVIOUS" in rotation.retire(OLD_KEY, seconds, dry_run=False)
        assert server.sent == [[*SAME, {"op": "remove", "path": "/data/JWT_PREVIOUS"}]]
        return
    with pytest.raises(KubernetesError, match=why):
        rotation.retire(OLD_KEY, seconds, dry_run=False)
    assert server.sent == [], name


def test_a_second_retirement_does_nothing() -> None:
    server = Server(secret({"JWT": STORED}))
    rotation, _keys = server.both()
    assert rotation.retire(OLD_KEY, 0.0, dry_run=False) == ""
    assert server.sent == []
