#!/usr/bin/python
# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: postgresql_backend
short_description: Cancels or terminates PostgreSQL backends, the right ones and no more than allowed
version_added: 0.1.0
description:
  - Acts on backends given by pid, start and transaction or statement, so that neither a later session with the same pid nor,
    behind a pooler, the next transaction of the same session is hit; or on those that match a condition.
  - Never signals itself, replication, background processes, an autovacuum that prevents wraparound, or, unless allowed,
    a superuser's session.
  - A backend at work is cancelled first and terminated only if that was asked for and its transaction is still open; the
    result is confirmed, since a sent signal says nothing.
  - Takes an advisory lock, so that two operators on two hosts do not act on one database at the same time.
notes:
  - C(pg_terminate_backend) through a plain query signals whoever has the pid now, confirms nothing and has no limit; no
    module of community.postgresql does this.
  - The role needs C(pg_signal_backend), and C(pg_read_all_stats) to see C(backend_start).
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
  state:
    description:
      - V(canceled) ends the statement and leaves the session; a session without a statement is left alone.
      - V(terminated) ends the transaction, and the session with it, unless cancelling the statement was enough.
    type: str
    required: true
    choices: [canceled, terminated]
  backends:
    description: The backends to act on.
    type: list
    elements: dict
    suboptions:
      pid:
        description: The backend's process id.
        type: int
        required: true
      backend_start:
        description: Its start, as C(pg_stat_activity) or M(sre.runbooks.postgresql_triage_info) tells it.
        type: str
        required: true
      xact_start:
        description:
          - The start of its transaction; left out when it has none. For V(state=terminated) a backend whose transaction is
            another one now is left alone.
        type: str
      query_start:
        description: The start of its statement. For V(state=canceled) a backend whose statement is another one now is left alone.
        type: str
  match:
    description: A condition instead; a backend must meet all that is given.
    type: dict
    suboptions:
      users:
        description: Roles.
        type: list
        elements: str
      applications:
        description: Values of C(application_name).
        type: list
        elements: str
      databases:
        description: Databases.
        type: list
        elements: str
      states:
        description: States, for example V(idle in transaction).
        type: list
        elements: str
      query_ids:
        description: Values of C(query_id), from PostgreSQL 14 on.
        type: list
        elements: str
      older_than:
        description: How long the backend must have been in its state, in seconds.
        type: float
        default: 0.0
  max:
    description: How many backends may be signalled; with more the module fails and touches none.
    type: int
    required: true
  allow_superusers:
    description: Whether sessions of superusers may be signalled.
    type: bool
    default: false
  escalate:
    description: Whether a backend that ignores its cancellation is terminated.
    type: bool
    default: false
  wait_seconds:
    description: How long to wait for the effect of a signal, in seconds.
    type: float
    default: 5.0
"""

EXAMPLES = r"""
- name: Cancel one statement
  sre.runbooks.postgresql_backend:
    login_host: db.example.org
    login_db: custody_db
    login_user: runbooks_mitigation
    state: canceled
    backends:
      - {pid: 4711, backend_start: "2026-11-24 02:08:51.123456+00", query_start: "2026-11-24 02:09:00.654321+00"}
    max: 1

- name: End the sessions of one role that have been idle in a transaction for ten minutes
  sre.runbooks.postgresql_backend:
    login_host: db.example.org
    login_db: custody_db
    login_user: runbooks_mitigation
    state: terminated
    match:
      users: [reporting]
      states: [idle in transaction]
      older_than: 600
    max: 5
"""

RETURN = r"""
backends:
  description: The backends that were signalled (in check mode, would be), each with the last signal that it got.
  returned: success
  type: list
  elements: dict
  sample:
    - {pid: 4711, backend_start: "2026-11-24 02:08:51.123456+00", user: migrate, application: flyway, database: custody_db,
       client: 10.0.3.7, state: active, query_start: "2026-11-24 02:09:00+00", xact_start: "2026-11-24 02:09:00+00",
       signal: cancel}
