"""Kubernetes on a real control plane, with the accounts that the documentation tells a user to grant and nothing more."""

from __future__ import annotations

import base64
import copy
import json
import pathlib
import re
import subprocess
import time
import typing as t
import urllib.error
import urllib.request

import pytest
import yaml

from tests import collection, harness
from tests.lab import faults
from tests.lab.__main__ import CLUSTER
from tests.lab.kubernetes import issuer, plane
from tests.lab.kubernetes.api import Api
from tests.lab.kubernetes.faults import good_again, secret_again
from tests.lab.state import PROJECT, Lab, wait_until

collection.install()

from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.client import Access, connect
from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.errors import KubernetesError
from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.log_info import argument_spec as log_spec
from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.log_info import logs_from
from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.rollout import Rollout, Target, is_complete
from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.triage import argument_spec, triage_from

Json = dict[str, t.Any]
RUNBOOK = "playbooks/runbook_error_rate.yml"
APPS = "/apis/apps/v1/namespaces/custody"
DEPLOYMENT = f"{APPS}/deployments/api-server"


@pytest.fixture(scope="module")
def running_cluster() -> t.Iterator[Lab]:
    with harness.a_lab("cluster", CLUSTER) as lab:
        yield lab


@pytest.fixture
def cluster(running_cluster: Lab) -> t.Iterator[Lab]:
    harness.settle(running_cluster)
    yield running_cluster
    harness.heal_all(running_cluster)


def play(lab: Lab, root: pathlib.Path, *options: str, **kwargs: t.Any) -> harness.Run:
    return harness.play(lab, root, *options, playbook=kwargs.pop("playbook", RUNBOOK), **kwargs)


def image(lab: Lab) -> str:
    return str(Api.of(lab).get(DEPLOYMENT)["spec"]["template"]["spec"]["containers"][0]["image"])


def account(lab: Lab, name: str) -> str:
    return str(lab.part("kubernetes")["accounts"][name])


def triage(lab: Lab, **changes: t.Any) -> Json:
    given = {name: option.get("default") for name, option in argument_spec().items()}
    return triage_from(
        {**given, "kubeconfig": account(lab, "reader"), "namespace": "custody", "services": ["api-server"], **changes}
    )


# -- a bad release, there and back ----------------------------------------------------------------------------------------


def test_a_bad_release_is_named_rolled_back_and_brought_back(cluster: Lab, root: pathlib.Path) -> None:
    faults.break_it(cluster, "bad-release", 1)
    harness.suffering(cluster, locks=False)
    bad = image(cluster)
    looked = play(cluster, root)
    assert looked.code == 0
    assert [one["id"] for one in looked.causes] == ["k8s.bad_release"]
    for said in (bad, "revision", "-e mitigate=rollback", "since", "release 1."):
        assert said in looked.line("CAUSE") + looked.line("DO"), said
    before = Api.of(cluster).get(DEPLOYMENT)["metadata"]["annotations"]
    done = play(cluster, root, "-e", "mitigate=rollback")
    assert (done.code, done.incident["state"]) == (0, "resolved"), done.output[-2000:]
    assert image(cluster).endswith(":1.4.0")
    after = Api.of(cluster).get(DEPLOYMENT)["metadata"]["annotations"]
    assert (after["team"], after["kubernetes.io/change-cause"]) == (before["team"], "release 1.4.0")
    again = play(cluster, root, "-e", "mitigate=rollback")
    assert (again.code, image(cluster)) == (0, image(cluster)), "twice is once"
    back = play(cluster, root, "-e", f"incident_id={done.folder.name}", playbook="playbooks/undo.yml")
    assert (back.code, image(cluster)) == (0, bad), back.output[-2000:]


