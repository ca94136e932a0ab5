//! How the server goes about the two statements that matter, with many keys and changes.

use std::sync::Arc;
use std::time::Duration;

use keyauth_core::{ChangeFeed, Clock, FeedReader, Instance, KeyDigest, KeyLookup, SystemClock};
use keyauth_testkit::PostgresDatabase;
use sqlx::AssertSqlSafe;

use crate::PostgresStore;
use crate::feed::POLL;
use crate::store::FIND;

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

#[tokio::test]
#[expect(clippy::print_stdout, reason = "figures are for people")]
async fn lookups_and_polls_are_index_probes() {
    let sizes = std::env::var("KEYAUTH_KEYS").unwrap_or_else(|_| KEYS.to_owned());
    for keys in sizes.split(',').map(|size| size.parse().expect("a number of keys")) {
        let database = PostgresDatabase::create().await;
        let store = PostgresStore::connect(database.url()).await.expect("a server");
        store.migrate().await.expect("a schema");
        fill(&store, keys).await;
        let lookup = explain(&store, FIND, "'\\x00'").await;
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

/// Keys with an owner for each hundred, and changes from before.
async fn fill(store: &PostgresStore, keys: usize) {
    let sql = format!(
        "INSERT INTO keyauth.owners (tenant, id) \
         SELECT 'default', 'owner' || i FROM generate_series(0, {keys} / 100) AS i; \
         INSERT INTO keyauth.keys (id, tenant, owner, name, hint) \
         SELECT gen_random_uuid(), 'default', 'owner' || (i / 100), 'filling', 'sk' \
         FROM generate_series(1, {keys}) AS i; \
         INSERT INTO keyauth.secrets (digest, id, key_id, algorithm, kind) \
         SELECT sha256(uuid_send(id)), gen_random_uuid(), id, 'sha256', 'generated' \
         FROM keyauth.keys; \
         INSERT INTO keyauth.invalidations (kind, tenant, subject, version) \
         SELECT 'key', 'default', gen_random_uuid()::text, i \
         FROM generate_series(1, {OLD_CHANGES}) AS i; \
         ANALYZE keyauth.keys, keyauth.secrets, keyauth.owners, keyauth.invalidations"
    );
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(store.pool()).await.expect("filled");
}
