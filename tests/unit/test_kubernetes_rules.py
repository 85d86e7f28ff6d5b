"""The rules on Kubernetes: facts of a namespace in, findings out; and the verdicts on them."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.owners import owner_of, owner_of_data
from ansible_collections.sre.runbooks.plugins.plugin_utils._judgement.model import Finding, Gap, Observation, RuledOut
from ansible_collections.sre.runbooks.plugins.plugin_utils._judgement.verdict import judge
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems import kubernetes, shipped

from tests.unit import given

Json = dict[str, t.Any]
LIMITS = {"error_ratio_max": 0.01, "requests_min": 20}
OLD, NEW, NOW = "2026-11-24T01:00:00Z", "2026-11-24T02:10:00Z", "2026-11-24T02:13:00Z"
SICK = {**given.edge(given.probe(failures=10)), "depends_on": ["db"]}
WELL = {**given.edge(given.probe()), "depends_on": ["db"]}


def release(revision: int, since: str = NEW, **changes: t.Any) -> Json:
    return {"revision": revision, "replica_set": f"api-{revision}", "hash": f"hash{revision}", "images": {"api": f"api:1.{revision}.0"},
            "change_cause": None, "created_at": since, "rolled_out_at": since, "replicas": 3, "changes": ["image"],
            "restart": False, "configuration": False, "uid": f"rs{revision}", "secrets": [], **changes}  # fmt: skip


def pod(name: str, revision: int | None, **changes: t.Any) -> Json:
    return {"name": name, "uid": name, "kind": "Deployment", "workload": "api", "over": False,
            "revision": revision, "hash": f"hash{revision}", "phase": "Running",
            "ready": True, "terminating": False, "created_at": NEW, "restarts": 0, "reason": None, "message": "", "last": None,
            "containers": ["api"], "started": {"api": changes.get("created_at", NEW)}, "secrets": [], "configs": [],
            "image_ids": ["i1"], **changes}  # fmt: skip


def log(name: str, requests: int, errors: int = 0, *, good: int | None = None, after: int = 0, first: str = "2026-11-24T02:10:05.000Z",
        minute: str = "2026-11-24T02:11", path: str = "/sign", container: str = "api", cut: bool = False) -> Json:  # fmt: skip
    before = requests - errors if good is None else good
    endpoints = {path: {"requests": requests, "server_errors": errors, "good_before_error": before,
                        "first_error": first if errors else "", "last_error": first if errors else "",
                        "good_after_error": after, "longest_good": 0, "minutes": {minute: [requests, errors]},
                        "refused": 0, "tenants": {}, "addresses": {}}}  # fmt: skip
    templates = {"KeyError: 'policy'": {"count": errors, "first": first, "last": first}} if errors else {}
    return {"pod": name, "container": container, "cut": cut, "minutes": {minute: [requests, errors]},
            "lines": requests, "size": 1, "levels": {}, "requests": requests, "server_errors": errors,
            "first_line": NEW, "endpoints": endpoints,
            "templates": templates}  # fmt: skip


def whose(
    name: str, shares: t.Mapping[str, tuple[int, ...]], *, kind: str = "tenants", refused: int = 0, requests: int | None = None,
    errors: int | None = None,
) -> Json:  # fmt: skip
    """A log of one path, by whose requests they were: all of them, and those that failed, or were refused."""
    every = sum(one[0] for one in shares.values()) if requests is None else requests
    bad = (sum(one[1] for one in shares.values()) if errors is None else errors) if kind == "tenants" else 0
    one = log(name, every, bad, good=1000)
    path = {**one["endpoints"]["/sign"], kind: {who: list(counts) for who, counts in shares.items()}, "refused": refused}
    return {**one, "endpoints": {"/sign": path}}


def moving(name: str, *minutes: tuple[int, int]) -> Json:
    """A log by minute, from 02:10 on: how many requests to one path, and how many failed."""
    told = {f"2026-11-24T02:{10 + n}": [requests, errors] for n, (requests, errors) in enumerate(minutes)}
    requests, errors = (sum(counts[place] for counts in told.values()) for place in (0, 1))
    one = log(name, requests, errors, first="2026-11-24T02:11:00Z")
    return {**one, "minutes": told, "endpoints": {"/sign": {**one["endpoints"]["/sign"], "minutes": told}}}


def both(name: str, well: int, sick: int) -> Json:
    """A log of two paths, one that is asked often and well, and one that always fails."""
    good, bad = log(name, well, path="/list"), log(name, sick, sick, good=0, path="/sign")
    return {**bad, "requests": well + sick, "minutes": {"2026-11-24T02:11": [well + sick, sick]},
            "endpoints": {**good["endpoints"], **bad["endpoints"]}}  # fmt: skip


def service(own: list[Json], **changes: t.Any) -> Json:
    mine = [one for one in own if (one["workload"] or "api").startswith("api")]
    names, ready = [one["name"] for one in mine], [one["name"] for one in mine if one["ready"]]
    return {
        "name": "api",
        "type": "ClusterIP",
        "portless": False,
        "selector": {"app": "api"},
        "ports": ["80→http"],
        "pods": names,
        "ready": ready,
        **changes,
    }


def cluster(pods: list[Json], logs: list[Json] | None = None, releases: list[Json] | None = None, **changes: t.Any) -> Json:
    newest_first = [release(2), release(1, OLD)] if releases is None else releases
    workload = {"kind": "Deployment", "name": "api", "uid": "u1", "replicas": 3, "updated": 3, "ready": 3, "available": 3,
                "observed": True, "paused": False, "progress": "ReplicaSetUpdated", "progress_at": "", "refused": "",
                "selector": {"app": "api"},
                "owner": changes.pop("owner", None), "releases": newest_first, **changes.pop("workload", {})}  # fmt: skip
    others = changes.pop("workloads", [])
    facts = {"system": "db", "kind": "kubernetes", "depends_on": [], "limits": LIMITS, "namespace": "shop", "watched": ["api"],
             "at": NOW, "log_seconds": 600,
             "workloads": [workload, *others], "pods": pods, "services": [service(pods, **changes.pop("service", {}))],
             "warnings": [], "secrets": [], "configs": [], "pools": [], "logs": logs or [], "gaps": [], "users_suffer": True, "users_well": False}  # fmt: skip
    return {**facts, **changes}


THREE = [pod(f"new{n}", 2) for n in range(3)]
CRASHED = [pod(f"new{n}", 2, ready=False, reason="CrashLoopBackOff", message="back-off") for n in range(3)]
PULLING = [pod(f"new{n}", 2, ready=False, reason="ImagePullBackOff", phase="Pending") for n in range(3)]
FAILS = [log(f"new{n}", 100, 40, good=0) for n in range(3)]
SERVES = [log(f"new{n}", 100) for n in range(3)]
LATE = "2026-11-24T02:40:00.000Z"
OLD_POD = pod("old", 1, created_at=OLD)
OLDS = [pod(f"old{n}", 1, created_at=OLD) for n in range(3)]
TWIN = pod("twin", 5, workload="api-stable", created_at=OLD)
STATEMENTS = {"kind": "Deployment", "name": "statements", "uid": "u2", "replicas": 1, "updated": 1, "ready": 1, "available": 1, "observed": True,
              "paused": False, "progress": None, "progress_at": "", "refused": "", "selector": {}, "owner": None,
              "releases": [release(9), release(8, OLD)]}  # fmt: skip
STABLE = {**STATEMENTS, "name": "api-stable", "uid": "u3", "releases": [release(5, OLD), release(4, OLD)]}
TWO, FIVE = "2026-11-24T02:02:00Z", "2026-11-24T02:05:00Z"
LIAR = pod("liar", None, kind=None, workload=None)
BAD, PODS, NOBODY, ERRORS = "k8s.bad_release", "k8s.pods_failing", "k8s.no_endpoints", "k8s.server_errors"
ARGO = {"tool": "Argo CD", "name": "shop", "suspend": "argocd app set shop --sync-policy none"}


JWT = {"auth_secret": "api-secrets", "auth_key": "JWT", "auth_bytes_min": 32, "auth_generate": True}
TENANT, STUFFING, POOL = "k8s.one_tenant", "k8s.login_stuffing", "k8s.pool_exhausted"
MISSING, STALE, CHANGED = "k8s.auth_key_missing", "k8s.auth_key_stale", "k8s.config_changed"


TAKES: Json = {"container": "api", "secret": "api-secrets", "key": "JWT"}


def keyed(pods: list[Json], keys: Json, *, logs: list[Json] | None = None, reference: Json | None = None, limits: Json | None = None,
          **secret: t.Any) -> Json:  # fmt: skip
    """A workload that takes the key JWT from the Secret ``api-secrets``, which was written at two minutes past two."""
    told = {"name": "api-secrets", "exists": True, "uid": "s1", "immutable": False, "keys": keys, "written": {"JWT": TWO}, "owner": None,
            **secret}  # fmt: skip
    taken = reference or TAKES
    mine = [{**one, "secrets": [taken]} for one in pods]
    return cluster(mine, logs or SERVES, [release(2, secrets=[taken]), release(1, OLD)], secrets=[told],
                   limits={**LIMITS, **JWT, **(limits or {})}, workload={"progress": "NewReplicaSetAvailable"})  # fmt: skip


def switched(pods: list[Json], logs: list[Json]) -> Json:
    """A workload that takes a feature's key, which was written at five minutes past two."""
    reference = {"container": "api", "configmap": "api-config", "key": "BULK", "is_live": False, "is_sure": True, "but": []}
    config = {"configmap": "api-config", "key": "BULK", "off_value": "false", "uid": "c1", "immutable": False, "value": "true",
              "is_shown": True, "written": FIVE, "is_alone": True, "beside": "", "owner": None}  # fmt: skip
    return {**cluster([{**one, "configs": [reference]} for one in pods], logs), "configs": [config]}


