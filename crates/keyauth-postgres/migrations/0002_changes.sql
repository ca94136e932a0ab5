-- Versions, and the feed of changes. `docs/revocation.md` explains what rests on this.

INSERT INTO keyauth.migrations (version, name) VALUES (2, 'changes');

-- One sequence for all versions, so that a subject that is deleted and made anew goes on
-- above the version it had. Without a cache, or a row's second version could be below its first.
CREATE SEQUENCE keyauth.versions AS bigint CACHE 1;

-- The triggers give the versions, so whoever inserts needs no right to the sequence.
ALTER TABLE keyauth.tenants ADD COLUMN version bigint NOT NULL DEFAULT 0;
ALTER TABLE keyauth.owners ADD COLUMN version bigint NOT NULL DEFAULT 0;
ALTER TABLE keyauth.groups ADD COLUMN version bigint NOT NULL DEFAULT 0;
ALTER TABLE keyauth.keys ADD COLUMN version bigint NOT NULL DEFAULT 0;

-- This server and its timeline, which is another one after a promotion.
CREATE FUNCTION keyauth.lineage() RETURNS text
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
    SELECT to_hex(system_identifier) || '-'
        || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8)
    FROM pg_control_system()
$$;

-- What there is one of.
CREATE TABLE keyauth.deployment (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    -- The version of everything: raised where too much changes to be told one by one.
    version bigint NOT NULL DEFAULT nextval('keyauth.versions'),
    -- Where versions are counted.
    lineage text NOT NULL DEFAULT keyauth.lineage(),
    -- The name of this history of versions. Change it after restoring a dump.
    namespace uuid NOT NULL DEFAULT gen_random_uuid(),
    -- What records in a shared cache are sealed with.
    seal bytea NOT NULL CHECK (octet_length(seal) = 32),
    -- How long changes are kept for those who come late.
    history interval NOT NULL DEFAULT '1 hour' CHECK (history >= '30 minutes')
);
-- Two random UUIDs have 244 random bits; hashed, they make one key.
INSERT INTO keyauth.deployment (seal)
VALUES (sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())));
REVOKE ALL ON keyauth.deployment FROM PUBLIC;

CREATE TABLE keyauth.invalidations (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- The transaction that made the change. Readers ask for what was not visible to them
    -- before, so that a change whose transaction was long is not skipped.
    xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    kind text NOT NULL
        CHECK (kind IN ('everything', 'tenant', 'owner', 'group', 'key', 'secret', 'secrets')),
    tenant text COLLATE "C",
    subject text COLLATE "C",
    version bigint,
    -- Of a new secret, so that whoever remembers it as unknown forgets that.
    digest bytea,
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- When a trimmer first saw it; it may have been committed long after it was written.
    seen_at timestamptz
);
CREATE INDEX invalidations_by_xid ON keyauth.invalidations (xid);
CREATE INDEX invalidations_unseen ON keyauth.invalidations (id) WHERE seen_at IS NULL;
CREATE INDEX invalidations_seen ON keyauth.invalidations (seen_at) WHERE seen_at IS NOT NULL;

-- Instances that serve from a cache, and how far each has read.
CREATE TABLE keyauth.instances (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name text NOT NULL,
    -- How long after a poll, and beyond that while the store is away, it serves what it has.
    max_staleness_ms bigint NOT NULL CHECK (max_staleness_ms >= 0),
    grace_ms bigint NOT NULL CHECK (grace_ms >= 0),
    -- All that was visible to the last poll whose changes it has applied.
    applied pg_snapshot,
    beat bigint NOT NULL DEFAULT 0,
    registered_at timestamptz NOT NULL DEFAULT now()
);

CREATE FUNCTION keyauth.raise_version() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    -- Whoever sets a version by hand gets the next one too.
    IF TG_OP = 'INSERT' OR OLD *<> NEW THEN
        NEW.version := nextval('keyauth.versions');
    END IF;
    RETURN NEW;
END
$$;

CREATE FUNCTION keyauth.raise_key_version() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    same keyauth.keys := OLD;
BEGIN
    IF TG_OP = 'UPDATE' THEN
        -- What decides about nothing. Columns that are not named here do decide, those of
        -- later migrations too.
        same.name := NEW.name;
        same.hint := NEW.hint;
        same.created_at := NEW.created_at;
        same.updated_at := NEW.updated_at;
        -- Byte by byte: 1 and 1.0 are equal numbers in JSON, and not the same to look at.
        IF same *= NEW THEN
            RETURN NEW;
        END IF;
    END IF;
    NEW.version := nextval('keyauth.versions');
    RETURN NEW;
