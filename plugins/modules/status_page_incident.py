#!/usr/bin/python
# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: status_page_incident
short_description: Opens, updates and resolves an incident on a status page
version_added: 0.1.0
description:
  - Finds the incident by a marker of ours in its metadata (Statuspage has no idempotency key), or by O(incident_id), and
    posts only what is not there yet.
  - A write whose outcome is unknown (no answer, 5xx) is looked up before it is tried again, so it is not made twice.
notes:
  - No other collection speaks to Atlassian Statuspage.
author:
  - The sre.runbooks contributors (@sre-runbooks)
seealso:
  - name: Statuspage API
    description: Incidents.
    link: https://developer.statuspage.io/
extends_documentation_fragment:
  - sre.runbooks.attributes
  - sre.runbooks.http_api
  - sre.runbooks.http_api.listed_late
attributes:
  check_mode:
    support: full
    details:
      - Reads from the vendor and writes nothing. RV(requests) lists what would be sent.
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  provider:
    description: Whose status page it is.
    type: str
    default: atlassian
    choices: [atlassian]
  api_url:
    description: The API's address.
    type: str
    default: https://api.statuspage.io/v1
  page_id:
    description: The page's id.
    type: str
    required: true
  key:
    description: Our own name for the incident, kept in its metadata.
    type: str
    required: true
  incident_id:
    description:
      - The id of the incident, where it is known.
      - In check mode V({id}) stands for the incident that an earlier task of the same check would have created.
    type: str
  name:
    description: The incident's name as the public reads it, at most 255 characters. Needed to create.
    type: str
  status:
    description: The incident's status. V(resolved) with nothing to resolve does nothing.
    type: str
    required: true
    choices: [investigating, identified, monitoring, resolved]
  body:
    description: The update's words as the public reads them, at most 25000 characters.
    type: str
  update_key:
    description:
      - Our own name for this update. It is posted once, whatever its words; without it an update is told by its words.
    type: str
  impact:
    description: The impact, instead of the one that the page works out from the components.
    type: str
    choices: [none, minor, major, critical]
  components:
    description:
      - The components' states by name or id, each one of C(operational), C(degraded_performance), C(partial_outage),
        C(major_outage), C(under_maintenance).
    type: dict
    default: {}
  deliver_notifications:
    description: Whether subscribers are told.
    type: bool
    default: true
"""

EXAMPLES = r"""
- name: Tell the public
  sre.runbooks.status_page_incident:
    api_key: "{{ lookup('ansible.builtin.env', 'STATUSPAGE_API_KEY') }}"
    page_id: kctbh9vrtdwd
    key: db_degradation/prod-db
    name: Slow responses
    status: investigating
    body: We are looking into slow responses.
    impact: major
    components:
      Custody API: degraded_performance
"""

RETURN = r"""
incident:
  description: The incident (RV(ignore:null) where there was nothing to resolve, or in check mode before it exists).
  returned: success
  type: dict
  sample: {id: inc000000001, name: Slow responses, status: investigating, impact: major, key: db_degradation/prod-db,
    update_key: declared, last_body: We are looking into slow responses., components: {cmp000000001: degraded_performance},
    url: "https://stspg.example/inc000000001"}
left_out:
  description: What was left out because the page does not have it, in one sentence; empty where nothing was.
  returned: success
  type: str
  sample: "the page has no component Web; it has: API"
requests:
  description: The writes that were sent (in check mode, would be), in order, with path and body. No secrets.
  returned: success
  type: list
  elements: dict
  sample: [{method: PATCH, path: /pages/kctbh9vrtdwd/incidents/inc000000001, body: {incident: {status: resolved}}}]
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.sre.runbooks.plugins.module_utils._statuspage.calls import INCIDENT


def main() -> None:
    module = AnsibleModule(INCIDENT.argument_spec, supports_check_mode=True)
    result = INCIDENT.make(module.params, check_mode=module.check_mode)
    if result.get("failed"):
        module.fail_json(msg=result["msg"])
    module.exit_json(**result)


if __name__ == "__main__":
    main()
