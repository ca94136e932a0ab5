//! A server that is killed, so that transaction numbers come again (F9).

use keyauth_cache::CacheOptions;
use keyauth_core::{ChangeFeed, Continuity, FeedReader, KeyStore, NewKey, Subject};
use keyauth_postgres::PostgresStore;
use keyauth_postgres::sqlx::{self, Connection};
use keyauth_testkit::PostgresServer;

use super::world::{ADMITTED, REVOKED, Served, execute, instance};

#[tokio::test]
async fn numbers_that_come_again_after_a_crash_hide_no_change() {
    // What is not on disk yet when the power goes has not been, transaction numbers included.
    let server = PostgresServer::start(&["wal_writer_delay=10s", "checkpoint_timeout=1h"]).await;
    let store = PostgresStore::connect(&server.url()).await.expect("a server");
    store.migrate().await.expect("a schema");
    let key = store.issue(NewKey::named("revoked later")).await.expect("a key");
    let process = PostgresStore::connect(&server.url()).await.expect("a server");
    let served = Served::start(process, CacheOptions::new());
    served.wait_for(&key, ADMITTED).await;

    let mut reader = store.reader(instance("reader").0);
    // It registers with the first page, and what it writes would take the rest to disk.
    reader.poll().await.expect("a page");
    let mut psql = sqlx::postgres::PgConnection::connect(&server.url()).await.expect("a server");
    execute(&mut psql, "CREATE TABLE scratch ()").await;
    // Numbers that are given out and over with, without a reason to write that down at once.
    execute(
        &mut psql,
        "BEGIN; DO $$ BEGIN FOR round IN 1..50 LOOP BEGIN \
         INSERT INTO scratch DEFAULT VALUES; RAISE division_by_zero; \
         EXCEPTION WHEN division_by_zero THEN NULL; END; END LOOP; END $$",
    )
    .await;
    let next = "SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint";
    let next: i64 = sqlx::query_scalar(next).fetch_one(&mut psql).await.expect("a number");
    reader.poll().await.expect("a page");
    server.crash_and_restart().await;

    store.revoke(&key).await.expect("revoked");
    let number = "SELECT max(xid::text::bigint) FROM keyauth.invalidations";
    let number: i64 = sqlx::query_scalar(number).fetch_one(store.pool()).await.expect("a number");
    assert!(number < next, "{number} was not there before {next}; the test has shown nothing");
    let page = match reader.poll().await {
        Ok(page) => page,
        Err(_) => reader.poll().await.expect("a page from a new session"),
    };
    assert_eq!(page.continuity, Continuity::Unbroken);
    let told = |change: &keyauth_core::Change| matches!(change, keyauth_core::Change::Raised(Subject::Key(id), _) if *id == key.id());
    assert!(page.changes.iter().any(told));
    served.wait_for(&key, REVOKED).await;
}