END
$$;

CREATE FUNCTION keyauth.tell_everything() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    WITH raised AS (
        UPDATE keyauth.deployment SET version = nextval('keyauth.versions') RETURNING version
    )
    INSERT INTO keyauth.invalidations (kind, version) SELECT 'everything', version FROM raised;
END
$$;

-- Instances call it before they read changes, and are told the namespace. After a promotion
-- that is a new one, as two replicas may be promoted to the same timeline; and versions leap,
-- since lookups may still be answered by the primary of before, whose versions go on: what it
-- gives is below everything's version here, and below that of every change to come.
CREATE FUNCTION keyauth.follow_lineage() RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    present CONSTANT text := keyauth.lineage();
BEGIN
    UPDATE keyauth.deployment SET lineage = present, namespace = gen_random_uuid()
        WHERE lineage <> present;
    IF FOUND THEN
        PERFORM setval('keyauth.versions', nextval('keyauth.versions') + (1::bigint << 40));
        PERFORM keyauth.tell_everything();
    END IF;
    RETURN (SELECT namespace FROM keyauth.deployment);
END
$$;

CREATE FUNCTION keyauth.tell_truncation() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM keyauth.tell_everything();
    RETURN NULL;
END
$$;

-- Tells of updated or deleted subjects: one by one, or, where they are more than a thousand,
-- as one change of their tenant or of everything.
-- Arguments: the kind of subject, its tenant's column, its name's column.
CREATE FUNCTION keyauth.tell_changes() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    kind CONSTANT text := TG_ARGV[0];
    changed text;
    total bigint;
    first_tenant text;
    last_tenant text;
BEGIN
    IF TG_OP = 'UPDATE' THEN
        changed := format(
            'SELECT n.%1$I AS tenant, n.%2$I::text AS subject, n.version FROM new_rows AS n '
            'JOIN old_rows AS o ON o.%1$I = n.%1$I AND o.%2$I = n.%2$I '
            'WHERE o.version <> n.version', TG_ARGV[1], TG_ARGV[2]);
    ELSE
        changed := format(
            'SELECT %1$I AS tenant, %2$I::text AS subject, version + 1 AS version FROM old_rows',
            TG_ARGV[1], TG_ARGV[2]);
    END IF;
    EXECUTE format('SELECT count(*), min(tenant), max(tenant) FROM (%s) AS changed', changed)
        INTO total, first_tenant, last_tenant;
    IF total = 0 THEN
        RETURN NULL;
    ELSIF total <= 1000 THEN
        EXECUTE format(
            'INSERT INTO keyauth.invalidations (kind, tenant, subject, version) '
            'SELECT %L, tenant, subject, version FROM (%s) AS changed', kind, changed);
        RETURN NULL;
    ELSIF kind <> 'tenant' AND first_tenant = last_tenant THEN
        UPDATE keyauth.tenants SET version = -1 WHERE id = first_tenant;
        IF FOUND THEN
            RETURN NULL;
        END IF;
    END IF;
    PERFORM keyauth.tell_everything();
    RETURN NULL;
END
$$;

-- A row that is inserted where another is being deleted has waited for that, and has drawn its
-- version before. It draws another, above all that was told of the one that is gone.
CREATE FUNCTION keyauth.raise_inserted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    EXECUTE format(
        'UPDATE keyauth.%1$I AS t SET version = -1 FROM new_rows AS n '
        'WHERE t.%2$I = n.%2$I AND t.id = n.id', TG_TABLE_NAME, TG_ARGV[0]);
    RETURN NULL;
END
$$;

