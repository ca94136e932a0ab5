-- Deleting, finding among many, and the record of who changed what.

INSERT INTO keyauth.migrations (version, name) VALUES (7, 'lifecycle');

-- Rows of deleted keys and owners stay, since sums of usage and the audit speak of them.
ALTER TABLE keyauth.keys ADD COLUMN deleted_at timestamptz,
    ADD CONSTRAINT deleted_keys_are_revoked CHECK (deleted_at IS NULL OR status = 'revoked');
ALTER TABLE keyauth.owners ADD COLUMN deleted_at timestamptz,
    ADD CONSTRAINT deleted_owners_are_inactive CHECK (deleted_at IS NULL OR status = 'inactive');

CREATE TRIGGER a_deleted_keys_stay_deleted BEFORE UPDATE ON keyauth.keys FOR EACH ROW
WHEN (OLD.deleted_at IS NOT NULL AND NEW.deleted_at IS DISTINCT FROM OLD.deleted_at)
EXECUTE FUNCTION keyauth.refuse('a deleted key stays deleted');
ALTER TABLE keyauth.keys ENABLE ALWAYS TRIGGER a_deleted_keys_stay_deleted;

-- One for every order that keys are listed in. Deleted ones are not listed.
DROP INDEX keyauth.keys_by_tenant;
DROP INDEX keyauth.keys_by_owner;
DROP INDEX keyauth.keys_by_group;
CREATE INDEX keys_by_tenant ON keyauth.keys (tenant, id) WHERE deleted_at IS NULL;
CREATE INDEX keys_by_owner ON keyauth.keys (tenant, owner, id) WHERE deleted_at IS NULL;
-- Of all keys, since those of a group that is deleted must not be looked for in the whole table.
CREATE INDEX keys_by_group ON keyauth.keys (tenant, group_id, id) WHERE group_id IS NOT NULL;
CREATE INDEX keys_by_status ON keyauth.keys (tenant, status, id) WHERE deleted_at IS NULL;
CREATE INDEX keys_by_name ON keyauth.keys (tenant, name COLLATE "C", id) WHERE deleted_at IS NULL;
CREATE INDEX keys_by_hint ON keyauth.keys (tenant, hint COLLATE "C", id) WHERE deleted_at IS NULL;
CREATE INDEX keys_by_expiry ON keyauth.keys (tenant, expires_at, id)
    WHERE deleted_at IS NULL AND expires_at IS NOT NULL;

-- Hashes of keys of other systems, until each is presented and becomes a secret of that id.
CREATE TABLE keyauth.imported_secrets (
    id uuid PRIMARY KEY,
    key_id uuid NOT NULL REFERENCES keyauth.keys (id) ON DELETE CASCADE,
    -- A digest of the hash; of how the key begins, where the hash is a slow one.
    lookup bytea NOT NULL CHECK (octet_length(lookup) = 32),
    hash text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    -- The first instant it no longer works, where the key was rotated.
    ends_at timestamptz
);
CREATE INDEX imported_secrets_by_lookup ON keyauth.imported_secrets (lookup);
CREATE INDEX imported_secrets_by_key ON keyauth.imported_secrets (key_id);

-- Who changed what. Only triggers write it, so that nothing is changed without, by hand neither;
-- rows go where an operator deletes them.
CREATE TABLE keyauth.audit (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- Whoever the application says has asked for it; nobody, where it was done by hand.
    actor text CHECK (actor ~ '^[!-~]{1,128}$'),
    database_user text NOT NULL DEFAULT session_user,
    -- Of everybody, where a table was truncated.
    tenant text COLLATE "C",
    -- To whom it belongs: secrets to their key, memberships and subscriptions to their owner.
    kind text NOT NULL CHECK (kind IN ('everything', 'tenant', 'owner', 'group', 'key')),
    subject text COLLATE "C",
    -- What was changed.
    what text NOT NULL CHECK (what IN
        ('tenant', 'owner', 'group', 'membership', 'subscription', 'key', 'secret', 'budget')),
    action text NOT NULL CHECK (action IN ('created', 'changed', 'deleted')),
    -- The columns that differ, but for digests, versions and times of change.
    before jsonb,
    after jsonb
);
CREATE INDEX audit_by_tenant ON keyauth.audit (tenant, id);
CREATE INDEX audit_by_subject ON keyauth.audit (tenant, kind, subject, id);