def test_whoever_knows_better_rolls_back_by_name_and_forward_again(cluster: Lab, root: pathlib.Path) -> None:
    faults.break_it(cluster, "decoy-new-version", 1)
    new, asked = image(cluster), ("-e", "workload=api-server")
    shown = play(cluster, root, *asked, playbook="playbooks/k8s_rollback.yml")
    assert (shown.code, image(cluster)) == (0, new), shown.output[-2500:]
    assert "mitigate=rollback" in shown.line("STEP")
    done = play(cluster, root, *asked, "-e", "mitigate=rollback", playbook="playbooks/k8s_rollback.yml")
    assert done.code == 0, done.output[-2000:]
    assert image(cluster).endswith(":1.4.0")
    back = play(cluster, root, "-e", f"incident_id={done.folder.name}", playbook="playbooks/undo.yml")
    assert (back.code, image(cluster)) == (0, new), back.output[-2000:]
    unnamed = play(cluster, root, playbook="playbooks/k8s_rollback.yml")
    assert unnamed.code
    assert "which Deployment? -e workload=NAME" in unnamed.output


DIGESTS = {name: f"registry.example.org/api-server@sha256:{name * 64}" for name in "ab"}


@pytest.fixture
def with_its_release(cluster: Lab) -> t.Iterator[Lab]:
    yield cluster
    good_again(cluster)


def hotfix(lab: Lab, root: pathlib.Path, digest: str, *options: str) -> harness.Run:
    asked = ("-e", "workload=api-server", "-e", f"image={DIGESTS[digest]}", "-e", "mitigate=deploy_hotfix", "-e", "approval=auto")
    return play(lab, root, *asked, *options, playbook="playbooks/deploy_hotfix.yml")


def test_a_hotfix_is_kept_where_users_are_well_with_it_and_taken_back_where_they_are_not(
    with_its_release: Lab, root: pathlib.Path
) -> None:
    lab = with_its_release
    faults.break_it(lab, "bad-release", 4)
    bad, trouble = image(lab), lab.read("cluster.json")["images"]
    lab.write("cluster.json", {"images": {**trouble, DIGESTS["b"]: trouble[bad]}})
    in_vain = hotfix(lab, root, "b", "-e", "recovery_check_within=8")
    assert (bool(in_vain.code), image(lab), in_vain.incident["state"]) == (True, bad, "open"), in_vain.output[-2500:]
    assert "deploy_hotfix was taken back by itself" in in_vain.output, in_vain.output[-2500:]
    done = hotfix(lab, root, "a")
    assert (done.code, image(lab), done.incident["state"]) == (0, DIGESTS["a"], "resolved"), done.output[-2500:]
    back = play(lab, root, "-e", f"incident_id={done.folder.name}", playbook="playbooks/undo.yml")
    assert (back.code, image(lab)) == (0, bad), back.output[-2000:]


# -- the key that sessions are signed with --------------------------------------------------------------------------------


def secret_data(lab: Lab) -> dict[str, str]:
    return t.cast("dict[str, str]", Api.of(lab).get("/api/v1/namespaces/custody/secrets/api-secrets").get("data") or {})


@pytest.mark.parametrize("fault", ["jwt-missing", "jwt-short"])
def test_a_key_is_written_and_taken_back_and_no_value_is_told(cluster: Lab, root: pathlib.Path, fault: str) -> None:
    faults.break_it(cluster, fault, 1)
    before, auth = secret_data(cluster), "playbooks/runbook_auth_failure.yml"
    tried = play(cluster, root, "-e", "mitigate=set_auth_key", "--check", "--diff", playbook=auth)
    assert (tried.code, secret_data(cluster)) == (0, before), tried.output[-2000:]
    done = play(cluster, root, "-e", "mitigate=set_auth_key", "-vvv", playbook=auth)
    after = secret_data(cluster)
    assert (done.code, done.incident["state"]) == (0, "resolved"), done.output[-2000:]
    assert after["SESSION_KEY"] == before["SESSION_KEY"]
    assert len(base64.b64decode(after["JWT_SECRET"])) == 64
    again = play(cluster, root, "-e", "mitigate=set_auth_key", playbook=auth)
    assert (again.code, secret_data(cluster)) == (0, after), "twice is once"
    back = play(cluster, root, "-e", f"incident_id={done.folder.name}", "-vvv", playbook="playbooks/undo.yml")
    assert (back.code, secret_data(cluster)) == (0, before), back.output[-2000:]
    written = "".join(path.read_text(errors="replace") for path in root.rglob("*") if path.is_file())
    for value in {*before.values(), *after.values()}:
        for told in (value, base64.b64decode(value).decode()):
            assert told not in tried.output + done.output + back.output + written


# -- a key that is well, changed with and without an overlap ---------------------------------------------------------------

