-- Statements of the PostgreSQL store. A block begins with its name and ends at the next one.
-- `{now}` stands for the block `now`; times are seconds since 1970 by the database's own clock.
-- It is written as `(SELECT {now})` where an index is to be used, which needs a value that stays while it is searched.

-- name: now
extract(epoch FROM clock_timestamp())::double precision

-- Opening.

-- name: look
SELECT current_setting('server_version_num')::integer AS version,
       current_setting('server_encoding') AS encoding,
       EXISTS (SELECT FROM pg_namespace WHERE nspname = $1) AS is_there,
       to_regclass(format('%I.migrations', $1::text)) IS NOT NULL AS is_ours,
       EXISTS (SELECT FROM pg_class WHERE relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = $1)) AS is_used

-- name: has_schema
SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)

-- name: make_schema
CREATE SCHEMA {schema}

-- name: list_migrations
SELECT number, breaking FROM migrations ORDER BY number

-- name: lock_schema
SELECT pg_advisory_xact_lock(hashtextextended('quorate migrations of ' || $1, 0))

-- name: note_migration
INSERT INTO migrations (number, name, breaking, applied) VALUES ($1, $2, $3, {now})

-- name: speak_for
SELECT set_config('quorate.tenant', $1, false)

-- Rows of one tenant alone: see `_postgres_tenants.py`.

-- name: look_at_tenants
-- Whether the role is there, may be taken by us and is bound by policies, whether we are not, and what is set up.
SELECT
    r.oid IS NOT NULL,
    coalesce(pg_has_role(current_user, r.oid, 'MEMBER'), false),
    coalesce(r.rolsuper OR r.rolbypassrls OR pg_has_role(r.oid, c.relowner, 'USAGE'), false),
    pg_has_role(current_user, c.relowner, 'USAGE'),
    (SELECT count(*) FROM pg_policies WHERE schemaname = $2 AND policyname = $3)
FROM (SELECT $1::text AS role) AS w
LEFT JOIN pg_roles AS r ON r.rolname = w.role
LEFT JOIN pg_class AS c ON c.relname = 'runs'
    AND c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = $2)

-- name: keep_commits
SELECT set_config('synchronous_commit', 'on', false)
WHERE current_setting('synchronous_commit') IN ('off', 'local')

-- The log.

-- name: move
-- What `append` does, where every run only moves on: the usual case, for which less has to be set up.
WITH moved AS (
    UPDATE runs SET last = m.last, updated = m.updated
    FROM unnest(
        $1::text::text[], $2::text::bigint[], $3::text::bigint[], $4::text::double precision[],
        $5::text::double precision[]
    ) AS m (run, expected, last, was, updated)
    WHERE runs.run = m.run AND runs.last = m.expected AND runs.updated IS NOT DISTINCT FROM m.was
    RETURNING runs.run
), recorded AS (
    INSERT INTO events (run, seq, kind, version, checksum, body)
    SELECT run, seq, kind, $6, checksum, body
    FROM unnest($7::text::text[], $8::text::bigint[], $9::text::text[], $10::text::bigint[], $11::bytea[])
        AS e (run, seq, kind, checksum, body)
    WHERE (run IN (SELECT run FROM moved)) IS TRUE
)
SELECT run FROM moved

