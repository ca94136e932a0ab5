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
-- Of all keys, since those of an owner or a group that goes must not be looked for in the whole table.
CREATE INDEX keys_by_owner ON keyauth.keys (tenant, owner, id);
CREATE INDEX keys_by_group ON keyauth.keys (tenant, group_id, id) WHERE group_id IS NOT NULL;
CREATE INDEX keys_by_status ON keyauth.keys (tenant, status, id) WHERE deleted_at IS NULL;
CREATE INDEX keys_by_name ON keyauth.keys (tenant, name COLLATE "C", id) WHERE deleted_at IS NULL;
CREATE INDEX keys_by_hint ON keyauth.keys (tenant, hint COLLATE "C", id) WHERE deleted_at IS NULL;
CREATE INDEX keys_by_expiry ON keyauth.keys (tenant, expires_at, id)
    WHERE deleted_at IS NULL AND expires_at IS NOT NULL;

-- Hashes of keys of other systems, until each is presented and becomes a secret of that id. Then the hash
-- goes, and its row stays, so that it is not imported again beside its own key.
CREATE TABLE keyauth.imported_secrets (
    id uuid PRIMARY KEY,
    key_id uuid NOT NULL REFERENCES keyauth.keys (id) ON DELETE CASCADE,
    -- A digest of the hash; of how the key begins, where the hash is a slow one.
    lookup bytea NOT NULL CHECK (octet_length(lookup) = 32),
    hash text,
    -- SHA-256 of it.
    fingerprint bytea NOT NULL UNIQUE CHECK (octet_length(fingerprint) = 32),
    created_at timestamptz NOT NULL DEFAULT now(),
    -- The first instant it no longer works, where the key was rotated.
    ends_at timestamptz
);
CREATE TRIGGER a_imported_secrets_keep_their_key BEFORE UPDATE ON keyauth.imported_secrets
FOR EACH ROW WHEN (OLD.key_id <> NEW.key_id OR OLD.id <> NEW.id)
EXECUTE FUNCTION keyauth.refuse('a secret keeps its id and its key');
ALTER TABLE keyauth.imported_secrets ENABLE ALWAYS TRIGGER a_imported_secrets_keep_their_key;
CREATE INDEX imported_secrets_by_lookup ON keyauth.imported_secrets (lookup)
    WHERE hash IS NOT NULL;
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
-- For whoever deletes what is old.
CREATE INDEX audit_by_time ON keyauth.audit USING brin (at);
CREATE INDEX audit_by_subject ON keyauth.audit (tenant, kind, subject, id);

-- The columns of a row that differ from another's, or all, where there is no other. Columns that are
-- kept are told whatever differs. Of a secret nothing is told that is not named here.
CREATE FUNCTION keyauth.noted_columns(what text, own jsonb, other jsonb, kept text[]) RETURNS jsonb
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT jsonb_object_agg(key, CASE
        WHEN what = 'secret' AND key NOT IN ('id', 'algorithm', 'pepper', 'kind', 'ends_at')
        THEN to_jsonb('hidden'::text) ELSE value END)
    FROM jsonb_each(own)
    WHERE other IS NULL OR value IS DISTINCT FROM other -> key OR key = ANY (kept)
$$;

-- Arguments: what a row is; the kind of its subject, and the subject's column; the columns that name a
-- row; those of them that are told with it.
CREATE FUNCTION keyauth.note_changes() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' AS $$
DECLARE
    kept CONSTANT text[] := string_to_array(TG_ARGV[4], ', ');
    -- What is said elsewhere, or says nothing.
    hidden CONSTANT text[] := array(
        SELECT unnest(ARRAY['id', 'tenant', 'key_id', 'version', 'created_at', 'updated_at'])
        EXCEPT SELECT unnest(kept));
