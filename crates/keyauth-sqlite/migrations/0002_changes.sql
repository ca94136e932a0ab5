-- Versions, and the feed of changes. `docs/revocation.md` explains what rests on this.

-- What there is one of.
CREATE TABLE deployment (
    only_row INTEGER NOT NULL PRIMARY KEY CHECK (only_row = 1),
    -- The last version that was given to anything, so that a subject that is deleted and made
    -- anew goes on above the version it had.
    last_version INTEGER NOT NULL,
    -- The version of everything: raised where too much changes to be told one by one.
    version INTEGER NOT NULL,
    -- Part of every name in a shared cache. Change it after restoring a file.
    namespace TEXT NOT NULL,
    -- What records in a shared cache are sealed with.
    seal BLOB NOT NULL CHECK (length(seal) = 32),
    -- How long changes are kept for those who come late.
    history_ms INTEGER NOT NULL DEFAULT 3600000 CHECK (history_ms >= 1800000),
    -- The last change that was trimmed.
    trimmed INTEGER NOT NULL DEFAULT 0
) STRICT;
INSERT INTO deployment (only_row, last_version, version, namespace, seal)
VALUES (1, 1, 1, lower(hex(randomblob(16))), randomblob(32));

ALTER TABLE tenants ADD COLUMN version INTEGER NOT NULL DEFAULT 0;
ALTER TABLE owners ADD COLUMN version INTEGER NOT NULL DEFAULT 0;
ALTER TABLE groups ADD COLUMN version INTEGER NOT NULL DEFAULT 0;
ALTER TABLE keys ADD COLUMN version INTEGER NOT NULL DEFAULT 0;

CREATE TABLE invalidations (
    -- There is one writer, so changes are committed in this order.
    id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL
        CHECK (kind IN ('everything', 'tenant', 'owner', 'group', 'key', 'secret')),
    tenant TEXT,
    -- The name of a tenant, owner or group; the sixteen bytes of a key's id.
    subject ANY,
    version INTEGER,
    -- Of a new secret, so that whoever remembers it as unknown forgets that.
    digest BLOB,
    changed_at INTEGER NOT NULL 
        DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER))
) STRICT;
CREATE INDEX invalidations_by_time ON invalidations (changed_at);

-- Instances that serve from a cache, and how far each has read.
CREATE TABLE instances (
    id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL,
    -- How long after a poll, and beyond that while the store is away, it serves what it has.
    max_staleness_ms INTEGER NOT NULL CHECK (max_staleness_ms >= 0),
    grace_ms INTEGER NOT NULL CHECK (grace_ms >= 0),
    -- The last change it has applied.
    applied INTEGER,
    beat INTEGER NOT NULL DEFAULT 0
) STRICT;

-- Those who remember a version remember it under a name.
CREATE TRIGGER tenants_keep_their_name BEFORE UPDATE OF id ON tenants
WHEN OLD.id IS NOT NEW.id
BEGIN
    SELECT RAISE(ABORT, 'a tenant keeps its name');
END;
CREATE TRIGGER tenants_inserted AFTER INSERT ON tenants
BEGIN
    UPDATE tenants SET version = -1 WHERE id = NEW.id;
END;
CREATE TRIGGER tenants_updated AFTER UPDATE ON tenants
WHEN OLD.id IS NOT NEW.id
    OR OLD.status IS NOT NEW.status
    OR OLD.custom_keys IS NOT NEW.custom_keys
    OR OLD.version IS NOT NEW.version
BEGIN
    UPDATE deployment SET last_version = last_version + 1;
    UPDATE tenants SET version = (SELECT last_version FROM deployment) WHERE id = NEW.id;
    INSERT INTO invalidations (kind, tenant, subject, version)
    SELECT 'tenant', NEW.id, NEW.id, last_version FROM deployment;
END;
CREATE TRIGGER tenants_deleted AFTER DELETE ON tenants
BEGIN
    UPDATE deployment SET last_version = last_version + 1;
    INSERT INTO invalidations (kind, tenant, subject, version)
    SELECT 'tenant', OLD.id, OLD.id, last_version FROM deployment;
END;

