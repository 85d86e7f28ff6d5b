#!/usr/bin/python
# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: incident_record
short_description: Writes the record of an incident
version_added: 0.1.0
description:
  - The one writer of an incident's record. The roles of this collection call it; a playbook seldom needs to.
  - Runs on the controller only, as an action plugin. Prints the live lines and the screen.
notes:
  - An action plugin of our own, because the record must be locked, synced to the disk and written around the effects of
    other modules, from the one process that sees them all.
author:
  - The sre.runbooks contributors (@sre-runbooks)
extends_documentation_fragment:
  - sre.runbooks.attributes
attributes:
  check_mode:
    support: full
    details:
      - Keeps the record in a temporary folder and shows what would be sent and done.
  diff_mode:
    support: partial
    details:
      - The O(operation=effect) hands on the diff of the module that it runs.
  idempotent:
    support: partial
    details:
      - Effects and messages happen once for each incident; the timeline grows with each run.
options:
  operation:
    description:
      - V(open) finds or creates the incident and takes its lock; the result must be registered as C(__incident_run).
      - V(guard) tells whether the host has a part in the phase (RV(skip)).
      - V(facts) and V(failure) keep what a role read on the host, or why it failed.
      - V(judge) and V(verify) judge the facts of all hosts.
      - V(declare), V(confirm), V(update) and V(close) tell the channels what has come about.
      - V(plan) tells which of the asked mitigations may be carried out on the host (RV(mitigations)).
      - V(effect) runs O(module) between its intent and its outcome in the record.
      - V(undo) begins to take back what was done in the incident given by C(-e incident_id=…), and tells it, latest first; the
        result must be registered as C(__incident_run).
      - V(undo_plan) tells what can be taken back on the host (RV(undo)); V(undo_end) says what was.
      - V(note) adds a person's note, C(-e text='…'), to the incident given by C(-e incident_id=…).
      - V(say) tells a person's words, C(-e text='…'), to every channel of the incident given by C(-e incident_id=…).
      - V(screen) prints the screen and fails when the run must not look green.
    type: str
    required: true
    choices: [open, guard, facts, failure, judge, declare, confirm, plan, effect, update, verify, close, screen, undo, undo_plan,
              undo_end, note, say]
  runbook:
    description: The runbook's name, for O(operation=open).
    type: str
  title:
    description: What the incident is called, for O(operation=open).
    type: str
  severity:
    description: One of V(P1), V(P2), V(P3), V(P4), for O(operation=open).
    type: str
  group:
    description: The inventory group of the systems that the runbook is about.
    type: str
  record_root:
    description: The folder of all records.
    type: str
  declare_mode:
    description: When the incident is declared.
    type: str
    choices: [at_once, confirmed, never]
  relapse_window:
    description: Within how many seconds after its end the same trouble is the same incident.
    type: float
    default: 3600.0
  findings_max_age:
    description: How old findings may be to be acted on, in seconds.
    type: float
    default: 300.0
  prompt_seconds:
    description: How long C(approval=prompt) waits for a person, in seconds.
    type: float
    default: 120.0
  update_minutes:
    description: How often those who wait should hear something, in minutes.
    type: float
    default: 20.0
  seconds_before_verdict:
    description: How long all channels together are waited for before the verdict, in seconds.
    type: float
    default: 3.0
  record_group:
    description: A group whose members may read and write what is recorded.
    type: str
  keep_healthy_days:
    description: After how many days what was closed because all was well is removed.
    type: float
    default: 7.0
  disclosure:
    description: Who may read about the incident, by the inventory; the stricter of this and O(runbook_disclosure) counts.
    type: str
    default: public
  runbook_disclosure:
    description: Who may read about the incident, by the runbook.
    type: str
    default: public
  procedure:
    description: What the runbook may do whatever is found. Each step has C(mitigation), C(targets) and perhaps C(systems).
    type: list
    elements: dict
    default: []
  alert_file:
    description: A file with the alert's text, V(-) for the standard input.
    type: str
  contacts:
    description: Whom to call when the pager is down.
    type: dict
    default: {}
  kind:
    description: What kind of system the facts are of, or the part that failed.
    type: str
  users:
    description: Whether the part is asked that measures users, or those of the other systems, for O(operation=guard).
    type: bool
    default: false
  data:
    description: The facts.
    type: dict
    default: {}
  limits:
    description: The thresholds to judge the facts by.
    type: dict
    default: {}
  reason:
    description: Why a role failed.
    type: str
    default: ""
  mitigation:
    description: The mitigation that O(module) carries out.
    type: str
  module:
    description: The module to run.
    type: str
  module_args:
    description: Its arguments.
    type: dict
    default: {}
  module_secrets:
    description: Those of its arguments that are secret, as names of the variables that hold them.
    type: dict
    default: {}
  target:
    description: What O(operation=effect) is about as it was before, which is what an undo needs. Kept in the record.
    type: dict
  undoes:
    description: Whether O(operation=effect) takes a mitigation back.
    type: bool
    default: false
  sentence:
    description: What was done, for a module that does not say so itself (in RV(ignore:done), a list of sentences).
    type: str
    default: ""
  count:
    description: How many things the whole mitigation would act on.
    type: int
    default: 1
  max:
    description: How many it may act on; with more O(operation=effect) fails and touches nothing.
    type: int
"""

EXAMPLES = r"""
- name: Hand facts to the record
  sre.runbooks.incident_record:
    operation: facts
    kind: edge
    data:
      probes: "{{ probe.probes }}"
    limits:
      p95_ms_max: 500
      error_ratio_max: 0.1
"""

RETURN = r"""
skip:
  description: Whether the host has no part in the phase.
  returned: O(operation=guard)
  type: bool
undo:
  description: What can be taken back on the host, latest first, from O(operation=undo_plan).
  returned: success
  type: list
  elements: dict
  sample: [{mitigation: isolate_client, target: {role: billing, connection_limit: -1}}]
mitigations:
  description: What to carry out on the host, each with the targets that the finding named.
  returned: O(operation=plan)
  type: list
  elements: dict
  sample: [{mitigation: cancel_queued_ddl, targets: [{pid: 4711, backend_start: "2026-11-24 02:08:51+00"}]}]
incident_id:
  description: The incident's id.
  returned: O(operation=open)
  type: str
  sample: db_degradation-prod-db-20261124T0214Z
"""
