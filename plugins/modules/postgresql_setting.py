#!/usr/bin/python
# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: postgresql_setting
short_description: Changes one setting of a PostgreSQL server or role in an incident, and sets it back
version_added: 0.3.0
description:
  - With O(role), what C(ALTER ROLE ... SET) has set for a role; it holds from the role's next session on.
  - Without it, what C(ALTER SYSTEM) has set for the server; the server reads it at once, and that it goes by it is confirmed.
  - Returns what was set before, and refuses to touch what somebody else has changed since, so that an undo gives back what was
    there and nothing else.
  - Takes an advisory lock, so that two operators on two hosts do not act on one database at the same time.
notes:
  - M(community.postgresql.postgresql_alter_system) and M(community.postgresql.postgresql_user) set the same; neither has a
    condition on what must be set now, a limit on how long it may take, or a lock against a second operator.
  - For a role it needs C(CREATEROLE), from PostgreSQL 16 on the admin option on the role. For the server a superuser, or from
    PostgreSQL 15 on C(GRANT ALTER SYSTEM ON PARAMETER) and C(EXECUTE) on C(pg_reload_conf()).
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
  name:
    description: The setting's name.
    type: str
    required: true
  state:
    description:
      - V(set) sets O(value).
      - V(reset) takes away what was set, so that the configuration file or the default holds.
    type: str
    default: set
    choices: [set, reset]
  value:
    description: What to set, as it would be typed between quotes. Needed for V(state=set).
    type: str
  role:
    description: The role whose sessions get the setting. Without it, it is the server's.
    type: str
  database:
    description: The only database in which the role gets it; in all of them when left out.
    type: str
  expected:
    description:
      - What must be set now, as a dictionary with the one key C(value) (V(null) where nothing may be set). With anything else
        the module fails and touches nothing.
    type: dict
    suboptions:
      value:
        description: What must be set now.
        type: str
"""

EXAMPLES = r"""
- name: Let no new statement of the application run for longer than five seconds
  sre.runbooks.postgresql_setting:
    login_host: db.example.org
    login_db: custody_db
    login_user: runbooks_admin
    name: statement_timeout
    role: custody_app
    database: custody_db
    value: 5s

- name: Do not wait any more for a standby that is gone
  sre.runbooks.postgresql_setting:
    login_host: db.example.org
    login_db: custody_db
    login_user: runbooks_admin
    name: synchronous_standby_names
    value: ""
"""

RETURN = r"""
before:
  description: What C(ALTER SYSTEM) or C(ALTER ROLE) had set before; V(none) where nothing was.
  returned: success
  type: str
  sample: FIRST 1 (standby_b)
made:
  description: What an undo has to know, RV(ignore:value_set), the value that was set.
  returned: success
  type: dict
  sample: {value_set: 5s}
done:
  description: What was done (in check mode, would be), in words.
  returned: success
  type: list
  elements: str
  sample: ["statement_timeout of custody_app in custody_db set to '5s' (was nothing)"]
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible_collections.sre.runbooks.plugins.module_utils._postgresql.connection import (
    PSYCOPG2_IMPORT_ERROR,
    login_argument_spec,
    login_from,
)
from ansible_collections.sre.runbooks.plugins.module_utils._postgresql.effects import ACT_SECONDS, acting, within
from ansible_collections.sre.runbooks.plugins.module_utils._postgresql.errors import PartlyDoneError, PostgresqlError
from ansible_collections.sre.runbooks.plugins.module_utils._postgresql.setting import Wanted, act, is_done, look, shown
from ansible_collections.sre.runbooks.plugins.module_utils._spec import Spec

ARGUMENT_SPEC: Spec = {
    "name": {"type": "str", "required": True},
    "state": {"type": "str", "default": "set", "choices": ["set", "reset"]},
    "value": {"type": "str"},
    "role": {"type": "str"},
    "database": {"type": "str"},
    "expected": {"type": "dict", "options": {"value": {"type": "str"}}},
}


def wanted_from(params: t.Mapping[str, t.Any]) -> Wanted:
    value = params["value"] if params["state"] == "set" else None
    expected = params["expected"]
    return Wanted(
        params["name"], value, params["role"], params["database"], (expected or {}).get("value"), known=expected is not None
    )


def run(module: AnsibleModule) -> dict[str, t.Any]:
    wanted = wanted_from(module.params)
    with acting(login_from(module.params), check_mode=module.check_mode) as connection:
        before = look(connection, wanted)
        changed = not is_done(before, wanted)
        if changed and not module.check_mode:
            act(connection, wanted)
    done = [f"{wanted.subject} set to {shown(wanted.value)} (was {shown(before.own)})"] if changed else []
    diff = {"before": f"{shown(before.own)}\n", "after": f"{shown(wanted.value)}\n"} if changed else {}
    return {"changed": changed, "before": before.own, "made": {"value_set": wanted.value}, "done": done, "diff": diff}


def main() -> None:
    module = AnsibleModule(
        argument_spec={**login_argument_spec(), **ARGUMENT_SPEC},
        required_if=[("state", "set", ["value"])],
        required_by={"database": ["role"]},
        supports_check_mode=True,
    )
    if PSYCOPG2_IMPORT_ERROR:
        module.fail_json(msg=missing_required_lib("psycopg2"), exception=PSYCOPG2_IMPORT_ERROR)
    try:
        result = within(ACT_SECONDS, lambda: run(module))
    except PostgresqlError as error:
        module.fail_json(msg=str(error), changed=isinstance(error, PartlyDoneError))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
