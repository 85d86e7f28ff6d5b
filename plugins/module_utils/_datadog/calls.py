# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the Datadog modules do, with their options (private to the collection)."""

from __future__ import annotations

import dataclasses
import time

from ansible_collections.sre.runbooks.plugins.module_utils._datadog import api
from ansible_collections.sre.runbooks.plugins.module_utils._http.call import Call, Json, Params
from ansible_collections.sre.runbooks.plugins.module_utils._http.client import Client, http_argument_spec
from ansible_collections.sre.runbooks.plugins.module_utils._spec import Spec


def _monitors(params: Params, client: Client) -> Json:
    found = [api.monitor(client, identity) for identity in params["monitors"] or []]
    if params["query"]:
        found += api.search(client, params["query"])
    return {"monitors": [dataclasses.asdict(one) for one in found]}


def _metric(params: Params, client: Client) -> Json:
    end = int(params["now"] or time.time())
    found = api.series(client, params["query"], end - params["window"], end)
    return {"series": [dataclasses.asdict(one) for one in found]}


_LOGIN: Spec = {
    **http_argument_spec(api.URL),
    "application_key": {"type": "str", "required": True, "no_log": True},
}
MONITOR = Call(
    {**_LOGIN, "monitors": {"type": "list", "elements": "int"}, "query": {"type": "str"}},
    api.settings,
    _monitors,
    required_one_of=[("monitors", "query")],
)
METRIC = Call(
    {
        **_LOGIN,
        "query": {"type": "str", "required": True},
        "window": {"type": "int", "default": 900},
        "now": {"type": "int"},
    },
    api.settings,
    _metric,
)
