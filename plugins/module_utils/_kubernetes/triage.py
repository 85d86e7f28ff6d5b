# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything that a diagnosis reads of one namespace, in one call (private to the collection)."""

from __future__ import annotations

import functools
import time
import typing as t

from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.client import (
    Client,
    access_from,
    connect,
)
from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.client import argument_spec as access_spec
from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.configs import look_at_configs
from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.errors import KubernetesError
from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.facts import Feature, Namespace
from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.logs import Asked, read_logs
from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.secrets import look_at_secret
from ansible_collections.sre.runbooks.plugins.module_utils._kubernetes.workloads import DIAGNOSTICS, look
from ansible_collections.sre.runbooks.plugins.module_utils._spec import Spec
from ansible_collections.sre.runbooks.plugins.module_utils._within import LateError, within, within_each

Json = dict[str, t.Any]
LEAST_SECONDS = 1.0
# How much of the time the lists may take, so that what one of them takes leaves the others told.
LOOK_SHARE = 0.6
# And how much Secrets and ConfigMaps may take after them.
DATA_SHARE = 0.2


def argument_spec() -> Spec:
    return {
        **access_spec(),
        "services": {"type": "list", "elements": "str", "default": []},
        "secrets": {"type": "list", "elements": "str", "default": [], "no_log": False},
        "features": {
            "type": "list",
            "elements": "dict",
            "default": [],
            "options": {
                "configmap": {"type": "str", "required": True},
                "key": {"type": "str", "required": True, "no_log": False},
                "off_value": {"type": "raw", "required": True},
            },
        },
        "pool": {
            "type": "dict",
            "options": {
                "configmap": {"type": "str", "required": True},
                "key": {"type": "str", "required": True, "no_log": False},
                "connections_max": {"type": "int", "required": True},
            },
        },
        "log_seconds": {"type": "int", "default": 1800},
        "log_bytes_max": {"type": "int", "default": 5242880},
        "log_bytes_max_all": {"type": "int", "default": 25165824},
        "seconds_max": {"type": "float", "default": 15.0},
    }


def triage_from(params: t.Mapping[str, t.Any]) -> Json:
    """The facts of a namespace. A cluster that cannot be read has nothing but gaps."""
    until = time.monotonic() + params["seconds_max"]
    try:
        client, facts = within(params["seconds_max"], lambda: _look(params))
    except (KubernetesError, LateError) as error:
        gaps = [{"diagnostic": name, "reason": str(error)} for name in DIAGNOSTICS]
        return {"namespace": params["namespace"], "at": "", "workloads": [], "pods": [], "services": [], "warnings": [],
                "secrets": [], "configs": [], "pools": [],
                "logs": [], "log_seconds": params["log_seconds"], "watched": [], "gaps": gaps}  # fmt: skip
    serving = facts.pop("serving")
    pods = [pod for pod in facts["pods"] if pod["name"] in serving]
    left = max(LEAST_SECONDS, until - time.monotonic())
    asked = Asked(params["log_seconds"], params["log_bytes_max"], params["log_bytes_max_all"])
    logs, gaps = read_logs(client, params["namespace"], pods, asked, left)
    return {**facts, "logs": logs, "log_seconds": params["log_seconds"], "gaps": [*facts["gaps"], *gaps]}


def _look(params: t.Mapping[str, t.Any]) -> tuple[Client, Json]:
    client = connect(access_from(params))
    facts = look(client, params["namespace"], LOOK_SHARE * params["seconds_max"])
    _look_at_data(client, params, facts)
    named = params["services"]
    there = {service["name"] for service in facts["services"]}
    unread = {gap["diagnostic"] for gap in facts["gaps"]}
    missing = [] if "services" in unread else [name for name in named if name not in there]
    facts["gaps"] += [{"diagnostic": f"service {name}", "reason": "there is none of this name"} for name in missing]
    watched = [one for one in facts["services"] if one["name"] in named or (not named and one["selector"])]
    serving = {name for service in watched for name in service["pods"]}
    return client, {**facts, "watched": [service["name"] for service in watched], "serving": serving}


def _look_at_data(client: Client, params: t.Mapping[str, t.Any], facts: Namespace) -> None:
    """Secrets and ConfigMaps, each by itself: one that cannot be read in time is a gap, and takes nothing of the others."""
    space = params["namespace"]
    looks: list[tuple[str, t.Callable[[], t.Any], t.Callable[[t.Any], None]]] = []
    for name in params["secrets"]:
        looks.append((f"secret {name}", functools.partial(look_at_secret, client, space, name), facts["secrets"].append))
    for name in sorted({one["configmap"] for one in params["features"]}):
        own = [one for one in params["features"] if one["configmap"] == name]
        looks.append((f"configmap {name}", functools.partial(look_at_configs, client, space, own), facts["configs"].extend))
    if params["pool"]:
        key: Feature = {"configmap": params["pool"]["configmap"], "key": params["pool"]["key"], "off_value": None}
        looks.append(("the pools' size", functools.partial(look_at_configs, client, space, [key]), facts["pools"].extend))
    answers = within_each(DATA_SHARE * params["seconds_max"], [call for _name, call, _keep in looks], len(looks))
    for (name, _call, keep), answer in zip(looks, answers, strict=True):
        if isinstance(answer, Exception):
            facts["gaps"].append({"diagnostic": name, "reason": str(answer) or type(answer).__name__})
        else:
            keep(answer)
