# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests to one Kubernetes API server, as kubectl's configuration reaches it (private to the collection).

Source: https://kubernetes.io/docs/reference/using-api/api-concepts/
"""

from __future__ import annotations

import dataclasses
import json
import traceback
import typing as t
import urllib.parse

from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.errors import (
    KubernetesError,
    OutcomeUnknownError,
    RefusedError,
)
from ansible_collections.sre.runbooks.plugins.module_utils._logs.lines import without_secrets
from ansible_collections.sre.runbooks.plugins.module_utils._spec import Spec

KUBERNETES_IMPORT_ERROR: str | None
try:
    import urllib3
    from kubernetes import client as kubernetes_client
    from kubernetes import config as kubernetes_config
except ImportError:
    KUBERNETES_IMPORT_ERROR = traceback.format_exc()
else:
    KUBERNETES_IMPORT_ERROR = None
    # What fails before a request is on its way.
    NOT_SENT = (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError, urllib3.exceptions.SSLError)

Json = dict[str, t.Any]
PAGE = 100
# More than any namespace that one look can judge; an endless list ends here.
MOST_PAGES = 200
MOST_BYTES = 67108864
# How many exchanges may go on side by side.
AT_ONCE = 16
LONGEST_MESSAGE = 400
MANAGER = "sre.runbooks"
JSON_PATCH = "application/json-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
UNKNOWN = "so nobody knows whether it was done: look again before you act"


@dataclasses.dataclass(frozen=True)
class Answer:
    """What came back: HTTP's status, the body in pieces, read once, and the server's clock (the header Date)."""

    status: int
    pieces: t.Iterable[bytes]
    date: str = ""

    def body(self, most: int = MOST_BYTES) -> bytes:
        """Raises OSError for one that breaks off, or is longer than any that is read."""
        whole = bytearray()
        for piece in self.pieces:
            whole += piece
            if len(whole) > most:
                raise OSError(f"the answer is longer than {most} bytes")
        return bytes(whole)


class Send(t.Protocol):
    """One exchange. Raises OSError where nothing came back; ``sent`` of the error, where it has one, says whether it may have
    arrived."""

    def __call__(self, method: str, path: str, body: bytes | None, content_type: str | None) -> Answer: ...


@dataclasses.dataclass(frozen=True)
class Access:
    """How the cluster is reached. ``cluster``: the name that it must have in the kubeconfig, if any."""

    kubeconfig: str | None = None
    context: str | None = None
    cluster: str | None = None
    timeout: float = 10.0


def argument_spec() -> Spec:
    """The options of every module that speaks to Kubernetes (doc fragment kubernetes)."""
    return {
        "kubeconfig": {"type": "path"},
        "context": {"type": "str"},
        "cluster": {"type": "str"},
        "namespace": {"type": "str", "required": True},
        "timeout": {"type": "float", "default": 10.0},
    }


def access_from(params: t.Mapping[str, t.Any]) -> Access:
    return Access(params["kubeconfig"] or None, params["context"] or None, params["cluster"] or None, params["timeout"])


class Client:
    """One API server. ``name`` is what messages call it, ``date`` what its clock said last (RFC 9110), and ``wrote`` whether
    something may have been stored through this."""

    def __init__(self, send: Send, name: str) -> None:
        self._send, self.name, self.date, self.wrote = send, name, "", False

    def get(self, path: str) -> Json:
        """One object, or one answer. Raises KubernetesError."""
        answer = self._exchange("GET", path, None, None)
        try:
            return self._parsed("GET", path, answer.body())
        except OSError as error:
            raise KubernetesError(f"{self._where('GET', path)}: {error}") from error

    def items(self, path: str, **query: str) -> list[Json]:
        """All items of a list, page by page. Raises KubernetesError."""
        found: list[Json] = []
        token = ""
        for _page in range(MOST_PAGES):
            asked = {**query, "limit": str(PAGE), **({"continue": token} if token else {})}
            page = self.get(f"{path}?{urllib.parse.urlencode(asked)}")
            items = page.get("items", "none")
            if not isinstance(items, list) and items is not None:
                raise KubernetesError(f"{self._where('GET', path)}: the answer is no list; is that an API server?")
            found += items or []
            token = (page.get("metadata") or {}).get("continue") or ""
            if not token:
                return found
        raise KubernetesError(f"{self._where('GET', path)}: more than {PAGE * MOST_PAGES} objects, too many for one look")

    def patch(self, path: str, body: t.Any, content_type: str, *, dry_run: bool) -> Json:
        """Changes one object. With ``dry_run`` the server checks everything and stores nothing. Raises KubernetesError, and
        OutcomeUnknownError where it may have been done."""
        whole = f"{path}?{urllib.parse.urlencode({'fieldManager': MANAGER, **({'dryRun': 'All'} if dry_run else {})})}"
        before, self.wrote = self.wrote, self.wrote or not dry_run
        try:
            answer = self._exchange("PATCH", whole, json.dumps(body).encode(), content_type)
        except OutcomeUnknownError:
            raise
        except KubernetesError:
            self.wrote = before
            raise
        try:
            after = self._parsed("PATCH", path, answer.body())
            is_whole = after.get("kind") in ("Secret", "ConfigMap") or isinstance(after.get("spec"), dict)
            if not isinstance(after.get("metadata"), dict) or not is_whole:
                raise KubernetesError("the answer is no object of the API's")
            return after
        except (OSError, KubernetesError) as error:
            raise OutcomeUnknownError(f"{self._where('PATCH', path)}: {error}; {UNKNOWN}") from error

    def stream(self, path: str, **query: str) -> t.Iterable[bytes]:
        """A body that is read piece by piece. Raises KubernetesError."""
        return self._exchange("GET", f"{path}?{urllib.parse.urlencode(query)}", None, None).pieces

    def _exchange(self, method: str, path: str, body: bytes | None, content_type: str | None) -> Answer:
        where = self._where(method, path)
        try:
            answer = self._send(method, path, body, content_type)
        except OSError as error:
            if method != "GET" and getattr(error, "sent", False):
                raise OutcomeUnknownError(f"{where}: no answer came ({error}); {UNKNOWN}") from error
            raise KubernetesError(
                f"{where}: {error}. Is the API server reachable from here? kubectl get --raw /readyz"
            ) from error
        self.date = answer.date or self.date
        if method != "GET" and answer.status >= 500:  # it may have been stored before its answer failed
            raise OutcomeUnknownError(f"{where}: {_why(answer)}; {UNKNOWN}")
        if answer.status >= 300:  # redirects are not followed: they would take the login with them
            raise RefusedError(answer.status, f"{where}: {_why(answer)}")
        return answer

    def _where(self, method: str, path: str) -> str:
        return f"{self.name}: {method} {path.partition('?')[0]}"

    def _parsed(self, method: str, path: str, body: bytes) -> Json:
        try:
            found = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise KubernetesError(f"{self._where(method, path)}: the answer is no JSON; is that an API server?") from error
        if not isinstance(found, dict):
            raise KubernetesError(f"{self._where(method, path)}: the answer is no object; is that an API server?")
        return found


def _why(answer: Answer) -> str:
    """A refusal in the server's words, with what grants a missing permission."""
    try:
        body = answer.body()
    except OSError as error:
        return f"HTTP {answer.status}, and {error}"
    try:
        message = str(json.loads(body).get("message") or "")
    except (ValueError, AttributeError, RecursionError):
        message = body[:LONGEST_MESSAGE].decode("utf-8", "replace")
    hint = {
        401: "; the token or certificate of this kubeconfig is not valid (any more): log in again",
        403: "; docs/rbac has the roles to grant",
    }
    return f"HTTP {answer.status}: {' '.join(without_secrets(message).split())[:LONGEST_MESSAGE]}{hint.get(answer.status, '')}"


