"""What can be broken in the lab's Kubernetes: writes to the API server, as a person or a pipeline makes them."""

from __future__ import annotations

import base64
import contextlib
import datetime
import functools
import threading
import time
import typing as t
import urllib.parse

from tests.lab.kubernetes import issuer
from tests.lab.kubernetes.api import Api
from tests.lab.kubernetes.service import LOG_IN, NAMESPACE, PASSWORD, SIGN, TENANTS, WHO_AM_I, ask
from tests.lab.postgresql.connections import connection_leak, release_clients
from tests.lab.postgresql.core import MIGRATIONS, Fault, Kind, Session, suffers
from tests.lab.state import Lab, LabError, wait_until

DEPLOYMENT = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/api-server"
IMAGE = "registry.example.org/api-server"
GOOD = f"{IMAGE}:1.4.0"
SECRET = f"/api/v1/namespaces/{NAMESPACE}/secrets/api-secrets"
JWT = "lab-only-0123456789-abcdefghijklmnopqrstuvwxyz"
CONFIG = f"/api/v1/namespaces/{NAMESPACE}/configmaps/api-config"
QUOTAS, QUOTA = f"/api/v1/namespaces/{NAMESPACE}/resourcequotas", "no-pods"
CANARY = "api-canary"
TRACKING = "argocd.argoproj.io/tracking-id"
FELT_WITHIN = 30
# For how long the version serves before something else makes it fail: enough requests of each pod to tell.
SERVED_SECONDS = 6.0
MANY_REFUSALS = 10
MANY_REQUESTS = 30
MOST_USERS = 80
ERRORS = (
    "TypeError: cannot read properties of undefined (reading 'rounds')",
    "KeyError: 'signature_policy'",
    "NullPointerException at com.example.custody.Signer.sign",
)


