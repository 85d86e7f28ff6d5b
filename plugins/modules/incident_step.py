#!/usr/bin/python
# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: incident_step
short_description: Tells what there is to do on a system, or that it failed
version_added: 0.1.0
description:
  - Tells a role, for the host that it runs on, what this run has to do there.
notes:
  - An action plugin of our own, because the record must be locked, synced to the disk and written around the effects of
    other modules, from the one process that sees them all. Runs on the controller.
author:
  - The sre.runbooks contributors (@sre-runbooks)
extends_documentation_fragment:
  - sre.runbooks.attributes
attributes:
  check_mode:
    support: full
    details:
      - Keeps the record in a temporary folder.
  diff_mode:
    support: none
    details:
      - Changes nothing but the record.
  idempotent:
    support: partial
    details:
      - The timeline grows with each run.
options:
  operation:
    description:
      - V(guard) tells whether the host has a part in the phase, and which roles look at it.
      - V(plan) tells which of the asked mitigations may be carried out on it.
      - V(undo_plan) tells what can be taken back on it.
      - V(failure) keeps why a role failed.
    type: str
    required: true
    choices: [guard, plan, undo_plan, failure]
  users:
    description: Whether the part is asked that measures users, or those of the other systems, for O(operation=guard).
    type: bool
    default: false
  unproven:
    description: Only what this run did in vain and takes back by itself, for O(operation=undo_plan).
    type: bool
    default: false
    version_added: 0.3.0
  findings_max_age:
    description: How old findings may be to be acted on, in seconds.
    type: float
    default: 300.0
  prompt_seconds:
    description: How long C(approval=prompt) waits for a person, in seconds.
    type: float
    default: 120.0
  kind:
    description: The kind of system whose role failed.
    type: str
  reason:
    description: Why it failed.
    type: str
    default: no reason given
"""

EXAMPLES = r"""
- name: See what was asked for this system and is offered
  sre.runbooks.incident_step:
    operation: plan
  register: plan
"""

RETURN = r"""
skip:
  description: Whether the host has no part in the phase.
  returned: O(operation=guard)
  type: bool
parts:
  description: The roles that look at the host, with their kind of system and entry point.
  returned: O(operation=guard)
  type: list
  elements: dict
  sample: [{kind: postgresql, role: sre.runbooks.db_diagnostics, entry: main}]
suffering:
  description: The URLs of the host's users that were measured as bad.
  returned: O(operation=guard)
  type: list
  elements: str
acted_seconds:
  description: In a verification, for how many seconds what was done last is done; V(0) where nothing was.
  returned: O(operation=guard)
  type: int
mitigations:
  description: What to carry out on the host, each with the targets that the finding named.
  returned: O(operation=plan)
  type: list
  elements: dict
  sample: [{mitigation: cancel_queued_ddl, targets: [{pid: 4711, backend_start: "2026-11-24 02:08:51+00"}]}]
undo:
  description: What can be taken back on the host, latest first.
  returned: O(operation=undo_plan)
  type: list
  elements: dict
  sample: [{mitigation: isolate_client, target: {role: billing, connection_limit: -1}}]
"""
