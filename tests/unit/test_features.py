"""Features that a ConfigMap's key switches: facts → what is found, offered and ruled out; and the exchange with the API server."""

from __future__ import annotations

import json
import typing as t

import pytest
from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.client import Answer, Client
from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.configs import (
    ConfigKey,
    ConfigWriter,
    Own,
    config_of,
    look_at_configs,
)
from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.errors import KubernetesError
from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.pods import configs_of
from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.restarts import Change
from ansible_collections.sre.runbooks.plugins.plugin_utils._judgement.model import Finding, Gap, Observation
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems.kubernetes.configs import features
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems.kubernetes.releases import bad_release

from tests.unit.test_kubernetes_rules import ARGO, NEW, NOW, OLD, both, cluster, log, moving, pod, release

Json = dict[str, t.Any]
FIVE, ELEVEN = "2026-11-24T02:05:00Z", "2026-11-24T02:11:00Z"
SOON, LATE, EARLY = "2026-11-24T02:11:03.000Z", "2026-11-24T02:12:55.000Z", "2026-11-24T02:10:07.000Z"
FEATURE: Json = {"configmap": "api-config", "key": "BULK", "off_value": "false"}
ON: Json = {**FEATURE, "uid": "c1", "immutable": False, "value": "true", "is_shown": True, "written": FIVE, "is_alone": True,
            "beside": "", "owner": None}  # fmt: skip
VARIABLE: Json = {"container": "api", "configmap": "api-config", "key": "BULK", "is_live": False, "is_sure": True, "but": []}
ALL_KEYS, FILE = {**VARIABLE, "key": ""}, {**VARIABLE, "key": "", "is_live": True}
SINCE, BEFORE = [pod("new0", 2), pod("new1", 2)], [pod("old0", 2, created_at=OLD)]
OLDS = [pod(f"old{n}", 2, created_at=OLD) for n in range(3)]
CRASHES: Json = {"ready": False, "reason": "CrashLoopBackOff", "started": {}}
FAILS, SERVES = [log("new0", 100, 40, good=0), log("new1", 100, 40, good=0)], [log("old0", 100)]
RESTART = [release(3, restart=True), release(2, OLD), release(1, OLD)]


def told(pods: list[Json], logs: list[Json], *references: Json, releases: list[Json] | None = None, secrets: list[Json] | None = None,
         **config: t.Any) -> Json:  # fmt: skip
    """A workload whose pods take the key, which was written at five minutes past two."""
    mine = [{**one, "configs": [*(references or [VARIABLE])]} for one in pods]
    own = releases or [release(2), release(1, OLD)]
    return {**cluster(mine, logs, own, secrets=secrets or []), "configs": [{**ON, **config}]}


def mixed(**config: t.Any) -> Json:
    """Two pods that have it and fail, beside one that does not and answers well."""
    return told([*SINCE, *BEFORE], [*FAILS, *SERVES], **config)


def files(written: str, *logs: Json, pods: list[Json] | None = None, **config: t.Any) -> Json:
    return told(pods or OLDS, list(logs), FILE, written=written, **config)


def began(first: str, good: int = 60, *, well: int = 0) -> list[Json]:
    sick = [log(f"old{n}", 100, 40, good=good, first=first) for n in range(3 - well)]
    return [*sick, *(log(f"old{n}", 100) for n in range(3 - well, 3))]


OFTEN = [moving(f"old{n}", (50, 20), (50, 20), (50, 20)) for n in range(3)]
RARELY = [moving(f"old{n}", (50, 2), (50, 2), (50, 40)) for n in range(3)]
WRITTEN_SINCE: Json = {"name": "api-secrets", "exists": True, "uid": "s1", "immutable": False, "keys": {"X": 9}, "written": {"X": NEW},
                       "owner": None}  # fmt: skip