left_alone:
  description: The backends that were left alone, each with the reason.
  returned: success
  type: list
  elements: dict
  sample: [{pid: 4712, reason: it has ended}]
done:
  description: The same in sentences.
  returned: success
  type: list
  elements: str
  sample: ["cancel pid 4711 (migrate, flyway)", "left pid 4712 alone: it has ended"]
"""

import dataclasses
import typing as t

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible_collections.sre.runbooks.plugins.module_utils._postgresql.backend import (
    LiveServer,
    Plan,
    Target,
    Wanted,
    act,
    plan,
)
from ansible_collections.sre.runbooks.plugins.module_utils._postgresql.connection import (
    PSYCOPG2_IMPORT_ERROR,
    login_argument_spec,
    login_from,
)
from ansible_collections.sre.runbooks.plugins.module_utils._postgresql.effects import ACT_SECONDS, acting, within
from ansible_collections.sre.runbooks.plugins.module_utils._postgresql.errors import PostgresqlError
from ansible_collections.sre.runbooks.plugins.module_utils._spec import Spec

BACKEND: Spec = {
    "pid": {"type": "int", "required": True},
    "backend_start": {"type": "str", "required": True},
    "xact_start": {"type": "str"},
    "query_start": {"type": "str"},
}
MATCHED = ("users", "applications", "databases", "states", "query_ids")
NAMES: Spec = {name: {"type": "list", "elements": "str"} for name in MATCHED}
ARGUMENT_SPEC: Spec = {
    "state": {"type": "str", "required": True, "choices": ["canceled", "terminated"]},
    "backends": {"type": "list", "elements": "dict", "options": BACKEND},
    "match": {"type": "dict", "options": {**NAMES, "older_than": {"type": "float", "default": 0.0}}},
    "max": {"type": "int", "required": True},
    "allow_superusers": {"type": "bool", "default": False},
    "escalate": {"type": "bool", "default": False},
    "wait_seconds": {"type": "float", "default": 5.0},
}


def wanted_from(params: t.Mapping[str, t.Any]) -> Wanted:
    return Wanted(
        state=params["state"],
        max=params["max"],
        backends=tuple(Target(**one) for one in params["backends"] or []),
        match=params["match"],
        allow_superusers=params["allow_superusers"],
        wait_seconds=params["wait_seconds"],
        escalate=params["escalate"],
    )


def told(planned: Plan, done: list[dict[str, t.Any]]) -> dict[str, t.Any]:
    """The module's result, with the diff of what was there and what is gone."""
    lines = [f"{signal} pid {backend.pid} ({backend.user}, {backend.application})" for signal, backend in planned.signals]
    signalled = [f"{one['signal']} pid {one['pid']} ({one['user']}, {one['application']})" for one in done]
    return {
        "done": [*signalled, *(f"left pid {one.pid} alone: {one.reason}" for one in planned.skipped)],
        "changed": bool(done),
        "backends": done,
        "left_alone": [dataclasses.asdict(one) for one in planned.skipped],
        "diff": {"before": "", "after": "".join(line + "\n" for line in lines)},
    }


def run(module: AnsibleModule) -> dict[str, t.Any]:
    wanted = wanted_from(module.params)
    with acting(login_from(module.params), check_mode=module.check_mode) as connection:
        server = LiveServer(connection)
        planned = plan(server.choose(wanted), wanted)
        if module.check_mode:
            return told(planned, [{**dataclasses.asdict(one), "signal": signal} for signal, one in planned.signals])
        return told(planned, act(server, wanted, planned))


def main() -> None:
    module = AnsibleModule(
        argument_spec={**login_argument_spec(), **ARGUMENT_SPEC},
        required_one_of=[("backends", "match")],
        mutually_exclusive=[("backends", "match")],
        supports_check_mode=True,
    )
    if PSYCOPG2_IMPORT_ERROR:
        module.fail_json(msg=missing_required_lib("psycopg2"), exception=PSYCOPG2_IMPORT_ERROR)
    try:
        result = within(ACT_SECONDS + 2 * module.params["wait_seconds"], lambda: run(module))
    except PostgresqlError as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
