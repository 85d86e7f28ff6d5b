"""Features that a ConfigMap's key switches: facts → what is found, offered and ruled out; and the exchange with the API server."""

from __future__ import annotations

import json
import typing as t

import pytest
from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.client import Answer, Client
from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.configs import (
    ConfigKey,
    ConfigWriter,
    config_of,
    look_at_config,
)
from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.errors import KubernetesError
from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.pods import configs_of
from ansible_collections.sre.runbooks.plugins.plugin_utils._judgement.model import Finding, Gap, Observation, RuledOut
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems.kubernetes.configs import features

from tests.unit.test_kubernetes_rules import ARGO, NEW, OLD, cluster, log, moving, pod, release

Json = dict[str, t.Any]
FIVE, ELEVEN = "2026-11-24T02:05:00Z", "2026-11-24T02:11:00Z"
SOON, LATE, EARLY = "2026-11-24T02:11:03.000Z", "2026-11-24T02:12:55.000Z", "2026-11-24T02:10:07.000Z"
FEATURE: Json = {"configmap": "api-config", "key": "BULK", "off_value": "false"}
ON: Json = {
    **FEATURE,
    "uid": "c1",
    "immutable": False,
    "value": "true",
    "is_shown": True,
    "written": FIVE,
    "beside": 0,
    "owner": None,
}
VARIABLE: Json = {"container": "api", "configmap": "api-config", "key": "BULK", "is_live": False}
ALL_KEYS, FILE = {**VARIABLE, "key": ""}, {**VARIABLE, "key": "", "is_live": True}
SINCE, BEFORE = [pod("new0", 2), pod("new1", 2)], [pod("old0", 2, created_at=OLD)]
OLDS = [pod(f"old{n}", 2, created_at=OLD) for n in range(3)]
FAILS, SERVES = [log("new0", 100, 40), log("new1", 100, 40)], [log("old0", 100)]


def told(pods: list[Json], logs: list[Json], reference: Json = VARIABLE, **config: t.Any) -> Json:
    """A workload whose pods take the key, which was written at five minutes past two."""
    mine = [{**one, "configs": [reference]} for one in pods]
    return {**cluster(mine, logs, [release(2), release(1, OLD)]), "configs": [{**ON, **config}]}


def files(written: str, *logs: Json, pods: list[Json] | None = None, **config: t.Any) -> Json:
    return told(pods or OLDS, list(logs), FILE, written=written, **config)


def began(first: str, good: int = 60) -> list[Json]:
    return [log(f"old{n}", 100, 40, good=good, first=first) for n in range(3)]


OFTEN = [moving(f"old{n}", (50, 20), (50, 20)) for n in range(3)]
JUDGED: list[tuple[str, Json, str]] = [
    ("pods that were started since fail, those before do not", told([*SINCE, *BEFORE], [*FAILS, *SERVES]), "likely"),
    ("all keys are taken", told([*SINCE, *BEFORE], [*FAILS, *SERVES], ALL_KEYS), "likely"),
    ("other keys have the same time", told([*SINCE, *BEFORE], [*FAILS, *SERVES], beside=2), "possible"),
    ("both fail", told([*SINCE, *BEFORE], [*FAILS, log("old0", 100, 40)]), "ruled out"),
    ("both fail, one more often", told([*SINCE, *BEFORE], [*FAILS, log("old0", 100, 20)]), "ruled out"),
    ("too few requests to those before", told([*SINCE, *BEFORE], [*FAILS, log("old0", 9)]), "gap"),
    ("all were started since", told(SINCE, FAILS), "gap"),
    ("all were started before", told(OLDS, [log(f"old{n}", 100, 40) for n in range(3)]), "ruled out"),
    ("those that have it are well", told([*SINCE, *BEFORE], [log("new0", 100), log("new1", 100), log("old0", 100, 40)]), "ruled out"),
    ("one was started in the same second", told([*SINCE, pod("x", 2, created_at=FIVE)], [*FAILS, log("x", 100)]), "gap"),
    ("when it was written is not known", told([*SINCE, *BEFORE], [*FAILS, *SERVES], written=""), "gap"),
    ("pods of two releases", told([*SINCE, pod("old0", 1, created_at=OLD)], [*FAILS, *SERVES]), "gap"),
    ("it is off, and all pods have that", told(SINCE, FAILS, value="false"), "ruled out"),
    ("it is off, and a pod is older", told([*SINCE, *BEFORE], [*FAILS, *SERVES], value="false"), "gap"),
    ("it is not there", told(SINCE, FAILS, value=None), "ruled out"),
    ("its quotes were forgotten", told([*SINCE, *BEFORE], [*FAILS, *SERVES], off_value=False), "gap"),
    ("it looks like a secret", told([*SINCE, *BEFORE], [*FAILS, *SERVES], value=None, is_shown=False), "gap"),
    ("all is well", told([*SINCE, *BEFORE], [log("new0", 100), log("new1", 100), *SERVES]), "ruled out"),
    ("all is well, of what was read", told([*SINCE, *BEFORE], SERVES), "gap"),
    ("another key is taken", told([*SINCE, *BEFORE], [*FAILS, *SERVES], {**VARIABLE, "key": "OTHER"}), "gap"),
    ("another ConfigMap is taken", told([*SINCE, *BEFORE], [*FAILS, *SERVES], {**VARIABLE, "configmap": "other"}), "gap"),
    ("as a file: requests fail from right after it", files(ELEVEN, *began(SOON)), "likely"),
    ("as a file: they failed long after it", files(FIVE, *began(SOON)), "ruled out"),
    ("as a file: too few were well before", files(ELEVEN, *began(SOON, good=1)), "gap"),
    ("as a file: a pod was started since", files(ELEVEN, *began(SOON), pods=[*OLDS, pod("young", 2, created_at=LATE)]), "gap"),
    ("as a file: they failed as often before it", files("2026-11-24T02:11:30Z", *OFTEN), "ruled out"),
    ("as a file: one had failed before it", files(ELEVEN, *began(EARLY)), "gap"),
    ("as a file: it was put off just now", files("2026-11-24T02:12:30Z", *began(SOON), value="false"), "gap"),
    ("as a file: it is off for long", files(FIVE, *began(SOON), value="false"), "ruled out"),
]  # fmt: skip