ROTATE, RETIRE = "playbooks/rotate_auth_key.yml", "playbooks/retire_auth_key.yml"


@pytest.fixture
def with_a_key(cluster: Lab) -> t.Iterator[Lab]:
    yield cluster
    secret_again(cluster)


def session(lab: Lab, signed: str | None = None) -> tuple[int, str]:
    """A user's session, or whether one is accepted: by each pod, whichever answers."""
    request = urllib.request.Request(f"{lab.part('service')['url']}/auth/session?tenant=1")
    if signed:
        request.add_header("Authorization", f"Bearer {signed}")
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status, str(json.load(answer).get("session"))
    except urllib.error.HTTPError as error:
        return error.code, ""


def accepted(lab: Lab, signed: str) -> set[int]:
    return {session(lab, signed)[0] for _number in range(12)}


def rotation(lab: Lab, root: pathlib.Path, mitigation: str, *options: str, playbook: str = ROTATE) -> harness.Run:
    asked = ("-e", "workload=api-server", "-e", f"mitigate={mitigation}", "-e", "approval=auto")
    return play(lab, root, *asked, *options, playbook=playbook)


def test_a_key_is_rotated_while_sessions_live_and_the_old_one_is_retired(with_a_key: Lab, root: pathlib.Path) -> None:
    lab, before = with_a_key, secret_data(with_a_key)
    old, known = session(lab)[1], len(plane.audited(lab))
    tried = rotation(lab, root, "rotate_auth_key", "--check")
    assert (tried.code, secret_data(lab)) == (0, before), tried.output[-2000:]
    sent = [event["requestURI"] for event in plane.audited(lab)[known:]]
    assert sent
    assert all("dryRun=All" in uri for uri in sent), "the servers received nothing but trials"
    done = rotation(lab, root, "rotate_auth_key", "-vvv")
    after = secret_data(lab)
    assert done.code == 0, done.output[-2000:]
    assert after == {**before, "JWT_SECRET": after["JWT_SECRET"], "JWT_SECRET_PREVIOUS": before["JWT_SECRET"]}
    new = session(lab)[1]
    assert (new != old, accepted(lab, old), accepted(lab, new)) == (True, {200}, {200})
    twice = rotation(lab, root, "rotate_auth_key", "-e", "incident_key=again")
    assert (bool(twice.code), secret_data(lab), "retire it first" in twice.output) == (True, after, True)
    early = rotation(lab, root, "retire_auth_key", "-e", "runbooks_k8s_auth_lifetime_seconds=9999", playbook=RETIRE)
    assert (bool(early.code), secret_data(lab), "retire it in" in early.output) == (True, after, True), early.output[-2000:]
    ended = rotation(lab, root, "retire_auth_key", playbook=RETIRE)
    assert (ended.code, secret_data(lab)) == (0, {**before, "JWT_SECRET": after["JWT_SECRET"]}), ended.output[-2000:]
    assert (accepted(lab, old), accepted(lab, new)) == ({401}, {200})
    written = "".join(path.read_text(errors="replace") for path in root.rglob("*") if path.is_file())
    for value in {*before.values(), *after.values()}:
        for told in (value, base64.b64decode(value).decode()):
            assert told not in done.output + ended.output + written


def test_a_rotation_is_taken_back_with_both_keys_as_they_were(with_a_key: Lab, root: pathlib.Path) -> None:
    before, old = secret_data(with_a_key), session(with_a_key)[1]
    done = rotation(with_a_key, root, "rotate_auth_key")
    back = play(with_a_key, root, "-e", f"incident_id={done.folder.name}", playbook="playbooks/undo.yml")
    assert (back.code, secret_data(with_a_key)) == (0, before), back.output[-2000:]
    wait_until(lambda: is_complete(Api.of(with_a_key).get(DEPLOYMENT)), 30, "the restart", 0.2)
    assert accepted(with_a_key, old) == {200}


