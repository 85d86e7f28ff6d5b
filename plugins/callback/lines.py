# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The runbook's own lines and what failed, without Ansible's."""

from __future__ import annotations

DOCUMENTATION = r"""
name: lines
type: stdout
short_description: Shows the runbook's own lines and what failed, and nothing else
version_added: 0.3.0
description:
  - The runbooks print what happens and the screen by themselves. This leaves out Ansible's own lines between them.
  - On a terminal, the last line says what is being done while it lasts.
  - With C(-v), or more, Ansible's own output is back. Nothing depends on this callback.
extends_documentation_fragment:
  - default_callback
requirements:
  - set as the stdout callback (C(stdout_callback = sre.runbooks.lines) in C(ansible.cfg))
author:
  - The sre.runbooks contributors (@sre-runbooks)
"""

import shutil
import sys
import typing as t

from ansible import constants
from ansible.plugins.callback.default import CallbackModule as Default
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.inputs import plain
from ansible_collections.sre.runbooks.plugins.plugin_utils._render.screen import WIDTH, fitted

CLEAR = "\r\x1b[K"
LONGEST = 2000
NARROWEST = 40


class CallbackModule(Default):
    """Ansible's default output, of which only what failed is shown unless more is asked for."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "sre.runbooks.lines"

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._live = sys.stdout.isatty() and self._quiet()
        self._shows = False
        if self._live:
            # What workers print comes past the callbacks: the live line must be gone before it.
            self._print, self._display.display = self._display.display, self._display_after_clearing  # type: ignore[method-assign]

    def _display_after_clearing(self, *args: t.Any, **options: t.Any) -> None:
        self._clear()
        self._print(*args, **options)

    def _quiet(self) -> bool:
        return bool(self._display.verbosity == 0)

    def _clear(self) -> None:
        if self._shows:
            sys.stdout.write(CLEAR)
            sys.stdout.flush()
        self._shows = False

    def _say(self, what: str) -> None:
        """The line that lasts as long as what it tells."""
        if self._live:
            line = plain(what, shutil.get_terminal_size().columns - 2)
            sys.stdout.write(f"{CLEAR}{line}")
            sys.stdout.flush()
            self._shows = True

    def v2_playbook_on_play_start(self, play: t.Any) -> None:
        self._shown("v2_playbook_on_play_start", play)
        self._say(f"{play.get_name()} …")

    def v2_playbook_on_task_start(self, task: t.Any, is_conditional: bool) -> None:
        self._shown("v2_playbook_on_task_start", task, is_conditional)

    def _shown(self, name: str, *args: t.Any, **options: t.Any) -> None:
        if not self._quiet():
            getattr(super(), name)(*args, **options)

    def v2_playbook_on_include(self, included_file: t.Any) -> None:
        self._shown("v2_playbook_on_include", included_file)

    def v2_runner_on_ok(self, result: t.Any) -> None:
        self._shown("v2_runner_on_ok", result)

    def v2_runner_on_skipped(self, result: t.Any) -> None:
        self._shown("v2_runner_on_skipped", result)

    def v2_runner_item_on_ok(self, result: t.Any) -> None:
        self._shown("v2_runner_item_on_ok", result)

    def v2_runner_item_on_skipped(self, result: t.Any) -> None:
        self._shown("v2_runner_item_on_skipped", result)

    def v2_playbook_on_no_hosts_matched(self) -> None:
        self._shown("v2_playbook_on_no_hosts_matched")

    def v2_playbook_on_stats(self, stats: t.Any) -> None:
        self._shown("v2_playbook_on_stats", stats)
        if not stats.processed:
            self._print_failed("FAILED", "nothing was run: no host is in the inventory, or --limit left them all out")

    def v2_runner_on_failed(self, result: t.Any, ignore_errors: bool = False) -> None:
        self._shown("v2_runner_on_failed", result, ignore_errors)
        if not ignore_errors:
            self._failed("FAILED", result)

    def v2_runner_on_unreachable(self, result: t.Any) -> None:
        self._shown("v2_runner_on_unreachable", result)
        self._failed("UNREACHED", result)

    def v2_runner_item_on_failed(self, result: t.Any) -> None:
        self._shown("v2_runner_item_on_failed", result)
        self._failed("FAILED", result)

    def _failed(self, label: str, result: t.Any) -> None:
        why = [str(result.result.get(name) or "").strip() for name in ("msg", "stderr")]
        told = ": ".join(part for part in why if part) or "no reason given"
        self._print_failed(label, f"{result.host.get_name()}: {told}")

    def _print_failed(self, label: str, why: str) -> None:
        """Our own line of a failure; with Ansible's output it has been shown."""
        if not self._quiet():
            return
        self._clear()
        for line in fitted(f"{label:<10} {plain(why, LONGEST)}", max(NARROWEST, shutil.get_terminal_size((WIDTH, 24)).columns)):
            self._display.display(line, color=constants.COLOR_ERROR)  # type: ignore[attr-defined]