def kind_of(one: Observation) -> str:
    if isinstance(one, Finding):
        return one.confidence
    return "gap" if isinstance(one, Gap) else "ruled out"


@pytest.mark.parametrize(("name", "facts", "expected"), JUDGED, ids=[row[0] for row in JUDGED])
def test_what_is_said_of_a_feature(name: str, facts: Json, expected: str) -> None:
    (found,) = features(facts)
    assert kind_of(found) == expected, found


def test_errors_of_before_are_told_by_minutes() -> None:
    (found,) = features(files("2026-11-24T02:11:30Z", *OFTEN))
    assert isinstance(found, RuledOut), found
    assert "failed before it was written (60 of 150)" in found.why


NOT_OFFERED: list[tuple[str, Json]] = [
    ("another tool writes it", told([*SINCE, *BEFORE], [*FAILS, *SERVES], owner=ARGO)),
    ("it is immutable", told([*SINCE, *BEFORE], [*FAILS, *SERVES], immutable=True)),
    ("it is known by no uid", told([*SINCE, *BEFORE], [*FAILS, *SERVES], uid="")),
    (
        "another workload takes it too",
        told([*SINCE, *BEFORE, pod("other", None, workload="web", kind="Deployment")], [*FAILS, *SERVES]),
    ),
]


@pytest.mark.parametrize(("name", "facts"), NOT_OFFERED, ids=[row[0] for row in NOT_OFFERED])
def test_what_must_not_be_written_is_found_and_not_offered(name: str, facts: Json) -> None:
    found = [one for one in features(facts) if isinstance(one, Finding)]
    assert [one.targets["disable_feature"] for one in found] == [()], name


def test_what_is_offered_names_both_values() -> None:
    (found,) = features(told([*SINCE, *BEFORE], [*FAILS, *SERVES]))
    assert isinstance(found, Finding)
    (target,) = found.targets["disable_feature"]
    assert target == {"namespace": "shop", "configmap": "api-config", "uid": "c1", "key": "BULK", "was": "true", "value": "false",
                      "workload": "api", "workload_uid": "u1"}  # fmt: skip
    (found,) = features(files(ELEVEN, *began(SOON)))
    assert isinstance(found, Finding)
    assert found.targets["disable_feature"][0]["workload"] == "", "who reads a file is not restarted"


def test_how_a_pod_takes_a_key() -> None:
    spec = {
        "containers": [
            {"name": "api", "envFrom": [{"configMapRef": {"name": "a"}}, {"prefix": "X_", "configMapRef": {"name": "hidden"}}],
             "env": [{"name": "B", "valueFrom": {"configMapKeyRef": {"name": "b", "key": "k"}}}, {"name": "C", "value": "1"}],
             "volumeMounts": [{"name": "one"}, {"name": "two", "subPath": "x"}]},
            {"name": "side"},
        ],
        "volumes": [
            {"name": "one", "projected": {"sources": [{"configMap": {"name": "c"}}, {"secret": {"name": "s"}}]}},
            {"name": "two", "configMap": {"name": "d", "items": [{"key": "k", "path": "p"}]}},
            {"name": "three", "configMap": {"name": "unmounted"}},
        ],
    }  # fmt: skip
    found = [(one["container"], one["configmap"], one["key"], one["is_live"]) for one in configs_of(spec)]
    assert found == [("api", "b", "k", False), ("api", "a", "", False), ("api", "c", "", True), ("api", "d", "k", False)]


PATH = "/api/v1/namespaces/shop/configmaps/api-config"
KEY = ConfigKey("shop", "api-config", "BULK", "c1")