def test_a_key_that_others_know_is_replaced_at_once(with_a_key: Lab, root: pathlib.Path) -> None:
    before, old = secret_data(with_a_key), session(with_a_key)[1]
    unapproved = play(with_a_key, root, "-e", "workload=api-server", "-e", "mitigate=replace_auth_key", playbook=ROTATE)
    assert (bool(unapproved.code), secret_data(with_a_key)) == (True, before)
    done = rotation(with_a_key, root, "replace_auth_key")
    assert done.code == 0, done.output[-2000:]
    assert set(secret_data(with_a_key)) == set(before)
    assert accepted(with_a_key, old) == {401}
    assert before["JWT_SECRET"] not in secret_data(with_a_key).values()


def test_the_logs_of_a_selector_are_told_together(cluster: Lab) -> None:
    given = {name: option.get("default") for name, option in log_spec().items()}
    asked = {**given, "kubeconfig": account(cluster, "reader"), "namespace": "custody", "selector": "app=api-server"}
    # The pods may have been made just now.
    wait_until(lambda: logs_from(asked)["requests"] > 40, 20, "requests in their logs", 0.5)
    told = logs_from(asked)
    assert len(told["pods"]) >= 3
    assert told["requests"] == sum(one["requests"] for one in told["endpoints"])
    assert {"/custody/keys", "/custody/sign"} <= {one["path"] for one in told["endpoints"]}
    assert told["levels"]["info"] >= told["requests"]
    with pytest.raises(KubernetesError, match="matches no pod of the namespace custody"):
        logs_from({**asked, "selector": "app=nobody"})


def config_data(lab: Lab) -> dict[str, str]:
    return t.cast("dict[str, str]", Api.of(lab).get("/api/v1/namespaces/custody/configmaps/api-config")["data"])


def test_a_feature_is_switched_off_and_on_again(cluster: Lab, root: pathlib.Path) -> None:
    faults.break_it(cluster, "config-push", 1)
    before = config_data(cluster)
    tried = play(cluster, root, "-e", "mitigate=disable_feature", "--check", "--diff")
    assert (tried.code, config_data(cluster)) == (0, before), tried.output[-2000:]
    done = play(cluster, root, "-e", "mitigate=disable_feature")
    assert (done.code, done.incident["state"]) == (0, "resolved"), done.output[-2000:]
    assert config_data(cluster) == {**before, "FEATURE_BULK_SIGN": "false"}
    again = play(cluster, root, "-e", "mitigate=disable_feature")
    assert (again.code, config_data(cluster)["FEATURE_BULK_SIGN"]) == (0, "false"), "twice is once"
    back = play(cluster, root, "-e", f"incident_id={done.folder.name}", playbook="playbooks/undo.yml")
    assert (back.code, config_data(cluster)) == (0, before), back.output[-2000:]


def test_without_the_grant_a_feature_is_a_gap_that_says_so(cluster: Lab) -> None:
    asked = {"configmap": "another", "key": "X", "off_value": "off"}
    (gap,) = [one for one in triage(cluster, features=[asked])["gaps"] if one["diagnostic"] == "configmap another"]
    assert "403" in gap["reason"]


def test_without_the_grant_the_key_is_a_gap_that_says_so(cluster: Lab) -> None:
    found = triage(cluster, secrets=["another-secret"])
    (gap,) = [one for one in found["gaps"] if one["diagnostic"] == "secret another-secret"]
    assert "403" in gap["reason"]
    assert "docs/rbac" in gap["reason"]


def test_check_mode_asks_the_server_and_stores_nothing(cluster: Lab, root: pathlib.Path) -> None:
    faults.break_it(cluster, "bad-release", 2)
    harness.suffering(cluster, locks=False)
    before, known = Api.of(cluster).get(DEPLOYMENT)["metadata"]["generation"], len(plane.audited(cluster))
    checked = play(cluster, root, "--check", "--diff", "-e", "mitigate=rollback", variables=harness.ALL_CHANNELS)
    assert checked.code == 0
    assert "would do" in checked.output
    assert "+  image: registry.example.org/api-server:1.4.0" in checked.printed
    sent = plane.audited(cluster)[known:]
    assert [event["verb"] for event in sent] == ["patch"]
    assert all("dryRun=All" in event["requestURI"] for event in sent)
    assert Api.of(cluster).get(DEPLOYMENT)["metadata"]["generation"] == before
    assert harness.writes(cluster) == []


