//! What is changed with `psql` is changed like by a call of the API (R14).

use std::time::Duration;

use keyauth_cache::CacheOptions;
use keyauth_core::{
    AuditLog, AuditQuery, BoundKeys, ChangeFeed, Denial, Directory, Group, GroupId, GroupKind,
    KeyRef, KeyStatus, KeyStore, NewKey, Owner, OwnerId, Propagation, TenantId,
};
use keyauth_postgres::PostgresStore;
use keyauth_postgres::sqlx::postgres::PgConnectOptions;
use keyauth_postgres::sqlx::{self, AssertSqlSafe, PgPool};

use super::world::{ADMITTED, REVOKED, Served, UNKNOWN, Verdict, World, execute};
use super::{ledger, usage};

const DISABLED: Verdict = Ok(Err(Denial::KeyDisabled));
const EXPIRED: Verdict = Ok(Err(Denial::KeyExpired));

#[tokio::test]
async fn every_statement_by_hand_arrives() {
    let world = World::create().await;
    let plan = GroupId::new("plan").expect("a group");
    let tenant = TenantId::default();
    let group = Group::new(tenant.clone(), plan.clone(), GroupKind::Exclusive);
    world.store.put_group(&group).await.expect("a group");
    let new = || NewKey::named("watched").owner("ada").group("plan");
    let ada = OwnerId::new("ada").expect("an owner");
    world.store.put_owner(&Owner::new(tenant.clone(), ada.clone())).await.expect("an owner");
    world.store.add_member(&tenant, &plan, &ada).await.expect("a member");
    let key = world.issue(new()).await;
    let served = world.serve().await;
    served.wait_for(&key, ADMITTED).await;
    let mut psql = world.psql().await;
    let inactive = |kind: Denial| Ok(Err(kind));
    for (sql, expected) in [
        ("UPDATE keyauth.keys SET status = 'disabled'", DISABLED),
        ("UPDATE keyauth.keys SET status = 'active'", ADMITTED),
        ("UPDATE keyauth.keys SET expires_at = now()", EXPIRED),
        ("UPDATE keyauth.keys SET expires_at = 'infinity'", ADMITTED),
        (
            "UPDATE keyauth.keys SET allow_addresses = '{192.0.2.0/24}'",
            inactive(Denial::AddressDenied),
        ),
        ("UPDATE keyauth.keys SET allow_addresses = '{}'", ADMITTED),
        (
            "UPDATE keyauth.owners SET status = 'inactive' WHERE id = 'ada'",
            inactive(Denial::OwnerInactive),
        ),
        ("UPDATE keyauth.owners SET status = 'active'", ADMITTED),
        ("UPDATE keyauth.tenants SET status = 'inactive'", inactive(Denial::TenantInactive)),
        ("UPDATE keyauth.tenants SET status = 'active'", ADMITTED),
        ("UPDATE keyauth.groups SET status = 'inactive'", inactive(Denial::GroupInactive)),
        ("UPDATE keyauth.groups SET status = 'active'", ADMITTED),
        ("DELETE FROM keyauth.memberships", inactive(Denial::GroupDenied)),
        ("INSERT INTO keyauth.memberships VALUES ('default', 'plan', 'ada')", ADMITTED),
        ("TRUNCATE keyauth.memberships", inactive(Denial::GroupDenied)),
        ("UPDATE keyauth.groups SET kind = 'subscription'", inactive(Denial::SubscriptionRequired)),
        ("INSERT INTO keyauth.subscriptions VALUES ('default', 'plan', 'ada')", ADMITTED),
        (
            "UPDATE keyauth.subscriptions SET status = 'inactive'",
            inactive(Denial::SubscriptionRequired),
        ),
        ("UPDATE keyauth.subscriptions SET status = 'active'", ADMITTED),
        ("UPDATE keyauth.secrets SET ends_at = now()", EXPIRED),
        ("UPDATE keyauth.secrets SET ends_at = NULL", ADMITTED),
        // As by a replication worker, for which ordinary triggers do not fire.
        (
            "SET session_replication_role = replica; UPDATE keyauth.keys SET status = 'disabled'; \
          RESET session_replication_role",
            DISABLED,
        ),
        ("UPDATE keyauth.keys SET status = 'active'", ADMITTED),
        // Versions are nobody's to choose.
        ("UPDATE keyauth.keys SET status = 'disabled', version = 1", DISABLED),
        ("UPDATE keyauth.keys SET status = 'active', version = 1", ADMITTED),
        ("UPDATE keyauth.keys SET status = 'revoked'", REVOKED),
        ("DELETE FROM keyauth.keys", UNKNOWN),
    ] {
        execute(&mut psql, sql).await;
        served.wait_for(&key, expected).await;
    }
    for sql in
        ["DELETE FROM keyauth.secrets", "TRUNCATE keyauth.secrets", "TRUNCATE keyauth.keys CASCADE"]
    {
        let key = world.issue(NewKey::named("watched")).await;
        served.wait_for(&key, ADMITTED).await;
        execute(&mut psql, sql).await;
        served.wait_for(&key, UNKNOWN).await;
    }
}

