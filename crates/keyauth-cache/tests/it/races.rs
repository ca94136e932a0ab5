//! Races, made by force: a gate holds the load where it hurts.

use std::time::Duration;

use keyauth_cache::CacheOptions;
use keyauth_core::{KeyStore, MemoryStore};
use keyauth_testkit::{Gated, Side, Wire};

use super::world::{ADMITTED, Instance, REVOKED, UNAVAILABLE, issue, settle};

#[tokio::test]
async fn a_load_that_read_before_a_revoke_stores_nothing_after_it() {
    // R7, in the process that revokes and in another one; R15 for those who joined in between.
    let store = MemoryStore::new();
    for instance in [Instance::here(&store).await, Instance::elsewhere(&store).await] {
        let key = issue(&store, "raced").await;
        instance.gate.hold(Side::After);
        let early = instance.spawn(&key);
        instance.gate.wait_for_held(1).await;
        let joined_before = instance.spawn(&key);
        settle().await;
        store.revoke(&key).await.expect("revoked");
        instance.hear().await;
        let joined_after = instance.spawn(&key);
        settle().await;
        instance.gate.release();
        for request in [early, joined_before, joined_after] {
            assert_eq!(request.await.expect("no panic"), REVOKED);
        }
        assert_eq!(instance.verify(&key).await, REVOKED);
    }
}

#[tokio::test]
async fn a_caller_that_looks_late_at_what_was_loaded_is_told_what_holds_then() {
    // The load lands, a change is applied, and only then the caller gets its turn.
    let store = MemoryStore::new();
    let key = issue(&store, "raced").await;
    let instance = Instance::here(&store).await;
    instance.gate.hold(Side::Before);
    let mut request = std::pin::pin!(instance.verify(&key));
    let mut unwoken = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(request.as_mut().poll(&mut unwoken).is_pending());
    instance.gate.wait_for_held(1).await;
    instance.gate.release();
    settle().await;
    assert_eq!(instance.verify(&key).await, ADMITTED, "it has landed");
    store.revoke(&key).await.expect("revoked");
    assert_eq!(request.await, REVOKED);
}

#[tokio::test]
async fn a_late_caller_shares_no_load_while_the_feed_is_away() {
    // Nobody knows then what has changed between the load and the caller.
    let store = MemoryStore::new();
    let key = issue(&store, "raced").await;
    let instance = Instance::elsewhere(&store).await;
    instance.gate.set_feed(Wire::Dead);
    instance.clock.advance(Duration::from_secs(6));
    instance.gate.hold(Side::After);
    let early = instance.spawn(&key);
    instance.gate.wait_for_held(1).await;
    store.revoke(&key).await.expect("revoked");
    let late = instance.spawn(&key);
    instance.gate.wait_for_held(2).await;
    instance.gate.release();
    assert_eq!(early.await.expect("no panic"), ADMITTED, "it began before the revoke");
    assert_eq!(late.await.expect("no panic"), REVOKED);
}

#[tokio::test]
async fn a_late_caller_keeps_nothing_of_a_lease_that_ends_meanwhile() {
    let store = MemoryStore::new();
    let key = issue(&store, "raced").await;
    let instance = Instance::elsewhere(&store).await;
    instance.gate.hold(Side::After);
    let early = instance.spawn(&key);
    instance.gate.wait_for_held(1).await;
    instance.gate.set_feed(Wire::Dead);
    store.revoke(&key).await.expect("revoked");
    let late = instance.spawn(&key);
    settle().await;
    instance.clock.advance(Duration::from_secs(6));
    instance.gate.release();
    assert_eq!(early.await.expect("no panic"), ADMITTED, "it began before the revoke");
    assert_eq!(late.await.expect("no panic"), REVOKED);
}

#[tokio::test]
async fn a_leader_that_goes_away_a_thousand_times_takes_nobody_with_it() {
    let store = MemoryStore::new();
    let instance = Instance::here(&store).await;
    for round in 1..=1_000 {
        let key = issue(&store, "led").await;
        instance.gate.hold(Side::Before);
        let leader = instance.spawn(&key);
        instance.gate.wait_for_held(1).await;
        let follower = instance.spawn(&key);
        settle().await;
        leader.abort();
        assert!(leader.await.expect_err("aborted").is_cancelled());
        instance.gate.release();
        assert_eq!(follower.await.expect("no panic"), ADMITTED);
        assert_eq!(instance.gate.calls(), round, "its load went on without it");
    }
}

#[tokio::test]
async fn a_leader_whose_runtime_ends_takes_nobody_with_it() {
    let store = MemoryStore::new();
    let key = issue(&store, "led").await;
    let options = CacheOptions::new().load_deadline(Duration::from_secs(60));
    let instance = Instance::start(Gated::new(store.clone()), options).await;
    instance.gate.hold(Side::Before);
    let (auth, text) = (instance.auth.clone(), key.reveal().to_owned());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.spawn(async move { super::world::verify(&auth, &text).await });
    instance.gate.wait_for_held(1).await;
    let follower = instance.spawn(&key);
    settle().await;
    runtime.shutdown_background();
    assert_eq!(follower.await.expect("no panic"), UNAVAILABLE, "told, and not left waiting");
    instance.gate.release();
    assert_eq!(instance.verify(&key).await, ADMITTED);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_that_begins_after_a_revoke_gets_through() {
    // Not by force: many at once, so that what nobody thought of has its chance.
    let store = MemoryStore::new();
    let instance = Instance::here(&store).await;
    for _ in 0..200 {
        let key = issue(&store, "raced").await;
        let hammer = || {
            let (auth, text) = (instance.auth.clone(), key.reveal().to_owned());
            tokio::spawn(async move {
                while super::world::verify(&auth, &text).await == ADMITTED {
                    tokio::task::yield_now().await;
                }
            })
        };
        let hammers = [hammer(), hammer(), hammer()];
        tokio::task::yield_now().await;
        store.revoke(&key).await.expect("revoked");
        assert_eq!(instance.verify(&key).await, REVOKED);
        for hammer in hammers {
            hammer.await.expect("no panic");
        }
    }
}