-- name: append
-- Moves on the runs that are where they are expected, begins those that are expected to be new, and records events
-- and notices of exactly these. A run that was deleted and written anew has another `updated`, where `last` is alike.
-- Most runs only move on, and their lines stay as they are; `IN (...) IS TRUE` makes a list a hash, never a join.
-- Arrays of short values come as text: the driver takes longer to write them in binary than the server to read them.
WITH moved AS (
    UPDATE runs SET last = m.last, updated = m.updated
    FROM unnest(
        $1::text::text[], $2::text::bigint[], $3::text::bigint[], $4::text::double precision[],
        $5::text::double precision[]
    ) AS m (run, expected, last, was, updated)
    WHERE runs.run = m.run AND runs.last = m.expected AND runs.updated IS NOT DISTINCT FROM m.was
    RETURNING runs.run
), given AS (
    SELECT * FROM unnest(
        $6::text[], $7::bigint[], $8::bigint[], $9::double precision[], $10::double precision[], $11::text[],
        $12::text[], $13::text[], $14::text[], $15::text[], $16::double precision[], $17::bytea[]
    ) AS g (run, expected, last, was, updated, status, agent, tenant, session, owner, wakes, summary)
), changed AS (
    UPDATE runs
    SET last = g.last, updated = g.updated, status = g.status, agent = g.agent, tenant = g.tenant,
        session = g.session, owner = g.owner, wakes = g.wakes, summary = g.summary
    FROM given AS g
    WHERE g.expected > 0 AND runs.run = g.run AND runs.last = g.expected AND runs.updated IS NOT DISTINCT FROM g.was
    RETURNING runs.run
), begun AS (
    INSERT INTO runs (run, last, updated, status, agent, tenant, session, owner, wakes, summary)
    SELECT run, last, updated, status, agent, tenant, session, owner, wakes, summary
    FROM given WHERE expected = 0
    ON CONFLICT (run) DO NOTHING
    RETURNING runs.run
), written AS (
    SELECT run FROM moved UNION ALL SELECT run FROM changed UNION ALL SELECT run FROM begun
), recorded AS (
    INSERT INTO events (run, seq, kind, version, checksum, body)
    SELECT run, seq, kind, $18, checksum, body
    FROM unnest($19::text::text[], $20::text::bigint[], $21::text::text[], $22::text::bigint[], $23::bytea[])
        AS e (run, seq, kind, checksum, body)
    WHERE (run IN (SELECT run FROM written)) IS TRUE
), noted AS (
    INSERT INTO notices (run, seq, kind, tenant)
    SELECT run, seq, kind, tenant
    FROM unnest($24::text[], $25::bigint[], $26::text[], $27::text[]) AS n (run, seq, kind, tenant)
    WHERE (run IN (SELECT run FROM written)) IS TRUE
)
SELECT run FROM written

-- name: find_locked
WITH free AS (
    SELECT r.run FROM unnest($1::text[]) AS g (run)
    CROSS JOIN LATERAL (SELECT run FROM runs WHERE runs.run = g.run FOR UPDATE SKIP LOCKED) AS r
)
SELECT r.run FROM unnest($1::text[]) AS g (run)
CROSS JOIN LATERAL (SELECT run FROM runs WHERE runs.run = g.run) AS r
WHERE (r.run IN (SELECT run FROM free)) IS NOT TRUE

-- name: get_states
SELECT g.run, r.last, r.updated, r.summary
FROM unnest($1::text[]) AS g (run)
CROSS JOIN LATERAL (SELECT last, updated, summary FROM runs WHERE runs.run = g.run) AS r

-- name: get_last
SELECT last FROM runs WHERE run = $1

-- name: read_events
SELECT r.last, coalesce(e.seq, 0), e.version, e.checksum, e.body
FROM runs AS r
LEFT JOIN LATERAL (
    SELECT seq, version, checksum, body FROM events WHERE run = $1 AND seq > $2 ORDER BY seq LIMIT $3
) AS e ON true
WHERE r.run = $1

-- name: read_many
SELECT r.run, r.last, coalesce(e.seq, 0), e.version, e.checksum, e.body
FROM unnest($1::text[]) AS g (run)
CROSS JOIN LATERAL (SELECT run, last FROM runs WHERE runs.run = g.run) AS r
LEFT JOIN LATERAL (
    SELECT seq, version, checksum, body FROM events WHERE events.run = r.run ORDER BY seq
) AS e ON true

-- name: delete_run
DELETE FROM runs WHERE run = $1

