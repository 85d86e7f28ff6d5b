# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The questions that are asked of a PostgreSQL server, one constant each (private to the collection).

Every statement is read-only, has no parameters, works for a member of ``pg_monitor`` on 13 and later, and can be pasted into
psql. A column that older versions lack stands in a subquery ``missing`` beside the view: where the view has the column, it is
meant; where it has not, the NULL beside it. Adding a diagnostic: its text here, its line in ``DIAGNOSTICS``, and, if its rows
need shaping, its function in ``triage.MAKERS``.
"""

from __future__ import annotations

import dataclasses

# Who and where we are, and what we may see.
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
       (SELECT quote_ident(n.nspname) FROM pg_extension x JOIN pg_namespace n ON n.oid = x.extnamespace
        WHERE x.extname = 'pg_stat_statements') AS statements_schema,
       (SELECT coalesce(bool_and(r.rolsuper OR pg_has_role(r.oid, a.oid, 'MEMBER')), false)
        FROM pg_extension x JOIN pg_namespace n ON n.oid = x.extnamespace
        JOIN pg_roles r ON r.oid = CASE WHEN pg_get_userbyid(n.nspowner) = 'pg_database_owner'
                                   THEN (SELECT datdba FROM pg_database WHERE datname = current_database()) ELSE n.nspowner END
        LEFT JOIN pg_roles a ON a.rolname IN ('rds_superuser', 'cloudsqlsuperuser', 'azure_pg_admin')
        WHERE x.extname = 'pg_stat_statements') AS statements_trusted,
       (SELECT max(rolname::text) FROM pg_roles WHERE rolname IN ('rds_superuser', 'cloudsqlsuperuser', 'azure_pg_admin'))
           AS managed_by,
       (SELECT datconnlimit FROM pg_database WHERE datname = current_database()) AS database_limit
"""

# The settings that decide how a sick server behaves, as a new session gets them (reset_val). A setting that a version lacks
# is not returned.
SETTINGS = """
SELECT name, reset_val AS setting, unit, source, sourcefile LIKE '%/postgresql.auto.conf' AS by_alter_system FROM pg_settings
WHERE name IN ('max_connections', 'superuser_reserved_connections', 'reserved_connections',
               'rds.rds_superuser_reserved_connections', 'lock_timeout',
               'statement_timeout', 'idle_in_transaction_session_timeout', 'transaction_timeout', 'deadlock_timeout',
               'max_prepared_transactions', 'log_lock_waits', 'default_transaction_read_only', 'search_path',
               'synchronous_standby_names', 'synchronous_commit', 'autovacuum_analyze_threshold',
               'autovacuum_analyze_scale_factor', 'autovacuum_freeze_max_age', 'track_activity_query_size')
ORDER BY name
"""

# The slots in use, grouped as people ask: by state, user, application, client; with the limit that the role has
# (-1: none) and the sum over all groups.
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

# Statements that have been running for longest.
LONG_RUNNING = """
SELECT pid, backend_start::text AS backend_start, xact_start::text AS xact_start, query_start::text AS query_start,
       usename::text AS "user", application_name AS application, host(client_addr) AS client, datname::text AS database,
       state, wait_event_type, wait_event, coalesce(r.rolsuper, false) AS superuser,
       round(extract(epoch FROM clock_timestamp() - xact_start)::numeric, 1)::float8 AS transaction_seconds,
       round(extract(epoch FROM clock_timestamp() - query_start)::numeric, 1)::float8 AS statement_seconds,
       backend_xid IS NOT NULL AS writes, left(query, 10001) AS query
FROM pg_stat_activity a LEFT JOIN pg_roles r ON r.oid = a.usesysid
WHERE state IN ('active', 'fastpath function call') AND backend_type = 'client backend' AND pid <> pg_backend_pid()
  AND clock_timestamp() - query_start > interval '1 second'
ORDER BY query_start
LIMIT 200
"""

# Sessions that sit in an open transaction and do nothing, those of the oldest transactions first.
IDLE_IN_TRANSACTION = """
SELECT pid, backend_start::text AS backend_start, xact_start::text AS xact_start, query_start::text AS query_start,
       usename::text AS "user", application_name AS application, host(client_addr) AS client, datname::text AS database,
       state, wait_event_type, wait_event, coalesce(r.rolsuper, false) AS superuser,
       round(extract(epoch FROM clock_timestamp() - xact_start)::numeric, 1)::float8 AS transaction_seconds,
       round(extract(epoch FROM clock_timestamp() - state_change)::numeric, 1)::float8 AS state_seconds,
       left(query, 10001) AS query
FROM pg_stat_activity a LEFT JOIN pg_roles r ON r.oid = a.usesysid
WHERE state LIKE 'idle in transaction%' AND backend_type = 'client backend'
ORDER BY xact_start
LIMIT 50
"""

