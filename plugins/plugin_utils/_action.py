# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the actions on an incident's record share: the run that they are a part of, the channels, and the ways out (private).

The record must be locked, synced to the disk and written around the effects of other modules, by the one process that sees them
all; so these are actions, and thin shells over _run.
"""

from __future__ import annotations

import abc
import json
import pathlib
import shutil
import sys
import typing as t

from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.sre.runbooks.plugins.module_utils._pagerduty import calls as pagerduty
from ansible_collections.sre.runbooks.plugins.module_utils._spec import Option
from ansible_collections.sre.runbooks.plugins.module_utils._statuspage import calls as status_page
from ansible_collections.sre.runbooks.plugins.plugin_utils._channels.mail import MODULE as MAIL
from ansible_collections.sre.runbooks.plugins.plugin_utils._channels.settings import channels_from
from ansible_collections.sre.runbooks.plugins.plugin_utils._channels.smtp import deliver
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.context import Outside
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.errors import RecordError
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.inputs import plain
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.shapes import Opened
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.store import trouble
from ansible_collections.sre.runbooks.plugins.plugin_utils._render.screen import WIDTH, fitted
from ansible_collections.sre.runbooks.plugins.plugin_utils._run.command_line import whole_text
from ansible_collections.sre.runbooks.plugins.plugin_utils._run.run import Run
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems import found, shipped

Json = dict[str, t.Any]
display = Display()
found()  # Ansible's parent process imports this module, its workers only inherit: else each task would import every system anew.

NO_INCIDENT = (
    "this run has no incident, because --limit (or --skip-tags always) left localhost out: "
    "choose systems with -e target=NAME instead"
)
SETTINGS = "__incident_settings"
LONGEST_SENTENCE = 2000
NARROWEST = 60
# The vendors are spoken to from here; a module of its own for each message would cost half a second a message.
IN_PLACE = {
    "pagerduty_incident": pagerduty.INCIDENT,
    "pagerduty_notice": pagerduty.NOTICE,
    "pagerduty_oncall_info": pagerduty.ONCALL,
    "status_page_incident": status_page.INCIDENT,
}
NO_CHANNELS: Json = {"on": {}, "off": []}


class RecordAction(ActionBase):
    """An action on the record, on the controller: subclasses give their options, and do their part."""

    _requires_connection = False
    _supports_check_mode = True
    argument_spec: t.ClassVar[t.Mapping[str, Option]]

    def run(self, tmp: str | None = None, task_vars: Json | None = None) -> Json:
        super().run(tmp, task_vars)
        self._vars: Json = task_vars or {}
        args: Json = self.validate_argument_spec(argument_spec=self.argument_spec)[1]
        try:
            return {"changed": False, **self.act(args)}
        except RecordError as error:
            raise AnsibleActionFail(plain(error, LONGEST_SENTENCE)) from error
        except json.JSONDecodeError as error:
            raise AnsibleActionFail(f"a file of the record cannot be read: {plain(error)}") from error
        except OSError as error:
            sentence = trouble(error, pathlib.Path(str(error.filename or ".")).parent)
            raise AnsibleActionFail(plain(sentence, LONGEST_SENTENCE)) from error

    @abc.abstractmethod
    def act(self, args: Json) -> Json:
        """Does it. Raises RecordError for what must not go on."""

    def channels(self) -> Json:
        """The channels that are on, and why others are off. They hold secrets, so they are never arguments of a task: those
        are printed (ANSIBLE_DISPLAY_ARGS_TO_STDOUT, -vvv)."""
        if SETTINGS not in self._vars:
            return NO_CHANNELS
        settings, wanted, public = (
            self._templar.template(self._vars[name]) for name in (SETTINGS, "incident_channels", "incident_public")
        )
        return channels_from(wanted, settings, public=boolean(public))

    def opened(self) -> Opened:
        hosts = self._vars["hostvars"]
        run = hosts["localhost"].get("__incident_run") if "localhost" in hosts else None
        if not run or "ended" not in run:
            raise RecordError(NO_INCIDENT)
        return t.cast("Opened", run)

    def session(self, channels: t.Mapping[str, Json] | None = None, opened: Opened | None = None) -> Run:
        """This run, with the channels that it may tell something."""
        outside = Outside(self._execute, display_line, self.ask, sys.argv, width())
        return Run(opened or self.opened(), shipped(), outside, channels or {})

    @property
    def system(self) -> str:
        return str(self._vars["inventory_hostname"])

    @property
    def phase(self) -> str:
        return str(self._vars.get("incident_phase", "diagnose"))

    def word(self, name: str) -> object:
        """A variable as it was typed: a template in it is text, and is never run."""
        return whole_text(name, self._vars.get(name), sys.argv)

    def _execute(self, module: str, args: Json) -> Json:
        if module == MAIL:
            return deliver(args, check_mode=self._task.check_mode)
        if module in IN_PLACE:
            return IN_PLACE[module].in_place(args, check_mode=self._task.check_mode)
        name = module if "." in module else f"sre.runbooks.{module}"
        try:
            return t.cast("Json", self._execute_module(module_name=name, module_args=args, task_vars=self._vars))
        except AnsibleConnectionFailure as error:  # else the host would be unreachable, and its play would end without a word
            return {"failed": True, "msg": f"the host was not reached: {error}"}

    def ask(self, question: str, seconds: float) -> str | None:
        try:
            answer = display.prompt_until(question, private=False, seconds=int(seconds))
        except Exception:  # no terminal, no answer in time, or interrupted: all of them mean no
            return None
        return answer.decode("utf-8", "replace")


def width() -> int:
    """How long a line of the screen may be: the terminal's width, and never more than can be read at a glance."""
    return max(NARROWEST, min(WIDTH, shutil.get_terminal_size((WIDTH, 24)).columns))


def display_line(line: str) -> None:
    """The one place where the runbooks print: control characters end here."""
    for piece in fitted(plain(line, 4000), width()):
        display.display(piece)
