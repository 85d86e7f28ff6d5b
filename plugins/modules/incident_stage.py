#!/usr/bin/python
# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: incident_stage
short_description: Takes a run to its next stage
version_added: 0.1.0
description:
  - Judges, proves, tells the channels what has come about, ends, shows the screen.
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
      - Keeps the record in a temporary folder and shows what would be sent.
  diff_mode:
    support: none
    details:
      - Changes nothing but the record.
  idempotent:
    support: partial
    details:
      - Each message is sent once for each incident.
options:
  stage:
    description:
      - V(declare), V(confirm), V(update) and V(close) tell the channels what has come about.
      - V(judge) and V(verify) judge the facts of all systems.
      - V(screen) prints the screen and fails when the run must not look green; V(undo_end) says what was taken back.
    type: str
    required: true
    choices: [declare, judge, confirm, update, verify, close, screen, undo_end]
  contacts:
    description: Whom to call when the pager is down.
    type: dict
    default: {}
  findings_max_age:
    description: How old findings may be to be acted on, in seconds.
    type: float
    default: 300.0
"""

EXAMPLES = r"""
- name: Judge the facts of all systems
  sre.runbooks.incident_stage:
    stage: judge
"""

RETURN = r"""
ansible_stats:
  description: The incident's id, state, verdict, causes and offered mitigations, for AWX workflows.
  returned: O(stage=screen)
  type: dict
"""
