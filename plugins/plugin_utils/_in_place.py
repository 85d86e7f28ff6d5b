# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running an ``_info`` module's work in the controller's own process where that is the host (private to the collection).

A module that is copied and started costs half a second before it asks its first question. A system without SSH is looked
at from the controller, so there its action plugin does the same work in place; everywhere else the module runs.
"""

from __future__ import annotations

import abc
import typing as t

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.sre.runbooks.plugins.module_utils._spec import Option

Json = dict[str, t.Any]


class InPlaceOrModule(ActionBase):
    """An action that looks: subclasses say with which arguments, what is missing here, and do the look."""

    argument_spec: t.ClassVar[t.Mapping[str, Option]]

    def missing(self) -> bool:
        """Whether this process lacks a library that the module's interpreter may have."""
        return False

    @abc.abstractmethod
    def look(self, params: Json) -> Json:
        """The module's result. Raises ValueError for arguments that mean nothing."""

    def run(self, tmp: str | None = None, task_vars: Json | None = None) -> Json:
        super().run(tmp, task_vars)
        elsewhere = self._connection.transport != "local" or self._play_context.become or self._task.async_val
        if elsewhere or self.missing():
            return t.cast("Json", self._execute_module(task_vars=task_vars, wrap_async=self._task.async_val))
        params: Json = self.validate_argument_spec(argument_spec=self.argument_spec)[1]
        try:
            return {"changed": False, **self.look(params)}
        except ValueError as error:
            raise AnsibleActionFail(str(error)) from error
