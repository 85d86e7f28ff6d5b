"""Rollouts by the exchange with the API server: what is asked, what is sent, and what is refused before anything is."""

from __future__ import annotations

import contextlib
import copy
import itertools
import json
import threading
import types
import typing as t

import pytest
from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.client import (
    MOST_BYTES,
    MOST_PAGES,
    Answer,
    Client,
    _is_proxied,
)
from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.errors import (
    KubernetesError,
    OutcomeUnknownError,
    RefusedError,
)
from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.logs import LEAST_BYTES, MOST_LOGS, Asked, read_logs
from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.rollout import Rollout, Target, shown
from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.templates import changes, is_restarted
from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.workloads import look, revision_of

Json = dict[str, t.Any]
DEPLOYMENT = "/apis/apps/v1/namespaces/shop/deployments/api"
PATCH = f"{DEPLOYMENT}?fieldManager=sre.runbooks"
TARGET = Target("shop", "api", "u1", "h2")


class LostError(OSError):
    sent = True


def broken_off() -> t.Iterator[bytes]:
    yield b'{"metadata": '
    raise LostError("the answer broke off")


class Server:
    """Answers each request with the next of its answers; an exception among them is raised."""

    def __init__(self, **answers: t.Any) -> None:
        self.answers = {key: list(value) for key, value in answers.items()}
        self.asked: list[tuple[str, str, t.Any]] = []

    def __call__(self, method: str, path: str, body: bytes | None, content_type: str | None) -> Answer:
        self.asked.append((method, path, json.loads(body) if body else None))
        name = {"PATCH": "patch"}.get(method) or ("sets" if "replicasets" in path else "pods" if "/pods" in path else "get")
        answers = self.answers[name]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, Answer):
            return answer
        status, told = answer if isinstance(answer, tuple) else (200, answer)
        return Answer(status, [json.dumps(told).encode()])

    @property
    def patches(self) -> list[tuple[str, t.Any]]:
        return [(path, body) for method, path, body in self.asked if method == "PATCH"]


def template(image: str, **labels: str) -> Json:
    return {"metadata": {"labels": {"app": "api", **labels}}, "spec": {"containers": [{"name": "api", "image": image}]}}


def replica_set(revision: int, image: str, *, owner: str = "u1", **annotations: str) -> Json:
    meta = {"name": f"api-{revision}", "uid": f"rs{revision}", "creationTimestamp": "2026-11-24T01:00:00Z",
            "labels": {"pod-template-hash": f"h{revision}"}, "ownerReferences": [{"uid": owner, "controller": True, "name": "api"}],
            "annotations": {"deployment.kubernetes.io/revision": str(revision), **annotations}}  # fmt: skip
    return {"metadata": meta, "spec": {"template": template(image, **{"pod-template-hash": f"h{revision}"})}}


def deployment(image: str = "api:2", **changes: t.Any) -> Json:
    spec = {"replicas": 3, "template": template(image), "selector": {"matchLabels": {"app": "api"}}, **changes.pop("spec", {})}
    meta = {"name": "api", "uid": "u1", "resourceVersion": "77", "generation": 2, "creationTimestamp": "2026-11-24T01:00:00Z",
            "annotations": {"team": "payments", "deployment.kubernetes.io/revision": "2", "kubernetes.io/change-cause": "two"},
            **changes.pop("metadata", {})}  # fmt: skip
    status = {"observedGeneration": 2, "replicas": 3, "updatedReplicas": 3, "availableReplicas": 3, **changes.pop("status", {})}
    return {"metadata": meta, "spec": spec, "status": status}


SETS = {"items": [replica_set(1, "api:1", team="payments", **{"kubernetes.io/change-cause": "one"}), replica_set(2, "api:2")]}
GOOD: Json = {"get": [deployment()], "sets": [SETS], "patch": [deployment("api:1")], "pods": [{"items": []}]}


def rollout(server: Server, client: Client | None = None) -> Rollout:
    clock = iter(range(1000))
    return Rollout(client or Client(server, "prod"), lambda: float(next(clock)), lambda _seconds: None)


def undo(server: Server, target: Target = TARGET, **changes: t.Any) -> t.Any:
    wanted = {"to_revision": 0, "to_hash": None, "force": False, "dry_run": False, **changes}
    return rollout(server).undo(target, **wanted)


