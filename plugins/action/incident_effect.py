# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs a module between its intent and its outcome in the record: a thin shell over _run/executor.py."""

from __future__ import annotations

import typing as t

from ansible_collections.sre.runbooks.plugins.module_utils._spec import Spec
from ansible_collections.sre.runbooks.plugins.plugin_utils._action import RecordAction
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.inputs import plain
from ansible_collections.sre.runbooks.plugins.plugin_utils._run.executor import Effect

Json = dict[str, t.Any]
ARGUMENT_SPEC: Spec = {
    "mitigation": {"type": "str", "required": True},
    "module": {"type": "str", "required": True},
    "module_access": {"type": "dict", "default": {}},
    "module_args": {"type": "dict", "default": {}},
    "module_secrets": {"type": "dict", "default": {}},
    "target": {"type": "dict"},
    "undoes": {"type": "bool", "default": False},
    "sentence": {"type": "str", "default": ""},
    "count": {"type": "int", "default": 1},
    "max": {"type": "int"},
}


class Secret(str):
    """A text that is not shown where its name and value are (ANSIBLE_DEBUG shows the arguments of every module)."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'********'"


class ActionModule(RecordAction):
    """Runs a module between its intent and its outcome in the record: a thin shell over _run/executor.py."""

    argument_spec = ARGUMENT_SPEC

    def act(self, args: Json) -> Json:
        module_args = {**args["module_access"], **args["module_args"], **self._secrets(args)}
        result = self.session().executor.effect(
            Effect(
                args["mitigation"], self.system, args["module"], module_args, args["target"], args["undoes"], args["count"],
                args["max"], args["sentence"],
            )
        )  # fmt: skip
        return {"changed": bool(result.get("changed")), "diff": printable(result.get("diff", {}))}

    def _secrets(self, args: Json) -> Json:
        """The module's arguments that are secret, from the variables that hold them: as arguments of a task they would be
        printed (ANSIBLE_DISPLAY_ARGS_TO_STDOUT)."""
        found = {option: self._templar.template(self._vars[name]) for option, name in args["module_secrets"].items()}
        return {option: Secret(value) for option, value in found.items() if value}


def printable(diff: t.Any) -> t.Any:
    """A diff with printable lines only: it is shown as it is, and has names from outside."""
    if isinstance(diff, list):
        return [printable(one) for one in diff]
    return {name: "".join(f"{plain(line, 400)}\n" for line in str(text).splitlines()) for name, text in dict(diff or {}).items()}
