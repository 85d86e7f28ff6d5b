"""The rules on Kubernetes: facts of a namespace in, findings out; and the verdicts on them."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.owners import owner_of
from ansible_collections.sre.runbooks.plugins.plugin_utils._judgement.model import Finding, Gap, Observation, RuledOut
from ansible_collections.sre.runbooks.plugins.plugin_utils._judgement.verdict import judge
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems import kubernetes, shipped

from tests.unit import given

Json = dict[str, t.Any]
LIMITS = {"error_ratio_max": 0.01, "requests_min": 20}
OLD, NEW = "2026-11-24T01:00:00Z", "2026-11-24T02:10:00Z"
SICK = {**given.edge(given.probe(failures=10)), "depends_on": ["db"]}
WELL = {**given.edge(given.probe()), "depends_on": ["db"]}


def release(revision: int, since: str = NEW, **changes: t.Any) -> Json:
    return {"revision": revision, "replica_set": f"api-{revision}", "hash": f"hash{revision}", "images": {"api": f"api:1.{revision}.0"},
            "change_cause": None, "created_at": since, "rolled_out_at": since, "replicas": 3, "changes": ["image"], **changes}  # fmt: skip


def pod(name: str, revision: int, **changes: t.Any) -> Json:
    return {"name": name, "uid": name, "workload": "api", "revision": revision, "hash": f"hash{revision}", "phase": "Running",
            "ready": True, "terminating": False, "created_at": NEW, "restarts": 0, "reason": None, "message": "", "last": None,
            "containers": ["api"], **changes}  # fmt: skip


def log(name: str, requests: int, errors: int = 0, *, good: int | None = None, first: str = "2026-11-24T02:10:05.000Z") -> Json:
    before = requests - errors if good is None else good
    endpoints = {"/sign": {"requests": requests, "server_errors": errors, "good_before_error": before}}
    templates = {"KeyError: 'policy'": {"count": errors, "first": first, "last": first}} if errors else {}
    return {"pod": name, "container": "api", "lines": requests, "size": 1, "requests": requests, "server_errors": errors,
            "first_line": NEW, "first_request": NEW, "first_server_error": first if errors else "", "endpoints": endpoints,
            "templates": templates}  # fmt: skip


def service(own: list[Json], **changes: t.Any) -> Json:
    names = [one["name"] for one in own if one["workload"] == "api"]
    ready = [one["name"] for one in own if one["ready"] and one["workload"] == "api"]
    return {"name": "api", "selector": {"app": "api"}, "ports": ["80→http"], "pods": names, "ready": ready, **changes}


def cluster(pods: list[Json], logs: list[Json] | None = None, releases: list[Json] | None = None, **changes: t.Any) -> Json:
    newest_first = [release(2), release(1, OLD)] if releases is None else releases
    workload = {"kind": "Deployment", "name": "api", "uid": "u1", "replicas": 3, "updated": 3, "ready": 3, "available": 3,
                "observed": True, "paused": False, "progress": None, "selector": {"app": "api"}, "owner": changes.pop("owner", None),
                "releases": newest_first}  # fmt: skip
    others = changes.pop("workloads", [])
    facts = {"system": "db", "kind": "kubernetes", "depends_on": [], "limits": LIMITS, "namespace": "shop", "watched": ["api"],
             "workloads": [workload, *others], "pods": pods, "services": [service(pods, **changes.pop("service", {}))],
             "warnings": [], "logs": logs or [], "gaps": [], "users_suffer": True, "users_well": False}  # fmt: skip
    return {**facts, **changes}


THREE = [pod(f"new{n}", 2) for n in range(3)]
CRASHED = [pod(f"new{n}", 2, ready=False, reason="CrashLoopBackOff", message="back-off") for n in range(3)]
PULLING = [pod(f"new{n}", 2, ready=False, reason="ImagePullBackOff", phase="Pending") for n in range(3)]
FAILS = [log(f"new{n}", 100, 40, good=0) for n in range(3)]
SERVES = [log(f"new{n}", 100) for n in range(3)]
LATE = "2026-11-24T02:40:00.000Z"
OLD_POD = pod("old", 1, created_at=OLD)
STATEMENTS = {"kind": "Deployment", "name": "statements", "uid": "u2", "replicas": 1, "updated": 1, "ready": 1, "available": 1, "observed": True,
              "paused": False, "progress": None, "selector": {}, "owner": None, "releases": [release(9), release(8, OLD)]}  # fmt: skip
BAD, PODS, NOBODY, ERRORS = "k8s.bad_release", "k8s.pods_failing", "k8s.no_endpoints", "k8s.server_errors"
ARGO = {"tool": "Argo CD", "name": "shop", "suspend": "argocd app set shop --sync-policy none"}


def observed(facts: Json) -> list[Observation]:
    return [one for rule in kubernetes.SYSTEM.rules for one in rule(facts)]


FOUND: list[tuple[str, Json, list[tuple[str, str]]]] = [
    ("all is well", cluster(THREE, SERVES), []),
    ("the only release", cluster(THREE, FAILS, releases=[release(1)]), [(ERRORS, "proven")]),
    ("it fails from its first requests on", cluster(THREE, FAILS), [(BAD, "likely"), (ERRORS, "proven")]),
    ("it fails, and those of the release before do not", cluster([*THREE, OLD_POD], [*FAILS, log("old", 100)]),
     [(BAD, "proven"), (ERRORS, "proven")]),
    ("both releases fail: it is something else", cluster([*THREE, OLD_POD], [*FAILS, log("old", 100, 40)]), [(ERRORS, "proven")]),
    ("it had served well for half an hour", cluster(THREE, [log("new0", 900, 200, good=600, first=LATE)]), [(ERRORS, "proven")]),
    ("its pods crash", cluster(CRASHED), [(BAD, "proven"), (NOBODY, "proven"), (PODS, "proven")]),
    ("its image is not there", cluster(PULLING), [(BAD, "proven"), (NOBODY, "proven"), (PODS, "proven")]),
    ("one of its pods crashes, the others serve", cluster([*THREE[:2], CRASHED[2]], SERVES), [(PODS, "proven")]),
    ("pods of both releases crash", cluster([*CRASHED, {**OLD_POD, "ready": False, "reason": "CrashLoopBackOff"}]),
     [(NOBODY, "proven"), (PODS, "proven")]),
    ("its pods end and are not counted", cluster([*THREE, {**CRASHED[0], "name": "gone", "terminating": True}], SERVES), []),
    ("nobody matches the selector", cluster(THREE, SERVES, service={"ready": [], "pods": []}), [(NOBODY, "proven")]),
    ("a service that users do not depend on", cluster(THREE, SERVES, service={"ready": []}, watched=[]), []),
    ("too few requests to judge", cluster(THREE, [log("new0", 10, 10)]), []),
    ("another service's newer release is innocent", cluster(THREE, FAILS, workloads=[STATEMENTS]), [(BAD, "likely"), (ERRORS, "proven")]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "facts", "expected"), FOUND, ids=[row[0] for row in FOUND])
def test_what_is_found(name: str, facts: Json, expected: list[tuple[str, str]]) -> None:
    assert sorted((one.id, one.confidence) for one in observed(facts) if isinstance(one, Finding)) == sorted(expected)


def test_every_finding_of_the_catalogue_is_made() -> None:
    made = {identity for _name, _facts, found in FOUND for identity, _confidence in found}
    assert made == {entry.id for entry in shipped().entries.values() if entry.kind == "kubernetes"}


VERDICTS: list[tuple[str, list[Json], str, list[str], list[str]]] = [
    ("a release that answers with errors", [cluster(THREE, FAILS), SICK], "cause_found", [BAD], ["rollback"]),
    ("a release whose pods crash", [cluster(CRASHED), SICK], "cause_found", [BAD], ["rollback"]),
    ("a service that selects nobody", [cluster(THREE, SERVES, service={"ready": [], "pods": []}), SICK], "cause_found", [NOBODY], []),
    ("errors of both releases", [cluster([*THREE, OLD_POD], [*FAILS, log("old", 100, 40)]), SICK], "unproven", [], []),
    ("users fail, the pods serve", [cluster(THREE, SERVES), SICK], "unproven", [], []),
    ("a crashing pod beside those that serve", [cluster([*THREE[:2], CRASHED[2]], SERVES), WELL], "healthy", [], []),
    ("all is well", [cluster(THREE, SERVES), WELL], "healthy", [], []),
    ("Argo CD keeps it", [cluster(THREE, FAILS, owner=ARGO), SICK], "cause_found", [BAD], []),
    ("nothing of the cluster could be read",
     [cluster([], [], gaps=[{"diagnostic": one, "reason": "refused"} for one in ("workloads", "pods", "services", "endpoints")]), WELL],
     "unproven", [], []),
]  # fmt: skip


@pytest.mark.parametrize(("name", "facts", "verdict", "causes", "offers"), VERDICTS, ids=[row[0] for row in VERDICTS])
def test_the_verdict(name: str, facts: list[Json], verdict: str, causes: list[str], offers: list[str]) -> None:
    found = judge(facts, {("db", "kubernetes"): "silent", ("api", "edge"): "silent"}, shipped())
    assert found["verdict"] == verdict
    assert [one["id"] for one in found["findings"] if one["role"] == "cause"] == causes
    assert [one["mitigation"] for one in found["offers"]] == offers


def test_the_target_says_by_what_it_cannot_be_taken_for_another() -> None:
    (found,) = [one for one in observed(cluster(THREE, FAILS)) if isinstance(one, Finding) and one.id == BAD]
    (target,) = found.targets["rollback"]
    assert (target["uid"], target["from_hash"], target["to_hash"]) == ("u1", "hash2", "hash1")
    assert found.began == NEW


def test_what_argo_cd_keeps_is_suspended_first() -> None:
    found = judge([cluster(THREE, FAILS, owner=ARGO), SICK], {}, shipped())
    assert "argocd app set shop --sync-policy none first" in found["findings"][0]["manual_command"]


def test_a_long_change_cause_and_a_hostile_name_do_no_harm() -> None:
    hostile = owner_of({"metadata": {"annotations": {"argocd.argoproj.io/tracking-id": "x; rm -rf /:apps"}}})
    assert hostile is not None
    assert hostile["suspend"] == "argocd app set 'x; rm -rf /' --sync-policy none"
    long = cluster(THREE, FAILS, releases=[release(2, change_cause="word " * 9000, changes=["env X"] * 900), release(1, OLD)])
    (found,) = [one for one in observed(long) if isinstance(one, Finding) and one.id == BAD]
    assert len(shipped().summary(found)) < 800


def wrote(manager: str, part: str = "f:template") -> list[Json]:
    return [{"manager": manager, "fieldsV1": {"f:spec": {part: {}}}}]


OWNERS: list[tuple[str, Json, str | None]] = [
    ("nobody", {"managedFields": wrote("kubectl-client-side-apply")}, None),
    ("Helm, which writes nothing back", {"labels": {"app.kubernetes.io/managed-by": "Helm", "app.kubernetes.io/instance": "shop"},
                                         "managedFields": wrote("helm")}, None),
    ("Argo CD by its label of old", {"labels": {"app.kubernetes.io/instance": "shop"}, "managedFields": wrote("argocd-controller")},
     "Argo CD"),
    ("an operator's object", {"ownerReferences": [{"kind": "Custody", "name": "main", "controller": True}]}, "Custody"),
    ("a controller that nobody knows", {"managedFields": wrote("acme-operator")}, "acme-operator"),
    ("a controller that only scales", {"managedFields": wrote("acme-operator", "f:replicas")}, None),
    ("Kubernetes itself", {"managedFields": wrote("kube-controller-manager")}, None),
    ("Config Sync", {"annotations": {"configmanagement.gke.io/managed": "enabled"}}, "Config Sync"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "meta", "tool"), OWNERS, ids=[row[0] for row in OWNERS])
def test_who_would_write_it_back(name: str, meta: Json, tool: str | None) -> None:
    found = owner_of({"metadata": {"name": "api", "namespace": "shop", **meta}})
    assert (found["tool"] if found else None) == tool


def test_what_was_not_read_is_a_gap_and_never_ruled_out() -> None:
    seen = observed(cluster([], [], gaps=[{"diagnostic": "pods", "reason": "HTTP 403"}]))
    assert [one for one in seen if isinstance(one, RuledOut)] == []
    assert {"pods", "releases"} <= {one.what for one in seen if isinstance(one, Gap)}
