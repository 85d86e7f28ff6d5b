#!/usr/bin/python
# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pagerduty_incident
short_description: Opens, changes, resolves and annotates an incident in PagerDuty
version_added: 0.1.0
description:
  - Looks first, by O(incident_id) or O(incident_key), and adopts the open incident that it finds, for example one that an
    alert has opened. Only what differs is written.
  - A write whose outcome is unknown (no answer, 5xx) is looked up before it is tried again, so it is not made twice.
notes:
  - C(community.general.pagerduty_alert) opens a new incident each time and sends in check mode; no module creates an
    incident by REST with deduplication, or adds a note.
author:
  - The sre.runbooks contributors (@sre-runbooks)
seealso:
  - name: PagerDuty REST API
    description: Incidents.
    link: https://developer.pagerduty.com/api-reference/
extends_documentation_fragment:
  - sre.runbooks.attributes
  - sre.runbooks.http_api
  - sre.runbooks.http_api.pagerduty
  - sre.runbooks.http_api.listed_late
attributes:
  check_mode:
    support: full
    details:
      - Reads from PagerDuty and writes nothing. RV(requests) lists what would be sent.
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  api_url:
    description: The API's address.
    type: str
    default: https://api.pagerduty.com
  from_email:
    description: The e-mail address of a user of the account, in whose name the incident is written.
    type: str
    required: true
  state:
    description:
      - V(triggered) leaves an acknowledged incident as it is, and reopens a resolved one that was given by O(incident_id).
      - V(resolved) with nothing to resolve does nothing.
      - V(present) leaves the status as it is and creates nothing, for a O(note) that must page nobody.
    type: str
    default: triggered
    choices: [triggered, acknowledged, resolved, present]
  incident_key:
    description: The deduplication key. One of this and O(incident_id) is needed.
    type: str
  incident_id:
    description:
      - The id of the incident, where it is known.
      - In check mode V({id}) stands for the incident that an earlier task of the same check would have created.
    type: str
  service:
    description: The service's name or id. Needed to create.
    type: str
  title:
    description: The title. Needed to create; an incident that was found keeps its own.
    type: str
  urgency:
    description: The urgency.
    type: str
    choices: [high, low]
  priority:
    description: The priority's name or id.
    type: str
  escalation_policy:
    description: The escalation policy's name or id, for a new incident; the service's own by default.
    type: str
  body:
    description: The details of a new incident.
    type: str
  note:
    description: A note to add, unless one with just these words is there.
    type: str
  resolution:
    description: What is written as the resolution when the incident is resolved.
    type: str
"""

EXAMPLES = r"""
- name: Open an incident, or adopt the one that the alert opened
  sre.runbooks.pagerduty_incident:
    api_key: "{{ lookup('ansible.builtin.env', 'PAGERDUTY_API_KEY') }}"
    from_email: oncall@example.org
    incident_key: db_degradation/prod-db
    service: Custody database
    title: Database degradation of prod-db
    urgency: high
    priority: P2

- name: Resolve it
  sre.runbooks.pagerduty_incident:
    api_key: "{{ lookup('ansible.builtin.env', 'PAGERDUTY_API_KEY') }}"
    from_email: oncall@example.org
    incident_id: Q0ABCDEF123456
    state: resolved
    resolution: The queued migration was canceled; p95 is back under its limit.
"""

RETURN = r"""
incident:
  description: The incident (RV(ignore:null) where there was nothing to resolve, or in check mode before it exists).
  returned: success
  type: dict
  sample: {id: Q0ABCDEF123456, number: 17, key: db_degradation/prod-db, title: Database degradation, status: triggered,
    urgency: high, service_id: PSVC001, priority_id: PPRI002, url: "https://example.pagerduty.com/incidents/Q0ABCDEF123456"}
adopted:
  description: Whether the incident was there before.
  returned: success
  type: bool
requests:
  description: The writes that were sent (in check mode, would be), in order, with path and body. No secrets.
  returned: success
  type: list
  elements: dict
  sample: [{method: PUT, path: /incidents/Q0ABCDEF123456, body: {incident: {type: incident, status: resolved}}}]
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.sre.runbooks.plugins.module_utils._pagerduty.calls import INCIDENT


def main() -> None:
    module = AnsibleModule(INCIDENT.argument_spec, required_one_of=INCIDENT.required_one_of, supports_check_mode=True)
    result = INCIDENT.make(module.params, check_mode=module.check_mode)
    if result.get("failed"):
        module.fail_json(msg=result["msg"])
    module.exit_json(**result)


if __name__ == "__main__":
    main()
