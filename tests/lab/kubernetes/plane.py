"""The control plane: etcd, API server, controllers, scheduler and kwok, on free ports of loopback.

Its own process starts them and waits; they die with it, or end in the order that they need. Whoever asks for the lab's Kubernetes
gets tokens of service accounts that have what docs/rbac grants, never the administrator's.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import pathlib
import secrets
import shutil
import socket
import subprocess
import sys
import typing as t

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from tests.lab.kubernetes.api import Api, ApiError
from tests.lab.state import MARKER, PROJECT, Lab, LabError, end_process, process_start, serve_until_told, wait_until

HERE = pathlib.Path(__file__).parent
CONTROLLERS = (
    "deployment", "replicaset", "statefulset", "daemonset", "endpointslice", "garbage-collector", "namespace", "node-lifecycle",
    "resourcequota",
)  # fmt: skip
# Writes by the runbooks' own accounts are kept whole; everybody else's are noise.
AUDIT = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived", "ResponseStarted"],
    "rules": [
        {"level": "RequestResponse", "verbs": ["create", "update", "patch", "delete", "deletecollection"],
         "userGroups": ["system:serviceaccounts:sre-runbooks"]},
        {"level": "None"},
    ],
}  # fmt: skip


def assets() -> pathlib.Path:
    """The folder of the control plane's commands, built if need be. Raises LabError with both ways out."""
    done = subprocess.run([str(PROJECT / "scripts/control_plane.sh")], stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise LabError("the Kubernetes control plane cannot be started: see above")
    return pathlib.Path(done.stdout.strip())


def free_ports(number: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(number)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]


def make_keys(folder: pathlib.Path) -> None:
    """The key that signs service accounts' tokens, and kwok's certificate."""
    for name in ("sa", "kwok"):
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        encoding, none = serialization.Encoding.PEM, serialization.NoEncryption()
        (folder / f"{name}.key").write_bytes(key.private_bytes(encoding, serialization.PrivateFormat.TraditionalOpenSSL, none))
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        now = datetime.datetime.now(datetime.UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=30))
            .sign(key, hashes.SHA256())
        )
        (folder / f"{name}.crt").write_bytes(certificate.public_bytes(encoding))


