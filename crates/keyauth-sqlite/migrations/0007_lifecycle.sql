-- Deleting, finding among many, and the record of who changed what.

-- Rows of deleted keys and owners stay, since sums of usage and the audit speak of them.
ALTER TABLE keys ADD COLUMN deleted_at INTEGER CHECK (deleted_at IS NULL OR status = 'revoked');
ALTER TABLE owners ADD COLUMN deleted_at INTEGER
    CHECK (deleted_at IS NULL OR status = 'inactive');

CREATE TRIGGER deleted_keys_stay_deleted BEFORE UPDATE OF deleted_at ON keys
WHEN OLD.deleted_at IS NOT NULL AND NEW.deleted_at IS NOT OLD.deleted_at
BEGIN
    SELECT RAISE(ABORT, 'a deleted key stays deleted');
END;

-- One for every order that keys are listed in. Deleted ones are not listed.
DROP INDEX keys_by_tenant;
DROP INDEX keys_by_owner;
CREATE INDEX keys_by_tenant ON keys (tenant, id) WHERE deleted_at IS NULL;
CREATE INDEX keys_by_owner ON keys (tenant, owner, id);
CREATE INDEX keys_by_group ON keys (tenant, group_id, id) WHERE group_id IS NOT NULL;
CREATE INDEX keys_by_status ON keys (tenant, status, id) WHERE deleted_at IS NULL;
CREATE INDEX keys_by_name ON keys (tenant, name, id) WHERE deleted_at IS NULL;
CREATE INDEX keys_by_hint ON keys (tenant, hint, id) WHERE deleted_at IS NULL;
CREATE INDEX keys_by_expiry ON keys (tenant, expires_at, id)
    WHERE deleted_at IS NULL AND expires_at IS NOT NULL;

-- Hashes of keys of other systems, until each is presented and becomes a secret of that id. Then the hash
-- goes, and its row stays, so that it is not imported again beside its own key.
CREATE TABLE imported_secrets (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    key_id BLOB NOT NULL REFERENCES keys (id) ON DELETE CASCADE,
    -- A digest of the hash; of how the key begins, where the hash is a slow one.
    lookup BLOB NOT NULL CHECK (length(lookup) = 32),
    hash TEXT,
    -- SHA-256 of it.
    fingerprint BLOB NOT NULL UNIQUE CHECK (length(fingerprint) = 32),
    created_at INTEGER NOT NULL,
    -- The first instant it no longer works, where the key was rotated.
    ends_at INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX imported_secrets_by_lookup ON imported_secrets (lookup) WHERE hash IS NOT NULL;
CREATE TRIGGER imported_secrets_keep_their_key BEFORE UPDATE OF id, key_id ON imported_secrets
WHEN OLD.id IS NOT NEW.id OR OLD.key_id IS NOT NEW.key_id
BEGIN
    SELECT RAISE(ABORT, 'a secret keeps its id and its key');
END;
CREATE INDEX imported_secrets_by_key ON imported_secrets (key_id);

-- Who changed what. Only triggers write it, so that nothing is changed without, by hand neither;
-- rows go where an operator deletes them.
CREATE TABLE audit (
    id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)),
    -- Whoever the application says has asked for it; nobody, where it was done by hand.
    actor TEXT CHECK (length(actor) BETWEEN 1 AND 128 AND actor NOT GLOB '*[^!-~]*'),
    -- Of nobody, where a budget is of none of them.
    tenant TEXT,
    -- To whom it belongs: secrets to their key, memberships and subscriptions to their owner.
    kind TEXT NOT NULL CHECK (kind IN ('everything', 'tenant', 'owner', 'group', 'key')),
    -- The name of a tenant, owner or group; a key's id in 32 hexadecimal digits.
    subject TEXT NOT NULL,
    -- What was changed.
    what TEXT NOT NULL CHECK (what IN
        ('tenant', 'owner', 'group', 'membership', 'subscription', 'key', 'secret', 'budget')),
    action TEXT NOT NULL CHECK (action IN ('created', 'changed', 'deleted')),
    -- The columns that differ, but for digests, versions and times of change.
    before TEXT,
    after TEXT
) STRICT;
CREATE INDEX audit_by_tenant ON audit (tenant, id);
CREATE INDEX audit_by_subject ON audit (tenant, kind, subject, id);

-- Whoever asks for the change that is being made. Empty outside of a transaction.
CREATE TABLE acting (actor TEXT NOT NULL) STRICT;