def test_it_goes_back_as_kubectl_does_and_the_server_compares() -> None:
    server = Server(**GOOD)
    outcome = undo(server)
    ((path, body),) = server.patches
    assert path == PATCH
    assert body == [
        {"op": "test", "path": "/metadata/uid", "value": "u1"},
        {"op": "test", "path": "/metadata/resourceVersion", "value": "77"},
        {"op": "replace", "path": "/spec/template", "value": template("api:1")},
        {"op": "add", "path": "/metadata/annotations", "value": {
            "team": "payments", "kubernetes.io/change-cause": "one", "deployment.kubernetes.io/revision": "2"}},
    ]  # fmt: skip
    assert outcome.done == ("rolled Deployment shop/api back from revision 2 (api:2) to revision 1 (api:1)",)


def test_a_dry_run_asks_the_server_and_stores_nothing() -> None:
    server = Server(**GOOD)
    assert undo(server, dry_run=True).changed is True
    assert server.patches[0][0] == f"{PATCH}&dryRun=All"


CHOSEN = [
    ("the one before, over a gap", [1, 4, 7], {}, "h4"),
    ("a revision", [1, 4, 7], {"to_revision": 1}, "h1"),
    ("a release by its hash", [1, 4, 7], {"to_hash": "h1"}, "h1"),
]


@pytest.mark.parametrize(
    ("told", "revision"),
    [("7", 7), ("10000000000", 10**10), (str(2**63 - 1), 2**63 - 1), ("9" * 40, 0), ("-1", 0), ("", 0), ("x", 0)],
)
def test_a_revision_is_any_that_a_controller_counts_to(told: str, revision: int) -> None:
    """Somebody's ReplicaSet with ten nines makes the controller go on with eleven digits."""
    assert revision_of({"metadata": {"annotations": {"deployment.kubernetes.io/revision": told}}}) == revision


@pytest.mark.parametrize(("name", "revisions", "asked", "expected"), CHOSEN, ids=[row[0] for row in CHOSEN])
def test_which_release(name: str, revisions: list[int], asked: Json, expected: str) -> None:
    sets = [replica_set(number, f"api:{number}") for number in revisions]
    sets.append(replica_set(9, "other:9", owner="u2"))  # of another Deployment, with the same labels
    server = Server(**{**GOOD, "get": [deployment("api:7")], "sets": [{"items": sets}]})
    undo(server, Target("shop", "api", "u1", "h7"), **asked)
    image = server.patches[0][1][2]["value"]["spec"]["containers"][0]["image"]
    assert f"h{image.rpartition(':')[2]}" == expected


def test_the_same_template_is_left_alone() -> None:
    server = Server(**{**GOOD, "sets": [{"items": [replica_set(1, "api:2"), replica_set(2, "api:2")]}]})
    assert undo(server).changed is False
    assert server.patches == []


FLUX = {"kustomize.toolkit.fluxcd.io/name": "shop", "kustomize.toolkit.fluxcd.io/namespace": "flux"}
OPERATOR = {"apiVersion": "example.org/v1", "kind": "Custody", "name": "main", "uid": "c", "controller": True}


def twin(one: Json) -> Json:
    return {**one, "metadata": {**one["metadata"], "annotations": {}, "name": "other", "uid": "rs8"}}