class _LostError(OSError):
    """Nothing came back. ``sent``: whether the request may have arrived."""

    def __init__(self, message: str, *, sent: bool) -> None:
        super().__init__(message)
        self.sent = sent


def connect(access: Access) -> Client:
    """A client for the cluster of a kubeconfig, or of the pod that this runs in. Raises KubernetesError for a kubeconfig that
    cannot be used, or that is another cluster's than the inventory says."""
    configuration = kubernetes_client.Configuration()
    name = access.cluster or access.context or "the cluster"
    try:
        if access.kubeconfig or access.context or access.cluster:
            _refuse_another(access)
            kubernetes_config.load_kube_config(access.kubeconfig, access.context, configuration, persist_config=False)
        else:
            kubernetes_config.load_config(client_configuration=configuration)
    except KubernetesError:
        raise
    except Exception as error:  # each kind of login raises errors of its own
        where = access.kubeconfig or "the default kubeconfig"
        raise KubernetesError(f"{name}: {where} cannot be used: {' '.join(str(error).split())[:LONGEST_MESSAGE]}") from error
    return Client(_sender(configuration, access.timeout), name)


def _refuse_another(access: Access) -> None:
    contexts, active = kubernetes_config.list_kube_config_contexts(access.kubeconfig)
    chosen = next((one for one in contexts if one["name"] == access.context), None) if access.context else active
    if chosen is None:
        names = ", ".join(one["name"] for one in contexts)
        raise KubernetesError(f"there is no context {access.context!r} in {access.kubeconfig}; there are: {names}")
    there = chosen["context"]["cluster"]
    if access.cluster and there != access.cluster:
        raise KubernetesError(
            f"the kubeconfig's context {chosen['name']} is of the cluster {there!r}, and the inventory says {access.cluster!r}: "
            "nothing was asked of it"
        )


