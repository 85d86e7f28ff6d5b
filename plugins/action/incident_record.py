# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one writer of the incident's record: a thin shell over plugin_utils/_record."""

from __future__ import annotations

import getpass
import os
import pathlib
import shutil
import sys
import typing as t

from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.sre.runbooks.plugins.module_utils._pagerduty import calls as pagerduty
from ansible_collections.sre.runbooks.plugins.module_utils._statuspage import calls as status_page
from ansible_collections.sre.runbooks.plugins.plugin_utils._channels.mail import MODULE as MAIL
from ansible_collections.sre.runbooks.plugins.plugin_utils._channels.settings import channels_from
from ansible_collections.sre.runbooks.plugins.plugin_utils._channels.smtp import deliver
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.context import Outside
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.errors import RecordError
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.inputs import NAMES, plain
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.store import Record, incident_folder, trouble, utc_now
from ansible_collections.sre.runbooks.plugins.plugin_utils._render.screen import WIDTH, fitted
from ansible_collections.sre.runbooks.plugins.plugin_utils._run.command_line import refuse_slips, whole_text
from ansible_collections.sre.runbooks.plugins.plugin_utils._run.dependencies import as_names
from ansible_collections.sre.runbooks.plugins.plugin_utils._run.executor import Effect
from ansible_collections.sre.runbooks.plugins.plugin_utils._run.opening import Opening, open_given, open_run
from ansible_collections.sre.runbooks.plugins.plugin_utils._run.run import Run
from ansible_collections.sre.runbooks.plugins.plugin_utils._run.undo import undo_lines
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems import shipped

Json = dict[str, t.Any]
display = Display()

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
OPERATIONS = ("open", "guard", "facts", "failure", "judge", "declare", "confirm", "plan", "effect", "update", "verify",
              "close", "screen", "undo", "undo_plan", "undo_end", "note", "say")  # fmt: skip
