//! What is served while the feed, or the whole store, is away.

use std::time::Duration;

use keyauth_cache::{CacheOptions, Outage};
use keyauth_core::{Directory, Issuer, KeyStore, MemoryStore, NewKey, Tenant, TenantId};
use keyauth_testkit::{Gated, Wire};

use super::world::{ADMITTED, Instance, REVOKED, UNAVAILABLE, issue};

const SECOND: Duration = Duration::from_secs(1);

fn quick() -> CacheOptions {
    CacheOptions::new().load_deadline(Duration::from_millis(50))
}

#[tokio::test]
async fn before_the_first_poll_nothing_is_served_from_the_cache() {
    let store = MemoryStore::new();
    let key = issue(&store, "any").await;
    let gate = Gated::elsewhere(store.clone());
    gate.set_feed(Wire::Dead);
    let instance = Instance::build(gate, CacheOptions::new(), |cache| cache);
    for calls in 1..=3 {
        assert_eq!(instance.verify(&key).await, ADMITTED);
        assert_eq!(instance.gate.calls(), calls);
    }
    store.revoke(&key).await.expect("revoked");
    assert_eq!(instance.verify(&key).await, REVOKED);
}

#[tokio::test]
async fn without_a_lease_each_request_asks_the_store() {
    // F5, and a machine that was suspended: time has passed, and no poll yet.
    let store = MemoryStore::new();
    let key = issue(&store, "any").await;
    let instance = Instance::elsewhere(&store).await;
    assert_eq!(instance.verify(&key).await, ADMITTED);
    instance.gate.set_feed(Wire::Dead);
    store.revoke(&key).await.expect("revoked");
    instance.clock.advance(4 * SECOND);
    assert_eq!(instance.verify(&key).await, ADMITTED, "within max_staleness");
    instance.clock.advance(30 * SECOND);
    assert_eq!(instance.verify(&key).await, REVOKED);
    let calls = instance.gate.calls();
    assert_eq!(instance.verify(&key).await, REVOKED);
    assert_eq!(instance.gate.calls(), calls + 1);

    instance.gate.set_feed(Wire::Whole);
    instance.hear().await;
    assert_eq!(instance.verify(&key).await, REVOKED);
    assert_eq!(instance.gate.calls(), calls + 1, "under a lease again");
}

#[tokio::test]
async fn a_store_that_is_away_is_bridged_for_the_grace() {
    // F4: one instance cut off while another revokes.
    for wire in [Wire::Cut, Wire::Dead] {
        let store = MemoryStore::new();
        let key = issue(&store, "cached").await;
        let cold = issue(&store, "cold").await;
        let instance = Instance::start(Gated::elsewhere(store.clone()), quick()).await;
        assert_eq!(instance.verify(&key).await, ADMITTED);
        instance.gate.set_wire(wire);
        store.revoke(&key).await.expect("revoked elsewhere");
        let unknown = Issuer::new().draft(NewKey::named("unknown")).expect("a key").into_issued();
        for passed in [0, 4, 6, 30, 64] {
            instance.clock.advance(Duration::from_secs(passed).saturating_sub(elapsed(&instance)));
            assert_eq!(instance.verify(&key).await, ADMITTED, "after {passed} s");
            assert_eq!(instance.verify(&cold).await, UNAVAILABLE, "after {passed} s");
            assert_eq!(instance.verify(&unknown).await, UNAVAILABLE, "never 401");
        }
        instance.clock.advance(2 * SECOND);
        assert_eq!(instance.verify(&key).await, UNAVAILABLE, "after 66 s");

        instance.gate.set_wire(Wire::Whole);
        assert_eq!(instance.verify(&key).await, REVOKED, "back without a restart");
        assert_eq!(instance.verify(&cold).await, ADMITTED);
    }
}

/// How much time has passed on an instance's clock.
fn elapsed(instance: &Instance) -> Duration {
    use keyauth_core::Clock;
    instance.clock.uptime().saturating_sub(Duration::from_secs(1_000))
}

#[tokio::test]
async fn strict_caches_and_tenants_have_no_grace() {
    let store = MemoryStore::new();
    let bank = TenantId::new("bank").expect("a tenant");
    store.put_tenant(&Tenant::new(bank.clone())).await.expect("a tenant");
    let banks = store.issue(NewKey::named("strict").tenant("bank")).await.expect("a key");
    let key = issue(&store, "any").await;
    let by_tenant = quick().strict_tenant(bank);
    let by_tenant = Instance::start(Gated::elsewhere(store.clone()), by_tenant).await;
    let strict = quick().outage(Outage::Strict);
    let strict = Instance::start(Gated::elsewhere(store.clone()), strict).await;
    for instance in [&by_tenant, &strict] {
        assert_eq!(instance.verify(&key).await, ADMITTED);
        assert_eq!(instance.verify(&banks).await, ADMITTED);
        instance.gate.set_wire(Wire::Cut);
        instance.clock.advance(4 * SECOND);
        assert_eq!(instance.verify(&banks).await, ADMITTED, "under a lease all are served");
        instance.clock.advance(2 * SECOND);
        assert_eq!(instance.verify(&banks).await, UNAVAILABLE);
    }
    assert_eq!(by_tenant.verify(&key).await, ADMITTED);
    assert_eq!(strict.verify(&key).await, UNAVAILABLE);
}

#[tokio::test]
async fn the_grace_needs_an_attempt_that_failed() {
    // The store is there, only the feed is not: then the store is asked, and believed.
    let store = MemoryStore::new();
    let key = issue(&store, "any").await;
    let instance = Instance::elsewhere(&store).await;
    assert_eq!(instance.verify(&key).await, ADMITTED);
    instance.gate.set_feed(Wire::Cut);
    instance.clock.advance(6 * SECOND);
    store.revoke(&key).await.expect("revoked");
    assert_eq!(instance.verify(&key).await, REVOKED);
    // Then it goes away too. What it said last is what is cached.
    instance.gate.set_wire(Wire::Cut);
    assert_eq!(instance.verify(&key).await, REVOKED);
}

#[tokio::test]
async fn after_the_end_there_is_no_grace() {
    let store = MemoryStore::new();
    let key = issue(&store, "any").await;
    let instance = Instance::elsewhere(&store).await;
    assert_eq!(instance.verify(&key).await, ADMITTED);
    let Instance { gate, auth, background, .. } = instance;
    background.shutdown().await;
    // Nobody waits any more for this instance to hear of a revoke.
    gate.set_wire(Wire::Cut);
    assert_eq!(super::world::verify(&auth, key.reveal()).await, UNAVAILABLE);
}
