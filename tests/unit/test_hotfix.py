"""A hotfix by the exchange with the API server: which container gets which image, and what is refused before."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.errors import KubernetesError
from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.images import set_image
from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.rollout import Target

from tests.unit.test_rollout import GOOD, PATCH, TARGET, Server, deployment, rollout, template

Json = dict[str, t.Any]
IMAGE = f"registry.example.org/api@sha256:{'a1' * 32}"
TWO = {
    "template": {
        **template("api:2"),
        "spec": {"containers": [{"name": "proxy", "image": "proxy:1"}, {"name": "api", "image": "api:2"}]},
    }
}


def test_the_server_compares_and_one_image_changes() -> None:
    server = Server(**{**GOOD, "patch": [deployment(IMAGE)]})
    own = rollout(server)
    outcome = set_image(own, TARGET, IMAGE, None, force=False, dry_run=False)
    assert server.patches == [(PATCH, [
        {"op": "test", "path": "/metadata/uid", "value": "u1"},
        {"op": "test", "path": "/metadata/resourceVersion", "value": "77"},
        {"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": IMAGE},
        {"op": "add", "path": "/metadata/annotations", "value": {
            "team": "payments", "deployment.kubernetes.io/revision": "2", "kubernetes.io/change-cause": f"hotfix {IMAGE}"}},
    ])]  # fmt: skip
    assert outcome.done == (f"gave the container api of Deployment shop/api the image {IMAGE}; it had api:2",)
    assert own.made == {"uid": "u1", "from_hash": "h2", "to_hash": ""}


def test_a_trial_is_told_to_be_one() -> None:
    server = Server(**{**GOOD, "patch": [deployment(IMAGE)]})
    set_image(rollout(server), TARGET, IMAGE, None, force=False, dry_run=True)
    assert server.patches[0][0] == f"{PATCH}&dryRun=All"


def test_the_named_container_gets_it() -> None:
    server = Server(**{**GOOD, "get": [deployment(spec=TWO)]})
    set_image(rollout(server), Target("shop", "api", "u1"), IMAGE, "api", force=True, dry_run=False)
    assert server.patches[0][1][2]["path"] == "/spec/template/spec/containers/1/image"


def test_twice_is_once() -> None:
    server = Server(**{**GOOD, "get": [deployment(IMAGE)]})
    assert set_image(rollout(server), Target("shop", "api", "u1"), IMAGE, None, force=False, dry_run=False).changed is False
    assert server.patches == []


ARGO = {"metadata": {"annotations": {"argocd.argoproj.io/tracking-id": "shop:apps/Deployment:shop/api"}}}
REFUSED: list[tuple[str, Json, Target, str, str | None, str]] = [
    ("a tag", {}, TARGET, "api:3", None, "named by its digest"),
    ("a short digest", {}, TARGET, "api@sha256:abc", None, "named by its digest"),
    ("a line's end", {}, TARGET, f"{IMAGE}\n", None, "named by its digest"),
    ("a container that is not there", {}, TARGET, IMAGE, "sidecar", "no container 'sidecar'; there are: api"),
    ("one of two, not named", {"spec": TWO}, TARGET, IMAGE, None, "more than one container: name it; there are: proxy, api"),
    ("another Deployment of the name", {}, Target("shop", "api", "u2"), IMAGE, None, "its uid differs"),
    ("another release by now", {}, Target("shop", "api", "u1", "h1"), IMAGE, None, "runs another release by now"),
    ("it is paused", {"spec": {"paused": True}}, TARGET, IMAGE, None, "is paused"),
    ("Argo CD keeps it", ARGO, TARGET, IMAGE, None, "Argo CD"),
]


@pytest.mark.parametrize(("name", "changes", "target", "image", "container", "why"), REFUSED, ids=[row[0] for row in REFUSED])
def test_what_is_refused_before_anything_is_sent(
    name: str, changes: Json, target: Target, image: str, container: str | None, why: str
) -> None:
    server = Server(**{**GOOD, "get": [deployment(**changes)]})
    with pytest.raises(KubernetesError, match=why):
        set_image(rollout(server), target, image, container, force=False, dry_run=False)
    assert server.patches == [], name
