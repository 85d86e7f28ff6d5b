# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the logs of the pods of a selector tell together (private to the collection)."""

from __future__ import annotations

import time
import typing as t

from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.client import access_from, connect
from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.client import argument_spec as access_spec
from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.errors import KubernetesError
from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.logs import Asked, read_logs
from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.pods import pod_of
from ansible_collections.sre.runbooks.plugins.module_utils._logs.facts import Told
from ansible_collections.sre.runbooks.plugins.module_utils._logs.merged import merged
from ansible_collections.sre.runbooks.plugins.module_utils._spec import Spec
from ansible_collections.sre.runbooks.plugins.module_utils._within import within

Json = dict[str, t.Any]


def argument_spec() -> Spec:
    return {
        **access_spec(),
        "selector": {"type": "str", "required": True},
        "since_seconds": {"type": "int", "default": 1800},
        "bytes_max": {"type": "int", "default": 5242880},
        "bytes_max_all": {"type": "int", "default": 67108864},
        "previous": {"type": "bool", "default": True},
        "seconds_max": {"type": "float", "default": 15.0},
    }


def logs_from(params: t.Mapping[str, t.Any]) -> Json:
    """What the logs of the pods tell. Raises KubernetesError where these cannot be listed, or the selector matches none: without
    pods there are no errors, and that says nothing."""
    until = time.monotonic() + params["seconds_max"]
    client = connect(access_from(params))
    path = f"/api/v1/namespaces/{params['namespace']}/pods"
    found = within(params["seconds_max"] / 2, lambda: client.items(path, labelSelector=params["selector"]))
    if not found:
        raise KubernetesError(
            f"{client.name}: the selector {params['selector']!r} matches no pod of the namespace {params['namespace']}: "
            f"kubectl -n {params['namespace']} get pods --show-labels"
        )
    pods = [t.cast("Json", pod_of(one, ())) for one in found]
    asked = Asked(params["since_seconds"], params["bytes_max"], params["bytes_max_all"])
    told, gaps = read_logs(client, params["namespace"], pods, asked, until - time.monotonic())
    before = [pod for pod in pods if params["previous"] and pod["restarts"]]
    if before:
        earlier, more = read_logs(client, params["namespace"], before, asked, until - time.monotonic(), previous=True)
        told, gaps = [*told, *({**one, "previous": True} for one in earlier)], [*gaps, *more]
    named = {f"{one['pod']}/{one['container']}{' before its restart' if one.get('previous') else ''}": one for one in told}
    together = merged(t.cast(dict[str, Told], named))
    return {"pods": [pod["name"] for pod in pods], "sources": sorted(named), "gaps": gaps, **together}