JUDGED: list[tuple[str, Json, str]] = [
    ("pods that were started since fail, those before do not", mixed(), "likely"),
    ("all keys are taken", told([*SINCE, *BEFORE], [*FAILS, *SERVES], ALL_KEYS), "likely"),
    ("a restart is half way", told([pod("new0", 3), *BEFORE], [FAILS[0], *SERVES], releases=RESTART), "likely"),
    ("a pod waits for room", told([*SINCE, *BEFORE, pod("new2", 2, ready=False, started={})], [*FAILS, *SERVES]), "likely"),
    ("something else was written with it", mixed(is_alone=False), "possible"),
    ("something else was written since the oldest was started", mixed(beside=FIVE), "possible"),
    ("something else was written long before", mixed(beside="2026-11-24T00:30:00Z"), "likely"),
    ("a Secret was written since", told([*SINCE, *BEFORE], [*FAILS, *SERVES], secrets=[WRITTEN_SINCE]), "possible"),
    ("it was written a day before they were started", told(
        [*SINCE, pod("old0", 2, created_at="2026-11-22T01:00:00Z")], [*FAILS, *SERVES], written="2026-11-23T02:00:00Z"), "possible"),
    ("one that has it answers well", told([*SINCE, *BEFORE], [FAILS[0], log("new1", 200, 1, good=0), *SERVES]), "gap"),
    ("they had answered well with it", told([*SINCE, *BEFORE], [log("new0", 100, 40), log("new1", 100, 40), *SERVES]), "gap"),
    ("both fail", told([*SINCE, *BEFORE], [*FAILS, log("old0", 100, 40)]), "gap"),
    ("many answer well without it", told([SINCE[0], *OLDS], [log("new0", 40, 40, good=0), *(log(f"old{n}", 2000) for n in range(3))]), "likely"),
    ("their logs were cut", told([*SINCE, *BEFORE], [{**one, "cut": True} for one in (*FAILS, *SERVES)]), "gap"),
    ("a container was started again", told(
        [pod("new0", 2, created_at=OLD, restarts=3, started={"api": NEW}), *BEFORE], [FAILS[0], *SERVES]), "gap"),
    ("they run another image", told([pod("new0", 2, image_ids=["x"]), *BEFORE], [FAILS[0], *SERVES]), "possible"),
    ("a Secret was written before it, since the oldest was started", told(
        [*SINCE, *BEFORE], [*FAILS, *SERVES], secrets=[{**WRITTEN_SINCE, "written": {"X": "2026-11-24T02:04:00Z"}}]), "possible"),
    ("when something else was written is not known", mixed(beside=None), "possible"),
    ("both fail, one more often", told([*SINCE, *BEFORE], [*FAILS, log("old0", 100, 20)]), "gap"),
    ("too few requests to those before", told([*SINCE, *BEFORE], [*FAILS, log("old0", 9)]), "gap"),
    ("all were started since", told(SINCE, FAILS), "gap"),
    ("all were started before", told(OLDS, [log(f"old{n}", 100, 40) for n in range(3)]), "gap"),
    ("all were started before it was written last", told(OLDS, [log(f"old{n}", 100, 40) for n in range(3)], is_alone=False), "gap"),
    ("those that have it are well", told([*SINCE, *BEFORE], [log("new0", 100), log("new1", 100), log("old0", 100, 40)]), "ruled out"),
    ("those that have it were not read", told([*SINCE, *BEFORE], [log("old0", 100, 40)]), "gap"),
    ("those that have it crash, and the old one is overloaded", told([pod("new0", 2, **CRASHES), *BEFORE], [log("old0", 100, 40)]), "gap"),
    ("those that have it crash", told([pod("new0", 2, **CRASHES), *BEFORE], [log("new0", 0), *SERVES]), "gap"),
    ("one was started in the same second", told([*SINCE, pod("x", 2, created_at=FIVE)], [*FAILS, log("x", 100)]), "gap"),
    ("one container of a pod is older", told(
        [pod("new0", 2, started={"api": NEW, "side": OLD}), *BEFORE], [FAILS[0], *SERVES], VARIABLE, {**VARIABLE, "container": "side"}), "gap"),
    ("when it was written is not known", mixed(written=""), "gap"),
    ("pods of two releases", told([*SINCE, pod("old0", 1, created_at=OLD)], [*FAILS, *SERVES]), "gap"),
    ("pods of no release", told([pod("new0", None), *BEFORE], [FAILS[0], *SERVES]), "gap"),
    ("another source may stand before it", told([*SINCE, *BEFORE], [*FAILS, *SERVES], {**ALL_KEYS, "is_sure": False}), "gap"),
    ("as a variable and as a file", told([*SINCE, *BEFORE], [*FAILS, *SERVES], VARIABLE, FILE), "gap"),
    ("it is off, and all pods have that", told(SINCE, FAILS, value="false"), "ruled out"),
    ("it is off in other letters", told(SINCE, FAILS, value="False "), "ruled out"),
    ("it is off in other words", told(SINCE, FAILS, value="off"), "gap"),
    ("a switch that switches off, and is not on", told(SINCE, FAILS, value="false", off_value="true"), "gap"),
    ("it is off, and an old one crashes", told([*SINCE, pod("old0", 2, **CRASHES)], FAILS, value="false"), "gap"),
    ("two that have it crash, and the old one is well", told([pod(f"new{n}", 2, **CRASHES) for n in range(2)] + BEFORE, SERVES), "gap"),
    ("it is off, and a pod is older", mixed(value="false"), "gap"),
    ("it is not there", told(SINCE, FAILS, value=None), "gap"),
    ("its quotes were forgotten", mixed(off_value=False), "gap"),
    ("it looks like a secret", mixed(value=None, is_shown=False), "gap"),
    ("all is well", told([*SINCE, *BEFORE], [log("new0", 100), log("new1", 100), *SERVES]), "ruled out"),
    ("all is well, of what was read", told([*SINCE, *BEFORE], SERVES), "gap"),
    ("few ask for what fails", told(SINCE, [both("new0", 200, 9), log("new1", 200)]), "gap"),
    ("another key is taken", told([*SINCE, *BEFORE], [*FAILS, *SERVES], {**VARIABLE, "key": "OTHER"}), "gap"),
    ("the key comes from elsewhere", told([*SINCE, *BEFORE], [*FAILS, *SERVES], {**ALL_KEYS, "but": ["BULK"]}), "gap"),
    ("another ConfigMap is taken", told([*SINCE, *BEFORE], [*FAILS, *SERVES], {**VARIABLE, "configmap": "other"}), "gap"),
    ("as a file: requests fail from right after it", files(ELEVEN, *began(SOON)), "likely"),
    ("as a file: one sees it too and is well", files(ELEVEN, *began(SOON, well=1)), "gap"),
    ("as a file: something else was written then", files(ELEVEN, *began(SOON), beside="2026-11-24T02:10:30Z"), "possible"),
    ("as a file: something else was written long before", files(ELEVEN, *began(SOON), beside=OLD), "likely"),
    ("as a file: they failed long after it", files(FIVE, *began(SOON)), "gap"),
    ("as a file: too few were well before", files(ELEVEN, *began(SOON, good=1)), "gap"),
    ("as a file: a pod was started since", files(ELEVEN, *began(SOON), pods=[*OLDS, pod("young", 2, created_at=LATE)]), "gap"),
    ("as a file: they failed as often before it", files("2026-11-24T02:11:30Z", *OFTEN), "gap"),
    ("as a file: a Secret was written then", {**files(ELEVEN, *began(SOON)), "secrets": [{**WRITTEN_SINCE, "written": {"X": "2026-11-24T02:10:58Z"}}]},
     "possible"),
    ("as a file: they failed as often before it was written last", files("2026-11-24T02:11:30Z", *OFTEN, is_alone=False), "gap"),
    ("as a file: they failed now and then before it", files("2026-11-24T02:11:30Z", *RARELY), "gap"),
    ("as a file: one had failed before it", files(ELEVEN, *began(EARLY)), "gap"),
    ("as a file: it was put off just now", files("2026-11-24T02:12:30Z", *began(SOON), value="false"), "gap"),
    ("as a file: it was off when they were started", files("2026-11-24T00:30:00Z", *began(SOON), value="false"), "ruled out"),
]  # fmt: skip