def release(fault: Fault, image: str, cause: str, **spec: t.Any) -> None:
    """Rolls an image out, as a pipeline does, with its change-cause and what else of the pods changes."""
    container = {"name": "api-server", "image": image}
    Api.of(fault.lab).patch(
        DEPLOYMENT,
        {
            "metadata": {"annotations": {"kubernetes.io/change-cause": cause}},
            "spec": {"template": {"spec": {"containers": [container], **spec}}},
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


def version_of(fault: Fault, ending: str) -> str:
    return f"1.{fault.draw.randint(5, 9)}.{fault.draw.randint(0, 9)}-{ending}"


def out_of_memory(fault: Fault) -> None:
    """A new version is rolled out that needs more memory than it may have."""
    version = version_of(fault, "oom")
    release(fault, f"{IMAGE}:{version}", f"release {version}")
    felt(fault)


def unready(fault: Fault) -> None:
    """A new version is rolled out whose pods run and never become ready."""
    version = version_of(fault, "unready")
    release(fault, f"{IMAGE}:{version}", f"release {version}")
    felt(fault)
    wait_until(lambda: progress(fault.lab) == "ProgressDeadlineExceeded", FELT_WITHIN, "the rollout's deadline", 0.2)


def progress(lab: Lab) -> str:
    conditions = Api.of(lab).get(DEPLOYMENT)["status"].get("conditions", [])
    return str(next((one["reason"] for one in conditions if one["type"] == "Progressing"), ""))


def paused(fault: Fault) -> None:
    """A bad release is rolled out, and somebody pauses the Deployment then."""
    bad_release(fault)
    Api.of(fault.lab).patch(DEPLOYMENT, {"spec": {"paused": True}})


def quota(fault: Fault) -> None:
    """A quota allows no pod any more; then the node of all of them is emptied."""
    api = Api.of(fault.lab)
    body = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": QUOTA, "namespace": NAMESPACE},
            "spec": {"hard": {"pods": "0"}}}  # fmt: skip
    api.create(QUOTAS, body)
    wait_until(lambda: "hard" in api.get(f"{QUOTAS}/{QUOTA}").get("status", {}), FELT_WITHIN, "the quota's books", 0.1)
    delete_pods(fault.lab)
    fault.sessions.append(Session("deployment", 0, "", "", "", "", f"{NAMESPACE}/Deployment/api-server"))
    felt(fault)
    wait_until(lambda: "ReplicaFailure" in str(api.get(DEPLOYMENT)["status"]), FELT_WITHIN, "the refusal to be told", 0.1)


def delete_pods(lab: Lab) -> None:
    api = Api.of(lab)
    for pod in api.get(f"/api/v1/namespaces/{NAMESPACE}/pods?labelSelector=app=api-server")["items"]:
        api.delete(f"/api/v1/namespaces/{NAMESPACE}/pods/{pod['metadata']['name']}")


def no_quota(lab: Lab) -> None:
    """The pods are made again at once: the controller's pause between its tries grows to minutes otherwise."""
    api = Api.of(lab)
    api.delete(f"{QUOTAS}/{QUOTA}")
    api.patch(DEPLOYMENT, {"spec": {"template": {"metadata": {"annotations": {"after": "the quota"}}}}})
    good_again(lab)


def target_port(fault: Fault) -> None:
    """Somebody changed the Service's target port to one that no pod has."""
    path = f"/api/v1/namespaces/{NAMESPACE}/services/api-server"
    Api.of(fault.lab).patch(path, {"spec": {"ports": [{"name": "http", "port": 80, "targetPort": "grpc"}]}})
    fault.sessions.append(Session("service", 0, "", "", "", "", f"{NAMESPACE}/api-server"))
    felt(fault)


def right_port(lab: Lab) -> None:
    path = f"/api/v1/namespaces/{NAMESPACE}/services/api-server"
    Api.of(lab).patch(path, {"spec": {"ports": [{"name": "http", "port": 80, "targetPort": "http"}]}})


def scaled_to_zero(fault: Fault) -> None:
    """Somebody scaled the Deployment to nothing."""
    Api.of(fault.lab).patch(DEPLOYMENT, {"spec": {"replicas": 0}})
    fault.sessions.append(Session("service", 0, "", "", "", "", f"{NAMESPACE}/api-server"))
    felt(fault)


def scaled_again(lab: Lab) -> None:
    Api.of(lab).patch(DEPLOYMENT, {"spec": {"replicas": 3}})
    good_again(lab)


def deployment(name: str, labels: dict[str, str], container: dict[str, t.Any], replicas: int = 1) -> dict[str, t.Any]:
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": NAMESPACE}, "spec": spec}


def canary(fault: Fault) -> None:
    """A canary beside the Deployment, behind the same Service, gets a bad version; the stable one is well."""
    api, path = Api.of(fault.lab), DEPLOYMENT.replace("api-server", CANARY)
    image = f"{IMAGE}:1.{fault.draw.randint(5, 9)}.{fault.draw.randint(0, 9)}"
    trouble = {
        "paths": [fault.draw.choice(["/custody/sign", "/custody/keys"])],
        "status": 500,
        "error": fault.draw.choice(ERRORS),
    }
    fault.lab.write("cluster.json", {"images": {image: trouble}})
    container = {**api.get(DEPLOYMENT)["spec"]["template"]["spec"]["containers"][0], "image": GOOD}
    labels = {"app": "api-server", "track": "canary"}
    api.create(path.rpartition("/")[0], deployment(CANARY, labels, container, 2))
    wait_until(lambda: is_available(api.get(path)), FELT_WITHIN, "the canary", 0.1)
    api.patch(path, {"spec": {"template": {"spec": {"containers": [{**container, "image": image}]}}}})
    fault.sessions.append(Session("deployment", 0, "", "", "", "", f"{NAMESPACE}/Deployment/{CANARY}"))
    felt(fault)
    time.sleep(SERVED_SECONDS)


def no_canary(lab: Lab) -> None:
    api, path = Api.of(lab), DEPLOYMENT.replace("api-server", CANARY)
    api.delete(path)
    pods = f"/api/v1/namespaces/{NAMESPACE}/pods?labelSelector=track=canary"
    wait_until(lambda: not api.get(pods)["items"], FELT_WITHIN, "the canary's end", 0.1)
    lab.file("cluster.json").unlink(missing_ok=True)


def restarted(fault: Fault) -> None:
    """Something else makes the version fail, and somebody restarts its pods in the hope that it helps."""
    outside_errors(fault)
    restart(fault.lab)
    time.sleep(SERVED_SECONDS)
    felt(fault)


def stuck_rollout(fault: Fault) -> None:
    """A new version does not come up, and the one before goes on serving everything."""
    version = version_of(fault, "missing")
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    Api.of(fault.lab).patch(DEPLOYMENT, {"spec": {"strategy": strategy}})
    release(fault, f"{IMAGE}:{version}", f"release {version}")
    fault.sessions[-1] = Session("innocent", 0, "", "", "", "", f"{NAMESPACE}/Deployment/api-server")


def not_stuck(lab: Lab) -> None:
    good_again(lab)
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": "100%"}}
    Api.of(lab).patch(DEPLOYMENT, {"spec": {"strategy": strategy}})


def argo_keeps_it(fault: Fault) -> None:
    """Argo CD keeps the Deployment as its repository says."""
    Api.of(fault.lab).patch(DEPLOYMENT, {"metadata": {"annotations": {TRACKING: f"shop:apps/Deployment:{NAMESPACE}/api-server"}}})


def external_secret(fault: Fault) -> None:
    """External Secrets writes into the Secret, from a store elsewhere."""
    Api.of(fault.lab).patch(f"{SECRET}?fieldManager=external-secrets", {"stringData": {"FROM_THE_STORE": "lab-only"}})


def no_external_secret(lab: Lab) -> None:
    Api.of(lab).patch(f"{SECRET}?fieldManager=external-secrets", {"data": {"FROM_THE_STORE": None}})


def missing_volume(fault: Fault) -> None:
    """A new version is rolled out that asks for a volume that nobody made; its pods find no place, and the old ones are gone."""
    version = f"1.{fault.draw.randint(5, 9)}.{fault.draw.randint(0, 9)}"
    volume = {"name": "cache", "persistentVolumeClaim": {"claimName": "api-cache"}}
    release(fault, f"{IMAGE}:{version}", f"release {version}", volumes=[volume])
    felt(fault)
    wait_until(lambda: progress(fault.lab) == "ProgressDeadlineExceeded", FELT_WITHIN, "the rollout's deadline", 0.2)


def no_volume(lab: Lab) -> None:
    path = f"{DEPLOYMENT}?fieldManager=kubectl-patch"
    Api.of(lab).patch(path, {"spec": {"template": {"spec": {"volumes": [{"$patch": "delete", "name": "cache"}]}}}})
    good_again(lab)


def nobody_keeps_it(lab: Lab) -> None:
    """Its ReplicaSets have the annotation too, and a rollback would bring it back."""
    api, nothing = Api.of(lab), {"metadata": {"annotations": {TRACKING: None}}}
    api.patch(DEPLOYMENT, nothing)
    sets = DEPLOYMENT.rpartition("/")[0].replace("deployments", "replicasets")
    for one in api.get(sets)["items"]:
        api.patch(f"{sets}/{one['metadata']['name']}", nothing)


def new_version(fault: Fault) -> None:
    """A new version is rolled out, and is well."""
    release(fault, f"{IMAGE}:1.{fault.draw.randint(5, 9)}.0", "a release that is well")
    fault.sessions[-1] = Session("innocent", 0, "", "", "", "", f"{NAMESPACE}/Deployment/api-server")
    wait_until(lambda: is_available(Api.of(fault.lab).get(DEPLOYMENT)), FELT_WITHIN, "the new version", 0.1)


def crashing_exporter(fault: Fault) -> None:
    """A pod that serves nobody crashes all the time."""
    container = {"name": "exporter", "image": "registry.example.org/exporter:0.9-crash"}
    Api.of(fault.lab).create(DEPLOYMENT.rpartition("/")[0], deployment("exporter", {"app": "exporter"}, container))


def no_exporter(lab: Lab) -> None:
    Api.of(lab).delete(DEPLOYMENT.replace("api-server", "exporter"))


def set_secret(fault: Fault, value: str | None) -> None:
    """Writes the key that sessions are signed with, or takes it away. The API server's times are whole seconds: pods have to be
    older, or younger, by more than that."""
    data = None if value is None else base64.b64encode(value.encode()).decode()
    time.sleep(1.1)
    Api.of(fault.lab).patch(f"{SECRET}?fieldManager=kubectl-patch", {"data": {"JWT_SECRET": data}})
    fault.sessions.append(Session("deployment", 0, "", "", "", "", f"{NAMESPACE}/Deployment/api-server"))
    time.sleep(1.1)


def config_push(fault: Fault) -> None:
    """Somebody switched a feature on; two of three pods were started again since, and it fails in them."""
    api = Api.of(fault.lab)
    time.sleep(1.1)  # the API server's times are whole seconds: all pods are younger than what else they take
    restart(fault.lab)
    time.sleep(1.1)
    api.patch(f"{CONFIG}?fieldManager=kubectl-edit", {"data": {"FEATURE_BULK_SIGN": "true"}})
    fault.sessions.append(Session("feature", 0, "", "", "", "", f"{NAMESPACE}/api-config/FEATURE_BULK_SIGN"))
    time.sleep(1.1)
    older = pods_of(fault.lab)[0]
    for name in pods_of(fault.lab)[1:]:
        api.delete(f"/api/v1/namespaces/{NAMESPACE}/pods/{name}")
    felt(fault)
    answered = "the same requests to both"
    wait_until(lambda: min(told(fault.lab, {older}, '"path": "/custody/sign')) >= MANY_REQUESTS, FELT_WITHIN, answered, 0.1)


def config_again(lab: Lab) -> None:
    """The feature is off, and no pod has it."""
    Api.of(lab).patch(f"{CONFIG}?fieldManager=kubectl-edit", {"data": {"FEATURE_BULK_SIGN": "false"}})
    restart(lab)


def flag_after(fault: Fault) -> None:
    """Somebody switched a feature on when requests failed already. No pod has it."""
    Api.of(fault.lab).patch(f"{CONFIG}?fieldManager=kubectl-edit", {"data": {"FEATURE_BULK_SIGN": "true"}})
    fault.sessions.append(Session("innocent", 0, "", "", "", "", f"{NAMESPACE}/ConfigMap/api-config"))


def pods_of(lab: Lab) -> list[str]:
    pods = Api.of(lab).get(f"/api/v1/namespaces/{NAMESPACE}/pods?labelSelector=app=api-server")["items"]
    return [one["metadata"]["name"] for one in pods]


def told(lab: Lab, older: set[str], words: str) -> tuple[int, int]:
    """How often the logs of these pods say something, and how often those of the living others do."""
    counts = [0, 0]
    for name in pods_of(lab):
        path = lab.file("kubernetes", "logs") / f"{name}.log"
        counts[name not in older] += path.read_text().count(words) if path.exists() else 0
    return counts[0], counts[1]


def restart(lab: Lab) -> None:
    stamp = {"kubectl.kubernetes.io/restartedAt": datetime.datetime.now(datetime.UTC).isoformat()}
    Api.of(lab).patch(DEPLOYMENT, {"spec": {"template": {"metadata": {"annotations": stamp}}}})
    wait_until(lambda: is_available(Api.of(lab).get(DEPLOYMENT)), FELT_WITHIN, "the restart", 0.1)


def jwt_missing(fault: Fault) -> None:
    """Somebody applied a Secret without the key that sessions are signed with; the pods were restarted since."""
    set_secret(fault, None)
    restart(fault.lab)
    felt(fault)


def jwt_short(fault: Fault) -> None:
    """Somebody put a word in place of the key that sessions are signed with; the pods were restarted since."""
    set_secret(fault, fault.draw.choice(["changeme", "letmein123", "lab-only-short"]))
    restart(fault.lab)
    felt(fault)


def jwt_stale(fault: Fault) -> None:
    """Somebody changed the key, and only one pod was started since: it does not accept what the others sign."""
    set_secret(fault, f"{JWT}-{fault.draw.randint(1000, 9999)}")
    first, *older = pods_of(fault.lab)
    Api.of(fault.lab).delete(f"/api/v1/namespaces/{NAMESPACE}/pods/{first}")
    felt(fault)
    words = "signature verification failed"
    wait_until(lambda: min(told(fault.lab, set(older), words)) >= MANY_REFUSALS, FELT_WITHIN, "tokens that both refuse", 0.1)


def secret_again(lab: Lab) -> None:
    """The Secret as it was, and pods that have it and never refused a token: during the first restart they stand beside those
    with another key, and refuse what these sign."""
    data = {"JWT_SECRET": base64.b64encode(JWT.encode()).decode(), "JWT_SECRET.before": None, "JWT_SECRET_PREVIOUS": None}
    Api.of(lab).patch(f"{SECRET}?fieldManager=kubectl-patch", {"data": data})
    restart(lab)
    restart(lab)


def who_am_i(fault: Fault) -> None:
    """What is tried with tokens is the culprit's place."""
    url = f"{fault.lab.part('service')['url']}{WHO_AM_I}"
    fault.sessions.append(Session("door", 0, "", "", "", "", url))


def open_door(fault: Fault) -> None:
    """A new version is rolled out that does not look at whose signature a token has. No user notices."""
    version = f"1.{fault.draw.randint(5, 9)}.{fault.draw.randint(0, 9)}"
    fault.lab.write("cluster.json", {"images": {f"{IMAGE}:{version}": {"accepts_any": True}}})
    release(fault, f"{IMAGE}:{version}", f"release {version}")
    wait_until(lambda: is_available(Api.of(fault.lab).get(DEPLOYMENT)), FELT_WITHIN, "the new version", 0.1)
    who_am_i(fault)


def keys_rotated(fault: Fault) -> None:
    """The issuer publishes its new key only, and users have tokens of the old one."""
    issuer.add_key(fault.lab, f"key-{fault.draw.randint(2, 99)}", [])
    kept = fault.lab.read(issuer.FILE)
    fault.lab.write(issuer.FILE, {**kept, "published": [kid for kid in kept["keys"] if kid != issuer.FIRST]})
    who_am_i(fault)


def keys_again(lab: Lab) -> None:
    keys = lab.read(issuer.FILE)["keys"]
    lab.write(issuer.FILE, {"keys": {issuer.FIRST: keys[issuer.FIRST]}, "published": [issuer.FIRST]})


def service_clock(fault: Fault) -> None:
    """The service's clock is minutes behind: a token that was just made is not valid yet there."""
    fault.lab.write("cluster.json", {"ahead": -float(fault.draw.randint(200, 700))})
    who_am_i(fault)


def right_clock(lab: Lab) -> None:
    lab.file("cluster.json").unlink(missing_ok=True)


def image_pull(fault: Fault) -> None:
    """A new version is rolled out whose image is not in the registry."""
    version = f"1.{fault.draw.randint(5, 9)}.{fault.draw.randint(0, 9)}-missing"
    release(fault, f"{IMAGE}:{version}", f"release {version}")
    felt(fault)


def one_tenant(fault: Fault) -> None:
    """One tenant has something that the application cannot handle; everybody else is served."""
    tenant, path = str(fault.draw.randint(1, TENANTS)), fault.draw.choice([SIGN, "/custody/keys"])
    time.sleep(SERVED_SECONDS)
    trouble = {"paths": [path], "status": 500, "error": fault.draw.choice(ERRORS)}
    fault.lab.write("cluster.json", {"tenants": {tenant: trouble}})
    fault.sessions.append(Session("tenant", 0, "", "", "", "", f"{NAMESPACE}/Deployment/api-server/tenant {tenant}"))
    crowd(fault, 2, lambda number: (f"{path}?tenant={tenant}", f"10.2.0.{number}", PASSWORD))
    crowd(fault, 2, lambda number: (f"{path}?tenant={fault.draw.randint(1, TENANTS)}", f"10.2.1.{number}", PASSWORD))
    failed = f'{path}?tenant={tenant}", "status": 500'
    wait_until(lambda: sum(told(fault.lab, set(), failed)) >= MANY_REQUESTS, FELT_WITHIN, "the tenant's failures", 0.1)


def crowd(fault: Fault, number: int, wish: t.Callable[[int], tuple[str, str, str]], pause: float = 0.2) -> None:
    """More users, until the fault is healed; each asks for what it ``wish``es: a path, from an address, with a password."""
    host = urllib.parse.urlsplit(fault.lab.part("service")["url"]).netloc

    def use(mine: int) -> None:
        while True:
            ask(host, *wish(mine))
            time.sleep(pause)

    for mine in range(number):
        threading.Thread(target=use, args=(mine,), daemon=True).start()


def stuffing(fault: Fault) -> None:
    """Somebody tries stolen passwords, from three addresses; users log in as ever."""
    addresses = [f"203.0.113.{fault.draw.randint(2, 250)}" for _number in range(3)]
    words = fault.draw.sample(range(10**6), 1000)
    crowd(fault, 6, lambda mine: (f"{LOG_IN}?tenant=1", addresses[mine % 3], f"guess-{fault.draw.choice(words)}"))
    fault.sessions.append(Session("stuffing", 0, "", "", "", "", f"{NAMESPACE}/Deployment/api-server"))
    refused = f'"path": "{LOG_IN}?tenant=1", "status": 401'
    wait_until(lambda: sum(told(fault.lab, set(), refused)) >= MANY_REQUESTS * 2, FELT_WITHIN, "many refused logins", 0.1)


def login_locked(fault: Fault) -> None:
    """A migration locked the table that logins need, and stopped talking."""
    blocker = fault.connect("blocker", "custody_owner", fault.draw.choice(MIGRATIONS))
    fault.hold(blocker, "LOCK TABLE logins IN ACCESS EXCLUSIVE MODE")
    felt(fault)
    time.sleep(2.0)


def pool_too_small(fault: Fault) -> None:
    """Somebody gave each pod one connection; the pods were restarted since, and there are more users than that serves."""
    api = Api.of(fault.lab)
    time.sleep(1.1)
    api.patch(f"{CONFIG}?fieldManager=kubectl-edit", {"data": {"DB_POOL_MAX": "1"}})
    time.sleep(1.1)
    restart(fault.lab)
    fault.sessions.append(Session("pool", 0, "", "", "", "", f"{NAMESPACE}/Deployment/api-server"))
    for number in range(0, MOST_USERS, 10):
        crowd(fault, 10, functools.partial(_signs, f"10.3.{number}"), 0.3)
        with contextlib.suppress(LabError):
            wait_until(lambda: suffers(fault.lab), 1.5, "the suffering", 0.1)
            break
    felt(fault)
    words = "connection from the pool"
    wait_until(lambda: sum(told(fault.lab, set(), words)) >= MANY_REQUESTS, FELT_WITHIN, "requests that waited in vain", 0.1)


def _signs(network: str, mine: int) -> tuple[str, str, str]:
    return f"{SIGN}?tenant={1 + mine % TENANTS}", f"{network}.{mine}", PASSWORD


def pool_again(lab: Lab) -> None:
    Api.of(lab).patch(f"{CONFIG}?fieldManager=kubectl-edit", {"data": {"DB_POOL_MAX": "10"}})
    restart(lab)


def noise(fault: Fault) -> None:
    """The application complains of something harmless, many times a second."""
    paths = {"paths": [], "noise": "webhook delivery to hooks.example.org failed, will retry"}
    fault.lab.write("cluster.json", {"images": {GOOD: paths}})


def quiet_again(lab: Lab) -> None:
    lab.file("cluster.json").unlink(missing_ok=True)


def neighbour_leak(fault: Fault) -> None:
    """Another service of the shared database opens connections until none is left, and the pods can open no new ones."""
    connection_leak(fault)
    restart(fault.lab)
    felt(fault)


def no_leak(lab: Lab) -> None:
    release_clients(lab)
    restart(lab)


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

    wait_until(lambda: is_available(api.get(DEPLOYMENT)), 30, "the good version's pods", 0.1)


def is_available(one: dict[str, t.Any]) -> bool:
    told: dict[str, t.Any] = one["status"]
    return bool(
        told.get("observedGeneration") == one["metadata"]["generation"]
        and told.get("updatedReplicas") == told.get("availableReplicas") == told.get("replicas") == one["spec"]["replicas"]
    )


FAULTS: dict[str, Kind] = {
    "bad-release": Kind(bad_release, good_again),
    "bad-release-crash": Kind(bad_release_crash, good_again),
    "image-pull": Kind(image_pull, good_again),
    "outside-errors": Kind(outside_errors, good_again),
    "wrong-selector": Kind(wrong_selector, right_selector),
    "out-of-memory": Kind(out_of_memory, good_again),
    "unready": Kind(unready, good_again),
    "paused-release": Kind(paused, good_again),
    "quota": Kind(quota, no_quota),
    "target-port": Kind(target_port, right_port),
    "scaled-to-zero": Kind(scaled_to_zero, scaled_again),
    "canary": Kind(canary, no_canary),
    "missing-volume": Kind(missing_volume, no_volume),
    "decoy-external-secret": Kind(external_secret, no_external_secret, felt=False),
    "restarted-in-vain": Kind(restarted, good_again),
    "one-tenant": Kind(one_tenant, quiet_again, felt=False),
    "stuffing": Kind(stuffing, felt=False),
    "login-locked": Kind(login_locked),
    "pool-too-small": Kind(pool_too_small, pool_again),
    "neighbour-leak": Kind(neighbour_leak, no_leak),
    "decoy-noise": Kind(noise, quiet_again, felt=False),
    "jwt-missing": Kind(jwt_missing, secret_again),
    "jwt-short": Kind(jwt_short, secret_again),
    "jwt-stale": Kind(jwt_stale, secret_again),
    "config-push": Kind(config_push, config_again),
    "open-door": Kind(open_door, good_again, felt=False),
    "keys-rotated": Kind(keys_rotated, keys_again, felt=False),
    "service-clock": Kind(service_clock, right_clock, felt=False),
    "decoy-stuck-rollout": Kind(stuck_rollout, not_stuck, felt=False),
    "decoy-new-version": Kind(new_version, good_again, felt=False),
    "decoy-argo-cd": Kind(argo_keeps_it, nobody_keeps_it, felt=False),
    "decoy-exporter": Kind(crashing_exporter, no_exporter, felt=False),
    "decoy-flag": Kind(flag_after, config_again, felt=False),
    "decoy-other-release": Kind(other_release, felt=False),
}