REFUSED: list[tuple[str, Json, Json, str]] = [
    ("paused", {"get": [deployment(spec={"paused": True})]}, {}, "is paused.* rollout resume deployment/api first"),
    ("another one of the name", {"get": [deployment(metadata={"uid": "u9"})]}, {}, "its uid differs.*nothing was changed"),
    ("another release by now", {"sets": [{"items": [*SETS["items"], replica_set(3, "api:3")]}]}, {}, "runs another release"),
    ("a template that no release has yet", {"get": [deployment("api:3")]}, {}, "runs another release"),
    ("two releases of one hash", {"sets": [{"items": [*SETS["items"], twin(SETS["items"][0])]}]}, {"to_hash": "h1"},
     "the revisions 1, 0 cannot be told apart by h1"),
    ("an empty hash", {}, {"to_hash": ""}, "has no release"),
    ("an operator keeps it", {"get": [deployment(metadata={"ownerReferences": [OPERATOR]})]}, {}, "Custody .main.*would roll it"),
    ("Argo CD keeps it", {"get": [deployment(metadata={"annotations": {"argocd.argoproj.io/tracking-id": "shop:apps/x"}})]}, {},
     "Argo CD .shop.*argocd app set shop --sync-policy none first"),
    ("Flux keeps it", {"get": [deployment(metadata={"labels": FLUX})]}, {}, "flux suspend kustomization shop -n flux first"),
    ("no earlier one", {"sets": [{"items": [replica_set(2, "api:2")]}]}, {}, "has no earlier revision; there are: 2"),
    ("an unknown revision", {}, {"to_revision": 9}, "has no revision 9; there are: 2, 1. Nothing was changed"),
    ("an unknown release", {}, {"to_hash": "h9"}, "has no release h9"),
    ("no such Deployment", {"get": [(404, {"message": 'deployments.apps "api" not found'})]}, {}, 'prod: GET .*"api" not found'),
    ("no permission", {"patch": [(403, {"message": "cannot patch"})]}, {}, "HTTP 403: cannot patch; docs/rbac has the roles to grant"),
    ("an expired login", {"get": [(401, {"message": "Unauthorized"})]}, {}, "log in again"),
    ("no API server", {"get": [OSError("refused")]}, {}, "Is the API server reachable from here"),
    ("no JSON", {"get": [(200, "text")]}, {}, "the answer is no object; is that an API server"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "answers", "asked", "message"), REFUSED, ids=[row[0] for row in REFUSED])
def test_refused(name: str, answers: Json, asked: Json, message: str) -> None:
    server = Server(**{**GOOD, **answers})
    with pytest.raises(KubernetesError, match=message):
        undo(server, **asked)
    assert name == "no permission" or server.patches == []


def test_a_check_that_was_asked_for_with_nothing_refuses() -> None:
    with pytest.raises(KubernetesError, match="runs another release"):
        undo(Server(**GOOD), Target("shop", "api", "u1", ""))


def test_what_argo_cd_keeps_is_changed_where_a_person_insists() -> None:
    server = Server(**{**GOOD, "get": [deployment(metadata={"annotations": {"argocd.argoproj.io/tracking-id": "shop:x"}})]})
    assert undo(server, force=True).changed is True


@pytest.mark.parametrize(("conflicts", "tries"), [(1, 2), (2, 3)])
def test_a_conflict_is_judged_anew(conflicts: int, tries: int) -> None:
    server = Server(**{**GOOD, "patch": [*[(409, {"message": "conflict"})] * conflicts, deployment("api:1")]})
    assert undo(server).changed is True
    assert len(server.patches) == tries


def test_after_three_conflicts_nothing_was_changed() -> None:
    server = Server(**{**GOOD, "patch": [(409, {"message": "conflict"})]})
    with pytest.raises(RefusedError):
        undo(server)
    assert len(server.patches) == 3


BROKEN = Answer(200, broken_off())
UNKNOWN: list[tuple[str, t.Any]] = [
    ("no answer", LostError("broken off")),
    ("the answer breaks off", BROKEN),
    ("an answer that is none", Answer(200, [b"<html>"])),
    ("stored, and then the server's own trouble", (500, {"message": "etcdserver: request timed out"})),
    ("a gateway that gave up waiting", (504, {"message": "Timeout"})),
]


@pytest.mark.parametrize(("name", "answer"), UNKNOWN, ids=[row[0] for row in UNKNOWN])
def test_a_write_without_an_answer_is_unknown_and_counts_as_changed(name: str, answer: t.Any) -> None:
    server = Server(**{**GOOD, "patch": [answer]})
    client = Client(server, "prod")
    with pytest.raises(OutcomeUnknownError, match="nobody knows whether it was done"):
        rollout(server, client).undo(TARGET, to_revision=0, to_hash=None, force=False, dry_run=False)
    assert client.wrote is True