def kind_of(one: Observation) -> str:
    if isinstance(one, Finding):
        return one.confidence
    return "gap" if isinstance(one, Gap) else "ruled out"


@pytest.mark.parametrize(("name", "facts", "expected"), JUDGED, ids=[row[0] for row in JUDGED])
def test_what_is_said_of_a_feature(name: str, facts: Json, expected: str) -> None:
    (found,) = features(facts)
    assert kind_of(found) == expected, found


def test_of_two_features_that_fit_neither_is_shown() -> None:
    facts = mixed()
    facts["configs"] = [ON, {**ON, "key": "OTHER", "written": "2026-11-24T02:04:00Z"}]
    for one in facts["pods"]:
        one["configs"] = [ALL_KEYS]
    found = [one for one in features(facts) if isinstance(one, Finding)]
    assert [(one.confidence, one.subject.key, one.targets["disable_feature"]) for one in found] == [
        ("possible", "shop/api-config/BULK", ()), ("possible", "shop/api-config/OTHER", ()),
    ]  # fmt: skip


@pytest.mark.parametrize(("written", "confidence"), [("2026-11-24T02:05:00Z", "likely"), ("2026-11-24T00:30:00Z", "proven")])
def test_a_release_is_not_proven_beside_a_feature_that_came_with_it(written: str, confidence: str) -> None:
    facts = told([*SINCE, pod("old0", 1, created_at=OLD)], [*FAILS, *SERVES], written=written)
    (found,) = [one for one in bad_release(facts) if isinstance(one, Finding)]
    assert found.confidence == confidence
    assert ("BULK of api-config" in found.evidence["why"]) is (confidence == "likely")


