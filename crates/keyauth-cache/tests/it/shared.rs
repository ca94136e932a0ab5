//! The cache that instances share, played by one in memory that can be tampered with.

use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::Poll;
use std::time::Duration;

use keyauth_core::{
    Issuer, KeyDigest, KeyStore, LookupError, MemoryStore, NewKey, RequestFacts, SharedCache,
    SharedEntry,
};
use keyauth_testkit::Wire;

use super::world::{ADMITTED, Instance, REVOKED, UNKNOWN, issue, settle};

/// A shared cache in memory.
#[derive(Clone, Debug, Default)]
struct MemoryCache(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    entries: HashMap<(String, KeyDigest), SharedEntry>,
    wire: Option<Wire>,
    gets: usize,
    /// How long an answer is under way.
    pause: Option<Duration>,
}

impl MemoryCache {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no panic")
    }

    fn set_wire(&self, wire: Wire) {
        self.state().wire = Some(wire);
    }

    async fn cross(&self) -> Result<(), LookupError> {
        let wire = self.state().wire;
        match wire {
            Some(Wire::Cut) => Err(LookupError::unavailable("the wire is cut")),
            Some(Wire::Dead) => {
                tokio::time::sleep(Duration::from_millis(50)).await;
                Err(LookupError::unavailable("no answer in time"))
            }
            _ => Ok(()),
        }
    }
}

impl SharedCache for MemoryCache {
    async fn get(
        &self,
        namespace: &str,
        digest: &KeyDigest,
    ) -> Result<Option<Vec<u8>>, LookupError> {
        self.cross().await?;
        let (found, pause) = {
            let mut state = self.state();
            state.gets += 1;
            let found = state.entries.get(&(namespace.to_owned(), *digest));
            (found.map(|entry| entry.sealed.clone()), state.pause)
        };
        if let Some(pause) = pause {
            tokio::time::sleep(pause).await;
        }
        Ok(found)
    }

    async fn put(
        &self,
        namespace: &str,
        digest: &KeyDigest,
        entry: SharedEntry,
    ) -> Result<(), LookupError> {
        self.cross().await?;
        let mut state = self.state();
        let name = (namespace.to_owned(), *digest);
        let newer = |old: &SharedEntry| old.versions.is_newer_than(&entry.versions);
        if !state.entries.get(&name).is_some_and(newer) {
            state.entries.insert(name, entry);
        }
        Ok(())
    }

    async fn remove(&self, namespace: &str, digest: &KeyDigest) -> Result<(), LookupError> {
        self.cross().await?;
        self.state().entries.remove(&(namespace.to_owned(), *digest));
        Ok(())
    }
}

/// Verifies with a cold instance, and says whether it has asked the store.
async fn ask_cold(
    store: &MemoryStore,
    cache: &MemoryCache,
    key: &keyauth_core::IssuedKey,
) -> (super::world::Verdict, usize) {
    let instance = Instance::sharing(store, cache.clone()).await;
    let verdict = instance.verify(key).await;
    settle().await;
    (verdict, instance.gate.calls())
}

#[tokio::test]
async fn what_one_instance_has_loaded_others_need_not() {
    let store = MemoryStore::new();
    let key = issue(&store, "shared").await;
    let cache = MemoryCache::default();
    assert_eq!(ask_cold(&store, &cache, &key).await, (ADMITTED, 1));
    assert_eq!(ask_cold(&store, &cache, &key).await, (ADMITTED, 0));
}

#[tokio::test]
async fn every_layer_gives_the_same_record() {
    // S8
    let store = MemoryStore::new();
    let new = NewKey::named("everything \u{1f511}")
        .owner("ada")
        .scope("a")
        .allow_address("192.0.2.0/24")
        .deny_address("192.0.2.66")
        .endpoint("GET /a/*")
        .resource("gpt-*")
        .limit(keyauth_core::Limit::per_minute(7))
        .metadata("nested", serde_json::json!({ "list": [1, 2.5, null, "\u{e4}"] }));
    let key = store.issue(new).await.expect("a valid key");
    let cache = MemoryCache::default();
    let (first, second) =
        (Instance::sharing(&store, cache.clone()).await, Instance::sharing(&store, cache).await);
    let facts = RequestFacts::new()
        .with_address([192, 0, 2, 1].into())
        .with_endpoint("GET", "/a/b")
        .with_resource("gpt-4");
    let admit = async |instance: &Instance| {
        let decision = instance.auth.verify(key.reveal(), &facts).await.expect("an answer");
        settle().await;
        decision.expect("admitted").record().clone()
    };
    let from_store = admit(&first).await;
    let from_process = admit(&first).await;
    let from_shared = admit(&second).await;
    assert_eq!((first.gate.calls(), second.gate.calls()), (1, 0));
    assert_eq!(from_store, from_process);
    assert_eq!(from_store, from_shared);
}

