-- What was asked for under a name, so that it is done once.

CREATE TABLE requests (
    -- A digest of the name, and of whoever has given it.
    name BLOB PRIMARY KEY CHECK (length(name) = 32),
    -- A digest of what was asked for, made like those of keys.
    fingerprint BLOB NOT NULL CHECK (length(fingerprint) = 32),
    -- What came of it. The key may be deleted since.
    key_id BLOB NOT NULL CHECK (length(key_id) = 16),
    -- Microseconds since 1970.
    at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX requests_by_time ON requests (at);