PREFIXED: Json = {**ALL_KEYS, "is_sure": False}
NOT_OFFERED: list[tuple[str, Json]] = [
    ("another tool writes it", mixed(owner=ARGO)),
    ("it is immutable", mixed(immutable=True)),
    ("it is known by no uid", mixed(uid="")),
    ("it is not sure", mixed(is_alone=False)),
    ("another workload takes it too", told([*SINCE, *BEFORE, pod("other", None, workload="web")], [*FAILS, *SERVES])),
]


@pytest.mark.parametrize(("name", "facts"), NOT_OFFERED, ids=[row[0] for row in NOT_OFFERED])
def test_what_must_not_be_written_is_found_and_not_offered(name: str, facts: Json) -> None:
    found = [one for one in features(facts) if isinstance(one, Finding)]
    assert [one.targets["disable_feature"] for one in found] == [()], name


def test_what_another_workload_takes_under_other_names_is_not_written() -> None:
    facts = mixed()
    facts["pods"].append(pod("other", None, workload="web", configs=[PREFIXED]))
    (found,) = [one for one in features(facts) if isinstance(one, Finding)]
    assert (found.confidence, found.targets["disable_feature"]) == ("likely", ())


def test_what_is_offered_names_both_values() -> None:
    for facts in (mixed(), files(ELEVEN, *began(SOON))):
        (found,) = features(facts)
        assert isinstance(found, Finding)
        (target,) = found.targets["disable_feature"]
        assert target == {"namespace": "shop", "configmap": "api-config", "uid": "c1", "key": "BULK", "was": "true", "value": "false",
                          "workload": "api", "workload_uid": "u1"}  # fmt: skip


def test_what_else_they_take_is_named() -> None:
    facts = mixed()
    facts["pods"][0]["secrets"] = [{"container": "api", "secret": "keys", "key": "X"}]
    facts["pods"][0]["configs"].append({**ALL_KEYS, "configmap": "other"})
    (found,) = features(facts)
    assert isinstance(found, Finding)
    assert (
        "what else they take (ConfigMap other, Secret keys) may have changed too, and a key that was taken away"
        in found.evidence["why"]
    )


def test_how_a_pod_takes_a_key() -> None:
    spec = {
        "containers": [
            {"name": "api", "envFrom": [{"configMapRef": {"name": "a"}}, {"prefix": "X_", "configMapRef": {"name": "hidden"}}],
             "env": [{"name": "B", "valueFrom": {"configMapKeyRef": {"name": "b", "key": "k"}}}, {"name": "C", "value": "1"}],
             "volumeMounts": [{"name": "one"}, {"name": "two", "subPath": "x"}, {"name": "two"}]},
            {"name": "side"},
        ],
        "volumes": [
            {"name": "one", "projected": {"sources": [{"configMap": {"name": "c"}}, {"secret": {"name": "s"}}]}},
            {"name": "two", "configMap": {"name": "d", "items": [{"key": "k", "path": "p"}]}},
            {"name": "three", "configMap": {"name": "unmounted"}},
        ],
    }  # fmt: skip
    found = [
        (one["container"], one["configmap"], one["key"], one["is_live"], one["is_sure"], one["but"]) for one in configs_of(spec)
    ]
    assert found == [
        ("api", "b", "k", False, True, []), ("api", "a", "", False, False, ["B", "C"]),
        ("api", "hidden", "", False, False, ["B", "C"]), ("api", "c", "", True, False, []), ("api", "d", "k", False, False, []),
    ]  # fmt: skip


