#!/usr/bin/python
# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: postgresql_triage_info
short_description: Reads what is wrong with a sick PostgreSQL server, over one connection
version_added: 0.1.0
description:
  - Opens one session and asks a fixed set of questions, each in a read-only transaction of its own with its own statement
    and lock timeout. A question that fails or is forbidden becomes an entry of RV(database.gaps); the others are answered.
  - A refused connection (for example C(too many clients)) is an answer, in RV(database.refusal), and no failure.
  - The lock graph tells a statement that only stands ahead in the lock queue (a queued C(ALTER TABLE)) from the innocent
    transaction that it waits for, which C(pg_blocking_pids()) shows as the end of the chain.
notes:
  - community.postgresql asks one question a task (about a quarter of a second each); in an outage this module asks all of
    them at once, survives a failing one, and does not crash when connections are exhausted.
  - The role needs membership in C(pg_monitor) to see other users' sessions. Without it the result says what is missing.
author:
  - The sre.runbooks contributors (@sre-runbooks)
extends_documentation_fragment:
  - sre.runbooks.attributes
  - sre.runbooks.attributes.info_module
  - sre.runbooks.postgresql_login
options:
  diagnostics:
    description: Which questions to ask.
    type: list
    elements: str
    default:
      - server
      - settings
      - connections
      - long_running
      - idle_in_transaction
      - locks
      - prepared_transactions
      - wait_events
      - busy_tables
      - plans
      - samples
      - statements
      - invalid_indexes
      - role_settings
    choices:
      - server
      - settings
      - connections
      - long_running
      - idle_in_transaction
      - locks
      - prepared_transactions
      - wait_events
      - busy_tables
      - plans
      - samples
      - statements
      - invalid_indexes
      - role_settings
  statement_timeout_ms:
    description: How long one question may take, in milliseconds.
    type: int
    default: 3000
  lock_timeout_ms:
    description: How long one question may wait for a lock, in milliseconds.
    type: int
    default: 50
  query_text:
    description: Whether the text of statements is returned. Their kind (for example C(ALTER TABLE)) always is.
    type: bool
    default: false
  query_text_max:
    description: How many characters of a statement are returned at most.
    type: int
    default: 200
  mask_literals:
    description: Whether literals in statements are replaced by C(?) and comments are removed.
    type: bool
    default: true
"""

EXAMPLES = r"""
- name: Look at the database
  sre.runbooks.postgresql_triage_info:
    login_host: db.example.org
    login_db: custody_db
    login_user: runbooks_monitor
    login_password: "{{ lookup('ansible.builtin.env', 'RUNBOOKS_DB_PASSWORD') }}"
  register: triage

- name: Show who holds the others up
  ansible.builtin.debug:
    var: triage.database.locks.roots
"""

RETURN = r"""
database:
  description: What was read.
  returned: success
  type: dict
  contains:
    connected:
      description: Whether a session could be opened.
      type: bool
      sample: true
    refusal:
      description:
        - Why no session could be opened, with RV(ignore:kind) one of V(too_many_clients), V(authentication),
          V(no_such_database), V(starting_up), V(unreachable). V(none) when one was.
      type: dict
      sample: {kind: too_many_clients, sqlstate: "53300", message: "FATAL: sorry, too many clients already"}
    gaps:
      description: The questions that were not answered, with the server's reason and SQLSTATE.
      type: list
      elements: dict
      sample: [{diagnostic: locks, reason: canceling statement due to statement timeout, sqlstate: "57014"}]
    duration_ms:
      description: How long it all took, in milliseconds.
      type: int
      sample: 27
    server:
      description: Version, role, what the role may see, whether the server is in recovery, its uptime in seconds.
      type: dict
    settings:
      description: The settings that decide how a sick server behaves, with their units.
      type: list
      elements: dict
    connections:
      description:
        - Sessions by state, user, application, client and database, with the age of the oldest in seconds, the connection limit
          of the role, and the number of all sessions.
      type: list
      elements: dict
    long_running:
      description: Statements that have run for more than a second, the oldest 200.
      type: list
      elements: dict
    idle_in_transaction:
      description: Sessions idle in a transaction, the oldest 50, with the seconds since they last did anything.
      type: list
      elements: dict
    locks:
      description:
        - RV(ignore:sessions) are all waiters and blockers with what they want and who holds them up.
        - RV(ignore:roots) are the ones to blame, with the pids that each holds up, and those of them that it only stands
          ahead of in the queue (RV(ignore:softly)).
      type: dict
      sample: {sessions: [], roots: [{pid: 4711, holds_up: [4720, 4721], softly: [4720, 4721]}]}
    prepared_transactions:
      description: Prepared transactions with their age in seconds.
      type: list
      elements: dict
    wait_events:
      description: What the busy sessions wait for, by number of sessions.
      type: list
      elements: dict
    busy_tables:
      description: The tables on which sessions are at work, with their size in rows and the rows changed since the last ANALYZE.
      type: list
      elements: dict
    plans:
      description:
        - The statements at work, at most three, with the sequential scans of their plans (RV(ignore:scans)) or why a plan could
          not be had (RV(ignore:refused)). A statement is planned, never run.
      type: list
      elements: dict
      sample:
        - {user: custody_app, pids: [4711], query_id: "123", command: SELECT, query: null, refused: null,
           scans: [{schema: public, table: audit_entries, columns: [reference], rows_expected: 4}]}
    samples:
      description:
        - How often each session was seen active and at work, in RV(ignore:taken) looks, and the longest that a statement of it
          had been running when it was seen at work, in milliseconds (RV(ignore:statement_ms)).
      type: dict
      sample: {taken: 8, sessions: [{pid: 4711, user: custody_app, database: custody_db, seen: 8, working: 7,
                                     statement_ms: 412}]}
    statements:
      description: The 20 statements that took most time since the statistics were reset, from pg_stat_statements.
      type: list
      elements: dict
    invalid_indexes:
      description: Indexes that are INVALID and are not being built.
      type: list
      elements: dict
    role_settings:
      description: Time-outs that roles and databases have of their own.
      type: list
      elements: dict
"""

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible_collections.sre.runbooks.plugins.module_utils._postgresql.connection import PSYCOPG2_IMPORT_ERROR
from ansible_collections.sre.runbooks.plugins.module_utils._postgresql.triage import argument_spec, triage_from


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    if PSYCOPG2_IMPORT_ERROR:
        module.fail_json(msg=missing_required_lib("psycopg2"), exception=PSYCOPG2_IMPORT_ERROR)
    module.exit_json(changed=False, database=triage_from(module.params))


if __name__ == "__main__":
    main()
