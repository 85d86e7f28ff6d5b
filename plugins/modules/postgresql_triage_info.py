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
    and lock timeout, all of them within one deadline. A question that fails, is forbidden or comes too late becomes an entry of
    RV(database.gaps); the others are answered.
  - A refused connection (for example C(too many clients)) is an answer, in RV(database.refusal), and no failure.
  - The plan of a statement of the application is asked for only where O(plan_user) names a role for it, which may do nothing but
    SELECT. What is sent is a SELECT written anew from the statement's parse tree, never its text; nothing of it is run.
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
      - locks
      - connections
      - application_roles
      - samples
      - long_running
      - idle_in_transaction
      - prepared_transactions
      - busy_tables
      - foreign_keys
      - role_settings
      - plans
      - statements
      - replication
      - invalid_indexes
      - oldest_xmin
      - wraparound
      - slots
      - sequences
      - sequences_unseen
      - holders
    choices:
      - server
      - settings
      - locks
      - connections
      - application_roles
      - samples
      - long_running
      - idle_in_transaction
      - prepared_transactions
      - busy_tables
      - foreign_keys
      - role_settings
      - plans
      - statements
      - replication
      - invalid_indexes
      - oldest_xmin
      - wraparound
      - slots
      - sequences
      - sequences_unseen
      - holders
  statement_timeout_ms:
    description: How long one question may take, in milliseconds.
    type: int
    default: 3000
  lock_timeout_ms:
    description: How long one question may wait for a lock, in milliseconds.
    type: int
    default: 50
  seconds_max:
    description: How long all questions together may take, in seconds.
    type: float
    default: 10.0
  query_text:
    description:
      - Whether the text of statements is returned. Their kind (for example C(ALTER TABLE)) always is.
      - With O(mask_literals) this needs C(pglast); a text that cannot be parsed is not returned.
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
  application_users:
    description: The roles that the application logs in as. Only their statements are planned.
    type: list
    elements: str
    default: []
  plan_user:
    description:
      - The role that asks for plans, on a connection of its own that is closed after each question. It may be granted C(SELECT)
        on tables and nothing else; one that may more is not used. Without it no plan is asked for.
    type: str
  plan_password:
    description: The password of O(plan_user). Leave it out for a passfile or a login without password.
    type: str
  look_seconds:
    description: How long to look at who is active while nobody of the application is seen, in seconds.
    type: float
    default: 0.0
  probe_urls:
    description: URLs of the application to ask for meanwhile, so that somebody is seen.
    type: list
    elements: str
    default: []
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
        - Why no session could be opened, with RV(ignore:kind) one of V(too_many_clients), V(database_limit), V(role_limit),
          V(authentication), V(no_such_database), V(not_accepting), V(tls), V(login_hangs), V(pooler),
          V(not_understood) (in another language than English), V(server_error), V(unreachable). V(none) when one was.
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
    busy_tables:
      description: The tables on which sessions are at work, with their size in rows and the rows changed since the last ANALYZE.
      type: list
      elements: dict
    plans:
      description:
        - The statements at work, those with most sessions first. RV(ignore:scans) are the sequential scans of their plans (the
          columns that are compared, the rows that are expected to be kept, the table's rows, an index that is not used),
          RV(ignore:loops) the tables on the outer side of its nested loops, RV(ignore:cost) in the planner's units;
          RV(ignore:refused) says why a plan could not be had.
        - A statement is planned, never run.
      type: list
      elements: dict
      sample:
        - {user: custody_app, pids: [4711], statement: "123", command: SELECT, query: null, refused: null, cost: 12000.5,
           loops: [], scans: [{schema: public, table: audit_entries, partitions: 0, columns: [reference], rows: 4,
                               by_columns: null, with_rows: null, table_rows: 600000, covered_by: null, unclear: null}]}
    samples:
      description:
        - What RV(ignore:taken) looks at the active sessions say, in RV(ignore:seconds) seconds. For each of RV(ignore:sessions)
          how often it was seen, at work, on a processor, and waiting for what; how long a statement of it had been running, in
          milliseconds. RV(ignore:work) tells the same by statement. RV(ignore:runnable) are the processes that were on a
          processor or wanted one, on average.
      type: dict
      sample: {taken: 8, seconds: 0.21, runnable: 1.5,
               work: [{user: custody_app, database: custody_db, statement: "123", seen: 8, working: 7, sessions: 1,
                       statement_ms: 412}],
               sessions: [{pid: 4711, user: custody_app, application: api, database: custody_db, superuser: false,
                           statement: "123", seen: 8, working: 7, on_processor: 6, waits: {CPU: 6, IO/DataFileRead: 2},
                           statement_ms: 412, age_ms: 412}]}
    statements:
      description:
        - The 20 statements that took most time between two readings of pg_stat_statements, RV(ignore:seconds) apart, with
          what they cost in between and since the statistics were reset.
      type: dict
      sample: {seconds: 0.3, top: [{statement: "123", user: custody_app, command: SELECT, query: null, calls: 5000,
                                    total_ms: 9000.0, mean_ms: 1.8, mean_ms_before: 1.7, rows: 5000, window_calls: 20,
                                    window_ms: 800.0, window_mean_ms: 40.0, calls_per_second: 66.7}]}
    invalid_indexes:
      description: Indexes that are INVALID and are not being built.
      type: list
      elements: dict
    role_settings:
      description: Settings that roles and databases have of their own, of those that matter here.
      type: list
      elements: dict
    replication:
      description: The standbys that are connected.
      type: list
      elements: dict
    oldest_xmin:
      description: What keeps vacuum from removing anything, with its age in transaction ids and seconds, the oldest five.
      type: list
      elements: dict
    wraparound:
      description: The databases that are nearest to the end of the transaction ids, with their ages.
      type: list
      elements: dict
    slots:
      description: Replication slots with the bytes of the write-ahead log that each keeps.
      type: list
      elements: dict
    holders:
      description:
        - Whether those that held up several others were still in the same transaction (RV(ignore:still)) at least a second later.
      type: list
      elements: dict
      sample: [{pid: 4711, seconds: 1.2, still: true}]
    application_roles:
      description: The roles of O(application_users), whether they are there and may log in, and how many sessions they have.
      type: list
      elements: dict
      sample: [{user: custody_app, exists: true, can_login: true, expired: false, sessions: 20}]
    foreign_keys:
      description: Foreign keys without an index to tables that sessions at work write to.
      type: list
      elements: dict
    sequences_unseen:
      description: How many sequences cannot be seen, and in which schemas.
      type: dict
      sample: {number: 3, schemas: public}
    sequences:
      description: Sequences of which more than four fifths are used, by the smaller of their limit and their column's.
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
