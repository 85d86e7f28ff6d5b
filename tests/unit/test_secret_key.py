"""One key of a Secret by the exchange with the API server: what is sent, what is refused before, and that no value is told."""

from __future__ import annotations

import base64
import copy
import json
import re
import typing as t

import pytest
from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.client import Answer, Client
from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.errors import KubernetesError, OutcomeUnknownError
from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.secrets import (
    Key,
    SecretKey,
    digest_of,
    look_at_secret,
    secret_of,
)

Json = dict[str, t.Any]
PATH = "/api/v1/namespaces/shop/secrets/api-secrets"
KEY = Key("shop", "api-secrets", "JWT", "s1")
RANDOM = bytes(range(48))
VALUE = base64.b64encode(RANDOM)
STORED = base64.b64encode(VALUE).decode()
DIGEST = digest_of(VALUE)


def told(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def secret(data: Json | None, **changes: t.Any) -> Json:
    meta = {"name": "api-secrets", "uid": "s1", "resourceVersion": "7", **changes.pop("metadata", {})}
    return {"kind": "Secret", "metadata": meta, **({} if data is None else {"data": data}), **changes}


class Server:
    """An API server with one Secret: it keeps what it is sent."""

    def __init__(self, one: Json, *, status: int = 200, answer: Json | None = None) -> None:
        self.one, self.status, self.answer = one, status, answer
        self.sent: list[tuple[str, list[Json]]] = []

    def __call__(self, method: str, path: str, body: bytes | None, content_type: str | None) -> Answer:
        if method == "GET":
            assert path == PATH
            return Answer(200, [json.dumps(self.one).encode()])
        assert content_type == "application/json-patch+json"
        self.sent.append((path, json.loads(body or b"")))
        return Answer(self.status, [json.dumps(self.answer or self.one).encode()])

    def key(self) -> SecretKey:
        return SecretKey(Client(self, "lab"), lambda number: RANDOM[:number])


SAME = [{"op": "test", "path": "/metadata/uid", "value": "s1"}, {"op": "test", "path": "/metadata/resourceVersion", "value": "7"}]
WRITTEN = {"op": "add", "path": "/data/JWT", "value": STORED}
GENERATED: list[tuple[str, Json | None, list[Json]]] = [
    ("it is not there", {"OTHER": told("x" * 40)}, [WRITTEN]),
    ("the Secret has no data", None, [{"op": "add", "path": "/data", "value": {}}, WRITTEN]),
    ("it is too short, and kept", {"JWT": told("word")}, [WRITTEN, {"op": "add", "path": "/data/JWT.before", "value": told("word")}]),
    ("it is empty, and kept as that", {"JWT": ""}, [WRITTEN, {"op": "add", "path": "/data/JWT.before", "value": ""}]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "data", "patch"), GENERATED, ids=[row[0] for row in GENERATED])
def test_one_key_is_written_and_no_other(name: str, data: Json | None, patch: list[Json]) -> None:
    server = Server(secret(data))
    key = server.key()
    said = key.generate(KEY, 32, dry_run=False)
    assert server.sent == [(f"{PATH}?fieldManager=sre.runbooks", [*SAME, *patch])], name
    kept = {"it is too short, and kept": digest_of(VALUE, b"word"), "it is empty, and kept as that": digest_of(VALUE, b"")}
    assert key.made == {"uid": "s1", "digest": DIGEST, "kept": kept.get(name, "")}
    assert VALUE.decode() not in said + json.dumps(key.made)


def test_one_that_is_long_enough_is_left_alone() -> None:
    server = Server(secret({"JWT": told("x" * 32)}))
    assert server.key().generate(KEY, 32, dry_run=False) == ""
    assert server.sent == []


def test_the_server_is_told_that_it_is_only_a_trial() -> None:
    server = Server(secret({}))
    server.key().generate(KEY, 32, dry_run=True)
    assert server.sent[0][0].endswith("&dryRun=All")


REFUSED: list[tuple[str, Json, str]] = [
    ("another Secret of the name", {"metadata": {"uid": "s2"}}, "another Secret than was looked at"),
    ("External Secrets writes it", {"metadata": {"ownerReferences": [{"controller": True, "kind": "ExternalSecret", "name": "api"}]}},
     "ExternalSecret (api), which would write it back"),
    ("Argo CD keeps it", {"metadata": {"annotations": {"argocd.argoproj.io/tracking-id": "shop:/Secret:shop/api-secrets"}}}, "Argo CD"),
    ("External Secrets merges into it", {"metadata": {"managedFields": [{"manager": "external-secrets", "fieldsV1": {"f:data": {"f:X": {}}}}]}},
     "external-secrets"),
    ("Sealed Secrets keeps it", {"metadata": {"annotations": {"sealedsecrets.bitnami.com/managed": "true"}}}, "sealedsecrets.bitnami.com/managed"),
    ("it is immutable", {"immutable": True}, "immutable; a new one needs a new name"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "changes", "why"), REFUSED, ids=[row[0] for row in REFUSED])
@pytest.mark.parametrize("act", ["generate", "take_back"])
def test_what_may_not_be_written_is_refused_before(name: str, changes: Json, why: str, act: str) -> None:
    server = Server(secret({"JWT": STORED} if act == "take_back" else {}, **copy.deepcopy(changes)))
    given: dict[str, tuple[t.Any, ...]] = {"generate": (32,), "take_back": (DIGEST, "")}
    with pytest.raises(KubernetesError, match=re.escape(why)):
        getattr(server.key(), act)(KEY, *given[act], dry_run=False)
    assert server.sent == [], name


@pytest.mark.parametrize("status", [409, 422])
def test_whoever_wrote_it_in_between_is_not_overwritten(status: int) -> None:
    server = Server(secret({}), status=status, answer={"message": "the server rejected our request"})
    with pytest.raises(KubernetesError, match="changed by somebody else in between: nothing was changed"):
        server.key().generate(KEY, 32, dry_run=False)


def test_an_answer_that_is_no_object_leaves_it_unknown() -> None:
    server = Server(secret({}), answer={"kind": "Status"})
    with pytest.raises(OutcomeUnknownError):
        server.key().generate(KEY, 32, dry_run=False)


TAKEN: list[tuple[str, Json, str, list[Json]]] = [
    ("there was none", {"JWT": STORED, "OTHER": "eA=="}, "", [{"op": "remove", "path": "/data/JWT"}]),
    ("there was a short one", {"JWT": STORED, "JWT.before": told("word")}, digest_of(VALUE, b"word"),
     [{"op": "add", "path": "/data/JWT", "value": told("word")}, {"op": "remove", "path": "/data/JWT.before"}]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "data", "kept", "patch"), TAKEN, ids=[row[0] for row in TAKEN])
def test_what_was_there_before_is_put_back(name: str, data: Json, kept: str, patch: list[Json]) -> None:
    server = Server(secret(data))
    assert server.key().take_back(KEY, DIGEST, kept, dry_run=False), name
    assert server.sent[0][1] == [*SAME, *patch]


OTHERS: list[tuple[str, Json, str]] = [
    ("another value", {"JWT": told("theirs" * 10)}, ""),
    ("a value from before that is not the one that was kept", {"JWT": STORED, "JWT.before": told("known to an attacker")}, digest_of(VALUE, b"word")),
    ("a value from before where there was none", {"JWT": STORED, "JWT.before": told("known to an attacker")}, ""),
    ("what was kept is gone", {"JWT": STORED}, digest_of(VALUE, b"word")),
    ("what is no base64", {"JWT": "%%%"}, ""),
]  # fmt: skip


@pytest.mark.parametrize(("name", "data", "kept"), OTHERS, ids=[row[0] for row in OTHERS])
def test_what_somebody_else_wrote_since_is_not_taken_back(name: str, data: Json, kept: str) -> None:
    server = Server(secret(data))
    with pytest.raises(KubernetesError, match="changed by somebody else since: nothing was taken back"):
        server.key().take_back(KEY, DIGEST, kept, dry_run=False)
    assert server.sent == [], name


def test_what_was_kept_from_an_earlier_change_is_not_lost() -> None:
    server = Server(secret({"JWT.before": told("word")}))
    with pytest.raises(KubernetesError, match=r"there is a JWT\.before from an earlier change"):
        server.key().generate(KEY, 32, dry_run=False)
    assert server.sent == []


@pytest.mark.parametrize("status", [400, 403, 500])
def test_what_a_webhook_says_of_what_it_was_sent_is_told_to_nobody(status: int) -> None:
    server = Server(secret({}), status=status, answer={"message": f"denied: {STORED} {VALUE.decode()}"})
    with pytest.raises(KubernetesError) as caught:
        server.key().generate(KEY, 32, dry_run=False)
    told_all = str(caught.value) + str(caught.value.__cause__) + str(caught.value.__suppress_context__)
    assert STORED not in told_all
    assert VALUE.decode() not in told_all


@pytest.mark.parametrize("answer", [{}, {"metadata": []}, {"metadata": {"uid": "s1"}}, {**secret({}), "data": []}])
def test_an_answer_that_is_no_secret_is_said_to_be_none(answer: Json) -> None:
    with pytest.raises(KubernetesError, match="is no Secret"):
        Server(answer).key().generate(KEY, 32, dry_run=False)


def test_a_second_undo_does_nothing() -> None:
    server = Server(secret({"OTHER": "eA=="}))
    assert server.key().take_back(KEY, DIGEST, "", dry_run=False) == ""
    assert server.sent == []


def test_a_secret_is_told_without_its_values() -> None:
    books = [
        {"manager": "kubectl", "time": "2026-11-24T02:00:00Z", "fieldsV1": {"f:data": {"f:JWT": {}}}},
        {"manager": "x", "time": "2026-11-24T02:09:00Z", "fieldsV1": {"f:metadata": {}}},
        {"manager": "helm", "time": "2026-11-24T02:02:00Z", "fieldsV1": {"f:data": {"f:JWT": {}, "f:GONE": {}}}},
    ]
    found = secret_of("api-secrets", secret({"JWT": told("hunter2-hunter2"), "BAD": "%%%"}, metadata={"managedFields": books}))
    assert found == {"name": "api-secrets", "exists": True, "uid": "s1", "immutable": False, "keys": {"JWT": 15, "BAD": 0},
                     "written": {"JWT": "2026-11-24T02:02:00Z"}, "owner": None}  # fmt: skip


def test_a_secret_that_is_not_there_is_an_answer() -> None:
    missing = Client(lambda *_: Answer(404, [b'{"message": "not found"}']), "lab")
    assert look_at_secret(missing, "shop", "api-secrets")["exists"] is False


def test_one_that_may_not_be_read_is_a_refusal() -> None:
    with pytest.raises(KubernetesError, match="403"):
        look_at_secret(Client(lambda *_: Answer(403, [b'{"message": "forbidden"}']), "lab"), "shop", "api-secrets")
