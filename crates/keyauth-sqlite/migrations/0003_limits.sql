-- Limits of tenants, owners and groups, beside those of keys.
ALTER TABLE tenants ADD COLUMN limits TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(limits) AND json_type(limits) = 'array');
ALTER TABLE owners ADD COLUMN limits TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(limits) AND json_type(limits) = 'array');
ALTER TABLE groups ADD COLUMN limits TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(limits) AND json_type(limits) = 'array');

-- The same as before, and for limits.
DROP TRIGGER tenants_updated;
CREATE TRIGGER tenants_updated AFTER UPDATE ON tenants
WHEN OLD.id IS NOT NEW.id
    OR OLD.status IS NOT NEW.status
    OR OLD.custom_keys IS NOT NEW.custom_keys
    OR OLD.limits IS NOT NEW.limits
    OR OLD.version IS NOT NEW.version
BEGIN
    UPDATE deployment SET last_version = last_version + 1;
    UPDATE tenants SET version = (SELECT last_version FROM deployment) WHERE id = NEW.id;
    INSERT INTO invalidations (kind, tenant, subject, version)
    SELECT 'tenant', NEW.id, NEW.id, last_version FROM deployment;
END;
DROP TRIGGER owners_updated;
CREATE TRIGGER owners_updated AFTER UPDATE ON owners
WHEN OLD.tenant IS NOT NEW.tenant
    OR OLD.id IS NOT NEW.id
    OR OLD.status IS NOT NEW.status
    OR OLD.limits IS NOT NEW.limits
    OR OLD.version IS NOT NEW.version
BEGIN
    UPDATE deployment SET last_version = last_version + 1;
    UPDATE owners SET version = (SELECT last_version FROM deployment) WHERE tenant = NEW.tenant AND id = NEW.id;
    INSERT INTO invalidations (kind, tenant, subject, version)
    SELECT 'owner', NEW.tenant, NEW.id, last_version FROM deployment;
END;
DROP TRIGGER groups_updated;
CREATE TRIGGER groups_updated AFTER UPDATE ON groups
WHEN OLD.tenant IS NOT NEW.tenant
    OR OLD.id IS NOT NEW.id
    OR OLD.kind IS NOT NEW.kind
    OR OLD.status IS NOT NEW.status
    OR OLD.limits IS NOT NEW.limits
    OR OLD.version IS NOT NEW.version
BEGIN
    UPDATE deployment SET last_version = last_version + 1;
    UPDATE groups SET version = (SELECT last_version FROM deployment) WHERE tenant = NEW.tenant AND id = NEW.id;
    INSERT INTO invalidations (kind, tenant, subject, version)
    SELECT 'group', NEW.tenant, NEW.id, last_version FROM deployment;
END;