BEGIN
    EXECUTE format($sql$
        WITH changed AS (
            SELECT to_jsonb(o) - $1 AS before, to_jsonb(n) - $1 AS after,
                coalesce(to_jsonb(n), to_jsonb(o)) AS named
            FROM %s AS o FULL JOIN %s AS n USING (%s)
        ), placed AS (
            SELECT *, CASE $2 WHEN 'tenant' THEN named ->> 'id'
                WHEN 'secret' THEN (
                    SELECT k.tenant FROM keyauth.keys AS k WHERE k.id = (named ->> 'key_id')::uuid)
                ELSE named ->> 'tenant' END AS place
            FROM changed WHERE before IS DISTINCT FROM after
        )
        INSERT INTO keyauth.audit (actor, tenant, kind, subject, what, action, before, after)
        SELECT nullif(current_setting('keyauth_audit.actor', true), ''),
            place, $3, named ->> %L, $2,
            CASE WHEN before IS NULL THEN 'created' WHEN after IS NULL THEN 'deleted'
                ELSE 'changed' END,
            keyauth.noted_columns($2, before, after, $4),
            keyauth.noted_columns($2, after, before, $4)
        -- Secrets of a key that goes are not told of one by one.
        FROM placed WHERE place IS NOT NULL
        $sql$,
        CASE TG_OP WHEN 'INSERT' THEN '(SELECT * FROM new_rows WHERE false)' ELSE 'old_rows' END,
        CASE TG_OP WHEN 'DELETE' THEN '(SELECT * FROM old_rows WHERE false)' ELSE 'new_rows' END,
        TG_ARGV[3], TG_ARGV[2])
        USING hidden, TG_ARGV[0], TG_ARGV[1], kept;
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

-- The same as before, and noted: use is not, that it was forgiven is.
CREATE OR REPLACE FUNCTION keyauth.reset_budget(
    of_tenant text, of_subject text, of_budget text, of_period text, of_zone text,
    only_lost boolean
) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' AS $$
DECLARE
    names CONSTANT text[] := string_to_array(of_subject, ' ');
    opened CONSTANT bigint[] := keyauth.find_accounts(ARRAY[of_tenant], ARRAY[of_subject],
        ARRAY[of_budget], ARRAY[of_period], ARRAY[of_zone]);
BEGIN
    PERFORM keyauth.close_abandoned(opened);
    PERFORM keyauth.open_accounts(opened);
    WITH account AS (
        SELECT a.used, a.overrun, a.lost, jsonb_build_object('counted', a.subject,
            'budget', a.budget, 'period', a.period, 'zone', a.zone) AS name
        FROM keyauth.accounts AS a WHERE a.id = ANY (opened)
    )
    INSERT INTO keyauth.audit (actor, tenant, kind, subject, what, action, before, after)
    SELECT nullif(current_setting('keyauth_audit.actor', true), ''), nullif(of_tenant, ''),
        CASE WHEN names[1] = 'member' THEN 'owner'
            WHEN names[1] IN ('tenant', 'owner', 'group', 'key') THEN names[1]
            ELSE 'everything' END,
        CASE names[1] WHEN 'member' THEN names[3] WHEN 'tenant' THEN of_tenant ELSE names[2] END,
        'budget', 'changed',
        name || jsonb_build_object('used', used, 'overrun', overrun, 'lost', lost),
        name || CASE WHEN only_lost
            THEN jsonb_build_object('used', used - lost, 'overrun', overrun, 'lost', 0)
            ELSE jsonb_build_object('used', 0, 'overrun', 0, 'lost', 0) END
    FROM account WHERE CASE WHEN only_lost THEN lost > 0 ELSE used > 0 OR overrun > 0 END;
    IF only_lost THEN
        UPDATE keyauth.accounts SET used = used - lost, lost = 0 WHERE id = ANY (opened);
    ELSE
        UPDATE keyauth.accounts
            SET began_at = NULL, ends_at = NULL, used = 0, overrun = 0, lost = 0
            WHERE id = ANY (opened);
    END IF;
    -- Who has had something of it that was lost is charged what he settles after all.
    UPDATE keyauth.charges SET status = 'given_back' WHERE status = 'lost' AND accounts && opened;
    -- To set a version to what none can be raises it.
    CASE names[1]
        WHEN 'key' THEN
            UPDATE keyauth.keys SET version = -1 WHERE tenant = of_tenant AND id = names[2]::uuid;
        WHEN 'owner' THEN
            UPDATE keyauth.owners SET version = -1 WHERE tenant = of_tenant AND id = names[2];
        WHEN 'member' THEN
            UPDATE keyauth.owners SET version = -1 WHERE tenant = of_tenant AND id = names[3];
        WHEN 'group' THEN
            UPDATE keyauth.groups SET version = -1 WHERE tenant = of_tenant AND id = names[2];
        WHEN 'tenant' THEN
            UPDATE keyauth.tenants SET version = -1 WHERE id = of_tenant;
        ELSE NULL;
    END CASE;
