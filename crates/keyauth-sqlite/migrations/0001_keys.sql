-- Times are microseconds since 1970-01-01T00:00:00Z. Lists and objects are JSON.

CREATE TABLE tenants (
    id TEXT NOT NULL PRIMARY KEY,
    status TEXT NOT NULL CHECK (status IN ('active', 'inactive')),
    custom_keys TEXT NOT NULL CHECK (custom_keys IN ('refused', 'allowed'))
) STRICT, WITHOUT ROWID;

CREATE TABLE owners (
    tenant TEXT NOT NULL REFERENCES tenants (id),
    id TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('active', 'inactive')),
    PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE groups (
    tenant TEXT NOT NULL REFERENCES tenants (id),
    id TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('standard', 'exclusive', 'subscription')),
    status TEXT NOT NULL CHECK (status IN ('active', 'inactive')),
    PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE memberships (
    tenant TEXT NOT NULL,
    group_id TEXT NOT NULL,
    owner TEXT NOT NULL,
    PRIMARY KEY (tenant, group_id, owner),
    FOREIGN KEY (tenant, group_id) REFERENCES groups (tenant, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant, owner) REFERENCES owners (tenant, id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

CREATE TABLE subscriptions (
    tenant TEXT NOT NULL,
    group_id TEXT NOT NULL,
    owner TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('active', 'inactive')),
    ends_at INTEGER,
    PRIMARY KEY (tenant, group_id, owner),
    FOREIGN KEY (tenant, group_id) REFERENCES groups (tenant, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant, owner) REFERENCES owners (tenant, id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

CREATE TABLE keys (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    tenant TEXT NOT NULL,
    owner TEXT NOT NULL,
    group_id TEXT,
    name TEXT NOT NULL CHECK (length(name) > 0),
    hint TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('active', 'disabled', 'revoked')),
    scopes TEXT NOT NULL CHECK (json_valid(scopes)),
    allow_addresses TEXT NOT NULL CHECK (json_valid(allow_addresses)),
    deny_addresses TEXT NOT NULL CHECK (json_valid(deny_addresses)),
    endpoints TEXT NOT NULL CHECK (json_valid(endpoints)),
    resources TEXT NOT NULL CHECK (json_valid(resources)),
    limits TEXT NOT NULL CHECK (json_valid(limits)),
    budgets TEXT NOT NULL CHECK (json_valid(budgets)),
    metadata TEXT NOT NULL CHECK (json_valid(metadata)),
    starts_at INTEGER,
    expires_at INTEGER,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    revoked_at INTEGER,
    FOREIGN KEY (tenant, owner) REFERENCES owners (tenant, id),
    FOREIGN KEY (tenant, group_id) REFERENCES groups (tenant, id),
    CHECK ((status = 'revoked') = (revoked_at IS NOT NULL)),
    CHECK (starts_at IS NULL OR expires_at IS NULL OR starts_at < expires_at)
) STRICT, WITHOUT ROWID;

CREATE INDEX keys_by_tenant ON keys (tenant, id);

CREATE TABLE secrets (
    digest BLOB NOT NULL PRIMARY KEY CHECK (length(digest) = 32),
    id BLOB NOT NULL UNIQUE CHECK (length(id) = 16),
    key_id BLOB NOT NULL REFERENCES keys (id) ON DELETE CASCADE,
    algorithm TEXT NOT NULL CHECK (algorithm IN ('sha256', 'hmac_sha256')),
    pepper INTEGER,
    kind TEXT NOT NULL CHECK (kind IN ('generated', 'custom')),
    created_at INTEGER NOT NULL,
    ends_at INTEGER,
    CHECK ((algorithm = 'hmac_sha256') = (pepper IS NOT NULL))
) STRICT, WITHOUT ROWID;

CREATE INDEX secrets_by_key ON secrets (key_id);

-- Written far more often than keys, so that using a key never touches the key.
CREATE TABLE key_usage (
    key_id BLOB NOT NULL PRIMARY KEY REFERENCES keys (id) ON DELETE CASCADE,
    last_used_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Whoever updates a key, if it is revoked it stays so.
CREATE TRIGGER revoked_keys_stay_revoked
BEFORE UPDATE OF status, revoked_at ON keys
WHEN OLD.status = 'revoked' AND (NEW.status <> 'revoked' OR NEW.revoked_at IS NOT OLD.revoked_at)
BEGIN
    SELECT RAISE(ABORT, 'a revoked key stays revoked');
END;

INSERT INTO tenants (id, status, custom_keys) VALUES ('default', 'active', 'refused');
INSERT INTO owners (tenant, id, status) VALUES ('default', 'default', 'active');