-- Those who remember a version remember it under a name.
CREATE TRIGGER owners_keep_their_name BEFORE UPDATE OF tenant, id ON owners
WHEN OLD.tenant IS NOT NEW.tenant OR OLD.id IS NOT NEW.id
BEGIN
    SELECT RAISE(ABORT, 'an owner keeps its name');
END;
CREATE TRIGGER owners_inserted AFTER INSERT ON owners
BEGIN
    UPDATE owners SET version = -1 WHERE tenant = NEW.tenant AND id = NEW.id;
END;
CREATE TRIGGER owners_updated AFTER UPDATE ON owners
WHEN OLD.tenant IS NOT NEW.tenant
    OR OLD.id IS NOT NEW.id
    OR OLD.status IS NOT NEW.status
    OR OLD.version IS NOT NEW.version
BEGIN
    UPDATE deployment SET last_version = last_version + 1;
    UPDATE owners SET version = (SELECT last_version FROM deployment) WHERE tenant = NEW.tenant AND id = NEW.id;
    INSERT INTO invalidations (kind, tenant, subject, version)
    SELECT 'owner', NEW.tenant, NEW.id, last_version FROM deployment;
END;
CREATE TRIGGER owners_deleted AFTER DELETE ON owners
BEGIN
    UPDATE deployment SET last_version = last_version + 1;
    INSERT INTO invalidations (kind, tenant, subject, version)
    SELECT 'owner', OLD.tenant, OLD.id, last_version FROM deployment;
END;

-- Those who remember a version remember it under a name.
CREATE TRIGGER groups_keep_their_name BEFORE UPDATE OF tenant, id ON groups
WHEN OLD.tenant IS NOT NEW.tenant OR OLD.id IS NOT NEW.id
BEGIN
    SELECT RAISE(ABORT, 'a group keeps its name');
END;
CREATE TRIGGER groups_inserted AFTER INSERT ON groups
BEGIN
    UPDATE groups SET version = -1 WHERE tenant = NEW.tenant AND id = NEW.id;
END;
CREATE TRIGGER groups_updated AFTER UPDATE ON groups
WHEN OLD.tenant IS NOT NEW.tenant
    OR OLD.id IS NOT NEW.id
    OR OLD.kind IS NOT NEW.kind
    OR OLD.status IS NOT NEW.status
    OR OLD.version IS NOT NEW.version
BEGIN
    UPDATE deployment SET last_version = last_version + 1;
    UPDATE groups SET version = (SELECT last_version FROM deployment) WHERE tenant = NEW.tenant AND id = NEW.id;
    INSERT INTO invalidations (kind, tenant, subject, version)
    SELECT 'group', NEW.tenant, NEW.id, last_version FROM deployment;
END;
CREATE TRIGGER groups_deleted AFTER DELETE ON groups
BEGIN
    UPDATE deployment SET last_version = last_version + 1;
    INSERT INTO invalidations (kind, tenant, subject, version)
    SELECT 'group', OLD.tenant, OLD.id, last_version FROM deployment;
END;

-- Those who remember a version remember it under a name.
CREATE TRIGGER keys_keep_their_name BEFORE UPDATE OF id, tenant ON keys
WHEN OLD.id IS NOT NEW.id OR OLD.tenant IS NOT NEW.tenant
BEGIN
    SELECT RAISE(ABORT, 'a key keeps its name');
END;
CREATE TRIGGER keys_inserted AFTER INSERT ON keys
BEGIN
    UPDATE keys SET version = -1 WHERE id = NEW.id;
END;
CREATE TRIGGER keys_updated AFTER UPDATE ON keys
WHEN OLD.id IS NOT NEW.id
    OR OLD.tenant IS NOT NEW.tenant
    OR OLD.owner IS NOT NEW.owner
    OR OLD.group_id IS NOT NEW.group_id
    OR OLD.status IS NOT NEW.status
    OR OLD.scopes IS NOT NEW.scopes
    OR OLD.allow_addresses IS NOT NEW.allow_addresses
    OR OLD.deny_addresses IS NOT NEW.deny_addresses
    OR OLD.endpoints IS NOT NEW.endpoints
    OR OLD.resources IS NOT NEW.resources
    OR OLD.limits IS NOT NEW.limits
    OR OLD.budgets IS NOT NEW.budgets
    OR OLD.metadata IS NOT NEW.metadata
    OR OLD.starts_at IS NOT NEW.starts_at
    OR OLD.expires_at IS NOT NEW.expires_at
    OR OLD.revoked_at IS NOT NEW.revoked_at
    OR OLD.version IS NOT NEW.version