#[tokio::test]
async fn a_stale_entry_is_not_believed() {
    // R6, R11: the shared cache was away during the revoke, and what it has is from before.
    let store = MemoryStore::new();
    let key = issue(&store, "revoked").await;
    let cache = MemoryCache::default();
    let old = Instance::sharing(&store, cache.clone()).await;
    assert_eq!(old.verify(&key).await, ADMITTED);
    settle().await;
    cache.set_wire(Wire::Cut);
    store.revoke(&key).await.expect("revoked");
    old.hear().await;
    assert_eq!(old.verify(&key).await, REVOKED);
    settle().await;
    cache.set_wire(Wire::Whole);
    assert_eq!(cache.state().entries.len(), 1);
    // One that starts now has learnt of the revoke from the changes that are kept.
    assert_eq!(ask_cold(&store, &cache, &key).await, (REVOKED, 1));
    assert_eq!(ask_cold(&store, &cache, &key).await, (REVOKED, 0), "and has put it right");
}

#[tokio::test]
async fn after_more_changes_than_can_be_told_only_the_store_is_believed() {
    let store = MemoryStore::new();
    let key = issue(&store, "revoked").await;
    let cold = issue(&store, "revoked, and not cached here").await;
    let cache = MemoryCache::default();
    for key in [&key, &cold] {
        assert_eq!(ask_cold(&store, &cache, key).await, (ADMITTED, 1));
    }
    let instance = Instance::sharing(&store, cache.clone()).await;
    assert_eq!(instance.verify(&key).await, ADMITTED);
    assert_eq!(instance.gate.calls(), 0);
    instance.gate.set_feed(Wire::Dead);
    for key in [&key, &cold] {
        store.revoke(key).await.expect("revoked");
    }
    instance.gate.tell_too_many();
    instance.gate.set_feed(Wire::Whole);
    instance.hear().await;
    for key in [&key, &cold] {
        assert_eq!(instance.verify(key).await, REVOKED);
    }
    assert_eq!(instance.gate.calls(), 2);
}

#[tokio::test]
async fn an_older_record_does_not_replace_a_newer_one() {
    let store = MemoryStore::new();
    let key = issue(&store, "raced").await;
    let cache = MemoryCache::default();
    assert_eq!(ask_cold(&store, &cache, &key).await, (ADMITTED, 1));
    let before = cache.state().entries.clone();
    store.revoke(&key).await.expect("revoked");
    assert_eq!(ask_cold(&store, &cache, &key).await, (REVOKED, 1));
    for ((namespace, digest), entry) in before {
        cache.put(&namespace, &digest, entry).await.expect("whole");
    }
    assert_eq!(ask_cold(&store, &cache, &key).await, (REVOKED, 0));
}

#[tokio::test]
async fn damaged_foreign_and_forged_entries_are_misses() {
    // R11
    let store = MemoryStore::new();
    let (key, other) = (issue(&store, "one").await, issue(&store, "other").await);
    let cache = MemoryCache::default();
    let only_entry = || {
        let state = cache.state();
        let (name, entry) = state.entries.iter().next().expect("it was put there");
        (name.clone(), entry.sealed.clone())
    };
    assert_eq!(ask_cold(&store, &cache, &other).await, (ADMITTED, 1));
    let (_, others) = only_entry();
    cache.state().entries.clear();
    assert_eq!(ask_cold(&store, &cache, &key).await, (ADMITTED, 1));
    let (name, good) = only_entry();
    let flipped = |at: usize| {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        bytes
    };
    let mut longer = good.clone();
    longer.push(b' ');
    let json = br#"{"asked_at":0,"record":{}}"#;
    for (what, bytes) in [
        ("empty", vec![]),
        ("one byte", vec![1]),
        ("cut off", good[..good.len() - 1].to_vec()),
        ("without content", good[..33].to_vec()),
        ("longer", longer),
        ("another format", flipped(0)),
        ("another mac", flipped(1)),
        ("another content", flipped(good.len() - 2)),
        ("of another key", others),
        ("without a mac", json.to_vec()),
        ("with a mac of nothing", [&[1; 33], json.as_slice()].concat()),
    ] {
        cache.state().entries.get_mut(&name).expect("there").sealed = bytes;
        assert_eq!(ask_cold(&store, &cache, &key).await, (ADMITTED, 1), "{what}");
    }
    // Another deployment shares the cache, and its seal is another one.
    let stranger = MemoryStore::new();
    assert_eq!(ask_cold(&stranger, &cache, &key).await, (UNKNOWN, 1));
    cache.state().entries.get_mut(&name).expect("there").sealed = good;
    assert_eq!(ask_cold(&store, &cache, &key).await, (ADMITTED, 0));
}

