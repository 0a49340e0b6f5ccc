-- Statements of the SQLite stores. A block begins with its name and ends at the next one.
-- `{run_columns}` stands for the block of that name. `INDEXED BY` makes a statement fail rather than scan.

-- name: run_columns
run, last, status, agent, created, updated, tenant, session, task, usage, cost_usd, owner, attempts, crashes, wakes,
principal

-- Writing the log.

-- name: insert_event
INSERT INTO events (run, seq, key, kind, version, attempt, time, checksum, body)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: save_run
INSERT INTO runs ({run_columns}, minute, size)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (run) DO UPDATE SET
    last = excluded.last, status = excluded.status, agent = excluded.agent, created = excluded.created,
    updated = excluded.updated, tenant = excluded.tenant, session = excluded.session, task = excluded.task,
    usage = excluded.usage, cost_usd = excluded.cost_usd, owner = excluded.owner, attempts = excluded.attempts,
    crashes = excluded.crashes, wakes = excluded.wakes, principal = excluded.principal, minute = excluded.minute,
    size = size + excluded.size

-- name: change_run
INSERT INTO runs (run, last, updated, size, minute, status, usage, cost_usd, owner, attempts, crashes, wakes)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (run) DO UPDATE SET
    last = excluded.last, updated = excluded.updated, size = size + excluded.size, minute = excluded.minute,
    status = excluded.status, usage = excluded.usage, cost_usd = excluded.cost_usd, owner = excluded.owner,
    attempts = excluded.attempts, crashes = excluded.crashes, wakes = excluded.wakes

-- name: advance_run
INSERT INTO runs (run, last, updated, size) VALUES (?, ?, ?, ?)
ON CONFLICT (run) DO UPDATE SET last = excluded.last, updated = excluded.updated, size = size + excluded.size

-- name: advance_run_to_a_minute
INSERT INTO runs (run, last, updated, size, minute) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (run) DO UPDATE SET
    last = excluded.last, updated = excluded.updated, size = size + excluded.size, minute = excluded.minute

-- name: insert_notice
INSERT INTO notices (run, seq, kind, tenant) VALUES (?, ?, ?, ?)

-- name: delete_events
DELETE FROM events WHERE run = ?

-- name: delete_run
DELETE FROM runs WHERE run = ?

-- Reading the log.

-- name: get_run
SELECT {run_columns} FROM runs WHERE run = ?

-- name: get_last
SELECT last FROM runs WHERE run = ?

-- name: read_events
SELECT seq, version, checksum, body FROM events WHERE run = ? AND seq > ? ORDER BY seq LIMIT ?

-- name: get_updated
SELECT updated FROM runs WHERE run = ? AND status IS NOT NULL

-- Lists of runs are put together from these: an index, the filters, one page, one order.

-- name: list_runs
SELECT {run_columns} FROM runs {index} WHERE {filters} AND {page} ORDER BY {order} LIMIT :limit

-- name: any
status IS NOT NULL

-- name: one_status
status = :status

-- name: one_agent
agent = :agent

-- name: one_session
session = :session

-- name: one_tenant
tenant = :tenant

-- name: page_newest
run < :before

-- name: page_oldest
run > :before

-- name: page_updated
minute <= :minute AND (updated, run) < (:updated, :before)

-- name: order_newest
run DESC

-- name: order_oldest
run

-- name: order_updated
minute DESC, updated DESC, run DESC

-- Values. What has expired is absent; `:end` is a blob where a range has no end, since every text sorts before it.

-- name: get_entry
SELECT key, revision, updated, expires, checksum, value FROM entries
WHERE key = :key AND (expires IS NULL OR expires > :now)

-- name: get_revision
SELECT revision FROM entries WHERE key = :key AND (expires IS NULL OR expires > :now)

-- name: put_entry
INSERT OR REPLACE INTO entries (key, updated, expires, checksum, value) VALUES (?, ?, ?, ?, ?)

-- name: delete_entry
DELETE FROM entries WHERE key = ?

-- name: sweep_entries
DELETE FROM entries WHERE revision IN (
    SELECT revision FROM entries INDEXED BY entries_by_expires WHERE expires <= :now ORDER BY expires LIMIT :limit
)

-- name: scan_entries
SELECT key, revision, updated, expires, checksum, value FROM entries
WHERE key >= :begin AND key < :end AND (expires IS NULL OR expires > :now) ORDER BY key LIMIT :limit