@pytest.mark.parametrize(("answer", "dry_run"), [((403, {"message": "no"}), False), (deployment("api:1"), True)])
def test_what_was_refused_or_only_tried_is_not_changed(answer: t.Any, dry_run: bool) -> None:
    server = Server(**{**GOOD, "patch": [answer]})
    client = Client(server, "prod")
    with contextlib.suppress(RefusedError):
        rollout(server, client).undo(TARGET, to_revision=0, to_hash=None, force=False, dry_run=dry_run)
    assert client.wrote is False


def test_the_same_once_more_is_nothing() -> None:
    server = Server(**{**GOOD, "get": [deployment("api:1")]})
    assert undo(server, to_hash="h1").changed is False
    assert server.patches == []


def test_a_newer_template_that_no_replica_set_has_yet_is_waited_for() -> None:
    seen = deployment("api:3", metadata={"generation": 3})
    server = Server(**{**GOOD, "get": [seen, seen, deployment()]})
    assert undo(server).changed is True
    with pytest.raises(KubernetesError, match="its controller has not seen it within 10 s"):
        undo(Server(**{**GOOD, "get": [seen]}))


def test_a_deployment_scaled_to_nothing_says_so() -> None:
    assert "no pod shows whether that helps" in undo(Server(**{**GOOD, "get": [deployment(spec={"replicas": 0})]})).done[1]


def test_an_endless_list_ends() -> None:
    server = Server(**{**GOOD, "pods": [{"items": [{}], "metadata": {"continue": "more"}}]})
    with pytest.raises(KubernetesError, match="too many for one look"):
        Client(server, "prod").items("/api/v1/namespaces/shop/pods")
    assert len(server.asked) == MOST_PAGES


def test_an_endless_answer_ends() -> None:
    read = itertools.count(1)
    pieces = (b" " * 1048576 for _piece in read)
    server = Server(**{**GOOD, "get": [Answer(200, pieces)]})
    with pytest.raises(KubernetesError, match=f"longer than {MOST_BYTES} bytes"):
        Client(server, "prod").get(DEPLOYMENT)
    assert next(read) == MOST_BYTES // 1048576 + 2


@pytest.mark.parametrize(
    ("no_proxy", "proxied"), [("", True), ("api.example.org", False), (".example.org", False), ("other", True)]
)
def test_a_proxy_is_left_out_where_no_proxy_says_so(no_proxy: str, proxied: bool) -> None:
    where = types.SimpleNamespace(host="https://api.example.org:6443", proxy="http://proxy:3128", no_proxy=no_proxy)
    assert _is_proxied(where) is proxied


def failing_pod(reason: str, owner: str) -> Json:
    state = {"waiting": {"reason": reason, "message": "back-off 40s"}}
    return {"metadata": {"name": "api-x", "uid": "p", "creationTimestamp": "x", "ownerReferences": [{"uid": owner, "controller": True, "name": owner}]},
            "spec": {"containers": [{"name": "api"}]},
            "status": {"containerStatuses": [{"name": "api", "ready": False, "state": state}]}}  # fmt: skip


def ending(pod: Json) -> Json:
    return {**pod, "metadata": {**pod["metadata"], "deletionTimestamp": "x"}}


HALF = {"updatedReplicas": 1, "availableReplicas": 2, "replicas": 4}
STUCK = {**HALF, "conditions": [{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}]}
WAITS: list[tuple[str, Json, str | None]] = [
    ("complete at once", {}, None),
    ("complete after a while", {"get": [deployment(status=HALF), deployment(status=HALF), deployment()]}, None),
    ("not seen by the controller yet", {"get": [deployment(status={"observedGeneration": 1}), deployment()]}, None),
    ("the server has its hands full in between", {"get": [(429, {"message": "later"}), LostError("x"), deployment()]}, None),
    ("it may not be read", {"get": [(403, {"message": "no"})]}, "HTTP 403"),
    ("never", {"get": [deployment(status=HALF)]}, r"not complete within 20 s \(1 updated, 2 available of 3\)"),
    ("stuck", {"get": [deployment(status=STUCK)]}, "no progress within its progressDeadlineSeconds"),
    ("the new pods crash", {"get": [deployment(status=HALF)], "pods": [{"items": [failing_pod("CrashLoopBackOff", "rs2")]}]},
     "the new pods do not come up: api-x CrashLoopBackOff back-off 40s"),
    ("a pod crashes that ends anyway", {"get": [*[deployment(status=HALF)] * 5, deployment()],
                                        "pods": [{"items": [ending(failing_pod("CrashLoopBackOff", "rs2"))]}]}, None),
    ("old pods crash, which end anyway", {"get": [deployment(status=HALF), deployment()],
                                          "pods": [{"items": [failing_pod("CrashLoopBackOff", "rs1")]}]}, None),
]  # fmt: skip