class Plane:
    """The processes, in the order in which they were started."""

    def __init__(self, lab: Lab, bin_folder: pathlib.Path) -> None:
        self.lab, self.bin = lab, bin_folder
        self.folder = lab.file("kubernetes")
        self.pki = self.folder / "pki"
        self.pki.mkdir(parents=True)
        self.etcd, self.peer, self.port, self.controllers, self.scheduler, self.kubelet = free_ports(6)
        self.admin = secrets.token_hex(16)
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self, name: str, *options: str) -> None:
        # Without the lab's mark, so that only this process ends them, in their order.
        environment = {key: value for key, value in os.environ.items() if key != MARKER}
        with self.lab.file("log", f"{name}.log").open("ab") as output:
            command = [shutil.which("setpriv") or "setpriv", "--pdeathsig", "KILL", str(self.bin / name), *options]
            self.processes.append(
                subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment, cwd=self.folder
                )
            )

    def up(self) -> None:
        make_keys(self.pki)
        (self.folder / "tokens.csv").write_text(f'{self.admin},admin,1,"system:masters"\n')
        (self.folder / "audit.yaml").write_text(yaml.safe_dump(AUDIT))
        etcd, peer = f"http://127.0.0.1:{self.etcd}", f"http://127.0.0.1:{self.peer}"
        self.start(
            "etcd", "--data-dir=etcd", "--unsafe-no-fsync", f"--listen-client-urls={etcd}", f"--advertise-client-urls={etcd}",
            f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}", f"--initial-cluster=default={peer}",
        )  # fmt: skip
        self.start(
            "kube-apiserver", f"--etcd-servers={etcd}", f"--secure-port={self.port}", "--bind-address=127.0.0.1",
            f"--cert-dir={self.pki}", "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={self.pki}/sa.key", f"--service-account-signing-key-file={self.pki}/sa.key",
            "--token-auth-file=tokens.csv", "--authorization-mode=RBAC", "--service-cluster-ip-range=10.0.0.0/24",
            "--disable-admission-plugins=ServiceAccount", "--audit-policy-file=audit.yaml", "--audit-log-path=audit.jsonl",
            "--audit-log-mode=blocking",
        )  # fmt: skip
        wait_until(self._ready, 30, "the API server's start", 0.1)
        self._kubeconfig("admin", self.admin)
        config = f"--kubeconfig={self.folder}/admin.kubeconfig"
        self.start("kube-controller-manager", config, "--leader-elect=false", f"--secure-port={self.controllers}",
                   f"--service-account-private-key-file={self.pki}/sa.key",
                   f"--controllers={','.join(f'{name}-controller' for name in CONTROLLERS)}")  # fmt: skip
        self.start("kube-scheduler", config, "--leader-elect=false", f"--secure-port={self.scheduler}")
        self.api.apply(HERE / "manifests" / "kwok.yaml")
        wait_until(self._serves_logs, 10, "the kind of kwok's log objects", 0.05)
        self.start(
            "kwok", config, "--manage-all-nodes=true", "--node-lease-duration-seconds=40", "--enable-crds=Logs",
            "--node-ip=127.0.0.1", f"--node-port={self.kubelet}", f"--server-address=127.0.0.1:{self.kubelet}",
            f"--tls-cert-file={self.pki}/kwok.crt", f"--tls-private-key-file={self.pki}/kwok.key",
            *(f"--config={path}" for path in sorted((HERE / "stages").glob("*.yaml"))),
        )  # fmt: skip
        self.api.create("/api/v1/nodes", {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-1"}})

    @property
    def api(self) -> Api:
        return Api(f"https://127.0.0.1:{self.port}", self.admin, self.pki / "apiserver.crt")

    def _ready(self) -> bool:
        dead = [one for one in self.processes if process_start(one.pid) is None]
        if dead:
            raise LabError("the control plane ended before it was ready: see the lab's log folder")
        with contextlib.suppress(ApiError, OSError):
            return (self.pki / "apiserver.crt").exists() and self.api.text("/readyz") == "ok"
        return False

    def _serves_logs(self) -> bool:
        with contextlib.suppress(ApiError):
            self.api.get("/apis/kwok.x-k8s.io/v1alpha1/logs")
            return True
        return False

    def _kubeconfig(self, name: str, token: str) -> pathlib.Path:
        path = self.folder / f"{name}.kubeconfig"
        cluster = {"server": f"https://127.0.0.1:{self.port}", "certificate-authority": str(self.pki / "apiserver.crt")}
        path.write_text(yaml.safe_dump({
            "apiVersion": "v1", "kind": "Config", "current-context": "lab",
            "clusters": [{"name": "lab", "cluster": cluster}], "users": [{"name": name, "user": {"token": token}}],
            "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": name, "namespace": "custody"}}],
        }))  # fmt: skip
        path.chmod(0o600)
        return path

    def accounts(self) -> dict[str, str]:
        """Kubeconfigs of service accounts that have what the documentation tells a user to grant."""
        found = {}
        for name in ("auth", "features"):
            self.api.apply(PROJECT / "docs" / "rbac" / f"{name}.yaml")
        for name in ("reader", "operator"):
            self.api.apply(PROJECT / "docs" / "rbac" / f"{name}.yaml")
            path = f"/api/v1/namespaces/sre-runbooks/serviceaccounts/{name}/token"
            spec = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 86400}}
            found[name] = str(self._kubeconfig(name, self.api.create(path, spec)["status"]["token"]))
        return found

    def down(self) -> None:
        """The reverse order: without etcd the API server would hold its port for minutes."""
        for process in reversed(self.processes):
            end_process(process.pid)
            process.wait()


def main() -> None:
    lab = Lab("", pathlib.Path(sys.argv[1]))
    plane = Plane(lab, pathlib.Path(sys.argv[2]))
    try:
        plane.up()
        plane.api.apply(HERE / "manifests" / "application.yaml")
        told: dict[str, t.Any] = {"server": f"https://127.0.0.1:{plane.port}", "admin": plane.admin, "accounts": plane.accounts(),
                                  "ca": str(plane.pki / "apiserver.crt"), "bin": str(plane.bin)}  # fmt: skip
        serve_until_told(lab, "kubernetes", told)
    finally:
        plane.down()


def audited(lab: Lab) -> list[dict[str, t.Any]]:
    """What the runbooks' accounts wrote, or asked to write: verb, path and whether it was a dry run."""
    path = lab.file("kubernetes", "audit.jsonl")
    lines = path.read_text().splitlines() if path.exists() else []
    return [json.loads(line) for line in lines]


if __name__ == "__main__":
    main()
