//! Lookups that go to a replica (F9).

use std::time::Duration;

use keyauth_cache::CacheOptions;
use keyauth_core::{
    Authenticator, ChangeFeed, Continuity, FeedReader, IssuedKey, KeyStore, NewKey, RequestFacts,
};
use keyauth_postgres::{PostgresStore, sqlx};

use super::world::{ADMITTED, REVOKED, Served, World, instance};

/// A key that both know. The replica is played by another database, which never hears of
/// anything else: it lags for as long as the test runs.
async fn replicated(primary: &World, replica: &World) -> IssuedKey {
    let draft = primary.store.issuer().draft(NewKey::named("replicated")).expect("a valid key");
    replica.store.insert(&draft.key, &draft.secret).await.expect("replicated");
    primary.store.insert(&draft.key, &draft.secret).await.expect("issued");
    draft.into_issued()
}

#[tokio::test]
async fn a_replica_that_lags_brings_nothing_back() {
    let (primary, replica) = (World::create().await, World::create().await);
    let mut keys = Vec::new();
    for _ in 0..10 {
        keys.push(replicated(&primary, &replica).await);
    }
    let store = PostgresStore::connect(primary.database.url()).await.expect("a server");
    let store = store.with_replica(replica.store.pool().clone());
    let uncached = Authenticator::new(store.clone());
    let served = Served::start(store, CacheOptions::new());
    for key in &keys {
        served.wait_for(key, ADMITTED).await;
        primary.store.revoke(key).await.expect("revoked");
        served.wait_for(key, REVOKED).await;
        assert_eq!(served.verify(key).await, REVOKED);
        // Nobody would notice here, so the primary is asked.
        let decision = uncached.verify(key.reveal(), &RequestFacts::new()).await;
        assert!(decision.expect("an answer").is_err());
    }
    // Keys that it has not heard of, and a replica that is not there at all.
    let new = primary.issue(NewKey::named("new")).await;
    assert_eq!(served.verify(&new).await, ADMITTED);
    replica.store.pool().close().await;
    let newer = primary.issue(NewKey::named("newer")).await;
    assert_eq!(served.verify(&newer).await, ADMITTED);
}

#[tokio::test]
async fn a_replica_is_not_asked_after_more_changes_than_can_be_told() {
    let (primary, replica) = (World::create().await, World::create().await);
    let mut keys = Vec::new();
    for _ in 0..10 {
        let key = replicated(&primary, &replica).await;
        primary.store.revoke(&key).await.expect("revoked");
        keys.push(key);
    }
    primary
        .run(
            "INSERT INTO keyauth.invalidations (kind, tenant, subject, version) \
             SELECT 'key', 'default', gen_random_uuid(), 1 FROM generate_series(1, 500001)",
        )
        .await;
    let mut new = primary.store.reader(instance("new").0);
    assert_eq!(new.poll().await.expect("a page").continuity, Continuity::TooMany);
    assert_eq!(new.poll().await.expect("a page").continuity, Continuity::Unbroken);
    let store = PostgresStore::connect(primary.database.url()).await.expect("a server");
    let store = store.with_replica(replica.store.pool().clone());
    let served = Served::start(store, CacheOptions::new());
    // From here on under a lease, which is when a replica may be asked.
    let applied = "SELECT count(*) FROM keyauth.instances WHERE applied IS NOT NULL";
    while 0
        == sqlx::query_scalar::<_, i64>(applied)
            .fetch_one(primary.store.pool())
            .await
            .expect("a count")
    {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for key in &keys {
        assert_eq!(served.verify(key).await, REVOKED);
    }
}
