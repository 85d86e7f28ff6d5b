-- The lab's database, shaped like the custody service that the runbooks were first written for.
-- Roles hold what a user would grant them and nothing more (docs/database-roles).
CREATE ROLE custody_owner LOGIN;
CREATE ROLE custody_app LOGIN;
CREATE ROLE custody_monitor LOGIN;
CREATE ROLE custody_planner LOGIN;
CREATE ROLE custody_mitigation LOGIN;
CREATE ROLE reporting LOGIN;
CREATE ROLE batch LOGIN;
CREATE ROLE billing LOGIN;
CREATE ROLE ledger LOGIN;
CREATE ROLE custody_admin LOGIN CREATEROLE;
GRANT pg_monitor TO custody_monitor;
GRANT pg_signal_backend, pg_read_all_stats TO custody_mitigation, custody_admin;
GRANT pg_read_all_settings TO custody_admin;
GRANT custody_owner TO custody_admin;
GRANT billing, ledger, batch, reporting, custody_app TO custody_admin WITH ADMIN OPTION;
DO $$BEGIN IF current_setting('server_version_num')::int >= 150000 THEN EXECUTE 'GRANT ALTER SYSTEM ON PARAMETER synchronous_standby_names TO custody_admin'; END IF; IF current_setting('server_version_num')::int >= 160000 THEN GRANT pg_use_reserved_connections TO custody_monitor, custody_mitigation, custody_admin; END IF; END$$;

CREATE DATABASE analytics_db OWNER custody_owner;
CREATE DATABASE custody_db OWNER custody_owner;

\connect analytics_db
SET ROLE custody_owner;
CREATE TABLE events (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, tenant_id int NOT NULL, kind text NOT NULL);
INSERT INTO events (tenant_id, kind) SELECT 1 + i % 40, 'sign' FROM generate_series(1, 5000) AS i;
GRANT SELECT ON events TO reporting, batch;
GRANT INSERT, UPDATE ON events TO batch;
RESET ROLE;

\connect custody_db
CREATE SCHEMA monitoring;
GRANT USAGE ON SCHEMA monitoring TO custody_monitor;
CREATE EXTENSION pg_stat_statements SCHEMA monitoring;
GRANT EXECUTE ON FUNCTION pg_reload_conf() TO custody_admin;
SET ROLE custody_owner;
CREATE TABLE tenants (id int PRIMARY KEY, name text NOT NULL);
CREATE TABLE custody_keys (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id int NOT NULL REFERENCES tenants (id),
    label text NOT NULL,
    active boolean NOT NULL DEFAULT true,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE custody_usage (
    tenant_id int PRIMARY KEY REFERENCES tenants (id),
    signatures bigint NOT NULL DEFAULT 0,
    last_used timestamptz
);
CREATE TABLE logins (user_id int PRIMARY KEY, name text NOT NULL);
CREATE TABLE batch_jobs (id int PRIMARY KEY, note text NOT NULL, done boolean NOT NULL DEFAULT false);
CREATE TABLE audit_entries (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, reference int NOT NULL, tenant_id int NOT NULL);
CREATE TABLE import_lines (line int NOT NULL, parent int NOT NULL, batch int NOT NULL, kind int NOT NULL, tenant_id int NOT NULL);
INSERT INTO tenants SELECT i, 'tenant ' || i FROM generate_series(1, 40) AS i;
INSERT INTO custody_keys (tenant_id, label, active)
    SELECT 1 + i % 40, 'key ' || i, i % 3 > 0 FROM generate_series(1, 40000) AS i;
INSERT INTO custody_usage (tenant_id) SELECT id FROM tenants;
INSERT INTO logins SELECT i, 'user ' || i FROM generate_series(1, 400) AS i;
INSERT INTO batch_jobs SELECT i, 'nightly ' || i FROM generate_series(1, 200) AS i;
INSERT INTO audit_entries (reference, tenant_id) SELECT i / 4, 1 + i % 40 FROM generate_series(1, 600000) AS i;
INSERT INTO import_lines SELECT i, i - 1, 1 + i % 10, 1 + i % 8, 1 + i % 40 FROM generate_series(1, 20000) AS i;
CREATE INDEX audit_entries_reference ON audit_entries (reference);
CREATE INDEX custody_keys_tenant ON custody_keys (tenant_id, active);
GRANT SELECT ON ALL TABLES IN SCHEMA public TO custody_app, custody_planner, reporting, batch;
GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO custody_monitor;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON SEQUENCES TO custody_monitor;
GRANT INSERT, UPDATE ON custody_keys, custody_usage TO custody_app;
GRANT UPDATE ON batch_jobs TO batch;
RESET ROLE;
VACUUM ANALYZE;

\connect custody_db
-- Once more from another session: what an earlier one has counted arrives late, and would look like changes since.
VACUUM ANALYZE;
