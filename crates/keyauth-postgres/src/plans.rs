//! How the server goes about the two statements that matter, with many keys and changes.

use std::sync::Arc;
use std::time::Duration;

use keyauth_core::{
    ChangeFeed, Clock, FeedReader, GroupId, Instance, KeyDigest, KeyId, KeyLookup, KeyOrder,
    KeyQuery, KeyRef, KeyStatus, KeyStore, OwnerId, SystemClock, TenantId,
};
use keyauth_testkit::PostgresDatabase;
use sqlx::AssertSqlSafe;
use sqlx::types::Uuid;
use tokio::sync::Mutex;

use crate::PostgresStore;
use crate::feed::POLL;
use crate::search::explain_list;
use crate::store::LOOKUP;

/// With `KEYAUTH_KEYS=10000,1000000` it is done for both, and the times can be compared.
const KEYS: &str = "10000";
const OLD_CHANGES: usize = 300_000;
const LOOKUPS: usize = 1_000;
/// What a lookup joins, each by one probe.
const TABLES: [&str; 8] = [
    "secrets",
    "keys",
    "tenants",
    "owners",
    "deployment",
    "groups",
    "memberships",
    "subscriptions",
];

/// Held by whoever fills a database: snapshots are of the whole server, and one from before a long
/// transaction of somebody else's makes all that is in another table look new.
static FILLING: Mutex<()> = Mutex::const_new(());

#[tokio::test]
#[expect(clippy::print_stdout, reason = "figures are for people")]
async fn lookups_and_polls_are_index_probes() {
    let _filling = FILLING.lock().await;
    let sizes = std::env::var("KEYAUTH_KEYS").unwrap_or_else(|_| KEYS.to_owned());
    for keys in sizes.split(',').map(|size| size.parse().expect("a number of keys")) {
        let database = PostgresDatabase::create().await;
        let store = PostgresStore::connect(database.url()).await.expect("a server");
        store.migrate().await.expect("a schema");
        fill(&store, keys).await;
        let lookup = explain(&store, LOOKUP, "'\\x00'").await;
        println!("{keys} keys\n{lookup}");
        assert!(!lookup.contains("Seq Scan"), "{lookup}");
        for table in TABLES {
            assert_eq!(lookup.matches(&format!(" on {table} ")).count(), 1, "{table}: {lookup}");
        }
        let snapshot: String = sqlx::query_scalar("SELECT pg_current_snapshot()::text")
            .fetch_one(store.pool())
            .await
            .expect("a snapshot");
        let poll = POLL.replace("$1", "$1::uuid");
        let poll = explain(&store, &poll, &format!("gen_random_uuid(), '{snapshot}'")).await;
        println!("{OLD_CHANGES} old changes\n{poll}");
        assert!(poll.contains("invalidations_by_xid"), "{poll}");
        assert!(!poll.contains("Seq Scan"), "{poll}");
        let mut reader = store.reader(instance());
        reader.poll().await.expect("all that is kept");
        let clock = SystemClock::new();
        let began = clock.uptime();
        for _ in 0..100 {
            reader.poll().await.expect("a page");
        }
        println!("a poll: {:?}", (clock.uptime() - began) / 100);
        println!("a lookup: {:?}", time_lookups(&store).await);
    }
}

/// Every order, all keys or those of somebody, at the beginning and deep inside: from the index that
/// is for it, without sorting and without reading what is not asked for.
#[tokio::test]
#[expect(clippy::print_stdout, reason = "figures are for people")]
async fn lists_are_read_by_their_index() {
    let _filling = FILLING.lock().await;
    let sizes = std::env::var("KEYAUTH_KEYS").unwrap_or_else(|_| KEYS.to_owned());
    for keys in sizes.split(',').map(|size| size.parse().expect("a number of keys")) {
        let database = PostgresDatabase::create().await;
        let store = PostgresStore::connect(database.url()).await.expect("a server");
        store.migrate().await.expect("a schema");
        fill(&store, keys).await;
        let all = || KeyQuery::first(TenantId::default(), 100);
        let prefix = String::new;
        let owner = OwnerId::new("owner7").expect("an owner");
        let group = GroupId::new("plan").expect("a group");
        for (index, column, query) in [
            ("keys_by_tenant", "id", all()),
            ("keys_by_tenant", "id", all().in_order(KeyOrder::Newest)),
            ("keys_by_name", "name", all().in_order(KeyOrder::Name { prefix: prefix() })),
            ("keys_by_name", "name", all().in_order(KeyOrder::Name { prefix: "7".into() })),
            ("keys_by_hint", "hint", all().in_order(KeyOrder::Hint { prefix: prefix() })),
            ("keys_by_hint", "hint", all().in_order(KeyOrder::Hint { prefix: "sk_7".into() })),
            ("keys_by_expiry", "expires_at", all().in_order(KeyOrder::Expiry)),
            ("keys_by_owner", "id", KeyQuery { owner: Some(owner), ..all() }),
            ("keys_by_group", "id", KeyQuery { group: Some(group), ..all() }),
            ("keys_by_status", "id", KeyQuery { status: Some(KeyStatus::Disabled), ..all() }),
        ] {
            let deep = behind_most(&store, column, &query).await;
            let mut times = Vec::new();
            for query in [&query, &deep] {
                let rows = explain_list(query).build().fetch_all(store.pool()).await;
                let rows = rows.expect("a plan");
                let lines = rows.iter().map(|row| sqlx::Row::get::<String, _>(row, 0));
                let plan = lines.collect::<Vec<_>>().join("\n");
                assert!(plan.contains(&format!("using {index} on")), "{index}: {plan}");
                assert!(!plan.contains("Seq Scan on keys") && !plan.contains("Sort"), "{plan}");
                times.push(time_list(&store, query).await);
                if query.after.is_some() {
                    println!("{plan}");
                }
            }
            let deeper = times[1].as_secs_f64() / times[0].as_secs_f64();
            println!(
                "{keys} keys, {index}: first {:?}, deep {:?}, {deeper:.2}",
                times[0], times[1]
            );
        }
    }
}

