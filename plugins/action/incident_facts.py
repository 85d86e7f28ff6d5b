# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hands over what a role has read of a system: a thin shell over _run/run.py."""

from __future__ import annotations

import typing as t

from ansible_collections.sre.runbooks.plugins.module_utils._spec import Spec
from ansible_collections.sre.runbooks.plugins.plugin_utils._action import RecordAction

Json = dict[str, t.Any]
ARGUMENT_SPEC: Spec = {
    "kind": {"type": "str", "required": True},
    "data": {"type": "dict", "default": {}},
    "limits": {"type": "dict", "default": {}},
}


class ActionModule(RecordAction):
    """Hands over what a role has read of a system: a thin shell over _run/run.py."""

    argument_spec = ARGUMENT_SPEC

    def act(self, args: Json) -> Json:
        if not self.opened()["ended"]:
            self.session().keep_facts(self.phase, self.system, args["kind"], args["data"], args["limits"])
        return {}