def saying(name: str, text: str, count: int = 9, first: str = NEW, last: str = NOW) -> Json:
    return {**log(name, 100), "templates": {text: {"count": count, "first": first, "last": last}}}


UNSET = [saying(f"new{n}", "cannot sign: JWT is not set") for n in range(3)]
FORGED = "token rejected: signature verification failed"
MIXED = [saying("new0", FORGED), saying("old", FORGED)]


def observed(facts: Json) -> list[Observation]:
    return [one for rule in kubernetes.SYSTEM.rules for one in rule(facts)]


FOUND: list[tuple[str, Json, list[tuple[str, str]]]] = [
    ("all is well", cluster(THREE, SERVES), []),
    ("requests wait in vain for a connection",
     cluster(THREE, [{**log("new0", 100), "templates": {"connection pool exhausted": {"count": 40, "first": NEW, "last": NOW}}}]),
     [(POOL, "possible")]),
    ("one tenant's requests fail", cluster(THREE, [whose("new0", {"8": (200, 0), "9": (40, 30)})], releases=[release(1, OLD)]),
     [(ERRORS, "proven"), (TENANT, "likely")]),
    ("somebody tries passwords", cluster(THREE, [whose("new0", {"203.0.113.5": (90, 90, 0), "10.0.0.1": (60, 2, 58)}, kind="addresses", refused=92)]),
     [(STUFFING, "likely")]),
    ("the only release", cluster(THREE, FAILS, releases=[release(1)]), [(ERRORS, "proven")]),
    ("it fails from its first requests on", cluster(THREE, FAILS), [(BAD, "likely"), (ERRORS, "proven")]),
    ("it fails, and those of the release before do not", cluster([*THREE, OLD_POD], [*FAILS, log("old", 100)]),
     [(BAD, "proven"), (ERRORS, "proven")]),
    ("both releases fail: it is something else", cluster([*THREE, OLD_POD], [*FAILS, log("old", 100, 40)]), [(ERRORS, "proven")]),
    ("it fails now and then, from its first requests on", cluster(THREE, [log(f"new{n}", 400, 8, good=20) for n in range(3)]),
     [(BAD, "likely"), (ERRORS, "proven")]),
    ("its errors are over", cluster(THREE, [log(f"new{n}", 100, 40, good=0, after=20) for n in range(3)]), []),
    ("its errors are over in two of three pods",
     cluster(THREE, [log(f"new{n}", 100, 40, good=0, after=20 * (n > 0)) for n in range(3)], releases=[release(1, OLD)]), [(ERRORS, "proven")]),
    ("it may be chance that none came since",
     cluster(THREE, [log(f"new{n}", 100, 4, good=0, after=30) for n in range(3)], releases=[release(1, OLD)]), [(ERRORS, "proven")]),
    ("errors of an hour ago", cluster(THREE, [log(f"new{n}", 100, 40, good=0, minute="2026-11-24T01:11") for n in range(3)]), []),
    ("it had served well for half an hour", cluster(THREE, [log("new0", 900, 200, good=600, first=LATE)]), [(ERRORS, "proven")]),
    ("its pods crash", cluster(CRASHED), [(BAD, "proven"), (NOBODY, "proven"), (PODS, "proven")]),
    ("its image is not there", cluster(PULLING), [(BAD, "proven"), (NOBODY, "proven"), (PODS, "proven")]),
    ("one of its pods crashes, the others serve", cluster([*THREE[:2], CRASHED[2]], SERVES), [(PODS, "possible")]),
    ("two of its pods crash, one serves", cluster([THREE[0], *CRASHED[1:]], SERVES), [(PODS, "likely")]),
    ("pods only just start", cluster([pod("new0", 2, ready=False, reason="ContainerCreating", created_at="2026-11-24T02:12:30Z")]), [(NOBODY, "proven")]),
    ("pods that start for ever", cluster([pod("new0", 2, ready=False, reason="ContainerCreating", created_at=OLD)]),
     [(BAD, "likely"), (NOBODY, "proven"), (PODS, "proven")]),
    ("a stuck rollout, while the release before serves all", cluster([*OLDS, PULLING[0]], [log(f"old{n}", 100) for n in range(3)]),
     [(BAD, "possible"), (PODS, "possible")]),
    ("a stuck rollout, and the release before answers with errors", cluster([*OLDS, PULLING[0]], [log(f"old{n}", 100, 40) for n in range(3)]),
     [(BAD, "possible"), (PODS, "possible"), (ERRORS, "proven")]),
    ("pods that had served for days crash", cluster(CRASHED, workload={"progress": "NewReplicaSetAvailable", "progress_at": OLD}),
     [(NOBODY, "proven"), (PODS, "proven")]),
    ("pods that were up crash a minute later", cluster(CRASHED, workload={"progress": "NewReplicaSetAvailable", "progress_at": NEW}),
     [(BAD, "likely"), (NOBODY, "proven"), (PODS, "proven")]),
    ("the key is not there, and the application says so", keyed(THREE, {"OTHER": 64}, logs=UNSET), [(MISSING, "proven")]),
    ("the key is not there, and nobody misses it: they have it still", keyed(THREE, {}), [(MISSING, "possible")]),
    ("the key is not there, and it was missed an hour ago", keyed(THREE, {}, logs=[saying("new0", "JWT is not set", last=OLD)]), [(MISSING, "possible")]),
    ("the key is not there, and another one is missed", keyed(THREE, {}, logs=[saying("new0", "JWT_ISSUER is not set")]), [(MISSING, "possible")]),
    ("a container cannot be made without it",
     keyed([pod(f"new{n}", 2, ready=False, reason="CreateContainerConfigError", message="no key JWT in Secret", created_at=OLD)
            for n in range(3)], {}),
     [(MISSING, "proven"), (NOBODY, "proven"), (PODS, "proven")]),
    ("the Secret is not there, and nobody misses it", keyed(THREE, {}, exists=False, uid=""), [(MISSING, "possible")]),
    ("the key is a word, and the application says so", keyed(THREE, {"JWT": 8}, logs=UNSET), [(MISSING, "proven")]),
    ("the key is short, and has always been good enough", keyed(THREE, {"JWT": 20}), [(MISSING, "possible")]),
    ("the key is just long enough", keyed(THREE, {"JWT": 32}), []),
    ("all keys of the Secret are taken", keyed(THREE, {}, reference={**TAKES, "key": ""}, logs=UNSET), [(MISSING, "proven")]),
    ("another key is taken", keyed(THREE, {}, reference={**TAKES, "key": "OTHER"}, logs=UNSET), []),
    ("another Secret is taken", keyed(THREE, {}, reference={**TAKES, "secret": "others"}, logs=UNSET), []),
    ("the key is there again, and the pods say that they lack it", keyed(OLDS, {"JWT": 64}, logs=[saying("old0", "JWT is not set")]), [(STALE, "likely")]),
    ("some pods are older than the key, and both do not know each other's tokens", keyed([THREE[0], OLD_POD], {"JWT": 64}, logs=MIXED),
     [(STALE, "likely")]),
    ("some pods are older than the key, and nobody says anything", keyed([THREE[0], OLD_POD], {"JWT": 64}), [(STALE, "possible")]),
    ("some pods are older than the key, and forged tokens came before it", keyed([THREE[0], OLD_POD], {"JWT": 64},
     logs=[saying("new0", FORGED, first=OLD), saying("old", FORGED, first=OLD)]), [(STALE, "possible")]),
    ("a pod is older, and its container was started again since", keyed([THREE[0], {**OLD_POD, "started": {"api": NEW}}], {"JWT": 64}, logs=MIXED), []),
    ("all pods are of the same second", keyed([{**THREE[0], "started": {"api": TWO}}], {"JWT": 64}, logs=MIXED), []),
    ("pods that have a feature fail beside those that do not", switched([THREE[0], pod("old", 2, created_at=OLD)], [FAILS[0], log("old", 100)]),
     [(BAD, "possible"), (CHANGED, "likely"), (ERRORS, "proven")]),
    ("no pod can be made: a quota", cluster([], workload={"refused": "exceeded quota: pods"}), [(NOBODY, "proven"), (PODS, "proven")]),
    ("its pods never get ready, and the controller has given up", cluster([pod("new0", 2, ready=False)], workload={"progress": "ProgressDeadlineExceeded"}),
     [(BAD, "proven"), (NOBODY, "proven"), (PODS, "proven")]),
    ("some pods can't be made", cluster(THREE[:1], SERVES, workload={"refused": "exceeded quota: pods"}), [(PODS, "likely")]),
    ("an evicted pod is left over", cluster([*THREE, pod("gone", 2, ready=False, reason="Evicted", over=True, created_at=OLD)], SERVES), []),
    ("one error of twenty beside none of twenty", cluster([*THREE, OLD_POD], [log("new0", 20, 1, good=0), log("old", 20)]), [(ERRORS, "proven")]),
    ("the release before was asked for something else", cluster([*THREE, OLD_POD], [*FAILS, log("old", 100, path="/list")]),
     [(BAD, "likely"), (ERRORS, "proven")]),
    ("the release before was asked at another time", cluster([*THREE, OLD_POD], [*FAILS, log("old", 100, minute="2026-11-24T02:04")]),
     [(BAD, "likely"), (ERRORS, "proven")]),
    ("an outage longer than the log that is read", cluster([{**one, "created_at": OLD} for one in THREE], FAILS), [(ERRORS, "proven")]),
    ("its containers were started again, so their first lines are not read", cluster([{**one, "restarts": 1} for one in THREE], FAILS),
     [(ERRORS, "proven")]),
    ("its logs were cut", cluster(THREE, [{**one, "cut": True} for one in FAILS]), [(ERRORS, "proven")]),
    ("pods restarted by hand in an outage are no release",
     cluster([pod(f"r{n}", 3) for n in range(3)], [log(f"r{n}", 100, 40, good=0) for n in range(3)],
             [release(3, restart=True, changes=[]), release(2, OLD), release(1, OLD)], workload={"progress_at": NEW}), [(ERRORS, "proven")]),
    ("pods restarted just after a release: its first ones are gone",
     cluster([pod(f"r{n}", 3) for n in range(3)], [log(f"r{n}", 100, 40, good=0) for n in range(3)],
             [release(3, restart=True, changes=[]), release(2), release(1, OLD)]), [(ERRORS, "proven")]),
    ("pods that a node's end made anew are no release", cluster(THREE, FAILS, releases=[release(2, OLD, rolled_out_at=NEW), release(1, OLD)]),
     [(ERRORS, "proven")]),
    ("a release of old that somebody went back to just now: forward is no way out",
     cluster(THREE, FAILS, releases=[release(3, OLD, rolled_out_at=NEW), release(2)], workload={"progress_at": NEW}), [(ERRORS, "proven")]),
    ("a canary fails, its twin does not", cluster([*THREE, TWIN], [*FAILS, log("twin", 300)], workloads=[STABLE]),
     [(BAD, "proven"), (ERRORS, "proven")]),
    ("a proxy logs the same once more", cluster([{**one, "containers": ["api", "proxy"]} for one in THREE],
     [*FAILS, *(log(f"new{n}", 90, container="proxy") for n in range(3))]), [(BAD, "likely"), (ERRORS, "proven")]),
    ("both releases fail from one minute on, while users move to the new one",
     cluster([*THREE, OLD_POD], [moving("new0", (20, 0), (300, 150)), moving("old", (300, 0), (40, 20))]), [(ERRORS, "proven")]),
    ("it fails hardly more often than those beside it", cluster([*THREE, OLD_POD], [log("new0", 9000, 3825), log("old", 9000, 3600)]),
     [(ERRORS, "proven")]),
    ("one of its pods fails, the others do not", cluster([*THREE, OLD_POD], [log("new0", 100, 100, good=0), *SERVES[1:], log("old", 100)]),
     [(BAD, "possible"), (ERRORS, "proven")]),
    ("a crashing canary beside pods that serve", cluster([*CRASHED, TWIN], [log("twin", 100)], workloads=[STABLE]),
     [(BAD, "possible"), (PODS, "likely")]),
    ("a pod that says of itself that the Deployment controls it", cluster([*THREE, LIAR], [*FAILS, log("liar", 600)]),
     [(BAD, "likely"), (ERRORS, "proven")]),
    ("a bare pod that does not come up, beside those that serve",
     cluster([*THREE, {**LIAR, "ready": False, "reason": "ImagePullBackOff"}], SERVES), [(PODS, "possible")]),
    ("a path fails under many requests to others", cluster(THREE, [both(f"new{n}", 9000, 60) for n in range(3)]),
     [(BAD, "likely"), (ERRORS, "proven")]),
    ("its log begins long after it did: rotated",
     cluster([{**one, "created_at": FIVE} for one in THREE], [{**one, "first_line": NOW} for one in FAILS],
             releases=[release(2, FIVE), release(1, OLD)]), [(ERRORS, "proven")]),
    ("its log was not asked for from its beginning",
     cluster([{**one, "created_at": TWO} for one in THREE], [{**one, "first_line": "2026-11-24T02:03:00Z"} for one in FAILS],
             releases=[release(2, TWO), release(1, OLD)]), [(ERRORS, "proven")]),
    ("it fails a little more often than those beside it", cluster([*THREE, OLD_POD], [log("new0", 20000, 300), log("old", 20000, 180)]),
     [(ERRORS, "proven")]),
    ("there is no room for its pods", cluster([pod("new0", 2, ready=False, reason="Unschedulable", created_at=OLD)]),
     [(NOBODY, "proven"), (PODS, "proven")]),
    ("there is no room for what it asks for", cluster([pod("new0", 2, ready=False, reason="Unschedulable", created_at=OLD)],
     releases=[release(2, changes=["resources"]), release(1, OLD)]), [(BAD, "likely"), (NOBODY, "proven"), (PODS, "proven")]),
    ("room is only just being made", cluster([pod("new0", 2, ready=False, reason="Unschedulable")]), [(NOBODY, "proven")]),
    ("pods crash, and nobody knows whether they were ever up", cluster(CRASHED, releases=[release(2, OLD), release(1, OLD)], workload={"progress": None}),
     [(NOBODY, "proven"), (PODS, "proven")]),
    ("another workload had crashed before it came", cluster([*CRASHED, pod("s", 9, workload="statements", ready=False, reason="Error", created_at=OLD)],
     workloads=[STATEMENTS]), [(BAD, "likely"), (NOBODY, "proven"), (PODS, "proven")]),
    ("a pod of the release before ends, and had failed before",
     cluster([*THREE, {**OLD_POD, "terminating": True, "ready": False}],
             [*FAILS, log("old", 100, 40, first="2026-11-24T02:03:00Z", minute="2026-11-24T02:03")]),
     [(ERRORS, "proven")]),
    ("pods that a node's end made anew, just after it was complete",
     cluster(THREE, FAILS, workload={"progress": "NewReplicaSetAvailable", "progress_at": "2026-11-24T02:09:00Z"}), [(ERRORS, "proven")]),
    ("a StatefulSet answers with errors", cluster([pod("db-0", None, kind="StatefulSet")], [log("db-0", 100, 40)], releases=[]),
     [(ERRORS, "proven")]),
    ("scaled to nothing", cluster([], workload={"replicas": 0}), [(NOBODY, "proven")]),
    ("a name elsewhere", cluster(THREE, SERVES, service={"ready": [], "type": "ExternalName"}), []),
    ("no earlier release is kept", cluster(THREE, FAILS, releases=[release(7)]), [(ERRORS, "proven")]),
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


def test_where_not_everything_was_read_nothing_is_ruled_out_of_the_key() -> None:
    facts = {**keyed([], {"JWT": 64}), "gaps": [{"diagnostic": "pods", "reason": "HTTP 403"}]}
    assert not [one for one in observed(facts) if isinstance(one, RuledOut) and one.id == MISSING]
    assert [one for one in observed(facts) if isinstance(one, Gap) and one.what == "who takes the key JWT"]


SAME_SECOND = [{**THREE[0], "started": {"api": TWO}}]
NOT_KNOWN = [("no pods", []), ("the same second", SAME_SECOND), ("none runs", [{**THREE[0], "started": {}}])]


@pytest.mark.parametrize(("name", "pods"), NOT_KNOWN, ids=[row[0] for row in NOT_KNOWN])
def test_where_it_is_not_known_when_containers_started_no_key_is_ruled_out(name: str, pods: list[Json]) -> None:
    seen = observed(keyed(pods, {"JWT": 64}))
    assert not [one for one in seen if isinstance(one, RuledOut) and one.id == MISSING], name
    assert [one for one in seen if isinstance(one, Gap) and one.what.startswith("the key JWT of")]


def test_what_one_rule_does_not_understand_leaves_the_others_judged() -> None:
    facts = {**cluster(CRASHED), "secrets": None, "limits": {**LIMITS, **JWT}}
    found = judge([facts, SICK], {}, shipped())
    assert BAD in [one["id"] for one in found["findings"]]
    assert [gap for gap in found["gaps"] if "the rule auth_key does not understand" in gap["why"] and gap["vital"]]


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
    ("the key is not there", [keyed(THREE, {}, logs=UNSET), SICK], "cause_found", [MISSING], ["set_auth_key"]),
    ("any text would not do", [keyed(THREE, {}, logs=UNSET, limits={"auth_generate": False}), SICK], "cause_found", [MISSING], []),
    ("another workload takes it too",
     [{**(two := keyed(THREE, {}, logs=UNSET)), "pods": [*two["pods"], pod("job", None, kind="StatefulSet", workload="job", secrets=[TAKES])]}, SICK],
     "cause_found", [MISSING], []),
    ("External Secrets writes it", [keyed(THREE, {}, logs=UNSET, owner=ARGO), SICK], "cause_found", [MISSING], []),
    ("the Secret is immutable", [keyed(THREE, {}, logs=UNSET, immutable=True), SICK], "cause_found", [MISSING], []),
    ("the Secret itself is not there", [keyed(THREE, {}, logs=UNSET, exists=False, uid=""), SICK], "cause_found", [MISSING], []),
    ("pods have different keys", [keyed([THREE[0], OLD_POD], {"JWT": 64}, logs=MIXED), SICK], "cause_found", [STALE], ["restart_pods"]),
    ("users are well, and the next restart will hurt", [keyed(OLDS, {}), WELL], "healthy", [], []),
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


def test_what_is_paused_is_resumed_first() -> None:
    found = judge([cluster(THREE, FAILS, workload={"paused": True}), SICK], {}, shipped())
    assert "kubectl -n shop rollout resume deployment/api first, then" in found["findings"][0]["manual_command"]
    assert found["offers"] == []


def test_a_long_change_cause_and_a_hostile_name_do_no_harm() -> None:
    hostile = owner_of({"metadata": {"annotations": {"argocd.argoproj.io/tracking-id": "x; rm -rf /:apps"}}})
    assert hostile is not None
    assert (hostile["name"], hostile["suspend"]) == ("ITS-NAME", "argocd app set ITS-NAME --sync-policy none")
    long = cluster(THREE, FAILS, releases=[release(2, change_cause="word " * 9000, changes=["env X"] * 900), release(1, OLD)])
    (found,) = [one for one in observed(long) if isinstance(one, Finding) and one.id == BAD]
    assert len(shipped().summary(found)) < 800


UNKNOWN: list[tuple[str, Json, str]] = [
    ("a log was cut", cluster(THREE, [{**one, "cut": True} for one in SERVES]), "not all of its pods"),
    ("a log was not read", cluster(THREE, SERVES[:2]), "not all of its pods"),
    ("some logs were too many to read", cluster(THREE, SERVES, gaps=[{"diagnostic": "logs", "reason": "64 of 900"}]), "not all of its pods"),
    ("a pod is not ready", cluster([*THREE[:2], pod("new2", 2, ready=False, created_at="2026-11-24T02:12:50Z")], SERVES), "not all of its pods"),
    ("too few requests", cluster(THREE, [log("new0", 3)]), "3 requests, 0 with 5xx; too few were read"),
    ("the logs do not go back to its start", cluster([{**one, "created_at": OLD} for one in THREE], FAILS), "do not go back to it"),
    ("too little to tell the two apart", cluster([*THREE, OLD_POD], [log("new0", 40, 5, good=0), log("old", 20)]), "too few to tell them apart"),
    ("a release of old that somebody went back to", cluster(THREE, SERVES, releases=[release(3, OLD), release(2)]), "no way out of it"),
    ("a Deployment that is new itself", cluster(THREE, FAILS, releases=[release(1)]), "nothing to compare it with"),
    ("it may have served well by chance", cluster(THREE, [log("new0", 110, 5, good=50), log("new1", 1), log("new2", 1)]), "which may be chance"),
    ("a StatefulSet", cluster([pod("db-0", None, kind="StatefulSet")], [log("db-0", 100)], releases=[]), "of a StatefulSet are not read"),
    ("no history", cluster(THREE, SERVES, releases=[release(7)]), "revisionHistoryLimit"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "facts", "why"), UNKNOWN, ids=[row[0] for row in UNKNOWN])
def test_what_cannot_be_told_is_a_gap_and_never_ruled_out(name: str, facts: Json, why: str) -> None:
    seen = observed(facts)
    assert [one for one in seen if isinstance(one, RuledOut) and one.id == BAD] == []
    assert [one for one in seen if isinstance(one, Gap) and one.what.startswith("the release of") and why in one.why], seen


@pytest.mark.parametrize("facts", [row[1] for row in UNKNOWN[:3]], ids=[row[0] for row in UNKNOWN[:3]])
def test_errors_are_not_ruled_out_by_logs_that_were_not_read(facts: Json) -> None:
    assert [one for one in observed(facts) if isinstance(one, RuledOut) and one.id == ERRORS] == []


def test_a_restart_after_a_release_does_not_hide_it() -> None:
    pods, logs = [pod(f"r{n}", 3) for n in range(3)], [log(f"r{n}", 100, 40, good=0) for n in range(3)]
    facts = cluster(
        [*pods, OLD_POD], [*logs, log("old", 100)], [release(3, restart=True, changes=[]), release(2), release(1, OLD)]
    )
    (found,) = [one for one in observed(facts) if isinstance(one, Finding) and one.id == BAD]
    (target,) = found.targets["rollback"]
    assert (target["from_hash"], target["to_hash"], found.evidence["changes"]) == ("hash3", "hash1", "image")


INNOCENT: list[tuple[str, Json, str]] = [
    ("it serves", cluster(THREE, SERVES), "answered 300 requests, 0 with 5xx"),
    ("the first release of all", cluster(THREE, SERVES, releases=[release(1, OLD)]), "no other release"),
    ("both fail alike", cluster([*THREE, OLD_POD], [*FAILS, log("old", 100, 40)]), "those beside them 40 of 100"),
    ("it served well first", cluster(THREE, [log(f"new{n}", 100, 40, good=30) for n in range(3)]), "90 requests to /sign well before"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "facts", "why"), INNOCENT, ids=[row[0] for row in INNOCENT])
def test_by_what_a_release_is_known_to_be_innocent(name: str, facts: Json, why: str) -> None:
    (told,) = [one for one in observed(facts) if isinstance(one, RuledOut) and one.id == BAD]
    assert why in told.why


def test_a_configuration_is_not_rolled_back() -> None:
    facts = cluster(CRASHED, releases=[release(2, changes=["annotation checksum/config"], configuration=True), release(1, OLD)])
    found = judge([facts, SICK], {}, shipped())
    assert (found["offers"], found["findings"][0]["id"]) == ([], BAD)
    assert "put the ConfigMap or Secret back first" in found["findings"][0]["manual_command"]


def test_how_long_the_release_before_was_the_newest_is_said() -> None:
    found = judge([cluster(CRASHED), SICK], {}, shipped())
    assert "before it revision 1, newest for 1.2 h" in found["findings"][0]["summary"]


def test_a_pod_that_runs_out_of_memory_says_so() -> None:
    killed = pod("new0", 2, ready=False, reason="CrashLoopBackOff", last={"reason": "OOMKilled", "exit_code": 137, "at": NEW})
    (found,) = [one for one in observed(cluster([killed])) if isinstance(one, Finding) and one.id == PODS]
    assert found.evidence["reasons"] == "OOMKilled"


WHY: list[tuple[str, Json, str]] = [
    ("scaled to nothing", cluster([], workload={"replicas": 0}), "shop/Deployment/api, which it selects, is scaled to 0"),
    ("a port that nobody has", cluster(THREE, SERVES, service={"ready": [], "portless": True}), "no port of the name"),
    ("made by hand", cluster(THREE, SERVES, service={"ready": [], "selector": {}, "pods": []}), "made by hand"),
    ("nobody is ready", cluster(CRASHED), "3 pods match its selector"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "facts", "why"), WHY, ids=[row[0] for row in WHY])
def test_why_nobody_serves(name: str, facts: Json, why: str) -> None:
    (told,) = [one for one in observed(facts) if isinstance(one, Finding) and one.id == NOBODY]
    assert why in told.evidence["why"]


@pytest.mark.parametrize("hashes", [("", "hash1"), ("hash2", ""), ("hash1", "hash1")])
def test_what_cannot_be_told_from_another_is_not_offered(hashes: tuple[str, str]) -> None:
    facts = cluster(THREE, FAILS, releases=[release(2, hash=hashes[0]), release(1, OLD, hash=hashes[1])])
    (found,) = [one for one in observed(facts) if isinstance(one, Finding) and one.id == BAD]
    assert found.targets == {}


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


def test_the_command_that_suspends_a_tool_names_the_kind_of_object() -> None:
    kept = {"metadata": {"name": "api", "namespace": "shop", "annotations": {"configmanagement.gke.io/managed": "enabled"}}}
    for found, kind in ((owner_of(kept), "deployment"), (owner_of_data(kept, "secret"), "secret")):
        assert found
        assert f"annotate {kind} api " in found["suspend"]


def test_what_was_not_read_is_a_gap_and_never_ruled_out() -> None:
    seen = observed(cluster([], [], gaps=[{"diagnostic": "pods", "reason": "HTTP 403"}]))
    assert [one for one in seen if isinstance(one, RuledOut)] == []
    assert {"pods", "releases"} <= {one.what for one in seen if isinstance(one, Gap)}
