#!/usr/bin/python
# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: incident_resume
short_description: Goes back to an incident that is there
version_added: 0.1.0
description:
  - Begins to take back what was done in an incident, notes something, or tells everybody a person's words.
  - The incident is given by C(-e incident_id=…), the words by C(-e text='…').
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
      - The same words soon after are the same update.
options:
  operation:
    description:
      - V(undo) begins to take back what was done, and tells it, latest first; the result must be registered as C(__incident_run).
      - V(note) adds a note to the timeline.
      - V(say) tells every channel, as far as the incident's disclosure allows.
    type: str
    required: true
    choices: [undo, note, say]
  record_root:
    description: The folder of all records.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Add a note
  sre.runbooks.incident_resume:
    operation: note
    record_root: incidents
"""

RETURN = r"""
incident_id:
  description: The incident's id.
  returned: O(operation=undo)
  type: str
  sample: db_degradation-prod-db-20261124T0214Z
"""
