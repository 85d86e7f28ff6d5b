# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds or creates the incident, takes its lock: a thin shell over _run/opening.py."""

from __future__ import annotations

import os
import sys
import typing as t

from ansible_collections.sre.runbooks.plugins.module_utils._spec import Spec
from ansible_collections.sre.runbooks.plugins.plugin_utils._action import RecordAction, display_line
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.inputs import NAMES
from ansible_collections.sre.runbooks.plugins.plugin_utils._record.store import utc_now
from ansible_collections.sre.runbooks.plugins.plugin_utils._run.command_line import refuse_slips
from ansible_collections.sre.runbooks.plugins.plugin_utils._run.dependencies import as_names
from ansible_collections.sre.runbooks.plugins.plugin_utils._run.opening import Opening, open_run
from ansible_collections.sre.runbooks.plugins.plugin_utils._systems import shipped

Json = dict[str, t.Any]
ARGUMENT_SPEC: Spec = {
    "runbook": {"type": "str", "required": True},
    "title": {"type": "str", "required": True},
    "severity": {"type": "str", "required": True},
    "group": {"type": "str", "required": True},
    "record_root": {"type": "str", "required": True},
    "record_group": {"type": "str"},
    "declare_mode": {"type": "str", "choices": ["at_once", "confirmed", "never"], "required": True},
    "relapse_window": {"type": "float", "default": 3600.0},
    "update_minutes": {"type": "float", "default": 20.0},
    "seconds_before_verdict": {"type": "float", "default": 3.0},
    "keep_healthy_days": {"type": "float", "default": 7.0},
    "alert_file": {"type": "str"},
    "disclosure": {"type": "str", "default": "public"},
    "runbook_disclosure": {"type": "str", "default": "public"},
    "procedure": {"type": "list", "elements": "dict", "default": []},
}


class ActionModule(RecordAction):
    """Finds or creates the incident, takes its lock: a thin shell over _run/opening.py."""

    argument_spec = ARGUMENT_SPEC

    def act(self, args: Json) -> Json:
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
            host_disclosures={host: str(hosts[host].get("incident_disclosure") or "public") for host in kinds},
        )  # fmt: skip
        refuse_slips(sys.argv)
        self.channels()  # what is wrong with them is said before anything is touched
        run = open_run(asked, {name: self.word(name) for name in NAMES}, shipped(), utc_now())
        if run["ended"]:
            display_line(f"another run works on {run['incident_id']}; this alert was noted there")
        return {**run}

    def _depends_on(self, variables: t.Mapping[str, t.Any], host: str, kinds: t.Sequence[str]) -> tuple[str, ...] | None:
        """What a system stands on. What users see stands on the runbook's systems where the inventory does not say."""
        named = variables.get("runbooks_depends_on")
        if not named:
            return None if any(shipped().systems[kind].measures_users for kind in kinds) else ()
        return as_names(host, named)