#[tokio::test]
async fn a_revoke_by_hand_says_when() {
    let world = World::create().await;
    let key = world.issue(NewKey::named("revoked")).await;
    world.run("UPDATE keyauth.keys SET status = 'revoked'").await;
    let found = world.store.key(&KeyRef::from(&key)).await.expect("there");
    assert!(found.status == KeyStatus::Revoked && found.revoked_at.is_some());
}

#[tokio::test]
async fn what_must_never_be_stored_is_not() {
    let world = World::create().await;
    world.issue(NewKey::named("revoked")).await;
    world.run("UPDATE keyauth.keys SET status = 'revoked'").await;
    world.issue(NewKey::named("any")).await;
    let imported = "INSERT INTO keyauth.imported_secrets (id, key_id, lookup, hash, fingerprint) \
                    SELECT gen_random_uuid(), id, sha256('a'), 'a hash', sha256('b') \
                    FROM keyauth.keys WHERE name = 'any'";
    world.run(imported).await;
    let mut psql = world.psql().await;
    for sql in [
        "UPDATE keyauth.imported_secrets \
         SET key_id = (SELECT id FROM keyauth.keys WHERE name = 'revoked')",
        "UPDATE keyauth.keys SET status = 'active' WHERE name = 'revoked'",
        "UPDATE keyauth.keys SET revoked_at = now() WHERE name = 'revoked'",
        "UPDATE keyauth.keys SET status = 'unknown'",
        "UPDATE keyauth.keys SET name = ''",
        "UPDATE keyauth.keys SET id = gen_random_uuid() WHERE name = 'any'",
        "UPDATE keyauth.keys SET scopes = ARRAY[NULL]",
        "UPDATE keyauth.keys SET allow_addresses = '{nonsense}'",
        "UPDATE keyauth.keys SET allow_addresses = '{192.0.2.1/24}'",
        "UPDATE keyauth.keys SET limits = '{}'",
        "UPDATE keyauth.keys SET metadata = '[]'",
        "UPDATE keyauth.keys SET expires_at = now(), starts_at = now()",
        "UPDATE keyauth.secrets SET digest = 'short'",
        "UPDATE keyauth.secrets SET key_id = (SELECT id FROM keyauth.keys WHERE name = 'any')",
        "UPDATE keyauth.secrets SET pepper = 1",
        "UPDATE keyauth.tenants SET id = 'other'",
        "INSERT INTO keyauth.tenants (id) VALUES ('with space')",
        "INSERT INTO keyauth.tenants (id) VALUES (E'line\\nbreak')",
        "DELETE FROM keyauth.deployment",
        "TRUNCATE keyauth.deployment",
        "TRUNCATE keyauth.invalidations",
        "UPDATE keyauth.deployment SET history = '1 minute'",
        "UPDATE keyauth.deployment SET version = 0",
    ] {
        let outcome = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut psql).await;
        assert!(outcome.is_err(), "{sql}");
    }
}

