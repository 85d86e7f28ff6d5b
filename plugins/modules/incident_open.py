#!/usr/bin/python
# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: incident_open
short_description: Opens a run, finds or creates its incident and takes the lock
version_added: 0.1.0
description:
  - Checks what was asked, finds the unresolved incident of the same key or creates one, and takes its lock.
  - The result must be registered as C(__incident_run) on localhost; the other actions on the record read it.
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
      - The incident of a key is made once; the timeline grows with each run.
options:
  runbook:
    description: The runbook's name.
    type: str
    required: true
  title:
    description: What the incident is called.
    type: str
    required: true
  severity:
    description: One of V(P1), V(P2), V(P3), V(P4).
    type: str
    required: true
  group:
    description: The inventory group of the systems that the runbook is about.
    type: str
    required: true
  record_root:
    description: The folder of all records.
    type: str
    required: true
  record_group:
    description: A group whose members may read and write what is recorded.
    type: str
  declare_mode:
    description: When the incident is declared.
    type: str
    required: true
    choices: [at_once, confirmed, never]
  relapse_window:
    description: Within how many seconds after its end the same trouble is the same incident.
    type: float
    default: 3600.0
  update_minutes:
    description: How often those who wait should hear something, in minutes.
    type: float
    default: 20.0
  seconds_before_verdict:
    description: How long all channels together are waited for before the verdict, in seconds.
    type: float
    default: 3.0
  keep_healthy_days:
    description: After how many days what was closed because all was well is removed.
    type: float
    default: 7.0
  alert_file:
    description: A file with the alert's text, V(-) for the standard input.
    type: str
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
"""

EXAMPLES = r"""
- name: Open the incident
  sre.runbooks.incident_open:
    runbook: db_degradation
    title: Database degradation
    severity: P2
    group: role_database
    record_root: incidents
    declare_mode: at_once
  register: __incident_run
"""

RETURN = r"""
incident_id:
  description: The incident's id.
  returned: success
  type: str
  sample: db_degradation-prod-db-20261124T0214Z
path:
  description: The incident's folder.
  returned: success
  type: str
  sample: /home/oncall/incidents/db_degradation-prod-db-20261124T0214Z
ended:
  description: Whether there is nothing more to do, because another run works on the incident and the alert was noted there.
  returned: success
  type: bool
"""
