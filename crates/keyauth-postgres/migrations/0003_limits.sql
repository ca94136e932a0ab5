-- Limits of tenants, owners and groups, beside those of keys. Their triggers raise a version for
-- every column that changes, these too.

INSERT INTO keyauth.migrations (version, name) VALUES (3, 'limits');

ALTER TABLE keyauth.tenants
    ADD COLUMN limits jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(limits) = 'array');
ALTER TABLE keyauth.owners
    ADD COLUMN limits jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(limits) = 'array');
ALTER TABLE keyauth.groups
    ADD COLUMN limits jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(limits) = 'array');