-- Arguments: what a row is; the kind of its subject, the subject's column, its tenant's column; the
-- columns that name a row.
CREATE FUNCTION keyauth.note_changes() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' AS $$
DECLARE
    -- What is said elsewhere, says nothing, or is nobody's business.
    hidden CONSTANT text[] :=
        ARRAY['id', 'tenant', 'key_id', 'digest', 'lookup', 'hash', 'version', 'created_at',
            'updated_at'];
    changed text;
BEGIN
    CASE TG_OP
    WHEN 'INSERT' THEN
        changed := 'SELECT to_jsonb(n) AS named, NULL::jsonb AS before, '
            'to_jsonb(n) - $3 AS after FROM new_rows AS n';
    WHEN 'DELETE' THEN
        changed := 'SELECT to_jsonb(o) AS named, to_jsonb(o) - $3 AS before, '
            'NULL::jsonb AS after FROM old_rows AS o';
    ELSE
        changed := format(
            'SELECT to_jsonb(n) AS named, b.columns AS before, a.columns AS after '
            'FROM old_rows AS o JOIN new_rows AS n USING (%s), '
            'LATERAL (SELECT jsonb_object_agg(key, value) AS columns '
            'FROM jsonb_each(to_jsonb(o) - $3) '
            'WHERE value IS DISTINCT FROM to_jsonb(n) -> key) AS b, '
            'LATERAL (SELECT jsonb_object_agg(key, value) AS columns '
            'FROM jsonb_each(to_jsonb(n) - $3) '
            'WHERE value IS DISTINCT FROM to_jsonb(o) -> key) AS a '
            'WHERE b.columns IS NOT NULL', TG_ARGV[4]);
    END CASE;
    IF TG_ARGV[0] = 'secret' THEN
        -- Those of a key that goes are not told of one by one.
        changed := format(
            'SELECT k.tenant, c.* FROM (%s) AS c '
            'JOIN keyauth.keys AS k ON k.id = (c.named ->> ''key_id'')::uuid', changed);
    ELSE
        changed := format('SELECT c.named ->> %L AS tenant, c.* FROM (%s) AS c',
            TG_ARGV[3], changed);
    END IF;
    EXECUTE format(
        'INSERT INTO keyauth.audit (actor, tenant, kind, subject, what, action, before, after) '
        'SELECT nullif(current_setting(''keyauth_audit.actor'', true), ''''), '
        'tenant, $1, named ->> %L, $2, $4, before, after FROM (%s) AS changed',
        TG_ARGV[2], changed)
        USING TG_ARGV[1], TG_ARGV[0], hidden,
            CASE TG_OP WHEN 'INSERT' THEN 'created' WHEN 'DELETE' THEN 'deleted'
                ELSE 'changed' END;
    RETURN NULL;
END
$$;

CREATE FUNCTION keyauth.note_truncation() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO keyauth.audit (actor, kind, what, action)
    VALUES (nullif(current_setting('keyauth_audit.actor', true), ''), 'everything', TG_ARGV[0],
        'deleted');
    RETURN NULL;
END
$$;

-- What was used is not noted each time; that it was forgiven is.
CREATE FUNCTION keyauth.note_reset() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    names CONSTANT text[] := string_to_array(NEW.subject, ' ');
BEGIN
    INSERT INTO keyauth.audit (actor, tenant, kind, subject, what, action, before, after)
    VALUES (nullif(current_setting('keyauth_audit.actor', true), ''), NEW.tenant,
        CASE WHEN names[1] = 'member' THEN 'owner'
            WHEN names[1] IN ('tenant', 'owner', 'group', 'key') THEN names[1]
            ELSE 'everything' END,
        CASE names[1] WHEN 'member' THEN names[3] WHEN 'tenant' THEN NEW.tenant ELSE names[2] END,
        'budget', 'changed',
        jsonb_build_object('budget', OLD.budget, 'period', OLD.period, 'zone', OLD.zone,
            'used', OLD.used, 'overrun', OLD.overrun, 'lost', OLD.lost),
        jsonb_build_object('budget', NEW.budget, 'period', NEW.period, 'zone', NEW.zone,
            'used', NEW.used, 'overrun', NEW.overrun, 'lost', NEW.lost));
    RETURN NULL;
END
$$;
CREATE TRIGGER note_reset AFTER UPDATE ON keyauth.accounts FOR EACH ROW
WHEN (OLD.began_at IS NOT NULL AND NEW.began_at IS NULL
    OR OLD.lost > 0 AND NEW.lost = 0 AND NEW.used = OLD.used - OLD.lost
        AND NEW.began_at = OLD.began_at)
EXECUTE FUNCTION keyauth.note_reset();

REVOKE EXECUTE ON FUNCTION
    keyauth.note_changes(), keyauth.note_truncation(), keyauth.note_reset() FROM PUBLIC;

-- Where rows are replicated from another database, so is its audit, and these do not fire.
CREATE TRIGGER note_inserts AFTER INSERT ON keyauth.tenants
REFERENCING NEW TABLE AS new_rows
FOR EACH STATEMENT EXECUTE FUNCTION keyauth.note_changes(
    'tenant', 'tenant', 'id', 'id', 'id');
CREATE TRIGGER note_updates AFTER UPDATE ON keyauth.tenants
REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
FOR EACH STATEMENT EXECUTE FUNCTION keyauth.note_changes(
    'tenant', 'tenant', 'id', 'id', 'id');
CREATE TRIGGER note_deletes AFTER DELETE ON keyauth.tenants
REFERENCING OLD TABLE AS old_rows
FOR EACH STATEMENT EXECUTE FUNCTION keyauth.note_changes(
    'tenant', 'tenant', 'id', 'id', 'id');
CREATE TRIGGER note_truncation AFTER TRUNCATE ON keyauth.tenants
FOR EACH STATEMENT EXECUTE FUNCTION keyauth.note_truncation('tenant');

CREATE TRIGGER note_inserts AFTER INSERT ON keyauth.owners
REFERENCING NEW TABLE AS new_rows
FOR EACH STATEMENT EXECUTE FUNCTION keyauth.note_changes(
    'owner', 'owner', 'id', 'tenant', 'tenant, id');
CREATE TRIGGER note_updates AFTER UPDATE ON keyauth.owners
REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
FOR EACH STATEMENT EXECUTE FUNCTION keyauth.note_changes(
    'owner', 'owner', 'id', 'tenant', 'tenant, id');
CREATE TRIGGER note_deletes AFTER DELETE ON keyauth.owners
REFERENCING OLD TABLE AS old_rows
FOR EACH STATEMENT EXECUTE FUNCTION keyauth.note_changes(
    'owner', 'owner', 'id', 'tenant', 'tenant, id');
CREATE TRIGGER note_truncation AFTER TRUNCATE ON keyauth.owners
FOR EACH STATEMENT EXECUTE FUNCTION keyauth.note_truncation('owner');

CREATE TRIGGER note_inserts AFTER INSERT ON keyauth.groups
REFERENCING NEW TABLE AS new_rows
FOR EACH STATEMENT EXECUTE FUNCTION keyauth.note_changes(
    'group', 'group', 'id', 'tenant', 'tenant, id');
CREATE TRIGGER note_updates AFTER UPDATE ON keyauth.groups
REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
FOR EACH STATEMENT EXECUTE FUNCTION keyauth.note_changes(
    'group', 'group', 'id', 'tenant', 'tenant, id');
CREATE TRIGGER note_deletes AFTER DELETE ON keyauth.groups
REFERENCING OLD TABLE AS old_rows
FOR EACH STATEMENT EXECUTE FUNCTION keyauth.note_changes(
    'group', 'group', 'id', 'tenant', 'tenant, id');
CREATE TRIGGER note_truncation AFTER TRUNCATE ON keyauth.groups
FOR EACH STATEMENT EXECUTE FUNCTION keyauth.note_truncation('group');

CREATE TRIGGER note_inserts AFTER INSERT ON keyauth.memberships
REFERENCING NEW TABLE AS new_rows
FOR EACH STATEMENT EXECUTE FUNCTION keyauth.note_changes(
    'membership', 'owner', 'owner', 'tenant', 'tenant, group_id, owner');
CREATE TRIGGER note_updates AFTER UPDATE ON keyauth.memberships
REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
FOR EACH STATEMENT EXECUTE FUNCTION keyauth.note_changes(
    'membership', 'owner', 'owner', 'tenant', 'tenant, group_id, owner');
CREATE TRIGGER note_deletes AFTER DELETE ON keyauth.memberships
REFERENCING OLD TABLE AS old_rows
FOR EACH STATEMENT EXECUTE FUNCTION keyauth.note_changes(
    'membership', 'owner', 'owner', 'tenant', 'tenant, group_id, owner');
CREATE TRIGGER note_truncation AFTER TRUNCATE ON keyauth.memberships
FOR EACH STATEMENT EXECUTE FUNCTION keyauth.note_truncation('membership');

CREATE TRIGGER note_inserts AFTER INSERT ON keyauth.subscriptions
REFERENCING NEW TABLE AS new_rows
FOR EACH STATEMENT EXECUTE FUNCTION keyauth.note_changes(
    'subscription', 'owner', 'owner', 'tenant', 'tenant, group_id, owner');
CREATE TRIGGER note_updates AFTER UPDATE ON keyauth.subscriptions
REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
FOR EACH STATEMENT EXECUTE FUNCTION keyauth.note_changes(
    'subscription', 'owner', 'owner', 'tenant', 'tenant, group_id, owner');
CREATE TRIGGER note_deletes AFTER DELETE ON keyauth.subscriptions
REFERENCING OLD TABLE AS old_rows
FOR EACH STATEMENT EXECUTE FUNCTION keyauth.note_changes(
    'subscription', 'owner', 'owner', 'tenant', 'tenant, group_id, owner');
CREATE TRIGGER note_truncation AFTER TRUNCATE ON keyauth.subscriptions
FOR EACH STATEMENT EXECUTE FUNCTION keyauth.note_truncation('subscription');

CREATE TRIGGER note_inserts AFTER INSERT ON keyauth.keys
REFERENCING NEW TABLE AS new_rows
FOR EACH STATEMENT EXECUTE FUNCTION keyauth.note_changes(
    'key', 'key', 'id', 'tenant', 'id');
CREATE TRIGGER note_updates AFTER UPDATE ON keyauth.keys
REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
FOR EACH STATEMENT EXECUTE FUNCTION keyauth.note_changes(
    'key', 'key', 'id', 'tenant', 'id');
CREATE TRIGGER note_deletes AFTER DELETE ON keyauth.keys
REFERENCING OLD TABLE AS old_rows
FOR EACH STATEMENT EXECUTE FUNCTION keyauth.note_changes(
    'key', 'key', 'id', 'tenant', 'id');
CREATE TRIGGER note_truncation AFTER TRUNCATE ON keyauth.keys
FOR EACH STATEMENT EXECUTE FUNCTION keyauth.note_truncation('key');

CREATE TRIGGER note_inserts AFTER INSERT ON keyauth.secrets
REFERENCING NEW TABLE AS new_rows
FOR EACH STATEMENT EXECUTE FUNCTION keyauth.note_changes(
    'secret', 'key', 'key_id', '', 'id');
CREATE TRIGGER note_updates AFTER UPDATE ON keyauth.secrets
REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
FOR EACH STATEMENT EXECUTE FUNCTION keyauth.note_changes(
    'secret', 'key', 'key_id', '', 'id');
CREATE TRIGGER note_deletes AFTER DELETE ON keyauth.secrets
REFERENCING OLD TABLE AS old_rows
FOR EACH STATEMENT EXECUTE FUNCTION keyauth.note_changes(
    'secret', 'key', 'key_id', '', 'id');
CREATE TRIGGER note_truncation AFTER TRUNCATE ON keyauth.secrets
FOR EACH STATEMENT EXECUTE FUNCTION keyauth.note_truncation('secret');

CREATE TRIGGER note_inserts AFTER INSERT ON keyauth.imported_secrets
REFERENCING NEW TABLE AS new_rows
FOR EACH STATEMENT EXECUTE FUNCTION keyauth.note_changes(
    'secret', 'key', 'key_id', '', 'id');
CREATE TRIGGER note_updates AFTER UPDATE ON keyauth.imported_secrets
REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
FOR EACH STATEMENT EXECUTE FUNCTION keyauth.note_changes(
    'secret', 'key', 'key_id', '', 'id');
CREATE TRIGGER note_deletes AFTER DELETE ON keyauth.imported_secrets
REFERENCING OLD TABLE AS old_rows
FOR EACH STATEMENT EXECUTE FUNCTION keyauth.note_changes(
    'secret', 'key', 'key_id', '', 'id');
CREATE TRIGGER note_truncation AFTER TRUNCATE ON keyauth.imported_secrets
FOR EACH STATEMENT EXECUTE FUNCTION keyauth.note_truncation('secret');
