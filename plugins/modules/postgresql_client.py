#!/usr/bin/python
# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: postgresql_client
short_description: Limits the connections of a PostgreSQL role, ends its sessions, and lets it in again
version_added: 0.2.0
description:
  - Sets the connection limit of a role and ends the sessions that it has, in this order, so that what was ended cannot come
    straight back. Confirms both.
  - Never isolates a superuser or the role that it logs in with.
  - Takes an advisory lock, so that two operators on two hosts do not act on one database at the same time.
notes:
  - M(community.postgresql.postgresql_user) sets a limit too, but ends no session, has no cap, and does not return the limit
    that was there before, which is what an undo needs.
  - The role needs C(CREATEROLE), from PostgreSQL 16 on the admin option on the role that is isolated, and
    C(pg_signal_backend). What is missing is said as the statement to type.
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
  role:
    description: The role that the client logs in as.
    type: str
    required: true
  state:
    description:
      - V(isolated) limits the role and ends its sessions. A limit that is lower already stays.
      - V(released) only sets the limit, for example back to what it was.
      - V(raised) only sets the limit, and never to less than the role has.
    type: str
    required: true
    choices: [isolated, released, raised]
  connection_limit:
    description: How many connections the role may have; V(-1) means no limit.
    type: int
    required: true
  expected:
    description:
      - The limit that the role must have now. With another one, which somebody else has set since, the module fails and touches
        nothing.
    type: int
  max:
    description: How many sessions may be ended; with more the module fails and touches nothing. Needed for V(state=isolated).
    type: int
  wait_seconds:
    description: How long to wait for the end of the sessions, in seconds.
    type: float
    default: 5.0
"""

EXAMPLES = r"""
- name: Leave a leaking service five connections
  sre.runbooks.postgresql_client:
    login_host: db.example.org
    login_db: custody_db
    login_user: runbooks_admin
    role: billing
    state: isolated
    connection_limit: 5
    max: 200

- name: Let it in again
  sre.runbooks.postgresql_client:
    login_host: db.example.org
    login_db: custody_db
    login_user: runbooks_admin
    role: billing
    state: released
    connection_limit: -1
"""

RETURN = r"""
client:
  description: The role after the change (in check mode, before it), with the number of its sessions.
  returned: success
  type: dict
  sample: {role: billing, connection_limit: 5, sessions: 0}
made:
  description: What an undo has to know, RV(ignore:limit_set), the limit that was set.
  returned: success
  type: dict
  sample: {limit_set: 5}
done:
  description: What was done (in check mode, would be), in words.
  returned: success
  type: list
  elements: str
  sample: ["connection limit of billing 5 (was none)", "120 sessions of billing ended"]
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible_collections.sre.runbooks.plugins.module_utils._postgresql.client import (
    Client,
    Wanted,
    act,
    limit_for,
    look,
    refuse,
    shown,
)
from ansible_collections.sre.runbooks.plugins.module_utils._postgresql.connection import (
    PSYCOPG2_IMPORT_ERROR,
    login_argument_spec,
    login_from,
)
from ansible_collections.sre.runbooks.plugins.module_utils._postgresql.effects import ACT_SECONDS, acting, within
from ansible_collections.sre.runbooks.plugins.module_utils._postgresql.errors import PartlyDoneError, PostgresqlError
from ansible_collections.sre.runbooks.plugins.module_utils._spec import Spec

ARGUMENT_SPEC: Spec = {
    "role": {"type": "str", "required": True},
    "state": {"type": "str", "required": True, "choices": ["isolated", "released", "raised"]},
    "connection_limit": {"type": "int", "required": True},
    "expected": {"type": "int"},
    "max": {"type": "int"},
    "wait_seconds": {"type": "float", "default": 5.0},
}


def what(before: Client, wanted: Wanted) -> list[str]:
    """What has to be done, in words; nothing where the role is as it should be."""
    done, limit = [], limit_for(before.connection_limit, wanted)
    if before.connection_limit != limit:
        done.append(f"connection limit of {before.role} {shown(limit)} (was {shown(before.connection_limit)})")
    if wanted.state == "isolated" and before.sessions > limit:
        done.append(f"{before.sessions} sessions of {before.role} ended")
    return done


def run(module: AnsibleModule) -> dict[str, t.Any]:
    params = module.params
    names = ("role", "connection_limit", "state", "wait_seconds", "expected")
    wanted = Wanted(max=params["max"] or 0, **{name: params[name] for name in names})
    with acting(login_from(params), check_mode=module.check_mode) as connection:
        before = look(connection, wanted.role)
        refuse(before, wanted)
        done = what(before, wanted)
        after = act(connection, before, wanted) if done and not module.check_mode else before
    client = {"role": after.role, "connection_limit": after.connection_limit, "sessions": after.sessions}
    diff = {"before": "", "after": "".join(line + "\n" for line in done)}
    made = {"limit_set": limit_for(before.connection_limit, wanted)}
    return {"changed": bool(done), "client": client, "done": done, "made": made, "diff": diff}


def main() -> None:
    module = AnsibleModule(
        argument_spec={**login_argument_spec(), **ARGUMENT_SPEC},
        required_if=[("state", "isolated", ["max"])],
        supports_check_mode=True,
    )
    if PSYCOPG2_IMPORT_ERROR:
        module.fail_json(msg=missing_required_lib("psycopg2"), exception=PSYCOPG2_IMPORT_ERROR)
    try:
        result = within(ACT_SECONDS + module.params["wait_seconds"], lambda: run(module))
    except PostgresqlError as error:
        module.fail_json(msg=str(error), changed=isinstance(error, PartlyDoneError))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
