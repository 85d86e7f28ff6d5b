# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The questions that are asked of a PostgreSQL server, one constant each (private to the collection).

Every statement is read-only, has no parameters and works for a member of ``pg_monitor``. A question whose text differs
between versions is a table of (from ``server_version_num``, text), newest first. Adding a diagnostic: its text here, its
line in ``DIAGNOSTICS``, and, if its rows need shaping, its function in ``triage.MAKERS``.
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
       pg_has_role('pg_signal_backend', 'USAGE') AS member_of_pg_signal_backend,
       (SELECT extversion FROM pg_extension WHERE extname = 'pg_stat_statements') AS statements_version,
       (SELECT extnamespace::regnamespace::text FROM pg_extension WHERE extname = 'pg_stat_statements') AS statements_schema
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

# The slots in use, grouped as people ask: by state, user, application, client; with the limit that the role has
# (-1: none) and the sum over all groups. 10 and later (backend_type).
CONNECTIONS = """
SELECT coalesce(state, 'hidden') AS state, usename::text AS "user", application_name AS application,
       host(client_addr) AS client, datname::text AS database, count(*)::int AS sessions,
       coalesce(max(extract(epoch FROM clock_timestamp() - backend_start)), 0)::int AS oldest_seconds,
       count(*) FILTER (WHERE query = '<insufficient privilege>')::int AS hidden,
       max(r.rolconnlimit) AS role_limit, coalesce(bool_or(r.rolsuper), false) AS superuser,
       sum(count(*)) OVER ()::int AS all_sessions
FROM pg_stat_activity a LEFT JOIN pg_roles r ON r.oid = a.usesysid
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
LIMIT 200
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
       p.prepared::text AS prepared,
       extract(epoch FROM clock_timestamp() - p.prepared)::int AS seconds,
       EXISTS (SELECT FROM locks own JOIN locks held USING (virtualtransaction) JOIN locks waiting ON waiting.tag = held.tag
               WHERE own.pid IS NULL AND own.transactionid = p.transaction
                 AND held.pid IS NULL AND held.granted AND NOT waiting.granted) AS waited_for
FROM pg_prepared_xacts p ORDER BY p.prepared LIMIT 50
"""

# Who is at work at this moment; asked several times, so that the answers together say for whom the machine works. A
# parallel worker works for its leader. 13 and later (leader_pid).
SAMPLES = """
SELECT coalesce(leader_pid, pid) AS pid, min(usename::text) AS "user", min(datname::text) AS database,
       bool_or(wait_event_type IS NULL OR wait_event_type IN ('IO', 'LWLock', 'BufferPin')) AS working,
       (extract(epoch FROM clock_timestamp() - min(query_start)) * 1000)::float8 AS statement_ms
FROM pg_stat_activity
WHERE state = 'active' AND backend_type IN ('client backend', 'parallel worker') AND pid <> pg_backend_pid()
GROUP BY 1
"""

# The tables on which sessions are at work: an active session holds a lock on every table that its statement reads. What
# is known of each: size, changes since the last ANALYZE, how it is read. All versions.
BUSY_TABLES = """
WITH busy AS (
    SELECT l.relation AS oid, array_agg(DISTINCT l.pid ORDER BY l.pid) AS pids
    FROM pg_locks l JOIN pg_stat_activity a USING (pid)
    WHERE l.locktype = 'relation' AND l.granted AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND a.state = 'active' AND a.backend_type = 'client backend' AND a.pid <> pg_backend_pid()
      AND coalesce(a.wait_event_type, '') NOT IN ('Lock', 'Timeout')
    GROUP BY 1
)
SELECT n.nspname::text AS schema, c.relname::text AS "table", b.pids, c.relpages AS pages,
       pg_stat_get_live_tuples(c.oid) AS live_rows, pg_stat_get_mod_since_analyze(c.oid) AS changed_since_analyze,
       extract(epoch FROM clock_timestamp() - greatest(pg_stat_get_last_analyze_time(c.oid),
                                                       pg_stat_get_last_autoanalyze_time(c.oid)))::int AS analyzed_seconds_ago,
       pg_stat_get_numscans(c.oid) AS sequential_scans, pg_stat_get_tuples_returned(c.oid) AS rows_read_sequentially
FROM busy b JOIN pg_class c USING (oid) JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'm') AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
ORDER BY cardinality(b.pids) DESC, 1, 2
LIMIT 50
"""

