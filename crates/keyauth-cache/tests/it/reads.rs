//! How often the store is asked.

use std::time::Duration;

use keyauth_cache::CacheOptions;
use keyauth_core::{
    Background, Directory, Group, GroupId, GroupKind, Issuer, KeyLookup, KeyStore, KeyUpdate,
    LookupErrorKind, MemoryStore, NewKey, Owner, OwnerId, Status, Tenant, TenantId,
};
use keyauth_testkit::{Gated, Side};

use super::world::{ADMITTED, Instance, UNAVAILABLE, UNKNOWN, issue, settle};

#[tokio::test]
async fn a_warm_key_costs_one_read_in_all() {
    // R1
    let store = MemoryStore::new();
    let key = issue(&store, "busy").await;
    let instance = Instance::here(&store).await;
    for _ in 0..1_000 {
        assert_eq!(instance.verify(&key).await, ADMITTED);
    }
    assert_eq!(instance.gate.calls(), 1);
}

#[tokio::test]
async fn fifty_at_once_cost_one_read() {
    // R1
    let store = MemoryStore::new();
    let key = issue(&store, "busy").await;
    let instance = Instance::here(&store).await;
    instance.gate.hold(Side::Before);
    let requests: Vec<_> = (0..50).map(|_| instance.spawn(&key)).collect();
    instance.gate.wait_for_held(1).await;
    settle().await;
    instance.gate.release();
    for request in requests {
        assert_eq!(request.await.expect("no panic"), ADMITTED);
    }
    assert_eq!(instance.gate.calls(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_cold_keys_cost_one_read_each() {
    // R2
    const KEYS: usize = 10_000;
    const CALLERS: usize = 50;
    let store = MemoryStore::new();
    // What is measured is how often the store is asked, not how fast this machine is.
    let patient = CacheOptions::new().load_deadline(Duration::from_secs(60));
    let instance = Instance::start(Gated::new(store.clone()), patient).await;
    let mut keys = Vec::new();
    for _ in 0..KEYS {
        keys.push(issue(&store, "cold").await);
    }
    let requests: Vec<_> = (0..KEYS * CALLERS).map(|at| instance.spawn(&keys[at % KEYS])).collect();
    for request in requests {
        assert_eq!(request.await.expect("no panic"), ADMITTED);
    }
    assert_eq!(instance.gate.calls(), KEYS);
    assert!(instance.gate.most_at_once() <= 16, "{}", instance.gate.most_at_once());
}

#[tokio::test]
async fn while_all_loads_are_busy_cached_keys_go_on() {
    // R3
    let store = MemoryStore::new();
    let cached = issue(&store, "cached").await;
    let options = CacheOptions::new().loads(2).load_deadline(Duration::from_millis(500));
    let instance = Instance::start(Gated::new(store.clone()), options).await;
    assert_eq!(instance.verify(&cached).await, ADMITTED);
    instance.gate.hold(Side::Before);
    let stuck = [issue(&store, "a").await, issue(&store, "b").await];
    let stuck = stuck.map(|key| instance.spawn(&key));
    instance.gate.wait_for_held(2).await;
    let waiting = issue(&store, "c").await;
    let waiting = instance.spawn(&waiting);
    assert_eq!(instance.verify(&cached).await, ADMITTED);
    for stuck in stuck {
        assert_eq!(stuck.await.expect("no panic"), Err(LookupErrorKind::Unavailable));
        assert_eq!(instance.verify(&cached).await, ADMITTED);
    }
    // It had its turn when the others gave up, or was sent away before.
    waiting.await.expect("no panic").expect_err("nothing is answered while loads are held");
    instance.gate.release();
    assert_eq!(instance.verify(&issue(&store, "d").await).await, ADMITTED);
}

#[tokio::test]
async fn who_waits_too_long_for_a_turn_is_told_so() {
    // R3
    let store = MemoryStore::new();
    let options = CacheOptions::new().loads(1).waiting_loads(1).load_deadline(Duration::MAX);
    let instance = Instance::start(Gated::new(store.clone()), options).await;
    instance.gate.hold(Side::Before);
    let loading = instance.spawn(&issue(&store, "loading").await);
    instance.gate.wait_for_held(1).await;
    let waiting = instance.spawn(&issue(&store, "waiting").await);
    settle().await;
    let refused = instance.verify(&issue(&store, "refused").await).await;
    assert_eq!(refused, Err(LookupErrorKind::Overloaded), "the queue is full");
    instance.gate.release();
    assert_eq!(loading.await.expect("no panic"), ADMITTED);
    assert_eq!(waiting.await.expect("no panic"), ADMITTED);
}

#[tokio::test(start_paused = true)]
async fn whose_turn_does_not_come_in_time_is_told_so() {
    // R3. Time passes only where all wait for it: the first gives up after 500 ms, when the store
    // has not answered. The next has its turn then, for as long. The last has waited for 500 ms
    // before that is over.
    let store = MemoryStore::new();
    let cached = issue(&store, "cached").await;
    let options = CacheOptions::new().loads(1).load_deadline(Duration::from_millis(500));
    let instance = Instance::start(Gated::new(store.clone()), options).await;
    assert_eq!(instance.verify(&cached).await, ADMITTED);
    instance.gate.hold(Side::Before);
    let mut requests = Vec::new();
    for name in ["first", "next", "last"] {
        requests.push(instance.spawn(&issue(&store, name).await));
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(instance.verify(&cached).await, ADMITTED);
    }
    let mut verdicts = Vec::new();
    for request in requests {
        verdicts.push(request.await.expect("no panic"));
        assert_eq!(instance.verify(&cached).await, ADMITTED);
    }
    assert_eq!(verdicts, [UNAVAILABLE, UNAVAILABLE, Err(LookupErrorKind::Overloaded)]);
    assert_eq!(instance.gate.calls(), 3, "the last is never asked for");
}

#[tokio::test]
async fn an_unknown_key_costs_one_read_in_seconds() {
    // C14
    let instance = Instance::here(&MemoryStore::new()).await;
    let other = Issuer::new().draft(NewKey::named("unknown")).expect("a valid key").into_issued();
    for _ in 0..100 {
        assert_eq!(instance.verify(&other).await, UNKNOWN);
    }
    assert_eq!(instance.gate.calls(), 1);
}

#[tokio::test]
async fn a_change_costs_its_own_keys_one_read_and_no_others() {
    // R9, R10
    let store = MemoryStore::new();
    let tenant = TenantId::default();
    let acme = TenantId::new("acme").expect("a tenant");
    store.put_tenant(&Tenant::new(acme.clone())).await.expect("a tenant");
    let plan = GroupId::new("plan").expect("a group");
    let plan = Group::new(tenant.clone(), plan, GroupKind::Standard);
    store.put_group(&plan).await.expect("a group");
    let mut keys = Vec::new();
    for new in [
        NewKey::named("of ada").owner("ada"),
        NewKey::named("of bob in plan").owner("bob").group("plan"),
        NewKey::named("of bob").owner("bob"),
        NewKey::named("of acme").tenant("acme").owner("ada"),
    ] {
        keys.push(store.issue(new).await.expect("a valid key"));
    }
    let [of_ada, in_plan, of_bob, of_acme] = &keys[..] else { panic!("four keys") };
    let instance = Instance::elsewhere(&store).await;
    let reads = async || {
        let before = instance.gate.calls();
        let mut read = Vec::new();
        for key in &keys {
            let calls = instance.gate.calls();
            instance.verify(key).await.expect("an answer").ok();
            if instance.gate.calls() > calls {
                read.push(key.id());
            }
        }
        assert_eq!(instance.gate.calls() - before, read.len(), "one read each");
        read
    };
    assert_eq!(reads().await.len(), 4, "all are cold");
    assert_eq!(reads().await, [], "all are warm");

    let ada = OwnerId::new("ada").expect("an owner");
    let gone = Owner { status: Status::Inactive, ..Owner::new(tenant.clone(), ada) };
    store.put_owner(&gone).await.expect("a change");
    instance.hear().await;
    assert_eq!(reads().await, [of_ada.id()]);
    store.put_group(&Group { status: Status::Inactive, ..plan }).await.expect("a change");
    instance.hear().await;
    assert_eq!(reads().await, [in_plan.id()]);
    let closed = Tenant { status: Status::Inactive, ..Tenant::new(acme) };
    store.put_tenant(&closed).await.expect("a change");
    instance.hear().await;
    assert_eq!(reads().await, [of_acme.id()]);
    store.update(of_bob, KeyUpdate::new().scopes(["a"])).await.expect("a change");
    instance.hear().await;
    assert_eq!(reads().await, [of_bob.id()]);

    store.update(of_bob, KeyUpdate::new().name("renamed")).await.expect("a change");
    instance.hear().await;
    assert_eq!(reads().await, [], "a name decides about nothing");
}

#[tokio::test]
async fn a_cache_that_was_never_started_asks_each_time() {
    let store = MemoryStore::new();
    let key = issue(&store, "any").await;
    let gate = Gated::new(store);
    let cache = keyauth_cache::CachedLookup::new(gate.clone());
    let auth = keyauth_core::Authenticator::new(cache.clone());
    for _ in 0..3 {
        assert_eq!(super::world::verify(&auth, key.reveal()).await, ADMITTED);
    }
    assert_eq!(gate.calls(), 3);
    // Started twice, it polls once.
    let background = cache.start();
    let nothing: Background = cache.start();
    nothing.shutdown().await;
    gate.wait_for_polls(0).await;
    background.shutdown().await;
    assert_eq!(super::world::verify(&auth, key.reveal()).await, ADMITTED);
    assert_eq!(super::world::verify(&auth, key.reveal()).await, ADMITTED);
    assert_eq!(gate.calls(), 5, "what has ended serves nothing from the cache");
}
