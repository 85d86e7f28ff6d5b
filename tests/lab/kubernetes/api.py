"""The lab's own way to the API server: as its administrator, with nothing of the product."""

from __future__ import annotations

import json
import pathlib
import ssl
import typing as t
import urllib.error
import urllib.request

import yaml

from tests.lab.state import Lab

Json = dict[str, t.Any]
PLURALS = {
    "Namespace": "namespaces", "Secret": "secrets", "ConfigMap": "configmaps", "Service": "services", "Deployment": "deployments",
    "ServiceAccount": "serviceaccounts", "Role": "roles", "RoleBinding": "rolebindings", "ClusterRole": "clusterroles",
    "ClusterRoleBinding": "clusterrolebindings", "CustomResourceDefinition": "customresourcedefinitions", "Logs": "logs",
    "StatefulSet": "statefulsets", "DaemonSet": "daemonsets",
}  # fmt: skip


class ApiError(Exception):
    """The API server refused; ``status`` is HTTP's."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status


class Api:
    """Requests to one API server with one token."""

    def __init__(self, server: str, token: str, ca: pathlib.Path) -> None:
        self.server, self.token = server, token
        self._context = ssl.create_default_context(cafile=str(ca)) if ca.exists() else ssl.create_default_context()

    @classmethod
    def of(cls, lab: Lab) -> Api:
        told = lab.part("kubernetes")
        return cls(told["server"], told["admin"], pathlib.Path(told["ca"]))

    def text(self, path: str, method: str = "GET", body: t.Any = None, content_type: str = "application/json") -> str:
        request = urllib.request.Request(
            f"{self.server}{path}", method=method, data=None if body is None else json.dumps(body).encode()
        )
        request.add_header("Authorization", f"Bearer {self.token}")
        if body is not None:
            request.add_header("Content-Type", content_type)
        try:
            with urllib.request.urlopen(request, context=self._context, timeout=10) as answer:
                return str(answer.read().decode())
        except urllib.error.HTTPError as error:
            raise ApiError(error.code, error.read().decode(errors="replace")[:500]) from error

    def get(self, path: str) -> Json:
        return t.cast("Json", json.loads(self.text(path)))

    def create(self, path: str, body: Json) -> Json:
        return t.cast("Json", json.loads(self.text(path, "POST", body)))

    def patch(self, path: str, body: Json) -> Json:
        return t.cast("Json", json.loads(self.text(path, "PATCH", body, "application/strategic-merge-patch+json")))

    def delete(self, path: str) -> None:
        self.text(path, "DELETE")

    def apply(self, file: pathlib.Path) -> None:
        """Makes every object of a file, by server-side apply."""
        for one in yaml.safe_load_all(file.read_text()):
            self.text(f"{path_of(one)}?fieldManager=kubectl&force=true", "PATCH", one, "application/apply-patch+yaml")


def path_of(one: Json) -> str:
    """Where the API server keeps an object."""
    version, meta = one["apiVersion"], one["metadata"]
    root = f"/api/{version}" if "/" not in version else f"/apis/{version}"
    space = f"/namespaces/{meta['namespace']}" if "namespace" in meta else ""
    return f"{root}{space}/{PLURALS[one['kind']]}/{meta['name']}"
