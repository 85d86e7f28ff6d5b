#!/usr/bin/python
# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: incident_effect
short_description: Runs a module between its intent and its outcome in the record
version_added: 0.1.0
description:
  - Writes down what is about to be done, runs O(module), and writes down what became of it.
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
      - Runs the module in check mode, and shows what would be done.
  diff_mode:
    support: full
    details:
      - Hands on the diff of the module that it runs.
  idempotent:
    support: partial
    details:
      - As idempotent as the module.
options:
  mitigation:
    description: The mitigation that O(module) carries out.
    type: str
    required: true
  module:
    description: The module to run.
    type: str
    required: true
  module_access:
    description: Those of its arguments that say how it reaches the system, which all mitigations of a role have in common.
    type: dict
    default: {}
  module_args:
    description: Its other arguments.
    type: dict
    default: {}
  module_secrets:
    description: Those of its arguments that are secret, as names of the variables that hold them.
    type: dict
    default: {}
  target:
    description: What it acts on as it was before, which is what an undo needs. Kept in the record.
    type: dict
  undoes:
    description: Whether it takes a mitigation back.
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
    description: How many it may act on; with more it fails and touches nothing.
    type: int
"""

EXAMPLES = r"""
- name: Build the index that is missing
  sre.runbooks.incident_effect:
    mitigation: create_index
    target: "{{ runbooks_step.target }}"
    count: "{{ runbooks_step.count }}"
    max: 1
    module: sre.runbooks.postgresql_index
    module_args:
      schema: "{{ runbooks_step.target.schema }}"
      table: "{{ runbooks_step.target.table }}"
      name: "{{ runbooks_step.target.name }}"
      columns: "{{ runbooks_step.target.columns }}"
"""

RETURN = r"""
{}
"""