# The lock graph from one reading of the lock table: every waiter and every blocker, with what it wants and holds.
# pg_blocking_pids() takes the lock manager for a moment, so it is called once for each waiter and for nobody else.
# waitstart (from 14) begins anew with each holder that a row's waiter waits for; what a user feels is the statement's age.
LOCKS = """
WITH locks AS MATERIALIZED (
    SELECT l.pid, l.granted, l.mode, l.relation, l.database, l.locktype, l.waitstart,
           concat_ws('/', locktype, database, relation, page, tuple, virtualxid, transactionid, classid, objid, objsubid)
               AS tag
    FROM (SELECT NULL::timestamptz AS waitstart) AS missing,
         LATERAL (SELECT locktype, database, relation, page, tuple, virtualxid, transactionid, classid, objid, objsubid,
                         pid, mode, granted, waitstart FROM pg_locks) AS l
), waiting AS MATERIALIZED (
    SELECT DISTINCT ON (pid) pid, mode, relation, database, locktype, waitstart, tag, pg_blocking_pids(pid) AS blockers
    FROM locks WHERE NOT granted AND pid IS NOT NULL ORDER BY pid
), involved AS (
    SELECT pid FROM waiting UNION SELECT unnest(blockers) FROM waiting
), held AS (
    SELECT pid, json_agg(json_build_array(tag, mode)) AS holds
    FROM locks WHERE granted AND tag IN (SELECT tag FROM waiting) GROUP BY pid
)
SELECT pid, a.backend_start::text AS backend_start, a.xact_start::text AS xact_start, a.query_start::text AS query_start,
       a.usename::text AS "user", a.application_name AS application,
       host(a.client_addr) AS client, a.datname::text AS database, a.state, a.backend_type, a.wait_event_type, a.wait_event,
       coalesce(r.rolsuper, false) AS superuser,
       round(extract(epoch FROM clock_timestamp() - a.xact_start)::numeric, 2)::float8 AS transaction_seconds,
       round(extract(epoch FROM clock_timestamp() - a.state_change)::numeric, 1)::float8 AS state_seconds,
       round(extract(epoch FROM clock_timestamp() - a.query_start)::numeric, 1)::float8 AS statement_seconds,
       round(extract(epoch FROM clock_timestamp() - w.waitstart)::numeric, 2)::float8 AS lock_seconds,
       left(a.query, 10001) AS query, w.tag AS wants, w.mode, w.locktype,
       CASE WHEN w.database = (SELECT oid FROM pg_database WHERE datname = current_database())
            THEN (SELECT relname::text FROM pg_class c WHERE c.oid = w.relation) END AS relation,
       coalesce(w.blockers, '{}') AS blockers, coalesce(h.holds, '[]') AS holds
FROM involved i
LEFT JOIN pg_stat_activity a USING (pid)
LEFT JOIN pg_roles r ON r.oid = a.usesysid
LEFT JOIN waiting w USING (pid)
LEFT JOIN held h USING (pid)
ORDER BY pid
"""

# Those that held up others when the lock graph was read, a while later: one that is in another transaction by now held it only
# for a moment (a transaction's age counts from its start, the time included that it waited itself).
HOLDERS = """
SELECT pid, backend_start::text AS backend_start, xact_start::text AS xact_start, state
FROM pg_stat_activity WHERE pid = ANY (%s) ORDER BY pid
"""

