# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The questions that are asked of a PostgreSQL server, one constant each (private to the collection).

Every statement is read-only, has no parameters and works for a member of ``pg_monitor``. A question whose text differs
between versions is a table of (from ``server_version_num``, text), newest first. Adding a diagnostic: its text here, its
line in ``DIAGNOSTICS``, and, if its rows need shaping, a function in ``triage``.
"""

from __future__ import annotations

import dataclasses

# Who and where we are, and what we may see. All versions.
SERVER = """
SELECT current_setting('server_version_num')::int AS version_num,
       current_setting('server_version') AS version,
       current_database() AS database,
       current_user::text AS "user",
       pg_is_in_recovery() AS in_recovery,
       extract(epoch FROM clock_timestamp() - pg_postmaster_start_time())::int AS uptime_seconds,
       (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) AS superuser,
       pg_has_role('pg_monitor', 'USAGE') AS member_of_pg_monitor,
       pg_has_role('pg_read_all_stats', 'USAGE') AS member_of_pg_read_all_stats,
       pg_has_role('pg_signal_backend', 'USAGE') AS member_of_pg_signal_backend
"""

# The settings that decide how a sick server behaves, as a new session gets them (reset_val). All versions; a setting that
# a version lacks is not returned.
SETTINGS = """
SELECT name, reset_val AS setting, unit FROM pg_settings
WHERE name IN ('max_connections', 'superuser_reserved_connections', 'reserved_connections', 'lock_timeout',
               'statement_timeout', 'idle_in_transaction_session_timeout', 'transaction_timeout', 'deadlock_timeout',
               'max_prepared_transactions', 'log_lock_waits')
ORDER BY name
"""

# The slots in use, grouped as people ask: by state, user, application, client. 10 and later (backend_type).
CONNECTIONS = """
SELECT coalesce(state, 'hidden') AS state, usename::text AS "user", application_name AS application,
       host(client_addr) AS client, datname::text AS database, count(*)::int AS sessions,
       coalesce(max(extract(epoch FROM clock_timestamp() - backend_start)), 0)::int AS oldest_seconds,
       count(*) FILTER (WHERE query = '<insufficient privilege>')::int AS hidden
FROM pg_stat_activity
WHERE (backend_type = 'client backend' OR query = '<insufficient privilege>') AND pid <> pg_backend_pid()
GROUP BY 1, 2, 3, 4, 5
ORDER BY sessions DESC, 1, 2, 3, 4, 5
LIMIT 200
"""

_SESSION = """
       pid, backend_start::text AS backend_start, usename::text AS "user", application_name AS application,
       host(client_addr) AS client, datname::text AS database, state, wait_event_type, wait_event,
       round(extract(epoch FROM clock_timestamp() - xact_start)::numeric, 1)::float8 AS transaction_seconds,
       round(extract(epoch FROM clock_timestamp() - query_start)::numeric, 1)::float8 AS statement_seconds,
       round(extract(epoch FROM clock_timestamp() - state_change)::numeric, 1)::float8 AS state_seconds,
       left(query, 2000) AS query
"""

# Statements that have been running for longest. All versions.
LONG_RUNNING = (
    "SELECT"
    + _SESSION
    + """
FROM pg_stat_activity
WHERE state = 'active' AND backend_type = 'client backend' AND pid <> pg_backend_pid()
  AND clock_timestamp() - query_start > interval '1 second'
ORDER BY query_start
LIMIT 50
"""
)

# Sessions that sit in an open transaction and do nothing. All versions.
IDLE_IN_TRANSACTION = (
    "SELECT"
    + _SESSION
    + """
