#!/usr/bin/python
# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: postgresql_analyze
short_description: Brings the planner's statistics of tables up to date
version_added: 0.2.0
description:
  - Analyzes tables and confirms that it happened. It changes no data and stops nobody.
notes:
  - C(ANALYZE) through M(community.postgresql.postgresql_query) ends well although nothing was analyzed when the role may not
    (the server only warns); names would have to be quoted by hand; and there is no cap.
  - The role must be a member of the tables' owner, or hold C(MAINTAIN) from PostgreSQL 17 on.
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
    details:
      - A table without a change since it was last analyzed is left alone.
options:
  tables:
    description: The tables.
    type: list
    elements: dict
    required: true
    suboptions:
      schema:
        description: The table's schema.
        type: str
        required: true
      table:
        description: The table's name.
        type: str
        required: true
  max:
    description: How many tables may be analyzed; with more the module fails and touches none.
    type: int
    required: true
  timeout:
    description: How long one table may take, in seconds.
    type: float
    default: 120.0
"""

EXAMPLES = r"""
- name: Analyze what was loaded
  sre.runbooks.postgresql_analyze:
    login_host: db.example.org
    login_db: custody_db
    login_user: runbooks_admin
    tables:
      - {schema: public, table: import_lines}
    max: 3
"""

RETURN = r"""
done:
  description: What was done (in check mode, would be), in words.
  returned: success
  type: list
  elements: str
  sample: ["analyzed public.import_lines, 3200 rows changed since the last time"]
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
from ansible_collections.sre.runbooks.plugins.module_utils._postgresql.statistics import analyze, look
from ansible_collections.sre.runbooks.plugins.module_utils._spec import Spec

TABLE: Spec = {"schema": {"type": "str", "required": True}, "table": {"type": "str", "required": True}}
ARGUMENT_SPEC: Spec = {
    "tables": {"type": "list", "elements": "dict", "required": True, "options": TABLE},
    "max": {"type": "int", "required": True},
    "timeout": {"type": "float", "default": 120.0},
}


def run(module: AnsibleModule) -> dict[str, t.Any]:
    params = module.params
    with acting(login_from(params), check_mode=module.check_mode) as connection:
        tables = [look(connection, one["schema"], one["table"]) for one in params["tables"]]
        todo = [one for one in tables if one.changed_since_analyze]
        if len(todo) > params["max"]:
            raise PostgresqlError(f"{len(todo)} tables would be analyzed, and max is {params['max']}: nothing was touched")
        for table in [] if module.check_mode else todo:
            analyze(connection, table, params["timeout"])
    done = [f"analyzed {one.schema}.{one.table}, {one.changed_since_analyze} rows changed since the last time" for one in todo]
    return {"changed": bool(todo), "done": done, "diff": {"before": "", "after": "".join(line + "\n" for line in done)}}


def main() -> None:
    module = AnsibleModule(argument_spec={**login_argument_spec(), **ARGUMENT_SPEC}, supports_check_mode=True)
    if PSYCOPG2_IMPORT_ERROR:
        module.fail_json(msg=missing_required_lib("psycopg2"), exception=PSYCOPG2_IMPORT_ERROR)
    try:
        limit = ACT_SECONDS + len(module.params["tables"]) * module.params["timeout"]
        result = within(limit, lambda: run(module))
    except PostgresqlError as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
