#!/usr/bin/python
# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pagerduty_notice
short_description: Calls people into a PagerDuty incident, tells its stakeholders, or escalates it
version_added: 0.2.0
description:
  - Requests responders, posts a status update, or calls another level of the escalation policy.
  - None of these can be looked up afterwards, so each is sent once and never tried again after an unclear answer. The module
    then fails with RV(unknown).
notes:
  - Kept apart from M(sre.runbooks.pagerduty_incident), which looks before it writes and may be repeated; this one may not.
author:
  - The sre.runbooks contributors (@sre-runbooks)
extends_documentation_fragment:
  - sre.runbooks.attributes
  - sre.runbooks.http_api
  - sre.runbooks.http_api.pagerduty
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  idempotent:
    support: none
    details:
      - What was sent cannot be looked up, so a second run sends it again.
options:
  api_url:
    description: The API's address.
    type: str
    default: https://api.pagerduty.com
  from_email:
    description: The e-mail address of the user in whose name it is sent.
    type: str
    required: true
  incident_id:
    description: The incident's id.
    type: str
  incident_key:
    description: The key of the open incident, where its id is not known.
    type: str
  responders:
    description: Whom to call in, users by name, e-mail address or id, or escalation policies by name or id.
    type: list
    elements: str
  responder_message:
    description: What the responders are told.
    type: str
    default: Please join.
  status_update:
    description: The words for the stakeholders.
    type: str
  escalation_level:
    description: The level of the escalation policy to call.
    type: int
"""

EXAMPLES = r"""
- name: Call the database team in
  sre.runbooks.pagerduty_notice:
    api_key: "{{ lookup('ansible.builtin.env', 'PAGERDUTY_API_KEY') }}"
    from_email: oncall@example.org
    incident_id: Q0ABCDEF123456
    responders: [Database on-call]
    responder_message: The queued migration is yours.
"""

RETURN = r"""
unknown:
  description: Whether it may have been done although no clear answer came.
  returned: failure
  type: bool
requests:
  description: The writes that were sent (in check mode, would be), in order, with path and body. No secrets.
  returned: success
  type: list
  elements: dict
  sample: [{method: POST, path: /incidents/Q0ABCDEF123456/status_updates, body: {message: We are back.}}]
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.sre.runbooks.plugins.module_utils._pagerduty.calls import NOTICE


def main() -> None:
    module = AnsibleModule(NOTICE.argument_spec, required_one_of=NOTICE.required_one_of, supports_check_mode=True)
    result = NOTICE.make(module.params, check_mode=module.check_mode)
    if result.get("failed"):
        module.fail_json(msg=result["msg"], unknown=result["unknown"])
    module.exit_json(**result)


if __name__ == "__main__":
    main()