@pytest.mark.parametrize(("name", "answers", "message"), WAITS, ids=[row[0] for row in WAITS])
def test_waiting(name: str, answers: Json, message: str | None) -> None:
    server = Server(**{**GOOD, **answers})
    if message is None:
        assert rollout(server).wait(TARGET, 20)["metadata"]["uid"] == "u1"
        return
    with pytest.raises(KubernetesError, match=message):
        rollout(server).wait(TARGET, 20)


def test_what_the_controller_said_of_the_release_before_is_not_said_of_this_one() -> None:
    server = Server(**{**GOOD, "get": [deployment(status=STUCK), deployment()]})
    assert rollout(server).wait(TARGET, 20, deployment(status=STUCK))["status"]["availableReplicas"] == 3


def test_another_release_meanwhile_is_not_this_one_s_end() -> None:
    with pytest.raises(KubernetesError, match="given another release meanwhile"):
        rollout(Server(**{**GOOD, "get": [deployment("api:9")]})).wait(TARGET, 20, deployment("api:1"))


def test_restart_and_pause() -> None:
    server = Server(**GOOD)
    rollout(server).restart(TARGET, "2026-11-24T02:14:00+00:00", dry_run=False)
    annotations = {"kubectl.kubernetes.io/restartedAt": "2026-11-24T02:14:00+00:00"}
    assert server.patches[-1][1] == {"metadata": {"uid": "u1"}, "spec": {"template": {"metadata": {"annotations": annotations}}}}
    rollout(server).pause(TARGET, paused=True, dry_run=False)
    assert server.patches[-1][1] == {"spec": {"paused": True}}
    assert rollout(server).pause(TARGET, paused=False, dry_run=False).changed is False


def test_a_diff_shows_no_value_of_an_environment() -> None:
    one = copy.deepcopy(template("api:1"))
    container = one["spec"]["containers"][0]
    container |= {"env": [{"name": "JWT_SECRET", "value": "hunter2"}], "args": ["--password=hunter2"], "command": ["hunter2"],
                  "livenessProbe": {"httpGet": {"httpHeaders": [{"name": "Authorization", "value": "hunter2"}]}}}  # fmt: skip
    one["spec"]["initContainers"] = [container]
    one["metadata"]["annotations"] = {"note": "hunter2"}
    assert "hunter2" not in json.dumps(shown(one))
    assert "JWT_SECRET" in json.dumps(shown(one))


def test_a_list_is_read_page_by_page() -> None:
    pages = [{"items": [{"a": 1}], "metadata": {"continue": "more"}}, {"items": [{"a": 2}], "metadata": {}}]
    server = Server(**{**GOOD, "pods": pages})
    assert Client(server, "prod").items("/api/v1/namespaces/shop/pods") == [{"a": 1}, {"a": 2}]
    assert server.asked[1][1].endswith("limit=100&continue=more")


def test_what_may_not_be_read_is_a_gap_and_the_rest_is_read() -> None:
    class Some(Server):
        def __call__(self, method: str, path: str, body: bytes | None, content_type: str | None) -> Answer:
            if "/services" in path:
                return Answer(403, [b'{"message": "services is forbidden"}'])
            items = [deployment()] if "/deployments" in path else sets if "replicasets" in path else []
            return Answer(200, [json.dumps({"items": items}).encode()])

    sets: list[Json] = []
    assert look(Client(Some(), "prod"), "shop", 5.0)["workloads"][0]["releases"] == []
    sets += SETS["items"]
    facts = look(Client(Some(), "prod"), "shop", 5.0)
    assert [gap["diagnostic"] for gap in facts["gaps"]] == ["services"]
    assert "docs/rbac" in facts["gaps"][0]["reason"]
    assert [one["revision"] for one in facts["workloads"][0]["releases"]] == [2, 1]
    assert facts["workloads"][0]["releases"][0]["changes"] == ["image api:1 → api:2"]