#[tokio::test]
async fn no_key_is_refused_because_the_shared_cache_is_away() {
    // R12
    let store = MemoryStore::new();
    let cache = MemoryCache::default();
    for wire in [Wire::Cut, Wire::Dead] {
        cache.set_wire(wire);
        let instance = Instance::sharing(&store, cache.clone()).await;
        for _ in 0..20 {
            assert_eq!(instance.verify(&issue(&store, "any").await).await, ADMITTED);
        }
    }
    cache.set_wire(Wire::Whole);
    let key = issue(&store, "back").await;
    assert_eq!(ask_cold(&store, &cache, &key).await, (ADMITTED, 1));
    assert_eq!(ask_cold(&store, &cache, &key).await, (ADMITTED, 0), "used again");
}

#[tokio::test]
async fn unknown_keys_leave_nothing_there() {
    // C14
    let store = MemoryStore::new();
    let cache = MemoryCache::default();
    let instance = Instance::sharing(&store, cache.clone()).await;
    for _ in 0..100 {
        let key = Issuer::new().draft(NewKey::named("unknown")).expect("a key").into_issued();
        assert_eq!(instance.verify(&key).await, UNKNOWN);
    }
    settle().await;
    assert_eq!(cache.state().entries.len(), 0);
}

#[tokio::test]
async fn an_entry_that_outlived_its_time_is_not_believed() {
    let store = MemoryStore::new();
    let key = issue(&store, "any").await;
    let cache = MemoryCache::default();
    assert_eq!(ask_cold(&store, &cache, &key).await, (ADMITTED, 1));
    let later = Instance::sharing(&store, cache.clone()).await;
    later.clock.advance(Duration::from_secs(20 * 60));
    later.hear().await;
    assert_eq!(later.verify(&key).await, ADMITTED);
    assert_eq!(later.gate.calls(), 0, "within the lifetime and what clocks may differ");
    let later = Instance::sharing(&store, cache).await;
    later.clock.advance(Duration::from_secs(20 * 60 + 1));
    later.hear().await;
    assert_eq!(later.verify(&key).await, ADMITTED);
    assert_eq!(later.gate.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_goes_away_while_the_cache_is_asked_has_the_store_asked() {
    let (store, cache) = (MemoryStore::new(), MemoryCache::default());
    let key = issue(&store, "led").await;
    let instance = Instance::sharing(&store, cache.clone()).await;
    cache.set_wire(Wire::Dead);
    let leader = instance.spawn(&key);
    settle().await;
    let follower = instance.spawn(&key);
    settle().await;
    leader.abort();
    assert!(leader.await.expect_err("aborted").is_cancelled());
    assert_eq!(follower.await.expect("no panic"), ADMITTED);
    assert_eq!(instance.gate.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_is_no_longer_polled_holds_nobody_up_for_ever() {
    let (store, cache) = (MemoryStore::new(), MemoryCache::default());
    let key = issue(&store, "led").await;
    let instance = Instance::sharing(&store, cache.clone()).await;
    cache.set_wire(Wire::Dead);
    let mut leader = Box::pin(instance.verify(&key));
    assert!(poll_once(&mut leader).await.is_pending());
    let followers: Vec<_> = (0..10).map(|_| instance.spawn(&key)).collect();
    for follower in followers {
        assert_eq!(follower.await.expect("no panic"), ADMITTED);
    }
    assert_eq!(instance.gate.calls(), 1);
    assert_eq!(leader.await, ADMITTED);
}

#[tokio::test(start_paused = true)]
async fn what_a_leader_read_long_before_it_is_polled_again_is_not_believed() {
    let (store, cache) = (MemoryStore::new(), MemoryCache::default());
    let key = issue(&store, "led").await;
    assert_eq!(ask_cold(&store, &cache, &key).await, (ADMITTED, 1));
    let instance = Instance::sharing(&store, cache.clone()).await;
    cache.state().pause = Some(Duration::from_millis(5));
    let mut leader = Box::pin(instance.verify(&key));
    assert!(poll_once(&mut leader).await.is_pending());
    instance.clock.advance(Duration::from_secs(60));
    instance.hear().await;
    assert_eq!(leader.await, ADMITTED);
    assert_eq!(instance.gate.calls(), 1, "by the store");
}

async fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    poll_fn(|context| Poll::Ready(Pin::new(&mut *future).poll(context))).await
}