-- name: delete_events
DELETE FROM events WHERE run = $1

-- Lists of runs are put together from these: one filter of each kind, one page, one order.
-- All take the same parameters, so a filter that is not wanted still says which types they have.

-- name: list_runs
SELECT run, last, updated, summary FROM runs
WHERE status IS NOT NULL AND {status} AND {agent} AND {session} AND {tenant} AND {page}
ORDER BY {order} LIMIT $5

-- name: any_status
$1::text IS NULL

-- name: one_status
status = $1

-- name: any_agent
$2::text IS NULL

-- name: one_agent
agent = $2

-- name: any_session
$3::text IS NULL

-- name: one_session
session = $3

-- name: any_tenant
$4::text IS NULL

-- name: one_tenant
tenant = $4

-- name: first_page
$6::text IS NULL AND $7::double precision IS NULL

-- name: page_newest
run < $6 AND $7::double precision IS NULL

-- name: page_oldest
run > $6 AND $7::double precision IS NULL

-- name: page_updated
minute <= floor($7::double precision / 60) AND (updated, run) < ($7, $6)

-- name: order_newest
run DESC

-- name: order_oldest
run

-- name: order_updated
minute DESC, updated DESC, run DESC

-- name: get_updated
SELECT updated FROM runs WHERE run = $1 AND status IS NOT NULL

-- Values.

-- name: get_entry
SELECT key, revision, updated, expires, checksum, value FROM entries
WHERE key = $1 AND (expires IS NULL OR expires > {now})

-- name: put_entry
-- The revision is taken again where a row is replaced: only then is it sure to be after the one it replaces.
INSERT INTO entries (key, revision, updated, expires, checksum, value)
SELECT $1, nextval('revisions'), t.now, t.now + $2::double precision, $3, $4 FROM (SELECT {now}) AS t (now)
ON CONFLICT (key) DO UPDATE
SET revision = nextval('revisions'), updated = excluded.updated, expires = excluded.expires,
    checksum = excluded.checksum, value = excluded.value
RETURNING revision, updated, expires

-- name: add_entry
INSERT INTO entries (key, revision, updated, expires, checksum, value)
SELECT $1, nextval('revisions'), t.now, t.now + $2::double precision, $3, $4 FROM (SELECT {now}) AS t (now)
ON CONFLICT (key) DO UPDATE
SET revision = nextval('revisions'), updated = excluded.updated, expires = excluded.expires,
    checksum = excluded.checksum, value = excluded.value
WHERE entries.expires <= {now}
RETURNING revision, updated, expires

-- name: replace_entry
UPDATE entries
SET revision = nextval('revisions'), updated = t.now, expires = t.now + $2::double precision, checksum = $3, value = $4
FROM (SELECT {now}) AS t (now)
WHERE key = $1 AND revision = $5 AND (entries.expires IS NULL OR entries.expires > t.now)
RETURNING entries.revision, entries.updated, entries.expires

-- name: get_revision
SELECT revision FROM entries WHERE key = $1 AND (expires IS NULL OR expires > {now})

-- name: delete_entry
DELETE FROM entries WHERE key = $1 RETURNING expires IS NULL OR expires > {now}

-- name: delete_entry_of
DELETE FROM entries WHERE key = $1 AND revision = $2 AND (expires IS NULL OR expires > {now}) RETURNING true

-- name: sweep_entries
DELETE FROM entries
WHERE key IN (
    SELECT key FROM entries WHERE expires <= (SELECT {now}) ORDER BY expires LIMIT $1 FOR UPDATE SKIP LOCKED
)

-- name: scan_entries
SELECT key, revision, updated, expires, checksum, value FROM entries
WHERE key >= $1 AND key > $2 AND starts_with(key, $1) AND {end} AND (expires IS NULL OR expires > {now})
ORDER BY key LIMIT $4

-- name: scan_entries_end
key < $3

