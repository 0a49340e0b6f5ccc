-- Statements of the SQLite stores. A block begins with its name and ends at the next one.

-- name: insert_event
INSERT INTO events (run, seq, key, kind, version, attempt, time, checksum, body)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: save_run
INSERT INTO runs (run, last, status, agent, created, updated, tenant, session, task, usage, cost_usd)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (run) DO UPDATE SET
    last = excluded.last, status = excluded.status, agent = excluded.agent, created = excluded.created,
    updated = excluded.updated, tenant = excluded.tenant, session = excluded.session, task = excluded.task,
    usage = excluded.usage, cost_usd = excluded.cost_usd

-- name: advance_run
UPDATE runs SET updated = ?2, last = ?3 WHERE run = ?1

-- name: get_run
SELECT run, last, status, agent, created, updated, tenant, session, task, usage, cost_usd
FROM runs WHERE run = ?

-- name: get_last
SELECT last FROM runs WHERE run = ?

-- name: read_events
SELECT seq, version, checksum, body FROM events WHERE run = ? AND seq > ? ORDER BY seq LIMIT ?

-- name: list_runs
SELECT run, last, status, agent, created, updated, tenant, session, task, usage, cost_usd
FROM runs WHERE run < :before AND status IS NOT NULL ORDER BY run DESC LIMIT :limit

-- name: list_runs_by_status
SELECT run, last, status, agent, created, updated, tenant, session, task, usage, cost_usd
FROM runs WHERE status = :status AND run < :before ORDER BY run DESC LIMIT :limit

-- name: list_runs_by_agent
SELECT run, last, status, agent, created, updated, tenant, session, task, usage, cost_usd
FROM runs WHERE agent = :agent AND run < :before ORDER BY run DESC LIMIT :limit

-- name: list_runs_by_agent_and_status
SELECT run, last, status, agent, created, updated, tenant, session, task, usage, cost_usd
FROM runs WHERE agent = :agent AND status = :status AND run < :before ORDER BY run DESC LIMIT :limit
