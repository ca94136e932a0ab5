-- Tenants, owners, groups, keys and their secrets.

CREATE SCHEMA IF NOT EXISTS keyauth;

CREATE TABLE keyauth.migrations (
    version bigint PRIMARY KEY,
    name text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);
INSERT INTO keyauth.migrations (version, name) VALUES (1, 'keys');

CREATE TABLE keyauth.tenants (
    id text COLLATE "C" PRIMARY KEY CHECK (id ~ '^[!-~]{1,128}$'),
    status text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'inactive')),
    custom_keys text NOT NULL DEFAULT 'refused' CHECK (custom_keys IN ('refused', 'allowed'))
);

CREATE TABLE keyauth.owners (
    tenant text COLLATE "C" NOT NULL REFERENCES keyauth.tenants (id),
    id text COLLATE "C" NOT NULL CHECK (id ~ '^[!-~]{1,128}$'),
    status text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'inactive')),
    PRIMARY KEY (tenant, id)
);

CREATE TABLE keyauth.groups (
    tenant text COLLATE "C" NOT NULL REFERENCES keyauth.tenants (id),
    id text COLLATE "C" NOT NULL CHECK (id ~ '^[!-~]{1,128}$'),
    kind text NOT NULL DEFAULT 'standard'
        CHECK (kind IN ('standard', 'exclusive', 'subscription')),
    status text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'inactive')),
    -- What its keys are charged is multiplied by.
    rate_multiplier numeric(9, 4) NOT NULL DEFAULT 1 CHECK (rate_multiplier > 0),
    PRIMARY KEY (tenant, id)
);

CREATE TABLE keyauth.memberships (
    tenant text COLLATE "C" NOT NULL,
    group_id text COLLATE "C" NOT NULL,
    owner text COLLATE "C" NOT NULL,
    -- In place of the group's, for this owner.
    rate_multiplier numeric(9, 4) CHECK (rate_multiplier > 0),
    PRIMARY KEY (tenant, group_id, owner),
    FOREIGN KEY (tenant, group_id) REFERENCES keyauth.groups (tenant, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant, owner) REFERENCES keyauth.owners (tenant, id) ON DELETE CASCADE
);
CREATE INDEX memberships_by_owner ON keyauth.memberships (tenant, owner, group_id);

CREATE TABLE keyauth.subscriptions (
    tenant text COLLATE "C" NOT NULL,
    group_id text COLLATE "C" NOT NULL,
    owner text COLLATE "C" NOT NULL,
    status text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'inactive')),
    -- The first instant it no longer counts.
    ends_at timestamptz,
    PRIMARY KEY (tenant, group_id, owner),
    FOREIGN KEY (tenant, group_id) REFERENCES keyauth.groups (tenant, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant, owner) REFERENCES keyauth.owners (tenant, id) ON DELETE CASCADE
);
CREATE INDEX subscriptions_by_owner ON keyauth.subscriptions (tenant, owner, group_id);

CREATE TABLE keyauth.keys (
    id uuid PRIMARY KEY,
    tenant text COLLATE "C" NOT NULL,
    owner text COLLATE "C" NOT NULL,
    group_id text COLLATE "C",
    name text NOT NULL CHECK (name <> ''),
    -- The beginning of the newest secret, to tell keys apart.
    hint text NOT NULL,
    status text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'disabled', 'revoked')),
    scopes text[] NOT NULL DEFAULT '{}' CHECK (array_position(scopes, NULL) IS NULL),
    -- Empty means from everywhere.
    allow_addresses cidr[] NOT NULL DEFAULT '{}'
        CHECK (array_position(allow_addresses, NULL) IS NULL),
    deny_addresses cidr[] NOT NULL DEFAULT '{}'
        CHECK (array_position(deny_addresses, NULL) IS NULL),
    endpoints text[] NOT NULL DEFAULT '{}' CHECK (array_position(endpoints, NULL) IS NULL),
    resources text[] NOT NULL DEFAULT '{}' CHECK (array_position(resources, NULL) IS NULL),
    limits jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(limits) = 'array'),
    budgets jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(budgets) = 'array'),
    metadata jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(metadata) = 'object'),
    starts_at timestamptz,
    -- The first instant it no longer works.
    expires_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    revoked_at timestamptz,
    FOREIGN KEY (tenant, owner) REFERENCES keyauth.owners (tenant, id),
    FOREIGN KEY (tenant, group_id) REFERENCES keyauth.groups (tenant, id),
    CONSTRAINT revoked_keys_say_when CHECK ((status = 'revoked') = (revoked_at IS NOT NULL)),
    CONSTRAINT keys_end_after_they_begin CHECK (starts_at < expires_at)
);
-- Ids begin with the time they were made, so this is also the order of issuing.
CREATE UNIQUE INDEX keys_by_tenant ON keyauth.keys (tenant, id);
CREATE INDEX keys_by_owner ON keyauth.keys (tenant, owner);
CREATE INDEX keys_by_group ON keyauth.keys (tenant, group_id) WHERE group_id IS NOT NULL;