def test_an_odd_reference_takes_nothing_of_the_others() -> None:
    odd = {"name": "api", "env": [None, {"name": "B", "valueFrom": {"configMapKeyRef": {"name": "b", "key": "k"}}}, {"name": "B", "value": "1"}],
           "envFrom": [{"configMapRef": {"optional": True}}, None], "volumeMounts": [{}, {"name": "v"}]}  # fmt: skip
    volumes = [
        None,
        {},
        {"name": "v", "projected": {"sources": [None, {"configMap": {"name": "c"}}, {"configMap": {"name": "d"}}]}},
    ]
    found = [(one["configmap"], one["is_sure"]) for one in configs_of({"containers": [odd], "volumes": volumes})]
    assert found == [("b", False), ("c", False), ("d", False)], "named twice, and two sources in one folder"


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


def write(server: Server, *, dry_run: bool = False, own: Own | None = None) -> str:
    return ConfigWriter(Client(server, "lab"), KEY, "false", "true", own).write(dry_run=dry_run)


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


WRITERS: list[tuple[str, Json, str, bool]] = [
    ("we wrote it last", managed(("sre.runbooks", NEW, ["BULK"]), ("kubectl", OLD, ["A"])), NEW, True),
    ("we wrote it last, and when is not known", managed(("sre.runbooks", NEW, ["BULK"])), "", True),
    ("another run of ours wrote it since", managed(("sre.runbooks", NEW, ["BULK"])), OLD, False),
    ("somebody wrote it since", managed(("kubectl-edit", NEW, ["BULK"])), NEW, False),
    ("somebody wrote it as well", managed(("sre.runbooks", NEW, ["BULK"]), ("kubectl", NEW, ["BULK"])), NEW, False),
    ("nobody knows", {}, "", False),
]


@pytest.mark.parametrize(("name", "books", "at", "is_ours"), WRITERS, ids=[row[0] for row in WRITERS])
def test_only_what_we_wrote_is_taken_back(name: str, books: Json, at: str, is_ours: bool) -> None:
    server = Server(config({"BULK": "true"}, metadata=books))
    if is_ours:
        assert write(server, own=Own(at))
    else:
        with pytest.raises(KubernetesError, match="somebody else since"):
            write(server, own=Own(at))
    assert bool(server.sent) is is_ours, name