# Transactions prepared and not finished; as blockers they show as pid 0. Their locks have no pid and share the virtual
# transaction of the one on their own id.
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
FROM pg_prepared_xacts p ORDER BY waited_for DESC, p.prepared LIMIT 50
"""

# Who is active at this moment, and what for; asked several times, so that the answers together say for whom the machine works
# and what is waited for. A parallel worker works for its leader. Statements are told apart by query_id (from 14, where
# compute_query_id is on), otherwise by their text without numbers and strings, of which only a digest leaves the server.
SAMPLES = """
SELECT coalesce(a.leader_pid, a.pid) AS pid, min(a.usename::text) AS "user", min(a.application_name) AS application,
       min(a.datname::text) AS database, coalesce(bool_or(r.rolsuper), false) AS superuser,
       min(coalesce(a.query_id::text, md5(regexp_replace(left(a.query, 1000), '[0-9]+|''[^'']*''', '?', 'g'))))
           FILTER (WHERE a.leader_pid IS NULL) AS statement,
       bool_or(a.wait_event_type IS NULL OR a.wait_event_type IN ('IO', 'LWLock', 'BufferPin')) AS working,
       count(*) FILTER (WHERE a.wait_event_type IS NULL)::int AS on_processor,
       min(coalesce(a.wait_event_type || '/' || a.wait_event, 'CPU')) FILTER (WHERE a.leader_pid IS NULL) AS waits_for,
       (extract(epoch FROM clock_timestamp() - min(a.query_start)) * 1000)::float8 AS statement_ms
FROM (SELECT NULL::bigint AS query_id) AS missing,
     LATERAL (SELECT pid, leader_pid, usesysid, usename, application_name, datname, query, query_start, state, backend_type,
                     wait_event_type, wait_event, query_id FROM pg_stat_activity) AS a
LEFT JOIN pg_roles r ON r.oid = a.usesysid
WHERE a.state IN ('active', 'fastpath function call') AND a.backend_type IN ('client backend', 'parallel worker')
  AND a.pid <> pg_backend_pid()
GROUP BY 1
"""

# The statements at work now, the same ones together, with the tables that they have locked: for these plans are asked.
BUSY_STATEMENTS = """
SELECT min(a.usename::text) AS "user", array_agg(a.pid ORDER BY a.pid) AS pids,
       coalesce(a.query_id::text, md5(regexp_replace(left(a.query, 1000), '[0-9]+|''[^'']*''', '?', 'g'))) AS statement,
       min(left(a.query, 10001)) AS query, coalesce(bool_or(r.rolsuper), false) AS superuser,
       min(octet_length(a.query)) >= pg_size_bytes(current_setting('track_activity_query_size')) - 4 AS cut,
       ARRAY(SELECT DISTINCT l.relation::bigint FROM pg_locks l
             WHERE l.locktype = 'relation' AND l.granted AND l.pid = ANY (array_agg(a.pid))
               AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())) AS locked,
       EXISTS (SELECT FROM pg_locks l JOIN pg_trigger t ON t.tgrelid = l.relation JOIN pg_proc p ON p.oid = t.tgfoid
               WHERE l.locktype = 'relation' AND l.mode = 'RowExclusiveLock' AND l.pid = ANY (array_agg(a.pid))
                 AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
                 AND t.tgenabled <> 'D' AND (NOT t.tgisinternal OR p.proname ~ '^RI_FKey_(cascade|noaction|restrict|set)'))
           AS triggers
FROM (SELECT NULL::bigint AS query_id) AS missing,
     LATERAL (SELECT pid, usesysid, usename, datname, query, state, backend_type, wait_event_type, query_id
              FROM pg_stat_activity) AS a
LEFT JOIN pg_roles r ON r.oid = a.usesysid
WHERE a.state IN ('active', 'fastpath function call') AND a.backend_type = 'client backend' AND a.pid <> pg_backend_pid()
  AND a.datname = current_database() AND coalesce(a.wait_event_type, '') NOT IN ('Lock', 'Timeout', 'Client')