/// The page behind nine tenths of what a query finds.
async fn behind_most(store: &PostgresStore, column: &str, query: &KeyQuery) -> KeyQuery {
    let order = if query.order == KeyOrder::Newest { "DESC" } else { "ASC" };
    let collation = if ["name", "hint"].contains(&column) { "COLLATE \"C\"" } else { "" };
    let (narrowed, prefix) = match &query.order {
        KeyOrder::Name { prefix } | KeyOrder::Hint { prefix } => (column, prefix.as_str()),
        _ => ("name", ""),
    };
    let found = format!(
        "FROM keyauth.keys WHERE {column} IS NOT NULL AND starts_with({narrowed}, '{prefix}') \
         AND ($1 IS NULL OR owner = $1) AND ($2 IS NULL OR group_id = $2) \
         AND ($3 IS NULL OR status = $3)"
    );
    let sql = format!(
        "SELECT id {found} ORDER BY {column} {collation} {order}, id {order} \
         OFFSET (SELECT count(*) * 9 / 10 {found}) LIMIT 1"
    );
    let last: Uuid = sqlx::query_scalar(AssertSqlSafe(sql))
        .bind(query.owner.as_ref().map(OwnerId::as_str))
        .bind(query.group.as_ref().map(GroupId::as_str))
        .bind(query.status.map(KeyStatus::as_str))
        .fetch_one(store.pool())
        .await
        .expect("one of them");
    let last = KeyRef::from(KeyId::from_bytes(last.into_bytes()));
    query.clone().after(&store.key(&last).await.expect("it is there"))
}

/// The fastest of some: the others had to wait for the machine.
async fn time_list(store: &PostgresStore, query: &KeyQuery) -> Duration {
    let clock = SystemClock::new();
    let mut fastest = Duration::MAX;
    for _ in 0..20 {
        let began = clock.uptime();
        assert!(!store.keys(query).await.expect("a page").is_empty());
        fastest = fastest.min(clock.uptime() - began);
    }
    fastest
}

async fn explain(store: &PostgresStore, statement: &str, with: &str) -> String {
    let sql = format!("PREPARE it AS {statement}; EXPLAIN EXECUTE it({with}); DEALLOCATE it");
    let rows = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_all(store.pool()).await.expect("a plan");
    let lines = rows.iter().map(|row| sqlx::Row::get::<String, _>(row, 0));
    lines.collect::<Vec<_>>().join("\n")
}

/// The mean over random keys, each looked up for the first time.
async fn time_lookups(store: &PostgresStore) -> Duration {
    let digests: Vec<Vec<u8>> =
        sqlx::query_scalar("SELECT digest FROM keyauth.secrets ORDER BY random() LIMIT $1")
            .bind(i64::try_from(LOOKUPS).expect("a small number"))
            .fetch_all(store.pool())
            .await
            .expect("digests");
    let clock = SystemClock::new();
    let began = clock.uptime();
    for digest in &digests {
        let digest = digest.as_slice().try_into().expect("32 bytes");
        let found = store.find(&KeyDigest::from_bytes(digest)).await.expect("an answer");
        assert!(found.is_some());
    }
    (clock.uptime() - began) / u32::try_from(digests.len()).expect("a small number")
}

fn instance() -> Instance {
    Instance {
        name: "reader".into(),
        max_staleness: Duration::from_secs(5),
        grace: Duration::ZERO,
        clock: Arc::new(SystemClock::new()),
    }
}

/// Keys with an owner for each thousand, and changes from before.
async fn fill(store: &PostgresStore, keys: usize) {
    // Without an audit, as rows that were restored.
    let sql = format!(
        "SET session_replication_role = replica; \
         INSERT INTO keyauth.owners (tenant, id) \
         SELECT 'default', 'owner' || i FROM generate_series(0, {keys} / 1000) AS i; \
         INSERT INTO keyauth.groups (tenant, id) VALUES ('default', 'plan'); \
         INSERT INTO keyauth.keys \
         (id, tenant, owner, name, hint, group_id, status, expires_at) \
         SELECT gen_random_uuid(), 'default', 'owner' || (i / 1000), left(md5(i::text), 8), \
         'sk_' || left(md5(i::text), 4), CASE WHEN i % 3 = 0 THEN 'plan' END, \
         CASE WHEN i % 5 = 0 THEN 'disabled' ELSE 'active' END, \
         CASE WHEN i % 2 = 0 THEN now() + i * interval '1 minute' END \
         FROM generate_series(1, {keys}) AS i; \
         INSERT INTO keyauth.secrets (digest, id, key_id, algorithm, kind) \
         SELECT sha256(uuid_send(id)), gen_random_uuid(), id, 'sha256', 'generated' \
         FROM keyauth.keys; \
         INSERT INTO keyauth.invalidations (kind, tenant, subject, version) \
         SELECT 'key', 'default', gen_random_uuid()::text, i \
         FROM generate_series(1, {OLD_CHANGES}) AS i; \
         RESET session_replication_role; \
         ANALYZE keyauth.keys, keyauth.secrets, keyauth.owners, keyauth.invalidations"
    );
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(store.pool()).await.expect("filled");
}