def config(data: Json, **changes: t.Any) -> Json:
    meta = {"name": "api-config", "namespace": "shop", "uid": "c1", "resourceVersion": "7", **changes.pop("metadata", {})}
    return {"kind": "ConfigMap", "metadata": meta, "data": data, **changes}


def managed(*entries: tuple[str, str, list[str]]) -> Json:
    return {"managedFields": [
        {"manager": manager, "time": at, "fieldsV1": {"f:data": {f"f:{key}": {} for key in keys}}} for manager, at, keys in entries
    ]}  # fmt: skip


class Server:
    """An API server with one ConfigMap: it keeps what it is sent."""

    def __init__(self, one: Json, status: int = 200) -> None:
        self.one, self.status = one, status
        self.sent: list[tuple[str, t.Any]] = []

    def __call__(self, method: str, path: str, body: bytes | None, content_type: str | None) -> Answer:
        if method == "GET":
            assert path == PATH
            return Answer(404 if self.status == 404 else 200, [json.dumps(self.one).encode()])
        self.sent.append((path, json.loads(body or b"")))
        return Answer(self.status, [json.dumps(self.one).encode()])


def write(server: Server, *, dry_run: bool = False) -> str:
    return ConfigWriter(Client(server, "lab"), KEY, "false", "true").write(dry_run=dry_run)


def test_one_key_is_written_and_no_other() -> None:
    server = Server(config({"BULK": "true", "OTHER": "x"}))
    assert write(server) == "put 'false' into the key BULK of the ConfigMap shop/api-config; it was 'true'"
    assert server.sent == [(f"{PATH}?fieldManager=sre.runbooks", [
        {"op": "test", "path": "/metadata/uid", "value": "c1"}, {"op": "test", "path": "/metadata/resourceVersion", "value": "7"},
        {"op": "add", "path": "/data/BULK", "value": "false"}])]  # fmt: skip
    server = Server(config({"BULK": "true"}))
    write(server, dry_run=True)
    assert "dryRun=All" in server.sent[0][0]


def test_what_is_there_already_is_left_alone() -> None:
    server = Server(config({"BULK": "false"}))
    assert (write(server), server.sent) == ("", [])


REFUSED: list[tuple[str, Json, int, str]] = [
    ("another value", config({"BULK": "maybe"}), 200, "does not hold 'true'"),
    ("no value", config({}), 200, "does not hold 'true'"),
    ("another ConfigMap", config({"BULK": "true"}, metadata={"uid": "c2"}), 200, "its uid differs"),
    ("immutable", config({"BULK": "true"}, immutable=True), 200, "immutable"),
    ("Argo CD keeps it", config({"BULK": "true"}, metadata={"labels": {"argocd.argoproj.io/instance": "shop"}}), 200, "Argo CD"),
    ("a controller wrote it", config({"BULK": "true"}, metadata=managed(("some-thing", FIVE, ["BULK"]))), 200, "some-thing"),
    ("no object", {"metadata": []}, 200, "no ConfigMap"),
    ("somebody was quicker", config({"BULK": "true"}), 409, "by somebody else in between"),
    ("no permission", config({"BULK": "true"}), 403, "403"),
]


@pytest.mark.parametrize(("name", "one", "status", "words"), REFUSED, ids=[row[0] for row in REFUSED])
def test_what_is_refused(name: str, one: Json, status: int, words: str) -> None:
    server = Server(one, status)
    with pytest.raises(KubernetesError, match=words):
        write(server)
    assert bool(server.sent) is (status != 200), name


LOOKS: list[tuple[str, Json, Json]] = [
    ("a person changed it alone", config({"BULK": "true", "A": "1"}, metadata=managed(
        ("kubectl-client-side-apply", OLD, ["A"]), ("kubectl-edit", NEW, ["BULK"]))), {"value": "true", "written": NEW, "beside": 0}),
    ("it was applied with others", config({"BULK": "true", "A": "1"}, metadata=managed(("kubectl", NEW, ["A", "BULK"]))),
     {"value": "true", "written": NEW, "beside": 1}),
    ("it is not there", config({"A": "1"}), {"value": None, "is_shown": True, "written": "", "beside": 0}),
    ("it is long", config({"BULK": "x" * 101}), {"value": None, "is_shown": False}),
    ("it looks like a secret", config({"BULK": "postgres://u:hunter22@db"}), {"value": None, "is_shown": False}),
    ("it has two lines", config({"BULK": "true\nDO rm -rf"}), {"value": None, "is_shown": False}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "one", "expected"), LOOKS, ids=[row[0] for row in LOOKS])
def test_how_a_key_stands(name: str, one: Json, expected: Json) -> None:
    found = config_of(t.cast("t.Any", FEATURE), one)
    assert {key: dict(found)[key] for key in expected} == expected, name


def test_a_configmap_that_is_not_there_is_an_answer() -> None:
    found = look_at_config(Client(Server({}, 404), "lab"), "shop", t.cast("t.Any", FEATURE))
    assert (found["uid"], found["value"]) == ("", None)