GROUP BY a.usesysid, 3
ORDER BY count(*) DESC, 4
LIMIT 5
"""

# The tables on which sessions are at work: an active session holds a lock on every table that its statement reads. What
# is known of each: size, changes since the last ANALYZE and what autovacuum would wait for by the server's settings (a table
# that has put its own limit higher is no fresher for it), how it is read.
BUSY_TABLES = """
WITH busy AS (
    SELECT l.relation AS oid, array_agg(DISTINCT l.pid ORDER BY l.pid) AS pids
    FROM pg_locks l JOIN pg_stat_activity a USING (pid)
    WHERE l.locktype = 'relation' AND l.granted AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND a.state IN ('active', 'fastpath function call') AND a.backend_type = 'client backend' AND a.pid <> pg_backend_pid()
      AND coalesce(a.wait_event_type, '') NOT IN ('Lock', 'Timeout')
    GROUP BY 1
)
SELECT n.nspname::text AS schema, c.relname::text AS "table", b.pids, c.relpages AS pages, c.reltuples::float8 AS estimated_rows,
       pg_stat_get_live_tuples(c.oid) AS live_rows, pg_stat_get_dead_tuples(c.oid) AS dead_rows,
       pg_stat_get_mod_since_analyze(c.oid) AS changed_since_analyze,
       extract(epoch FROM clock_timestamp() - greatest(pg_stat_get_last_analyze_time(c.oid),
                                                       pg_stat_get_last_autoanalyze_time(c.oid)))::int AS analyzed_seconds_ago,
       pg_stat_get_numscans(c.oid) AS sequential_scans, pg_stat_get_tuples_returned(c.oid) AS rows_read_sequentially,
       least((SELECT option_value::float8 FROM pg_options_to_table(c.reloptions)
              WHERE option_name = 'autovacuum_analyze_threshold'),
             current_setting('autovacuum_analyze_threshold')::float8)
       + least((SELECT option_value::float8 FROM pg_options_to_table(c.reloptions)
                WHERE option_name = 'autovacuum_analyze_scale_factor'),
               current_setting('autovacuum_analyze_scale_factor')::float8) * greatest(c.reltuples, 0) AS analyze_after
FROM busy b JOIN pg_class c USING (oid) JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'm') AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
ORDER BY cardinality(b.pids) DESC, 1, 2
LIMIT 50
"""

# Foreign keys to tables that sessions at work write to, without an index on the columns that refer to them: for each row that is
# deleted, or whose key is changed, the server reads the whole table that refers to it. No plan shows that.
FOREIGN_KEYS = """
WITH busy AS (
    SELECT l.relation AS oid, array_agg(DISTINCT l.pid ORDER BY l.pid) AS pids
    FROM pg_locks l JOIN pg_stat_activity a USING (pid)
    WHERE l.locktype = 'relation' AND l.mode = 'RowExclusiveLock' AND l.granted
      AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND a.state IN ('active', 'fastpath function call') AND a.backend_type = 'client backend' AND a.pid <> pg_backend_pid()
    GROUP BY 1
)
SELECT n.nspname::text AS schema, c.relname::text AS "table", c.reltuples::float8 AS rows, b.pids,
       pn.nspname::text AS parent_schema, p.relname::text AS parent_table, c.relkind = 'p' AS partitioned,
       ARRAY(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY AS w (attnum, place)
             JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = w.attnum ORDER BY w.place) AS columns
FROM pg_constraint k JOIN busy b ON b.oid = k.confrelid
JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_class p ON p.oid = k.confrelid JOIN pg_namespace pn ON pn.oid = p.relnamespace
WHERE k.contype = 'f' AND NOT EXISTS (
      SELECT FROM pg_index x WHERE x.indrelid = k.conrelid AND x.indisvalid AND x.indpred IS NULL
      AND (x.indkey::int2[])[0:cardinality(k.conkey) - 1] @> k.conkey)
ORDER BY c.reltuples DESC LIMIT 20
"""

# Indexes that nobody can use and every write pays for: what a failed CREATE INDEX CONCURRENTLY leaves.
INVALID_INDEXES = """
SELECT n.nspname::text AS schema, i.relname::text AS "index", t.relname::text AS "table"
FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_class t ON t.oid = x.indrelid
JOIN pg_namespace n ON n.oid = i.relnamespace
WHERE NOT x.indisvalid AND i.relkind = 'i'
  AND NOT EXISTS (SELECT FROM pg_stat_progress_create_index p WHERE p.index_relid = x.indexrelid)
ORDER BY 1, 2 LIMIT 50
"""

# The settings that roles and databases have of their own, of those that matter here.
ROLE_SETTINGS = """
SELECT r.rolname::text AS "user", d.datname::text AS database, split_part(setting, '=', 1) AS name,
       substr(setting, strpos(setting, '=') + 1) AS setting
FROM pg_db_role_setting s CROSS JOIN unnest(s.setconfig) AS setting
LEFT JOIN pg_roles r ON r.oid = s.setrole LEFT JOIN pg_database d ON d.oid = s.setdatabase
WHERE split_part(setting, '=', 1) IN ('lock_timeout', 'idle_in_transaction_session_timeout', 'statement_timeout',
                                      'default_transaction_read_only', 'search_path')
