#!/usr/bin/python
# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: postgresql_index
short_description: Builds an index beside the running application, or takes it away
version_added: 0.2.0
description:
  - Builds a plain index with C(CREATE INDEX CONCURRENTLY), which stops nobody, and confirms that it is valid.
  - Refuses to begin while an older transaction is open, which it would wait for, and names it.
  - Drops an INVALID index on the same columns first, and leaves none behind when the building fails. What it drops after a
    failure is the INVALID index that it made itself, told by its OID, never another one of the same name.
notes:
  - M(community.postgresql.postgresql_idx) takes an index of the same name for granted even if it is INVALID, and hangs behind
    an older transaction until somebody ends it.
  - The role must be a member of the table's owner. What is missing is said as the statement to type.
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
  schema:
    description: The table's schema.
    type: str
    default: public
  table:
    description: The table.
    type: str
    required: true
  columns:
    description: The columns, in order. Needed for V(state=present).
    type: list
    elements: str
  name:
    description: The index's name; made from the table and the columns when it is left out. Needed for V(state=absent).
    type: str
  oid:
    description:
      - The OID of the index that is to go, as RV(made) told it. An index of the name that has another one is somebody else's
        and is left alone.
    type: int
  state:
    description: Whether the index should be there.
    type: str
    default: present
    choices: [present, absent]
  timeout:
    description: How long building may take, in seconds.
    type: float
    default: 600.0
  lock_timeout:
    description: How long it may wait for other transactions, in seconds; what was begun is dropped then.
    type: float
    default: 20.0
  transaction_seconds_max:
    description: A transaction that has been open for longer than this, in seconds, is one that building would wait for.
    type: float
    default: 10.0
"""

EXAMPLES = r"""
- name: Index the column that is searched
  sre.runbooks.postgresql_index:
    login_host: db.example.org
    login_db: custody_db
    login_user: runbooks_admin
    table: audit_entries
    columns: [reference]

- name: Take it away again
  sre.runbooks.postgresql_index:
    login_host: db.example.org
    login_db: custody_db
    login_user: runbooks_admin
    table: audit_entries
    name: audit_entries_reference_idx
    state: absent
"""

RETURN = r"""
done:
  description: What was done (in check mode, would be), in words.
  returned: success
  type: list
  elements: str
  sample: [created index audit_entries_reference_idx on public.audit_entries (reference)]
made:
  description: What an undo has to know, RV(ignore:oid), the OID of the index that was built.
  returned: success
  type: dict
  sample: {oid: 24731}
name:
  description: The index's name.
  returned: success
  type: str
  sample: audit_entries_reference_idx
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible_collections.sre.runbooks.plugins.module_utils._postgresql.connection import (
    PSYCOPG2_IMPORT_ERROR,
    login_argument_spec,
    login_from,
)
from ansible_collections.sre.runbooks.plugins.module_utils._postgresql.effects import acting, within
from ansible_collections.sre.runbooks.plugins.module_utils._postgresql.errors import PostgresqlError
from ansible_collections.sre.runbooks.plugins.module_utils._postgresql.index import Plan, Wanted, act, plan
from ansible_collections.sre.runbooks.plugins.module_utils._postgresql.names import name_for
from ansible_collections.sre.runbooks.plugins.module_utils._spec import Spec

ARGUMENT_SPEC: Spec = {
    "schema": {"type": "str", "default": "public"},
    "table": {"type": "str", "required": True},
    "columns": {"type": "list", "elements": "str"},
    "name": {"type": "str"},
    "oid": {"type": "int"},
    "state": {"type": "str", "default": "present", "choices": ["present", "absent"]},
    "timeout": {"type": "float", "default": 600.0},
    "lock_timeout": {"type": "float", "default": 20.0},
    "transaction_seconds_max": {"type": "float", "default": 10.0},
}


def wanted_from(params: t.Mapping[str, t.Any]) -> Wanted:
    columns = tuple(params["columns"] or ())
    names = ("schema", "table", "state", "oid", "timeout", "lock_timeout", "transaction_seconds_max")
    fields = {name: params[name] for name in names}
    return Wanted(name=params["name"] or name_for(params["table"], columns), columns=columns, **fields)


def what(wanted: Wanted, planned: Plan) -> list[str]:
    invalid = "" if wanted.state == "absent" else ", which was INVALID"
    done = [f"dropped index {name}{invalid}" for dummy, name in planned.drop]
    if planned.create:
        done.append(f"created index {wanted.name} on {wanted.schema}.{wanted.table} ({', '.join(wanted.columns)})")
    return done


def run(module: AnsibleModule) -> dict[str, t.Any]:
    wanted = wanted_from(module.params)
    with acting(login_from(module.params), check_mode=module.check_mode) as connection:
        planned = plan(connection, wanted)
        oid = act(connection, wanted, planned) if planned.changes and not module.check_mode else None
    done = what(wanted, planned)
    diff = {"before": "", "after": "".join(line + "\n" for line in done)}
    return {"changed": planned.changes, "done": done, "name": wanted.name, "made": {"oid": oid}, "diff": diff}


def main() -> None:
    module = AnsibleModule(
        argument_spec={**login_argument_spec(), **ARGUMENT_SPEC},
        required_if=[("state", "present", ["columns"]), ("state", "absent", ["name"])],
        supports_check_mode=True,
    )
    if PSYCOPG2_IMPORT_ERROR:
        module.fail_json(msg=missing_required_lib("psycopg2"), exception=PSYCOPG2_IMPORT_ERROR)
    try:
        result = within(wanted_from(module.params).seconds, lambda: run(module))
    except PostgresqlError as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
