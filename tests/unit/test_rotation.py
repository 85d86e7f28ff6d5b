"""A new key in place of one that is well, by the exchange with the API server: the overlap, its end, and what is refused."""

from __future__ import annotations

import json
import typing as t

import pytest
from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.client import Answer, Client
from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.errors import KubernetesError
from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.rotation import Plan, Rotation
from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.secrets import SecretKey, digest_of

from tests.unit.test_secret_key import KEY, PATH, RANDOM, SAME, STORED, VALUE, secret, told

Json = dict[str, t.Any]
OLD = told("the old one " * 4)
TAKES = [
    {"name": name, "valueFrom": {"secretKeyRef": {"name": "api-secrets", "key": name, "optional": True}}}
    for name in ("JWT", "JWT_PREVIOUS")
]
DATE = "Tue, 24 Nov 2026 03:00:00 GMT"
WRITTEN, RESTARTED, MADE = "2026-11-24T02:00:00Z", "2026-11-24T02:01:00+00:00", "2026-11-24T02:01:05Z"
BOOKS = [{"manager": "sre.runbooks", "time": WRITTEN, "fieldsV1": {"f:data": {"f:JWT": {}, "f:JWT_PREVIOUS": {}}}}]
PLAN = Plan(KEY, "JWT_PREVIOUS", "api", 32, True)


def drawn(number: int) -> bytes:
    return RANDOM[:number]


def pod(name: str, owner: str = "rs1", phase: str = "Running", made: str = MADE, **spec: t.Any) -> Json:
    owners = [{"uid": owner, "controller": True, "kind": "ReplicaSet", "name": owner}]
    containers = [{"name": "api", **spec.pop("container", {"env": TAKES})}]
    return {"metadata": {"name": name, "labels": {"app": "api"}, "ownerReferences": owners, "creationTimestamp": made},
            "spec": {"containers": containers, **spec}, "status": {"phase": phase}}  # fmt: skip


def deployment(*, env: t.Sequence[Json] = tuple(TAKES), restarted: str | None = RESTARTED) -> Json:
    stamp = {} if restarted is None else {"kubectl.kubernetes.io/restartedAt": restarted}
    template = {"metadata": {"annotations": stamp}, "spec": {"containers": [{"name": "api", "env": list(env)}]}}
    return {"metadata": {"uid": "d1"}, "spec": {"template": template}}


MINE = pod("api-1")
SETS = [{"metadata": {"uid": "rs1", "ownerReferences": [{"uid": "d1", "controller": True}]}}]


class Server:
    """An API server with a Secret, a Deployment, its ReplicaSet and pods."""

    def __init__(self, one: Json, pods: t.Sequence[Json] = (MINE,), workload: Json | None = None) -> None:
        self.one, self.pods, self.workload = one, list(pods), workload or deployment()
        self.sent: list[list[Json]] = []

    def __call__(self, method: str, path: str, body: bytes | None, content_type: str | None) -> Answer:
        if method == "PATCH":
            self.sent.append(json.loads(body or b""))
            return self._told(self.one)
        if path == PATH:
            return self._told(self.one)
        if path.startswith("/apis/apps/v1/namespaces/shop/deployments/api"):
            return self._told(self.workload)
        kind = "replicasets" if "replicasets" in path else "pods"
        return self._told({"items": SETS if kind == "replicasets" else self.pods, "metadata": {}})

    def _told(self, body: Json) -> Answer:
        return Answer(200, [json.dumps(body).encode()], DATE)

    def both(self) -> tuple[Rotation, SecretKey]:
        client = Client(self, "lab")
        keys = SecretKey(client, drawn)
        return Rotation(client, keys, drawn), keys