ORDER BY 1, 2, 3
"""

# What keeps vacuum from removing anything, oldest first: sessions, replication slots, standbys, prepared transactions.
OLDEST_XMIN = """
SELECT * FROM (
    SELECT 'session' AS kind, pid::text AS key, usename::text AS "user", application_name AS application, state,
           pid, backend_start::text AS backend_start, xact_start::text AS xact_start, backend_type,
           coalesce((SELECT rolsuper FROM pg_roles r WHERE r.oid = usesysid), false) AS superuser,
           greatest(age(backend_xmin), age(backend_xid)) AS xids,
           extract(epoch FROM clock_timestamp() - xact_start)::int AS seconds
    FROM pg_stat_activity WHERE (backend_xmin IS NOT NULL OR backend_xid IS NOT NULL) AND pid <> pg_backend_pid()
    UNION ALL
    SELECT 'replication slot', slot_name::text, NULL, plugin::text, CASE WHEN active THEN 'active' ELSE 'inactive' END,
           NULL, NULL, NULL, NULL, NULL,
           greatest(age(xmin), age(catalog_xmin)), NULL
    FROM pg_replication_slots WHERE xmin IS NOT NULL OR catalog_xmin IS NOT NULL
    UNION ALL
    SELECT 'standby', pid::text, usename::text, application_name, state, NULL, NULL, NULL, NULL, NULL, age(backend_xmin), NULL
    FROM pg_stat_replication WHERE backend_xmin IS NOT NULL
    UNION ALL
    SELECT 'prepared transaction', gid, owner::text, NULL, NULL, NULL, NULL, NULL, NULL, NULL, age(transaction),
           extract(epoch FROM clock_timestamp() - prepared)::int
    FROM pg_prepared_xacts
) AS holders WHERE xids IS NOT NULL ORDER BY xids DESC, seconds DESC NULLS LAST LIMIT 5
"""

# How far each database is from the end of the transaction ids (at about 2.1 billion the server takes no more writes).
WRAPAROUND = """
SELECT datname::text AS database, age(datfrozenxid) AS xids, mxid_age(datminmxid) AS multixacts
FROM pg_database WHERE datallowconn ORDER BY greatest(age(datfrozenxid), mxid_age(datminmxid)) DESC LIMIT 3
"""

# Sequences that are nearly used up, by the smaller of their own limit and what the column that they fill can hold.
SEQUENCES = """
SELECT schema, sequence, owned_by, last_value, most, round(100.0 * last_value / most, 1)::float8 AS percent
FROM (
    SELECT n.nspname::text AS schema, c.relname::text AS sequence, pg_sequence_last_value(c.oid) AS last_value,
           (SELECT t.relname || '.' || a.attname FROM pg_depend d JOIN pg_class t ON t.oid = d.refobjid
            JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
            WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype IN ('a', 'i') LIMIT 1) AS owned_by,
           least(s.seqmax, (SELECT CASE a.atttypid WHEN 'int2'::regtype THEN 32767 WHEN 'int4'::regtype THEN 2147483647 END
            FROM pg_depend d JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
            WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype IN ('a', 'i') LIMIT 1)) AS most
    FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE NOT s.seqcycle AND s.seqincrement > 0 AND c.relpersistence = 'p'
      AND (pg_has_role(c.relowner, 'USAGE') OR has_sequence_privilege(c.oid, 'SELECT, USAGE'))
    LIMIT 2000
) AS used WHERE last_value > 0.8 * most ORDER BY 1.0 * last_value / most DESC LIMIT 10
"""

# How many sequences of this database cannot be seen, with the schemas that they are in.
SEQUENCES_UNSEEN = """
SELECT count(*)::int AS number, coalesce(string_agg(DISTINCT quote_ident(n.nspname), ', '), '') AS schemas
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'S' AND c.relpersistence = 'p' AND NOT pg_has_role(c.relowner, 'USAGE')
  AND CASE WHEN c.relkind = 'S' THEN NOT has_sequence_privilege(c.oid, 'SELECT, USAGE') END
"""

# The roles that are named as the application's: whether they are there and may log in, and how many sessions they have.
APPLICATION_ROLES = """
SELECT named.name AS "user", r.oid IS NOT NULL AS "exists", coalesce(r.rolcanlogin, false) AS can_login,
       coalesce(r.rolvaliduntil < clock_timestamp(), false) AS expired,
       (SELECT count(*)::int FROM pg_stat_activity a WHERE a.usesysid = r.oid) AS sessions
