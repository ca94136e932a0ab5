//! Lookups that go to a replica (F9).

use keyauth_cache::CacheOptions;
use keyauth_core::{Authenticator, KeyStore, NewKey, RequestFacts};
use keyauth_postgres::PostgresStore;

use super::world::{ADMITTED, REVOKED, Served, World};

#[tokio::test]
async fn a_replica_that_lags_brings_nothing_back() {
    // The replica is played by another database, which never hears of anything: it lags for
    // as long as the test runs.
    let (primary, replica) = (World::create().await, World::create().await);
    let mut keys = Vec::new();
    for _ in 0..10 {
        let draft = primary.store.issuer().draft(NewKey::named("replicated")).expect("a valid key");
        replica.store.insert(&draft.key, &draft.secret).await.expect("replicated");
        primary.store.insert(&draft.key, &draft.secret).await.expect("issued");
        keys.push(draft.into_issued());
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
