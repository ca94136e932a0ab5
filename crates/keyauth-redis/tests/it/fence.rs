//! The cache in front of a store, with a real Redis between them (R6, R11, R12, S8).

use std::sync::Arc;
use std::time::Duration;

use keyauth_cache::{CacheOptions, CachedLookup};
use keyauth_core::{
    Authenticator, Background, Denial, IssuedKey, KeyStore, Limit, LookupErrorKind, MemoryStore,
    NewKey, RequestFacts,
};
use keyauth_redis::{Redis, RedisCache};
use keyauth_testkit::{Gated, RedisServers};

use crate::world::{PATIENT, deadpool, fred};

type Verdict = Result<Result<(), Denial>, LookupErrorKind>;

const ADMITTED: Verdict = Ok(Ok(()));
const REVOKED: Verdict = Ok(Err(Denial::KeyRevoked));

/// An instance of a service.
struct Instance {
    auth: Authenticator,
    gate: Gated<MemoryStore>,
    _background: Background,
}

impl Instance {
    async fn start(store: &MemoryStore, redis: &Redis) -> Self {
        let gate = Gated::elsewhere(store.clone());
        let options = CacheOptions::new().poll_interval(Duration::from_millis(10));
        let lookup = CachedLookup::with_options(gate.clone(), options);
        let (auth, background) =
            Authenticator::new(lookup.with_shared(RedisCache::new(redis))).start();
        gate.wait_for_polls(1).await;
        Self { auth, gate, _background: background }
    }

    async fn verify(&self, key: &IssuedKey) -> Verdict {
        verify(&self.auth, key.reveal()).await
    }
}

async fn verify(auth: &Authenticator, key: &str) -> Verdict {
    let decision = auth.verify(key, &RequestFacts::new()).await;
    decision.map(|decision| decision.map(drop)).map_err(|error| error.kind())
}

async fn both(servers: &RedisServers) -> [Redis; 2] {
    let url = servers.urls().remove(0);
    [deadpool(&url), Redis::from(fred(&url).await)]
}

