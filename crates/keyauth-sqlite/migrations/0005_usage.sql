-- The record of what was used: calls, and sums of each day.
-- Amounts are hundred-millionths of a unit, times and durations microseconds.

ALTER TABLE key_usage ADD COLUMN last_used_from TEXT;

-- Batches that were written, so that none is twice.
CREATE TABLE usage_batches (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    written_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX usage_batches_by_time ON usage_batches (written_at);

CREATE TABLE usage (
    at INTEGER NOT NULL,
    tenant TEXT NOT NULL,
    owner TEXT NOT NULL,
    -- Empty where the key has none.
    group_id TEXT NOT NULL,
    -- Of a key that may be gone.
    key_id BLOB NOT NULL CHECK (length(key_id) = 16),
    route TEXT NOT NULL,
    resource TEXT NOT NULL,
    -- Zero where there was no answer.
    status INTEGER NOT NULL,
    cost INTEGER NOT NULL,
    -- What limits of cost counted it as.
    limit_cost INTEGER NOT NULL,
    input INTEGER NOT NULL,
    output INTEGER NOT NULL,
    duration INTEGER NOT NULL,
    address TEXT
) STRICT;
CREATE INDEX usage_by_key ON usage (key_id, at);
CREATE INDEX usage_by_owner ON usage (tenant, owner, at);
CREATE INDEX usage_by_tenant ON usage (tenant, at);
CREATE INDEX usage_by_time ON usage (at);

-- Since when calls are kept, as far as any were let go of.
CREATE TABLE usage_kept (
    one INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    since INTEGER NOT NULL
) STRICT;

-- Sums of a day in UTC, by its number since 1970. They stay when the day's calls are deleted.
CREATE TABLE usage_days (
    day INTEGER NOT NULL,
    tenant TEXT NOT NULL,
    owner TEXT NOT NULL,
    group_id TEXT NOT NULL,
    key_id BLOB NOT NULL CHECK (length(key_id) = 16),
    route TEXT NOT NULL,
    resource TEXT NOT NULL,
    requests INTEGER NOT NULL,
    failures INTEGER NOT NULL,
    -- Whole numbers as far as they go; beyond that they are rounded, and not lost.
    cost ANY NOT NULL,
    limit_cost ANY NOT NULL,
    input ANY NOT NULL,
    output ANY NOT NULL,
    PRIMARY KEY (key_id, day, tenant, owner, group_id, route, resource)
) STRICT, WITHOUT ROWID;
CREATE INDEX usage_days_by_owner ON usage_days (tenant, owner, day);
CREATE INDEX usage_days_by_tenant ON usage_days (tenant, day);

-- Calls that the database has refused, as they were sent.
CREATE TABLE usage_set_aside (
    batch BLOB NOT NULL,
    place INTEGER NOT NULL,
    event TEXT NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (batch, place)
) STRICT, WITHOUT ROWID;