def listing(**lists: t.Any) -> Json:
    """The facts of a namespace with these lists, and nothing else."""

    def send(method: str, path: str, body: bytes | None, content_type: str | None) -> Answer:
        name = path.partition("?")[0].rpartition("/")[2]
        return Answer(200, [json.dumps({"items": lists.get(name, [])}).encode()], "Tue, 24 Nov 2026 02:10:00 GMT")

    return look(Client(send, "prod"), "shop", 5.0)


def service(**spec: t.Any) -> Json:
    return {
        "metadata": {"name": "api"},
        "spec": {"selector": {"app": "api"}, "ports": [{"port": 80, "targetPort": "http"}], **spec},
    }


def endpoint_slice(*endpoints: Json, ports: t.Any = ({"port": 8080},)) -> Json:
    return {"metadata": {"labels": {"kubernetes.io/service-name": "api"}}, "ports": ports, "endpoints": list(endpoints)}


SERVED: list[tuple[str, Json, Json, list[str], bool]] = [
    ("a pod", service(), endpoint_slice({"conditions": {"ready": True}, "targetRef": {"name": "api-1"}}), ["api-1"], False),
    ("an address without a pod", service(selector=None), endpoint_slice({"conditions": {"ready": True}, "addresses": ["10.0.0.9"]}),
     ["10.0.0.9"], False),
    ("what is not said is ready", service(), endpoint_slice({"conditions": {}, "targetRef": {"name": "api-1"}}), ["api-1"], False),
    ("not ready", service(), endpoint_slice({"conditions": {"ready": False}, "targetRef": {"name": "api-1"}}), [], False),
    ("a headless service without ports", service(ports=None), endpoint_slice({"conditions": {}, "targetRef": {"name": "api-1"}}, ports=None),
     ["api-1"], False),
    ("a port that no pod has", service(), endpoint_slice({"conditions": {}, "targetRef": {"name": "api-1"}}, ports=None), [], True),
]  # fmt: skip


@pytest.mark.parametrize(("name", "one", "part", "ready", "portless"), SERVED, ids=[row[0] for row in SERVED])
def test_who_serves(name: str, one: Json, part: Json, ready: list[str], portless: bool) -> None:
    (found,) = listing(services=[one], endpointslices=[part])["services"]
    assert (found["ready"], found["portless"]) == (ready, portless)


def test_one_odd_object_is_a_gap_and_the_others_are_told() -> None:
    facts = listing(services=[{"metadata": {"name": "odd"}}, service(), "text"], deployments=[deployment()])
    assert [one["name"] for one in facts["services"]] == ["api"]
    assert [gap["diagnostic"] for gap in facts["gaps"]] == ["services", "services"]
    assert ["no object of the API" in gap["reason"] for gap in facts["gaps"]] == [True, False]
    assert "odd is not understood" in facts["gaps"][1]["reason"]
    assert facts["at"] == "2026-11-24T02:10:00Z"


def pod_with(**status: t.Any) -> Json:
    owner = {"uid": "rs2", "controller": True, "name": "api-2", "kind": "ReplicaSet"}
    meta = {"name": "api-x", "uid": "p", "creationTimestamp": "x", "ownerReferences": [owner]}
    return {"metadata": meta, "spec": {"containers": [{"name": "api"}]}, "status": status}


STATES: list[tuple[str, Json, str | None]] = [
    ("runs", {"containerStatuses": [{"ready": True, "state": {"running": {}}}]}, None),
    ("an init container fails", {"initContainerStatuses": [{"ready": False, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}],
                                 "containerStatuses": [{"ready": False, "state": {"waiting": {"reason": "PodInitializing"}}}]},
     "CrashLoopBackOff"),
    ("an init container is done", {"initContainerStatuses": [{"ready": False, "state": {"terminated": {"reason": "Completed"}}}],
                                   "containerStatuses": [{"ready": True, "state": {"running": {}}}]}, None),
    ("nowhere to go", {"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes"}]},
     "Unschedulable"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "status", "reason"), STATES, ids=[row[0] for row in STATES])