BEGIN
    UPDATE deployment SET last_version = last_version + 1;
    UPDATE keys SET version = (SELECT last_version FROM deployment) WHERE id = NEW.id;
    INSERT INTO invalidations (kind, tenant, subject, version)
    SELECT 'key', NEW.tenant, NEW.id, last_version FROM deployment;
END;
CREATE TRIGGER keys_deleted AFTER DELETE ON keys
BEGIN
    UPDATE deployment SET last_version = last_version + 1;
    INSERT INTO invalidations (kind, tenant, subject, version)
    SELECT 'key', OLD.tenant, OLD.id, last_version FROM deployment;
END;

-- Secrets are their key's, memberships and subscriptions their owner's: those are raised, and
-- told of, by an update of their row.
CREATE TRIGGER secrets_keep_their_key BEFORE UPDATE OF id, key_id ON secrets
WHEN OLD.id IS NOT NEW.id OR OLD.key_id IS NOT NEW.key_id
BEGIN
    SELECT RAISE(ABORT, 'a secret keeps its id and its key');
END;
CREATE TRIGGER secrets_inserted AFTER INSERT ON secrets
BEGIN
    UPDATE keys SET version = -1 WHERE id = NEW.key_id;
    INSERT INTO invalidations (kind, digest) VALUES ('secret', NEW.digest);
END;
CREATE TRIGGER secrets_updated AFTER UPDATE ON secrets
WHEN OLD.digest IS NOT NEW.digest OR OLD.algorithm IS NOT NEW.algorithm
    OR OLD.pepper IS NOT NEW.pepper OR OLD.kind IS NOT NEW.kind OR OLD.ends_at IS NOT NEW.ends_at
BEGIN
    UPDATE keys SET version = -1 WHERE id = NEW.key_id;
    INSERT INTO invalidations (kind, digest)
    SELECT 'secret', NEW.digest WHERE OLD.digest IS NOT NEW.digest;
END;
CREATE TRIGGER secrets_deleted AFTER DELETE ON secrets
BEGIN
    UPDATE keys SET version = -1 WHERE id = OLD.key_id;
END;

CREATE TRIGGER memberships_inserted AFTER INSERT ON memberships
BEGIN
    UPDATE owners SET version = -1 WHERE tenant = NEW.tenant AND id = NEW.owner;
END;
CREATE TRIGGER memberships_updated AFTER UPDATE ON memberships
WHEN OLD.tenant IS NOT NEW.tenant
    OR OLD.group_id IS NOT NEW.group_id
    OR OLD.owner IS NOT NEW.owner
BEGIN
    UPDATE owners SET version = -1 WHERE tenant = OLD.tenant AND id = OLD.owner;
    UPDATE owners SET version = -1 WHERE tenant = NEW.tenant AND id = NEW.owner;
END;
CREATE TRIGGER memberships_deleted AFTER DELETE ON memberships
BEGIN
    UPDATE owners SET version = -1 WHERE tenant = OLD.tenant AND id = OLD.owner;
END;
CREATE TRIGGER subscriptions_inserted AFTER INSERT ON subscriptions
BEGIN
    UPDATE owners SET version = -1 WHERE tenant = NEW.tenant AND id = NEW.owner;
END;
CREATE TRIGGER subscriptions_updated AFTER UPDATE ON subscriptions
WHEN OLD.tenant IS NOT NEW.tenant
    OR OLD.group_id IS NOT NEW.group_id
    OR OLD.owner IS NOT NEW.owner
    OR OLD.status IS NOT NEW.status
    OR OLD.ends_at IS NOT NEW.ends_at
BEGIN
    UPDATE owners SET version = -1 WHERE tenant = OLD.tenant AND id = OLD.owner;
    UPDATE owners SET version = -1 WHERE tenant = NEW.tenant AND id = NEW.owner;
END;
CREATE TRIGGER subscriptions_deleted AFTER DELETE ON subscriptions
BEGIN
    UPDATE owners SET version = -1 WHERE tenant = OLD.tenant AND id = OLD.owner;
END;