def test_no_secret_of_the_cluster_is_anywhere(cluster: Lab, root: pathlib.Path) -> None:
    faults.break_it(cluster, "bad-release", 3)
    harness.suffering(cluster, locks=False)
    played = play(cluster, root, "-vvv", "-e", "mitigate=rollback", "--diff")
    secrets = Api.of(cluster).get("/api/v1/namespaces/custody/secrets/api-secrets")["data"]
    token = yaml.safe_load(pathlib.Path(account(cluster, "operator")).read_text())["users"][0]["user"]["token"]
    texts = [played.printed, *(path.read_text(errors="replace") for path in played.folder.rglob("*") if path.is_file())]
    for secret in (*secrets.values(), "lab-only-0123456789", "lab-only-session-key", token):
        assert not [text[:80] for text in texts if secret in text]


def test_an_open_door_is_named_and_no_token_is_anywhere(cluster: Lab, root: pathlib.Path) -> None:
    faults.break_it(cluster, "open-door", 4)
    played = play(cluster, root, "-vvv", playbook="playbooks/runbook_auth_failure.yml")
    assert [one["id"] for one in played.causes] == ["auth.open_door"], played.output[-2000:]
    assert played.causes[0]["evidence"]["what"].count(" in 5 of 5 requests") == 6
    # Each run of the lab's inventory makes a token; all of them begin with these words.
    begins = issuer.token(cluster, cluster.part("service")["url"])[:60]
    texts = [played.printed, *(path.read_text(errors="replace") for path in root.rglob("*") if path.is_file())]
    assert not [text[:80] for text in texts if begins in text]


# -- what else may stand in the way ---------------------------------------------------------------------------------------


def rollout(lab: Lab, name: str = "operator") -> Rollout:
    return Rollout(connect(Access(account(lab, name))), time.monotonic, time.sleep)


def undo(lab: Lab, target: Target, account_name: str = "operator", **changes: t.Any) -> t.Any:
    wanted = {"to_revision": 0, "to_hash": None, "force": False, "dry_run": False, **changes}
    return rollout(lab, account_name).undo(target, **wanted)


def test_the_reader_changes_nothing(cluster: Lab) -> None:
    with pytest.raises(KubernetesError, match="HTTP 403.*docs/rbac has the roles to grant"):
        undo(cluster, Target("custody", "api-server"), "reader")


def test_of_another_cluster_than_the_inventory_says_nothing_is_asked(cluster: Lab, root: pathlib.Path) -> None:
    played = play(cluster, root, "-e", "runbooks_k8s_cluster=prod")
    assert "is of the cluster 'lab', and the inventory says 'prod'" in played.output
    assert played.findings["verdict"] == "unproven"


KUBECONFIGS = [
    ("missing", None, "cannot be used|No such file"),
    ("no YAML", "{", "cannot be used"),
    ("empty", "", "cannot be used"),
    ("an expired token", "expired", "HTTP 401.*log in again"),
    ("no server", "silent", "Is the API server reachable from here"),
]


