-- deploy: post
-- The log of runs with one line about each, values, blobs, leases and the outbox.
-- Text is compared by its bytes (COLLATE "C"), so that order is the same on every server and in every backend.

CREATE TABLE migrations (
    number integer PRIMARY KEY,
    name text NOT NULL,
    breaking boolean NOT NULL,
    applied double precision NOT NULL
);

-- Bodies are bytes, not `jsonb`: a checksum covers what was written, and JSON may hold U+0000, which text may not.
CREATE TABLE events (
    run text COLLATE "C" NOT NULL,
    seq bigint NOT NULL,
    kind text COLLATE "C" NOT NULL,
    version text COLLATE "C" NOT NULL,
    checksum bigint NOT NULL,
    body bytea NOT NULL,
    PRIMARY KEY (run, seq)
);

-- `summary` is the line as it was when its run last changed in more than position and time, which `last` and
-- `updated` tell; the columns beside it are what runs are found by, all null until `run.created` was seen.
-- `minute` is a coarse `updated`: with an index on it runs are listed by their last change, and yet most appends
-- change no indexed column, so that they touch no index at all (HOT; the room for it is what `fillfactor` leaves).
CREATE TABLE runs (
    run text COLLATE "C" PRIMARY KEY,
    last bigint NOT NULL,
    status text COLLATE "C",
    agent text COLLATE "C",
    tenant text COLLATE "C",
    session text COLLATE "C",
    owner text COLLATE "C",
    wakes double precision,
    updated double precision,
    minute double precision GENERATED ALWAYS AS (floor(updated / 60)) STORED,
    summary bytea
) WITH (fillfactor = 60);

CREATE INDEX runs_by_status ON runs (status, run);
CREATE INDEX runs_by_agent ON runs (agent, run);
CREATE INDEX runs_by_tenant ON runs (tenant, run);
CREATE INDEX runs_by_tenant_and_status ON runs (tenant, status, run);
CREATE INDEX runs_by_session ON runs (session, run) WHERE session IS NOT NULL;
CREATE INDEX runs_by_minute ON runs (minute);
CREATE INDEX runs_by_tenant_and_minute ON runs (tenant, minute);
CREATE INDEX runs_by_wakes ON runs (wakes) WHERE status = 'waiting' AND wakes IS NOT NULL;
CREATE INDEX runs_by_owner ON runs (owner, run) WHERE status = 'running';

CREATE SEQUENCE revisions;

CREATE TABLE entries (
    key text COLLATE "C" PRIMARY KEY,
    revision bigint NOT NULL,
    updated double precision NOT NULL,
    expires double precision,
    checksum bigint NOT NULL,
    value bytea NOT NULL
);

CREATE INDEX entries_by_expires ON entries (expires) WHERE expires IS NOT NULL;

CREATE SEQUENCE blob_versions;

-- `previous` is what the last change replaced: an upsert returns it, so that no two of them can lose a version.
CREATE TABLE blobs (
    name text COLLATE "C" PRIMARY KEY,
    version bigint NOT NULL,
    previous bigint,
    size bigint NOT NULL,
    pieces integer NOT NULL,
    saved double precision NOT NULL
);

-- Versions that no name leads to: those being written, and those replaced a short while ago that may still be read.
CREATE TABLE blob_strays (
    version bigint PRIMARY KEY,
    name text COLLATE "C" NOT NULL,
    replaced boolean NOT NULL,
    touched double precision NOT NULL
);

CREATE INDEX blob_strays_by_touched ON blob_strays (touched);
CREATE INDEX blob_strays_by_name ON blob_strays (name);

CREATE TABLE blob_pieces (
    version bigint NOT NULL,
    number integer NOT NULL,
    checksum bigint NOT NULL,
    body bytea NOT NULL,
    PRIMARY KEY (version, number)
);

-- What comes here is compressed or encrypted already.
ALTER TABLE blob_pieces ALTER COLUMN body SET STORAGE EXTERNAL;

CREATE TABLE leases (
    owner text COLLATE "C" PRIMARY KEY,
    epoch bigint NOT NULL,
    since double precision NOT NULL,
    expires double precision NOT NULL
);

CREATE TABLE notices (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run text COLLATE "C" NOT NULL,
    seq bigint NOT NULL,
    kind text COLLATE "C" NOT NULL,
    tenant text COLLATE "C" NOT NULL
);