-- Into it go whole rows, out of it come the columns that differ, and those that name what changed. Of
-- a secret nothing is told that is not named here.
CREATE VIEW noted AS SELECT tenant, kind, subject, what, action, before, after FROM audit;
CREATE TRIGGER note INSTEAD OF INSERT ON noted
WHEN NEW.before IS NOT NEW.after
BEGIN
    INSERT INTO audit (actor, tenant, kind, subject, what, action, before, after)
    VALUES (
        (SELECT actor FROM acting), NEW.tenant, NEW.kind, NEW.subject, NEW.what, NEW.action,
        CASE WHEN NEW.before IS NOT NULL THEN (
            SELECT json_group_object(key, json(CASE
                WHEN NEW.what = 'secret'
                    AND key NOT IN ('id', 'algorithm', 'pepper', 'kind', 'ends_at')
                THEN '"hidden"' ELSE NEW.before -> fullkey END))
            FROM json_each(NEW.before)
            WHERE NEW.after IS NULL OR NEW.before -> fullkey IS NOT NEW.after -> fullkey
                OR NEW.what = 'secret' AND key = 'id'
                OR NEW.what IN ('membership', 'subscription') AND key IN ('group_id', 'owner')
        ) END,
        CASE WHEN NEW.after IS NOT NULL THEN (
            SELECT json_group_object(key, json(CASE
                WHEN NEW.what = 'secret'
                    AND key NOT IN ('id', 'algorithm', 'pepper', 'kind', 'ends_at')
                THEN '"hidden"' ELSE NEW.after -> fullkey END))
            FROM json_each(NEW.after)
            WHERE NEW.before IS NULL OR NEW.before -> fullkey IS NOT NEW.after -> fullkey
                OR NEW.what = 'secret' AND key = 'id'
                OR NEW.what IN ('membership', 'subscription') AND key IN ('group_id', 'owner')
        ) END
    );
END;

CREATE TRIGGER tenants_insert_noted AFTER INSERT ON tenants
BEGIN
    INSERT INTO noted (tenant, kind, subject, what, action, before, after)
    SELECT NEW.id, 'tenant', NEW.id, 'tenant', 'created',
    NULL,
    json_object(
        'status', NEW.status,
        'custom_keys', NEW.custom_keys,
        'max_keys_per_owner', NEW.max_keys_per_owner,
        'limits', json(NEW.limits),
        'budgets', json(NEW.budgets));
END;
CREATE TRIGGER tenants_update_noted AFTER UPDATE ON tenants
BEGIN
    INSERT INTO noted (tenant, kind, subject, what, action, before, after)
    SELECT NEW.id, 'tenant', NEW.id, 'tenant', 'changed',
    json_object(
        'status', OLD.status,
        'custom_keys', OLD.custom_keys,
        'max_keys_per_owner', OLD.max_keys_per_owner,
        'limits', json(OLD.limits),
        'budgets', json(OLD.budgets)),
    json_object(
        'status', NEW.status,
        'custom_keys', NEW.custom_keys,
        'max_keys_per_owner', NEW.max_keys_per_owner,
        'limits', json(NEW.limits),
        'budgets', json(NEW.budgets));
END;
CREATE TRIGGER tenants_delete_noted AFTER DELETE ON tenants
BEGIN
    INSERT INTO noted (tenant, kind, subject, what, action, before, after)
    SELECT OLD.id, 'tenant', OLD.id, 'tenant', 'deleted',
    json_object(
        'status', OLD.status,
        'custom_keys', OLD.custom_keys,
        'max_keys_per_owner', OLD.max_keys_per_owner,
        'limits', json(OLD.limits),
        'budgets', json(OLD.budgets)),
    NULL;
END;

CREATE TRIGGER owners_insert_noted AFTER INSERT ON owners
BEGIN
    INSERT INTO noted (tenant, kind, subject, what, action, before, after)
    SELECT NEW.tenant, 'owner', NEW.id, 'owner', 'created',
    NULL,
    json_object(
        'status', NEW.status,
        'max_keys', NEW.max_keys,
        'limits', json(NEW.limits),
        'budgets', json(NEW.budgets),
        'rate_multiplier', NEW.rate_multiplier,
        'deleted_at', NEW.deleted_at);