FROM unnest(%s::text[]) AS named (name) LEFT JOIN pg_roles r ON r.rolname = named.name ORDER BY 1
"""

# The standbys that are connected, and how far each is behind in time.
REPLICATION = """
SELECT application_name AS application, host(client_addr) AS client, state, sync_state,
       extract(epoch FROM replay_lag)::float8 AS replay_seconds
FROM pg_stat_replication ORDER BY 1, 2 LIMIT 50
"""

# What keeps the write-ahead log on the disk: slots, the worst first.
SLOTS = """
SELECT slot_name::text AS slot, active, wal_status::text AS wal_status,
       pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn() ELSE pg_current_wal_lsn() END,
                       restart_lsn)::bigint AS kept_bytes
FROM pg_replication_slots WHERE restart_lsn IS NOT NULL ORDER BY kept_bytes DESC NULLS LAST LIMIT 10
"""

# The counters of all statements of this database but our own, without their texts. 1.8 has total_exec_time for total_time. The
# schema is put in by ``statements``.
_STATEMENTS = """
SELECT s.queryid::text AS statement, pg_get_userbyid(s.userid)::text AS "user", s.calls,
       coalesce(s.total_exec_time, s.total_time)::float8 AS total_ms, s.rows
FROM (SELECT NULL::float8 AS total_exec_time, NULL::float8 AS total_time) AS missing,
     LATERAL (SELECT userid, dbid, queryid, calls, rows, total_exec_time, total_time
              FROM {schema}.pg_stat_statements(false)) AS s
WHERE s.dbid = (SELECT oid FROM pg_database WHERE datname = current_database()) AND s.calls > 0 AND s.queryid IS NOT NULL
  AND s.userid <> (SELECT oid FROM pg_roles WHERE rolname = current_user)
ORDER BY 4 DESC LIMIT 5000
"""

# The texts of some statements, normalized by the extension; reading them reads a file that may be large.
_STATEMENT_TEXTS = """
SELECT DISTINCT ON (s.queryid) s.queryid::text AS statement, left(s.query, 10001) AS query
FROM {schema}.pg_stat_statements(true) s
WHERE s.dbid = (SELECT oid FROM pg_database WHERE datname = current_database()) AND s.queryid::text = ANY (%s)
ORDER BY s.queryid
"""


def statements(schema: str) -> str:
    """The question to pg_stat_statements in a (quoted) schema."""
    return _STATEMENTS.format(schema=schema)


def statement_texts(schema: str) -> str:
    """The question for the texts of the statements whose ids are its parameter, in a (quoted) schema."""
    return _STATEMENT_TEXTS.format(schema=schema)


@dataclasses.dataclass(frozen=True)
class Diagnostic:
    """One question: its name in the result, its text, and whether it is one row or a list of them.

    ``times`` is how often it is asked, ``pause`` seconds apart; a question without a text makes its own (``triage.MAKERS``).
    """

    name: str
    text: str = ""
    single: bool = False
    times: int = 1
    pause: float = 0.0


# In the order in which they are asked: what a verdict depends on first.
DIAGNOSTICS = (
    Diagnostic("server", SERVER, single=True),
    Diagnostic("settings", SETTINGS),
    Diagnostic("locks", LOCKS),
    Diagnostic("connections", CONNECTIONS),
    Diagnostic("application_roles"),
    Diagnostic("samples", SAMPLES, times=8, pause=0.025),
    Diagnostic("long_running", LONG_RUNNING),
    Diagnostic("idle_in_transaction", IDLE_IN_TRANSACTION),
    Diagnostic("prepared_transactions", PREPARED_TRANSACTIONS),
    Diagnostic("busy_tables", BUSY_TABLES),
    Diagnostic("foreign_keys", FOREIGN_KEYS),
    Diagnostic("role_settings", ROLE_SETTINGS),
    Diagnostic("plans", BUSY_STATEMENTS),
    Diagnostic("statements"),
    Diagnostic("replication", REPLICATION),
    Diagnostic("invalid_indexes", INVALID_INDEXES),
    Diagnostic("oldest_xmin", OLDEST_XMIN),
    Diagnostic("wraparound", WRAPAROUND),
    Diagnostic("slots", SLOTS),
    Diagnostic("sequences", SEQUENCES),
    Diagnostic("sequences_unseen", SEQUENCES_UNSEEN, single=True),
    Diagnostic("holders"),
)
