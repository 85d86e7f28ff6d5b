"""What can be broken in the lab's Kubernetes: writes to the API server, as a person or a pipeline makes them."""

from __future__ import annotations

import time
import typing as t

from tests.lab.faults.core import Fault, Kind, Session, suffers
from tests.lab.kubernetes.api import Api
from tests.lab.kubernetes.service import NAMESPACE
from tests.lab.state import Lab, wait_until

DEPLOYMENT = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/api-server"
IMAGE = "registry.example.org/api-server"
GOOD = f"{IMAGE}:1.4.0"
FELT_WITHIN = 30
# For how long the version serves before something else makes it fail: enough requests of each pod to tell.
SERVED_SECONDS = 6.0
ERRORS = (
    "TypeError: cannot read properties of undefined (reading 'rounds')",
    "KeyError: 'signature_policy'",
    "NullPointerException at com.example.custody.Signer.sign",
)


def release(fault: Fault, image: str, cause: str) -> None:
    """Rolls an image out, as a pipeline does, with its change-cause."""
    container = {"name": "api-server", "image": image}
    Api.of(fault.lab).patch(
        DEPLOYMENT,
        {
            "metadata": {"annotations": {"kubernetes.io/change-cause": cause}},
            "spec": {"template": {"spec": {"containers": [container]}}},
        },
    )
    fault.sessions.append(Session("deployment", 0, "", "", "", "", f"{NAMESPACE}/Deployment/api-server"))


def felt(fault: Fault) -> None:
    wait_until(lambda: suffers(fault.lab), FELT_WITHIN, f"the suffering of {fault.name}'s users", 0.1)


def bad_release(fault: Fault) -> None:
    """A new version is rolled out and answers an endpoint with 500."""
    version = f"1.{fault.draw.randint(5, 9)}.{fault.draw.randint(0, 9)}"
    path = fault.draw.choice(["/custody/sign", "/custody/keys"])
    trouble = {"paths": [path], "status": 500, "error": fault.draw.choice(ERRORS)}
    fault.lab.write("cluster.json", {"images": {f"{IMAGE}:{version}": trouble}})
    release(fault, f"{IMAGE}:{version}", f"release {version}")
    felt(fault)


def bad_release_crash(fault: Fault) -> None:
    """A new version is rolled out and its pods do not start; the old ones are gone."""
    version = f"1.{fault.draw.randint(5, 9)}.{fault.draw.randint(0, 9)}-crash"
    release(fault, f"{IMAGE}:{version}", f"release {version}")
    felt(fault)


def image_pull(fault: Fault) -> None:
    """A new version is rolled out whose image is not in the registry."""
    version = f"1.{fault.draw.randint(5, 9)}.{fault.draw.randint(0, 9)}-missing"
    release(fault, f"{IMAGE}:{version}", f"release {version}")
    felt(fault)


def outside_errors(fault: Fault) -> None:
    """The version that has served for long answers an endpoint with 500: what it depends on is out of order."""
    path = fault.draw.choice(["/custody/sign", "/custody/keys"])
    time.sleep(SERVED_SECONDS)
    trouble = {"paths": [path], "status": 500, "error": "ConnectionResetError: signer.example.org:8443"}
    fault.lab.write("cluster.json", {"images": {GOOD: trouble}})
    felt(fault)


def wrong_selector(fault: Fault) -> None:
    """Somebody changed the Service's selector; it selects nobody."""
    path = f"/api/v1/namespaces/{NAMESPACE}/services/api-server"
    Api.of(fault.lab).patch(path, {"spec": {"selector": {"app": "api"}}})
    fault.sessions.append(Session("service", 0, "", "", "", "", f"{NAMESPACE}/api-server"))
    felt(fault)


def right_selector(lab: Lab) -> None:
    path = f"/api/v1/namespaces/{NAMESPACE}/services/api-server"
    Api.of(lab).patch(path, {"spec": {"selector": {"app": "api-server"}}})


def other_release(fault: Fault) -> None:
    """Another service is rolled out just now, and is innocent."""
    version = f"3.{fault.draw.randint(2, 9)}.0"
    container = {"name": "statements", "image": f"registry.example.org/statements:{version}"}
    path = DEPLOYMENT.replace("api-server", "statements")
    Api.of(fault.lab).patch(path, {"spec": {"template": {"spec": {"containers": [container]}}}})
    fault.sessions.append(Session("innocent", 0, "", "", "", "", f"{NAMESPACE}/Deployment/statements"))


def good_again(lab: Lab) -> None:
    """The good version serves again, whatever was done meanwhile."""
    api = Api.of(lab)
    container = {"name": "api-server", "image": GOOD}
    api.patch(DEPLOYMENT, {"spec": {"paused": False, "template": {"spec": {"containers": [container]}}}})
    lab.file("cluster.json").unlink(missing_ok=True)

    def available() -> bool:
        status = api.get(DEPLOYMENT)
        told: dict[str, t.Any] = status["status"]
        return bool(
            told.get("observedGeneration") == status["metadata"]["generation"]
            and told.get("updatedReplicas") == told.get("availableReplicas") == told.get("replicas") == status["spec"]["replicas"]
        )

    wait_until(available, 30, "the good version's pods", 0.1)


FAULTS: dict[str, Kind] = {
    "bad-release": Kind(bad_release, good_again),
    "bad-release-crash": Kind(bad_release_crash, good_again),
    "image-pull": Kind(image_pull, good_again),
    "outside-errors": Kind(outside_errors, good_again),
    "wrong-selector": Kind(wrong_selector, right_selector),
    "decoy-other-release": Kind(other_release, felt=False),
}