-- To set a version to what none can be raises it.
-- Secrets are their key's, memberships and subscriptions their owner's: those are raised, and
-- told of, by an update of their row.
CREATE FUNCTION keyauth.secrets_changed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    digests bytea[];
BEGIN
    IF TG_OP = 'INSERT' THEN
        UPDATE keyauth.keys SET version = -1 WHERE id IN (SELECT key_id FROM new_rows);
        SELECT array_agg(digest) FROM (SELECT digest FROM new_rows LIMIT 1001) AS n INTO digests;
    ELSIF TG_OP = 'UPDATE' THEN
        UPDATE keyauth.keys SET version = -1 WHERE id IN (
            SELECT key_id FROM (TABLE new_rows EXCEPT TABLE old_rows) AS changed);
        SELECT array_agg(digest) FROM (
            SELECT digest FROM new_rows EXCEPT SELECT digest FROM old_rows LIMIT 1001) AS n
            INTO digests;
    ELSE
        UPDATE keyauth.keys SET version = -1 WHERE id IN (SELECT key_id FROM old_rows);
    END IF;
    IF cardinality(digests) > 1000 THEN
        INSERT INTO keyauth.invalidations (kind) VALUES ('secrets');
    ELSIF cardinality(digests) > 0 THEN
        INSERT INTO keyauth.invalidations (kind, digest) SELECT 'secret', unnest(digests);
    END IF;
    RETURN NULL;
END
$$;

CREATE FUNCTION keyauth.relations_changed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        UPDATE keyauth.owners SET version = -1
            WHERE (tenant, id) IN (SELECT tenant, owner FROM new_rows);
    ELSIF TG_OP = 'UPDATE' THEN
        UPDATE keyauth.owners SET version = -1 WHERE (tenant, id) IN (
            SELECT tenant, owner FROM (TABLE new_rows EXCEPT TABLE old_rows) AS now
            UNION SELECT tenant, owner FROM (TABLE old_rows EXCEPT TABLE new_rows) AS before);
    ELSE
        UPDATE keyauth.owners SET version = -1
            WHERE (tenant, id) IN (SELECT tenant, owner FROM old_rows);
    END IF;
    RETURN NULL;
END
$$;

-- A sign that a poll is worth while. It carries nothing, so there is nothing to forge in it.
CREATE FUNCTION keyauth.hint() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM pg_notify('keyauth_changes', '');
    RETURN NULL;
END
$$;

CREATE TRIGGER z_raise_version BEFORE INSERT OR UPDATE ON keyauth.tenants
FOR EACH ROW EXECUTE FUNCTION keyauth.raise_version();
ALTER TABLE keyauth.tenants ENABLE ALWAYS TRIGGER z_raise_version;

CREATE TRIGGER z_raise_version BEFORE INSERT OR UPDATE ON keyauth.owners
FOR EACH ROW EXECUTE FUNCTION keyauth.raise_version();
ALTER TABLE keyauth.owners ENABLE ALWAYS TRIGGER z_raise_version;

CREATE TRIGGER z_raise_version BEFORE INSERT OR UPDATE ON keyauth.groups
FOR EACH ROW EXECUTE FUNCTION keyauth.raise_version();
ALTER TABLE keyauth.groups ENABLE ALWAYS TRIGGER z_raise_version;

CREATE TRIGGER z_raise_version BEFORE INSERT OR UPDATE ON keyauth.keys
FOR EACH ROW EXECUTE FUNCTION keyauth.raise_key_version();
ALTER TABLE keyauth.keys ENABLE ALWAYS TRIGGER z_raise_version;

CREATE TRIGGER tell_updates AFTER UPDATE ON keyauth.tenants
REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
FOR EACH STATEMENT EXECUTE FUNCTION keyauth.tell_changes('tenant', 'id', 'id');
ALTER TABLE keyauth.tenants ENABLE ALWAYS TRIGGER tell_updates;

CREATE TRIGGER tell_deletes AFTER DELETE ON keyauth.tenants
REFERENCING OLD TABLE AS old_rows
FOR EACH STATEMENT EXECUTE FUNCTION keyauth.tell_changes('tenant', 'id', 'id');
ALTER TABLE keyauth.tenants ENABLE ALWAYS TRIGGER tell_deletes;

CREATE TRIGGER tell_updates AFTER UPDATE ON keyauth.owners
REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
FOR EACH STATEMENT EXECUTE FUNCTION keyauth.tell_changes('owner', 'tenant', 'id');
ALTER TABLE keyauth.owners ENABLE ALWAYS TRIGGER tell_updates;

CREATE TRIGGER tell_deletes AFTER DELETE ON keyauth.owners
REFERENCING OLD TABLE AS old_rows
FOR EACH STATEMENT EXECUTE FUNCTION keyauth.tell_changes('owner', 'tenant', 'id');
ALTER TABLE keyauth.owners ENABLE ALWAYS TRIGGER tell_deletes;

