//! A replica that is promoted, and has not heard of everything (F9).

use std::time::Duration;

use keyauth_cache::CacheOptions;
use keyauth_core::{ChangeFeed, Continuity, FeedReader, KeyId, KeyStore, NewKey};
use keyauth_postgres::PostgresStore;
use keyauth_postgres::sqlx::{self, Connection, PgConnection};
use keyauth_testkit::{FaultProxy, PostgresServer, Wire};

use super::world::{ADMITTED, REVOKED, Served, Verdict, execute, instance};

async fn version(store: &PostgresStore, key: KeyId) -> i64 {
    let version = sqlx::query_scalar("SELECT version FROM keyauth.keys WHERE id::text = $1");
    version.bind(key.to_string()).fetch_one(store.pool()).await.expect("a version")
}

/// Waits until a query says `true`.
async fn wait_until(connection: &mut PgConnection, query: &'static str) {
    let waiting = async {
        while !sqlx::query_scalar::<_, bool>(query).fetch_one(&mut *connection).await.expect(query)
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), waiting).await.expect(query);
}

#[tokio::test]
async fn what_is_revoked_after_a_promotion_is_refused_whatever_the_old_primary_says() {
    let old = PostgresServer::start(&[]).await;
    let before = PostgresStore::connect(&old.url()).await.expect("a server");
    before.migrate().await.expect("a schema");
    let key = before.issue(NewKey::named("revoked after")).await.expect("a key");
    let lost = before.issue(NewKey::named("revoked just before")).await.expect("a key");

    // Where everybody connects to, whichever server that is.
    let address = FaultProxy::to(&old.url()).await;
    let store = PostgresStore::connect(address.url()).await.expect("a server");
    let mut reader = store.reader(instance("reader").0);
    let first = reader.poll().await.expect("a page");
    let served = Served::start(store, CacheOptions::new());
    // And one whose lookups never leave the old primary, which nobody has switched off.
    let torn = PostgresStore::connect(&old.url()).await.expect("a server");
    let torn =
        Served::start(torn.with_direct(address.url().parse().expect("a URL")), CacheOptions::new());
    for key in [&key, &lost] {
        served.wait_for(key, ADMITTED).await;
        torn.wait_for(key, ADMITTED).await;
    }

    // What the old primary does from here on, the replica does not hear of. Its versions go on,
    // that of everything too.
    let replica = old.start_replica().await;
    let mut psql = PgConnection::connect(&replica).await.expect("a replica");
    execute(&mut psql, "ALTER SYSTEM SET primary_conninfo = ''").await;
    execute(&mut psql, "SELECT pg_reload_conf()").await;
    wait_until(&mut psql, "SELECT NOT EXISTS (SELECT FROM pg_stat_wal_receiver)").await;
    before.revoke(&lost).await.expect("revoked");
    for scopes in 0..100 {
        let scopes =
            format!("UPDATE keyauth.keys SET scopes = '{{s{scopes}}}' WHERE id = '{}'", key.id());
        execute(&mut PgConnection::connect(&old.url()).await.expect("a server"), scopes).await;
    }
    let mut old_psql = PgConnection::connect(&old.url()).await.expect("a server");
    execute(&mut old_psql, "TRUNCATE keyauth.subscriptions").await;
    served.wait_for(&lost, REVOKED).await;
    let known = sqlx::query_scalar::<_, i64>("SELECT max(version) FROM keyauth.keys");
    let known = known.fetch_one(&mut psql).await.expect("a version");
    assert!(version(&before, key.id()).await > known + 50, "the test has shown nothing");

    execute(&mut psql, "SELECT pg_promote()").await;
    wait_until(&mut psql, "SELECT NOT pg_is_in_recovery()").await;
    address.lead_to(&replica);
    address.set_wire(Wire::Cut);
    reader.poll().await.expect_err("nothing through a wire that is cut");
    address.set_wire(Wire::Whole);
    let page = reader.poll().await.expect("a page from the new primary");
    assert_eq!(page.continuity, Continuity::Broken);
    assert_ne!(page.origin.name, first.origin.name);

    // The new primary is right, also where it has forgotten.
    served.wait_for(&lost, ADMITTED).await;
    let after = PostgresStore::connect(&replica).await.expect("a server");
    served.wait_for(&key, ADMITTED).await;
    after.revoke(&key).await.expect("revoked");
    served.wait_for(&key, REVOKED).await;
    assert_eq!(served.verify(&key).await, REVOKED);

    // Nothing that the old primary says counts any more, so there is no answer.
    let unavailable: Verdict = Err(keyauth_core::LookupErrorKind::Unavailable);
    torn.wait_for(&key, unavailable).await;
    for _ in 0..20 {
        assert_eq!(torn.verify(&key).await, unavailable);
    }
}