# Those that tell somebody, or show what was told: for the others the channels need not be made up.
TELLING = ("declare", "confirm", "update", "close", "screen")
NO_CHANNELS: Json = {"on": {}, "off": []}
ARGUMENT_SPEC: dict[str, dict[str, t.Any]] = {
    "operation": {"type": "str", "required": True, "choices": list(OPERATIONS)},
    "runbook": {"type": "str"},
    "title": {"type": "str"},
    "severity": {"type": "str"},
    "group": {"type": "str"},
    "record_root": {"type": "str"},
    "declare_mode": {"type": "str", "choices": ["at_once", "confirmed", "never"]},
    "relapse_window": {"type": "float", "default": 3600.0},
    "findings_max_age": {"type": "float", "default": 300.0},
    "prompt_seconds": {"type": "float", "default": 120.0},
    "update_minutes": {"type": "float", "default": 20.0},
    "seconds_before_verdict": {"type": "float", "default": 3.0},
    "record_group": {"type": "str"},
    "keep_healthy_days": {"type": "float", "default": 7.0},
    "alert_file": {"type": "str"},
    "disclosure": {"type": "str", "default": "public"},
    "runbook_disclosure": {"type": "str", "default": "public"},
    "procedure": {"type": "list", "elements": "dict", "default": []},
    "contacts": {"type": "dict", "default": {}},
    "kind": {"type": "str"},
    "users": {"type": "bool", "default": False},
    "data": {"type": "dict", "default": {}},
    "limits": {"type": "dict", "default": {}},
    "reason": {"type": "str", "default": ""},
    "mitigation": {"type": "str"},
    "module": {"type": "str"},
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


class ActionModule(ActionBase):
    """Runs one operation of the record on the controller."""

    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: Json | None = None) -> Json:
        super().run(tmp, task_vars)
        self._vars: Json = task_vars or {}
        args: Json = self.validate_argument_spec(argument_spec=ARGUMENT_SPEC)[1]
        try:
            return self._operate(args["operation"], args)
        except RecordError as error:
            raise AnsibleActionFail(plain(error, LONGEST_SENTENCE)) from error
        except OSError as error:
            sentence = trouble(error, pathlib.Path(str(error.filename or ".")).parent)
            raise AnsibleActionFail(plain(sentence, LONGEST_SENTENCE)) from error

    def _operate(self, operation: str, args: Json) -> Json:
        if operation == "open":
            return self._open(args)
        if operation in ("undo", "note", "say"):
            return self._about_a_given_incident(operation, args)
        run = self._run_of_localhost()
        if run["ended"]:
            return {"changed": False, "skip": True, "parts": [], "mitigations": []}
        channels = self._channels() if operation in TELLING else NO_CHANNELS
        session = Run(run, shipped(), Outside(self._execute, display_line, self._ask, sys.argv, width()), channels["on"])
        args["channels_off"] = channels["off"]
        result: Json = getattr(self, f"_{operation}")(session, args) or {}
        return {"changed": False, **result}

    def _channels(self) -> Json:
        """The channels that are on, and why others are off. They hold secrets, so they are never arguments of a task: those
        are printed (ANSIBLE_DISPLAY_ARGS_TO_STDOUT, -vvv)."""
        if SETTINGS not in self._vars:
            return NO_CHANNELS
        settings, wanted, public = (
            self._templar.template(self._vars[name]) for name in (SETTINGS, "incident_channels", "incident_public")
        )
        return channels_from(wanted, settings, public=boolean(public))

    def _run_of_localhost(self) -> Json:
        hosts = self._vars["hostvars"]
        run = hosts["localhost"].get("__incident_run") if "localhost" in hosts else None
        if not run or "ended" not in run:
            raise RecordError(NO_INCIDENT)
        return t.cast("Json", run)

    @property
    def _system(self) -> str:
        return str(self._vars["inventory_hostname"])

    @property
    def _phase(self) -> str:
        return str(self._vars.get("incident_phase", "diagnose"))

    def _open(self, args: Json) -> Json:
        groups, hosts = self._vars["groups"], self._vars["hostvars"]
        kinds = shipped().of_group(groups)
        asked = Opening(
            runbook=args["runbook"], title=args["title"], severity=args["severity"], root=args["record_root"],
            declare=args["declare_mode"], relapse_window=args["relapse_window"], group=args["group"],
            hosts=tuple(groups.get(args["group"], [])), kinds=kinds,
            depends_on={host: self._depends_on(hosts[host], host, kinds.get(host, ())) for host in hosts},
            alert_file=args["alert_file"],
            check=self._task.check_mode, pid=os.getppid(), update_minutes=args["update_minutes"],
            seconds_before_verdict=args["seconds_before_verdict"], group_name=args["record_group"] or None,
            keep_healthy_days=args["keep_healthy_days"],
            disclosures=(args["runbook_disclosure"], args["disclosure"]), procedure=args["procedure"],
        )  # fmt: skip
        # The words are read as they were typed: a template in them is text, and is never run.
        refuse_slips(sys.argv)
        self._channels()  # what is wrong with them is said before anything is touched
        run = open_run(asked, {name: self._word(name) for name in NAMES}, shipped(), utc_now())
        if run["ended"]:
            display_line(f"another run works on {run['incident_id']}; this alert was noted there")
        return {"changed": False, **run}

    def _depends_on(self, variables: t.Mapping[str, t.Any], host: str, kinds: t.Sequence[str]) -> tuple[str, ...] | None:
        """What a system stands on. What users see stands on the runbook's systems where the inventory does not say."""
        named = variables.get("runbooks_depends_on")
        if not named:
            return None if any(shipped().systems[kind].measures_users for kind in kinds) else ()
        return as_names(host, named)

    def _word(self, name: str) -> object:
        return whole_text(name, self._vars.get(name), sys.argv)

    def _about_a_given_incident(self, operation: str, args: Json) -> Json:
        """What needs no run. The incident's id and the note are read as they were typed, like the other words."""
        root = pathlib.Path(args["record_root"]).expanduser().absolute()
        identity = plain(self._word("incident_id") or "")
        if operation == "undo":
            run = open_given(root, identity, utc_now(), os.getppid(), "undo", check=self._task.check_mode)
            for line in undo_lines(Record(pathlib.Path(run["path"]), run["run"]).events(), shipped()):
                display_line(line)
            return {"changed": False, **run}
        folder = incident_folder(root, identity)
        record = Record(folder, f"note by {getpass.getuser()}")
        text = plain(self._word("text") or self._ask("In one line, what is there to say? ", 300) or "", 2000).strip()
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
        channels = self._channels()["on"]
        run = open_given(root, identity, utc_now(), os.getppid(), "update", check=self._task.check_mode)
        session = Run(run, shipped(), Outside(self._execute, display_line, self._ask), channels)
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

    def _guard(self, session: Run, args: Json) -> Json:
        """What there is to do on this system in this phase, and which of its users suffer."""
        wanted, looks = session.wants(self._phase, self._system), self._phase in ("diagnose", "verify")
        parts = session.parts(self._phase, self._system, users=args["users"]) if wanted and looks else []
        if parts:
            session.look_begins(self._phase, self._system)
        return {"skip": not wanted, "parts": parts, "suffering": session.suffering(self._phase, self._system)}

    def _facts(self, session: Run, args: Json) -> None:
        session.keep_facts(self._phase, self._system, args["kind"], args["data"], args["limits"])

    def _failure(self, session: Run, args: Json) -> None:
        session.keep_failure(self._phase, self._system, args["reason"], args["kind"])

    def _judge(self, session: Run, args: Json) -> None:
        session.judge("diagnose")

    def _declare(self, session: Run, args: Json) -> None:
        session.notifier.declare(args["contacts"])

    def _confirm(self, session: Run, args: Json) -> None:
        session.notifier.confirm(args["findings_max_age"])

    def _plan(self, session: Run, args: Json) -> Json:
        """A refusal is recorded here and said once, at the end: a failed task would print it several times."""
        try:
            return {"mitigations": session.executor.plan(self._system, args["findings_max_age"], args["prompt_seconds"])}
        except RecordError as refusal:
            session.keep_failure(self._phase, self._system, str(refusal))
            return {"mitigations": []}

    def _effect(self, session: Run, args: Json) -> Json:
        module_args = {**args["module_args"], **self._secrets(args)}
        result = session.executor.effect(
            Effect(
                args["mitigation"], self._system, args["module"], module_args, args["target"], args["undoes"], args["count"],
                args["max"], args["sentence"],
            )
        )  # fmt: skip
        return {"changed": bool(result.get("changed")), "diff": printable(result.get("diff", {}))}

    def _secrets(self, args: Json) -> Json:
        """The module's arguments that are secret, from the variables that hold them: as arguments of a task they would be
        printed (ANSIBLE_DISPLAY_ARGS_TO_STDOUT)."""
        found = {option: self._templar.template(self._vars[name]) for option, name in args["module_secrets"].items()}
        return {option: Secret(value) for option, value in found.items() if value}

    def _undo_plan(self, session: Run, args: Json) -> Json:
        return {"undo": session.executor.undo_plan(self._system)}

    def _undo_end(self, session: Run, args: Json) -> None:
        lines, sentence = session.undo_end()
        for line in lines:
            display_line(f"UNDONE   {line}")
        if sentence:
            raise RecordError(sentence)

    def _update(self, session: Run, args: Json) -> None:
        session.notifier.update(args["findings_max_age"])

    def _verify(self, session: Run, args: Json) -> None:
        session.verify()

    def _close(self, session: Run, args: Json) -> None:
        session.close(args["findings_max_age"])

    def _screen(self, session: Run, args: Json) -> Json:
        lines, sentence, stats = session.screen(args["channels_off"])
        display_line("")
        for line in lines:
            display_line(line)
        display_line("")
        if sentence:
            raise RecordError(sentence)
        return {"ansible_stats": {"data": stats, "per_host": False, "aggregate": False}}

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

    def _ask(self, question: str, seconds: float) -> str | None:
        try:
            answer = display.prompt_until(question, private=False, seconds=int(seconds))
        except Exception:  # no terminal, no answer in time, or interrupted: all of them mean no
            return None
        return answer.decode("utf-8", "replace")


def printable(diff: t.Any) -> t.Any:
    """A diff with printable lines only: it is shown as it is, and has names from outside."""
    if isinstance(diff, list):
        return [printable(one) for one in diff]
    return {name: "".join(f"{plain(line, 400)}\n" for line in str(text).splitlines()) for name, text in dict(diff or {}).items()}


def width() -> int:
    """How long a line of the screen may be: the terminal's width, and never more than can be read at a glance."""
    return max(NARROWEST, min(WIDTH, shutil.get_terminal_size((WIDTH, 24)).columns))


def display_line(line: str) -> None:
    """The one place where the runbooks print: control characters end here."""
    for piece in fitted(plain(line, 4000), width()):
        display.display(piece)