CREATE TRIGGER tell_updates AFTER UPDATE ON keyauth.groups
REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
FOR EACH STATEMENT EXECUTE FUNCTION keyauth.tell_changes('group', 'tenant', 'id');
ALTER TABLE keyauth.groups ENABLE ALWAYS TRIGGER tell_updates;

CREATE TRIGGER tell_deletes AFTER DELETE ON keyauth.groups
REFERENCING OLD TABLE AS old_rows
FOR EACH STATEMENT EXECUTE FUNCTION keyauth.tell_changes('group', 'tenant', 'id');
ALTER TABLE keyauth.groups ENABLE ALWAYS TRIGGER tell_deletes;

CREATE TRIGGER tell_updates AFTER UPDATE ON keyauth.keys
REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
FOR EACH STATEMENT EXECUTE FUNCTION keyauth.tell_changes('key', 'tenant', 'id');
ALTER TABLE keyauth.keys ENABLE ALWAYS TRIGGER tell_updates;

CREATE TRIGGER tell_deletes AFTER DELETE ON keyauth.keys
REFERENCING OLD TABLE AS old_rows
FOR EACH STATEMENT EXECUTE FUNCTION keyauth.tell_changes('key', 'tenant', 'id');
ALTER TABLE keyauth.keys ENABLE ALWAYS TRIGGER tell_deletes;

CREATE TRIGGER tell_inserts AFTER INSERT ON keyauth.secrets
REFERENCING NEW TABLE AS new_rows
FOR EACH STATEMENT EXECUTE FUNCTION keyauth.secrets_changed();
ALTER TABLE keyauth.secrets ENABLE ALWAYS TRIGGER tell_inserts;

CREATE TRIGGER tell_updates AFTER UPDATE ON keyauth.secrets
REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
FOR EACH STATEMENT EXECUTE FUNCTION keyauth.secrets_changed();
ALTER TABLE keyauth.secrets ENABLE ALWAYS TRIGGER tell_updates;

CREATE TRIGGER tell_deletes AFTER DELETE ON keyauth.secrets
REFERENCING OLD TABLE AS old_rows
FOR EACH STATEMENT EXECUTE FUNCTION keyauth.secrets_changed();
ALTER TABLE keyauth.secrets ENABLE ALWAYS TRIGGER tell_deletes;

CREATE TRIGGER tell_inserts AFTER INSERT ON keyauth.memberships
REFERENCING NEW TABLE AS new_rows
FOR EACH STATEMENT EXECUTE FUNCTION keyauth.relations_changed();
ALTER TABLE keyauth.memberships ENABLE ALWAYS TRIGGER tell_inserts;

CREATE TRIGGER tell_updates AFTER UPDATE ON keyauth.memberships
REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
FOR EACH STATEMENT EXECUTE FUNCTION keyauth.relations_changed();
ALTER TABLE keyauth.memberships ENABLE ALWAYS TRIGGER tell_updates;

CREATE TRIGGER tell_deletes AFTER DELETE ON keyauth.memberships
REFERENCING OLD TABLE AS old_rows
FOR EACH STATEMENT EXECUTE FUNCTION keyauth.relations_changed();
ALTER TABLE keyauth.memberships ENABLE ALWAYS TRIGGER tell_deletes;

CREATE TRIGGER tell_inserts AFTER INSERT ON keyauth.subscriptions
REFERENCING NEW TABLE AS new_rows
FOR EACH STATEMENT EXECUTE FUNCTION keyauth.relations_changed();
ALTER TABLE keyauth.subscriptions ENABLE ALWAYS TRIGGER tell_inserts;

CREATE TRIGGER tell_updates AFTER UPDATE ON keyauth.subscriptions
REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
FOR EACH STATEMENT EXECUTE FUNCTION keyauth.relations_changed();
ALTER TABLE keyauth.subscriptions ENABLE ALWAYS TRIGGER tell_updates;

CREATE TRIGGER tell_deletes AFTER DELETE ON keyauth.subscriptions
REFERENCING OLD TABLE AS old_rows
FOR EACH STATEMENT EXECUTE FUNCTION keyauth.relations_changed();
ALTER TABLE keyauth.subscriptions ENABLE ALWAYS TRIGGER tell_deletes;