END
$$;

REVOKE EXECUTE ON FUNCTION keyauth.note_changes(), keyauth.note_truncation(),
    keyauth.noted_columns(text, jsonb, jsonb, text[]) FROM PUBLIC;

-- Where rows are replicated from another database, so is its audit, and these do not fire.
CREATE TRIGGER note_inserts AFTER INSERT ON keyauth.tenants
REFERENCING NEW TABLE AS new_rows
FOR EACH STATEMENT EXECUTE FUNCTION keyauth.note_changes(
    'tenant', 'tenant', 'id', 'id', '');
CREATE TRIGGER note_updates AFTER UPDATE ON keyauth.tenants
REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
FOR EACH STATEMENT EXECUTE FUNCTION keyauth.note_changes(
    'tenant', 'tenant', 'id', 'id', '');
CREATE TRIGGER note_deletes AFTER DELETE ON keyauth.tenants
REFERENCING OLD TABLE AS old_rows
FOR EACH STATEMENT EXECUTE FUNCTION keyauth.note_changes(
    'tenant', 'tenant', 'id', 'id', '');
CREATE TRIGGER note_truncation AFTER TRUNCATE ON keyauth.tenants
FOR EACH STATEMENT EXECUTE FUNCTION keyauth.note_truncation('tenant');

CREATE TRIGGER note_inserts AFTER INSERT ON keyauth.owners
REFERENCING NEW TABLE AS new_rows
FOR EACH STATEMENT EXECUTE FUNCTION keyauth.note_changes(
    'owner', 'owner', 'id', 'tenant, id', '');
CREATE TRIGGER note_updates AFTER UPDATE ON keyauth.owners
REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
FOR EACH STATEMENT EXECUTE FUNCTION keyauth.note_changes(
    'owner', 'owner', 'id', 'tenant, id', '');
CREATE TRIGGER note_deletes AFTER DELETE ON keyauth.owners
REFERENCING OLD TABLE AS old_rows
FOR EACH STATEMENT EXECUTE FUNCTION keyauth.note_changes(
    'owner', 'owner', 'id', 'tenant, id', '');
CREATE TRIGGER note_truncation AFTER TRUNCATE ON keyauth.owners
FOR EACH STATEMENT EXECUTE FUNCTION keyauth.note_truncation('owner');

CREATE TRIGGER note_inserts AFTER INSERT ON keyauth.groups
REFERENCING NEW TABLE AS new_rows
FOR EACH STATEMENT EXECUTE FUNCTION keyauth.note_changes(
    'group', 'group', 'id', 'tenant, id', '');
CREATE TRIGGER note_updates AFTER UPDATE ON keyauth.groups
REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
FOR EACH STATEMENT EXECUTE FUNCTION keyauth.note_changes(
    'group', 'group', 'id', 'tenant, id', '');
CREATE TRIGGER note_deletes AFTER DELETE ON keyauth.groups
REFERENCING OLD TABLE AS old_rows
FOR EACH STATEMENT EXECUTE FUNCTION keyauth.note_changes(
    'group', 'group', 'id', 'tenant, id', '');
CREATE TRIGGER note_truncation AFTER TRUNCATE ON keyauth.groups
FOR EACH STATEMENT EXECUTE FUNCTION keyauth.note_truncation('group');

CREATE TRIGGER note_inserts AFTER INSERT ON keyauth.memberships
REFERENCING NEW TABLE AS new_rows
FOR EACH STATEMENT EXECUTE FUNCTION keyauth.note_changes(
    'membership', 'owner', 'owner', 'tenant, group_id, owner', 'group_id, owner');
CREATE TRIGGER note_updates AFTER UPDATE ON keyauth.memberships
REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
FOR EACH STATEMENT EXECUTE FUNCTION keyauth.note_changes(
    'membership', 'owner', 'owner', 'tenant, group_id, owner', 'group_id, owner');
CREATE TRIGGER note_deletes AFTER DELETE ON keyauth.memberships
REFERENCING OLD TABLE AS old_rows
FOR EACH STATEMENT EXECUTE FUNCTION keyauth.note_changes(
    'membership', 'owner', 'owner', 'tenant, group_id, owner', 'group_id, owner');