-- name: scan_entries_after
SELECT key, revision, updated, expires, checksum, value FROM entries
WHERE key > :begin AND key < :end AND (expires IS NULL OR expires > :now) ORDER BY key LIMIT :limit

-- Blobs.

-- name: begin_blob
INSERT INTO blob_strays (name, replaced, touched) VALUES (?, 0, ?)

-- name: touch_stray
UPDATE blob_strays SET touched = :now WHERE version = :version AND replaced = 0

-- name: insert_piece
INSERT INTO blob_pieces (version, number, checksum, body) VALUES (?, ?, ?, ?)

-- name: publish_blob
INSERT OR REPLACE INTO blobs (name, version, size, pieces, saved) VALUES (?, ?, ?, ?, ?)

-- name: insert_stray
INSERT INTO blob_strays (version, name, replaced, touched) VALUES (?, ?, 1, ?)

-- name: delete_stray
DELETE FROM blob_strays WHERE version = ?

-- name: get_blob
SELECT version, size, pieces FROM blobs WHERE name = ?

-- name: get_piece
SELECT checksum, body FROM blob_pieces WHERE version = ? AND number = ?

-- name: delete_blob
DELETE FROM blobs WHERE name = ?

-- name: condemn_strays_of
UPDATE blob_strays SET touched = -1 WHERE name = ? AND replaced = 1

-- name: find_strays_of
SELECT version FROM blob_strays INDEXED BY blob_strays_by_name WHERE name = ? AND replaced = 1

-- name: condemn_stray
UPDATE blob_strays SET replaced = 1, touched = -1 WHERE version = ? AND touched < ?

-- name: find_strays
SELECT version FROM blob_strays INDEXED BY blob_strays_by_touched WHERE touched < ? ORDER BY touched LIMIT ?

-- name: delete_pieces
DELETE FROM blob_pieces WHERE version = ?1 AND number IN (
    SELECT number FROM blob_pieces WHERE version = ?1 ORDER BY number LIMIT ?2
)

-- name: list_blobs
SELECT name, size, saved FROM blobs WHERE name >= :begin AND name < :end ORDER BY name LIMIT :limit

-- name: list_blobs_after
SELECT name, size, saved FROM blobs WHERE name > :begin AND name < :end ORDER BY name LIMIT :limit

-- Leases.

-- name: get_lease
SELECT owner, epoch, since, expires FROM leases WHERE owner = ?

-- name: save_lease
INSERT OR REPLACE INTO leases (owner, epoch, since, expires) VALUES (?, ?, ?, ?)

-- name: drop_lease
DELETE FROM leases WHERE owner = ?

-- name: declare_dead
UPDATE leases SET epoch = epoch + 1 WHERE owner = ?

-- name: list_leases
SELECT owner, epoch, since, expires FROM leases ORDER BY owner

-- name: find_queued
SELECT {run_columns} FROM runs INDEXED BY runs_by_status WHERE status = 'queued' ORDER BY run LIMIT :limit

-- name: find_due
SELECT {run_columns} FROM runs INDEXED BY runs_by_wakes
WHERE status = 'waiting' AND wakes <= :now ORDER BY run LIMIT :limit

-- name: find_owner
-- The owners of what runs, each looked up behind the one before, so that their runs are not read.
SELECT min(owner) FROM runs INDEXED BY runs_by_owner WHERE status = 'running' AND owner > ?

-- name: find_owned
SELECT {run_columns} FROM runs INDEXED BY runs_by_owner
WHERE status = 'running' AND owner = :owner ORDER BY run LIMIT :limit

-- name: find_queued_of
SELECT {run_columns} FROM runs INDEXED BY runs_by_status
WHERE status = 'queued' AND agent IN (SELECT value FROM json_each(:agents)) ORDER BY run LIMIT :limit

-- name: find_due_of
SELECT {run_columns} FROM runs INDEXED BY runs_by_wakes
WHERE status = 'waiting' AND wakes <= :now AND agent IN (SELECT value FROM json_each(:agents))
ORDER BY run LIMIT :limit

-- name: find_owned_of
SELECT {run_columns} FROM runs INDEXED BY runs_by_owner
WHERE status = 'running' AND owner = :owner AND agent IN (SELECT value FROM json_each(:agents))
ORDER BY run LIMIT :limit

-- The outbox.

-- name: list_notices
SELECT id, run, seq, kind, tenant FROM notices ORDER BY id LIMIT ?

-- name: delete_notice
DELETE FROM notices WHERE id = ?