# Indexes that nobody can use and every write pays for: what a failed CREATE INDEX CONCURRENTLY leaves. 12 and later.
INVALID_INDEXES = """
SELECT n.nspname::text AS schema, i.relname::text AS "index", t.relname::text AS "table"
FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_class t ON t.oid = x.indrelid
JOIN pg_namespace n ON n.oid = i.relnamespace
WHERE NOT x.indisvalid AND i.relkind = 'i'
  AND NOT EXISTS (SELECT FROM pg_stat_progress_create_index p WHERE p.index_relid = x.indexrelid)
ORDER BY 1, 2 LIMIT 50
"""

# The settings that roles and databases have of their own, of those that decide how long a mistake lasts. All versions.
ROLE_SETTINGS = """
SELECT r.rolname::text AS "user", d.datname::text AS database, split_part(setting, '=', 1) AS name,
       split_part(setting, '=', 2) AS setting
FROM pg_db_role_setting s CROSS JOIN unnest(s.setconfig) AS setting
LEFT JOIN pg_roles r ON r.oid = s.setrole LEFT JOIN pg_database d ON d.oid = s.setdatabase
WHERE split_part(setting, '=', 1) IN ('lock_timeout', 'idle_in_transaction_session_timeout', 'statement_timeout')
ORDER BY 1, 2, 3
"""

# The statements that cost most since the statistics were reset. The columns' names changed with the extension's version,
# not the server's. The texts are normalized (no literals); reading them reads a file that may be large.
_STATEMENTS = """
SELECT s.queryid::text AS query_id, pg_get_userbyid(s.userid)::text AS "user", s.calls,
       round(TOTAL::numeric, 1)::float8 AS total_ms, round((TOTAL / greatest(s.calls, 1))::numeric, 2)::float8 AS mean_ms,
       s.rows, left(s.query, 2000) AS query
FROM SCHEMA.pg_stat_statements(TEXTS) s
WHERE s.dbid = (SELECT oid FROM pg_database WHERE datname = current_database()) AND s.calls > 0
ORDER BY TOTAL DESC LIMIT 20
"""


def statements(version: str, schema: str, *, texts: bool) -> str:
    """The question to pg_stat_statements, for the extension's version and the (quoted) schema that holds it."""
    total = "s.total_exec_time" if tuple(int(part) for part in version.split(".")) >= (1, 8) else "s.total_time"
    return _STATEMENTS.replace("TOTAL", total).replace("SCHEMA", schema).replace("TEXTS", "true" if texts else "false")


# The statements at work now, the same ones together, for whose plans we ask. 14 and later have query_id.
_BUSY_STATEMENTS = """
SELECT min(usename::text) AS "user", array_agg(pid ORDER BY pid) AS pids, min(QUERY_ID)::text AS query_id, min(query) AS query
FROM pg_stat_activity
WHERE state = 'active' AND backend_type = 'client backend' AND pid <> pg_backend_pid() AND datname = current_database()
  AND coalesce(wait_event_type, '') NOT IN ('Lock', 'Timeout', 'Client')
GROUP BY usesysid, coalesce(QUERY_ID::text, regexp_replace(query, '[0-9]+|''[^'']*''', '?', 'g'))
ORDER BY count(*) DESC, 4 LIMIT 3
"""
BUSY_STATEMENTS = (
    (140000, _BUSY_STATEMENTS.replace("QUERY_ID", "query_id")),
    (0, _BUSY_STATEMENTS.replace("QUERY_ID", "NULL::bigint")),
)

# What the busy sessions wait for right now. All versions.
WAIT_EVENTS = """
SELECT coalesce(wait_event_type, 'CPU') AS type, coalesce(wait_event, 'running') AS event, count(*)::int AS sessions
FROM pg_stat_activity
WHERE state = 'active' AND backend_type = 'client backend' AND pid <> pg_backend_pid()
GROUP BY 1, 2 ORDER BY sessions DESC, 1, 2
"""


@dataclasses.dataclass(frozen=True)
class Diagnostic:
    """One question: its name in the result, its text by version, and whether it is one row or a list of them.

    ``times`` is how often it is asked, ``pause`` seconds apart; a question without texts makes its own (``triage.MAKERS``).
    """

    name: str
    texts: tuple[tuple[int, str], ...] = ()
    single: bool = False
    times: int = 1
    pause: float = 0.0

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
    Diagnostic("busy_tables", ((0, BUSY_TABLES),)),
    Diagnostic("plans", BUSY_STATEMENTS),
    Diagnostic("samples", ((0, SAMPLES),), times=8, pause=0.025),
    Diagnostic("statements"),
    Diagnostic("invalid_indexes", ((0, INVALID_INDEXES),)),
    Diagnostic("role_settings", ((0, ROLE_SETTINGS),)),
)