CREATE TABLE keyauth.secrets (
    digest bytea PRIMARY KEY CHECK (octet_length(digest) = 32),
    id uuid NOT NULL UNIQUE,
    key_id uuid NOT NULL REFERENCES keyauth.keys (id) ON DELETE CASCADE,
    algorithm text NOT NULL CHECK (algorithm IN ('sha256', 'hmac_sha256')),
    -- The number of the pepper, never the pepper.
    pepper integer CHECK (pepper BETWEEN 0 AND 65535),
    kind text NOT NULL CHECK (kind IN ('generated', 'custom')),
    created_at timestamptz NOT NULL DEFAULT now(),
    -- The first instant it no longer works, where the key was rotated.
    ends_at timestamptz,
    CHECK ((algorithm = 'hmac_sha256') = (pepper IS NOT NULL))
);
CREATE INDEX secrets_by_key ON keyauth.secrets (key_id);

-- Written far more often than keys, so that using a key never touches the key.
CREATE TABLE keyauth.key_usage (
    key_id uuid PRIMARY KEY REFERENCES keyauth.keys (id) ON DELETE CASCADE,
    last_used_at timestamptz NOT NULL
);

CREATE FUNCTION keyauth.refuse() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION '%', TG_ARGV[0] USING ERRCODE = 'integrity_constraint_violation';
END
$$;

-- Whoever updates a key, if it is revoked it stays so.
CREATE TRIGGER a_revoked_keys_stay_revoked BEFORE UPDATE ON keyauth.keys FOR EACH ROW
WHEN (OLD.status = 'revoked'
    AND (NEW.status <> 'revoked' OR NEW.revoked_at IS DISTINCT FROM OLD.revoked_at))
EXECUTE FUNCTION keyauth.refuse('a revoked key stays revoked');
-- A secret that changed over to another key could bring a revoked one back.
CREATE TRIGGER a_secrets_keep_their_key BEFORE UPDATE ON keyauth.secrets FOR EACH ROW
WHEN (OLD.key_id <> NEW.key_id OR OLD.id <> NEW.id)
EXECUTE FUNCTION keyauth.refuse('a secret keeps its id and its key');
-- Those who remember a version remember it under a name.
CREATE TRIGGER a_keys_keep_their_name BEFORE UPDATE ON keyauth.keys FOR EACH ROW
WHEN (OLD.id <> NEW.id OR OLD.tenant <> NEW.tenant)
EXECUTE FUNCTION keyauth.refuse('a key keeps its id and its tenant');
CREATE TRIGGER a_tenants_keep_their_name BEFORE UPDATE ON keyauth.tenants FOR EACH ROW
WHEN (OLD.id <> NEW.id)
EXECUTE FUNCTION keyauth.refuse('a tenant keeps its id');
CREATE TRIGGER a_owners_keep_their_name BEFORE UPDATE ON keyauth.owners FOR EACH ROW
WHEN (OLD.id <> NEW.id OR OLD.tenant <> NEW.tenant)
EXECUTE FUNCTION keyauth.refuse('an owner keeps its id and its tenant');
CREATE TRIGGER a_groups_keep_their_name BEFORE UPDATE ON keyauth.groups FOR EACH ROW
WHEN (OLD.id <> NEW.id OR OLD.tenant <> NEW.tenant)
EXECUTE FUNCTION keyauth.refuse('a group keeps its id and its tenant');

-- An UPDATE by hand need not say when.
CREATE FUNCTION keyauth.say_when_revoked() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    NEW.revoked_at := now();
    RETURN NEW;
END
$$;
CREATE TRIGGER b_say_when_revoked BEFORE INSERT OR UPDATE ON keyauth.keys FOR EACH ROW
WHEN (NEW.status = 'revoked' AND NEW.revoked_at IS NULL)
EXECUTE FUNCTION keyauth.say_when_revoked();

ALTER TABLE keyauth.keys ENABLE ALWAYS TRIGGER a_revoked_keys_stay_revoked;
ALTER TABLE keyauth.keys ENABLE ALWAYS TRIGGER a_keys_keep_their_name;
ALTER TABLE keyauth.keys ENABLE ALWAYS TRIGGER b_say_when_revoked;
ALTER TABLE keyauth.secrets ENABLE ALWAYS TRIGGER a_secrets_keep_their_key;
ALTER TABLE keyauth.tenants ENABLE ALWAYS TRIGGER a_tenants_keep_their_name;
ALTER TABLE keyauth.owners ENABLE ALWAYS TRIGGER a_owners_keep_their_name;
ALTER TABLE keyauth.groups ENABLE ALWAYS TRIGGER a_groups_keep_their_name;

INSERT INTO keyauth.tenants (id) VALUES ('default');
INSERT INTO keyauth.owners (tenant, id) VALUES ('default', 'default');