/// What cold instances say, until one need not ask the store.
async fn wait_until_shared(store: &MemoryStore, redis: &Redis, key: &IssuedKey) -> Verdict {
    let shared = async {
        loop {
            let cold = Instance::start(store, redis).await;
            let verdict = cold.verify(key).await;
            if cold.gate.calls() == 0 {
                return verdict;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), shared).await.expect("an entry in Redis")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_redis_kept_while_it_was_away_is_not_believed() {
    let servers = RedisServers::start().await;
    for redis in both(&servers).await {
        let store = MemoryStore::new();
        let key = store.issue(NewKey::named("revoked")).await.expect("a key");
        let warm = Instance::start(&store, &redis).await;
        assert_eq!(warm.verify(&key).await, ADMITTED);
        assert_eq!(wait_until_shared(&store, &redis, &key).await, ADMITTED);
        servers.signal(0, "STOP");
        store.revoke(&key).await.expect("revoked");
        warm.gate.wait_for_polls(1).await;
        assert_eq!(warm.verify(&key).await, REVOKED, "Redis is not needed to refuse");
        servers.signal(0, "CONT");
        for _ in 0..10 {
            let cold = Instance::start(&store, &redis).await;
            assert_eq!(cold.verify(&key).await, REVOKED);
        }
        assert_eq!(wait_until_shared(&store, &redis, &key).await, REVOKED);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hit_in_redis_admits_the_same_as_the_store() {
    // S8
    let servers = RedisServers::start().await;
    for redis in both(&servers).await {
        let redis = redis.with_timeout(PATIENT);
        let store = MemoryStore::new();
        let new = NewKey::named("everything \u{1f511}")
            .owner("ada")
            .scope("a")
            .allow_address("192.0.2.0/24")
            .deny_address("192.0.2.66")
            .endpoint("GET /a/*")
            .resource("gpt-*")
            .limit(Limit::per_minute(7))
            .metadata("note", "a\nb");
        let key = store.issue(new).await.expect("a key");
        let here = |path| {
            let facts = RequestFacts::new().with_address([192, 0, 2, 1].into());
            facts.with_endpoint("GET", path).with_resource("gpt-4")
        };
        let loaded = Instance::start(&store, &redis).await;
        // By the store, by the process's cache, and by Redis.
        for path in ["/a/b", "/elsewhere"] {
            let decide = async |auth: &Authenticator| {
                let decision = auth.verify(key.reveal(), &here(path)).await.expect("an answer");
                decision.map(|admitted| admitted.record().clone())
            };
            let from_store = decide(&loaded.auth).await;
            assert_eq!(from_store.is_ok(), path == "/a/b");
            assert_eq!(decide(&loaded.auth).await, from_store);
            assert!(wait_until_shared(&store, &redis, &key).await.is_ok());
            let cold = Instance::start(&store, &redis).await;
            assert_eq!(decide(&cold.auth).await, from_store);
            assert_eq!(cold.gate.calls(), 0, "Redis has answered");
        }
        assert_eq!(loaded.gate.calls(), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_stands_in_redis_a_valid_key_is_admitted() {
    let servers = RedisServers::start().await;
    for redis in both(&servers).await {
        let redis = redis.with_timeout(PATIENT);
        let store = MemoryStore::new();
        let key = store.issue(NewKey::named("any")).await.expect("a key");
        let warm = Instance::start(&store, &redis).await;
        assert_eq!(warm.verify(&key).await, ADMITTED);
        assert_eq!(wait_until_shared(&store, &redis, &key).await, ADMITTED);
        let names = servers.ask(0, &["KEYS", "*"]);
        let name = names.lines().next().expect("an entry");
        let damages: [&[&str]; 8] = [
            // A mebibyte, of which no more is read than an entry can have.
            &["SETRANGE", name, "1048576", "x"],
            &["SETRANGE", name, "45", "x"],
            &["SETRANGE", name, "100", "x"],
            &["SET", name, "short"],
            &["SET", name, ""],
            &["SET", name, &"\u{1}".repeat(200)],
            &[
                "EVAL",
                "redis.call('DEL', KEYS[1]) return redis.call('LPUSH', KEYS[1], 'list')",
                "1",
                name,
            ],
            &["DEL", name],
        ];
        for damage in damages {
            let _ = servers.ask(0, damage);
            let cold = Instance::start(&store, &redis).await;
            assert_eq!(cold.verify(&key).await, ADMITTED, "{damage:?}");
            assert_eq!(cold.gate.calls(), 1, "{damage:?}");
            assert_eq!(wait_until_shared(&store, &redis, &key).await, ADMITTED, "{damage:?}");
        }
        assert_eq!(servers.ask(0, &["FLUSHALL"]), "OK");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_key_is_refused_whatever_becomes_of_redis() {
    let servers = RedisServers::start().await;
    for redis in both(&servers).await {
        let store = MemoryStore::new();
        for (signal, end) in [("STOP", "CONT"), ("KILL", "")] {
            let instance = Instance::start(&store, &redis).await;
            servers.signal(0, signal);
            for _ in 0..50 {
                let key = store.issue(NewKey::named("any")).await.expect("a key");
                assert_eq!(instance.verify(&key).await, ADMITTED, "{signal}");
            }
            match end {
                "" => servers.restart(0).await,
                end => servers.signal(0, end),
            }
            let key = store.issue(NewKey::named("any")).await.expect("a key");
            assert_eq!(wait_until_shared(&store, &redis, &key).await, ADMITTED, "used again");
        }
        // There, and unwilling: full, and a replica.
        let unwilling = [
            (
                ["CONFIG", "SET", "maxmemory", "1"].as_slice(),
                ["CONFIG", "SET", "maxmemory", "0"].as_slice(),
            ),
            (&["REPLICAOF", "127.0.0.1", "1"], &["REPLICAOF", "NO", "ONE"]),
        ];
        for (begin, end) in unwilling {
            assert_eq!(servers.ask(0, begin), "OK");
            let instance = Instance::start(&store, &redis).await;
            for _ in 0..50 {
                let key = store.issue(NewKey::named("any")).await.expect("a key");
                assert_eq!(instance.verify(&key).await, ADMITTED, "{begin:?}");
            }
            assert_eq!(servers.ask(0, end), "OK");
            let key = store.issue(NewKey::named("any")).await.expect("a key");
            assert_eq!(wait_until_shared(&store, &redis, &key).await, ADMITTED, "used again");
        }
        // Slow for two seconds, for all commands.
        let instance = Instance::start(&store, &redis).await;
        assert_eq!(servers.ask(0, &["CLIENT", "PAUSE", "2000"]), "OK");
        for _ in 0..50 {
            let key = store.issue(NewKey::named("any")).await.expect("a key");
            assert_eq!(instance.verify(&key).await, ADMITTED);
        }
    }
}

const INSTANCES: usize = 50;

/// Prints the figures; `KEYAUTH_COLD=1000` for those that are worth comparing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::print_stdout, reason = "figures are for people")]
async fn a_cold_fleet_reads_each_key_about_once() {
    let count = std::env::var("KEYAUTH_COLD").ok().and_then(|text| text.parse().ok());
    let count: usize = count.unwrap_or(200);
    let servers = RedisServers::start().await;
    for (client, redis) in ["deadpool", "fred"].into_iter().zip(both(&servers).await) {
        let redis = redis.with_timeout(PATIENT);
        // As requests come, each instance in an order of its own; and at worst, all at once.
        let orders: [fn(usize, usize) -> usize; 2] =
            [|number, key| key * 7_919 + number * 104_729, |_, key| key];
        for (order, name) in orders.into_iter().zip(["each in its own order", "all at once"]) {
            assert_eq!(servers.ask(0, &["FLUSHALL"]), "OK");
            let store = MemoryStore::new();
            let mut keys = Vec::new();
            for _ in 0..count {
                let key = store.issue(NewKey::named("cold")).await.expect("a key");
                keys.push(key.reveal().to_owned());
            }
            let keys: Arc<[String]> = keys.into();
            let first = reads(&store, &redis, &keys, order).await;
            println!("{client}, {INSTANCES} cold instances, {count} keys, {name}: {first} reads");
            // An instance that asks before the first one has put it there reads it too, and once:
            // how many do depends on how fast the machine is.
            assert!((count..=count * INSTANCES).contains(&first), "{first} reads");
            let there = count.to_string();
            let put = async {
                while servers.ask(0, &["DBSIZE"]) != there {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            };
            tokio::time::timeout(Duration::from_secs(20), put).await.expect("all records");
            // Whoever comes later reads none.
            assert_eq!(reads(&store, &redis, &keys, order).await, 0);
        }
    }
}

/// How often the store is read by a cold fleet, each instance of which asks for all keys in an
/// order.
async fn reads(
    store: &MemoryStore,
    redis: &Redis,
    keys: &Arc<[String]>,
    order: fn(usize, usize) -> usize,
) -> usize {
    let mut instances = Vec::new();
    for _ in 0..INSTANCES {
        instances.push(Instance::start(store, redis).await);
    }
    let mut asking = Vec::new();
    for (number, instance) in instances.iter().enumerate() {
        let (auth, keys) = (instance.auth.clone(), Arc::clone(keys));
        asking.push(tokio::spawn(async move {
            for key in 0..keys.len() {
                let key = keys.get(order(number, key) % keys.len()).expect("a key");
                assert_eq!(verify(&auth, key).await, ADMITTED);
            }
        }));
    }
    for asked in asking {
        asked.await.expect("no panic");
    }
    instances.iter().map(|instance| instance.gate.calls()).sum()
}