END;
CREATE TRIGGER owners_update_noted AFTER UPDATE ON owners
BEGIN
    INSERT INTO noted (tenant, kind, subject, what, action, before, after)
    SELECT NEW.tenant, 'owner', NEW.id, 'owner', 'changed',
    json_object(
        'status', OLD.status,
        'max_keys', OLD.max_keys,
        'limits', json(OLD.limits),
        'budgets', json(OLD.budgets),
        'rate_multiplier', OLD.rate_multiplier,
        'deleted_at', OLD.deleted_at),
    json_object(
        'status', NEW.status,
        'max_keys', NEW.max_keys,
        'limits', json(NEW.limits),
        'budgets', json(NEW.budgets),
        'rate_multiplier', NEW.rate_multiplier,
        'deleted_at', NEW.deleted_at);
END;
CREATE TRIGGER owners_delete_noted AFTER DELETE ON owners
BEGIN
    INSERT INTO noted (tenant, kind, subject, what, action, before, after)
    SELECT OLD.tenant, 'owner', OLD.id, 'owner', 'deleted',
    json_object(
        'status', OLD.status,
        'max_keys', OLD.max_keys,
        'limits', json(OLD.limits),
        'budgets', json(OLD.budgets),
        'rate_multiplier', OLD.rate_multiplier,
        'deleted_at', OLD.deleted_at),
    NULL;
END;

CREATE TRIGGER groups_insert_noted AFTER INSERT ON groups
BEGIN
    INSERT INTO noted (tenant, kind, subject, what, action, before, after)
    SELECT NEW.tenant, 'group', NEW.id, 'group', 'created',
    NULL,
    json_object(
        'kind', NEW.kind,
        'status', NEW.status,
        'limits', json(NEW.limits),
        'budgets', json(NEW.budgets),
        'rate_multiplier', NEW.rate_multiplier);
END;
CREATE TRIGGER groups_update_noted AFTER UPDATE ON groups
BEGIN
    INSERT INTO noted (tenant, kind, subject, what, action, before, after)
    SELECT NEW.tenant, 'group', NEW.id, 'group', 'changed',
    json_object(
        'kind', OLD.kind,
        'status', OLD.status,
        'limits', json(OLD.limits),
        'budgets', json(OLD.budgets),
        'rate_multiplier', OLD.rate_multiplier),
    json_object(
        'kind', NEW.kind,
        'status', NEW.status,
        'limits', json(NEW.limits),
        'budgets', json(NEW.budgets),
        'rate_multiplier', NEW.rate_multiplier);
END;
CREATE TRIGGER groups_delete_noted AFTER DELETE ON groups
BEGIN
    INSERT INTO noted (tenant, kind, subject, what, action, before, after)
    SELECT OLD.tenant, 'group', OLD.id, 'group', 'deleted',
    json_object(
        'kind', OLD.kind,
        'status', OLD.status,
        'limits', json(OLD.limits),
        'budgets', json(OLD.budgets),
        'rate_multiplier', OLD.rate_multiplier),
    NULL;
END;

CREATE TRIGGER memberships_insert_noted AFTER INSERT ON memberships
BEGIN
    INSERT INTO noted (tenant, kind, subject, what, action, before, after)
    SELECT NEW.tenant, 'owner', NEW.owner, 'membership', 'created',
    NULL,
    json_object(
        'group_id', NEW.group_id,
        'owner', NEW.owner);
END;
CREATE TRIGGER memberships_update_noted AFTER UPDATE ON memberships
BEGIN
    INSERT INTO noted (tenant, kind, subject, what, action, before, after)
    SELECT NEW.tenant, 'owner', NEW.owner, 'membership', 'changed',
    json_object(
        'group_id', OLD.group_id,
        'owner', OLD.owner),
    json_object(
        'group_id', NEW.group_id,
        'owner', NEW.owner);
END;
CREATE TRIGGER memberships_delete_noted AFTER DELETE ON memberships
BEGIN
    INSERT INTO noted (tenant, kind, subject, what, action, before, after)
    SELECT OLD.tenant, 'owner', OLD.owner, 'membership', 'deleted',
    json_object(
        'group_id', OLD.group_id,
        'owner', OLD.owner),
    NULL;
END;

CREATE TRIGGER subscriptions_insert_noted AFTER INSERT ON subscriptions
BEGIN
    INSERT INTO noted (tenant, kind, subject, what, action, before, after)
    SELECT NEW.tenant, 'owner', NEW.owner, 'subscription', 'created',
    NULL,
    json_object(
        'group_id', NEW.group_id,
        'owner', NEW.owner,
        'status', NEW.status,
        'ends_at', NEW.ends_at);
