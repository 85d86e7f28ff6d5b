#!/usr/bin/python
# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: incident_facts
short_description: Hands over what a role has read of a system
version_added: 0.1.0
description:
  - Keeps the facts of one host and kind of system in the record, where they are judged.
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
  kind:
    description: What kind of system the facts are of.
    type: str
    required: true
  data:
    description: The facts.
    type: dict
    default: {}
  limits:
    description: The thresholds to judge them by.
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Hand facts to the record
  sre.runbooks.incident_facts:
    kind: edge
    data:
      probes: "{{ probe.probes }}"
    limits:
      p95_ms_max: 500
      error_ratio_max: 0.1
"""

RETURN = r"""
{}
"""