CREATE TRIGGER note_truncation AFTER TRUNCATE ON keyauth.memberships
FOR EACH STATEMENT EXECUTE FUNCTION keyauth.note_truncation('membership');

CREATE TRIGGER note_inserts AFTER INSERT ON keyauth.subscriptions
REFERENCING NEW TABLE AS new_rows
FOR EACH STATEMENT EXECUTE FUNCTION keyauth.note_changes(
    'subscription', 'owner', 'owner', 'tenant, group_id, owner', 'group_id, owner');
CREATE TRIGGER note_updates AFTER UPDATE ON keyauth.subscriptions
REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
FOR EACH STATEMENT EXECUTE FUNCTION keyauth.note_changes(
    'subscription', 'owner', 'owner', 'tenant, group_id, owner', 'group_id, owner');
CREATE TRIGGER note_deletes AFTER DELETE ON keyauth.subscriptions
REFERENCING OLD TABLE AS old_rows
FOR EACH STATEMENT EXECUTE FUNCTION keyauth.note_changes(
    'subscription', 'owner', 'owner', 'tenant, group_id, owner', 'group_id, owner');
CREATE TRIGGER note_truncation AFTER TRUNCATE ON keyauth.subscriptions
FOR EACH STATEMENT EXECUTE FUNCTION keyauth.note_truncation('subscription');

CREATE TRIGGER note_inserts AFTER INSERT ON keyauth.keys
REFERENCING NEW TABLE AS new_rows
FOR EACH STATEMENT EXECUTE FUNCTION keyauth.note_changes(
    'key', 'key', 'id', 'id', '');
CREATE TRIGGER note_updates AFTER UPDATE ON keyauth.keys
REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
FOR EACH STATEMENT EXECUTE FUNCTION keyauth.note_changes(
    'key', 'key', 'id', 'id', '');
CREATE TRIGGER note_deletes AFTER DELETE ON keyauth.keys
REFERENCING OLD TABLE AS old_rows
FOR EACH STATEMENT EXECUTE FUNCTION keyauth.note_changes(
    'key', 'key', 'id', 'id', '');
CREATE TRIGGER note_truncation AFTER TRUNCATE ON keyauth.keys
FOR EACH STATEMENT EXECUTE FUNCTION keyauth.note_truncation('key');

CREATE TRIGGER note_inserts AFTER INSERT ON keyauth.secrets
REFERENCING NEW TABLE AS new_rows
FOR EACH STATEMENT EXECUTE FUNCTION keyauth.note_changes(
    'secret', 'key', 'key_id', 'id', 'id');
CREATE TRIGGER note_updates AFTER UPDATE ON keyauth.secrets
REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
FOR EACH STATEMENT EXECUTE FUNCTION keyauth.note_changes(
    'secret', 'key', 'key_id', 'id', 'id');
CREATE TRIGGER note_deletes AFTER DELETE ON keyauth.secrets
REFERENCING OLD TABLE AS old_rows
FOR EACH STATEMENT EXECUTE FUNCTION keyauth.note_changes(
    'secret', 'key', 'key_id', 'id', 'id');
CREATE TRIGGER note_truncation AFTER TRUNCATE ON keyauth.secrets
FOR EACH STATEMENT EXECUTE FUNCTION keyauth.note_truncation('secret');

CREATE TRIGGER note_inserts AFTER INSERT ON keyauth.imported_secrets
REFERENCING NEW TABLE AS new_rows
FOR EACH STATEMENT EXECUTE FUNCTION keyauth.note_changes(
    'secret', 'key', 'key_id', 'id', 'id');
CREATE TRIGGER note_updates AFTER UPDATE ON keyauth.imported_secrets
REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
FOR EACH STATEMENT EXECUTE FUNCTION keyauth.note_changes(
    'secret', 'key', 'key_id', 'id', 'id');
CREATE TRIGGER note_deletes AFTER DELETE ON keyauth.imported_secrets
REFERENCING OLD TABLE AS old_rows
FOR EACH STATEMENT EXECUTE FUNCTION keyauth.note_changes(
    'secret', 'key', 'key_id', 'id', 'id');
CREATE TRIGGER note_truncation AFTER TRUNCATE ON keyauth.imported_secrets
FOR EACH STATEMENT EXECUTE FUNCTION keyauth.note_truncation('secret');