CREATE TRIGGER tell_truncation AFTER TRUNCATE ON keyauth.tenants
FOR EACH STATEMENT EXECUTE FUNCTION keyauth.tell_truncation();
ALTER TABLE keyauth.tenants ENABLE ALWAYS TRIGGER tell_truncation;

CREATE TRIGGER tell_truncation AFTER TRUNCATE ON keyauth.owners
FOR EACH STATEMENT EXECUTE FUNCTION keyauth.tell_truncation();
ALTER TABLE keyauth.owners ENABLE ALWAYS TRIGGER tell_truncation;

CREATE TRIGGER tell_truncation AFTER TRUNCATE ON keyauth.groups
FOR EACH STATEMENT EXECUTE FUNCTION keyauth.tell_truncation();
ALTER TABLE keyauth.groups ENABLE ALWAYS TRIGGER tell_truncation;

CREATE TRIGGER tell_truncation AFTER TRUNCATE ON keyauth.keys
FOR EACH STATEMENT EXECUTE FUNCTION keyauth.tell_truncation();
ALTER TABLE keyauth.keys ENABLE ALWAYS TRIGGER tell_truncation;

CREATE TRIGGER tell_truncation AFTER TRUNCATE ON keyauth.secrets
FOR EACH STATEMENT EXECUTE FUNCTION keyauth.tell_truncation();
ALTER TABLE keyauth.secrets ENABLE ALWAYS TRIGGER tell_truncation;

CREATE TRIGGER tell_truncation AFTER TRUNCATE ON keyauth.memberships
FOR EACH STATEMENT EXECUTE FUNCTION keyauth.tell_truncation();
ALTER TABLE keyauth.memberships ENABLE ALWAYS TRIGGER tell_truncation;

CREATE TRIGGER tell_truncation AFTER TRUNCATE ON keyauth.subscriptions
FOR EACH STATEMENT EXECUTE FUNCTION keyauth.tell_truncation();
ALTER TABLE keyauth.subscriptions ENABLE ALWAYS TRIGGER tell_truncation;

CREATE TRIGGER hint AFTER INSERT ON keyauth.invalidations
FOR EACH STATEMENT EXECUTE FUNCTION keyauth.hint();
ALTER TABLE keyauth.invalidations ENABLE ALWAYS TRIGGER hint;

CREATE TRIGGER keep_history BEFORE TRUNCATE ON keyauth.invalidations
FOR EACH STATEMENT EXECUTE FUNCTION keyauth.refuse('instances that have not read the changes yet would miss them');
ALTER TABLE keyauth.invalidations ENABLE ALWAYS TRIGGER keep_history;

CREATE TRIGGER keep_the_row BEFORE DELETE OR TRUNCATE ON keyauth.deployment
FOR EACH STATEMENT EXECUTE FUNCTION keyauth.refuse('nothing could be looked up without this row');
ALTER TABLE keyauth.deployment ENABLE ALWAYS TRIGGER keep_the_row;

CREATE TRIGGER raise_inserted AFTER INSERT ON keyauth.tenants
REFERENCING NEW TABLE AS new_rows
FOR EACH STATEMENT EXECUTE FUNCTION keyauth.raise_inserted('id');
ALTER TABLE keyauth.tenants ENABLE ALWAYS TRIGGER raise_inserted;

CREATE TRIGGER raise_inserted AFTER INSERT ON keyauth.owners
REFERENCING NEW TABLE AS new_rows
FOR EACH STATEMENT EXECUTE FUNCTION keyauth.raise_inserted('tenant');
ALTER TABLE keyauth.owners ENABLE ALWAYS TRIGGER raise_inserted;

CREATE TRIGGER raise_inserted AFTER INSERT ON keyauth.groups
REFERENCING NEW TABLE AS new_rows
FOR EACH STATEMENT EXECUTE FUNCTION keyauth.raise_inserted('tenant');
ALTER TABLE keyauth.groups ENABLE ALWAYS TRIGGER raise_inserted;

CREATE TRIGGER versions_only_grow BEFORE UPDATE ON keyauth.deployment FOR EACH ROW
WHEN (NEW.version < OLD.version)
EXECUTE FUNCTION keyauth.refuse('versions only grow');
ALTER TABLE keyauth.deployment ENABLE ALWAYS TRIGGER versions_only_grow;

-- They run with their owner's rights, and must not be put on a table of somebody else's making.
REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA keyauth FROM PUBLIC;