#[tokio::test]
async fn every_column_of_a_key_decides_unless_it_is_said_not_to() {
    let world = World::create().await;
    world.issue(NewKey::named("any")).await;
    let mut psql = world.psql().await;
    let columns: Vec<(String, String)> = sqlx::query_as(
        "SELECT column_name::text, udt_name::text FROM information_schema.columns \
         WHERE table_schema = 'keyauth' AND table_name = 'keys'",
    )
    .fetch_all(&mut psql)
    .await
    .expect("columns");
    assert!(columns.len() >= 20);
    let told = async |psql: &mut _| -> i64 {
        let count = sqlx::query_scalar("SELECT count(*) FROM keyauth.invalidations");
        count.fetch_one(psql).await.expect("a count")
    };
    execute(&mut psql, "INSERT INTO keyauth.groups (tenant, id) VALUES ('default', 'g')").await;
    execute(&mut psql, "INSERT INTO keyauth.owners (tenant, id) VALUES ('default', 'o')").await;
    for (column, kind) in columns {
        let value = match (column.as_str(), kind.as_str()) {
            // They name the key, and never change.
            ("id" | "tenant", _) => continue,
            ("owner", _) => "'o'",
            ("group_id", _) => "'g'",
            ("status", _) => "'disabled'",
            // Only of a revoked key.
            ("revoked_at" | "deleted_at", _) => continue,
            ("metadata", _) => "'{\"a\": 1}'",
            (_, "jsonb") => "'[1]'",
            (_, "_text") => "'{a}'",
            (_, "_cidr") => "'{192.0.2.0/24}'",
            ("expires_at", _) => "'2100-01-01'",
            (_, "timestamptz") => "'2000-01-01'",
            (_, "int8") => "7",
            (_, "text") => "'another'",
            other => panic!("a column of a kind that this test does not know: {other:?}"),
        };
        let decides = !["name", "hint", "created_at", "updated_at"].contains(&column.as_str());
        let before = told(&mut psql).await;
        execute(&mut psql, format!("UPDATE keyauth.keys SET {column} = {value}")).await;
        assert_eq!(told(&mut psql).await - before, i64::from(decides), "{column}");
    }
}

#[tokio::test]
async fn who_may_change_keys_need_not_know_of_the_feed() {
    // The triggers run as their owner, whoever makes the change, and look up nothing by a
    // search path that the one who does could set.
    let world = World::create().await;
    let key = world.issue(NewKey::named("any")).await;
    let served = world.serve().await;
    served.wait_for(&key, ADMITTED).await;
    let role = format!("clerk_{}", key.id().to_string().replace('-', ""));
    let mut psql = world.psql().await;
    execute(&mut psql, format!(
        "CREATE ROLE {role}; GRANT USAGE ON SCHEMA keyauth TO {role}; \
         GRANT SELECT, UPDATE ON keyauth.keys TO {role}; \
         CREATE FUNCTION public.nextval(regclass) RETURNS bigint LANGUAGE sql AS 'SELECT 1::bigint'; \
         SET search_path = public, pg_catalog"
    )).await;
    execute(&mut psql, format!("SET ROLE {role}; UPDATE keyauth.keys SET status = 'revoked'"))
        .await;
    served.wait_for(&key, REVOKED).await;
    for forbidden in [
        "SELECT seal FROM keyauth.deployment",
        "SELECT keyauth.tell_everything()",
        "CREATE TEMPORARY TABLE mine (version bigint); CREATE TRIGGER forge BEFORE INSERT ON mine \
         FOR EACH ROW EXECUTE FUNCTION keyauth.raise_version()",
    ] {
        let outcome = sqlx::raw_sql(AssertSqlSafe(forbidden)).execute(&mut psql).await;
        let error = outcome.expect_err(forbidden).to_string();
        assert!(error.contains("permission denied"), "{error}");
    }
    execute(&mut psql, format!("RESET ROLE; DROP OWNED BY {role}; DROP ROLE {role}")).await;
}