FROM pg_stat_activity
WHERE state LIKE 'idle in transaction%' AND backend_type = 'client backend'
ORDER BY xact_start
LIMIT 50
"""
)

# The lock graph from one reading of the lock table: every waiter and every blocker, with what it wants and holds.
# pg_blocking_pids() takes the lock manager for a moment, so it is called once for each waiter and for nobody else.
_LOCKS = """
WITH locks AS MATERIALIZED (
    SELECT pid, granted, mode, relation, database, locktype, WAITSTART AS waitstart,
           concat_ws('/', locktype, database, relation, page, tuple, virtualxid, transactionid, classid, objid, objsubid)
               AS tag
    FROM pg_locks
), waiting AS MATERIALIZED (
    SELECT DISTINCT ON (pid) pid, mode, relation, database, locktype, waitstart, tag, pg_blocking_pids(pid) AS blockers
    FROM locks WHERE NOT granted AND pid IS NOT NULL ORDER BY pid
), involved AS (
    SELECT pid FROM waiting UNION SELECT unnest(blockers) FROM waiting
), held AS (
    SELECT pid, json_agg(json_build_array(tag, mode)) AS holds
    FROM locks WHERE granted AND tag IN (SELECT tag FROM waiting) GROUP BY pid
)
SELECT pid, a.backend_start::text AS backend_start, a.usename::text AS "user", a.application_name AS application,
       host(a.client_addr) AS client, a.datname::text AS database, a.state, a.backend_type,
       round(extract(epoch FROM clock_timestamp() - a.xact_start)::numeric, 1)::float8 AS transaction_seconds,
       round(extract(epoch FROM clock_timestamp() - a.state_change)::numeric, 1)::float8 AS state_seconds,
       round(extract(epoch FROM clock_timestamp() - coalesce(w.waitstart, a.query_start))::numeric, 1)::float8
           AS wait_seconds,
       left(a.query, 2000) AS query, w.tag AS wants, w.mode, w.locktype,
       CASE WHEN w.database = (SELECT oid FROM pg_database WHERE datname = current_database())
            THEN (SELECT relname::text FROM pg_class c WHERE c.oid = w.relation) END AS relation,
       coalesce(w.blockers, '{}') AS blockers, coalesce(h.holds, '[]') AS holds
FROM involved i
LEFT JOIN pg_stat_activity a USING (pid)
LEFT JOIN waiting w USING (pid)
LEFT JOIN held h USING (pid)
ORDER BY pid
"""
# pg_locks.waitstart is there from 14; before, the start of the statement is the best that is known.
LOCKS = (
    (140000, _LOCKS.replace("WAITSTART", "waitstart")),
    (0, _LOCKS.replace("WAITSTART", "NULL::timestamptz")),
)

# Transactions prepared and not finished; as blockers they show as pid 0. Their locks have no pid and share the virtual
# transaction of the one on their own id. All versions.
PREPARED_TRANSACTIONS = """
WITH locks AS MATERIALIZED (
    SELECT granted, pid, virtualtransaction, transactionid,
           concat_ws('/', locktype, database, relation, page, tuple, virtualxid, transactionid, classid, objid, objsubid)
               AS tag
    FROM pg_locks
)
SELECT p.gid, p.owner::text AS "user", p.database::text AS database, p.transaction::text AS transaction_id,
       extract(epoch FROM clock_timestamp() - p.prepared)::int AS seconds,
       EXISTS (SELECT FROM locks own JOIN locks held USING (virtualtransaction) JOIN locks waiting ON waiting.tag = held.tag
               WHERE own.pid IS NULL AND own.transactionid = p.transaction
                 AND held.pid IS NULL AND held.granted AND NOT waiting.granted) AS waited_for
FROM pg_prepared_xacts p ORDER BY p.prepared LIMIT 50
"""

# What the busy sessions wait for right now. All versions.
WAIT_EVENTS = """
SELECT coalesce(wait_event_type, 'CPU') AS type, coalesce(wait_event, 'running') AS event, count(*)::int AS sessions
FROM pg_stat_activity
WHERE state = 'active' AND backend_type = 'client backend' AND pid <> pg_backend_pid()
GROUP BY 1, 2 ORDER BY sessions DESC, 1, 2
"""


@dataclasses.dataclass(frozen=True)
class Diagnostic:
    """One question: its name in the result, its text by version, and whether it is one row or a list of them."""

    name: str
    texts: tuple[tuple[int, str], ...]
    single: bool = False

    def text_for(self, version_num: int) -> str:
        """The newest text that this server understands; a server newer than we know gets the newest."""
        return next(text for since, text in self.texts if version_num >= since)


DIAGNOSTICS = (
    Diagnostic("server", ((0, SERVER),), single=True),
    Diagnostic("settings", ((0, SETTINGS),)),
    Diagnostic("connections", ((0, CONNECTIONS),)),
    Diagnostic("long_running", ((0, LONG_RUNNING),)),
    Diagnostic("idle_in_transaction", ((0, IDLE_IN_TRANSACTION),)),
    Diagnostic("locks", LOCKS),
    Diagnostic("prepared_transactions", ((0, PREPARED_TRANSACTIONS),)),
    Diagnostic("wait_events", ((0, WAIT_EVENTS),)),
)