END;
CREATE TRIGGER subscriptions_update_noted AFTER UPDATE ON subscriptions
BEGIN
    INSERT INTO noted (tenant, kind, subject, what, action, before, after)
    SELECT NEW.tenant, 'owner', NEW.owner, 'subscription', 'changed',
    json_object(
        'group_id', OLD.group_id,
        'owner', OLD.owner,
        'status', OLD.status,
        'ends_at', OLD.ends_at),
    json_object(
        'group_id', NEW.group_id,
        'owner', NEW.owner,
        'status', NEW.status,
        'ends_at', NEW.ends_at);
END;
CREATE TRIGGER subscriptions_delete_noted AFTER DELETE ON subscriptions
BEGIN
    INSERT INTO noted (tenant, kind, subject, what, action, before, after)
    SELECT OLD.tenant, 'owner', OLD.owner, 'subscription', 'deleted',
    json_object(
        'group_id', OLD.group_id,
        'owner', OLD.owner,
        'status', OLD.status,
        'ends_at', OLD.ends_at),
    NULL;
END;

CREATE TRIGGER keys_insert_noted AFTER INSERT ON keys
BEGIN
    INSERT INTO noted (tenant, kind, subject, what, action, before, after)
    SELECT NEW.tenant, 'key', lower(hex(NEW.id)), 'key', 'created',
    NULL,
    json_object(
        'owner', NEW.owner,
        'group_id', NEW.group_id,
        'name', NEW.name,
        'hint', NEW.hint,
        'status', NEW.status,
        'scopes', json(NEW.scopes),
        'allow_addresses', json(NEW.allow_addresses),
        'deny_addresses', json(NEW.deny_addresses),
        'endpoints', json(NEW.endpoints),
        'resources', json(NEW.resources),
        'limits', json(NEW.limits),
        'budgets', json(NEW.budgets),
        'metadata', json(NEW.metadata),
        'starts_at', NEW.starts_at,
        'expires_at', NEW.expires_at,
        'revoked_at', NEW.revoked_at,
        'deleted_at', NEW.deleted_at);
END;
CREATE TRIGGER keys_update_noted AFTER UPDATE ON keys
BEGIN
    INSERT INTO noted (tenant, kind, subject, what, action, before, after)
    SELECT NEW.tenant, 'key', lower(hex(NEW.id)), 'key', 'changed',
    json_object(
        'owner', OLD.owner,
        'group_id', OLD.group_id,
        'name', OLD.name,
        'hint', OLD.hint,
        'status', OLD.status,
        'scopes', json(OLD.scopes),
        'allow_addresses', json(OLD.allow_addresses),
        'deny_addresses', json(OLD.deny_addresses),
        'endpoints', json(OLD.endpoints),
        'resources', json(OLD.resources),
        'limits', json(OLD.limits),
        'budgets', json(OLD.budgets),
        'metadata', json(OLD.metadata),
        'starts_at', OLD.starts_at,
        'expires_at', OLD.expires_at,
        'revoked_at', OLD.revoked_at,
        'deleted_at', OLD.deleted_at),
    json_object(
        'owner', NEW.owner,
        'group_id', NEW.group_id,
        'name', NEW.name,
        'hint', NEW.hint,
        'status', NEW.status,
        'scopes', json(NEW.scopes),
        'allow_addresses', json(NEW.allow_addresses),
        'deny_addresses', json(NEW.deny_addresses),
        'endpoints', json(NEW.endpoints),
        'resources', json(NEW.resources),
        'limits', json(NEW.limits),
        'budgets', json(NEW.budgets),
        'metadata', json(NEW.metadata),
        'starts_at', NEW.starts_at,
        'expires_at', NEW.expires_at,
        'revoked_at', NEW.revoked_at,
        'deleted_at', NEW.deleted_at);
END;
CREATE TRIGGER keys_delete_noted AFTER DELETE ON keys
BEGIN
    INSERT INTO noted (tenant, kind, subject, what, action, before, after)
    SELECT OLD.tenant, 'key', lower(hex(OLD.id)), 'key', 'deleted',
    json_object(
        'owner', OLD.owner,
        'group_id', OLD.group_id,
        'name', OLD.name,
        'hint', OLD.hint,
        'status', OLD.status,
        'scopes', json(OLD.scopes),
        'allow_addresses', json(OLD.allow_addresses),
        'deny_addresses', json(OLD.deny_addresses),
        'endpoints', json(OLD.endpoints),
        'resources', json(OLD.resources),
        'limits', json(OLD.limits),
        'budgets', json(OLD.budgets),
        'metadata', json(OLD.metadata),
        'starts_at', OLD.starts_at,
        'expires_at', OLD.expires_at,
        'revoked_at', OLD.revoked_at,
        'deleted_at', OLD.deleted_at),
    NULL;
