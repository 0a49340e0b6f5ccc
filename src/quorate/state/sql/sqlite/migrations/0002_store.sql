-- deploy: pre
-- Values, blobs and leases: nothing that an older version reads or writes.

-- A rowid that is never given twice is the revision: what replaces a value is a new row.
CREATE TABLE entries (
    revision INTEGER PRIMARY KEY AUTOINCREMENT,
    key TEXT NOT NULL UNIQUE,
    updated REAL NOT NULL,
    expires REAL,
    checksum INTEGER NOT NULL,
    value BLOB NOT NULL
);

CREATE INDEX entries_by_expires ON entries (expires) WHERE expires IS NOT NULL;

CREATE TABLE blobs (
    name TEXT NOT NULL PRIMARY KEY,
    version INTEGER NOT NULL,
    size INTEGER NOT NULL,
    pieces INTEGER NOT NULL,
    saved REAL NOT NULL
) WITHOUT ROWID;

-- Versions that no name leads to: those being written, and (`replaced`) those that are only kept for who reads them
-- still. `touched` says when something last happened to them; what rested for long is swept.
CREATE TABLE blob_strays (
    version INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL,
    replaced INTEGER NOT NULL,
    touched REAL NOT NULL
);

CREATE INDEX blob_strays_by_name ON blob_strays (name);
CREATE INDEX blob_strays_by_touched ON blob_strays (touched);

CREATE TABLE blob_pieces (
    version INTEGER NOT NULL,
    number INTEGER NOT NULL,
    checksum INTEGER NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (version, number)
);

CREATE TABLE leases (
    owner TEXT NOT NULL PRIMARY KEY,
    epoch INTEGER NOT NULL,
    since REAL NOT NULL,
    expires REAL NOT NULL
) WITHOUT ROWID;