def test_why_a_pod_is_not_ready(name: str, status: Json, reason: str | None) -> None:
    (found,) = listing(pods=[pod_with(**status)], deployments=[deployment()], replicasets=SETS["items"])["pods"]
    assert (found["reason"], found["workload"], found["revision"]) == (reason, "api", 2)


def test_no_secret_of_a_message_or_a_change_cause_is_told() -> None:
    crashed = {"ready": False, "state": {"terminated": {"reason": "Error", "message": "connect: password=hunter2"}}}
    event = {"metadata": {"creationTimestamp": "x"}, "involvedObject": {}, "message": "pull https://u:hunter2@registry/x failed"}
    sets = [replica_set(2, "api:2", **{"kubernetes.io/change-cause": "kubectl set env API_TOKEN=hunter2"})]
    facts = listing(deployments=[deployment()], replicasets=sets, pods=[pod_with(containerStatuses=[crashed])], events=[event])
    assert "hunter2" not in json.dumps(facts)
    assert facts["gaps"] == []


CHANGES: list[tuple[str, Json, list[str], bool]] = [
    ("a restart", {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": "now"}}}, [], True),
    ("a dashboard's restart", {"metadata": {"annotations": {"cattle.io/timestamp": "now"}}}, ["annotation cattle.io/timestamp"], True),
    ("a checksum of a configuration", {"metadata": {"annotations": {"checksum/config": "b"}}}, ["annotation checksum/config"], False),
    ("an init container", {"spec": {"initContainers": [{"name": "migrate"}]}}, ["container migrate is new"], False),
    ("a volume", {"spec": {"volumes": [{"name": "data"}]}}, ["volumes"], False),
    ("nothing", {}, [], False),
]  # fmt: skip


@pytest.mark.parametrize(("name", "change", "expected", "restart"), CHANGES, ids=[row[0] for row in CHANGES])
def test_what_a_release_changed(name: str, change: Json, expected: list[str], restart: bool) -> None:
    before = template("api:1")
    after = {part: {**before[part], **change.get(part, {})} for part in before}
    assert (changes(before, after), is_restarted(before, after)) == (expected, restart)


def test_a_log_that_is_too_long_is_read_from_its_end() -> None:
    asked: list[str] = []

    def send(method: str, path: str, body: bytes | None, content_type: str | None) -> Answer:
        asked.append(path)
        newest = b'2026-11-24T02:10:00Z {"path": "/new", "status": 500}\n'
        return Answer(
            200, [newest] if "tailLines=500" not in path else [b'2026-11-24T02:00:00Z {"path": "/old", "status": 200}\n' * 100]
        )

    pods = [{"name": "api-x", "workload": "api", "revision": 2, "containers": ["api"]}]
    ((told,), gaps) = read_logs(Client(send, "prod"), "shop", pods, Asked(600, 1000), 5.0)
    assert (list(told["endpoints"]), told["cut"]) == (["/new"], True)
    assert "longer than its share of 1000 bytes" in gaps[0]["reason"]
    assert ["tailLines=500" in path for path in asked] == [True, False], "as many lines as fit, and fewer, since they are long"


@pytest.mark.parametrize(("number", "cut"), [(499, False), (500, True)])
def test_a_log_with_more_lines_than_were_asked_for_is_cut(number: int, cut: bool) -> None:
    client = Client(lambda *_asked: Answer(200, [b"x\n" * number]), "prod")
    pods = [{"name": "api-x", "workload": "api", "revision": 2, "containers": ["api"]}]
    ((told,), gaps) = read_logs(client, "shop", pods, Asked(600, 10000), 5.0)
    assert (told["cut"], bool(gaps)) == (cut, cut)


def test_many_containers_share_what_may_be_read() -> None:
    asked: list[str] = []

    def send(method: str, path: str, body: bytes | None, content_type: str | None) -> Answer:
        asked.append(path)
        return Answer(200, [b"x\n"])

    pods = [{"name": f"p{n}", "workload": "api", "revision": 2, "containers": ["api"]} for n in range(4)]
    read_logs(Client(send, "prod"), "shop", pods, Asked(600, 5 << 20, 4 << 20), 5.0)
    assert all(f"limitBytes={1 << 20}" in path for path in asked)
    asked.clear()
    read_logs(Client(send, "prod"), "shop", pods[:1], Asked(600, 5 << 20, 1 << 10), 5.0)
    assert f"limitBytes={LEAST_BYTES}" in asked[0]


def test_a_pod_with_many_containers_takes_nothing_of_the_others() -> None:
    fat = {"name": "fat", "workload": None, "revision": None, "containers": [f"c{n}" for n in range(99)]}
    thin = [{"name": f"p{n}", "workload": "api", "revision": 2, "containers": ["api"]} for n in range(9)]
    told, _gaps = read_logs(Client(lambda *_asked: Answer(200, [b"x\n"]), "prod"), "shop", [fat, *thin], Asked(600, 1000), 5.0)
    assert {one["name"] for one in thin} <= {one["pod"] for one in told}


NO_LISTS = [Answer(200, [b"{}"]), Answer(200, [b'{"kind": "Status"}']), Answer(302, [b""])]


@pytest.mark.parametrize("answer", NO_LISTS, ids=["an empty object", "a status", "a redirect"])
def test_what_is_no_list_is_no_empty_list(answer: Answer) -> None:
    with pytest.raises(KubernetesError):
        Client(Server(**{**GOOD, "pods": [answer]}), "prod").items("/api/v1/namespaces/shop/pods")


def test_what_a_refusal_quotes_is_masked() -> None:
    server = Server(**{**GOOD, "patch": [(403, {"message": 'admission webhook: env DB_PASSWORD="hunter2" is not allowed'})]})
    with pytest.raises(RefusedError) as refused:
        undo(server)
    assert "hunter2" not in str(refused.value)


def test_one_look_at_a_pull_that_is_tried_again_ends_no_waiting() -> None:
    server = Server(**{**GOOD, "get": [deployment(status=HALF), deployment()],
                       "pods": [{"items": [failing_pod("ErrImagePull", "rs2")]}, {"items": []}]})  # fmt: skip
    assert rollout(server).wait(TARGET, 20)["metadata"]["uid"] == "u1"


def test_an_undo_knows_the_hash_that_came_out() -> None:
    changed = [{"items": [*SETS["items"], replica_set(3, "api:1")]}]
    server = Server(**{**GOOD, "get": [deployment(), deployment("api:1")], "sets": [SETS, *changed]})
    one = rollout(server)
    done = one.undo(TARGET, to_revision=0, to_hash=None, force=False, dry_run=False)
    one.wait(TARGET, 20, done.deployment)
    assert one.made == {"uid": "u1", "from_hash": "h2", "to_hash": "h3"}


def test_a_pod_belongs_to_a_replica_set_by_its_uid() -> None:
    liar = pod_with()
    liar["metadata"]["ownerReferences"] = [{"uid": "other", "controller": True, "name": "api", "kind": "Deployment"}]
    (found,) = listing(pods=[liar], deployments=[deployment()], replicasets=SETS["items"])["pods"]
    assert (found["kind"], found["workload"], found["revision"]) == (None, None, None)


def test_a_log_that_hangs_takes_none_of_the_others() -> None:
    def send(method: str, path: str, body: bytes | None, content_type: str | None) -> Answer:
        if "/slow/" in path:
            threading.Event().wait()
        return Answer(200, [b'{"path": "/a", "status": 200}\n'])

    pods = [{"name": name, "workload": "api", "revision": 2, "containers": ["api"]} for name in ("slow", "quick")]
    told, gaps = read_logs(Client(send, "prod"), "shop", pods, Asked(600, 1000), 0.3)
    assert [one["pod"] for one in told] == ["quick"]
    assert gaps == [{"diagnostic": "log of slow/api", "reason": "not within 0.3 s"}]


def test_of_many_pods_each_release_is_read() -> None:
    pods = [{"name": f"old{n}", "workload": "api", "revision": 1, "containers": ["api"]} for n in range(MOST_LOGS)]
    pods.append({"name": "new", "workload": "api", "revision": 2, "containers": ["api"]})
    told, gaps = read_logs(Client(lambda *_asked: Answer(200, [b"x\n"]), "prod"), "shop", pods, Asked(600, 1000), 5.0)
    assert "new" in {one["pod"] for one in told}
    assert gaps == [{"diagnostic": "logs", "reason": f"of {MOST_LOGS + 1} containers {MOST_LOGS} were read"}]
