# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes a run to its next stage: a thin shell over _run/run.py."""

from __future__ import annotations

import typing as t

from ansible_collections.sre.runbooks.plugins.module_utils._spec import Spec
from ansible_collections.sre.runbooks.plugins.plugin_utils._action import NO_CHANNELS, RecordAction, display_line
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.errors import RecordError
from ansible_collections.sre.runbooks.plugins.plugin_utils._run.run import Run

Json = dict[str, t.Any]
# Those that tell somebody, or show what was told: for the others the channels need not be made up.
TELLING = ("declare", "confirm", "update", "close", "screen")
ARGUMENT_SPEC: Spec = {
    "stage": {
        "type": "str",
        "required": True,
        "choices": ["declare", "judge", "confirm", "update", "verify", "close", "screen", "undo_end"],
    },
    "contacts": {"type": "dict", "default": {}},
    "findings_max_age": {"type": "float", "default": 300.0},
}


class ActionModule(RecordAction):
    """Takes a run to its next stage: a thin shell over _run/run.py."""

    argument_spec = ARGUMENT_SPEC

    def act(self, args: Json) -> Json:
        if self.opened()["ended"]:
            return {}
        channels = self.channels() if args["stage"] in TELLING else NO_CHANNELS
        session = self.session(channels["on"])
        steps: dict[str, t.Callable[[], t.Any]] = {
            "declare": lambda: session.notifier.declare(args["contacts"]),
            "judge": lambda: session.judge("diagnose"),
            "confirm": lambda: session.notifier.confirm(args["findings_max_age"]),
            "update": lambda: session.notifier.update(args["findings_max_age"]),
            "verify": session.verify,
            "close": lambda: session.close(args["findings_max_age"]),
            "undo_end": lambda: self._undo_end(session),
        }
        if args["stage"] == "screen":
            return self._screen(session, channels["off"])
        steps[args["stage"]]()
        return {}

    def _undo_end(self, session: Run) -> None:
        lines, sentence = session.undo_end()
        for line in lines:
            display_line(f"UNDONE   {line}")
        if sentence:
            raise RecordError(sentence)

    def _screen(self, session: Run, off: t.Sequence[str]) -> Json:
        lines, sentence, stats = session.screen(off)
        display_line("")
        for line in lines:
            display_line(line)
        display_line("")
        if sentence:
            raise RecordError(sentence)
        return {"ansible_stats": {"data": stats, "per_host": False, "aggregate": False}}
