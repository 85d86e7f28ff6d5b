"""``python -m tests.bench.k8s_rollback``: a rollback by our module, by kubernetes.core.k8s_rollback, and by kubectl, in one run.

Each rolls the same Deployment of three pods back and waits until it serves; kubernetes.core's does not wait. Prints the medians.
"""

from __future__ import annotations

import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
import typing as t

import yaml

from tests import harness
from tests.lab.kubernetes.api import Api
from tests.lab.kubernetes.faults import DEPLOYMENT, IMAGE
from tests.lab.state import PROJECT, Lab, LabError, wait_until

ROUNDS = 5
RATIO_AT_MOST, MORE_SECONDS_AT_MOST = 0.8, 1.0
PARTS = ("kubernetes", "service")


def release(lab: Lab, number: int) -> None:
    """Another version, rolled out, so that there is one to go back from."""
    api = Api.of(lab)
    container = {"name": "api-server", "image": f"{IMAGE}:2.{number}"}
    api.patch(DEPLOYMENT, {"spec": {"template": {"spec": {"containers": [container]}}}})

    def complete() -> bool:
        one = api.get(DEPLOYMENT)
        status: dict[str, t.Any] = one["status"]
        wanted = [one["spec"]["replicas"]] * 3
        seen = status.get("observedGeneration") == one["metadata"]["generation"]
        return bool(seen and [status.get(name) for name in ("replicas", "updatedReplicas", "availableReplicas")] == wanted)

    wait_until(complete, 30, "the release", 0.05)


def timed(lab: Lab, command: list[str]) -> float:
    started = time.monotonic()
    done = subprocess.run(command, cwd=PROJECT, env=harness.environment(lab), capture_output=True, text=True)
    if done.returncode:
        raise LabError(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
    return time.monotonic() - started


def playbook(folder: pathlib.Path, name: str, task: dict[str, t.Any]) -> list[str]:
    play = {"name": name, "hosts": "localhost", "gather_facts": False, "connection": "local", "tasks": [{"name": name, **task}]}
    path = folder / f"{name}.yml"
    path.write_text(yaml.safe_dump([play]))
    inventory = folder / "hosts.ini"
    inventory.write_text(f"localhost ansible_connection=local ansible_python_interpreter={sys.executable}\n")
    return [str(pathlib.Path(sys.executable).parent / "ansible-playbook"), str(path), "-i", str(inventory)]


def main() -> int:
    with harness.a_lab("bench-rollback", PARTS) as lab, tempfile.TemporaryDirectory() as place:
        folder, kubeconfig = pathlib.Path(place), lab.file("kubernetes", "admin.kubeconfig")
        kubectl = f"{lab.part('kubernetes')['bin']}/kubectl --kubeconfig={kubeconfig} -n custody rollout"
        which = {"kubeconfig": str(kubeconfig), "namespace": "custody", "name": "api-server"}
        ours = {"sre.runbooks.k8s_rollout": {**which, "state": "undone"}}
        theirs = {"kubernetes.core.k8s_rollback": {**which, "api_version": "apps/v1", "kind": "Deployment"}}
        ways = {
            "ours": playbook(folder, "ours", ours),
            "kubernetes.core": playbook(folder, "theirs", theirs),
            "kubectl": ["sh", "-c", f"{kubectl} undo deployment/api-server && {kubectl} status deployment/api-server"],
        }
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        for number in range(ROUNDS):
            for place_in_round, (name, command) in enumerate(ways.items()):
                release(lab, 10 * number + place_in_round)
                seconds[name].append(timed(lab, command))
        medians = {name: statistics.median(values) for name, values in seconds.items()}
    for name, value in medians.items():
        print(f"{name:<16} {value:6.2f} s")
    ratio, more = medians["ours"] / medians["kubernetes.core"], medians["ours"] - medians["kubectl"]
    print(f"ours : kubernetes.core {ratio:.2f} (at most {RATIO_AT_MOST})")
    print(f"ours - kubectl {more:.2f} s (at most {MORE_SECONDS_AT_MOST} for all of ansible-playbook)")
    return 0 if ratio <= RATIO_AT_MOST and more <= MORE_SECONDS_AT_MOST else 1


if __name__ == "__main__":
    sys.exit(main())