-- name: end_nowhere
$3::text IS NULL

-- Blobs.

-- name: begin_blob
INSERT INTO blob_strays (version, name, replaced, touched)
VALUES (nextval('blob_versions'), $1, false, {now}) RETURNING version

-- name: add_piece
WITH touched AS (
    UPDATE blob_strays SET touched = {now} WHERE version = $1 AND NOT replaced RETURNING version
)
INSERT INTO blob_pieces (version, number, checksum, body) SELECT version, $2, $3, $4 FROM touched RETURNING number

-- name: publish_blob
WITH mine AS (
    DELETE FROM blob_strays WHERE version = $2 AND NOT replaced RETURNING version
), published AS (
    INSERT INTO blobs (name, version, size, pieces, saved) SELECT $1, version, $3, $4, {now} FROM mine
    ON CONFLICT (name) DO UPDATE
    SET previous = blobs.version, version = excluded.version, size = excluded.size, pieces = excluded.pieces,
        saved = excluded.saved
    RETURNING version, previous
), kept AS (
    INSERT INTO blob_strays (version, name, replaced, touched)
    SELECT previous, $1, true, {now} FROM published WHERE previous IS NOT NULL
)
SELECT version FROM published

-- name: put_small_blob
WITH published AS (
    INSERT INTO blobs (name, version, size, pieces, saved)
    SELECT $1, nextval('blob_versions'), $2, $3, {now}
    ON CONFLICT (name) DO UPDATE
    SET previous = blobs.version, version = excluded.version, size = excluded.size, pieces = excluded.pieces,
        saved = excluded.saved
    RETURNING version, previous
), kept AS (
    INSERT INTO blob_strays (version, name, replaced, touched)
    SELECT previous, $1, true, {now} FROM published WHERE previous IS NOT NULL
)
INSERT INTO blob_pieces (version, number, checksum, body)
SELECT version, 0, $4, $5 FROM published WHERE $3 > 0

-- name: get_blob
SELECT version, size, pieces FROM blobs WHERE name = $1

-- name: get_piece
SELECT checksum, body FROM blob_pieces WHERE version = $1 AND number = $2

-- name: is_published
SELECT EXISTS (SELECT FROM blobs WHERE name = $1 AND version = $2)

-- name: delete_blob
WITH gone AS (
    DELETE FROM blobs WHERE name = $1 RETURNING version
), strays AS (
    DELETE FROM blob_strays WHERE name = $1 AND replaced RETURNING version
), pieces AS (
    DELETE FROM blob_pieces
    WHERE version = ANY (ARRAY(SELECT version FROM gone UNION ALL SELECT version FROM strays))
)
SELECT count(*) FROM gone

-- name: drop_stray
WITH strays AS (
    DELETE FROM blob_strays WHERE version = $1 RETURNING version
)
DELETE FROM blob_pieces WHERE version = ANY (ARRAY(SELECT version FROM strays))

-- name: sweep_strays
WITH strays AS (
    DELETE FROM blob_strays
    WHERE version = ANY (ARRAY(
        SELECT version FROM blob_strays WHERE touched < (SELECT {now}) - $1::double precision
        ORDER BY touched LIMIT $2 FOR UPDATE SKIP LOCKED
    ))
    RETURNING version
)
DELETE FROM blob_pieces WHERE version = ANY (ARRAY(SELECT version FROM strays))

-- name: list_blobs
SELECT name, size, saved FROM blobs
WHERE name >= $1 AND name > $2 AND starts_with(name, $1) AND {end} ORDER BY name LIMIT $4

-- name: list_blobs_end
name < $3

-- Leases.

-- name: begin_lease
INSERT INTO leases (owner, epoch, since, expires)
SELECT $1, 1, t.now, t.now + $2::double precision FROM (SELECT {now}) AS t (now)
ON CONFLICT (owner) DO NOTHING
RETURNING epoch, since, expires

