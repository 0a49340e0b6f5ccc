-- deploy: post
-- The log of runs, and one line about each run kept in the same transaction.

CREATE TABLE migrations (
    number INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    applied REAL NOT NULL
);

-- With a rowid: rows go to the end of the file and only the small index is written in many places, which halves
-- the cost of an append when many runs are under way.
CREATE TABLE events (
    run TEXT NOT NULL,
    seq INTEGER NOT NULL,
    key TEXT NOT NULL,
    kind TEXT NOT NULL,
    version TEXT NOT NULL,
    attempt TEXT NOT NULL,
    time REAL NOT NULL,
    checksum INTEGER NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (run, seq)
);

-- `status` is null until `run.created` was seen.
CREATE TABLE runs (
    run TEXT NOT NULL PRIMARY KEY,
    last INTEGER NOT NULL,
    status TEXT,
    agent TEXT,
    created REAL,
    updated REAL,
    tenant TEXT,
    session TEXT,
    task TEXT,
    usage TEXT,
    cost_usd REAL
) WITHOUT ROWID;

CREATE INDEX runs_by_status ON runs (status, run);
CREATE INDEX runs_by_agent ON runs (agent, run);

CREATE INDEX runs_by_agent_and_status ON runs (agent, status, run);
