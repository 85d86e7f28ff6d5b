# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Goes back to an incident that is there: a thin shell over _run."""

from __future__ import annotations

import getpass
import os
import pathlib
import typing as t

from ansible_collections.sre.runbooks.plugins.module_utils._spec import Spec
from ansible_collections.sre.runbooks.plugins.plugin_utils._action import RecordAction, display_line
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.errors import RecordError
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.inputs import plain
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.store import Record, incident_folder, utc_now
from ansible_collections.sre.runbooks.plugins.plugin_utils._run.opening import open_given
from ansible_collections.sre.runbooks.plugins.plugin_utils._run.undo import undo_lines
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems import shipped

Json = dict[str, t.Any]
ARGUMENT_SPEC: Spec = {
    "operation": {"type": "str", "required": True, "choices": ["undo", "note", "say"]},
    "record_root": {"type": "str", "required": True},
}


class ActionModule(RecordAction):
    """Goes back to an incident that is there: a thin shell over _run."""

    argument_spec = ARGUMENT_SPEC

    def act(self, args: Json) -> Json:
        """What needs no run. The incident's id and the note are read as they were typed, like the other words."""
        root = pathlib.Path(args["record_root"]).expanduser().absolute()
        identity = plain(self.word("incident_id") or "")
        operation = args["operation"]
        if operation == "undo":
            run = open_given(root, identity, utc_now(), os.getppid(), "undo", check=self._task.check_mode)
            for line in undo_lines(Record(pathlib.Path(run["path"]), run["run"]).events(), shipped()):
                display_line(line)
            return {**run}
        folder = incident_folder(root, identity)
        record = Record(folder, f"note by {getpass.getuser()}")
        text = plain(self.word("text") or self.ask("In one line, what is there to say? ", 300) or "", 2000).strip()
        if not text:
            raise RecordError("there is no text: -e text='what you saw or did', or type it when asked")
        if operation == "say":
            return self._say(root, identity, text)
        if not self._task.check_mode:
            record.append("note", text=text)
        display_line(f"noted in {folder.name}: {text}")
        return {"changed": True}

    def _say(self, root: pathlib.Path, identity: str, text: str) -> Json:
        """A person's update to everybody. What cannot be sent now stays in the outbox, and the run is not green."""
        channels = self.channels()["on"]
        run = open_given(root, identity, utc_now(), os.getppid(), "update", check=self._task.check_mode)
        session = self.session(channels, run)
        try:
            if not channels:
                raise RecordError(
                    "all channels are off (incident_channels), so there is nobody to tell; playbooks/note.yml keeps it"
                )
            if not session.notifier.channels:
                raise RecordError(f"nobody may be told: {', '.join(session.notifier.silenced)}; playbooks/note.yml keeps it")
            session.notifier.say(text)
            unsent = session.notifier.unsent()
            if unsent:
                raise RecordError(f"unsent: {', '.join(unsent)}; they stay in the outbox, and the next run sends them")
        finally:
            session.end()
        return {"changed": True}