@pytest.mark.parametrize(("name", "text", "message"), KUBECONFIGS, ids=[row[0] for row in KUBECONFIGS])
def test_a_kubeconfig_that_cannot_be_used_is_a_gap_with_the_way_out(
    cluster: Lab, tmp_path: pathlib.Path, name: str, text: str | None, message: str
) -> None:
    path = tmp_path / "kubeconfig"
    good = yaml.safe_load(pathlib.Path(account(cluster, "reader")).read_text())
    if text == "expired":
        good["users"][0]["user"]["token"] = "no-token-of-this-cluster"
    if text == "silent":
        (port,) = plane.free_ports(1)
        good["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{port}"
    if text is not None:
        path.write_text(yaml.safe_dump(good) if text in ("expired", "silent") else text)
    facts = triage(cluster, kubeconfig=str(path))
    assert not facts["workloads"]
    reasons = "\n".join(gap["reason"] for gap in facts["gaps"])
    assert re.search(message, reasons), reasons


def test_each_grant_of_the_reader_is_needed(cluster: Lab) -> None:
    role = next(
        one for one in yaml.safe_load_all((PROJECT / "docs/rbac/reader.yaml").read_text()) if one["kind"] == "ClusterRole"
    )
    path, api = "/apis/rbac.authorization.k8s.io/v1/clusterroles/sre-runbooks-reader", Api.of(cluster)
    resources = [(number, name) for number, rule in enumerate(role["rules"]) for name in rule["resources"]]
    try:
        assert triage(cluster)["gaps"] == []
        for number, name in resources:
            less = copy.deepcopy(role["rules"])
            less[number]["resources"].remove(name)
            api.text(f"{path}", "PATCH", {"rules": [rule for rule in less if rule["resources"]]}, "application/merge-patch+json")
            wait_until(lambda name=name: bool(triage(cluster)["gaps"]), 10, f"a gap without {name}")  # type: ignore[misc]
            assert all("403" in gap["reason"] for gap in triage(cluster)["gaps"]), name
    finally:
        api.apply(PROJECT / "docs/rbac/reader.yaml")
    wait_until(lambda: not triage(cluster)["gaps"], 10, "the reader's grants")


def test_a_service_that_is_not_there_is_said(cluster: Lab) -> None:
    gaps = triage(cluster, services=["api-server", "portal"])["gaps"]
    assert gaps == [{"diagnostic": "service portal", "reason": "there is none of this name"}]


# -- as kubectl does it -----------------------------------------------------------------------------------------------------


def kubectl(lab: Lab, *arguments: str) -> str:
    command = [
        f"{lab.part('kubernetes')['bin']}/kubectl",
        f"--kubeconfig={lab.file('kubernetes', 'admin.kubeconfig')}",
        "-n",
        "custody",
    ]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=60)
    return done.stdout + done.stderr


def twin(name: str) -> Json:
    container = {"name": "app", "image": "registry.example.org/app:1", "env": [{"name": "A", "value": "1"}]}
    return {
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": name, "namespace": "custody",
                     "annotations": {"team": "payments", "kubernetes.io/change-cause": "one"}},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": name}},
                 "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": [container]}}},
    }  # fmt: skip


def settled(lab: Lab, name: str) -> Json:
    api = Api.of(lab)
    wait_until(lambda: is_complete(api.get(f"{APPS}/deployments/{name}")), 20, f"the rollout of {name}", 0.1)
    return api.get(f"{APPS}/deployments/{name}")


def release(lab: Lab, name: str, number: int, **annotations: str) -> None:
    spec = {"template": {"spec": {"containers": [{"name": "app", "image": f"registry.example.org/app:{number}"}]}}}
    told = {"kubernetes.io/change-cause": f"release {number}", **annotations}
    Api.of(lab).patch(f"{APPS}/deployments/{name}", {"metadata": {"annotations": told}, "spec": spec})
    settled(lab, name)


HISTORIES: list[tuple[str, list[int], int]] = [
    ("two releases", [2], 0),
    ("three, to the first", [2, 3], 1),
    ("three, to the one before", [2, 3], 0),
    ("after an undo, over the gap", [2, 1, 3], 0),
    ("the same template again", [2, 1], 3),
]


@pytest.mark.parametrize(("name", "releases", "revision"), HISTORIES, ids=[row[0] for row in HISTORIES])
def test_a_twin_that_kubectl_rolls_back_is_the_same_field_by_field(
    cluster: Lab, name: str, releases: list[int], revision: int
) -> None:
    api, twins = Api.of(cluster), ("ours", "theirs")
    try:
        for one in twins:
            api.create(f"{APPS}/deployments", twin(one))
            settled(cluster, one)
            for number in releases:
                release(cluster, one, number, **{"edited-later": str(number)})
            api.patch(f"{APPS}/deployments/{one}", {"metadata": {"annotations": {"note": "by hand, after the release"}}})
        kubectl(cluster, "rollout", "undo", "deployment/theirs", f"--to-revision={revision}")
        undo(cluster, Target("custody", "ours"), to_revision=revision)
        ours, theirs = (json.loads(json.dumps(_comparable(settled(cluster, one), one))) for one in twins)
        assert ours == theirs
    finally:
        for one in twins:
            api.delete(f"{APPS}/deployments/{one}")


def _comparable(deployment: Json, name: str) -> Json:
    """What two Deployments that differ in their name have in common."""
    text = json.dumps({"spec": deployment["spec"], "annotations": deployment["metadata"]["annotations"]})
    return t.cast("Json", json.loads(text.replace(f'"{name}"', '"twin"')))