def _sender(configuration: t.Any, timeout: float) -> Send:
    """Exchanges over the kubeconfig's own TLS, proxy and login; nothing is tried again, no redirect followed."""
    options: Json = {
        "cert_reqs": "CERT_REQUIRED" if configuration.verify_ssl else "CERT_NONE",
        "ca_certs": configuration.ssl_ca_cert,
        "cert_file": configuration.cert_file,
        "key_file": configuration.key_file,
        "timeout": urllib3.Timeout(connect=min(timeout, 5.0), read=timeout),
        "retries": False,
        "maxsize": AT_ONCE,
    }
    if getattr(configuration, "tls_server_name", None):
        options["server_hostname"] = configuration.tls_server_name
    pool = urllib3.ProxyManager(configuration.proxy, **options) if _is_proxied(configuration) else urllib3.PoolManager(**options)

    def send(method: str, path: str, body: bytes | None, content_type: str | None) -> Answer:
        headers = {"Accept": "application/json, */*", "User-Agent": "sre.runbooks"}
        key = configuration.get_api_key_with_prefix("authorization") or configuration.get_api_key_with_prefix("BearerToken")
        if key:
            headers["Authorization"] = key
        elif configuration.username:
            headers["Authorization"] = configuration.get_basic_auth_token()
        if content_type:
            headers["Content-Type"] = content_type
        try:
            answer = pool.request(
                method, f"{configuration.host}{path}", body=body, headers=headers, preload_content=False, redirect=False
            )
        except (
            urllib3.exceptions.NewConnectionError,
            urllib3.exceptions.ConnectTimeoutError,
            urllib3.exceptions.SSLError,
        ) as error:
            raise _LostError(_plainly(error), sent=False) from error
        except urllib3.exceptions.HTTPError as error:
            raise _LostError(_plainly(error), sent=True) from error
        return Answer(answer.status, _pieces(answer), answer.headers.get("Date") or "")

    return send


def _is_proxied(configuration: t.Any) -> bool:
    host = urllib.parse.urlsplit(configuration.host).hostname or ""
    left_out = [one.strip().lstrip(".").lower() for one in str(configuration.no_proxy or "").split(",") if one.strip()]
    is_left_out = any(one == "*" or host == one or host.endswith(f".{one}") for one in left_out)
    return bool(configuration.proxy) and not is_left_out


def _pieces(answer: t.Any) -> t.Iterator[bytes]:
    try:
        yield from answer.stream(262144)
        answer.release_conn()
    except urllib3.exceptions.HTTPError as error:
        answer.close()
        raise _LostError(f"the answer broke off: {_plainly(error)}", sent=True) from error


def _plainly(error: Exception) -> str:
    return " ".join(str(getattr(error, "reason", None) or error).rpartition(">: ")[2].split()) or type(error).__name__
