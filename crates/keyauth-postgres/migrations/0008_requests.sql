-- What was asked for under a name, so that it is done once.

INSERT INTO keyauth.migrations (version, name) VALUES (8, 'requests');

CREATE TABLE keyauth.requests (
    -- A digest of the name, and of whoever has given it.
    name bytea PRIMARY KEY CHECK (octet_length(name) = 32),
    -- A digest of what was asked for, made like those of keys.
    fingerprint bytea NOT NULL CHECK (octet_length(fingerprint) = 32),
    -- What came of it. The key may be deleted since.
    key_id uuid NOT NULL,
    at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX requests_by_time ON keyauth.requests (at);