END;

CREATE TRIGGER secrets_insert_noted AFTER INSERT ON secrets
BEGIN
    INSERT INTO noted (tenant, kind, subject, what, action, before, after)
    SELECT k.tenant, 'key', lower(hex(NEW.key_id)), 'secret', 'created',
    NULL,
    json_object(
        'id', lower(hex(NEW.id)),
        'digest', lower(hex(NEW.digest)),
        'algorithm', NEW.algorithm,
        'pepper', NEW.pepper,
        'kind', NEW.kind,
        'ends_at', NEW.ends_at)
    FROM keys AS k WHERE k.id = NEW.key_id;
END;
CREATE TRIGGER secrets_update_noted AFTER UPDATE ON secrets
BEGIN
    INSERT INTO noted (tenant, kind, subject, what, action, before, after)
    SELECT k.tenant, 'key', lower(hex(NEW.key_id)), 'secret', 'changed',
    json_object(
        'id', lower(hex(OLD.id)),
        'digest', lower(hex(OLD.digest)),
        'algorithm', OLD.algorithm,
        'pepper', OLD.pepper,
        'kind', OLD.kind,
        'ends_at', OLD.ends_at),
    json_object(
        'id', lower(hex(NEW.id)),
        'digest', lower(hex(NEW.digest)),
        'algorithm', NEW.algorithm,
        'pepper', NEW.pepper,
        'kind', NEW.kind,
        'ends_at', NEW.ends_at)
    FROM keys AS k WHERE k.id = NEW.key_id;
END;
CREATE TRIGGER secrets_delete_noted AFTER DELETE ON secrets
BEGIN
    INSERT INTO noted (tenant, kind, subject, what, action, before, after)
    SELECT k.tenant, 'key', lower(hex(OLD.key_id)), 'secret', 'deleted',
    json_object(
        'id', lower(hex(OLD.id)),
        'digest', lower(hex(OLD.digest)),
        'algorithm', OLD.algorithm,
        'pepper', OLD.pepper,
        'kind', OLD.kind,
        'ends_at', OLD.ends_at),
    NULL
    FROM keys AS k WHERE k.id = OLD.key_id;
END;

CREATE TRIGGER imported_secrets_insert_noted AFTER INSERT ON imported_secrets
BEGIN
    INSERT INTO noted (tenant, kind, subject, what, action, before, after)
    SELECT k.tenant, 'key', lower(hex(NEW.key_id)), 'secret', 'created',
    NULL,
    json_object(
        'id', lower(hex(NEW.id)),
        'lookup', lower(hex(NEW.lookup)),
        'hash', NEW.hash,
        'ends_at', NEW.ends_at)
    FROM keys AS k WHERE k.id = NEW.key_id;
END;
CREATE TRIGGER imported_secrets_update_noted AFTER UPDATE ON imported_secrets
BEGIN
    INSERT INTO noted (tenant, kind, subject, what, action, before, after)
    SELECT k.tenant, 'key', lower(hex(NEW.key_id)), 'secret', 'changed',
    json_object(
        'id', lower(hex(OLD.id)),
        'lookup', lower(hex(OLD.lookup)),
        'hash', OLD.hash,
        'ends_at', OLD.ends_at),
    json_object(
        'id', lower(hex(NEW.id)),
        'lookup', lower(hex(NEW.lookup)),
        'hash', NEW.hash,
        'ends_at', NEW.ends_at)
    FROM keys AS k WHERE k.id = NEW.key_id;
END;
CREATE TRIGGER imported_secrets_delete_noted AFTER DELETE ON imported_secrets
BEGIN
    INSERT INTO noted (tenant, kind, subject, what, action, before, after)
    SELECT k.tenant, 'key', lower(hex(OLD.key_id)), 'secret', 'deleted',
    json_object(
        'id', lower(hex(OLD.id)),
        'lookup', lower(hex(OLD.lookup)),
        'hash', OLD.hash,
        'ends_at', OLD.ends_at),
    NULL
    FROM keys AS k WHERE k.id = OLD.key_id;
END;
