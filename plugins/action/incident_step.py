# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What there is to do on a system, and that it failed: a thin shell over _run."""

from __future__ import annotations

import typing as t

from ansible_collections.sre.runbooks.plugins.module_utils._spec import Spec
from ansible_collections.sre.runbooks.plugins.plugin_utils._action import RecordAction
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.errors import RecordError
from ansible_collections.sre.runbooks.plugins.plugin_utils._run.run import Run

Json = dict[str, t.Any]
NOTHING: Json = {"skip": True, "parts": [], "suffering": [], "acted_seconds": 0, "mitigations": [], "undo": []}
ARGUMENT_SPEC: Spec = {
    "operation": {"type": "str", "required": True, "choices": ["guard", "plan", "undo_plan", "failure"]},
    "users": {"type": "bool", "default": False},
    "unproven": {"type": "bool", "default": False},
    "findings_max_age": {"type": "float", "default": 300.0},
    "prompt_seconds": {"type": "float", "default": 120.0},
    "kind": {"type": "str"},
    "reason": {"type": "str", "default": "no reason given"},
}


class ActionModule(RecordAction):
    """What there is to do on a system, and that it failed: a thin shell over _run."""

    argument_spec = ARGUMENT_SPEC

    def act(self, args: Json) -> Json:
        if self.opened()["ended"]:
            return NOTHING
        session = self.session()
        if args["operation"] == "guard":
            return self._guard(session, args)
        if args["operation"] == "plan":
            return self._plan(session, args)
        if args["operation"] == "undo_plan":
            return {"undo": session.executor.undo_plan(self.system, unproven=args["unproven"])}
        session.keep_failure(self.phase, self.system, args["reason"], args["kind"])
        return {}

    def _guard(self, session: Run, args: Json) -> Json:
        """What there is to do on this system in this phase, and which of its users suffer."""
        wanted, looks = session.wants(self.phase, self.system), self.phase in ("diagnose", "verify")
        parts = session.parts(self.phase, self.system, users=args["users"]) if wanted and looks else []
        if parts:
            session.look_begins(self.phase, self.system)
        acted, suffering = session.acted_seconds(self.phase), session.suffering(self.phase, self.system)
        return {"skip": not wanted, "parts": parts, "suffering": suffering, "acted_seconds": acted}

    def _plan(self, session: Run, args: Json) -> Json:
        """A refusal is recorded here and said once, at the end: a failed task would print it several times."""
        try:
            return {"mitigations": session.executor.plan(self.system, args["findings_max_age"], args["prompt_seconds"])}
        except RecordError as refusal:
            session.keep_failure(self.phase, self.system, str(refusal))
            return {"mitigations": []}