def test_the_old_key_stays_where_the_application_looks_for_it() -> None:
    server = Server(secret({"JWT": OLD, "OTHER": "eA=="}))
    rotation, keys = server.both()
    said = rotation.rotate(PLAN, overlap=True, dry_run=False)
    assert server.sent == [[*SAME, {"op": "add", "path": "/data/JWT", "value": STORED},
                            {"op": "add", "path": "/data/JWT_PREVIOUS", "value": OLD}]]  # fmt: skip
    assert keys.made == {"uid": "s1", "digest": digest_of(VALUE), "kept": digest_of(VALUE, b"the old one " * 4)}
    assert OLD not in said + json.dumps(keys.made)
    assert STORED not in said + json.dumps(keys.made)


def test_a_key_that_others_know_is_not_kept_nor_what_was_kept_before() -> None:
    server = Server(secret({"JWT": OLD, "JWT_PREVIOUS": told("leaked"), "JWT.before": told("older"), "OTHER": "eA=="}))
    rotation, keys = server.both()
    said = rotation.rotate(PLAN, overlap=False, dry_run=False)
    assert "the one before is gone, and so is what was in JWT.before, JWT_PREVIOUS" in said
    assert server.sent == [[*SAME, {"op": "add", "path": "/data/JWT", "value": STORED}, {"op": "remove", "path": "/data/JWT_PREVIOUS"},
                            {"op": "remove", "path": "/data/JWT.before"}]]  # fmt: skip
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


def alone(**container: t.Any) -> Json:
    return pod("worker-1", owner="other", container=container)


ONE, ALL = [TAKES[0]], [{"secretRef": {"name": "api-secrets"}}]
FILE = [{"name": "s", "secret": {"secretName": "api-secrets"}}]
PROJECTED = [{"name": "s", "projected": {"sources": [{"secret": {"name": "api-secrets"}}]}}]
REFUSED: list[tuple[str, Json, list[Json], Json | None, Plan, str]] = [
    ("there is no key", {}, [MINE], None, PLAN, "nothing to rotate"),
    ("a rotation is not over", {"JWT": OLD, "JWT_PREVIOUS": OLD}, [MINE], None, PLAN, "retire it first"),
    ("nobody said where the old one is looked for", {"JWT": OLD}, [MINE], None, Plan(KEY, "", "api", 32, True), "auth_previous_key"),
    ("it is looked for in the same key", {"JWT": OLD}, [MINE], None, Plan(KEY, "JWT", "api", 32, True), "auth_previous_key"),
    ("nobody said that any text will do", {"JWT": OLD}, [MINE], None, Plan(KEY, "JWT_PREVIOUS", "api"), "auth_generate"),
    ("it is a key in PEM", {"JWT": told("-----BEGIN RSA PRIVATE KEY-----")}, [MINE], None, PLAN, "holds a document"),
    ("it is a document", {"JWT": told('{"keys": []}')}, [MINE], None, PLAN, "holds a document"),
    ("it is empty", {"JWT": ""}, [MINE], None, PLAN, "has 0 bytes"),
    ("it is too short", {"JWT": told("word")}, [MINE], None, PLAN, "replace_auth_key"),
    ("the application does not take the old one", {"JWT": OLD}, [MINE], deployment(env=ONE), PLAN, "does not take JWT_PREVIOUS"),
    ("another workload takes it", {"JWT": OLD}, [MINE, alone(env=ONE)], None, PLAN, "worker-1"),
    ("another one takes all of it", {"JWT": OLD}, [alone(envFrom=ALL)], None, PLAN, "worker-1"),
    ("another one takes it under other names", {"JWT": OLD}, [alone(envFrom=[{**ALL[0], "prefix": "X_"}])], None, PLAN, "worker-1"),
    ("another one has it as a file", {"JWT": OLD}, [pod("w", "other", container={}, volumes=FILE)], None, PLAN, r"\(w\)"),
    ("another one has it in a projected file", {"JWT": OLD}, [pod("w", "other", container={}, volumes=PROJECTED)], None, PLAN, r"\(w\)"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "data", "pods", "workload", "plan", "why"), REFUSED, ids=[row[0] for row in REFUSED])