-- name: prolong_lease
UPDATE leases
SET since = CASE WHEN t.now <= expires AND expires <= t.now + $2 THEN since ELSE t.now END, expires = t.now + $2
FROM (SELECT {now}) AS t (now)
WHERE owner = $1 AND epoch = $3
RETURNING epoch, since, expires

-- name: drop_lease
DELETE FROM leases WHERE owner = $1

-- name: list_leases
SELECT owner, epoch, since, expires FROM leases ORDER BY owner

-- name: find_ready
-- What is queued, and what waits and whose time has come; each branch by its own index.
(SELECT run, last, updated, summary FROM runs WHERE status = 'queued' ORDER BY run LIMIT $1)
UNION ALL
(SELECT run, last, updated, summary FROM runs WHERE status = 'waiting' AND wakes <= (SELECT {now}) ORDER BY run LIMIT $1)

-- name: find_owners
-- The owners of what runs, each looked up behind the one before, so that their runs are not read.
WITH RECURSIVE owners AS (
    (SELECT owner FROM runs WHERE status = 'running' AND owner > '' ORDER BY owner LIMIT 1)
    UNION ALL
    SELECT (SELECT owner FROM runs WHERE status = 'running' AND owner > o.owner ORDER BY owner LIMIT 1)
    FROM owners AS o WHERE o.owner IS NOT NULL
)
SELECT owner FROM owners WHERE owner IS NOT NULL

-- name: declare_dead
-- Of some owners, those without a living lease, declared dead; nobody says so who was not alive for a whole while.
WITH t AS (
    SELECT {now} AS now
), judge AS (
    SELECT FROM leases, t
    WHERE owner = $2 AND epoch = $3 AND since + $4 <= now AND now <= expires AND expires <= now + $4
), dead AS (
    UPDATE leases SET epoch = epoch + 1 FROM t
    WHERE owner = ANY ($1::text[]) AND NOT (t.now <= expires AND expires <= t.now + $4) AND EXISTS (SELECT FROM judge)
    RETURNING owner
)
SELECT owner FROM dead
UNION ALL
SELECT g.owner FROM unnest($1::text[]) AS g (owner)
WHERE EXISTS (SELECT FROM judge) AND NOT EXISTS (SELECT FROM leases WHERE leases.owner = g.owner)

-- name: find_abandoned
SELECT r.run, r.last, r.updated, r.summary
FROM unnest($1::text[]) AS g (owner)
CROSS JOIN LATERAL (
    SELECT run, last, updated, summary FROM runs WHERE status = 'running' AND owner = g.owner ORDER BY run LIMIT $2
) AS r

-- name: find_ready_of
-- The same, of some agents.
(
    SELECT run, last, updated, summary FROM runs
    WHERE status = 'queued' AND agent = ANY ($2::text[]) ORDER BY run LIMIT $1
)
UNION ALL
(
    SELECT run, last, updated, summary FROM runs
    WHERE status = 'waiting' AND wakes <= (SELECT {now}) AND agent = ANY ($2::text[]) ORDER BY run LIMIT $1
)

-- name: find_owners_of
-- The owners of what runs of some agents: who cannot take what a dead one left does not say that it is dead.
SELECT DISTINCT owner FROM runs WHERE status = 'running' AND owner > '' AND agent = ANY ($1::text[])

-- name: find_abandoned_of
SELECT r.run, r.last, r.updated, r.summary
FROM unnest($1::text[]) AS g (owner)
CROSS JOIN LATERAL (
    SELECT run, last, updated, summary FROM runs
    WHERE status = 'running' AND owner = g.owner AND agent = ANY ($3::text[]) ORDER BY run LIMIT $2
) AS r

-- The outbox.

-- name: list_notices
SELECT id, run, seq, kind, tenant FROM notices ORDER BY id LIMIT $1

-- name: delete_notices
DELETE FROM notices WHERE id = ANY ($1::bigint[])