#[tokio::test]
async fn a_service_needs_the_rights_that_are_written_down_and_no_others() {
    let world = World::create().await;
    let key = world.issue(NewKey::named("any")).await;
    let role = format!("service_{}", key.id().to_string().replace('-', ""));
    let document = include_str!("../../../../docs/revocation.md");
    let rights = document.split("needs these rights").nth(1).and_then(|rest| {
        let (_, rest) = rest.split_once('\n')?;
        rest.split("\n\n").next()
    });
    let rights = rights.expect("the rights").replace(" TO service", &format!(" TO {role}"));
    world.run(format!("CREATE ROLE {role} {rights}").replacen("    GRANT", "; GRANT", 1)).await;

    let options: PgConnectOptions = world.database.url().parse().expect("a URL");
    let options = options.options([("role", role.as_str())]);
    let pool = PgPool::connect_with(options.clone()).await.expect("a server");
    let store = PostgresStore::new(pool).with_direct(options);
    let served = Served::start(store.clone(), CacheOptions::new());
    served.wait_for(&key, ADMITTED).await;
    let new = store.issue(NewKey::named("another")).await.expect("issued");
    let (_, propagation) =
        store.revoke_and_wait(&new, Duration::from_secs(30)).await.expect("revoked");
    assert_eq!(propagation, Propagation::Acknowledged, "its feed is read, and acknowledged");
    assert_eq!(served.verify(&new).await, REVOKED);
    assert!(sqlx::query("SELECT seal FROM keyauth.deployment").execute(store.pool()).await.is_ok());
    ledger::charge_and_reset(&store).await;
    usage::write_and_read(&store, &key).await;
    let (tenant, plan) = (TenantId::default(), GroupId::new("plan").expect("a group"));
    let ada = OwnerId::new("ada").expect("an owner");
    store.put_owner(&Owner::new(tenant.clone(), ada.clone())).await.expect("an owner");
    let group = Group::new(tenant.clone(), plan.clone(), GroupKind::Exclusive);
    store.put_group(&group).await.expect("a group");
    store.add_member(&tenant, &plan, &ada).await.expect("a member");
    store.remove_member(&tenant, &plan, &ada).await.expect("none");
    store.delete_group(&tenant, &plan, BoundKeys::Refuse).await.expect("deleted");
    store.delete_owner(&tenant, &ada).await.expect("deleted");
    store.delete(&new).await.expect("deleted");
    assert!(!store.audit(&AuditQuery::last_of_all(9)).await.expect("it may be read").is_empty());
    for forbidden in [
        "DELETE FROM keyauth.audit",
        // A row that is gone is not known to have been revoked, and could be put there again.
        "DELETE FROM keyauth.keys",
        "DELETE FROM keyauth.owners",
        "DELETE FROM keyauth.tenants",
        "UPDATE keyauth.key_usage SET last_used_at = now()",
        "UPDATE keyauth.audit SET actor = 'somebody'",
        "INSERT INTO keyauth.audit (kind, what, action) VALUES ('key', 'key', 'changed')",
        "SELECT keyauth.note_truncation()",
        "UPDATE keyauth.deployment SET namespace = gen_random_uuid()",
        "UPDATE keyauth.accounts SET used = 0",
        "SELECT keyauth.open_accounts('{}')",
    ] {
        let error = sqlx::query(forbidden).execute(store.pool()).await.expect_err(forbidden);
        assert!(error.to_string().contains("permission denied"), "{error}");
    }
    served.background.shutdown().await;
    store.pool().close().await;
    world.run(format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
}

#[tokio::test]
async fn a_change_of_thousands_is_told_as_one() {
    let world = World::create().await;
    let mut psql = world.psql().await;
    execute(&mut psql,
        "INSERT INTO keyauth.keys (id, tenant, owner, name, hint) \
         SELECT gen_random_uuid(), 'default', 'default', 'one of many', 'sk' \
         FROM generate_series(1, 5000); \
         INSERT INTO keyauth.secrets (digest, id, key_id, algorithm, kind) \
         SELECT sha256(uuid_send(id)), gen_random_uuid(), id, 'sha256', 'generated' FROM keyauth.keys",
    ).await;
    let key = world.issue(NewKey::named("watched")).await;
    let served = world.serve().await;
    served.wait_for(&key, ADMITTED).await;
    let told = async |psql: &mut _| -> i64 {
        let count = sqlx::query_scalar("SELECT count(*) FROM keyauth.invalidations");
        count.fetch_one(psql).await.expect("a count")
    };
    let before = told(&mut psql).await;
    assert!(before < 100, "{before} changes for 5 000 new keys");
    execute(&mut psql, "UPDATE keyauth.keys SET status = 'disabled'").await;
    served.wait_for(&key, DISABLED).await;
    assert_eq!(told(&mut psql).await - before, 1, "one change, of their tenant");
    execute(
        &mut psql,
        "INSERT INTO keyauth.tenants (id) VALUES ('acme'); \
         INSERT INTO keyauth.owners (tenant, id) VALUES ('acme', 'ada'); \
         INSERT INTO keyauth.keys (id, tenant, owner, name, hint) \
         VALUES (gen_random_uuid(), 'acme', 'ada', 'of another tenant', 'sk')",
    )
    .await;
    let before = told(&mut psql).await;
    execute(
        &mut psql,
        "UPDATE keyauth.keys SET status = 'active' WHERE status = 'disabled' OR tenant = 'acme'; \
         UPDATE keyauth.keys SET status = 'disabled'",
    )
    .await;
    served.wait_for(&key, DISABLED).await;
    assert_eq!(told(&mut psql).await - before, 2, "of their tenant, then of everything");
    execute(&mut psql, "DELETE FROM keyauth.keys").await;
    served.wait_for(&key, UNKNOWN).await;
}

#[tokio::test]
async fn what_is_deleted_and_made_anew_is_above_its_mark() {
    let world = World::create().await;
    let mut psql = world.psql().await;
    let below = "SELECT count(*) FROM keyauth.owners AS o JOIN keyauth.invalidations AS i \
                 ON i.kind = 'owner' AND i.tenant = o.tenant AND i.subject = o.id \
                 WHERE o.version < i.version";
    execute(&mut psql, "INSERT INTO keyauth.owners (tenant, id) VALUES ('default', 'o')").await;
    for _ in 0..3 {
        let anew = "WITH gone AS (DELETE FROM keyauth.owners WHERE id = 'o' RETURNING *) \
                    INSERT INTO keyauth.owners (tenant, id) SELECT tenant, id FROM gone";
        execute(&mut psql, anew).await;
        let below: i64 = sqlx::query_scalar(below).fetch_one(&mut psql).await.expect("a count");
        assert_eq!(below, 0, "in one statement");
    }
    // And where the insert has to wait for a delete that raises the version once more.
    let mut other = world.psql().await;
    execute(&mut other, "BEGIN; UPDATE keyauth.owners SET status = 'inactive' WHERE id = 'o'")
        .await;
    let store = world.store.clone();
    let owner = Owner::new(TenantId::default(), OwnerId::new("o").expect("an owner"));
    let putting = tokio::spawn(async move { store.put_owner(&owner).await });
    let waiting = "SELECT count(*) FROM pg_stat_activity \
                   WHERE datname = current_database() AND wait_event_type = 'Lock'";
    while sqlx::query_scalar::<_, i64>(waiting).fetch_one(&mut psql).await.expect("a count") < 1 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    execute(
        &mut other,
        "UPDATE keyauth.owners SET status = 'active' WHERE id = 'o'; \
         DELETE FROM keyauth.owners WHERE id = 'o'; COMMIT",
    )
    .await;
    putting.await.expect("no panic").expect("put");
    let below: i64 = sqlx::query_scalar(below).fetch_one(&mut psql).await.expect("a count");
    assert_eq!(below, 0, "after having waited");
}

#[tokio::test]
async fn the_seal_is_changed_as_it_is_written_down() {
    let world = World::create().await;
    let key = world.issue(NewKey::named("any")).await;
    let document = include_str!("../../../../docs/revocation.md");
    let statement = document.split("instances stopped.\n").nth(1);
    let statement = statement.and_then(|rest| rest.split("\n\n").next()).expect("a statement");
    let origin = async || -> (Vec<u8>, String) {
        let read = "SELECT seal, namespace::text FROM keyauth.deployment";
        sqlx::query_as(read).fetch_one(world.store.pool()).await.expect("a row")
    };
    let before = origin().await;
    world.run(statement).await;
    let after = origin().await;
    assert!(before.0 != after.0 && before.1 != after.1 && after.0.len() == 32);
    world.serve().await.wait_for(&key, ADMITTED).await;
}