REFUSED: list[tuple[str, Json, int, str]] = [
    ("another value", config({"BULK": "maybe"}), 200, "does not hold 'true'"),
    ("no value", config({}), 200, "does not hold 'true'"),
    ("another ConfigMap", config({"BULK": "true"}, metadata={"uid": "c2"}), 200, "its uid differs"),
    ("immutable", config({"BULK": "true"}, immutable=True), 200, "immutable"),
    ("Argo CD keeps it", config({"BULK": "true"}, metadata={"labels": {"argocd.argoproj.io/instance": "shop"}}), 200, "Argo CD"),
    (
        "a controller wrote it, as helm is called",
        config({"BULK": "true"}, metadata=managed(("helm-controller", FIVE, ["BULK"]))),
        200,
        "helm-controller",
    ),
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


ALONE = ("kubectl-edit", NEW, ["BULK"])
LABELLED: Json = {
    "managedFields": [{"manager": "kubectl", "time": NEW, "fieldsV1": {"f:data": {".": {}, "f:BULK": {}}, "f:metadata": {}}}]
}
BINARY: Json = {
    "managedFields": [*managed(ALONE)["managedFields"], {"manager": "x", "time": OLD, "fieldsV1": {"f:binaryData": {"f:B": {}}}}]
}
TIMELESS: Json = {"managedFields": [*managed(ALONE)["managedFields"], {"manager": "x", "fieldsV1": {"f:data": {"f:BULK": {}}}}]}
TWO = {"BULK": "true", "A": "1"}
LOOKS: list[tuple[str, Json, Json]] = [
    ("a person changed it alone", config(TWO, metadata=managed(("kubectl-client-side-apply", OLD, ["A"]), ALONE)),
     {"value": "true", "written": NEW, "is_alone": True, "beside": OLD}),
    ("it was applied with others", config(TWO, metadata=managed(("kubectl", NEW, ["A", "BULK"]))), {"written": NEW, "is_alone": False}),
    ("its time moves with a label's", config(TWO, metadata=LABELLED), {"written": NEW, "is_alone": False}),
    ("something binary is beside it", config(TWO, metadata=BINARY), {"is_alone": True, "beside": OLD}),
    ("one of its writers left no time", config(TWO, metadata=TIMELESS), {"written": ""}),
    ("somebody wrote the same later", config(TWO, metadata=managed(ALONE, ("kustomize", NOW, ["BULK"]))), {"written": NOW, "is_alone": False}),
    ("when something else was written is not known", config(TWO, metadata={"managedFields": [
        *managed(ALONE)["managedFields"], {"manager": "kubectl", "fieldsV1": {"f:data": {"f:A": {}}}}]}), {"is_alone": True, "beside": None}),
    ("nobody is known to have written it", config(TWO), {"written": "", "is_alone": False, "beside": ""}),
    ("it is not there", config({"A": "1"}), {"value": None, "is_shown": True, "written": "", "is_alone": False}),
    ("it is long", config({"BULK": "x" * 25}), {"value": None, "is_shown": False}),
    ("it looks like a secret", config({"BULK": "ghp_0123456789abcdef"}), {"value": None, "is_shown": False}),
    ("it has two lines", config({"BULK": "true\nDO rm -rf"}), {"value": None, "is_shown": False}),
]  # fmt: skip


def test_a_value_whose_key_is_a_password_s_is_not_shown() -> None:
    feature = {**FEATURE, "key": "DB_PASSWORD"}
    assert config_of(t.cast("t.Any", feature), config({"DB_PASSWORD": "hunter2"}))["value"] is None


@pytest.mark.parametrize(("name", "one", "expected"), LOOKS, ids=[row[0] for row in LOOKS])
def test_how_a_key_stands(name: str, one: Json, expected: Json) -> None:
    found = config_of(t.cast("t.Any", FEATURE), one)
    assert {key: dict(found)[key] for key in expected} == expected, name


def test_a_configmap_that_is_not_there_is_an_answer() -> None:
    (found,) = look_at_configs(Client(Server({}, 404), "lab"), "shop", [t.cast("t.Any", FEATURE)])
    assert (found["uid"], found["value"]) == ("", None)


@pytest.mark.parametrize(
    ("restarted", "is_made_up_for"), [(None, True), (OLD, True), ("2026-11-24T02:10:01+00:00", False), ("soon", True)]
)
def test_a_restart_that_was_not_reached_is_made_up_for(restarted: str | None, is_made_up_for: bool) -> None:
    """A run that wrote and was ended before its restart: the next one finds the value there, and pods that lack it."""
    ours = config({"BULK": "false"}, metadata=managed(("sre.runbooks", NEW, ["BULK"])))
    stamp = {} if restarted is None else {"annotations": {"kubectl.kubernetes.io/restartedAt": restarted}}
    deployment = {
        "kind": "Deployment",
        "metadata": {"name": "api", "uid": "u1", "generation": 1},
        "spec": {"template": {"metadata": stamp}},
    }
    sent: list[str] = []

    def server(method: str, path: str, _body: bytes | None, _type: str | None) -> Answer:
        if method == "PATCH":
            sent.append(path)
        return Answer(200, [json.dumps(ours if "configmaps" in path else deployment).encode()])

    client = Client(server, "lab")
    params = {"namespace": "shop", "restart": "api", "restart_uid": "u1", "wait_seconds": 0.0}
    change = Change(params, client, ConfigWriter(client, KEY, "false", "true"), dry_run=False)
    change.write()
    change.restart()
    assert bool(sent) is bool(change.done) is is_made_up_for
