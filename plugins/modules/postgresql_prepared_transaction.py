#!/usr/bin/python
# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: postgresql_prepared_transaction
short_description: Rolls back a prepared transaction that nobody finished
version_added: 0.2.0
description:
  - Rolls back the one transaction that was meant, known by its gid and by when it was prepared, as its owner, and confirms it.
  - Refuses a young one, which its transaction manager may still finish.
notes:
  - C(ROLLBACK PREPARED) cannot run in a transaction block and has no check mode through
    M(community.postgresql.postgresql_query), which would also take a later transaction of the same gid.
  - What was rolled back cannot be brought back. Ask the transaction manager's owner first whether it was committed elsewhere.
author:
  - The sre.runbooks contributors (@sre-runbooks)
extends_documentation_fragment:
  - sre.runbooks.attributes
  - sre.runbooks.postgresql_login
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  gid:
    description: The transaction's global identifier.
    type: str
    required: true
  prepared:
    description: When it was prepared, as C(pg_prepared_xacts) or M(sre.runbooks.postgresql_triage_info) tells it.
    type: str
    required: true
  state:
    description: What should become of it.
    type: str
    required: true
    choices: [rolled_back]
  older_than:
    description: How old it must be, in seconds.
    type: float
    default: 60.0
"""

EXAMPLES = r"""
- name: Roll back what a dead transaction manager left
  sre.runbooks.postgresql_prepared_transaction:
    login_host: db.example.org
    login_db: custody_db
    login_user: runbooks_admin
    gid: order-4711
    prepared: "2026-11-24 02:08:51.123456+00"
    state: rolled_back
"""

RETURN = r"""
done:
  description: What was done (in check mode, would be), in words.
  returned: success
  type: list
  elements: str
  sample: ["rolled back 'order-4711' of custody_app, 900 s old"]
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible_collections.sre.runbooks.plugins.module_utils._postgresql.connection import (
    PSYCOPG2_IMPORT_ERROR,
    login_argument_spec,
    login_from,
)
from ansible_collections.sre.runbooks.plugins.module_utils._postgresql.effects import ACT_SECONDS, acting, within
from ansible_collections.sre.runbooks.plugins.module_utils._postgresql.errors import PostgresqlError
from ansible_collections.sre.runbooks.plugins.module_utils._postgresql.prepared import look, refuse, roll_back
from ansible_collections.sre.runbooks.plugins.module_utils._spec import Spec

ARGUMENT_SPEC: Spec = {
    "gid": {"type": "str", "required": True},
    "prepared": {"type": "str", "required": True},
    "state": {"type": "str", "required": True, "choices": ["rolled_back"]},
    "older_than": {"type": "float", "default": 60.0},
}


def run(module: AnsibleModule) -> dict[str, t.Any]:
    params = module.params
    with acting(login_from(params), check_mode=module.check_mode) as connection:
        found = look(connection, params["gid"])
        if found is None:
            return {"changed": False, "done": [], "diff": {}}
        refuse(found, params["prepared"], params["older_than"])
        if not module.check_mode:
            roll_back(connection, found)
    done = [f"rolled back {found.gid!r} of {found.owner}, {found.seconds} s old"]
    return {"changed": True, "done": done, "diff": {"before": "", "after": done[0] + "\n"}}


def main() -> None:
    module = AnsibleModule(argument_spec={**login_argument_spec(), **ARGUMENT_SPEC}, supports_check_mode=True)
    if PSYCOPG2_IMPORT_ERROR:
        module.fail_json(msg=missing_required_lib("psycopg2"), exception=PSYCOPG2_IMPORT_ERROR)
    try:
        result = within(ACT_SECONDS, lambda: run(module))
    except PostgresqlError as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
