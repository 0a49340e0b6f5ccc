"""Which statements ask a PostgreSQL server how it is doing?"""

POWERS = """
SELECT EXISTS (
    SELECT 1 FROM pg_catalog.pg_roles other
    WHERE (other.rolsuper OR other.rolname IN
        ('pg_execute_server_program', 'pg_write_server_files', 'pg_read_server_files', 'pg_signal_backend'))
    AND (pg_catalog.pg_has_role(session_user, other.oid, 'MEMBER')
        OR pg_catalog.pg_has_role(current_user, other.oid, 'MEMBER'))
) AS reaches_out
"""
DATABASE = """
SELECT pg_catalog.pg_database_size(d.oid) AS size_bytes, s.blks_hit, s.blks_read, s.deadlocks, s.temp_bytes,
    pg_catalog.age(d.datfrozenxid) AS xid_age
FROM pg_catalog.pg_database d JOIN pg_catalog.pg_stat_database s ON s.datid = d.oid
WHERE d.datname = pg_catalog.current_database()
"""
ACTIVITY = """
SELECT count(*) AS connections,
    pg_catalog.current_setting('max_connections')::int AS max_connections,
    count(*) FILTER (WHERE wait_event_type = 'Lock') AS waiting,
    max(extract(epoch FROM pg_catalog.clock_timestamp() - query_start))
        FILTER (WHERE state = 'active' AND pid <> pg_catalog.pg_backend_pid()) AS longest_query_s,
    max(extract(epoch FROM pg_catalog.clock_timestamp() - state_change))
        FILTER (WHERE state LIKE 'idle in transaction%') AS longest_idle_s
FROM pg_catalog.pg_stat_activity WHERE backend_type = 'client backend' OR backend_type IS NULL
"""
REPLICATION = """
SELECT application_name, pg_catalog.pg_wal_lsn_diff(
    CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_receive_lsn()
    ELSE pg_catalog.pg_current_wal_lsn() END, replay_lsn) AS lag_bytes
FROM pg_catalog.pg_stat_replication LIMIT 50
"""
TABLES = """
SELECT schemaname || '.' || relname AS name, pg_catalog.pg_total_relation_size(relid) AS size_bytes,
    n_live_tup AS live, n_dead_tup AS dead, seq_scan, idx_scan,
    pg_catalog.to_char(greatest(last_vacuum, last_autovacuum), 'YYYY-MM-DD"T"HH24:MI:SS') AS last_vacuum,
    pg_catalog.to_char(greatest(last_analyze, last_autoanalyze), 'YYYY-MM-DD"T"HH24:MI:SS') AS last_analyze
FROM pg_catalog.pg_stat_user_tables ORDER BY size_bytes DESC, name LIMIT 200
"""
UNUSED = """
SELECT s.indexrelname AS name, s.schemaname || '.' || s.relname AS tab,
    pg_catalog.pg_relation_size(s.indexrelid) AS size_bytes
FROM pg_catalog.pg_stat_user_indexes s JOIN pg_catalog.pg_index i ON i.indexrelid = s.indexrelid
WHERE s.idx_scan = 0 AND NOT i.indisunique AND NOT i.indisprimary ORDER BY size_bytes DESC, name LIMIT 200
"""
SLOW = """
SELECT query, calls, mean_exec_time AS mean_ms, total_exec_time AS total_ms
FROM pg_stat_statements
WHERE dbid = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
ORDER BY total_exec_time DESC LIMIT 50
"""
