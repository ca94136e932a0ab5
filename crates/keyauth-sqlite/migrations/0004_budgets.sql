-- Budgets of tenants, owners and groups, beside those of keys, and the ledger of what is spent.
-- Amounts are hundred-millionths of a unit.

ALTER TABLE tenants ADD COLUMN budgets TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(budgets) AND json_type(budgets) = 'array');
ALTER TABLE owners ADD COLUMN budgets TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(budgets) AND json_type(budgets) = 'array');
-- In place of that of groups.
ALTER TABLE owners ADD COLUMN rate_multiplier TEXT CHECK (CAST(rate_multiplier AS REAL) > 0);
ALTER TABLE groups ADD COLUMN budgets TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(budgets) AND json_type(budgets) = 'array');
-- What its keys are charged is multiplied by.
ALTER TABLE groups ADD COLUMN rate_multiplier TEXT NOT NULL DEFAULT '1' CHECK (CAST(rate_multiplier AS REAL) > 0);

-- The same as before, and for budgets and what prices are multiplied by.
DROP TRIGGER tenants_updated;
CREATE TRIGGER tenants_updated AFTER UPDATE ON tenants
WHEN OLD.id IS NOT NEW.id
    OR OLD.status IS NOT NEW.status
    OR OLD.custom_keys IS NOT NEW.custom_keys
    OR OLD.limits IS NOT NEW.limits
    OR OLD.budgets IS NOT NEW.budgets
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
    OR OLD.budgets IS NOT NEW.budgets
    OR OLD.rate_multiplier IS NOT NEW.rate_multiplier
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
    OR OLD.budgets IS NOT NEW.budgets
    OR OLD.rate_multiplier IS NOT NEW.rate_multiplier
    OR OLD.version IS NOT NEW.version
BEGIN
    UPDATE deployment SET last_version = last_version + 1;
    UPDATE groups SET version = (SELECT last_version FROM deployment) WHERE tenant = NEW.tenant AND id = NEW.id;
    INSERT INTO invalidations (kind, tenant, subject, version)
    SELECT 'group', NEW.tenant, NEW.id, last_version FROM deployment;
END;

-- What stands of one budget of one subject.
CREATE TABLE accounts (
    -- Empty where the subject is nobody's.
    tenant TEXT NOT NULL,
    -- A kind and names, a space in between: 'owner ada'.
    subject TEXT NOT NULL,
    budget TEXT NOT NULL,
    -- 'total', 'day', 'week', 'month' or a number of hours.
    period TEXT NOT NULL,
    zone TEXT NOT NULL,
    -- Of the present window: empty before its first charge. The end is the first instant after it.
    began_at INTEGER,
    ends_at INTEGER,
    -- What was lost is used as well.
    used INTEGER NOT NULL CHECK (used >= 0),
    reserved INTEGER NOT NULL CHECK (reserved >= 0),
    overrun INTEGER NOT NULL CHECK (overrun >= 0),
    lost INTEGER NOT NULL CHECK (lost BETWEEN 0 AND used),
    PRIMARY KEY (tenant, subject, budget, period, zone)
) STRICT, WITHOUT ROWID;

CREATE TABLE charges (
    id TEXT NOT NULL PRIMARY KEY,
    -- What it is charged to, as it was then.
    budgets TEXT NOT NULL CHECK (json_valid(budgets)),
    amount INTEGER NOT NULL CHECK (amount >= 0),
    lost_when_abandoned INTEGER NOT NULL CHECK (lost_when_abandoned IN (0, 1)),
    status TEXT NOT NULL CHECK (status IN ('reserved', 'given_back', 'lost', 'settled')),
    -- When it is over without having been renewed; once closed, when that was.
    until INTEGER NOT NULL,
    settled INTEGER CHECK (settled >= 0),
    charged INTEGER CHECK (charged BETWEEN 0 AND settled),
    CHECK ((status = 'settled') = (settled IS NOT NULL)),
    CHECK ((status = 'settled') = (charged IS NOT NULL))
) STRICT, WITHOUT ROWID;
CREATE INDEX charges_reserved ON charges (until) WHERE status = 'reserved';
CREATE INDEX charges_closed ON charges (until) WHERE status <> 'reserved';
CREATE INDEX charges_lost ON charges (id) WHERE status = 'lost';
