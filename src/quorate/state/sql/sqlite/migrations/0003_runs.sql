-- deploy: post
-- Who owns a run, when it wakes, how large it is, and what it is found by; and notices of what was recorded.
-- An older version would not keep these up to date, so it is refused from here on.

ALTER TABLE runs ADD COLUMN owner TEXT NOT NULL DEFAULT '';
ALTER TABLE runs ADD COLUMN attempts INTEGER NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN crashes INTEGER NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN wakes REAL;
ALTER TABLE runs ADD COLUMN principal TEXT NOT NULL DEFAULT 'local';

-- The bytes of its events.
ALTER TABLE runs ADD COLUMN size INTEGER NOT NULL DEFAULT 0;

-- A coarse `updated`: runs are listed by their last change through an index that most appends leave alone.
ALTER TABLE runs ADD COLUMN minute REAL;

-- Runs that are there already were never owned, did not crash and wake for answers only: the defaults.
UPDATE runs SET
    minute = CAST(updated / 60 AS INTEGER),
    (size, attempts) = (
        SELECT coalesce(sum(length(body)), 0), coalesce(sum(kind IN ('run.started', 'run.resumed')), 0)
        FROM events WHERE events.run = runs.run
    );

CREATE INDEX runs_by_tenant ON runs (tenant, run);
CREATE INDEX runs_by_tenant_and_status ON runs (tenant, status, run);
CREATE INDEX runs_by_session ON runs (session, run) WHERE session IS NOT NULL;
CREATE INDEX runs_by_minute ON runs (minute);
CREATE INDEX runs_by_tenant_and_minute ON runs (tenant, minute);
CREATE INDEX runs_by_owner ON runs (owner, run) WHERE status = 'running';
CREATE INDEX runs_by_wakes ON runs (wakes, run) WHERE status = 'waiting';

-- Numbers are never given twice, so that who tells of notices cannot mark a later one as told.
CREATE TABLE notices (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    run TEXT NOT NULL,
    seq INTEGER NOT NULL,
    kind TEXT NOT NULL,
    tenant TEXT NOT NULL
);