def test_what_would_end_sessions_is_refused(
    name: str, data: Json, pods: list[Json], workload: Json | None, plan: Plan, why: str
) -> None:
    server = Server(secret(data), pods, workload)
    rotation, _keys = server.both()
    with pytest.raises(KubernetesError, match=why):
        rotation.rotate(plan, overlap=True, dry_run=False)
    assert server.sent == [], name


def test_a_job_that_is_over_takes_nothing_any_more() -> None:
    server = Server(secret({"JWT": OLD}), [MINE, pod("migration", "other", "Succeeded")])
    server.both()[0].rotate(PLAN, overlap=True, dry_run=False)
    assert len(server.sent) == 1


BOTH = {"JWT": STORED, "JWT_PREVIOUS": OLD}
NEEDED = [TAKES[0], {"name": "X", "valueFrom": {"secretKeyRef": {"name": "api-secrets", "key": "JWT_PREVIOUS"}}}]
RETIRED: list[tuple[str, Json, float, list[Json], Json | None, str | None]] = [
    ("it is old enough", {"managedFields": BOOKS}, 3500.0, [MINE], None, None),
    ("a session may still live", {"managedFields": BOOKS}, 3590.0, [MINE], None, "retire it in 1 minutes"),
    ("nobody knows since when it is there", {}, 1.0, [MINE], None, "since when"),
    (
        "nobody knows when its pods were restarted",
        {"managedFields": BOOKS},
        1.0,
        [MINE],
        deployment(restarted=None),
        "since when",
    ),
    (
        "a pod runs since before",
        {"managedFields": BOOKS},
        1.0,
        [pod("api-0", made="2026-11-24T01:00:00Z")],
        None,
        r"api-0\), and sign",
    ),
    ("pods need it to start", {"managedFields": BOOKS}, 1.0, [MINE], deployment(env=NEEDED), "needs JWT_PREVIOUS to start"),
    ("others take the Secret", {"managedFields": BOOKS}, 1.0, [MINE, alone(env=ONE)], None, "worker-1"),
    ("no time at all", {"managedFields": BOOKS}, 0.0, [MINE], None, "above 0"),
    ("less than none", {"managedFields": BOOKS}, -5.0, [MINE], None, "above 0"),
    ("no number", {"managedFields": BOOKS}, float("nan"), [MINE], None, "above 0"),
]


@pytest.mark.parametrize(("name", "books", "seconds", "pods", "workload", "why"), RETIRED, ids=[row[0] for row in RETIRED])
def test_the_old_key_ends_when_nothing_that_it_signed_is_good(
    name: str, books: Json, seconds: float, pods: list[Json], workload: Json | None, why: str | None
) -> None:
    server = Server(secret(BOTH, metadata=books), pods, workload)
    rotation, _keys = server.both()
    if why is None:
        assert "took away JWT_PREVIOUS" in rotation.retire(PLAN, seconds, dry_run=False)
        assert server.sent == [[*SAME, {"op": "remove", "path": "/data/JWT_PREVIOUS"}]]
        return
    with pytest.raises(KubernetesError, match=why):
        rotation.retire(PLAN, seconds, dry_run=False)
    assert server.sent == [], name


def test_the_key_itself_is_never_retired() -> None:
    server = Server(secret(BOTH, metadata={"managedFields": BOOKS}))
    with pytest.raises(KubernetesError, match="auth_previous_key"):
        server.both()[0].retire(Plan(KEY, "JWT", "api"), 1.0, dry_run=False)
    assert server.sent == []


def test_a_second_retirement_only_makes_up_for_a_restart() -> None:
    server = Server(secret({"JWT": STORED}, metadata={"managedFields": BOOKS}))
    rotation, _keys = server.both()
    assert rotation.retire(PLAN, 1.0, dry_run=False) == ""
    assert (server.sent, rotation.ours_since) == ([], WRITTEN)
