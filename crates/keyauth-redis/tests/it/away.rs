//! Redis that is not there, does not answer, or has forgotten everything (F1, R12).

use std::time::Duration;

use keyauth_core::{KeyDigest, LookupError, SharedCache, SharedEntry, Version, Versions};
use keyauth_redis::{Redis, RedisCache};
use keyauth_testkit::{FaultProxy, RedisServers, Wire};
use tokio::time::timeout;

use crate::world::{PATIENT, deadpool, deadpool_cluster, fred, fred_cluster, fred_connecting};

const NAMESPACE: &str = "history";
const PATIENCE: Duration = Duration::from_secs(20);
/// The default.
const TIMEOUT: Duration = Duration::from_millis(50);
/// Between requests, so that they come while it is looked for Redis, again and again.
const PAUSE: Duration = Duration::from_millis(5);

fn digest(first: u8) -> KeyDigest {
    KeyDigest::from_bytes([first; 32])
}

async fn put(cache: &RedisCache, first: u8) -> bool {
    let one = Version::new(1);
    let versions = Versions { everything: one, tenant: one, owner: one, group: one, key: one };
    let lifetime = Duration::from_secs(60);
    let entry = SharedEntry { versions, sealed: b"sealed".to_vec(), lifetime };
    cache.put(NAMESPACE, &digest(first), entry).await.is_ok()
}

/// Whether somebody waited for an answer that did not come, rather than knowing better.
fn has_waited(error: &LookupError) -> bool {
    let source = std::error::Error::source(error).expect("a source").to_string();
    source != "Redis is away"
}

async fn wait_until_back(cache: &RedisCache) {
    let back = async {
        while cache.get(NAMESPACE, &digest(0)).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, back).await.expect("Redis is used again");
}

/// Both clients over one server of the test's own.
async fn both(servers: &RedisServers, timeout: Duration) -> [(&'static str, RedisCache); 2] {
    let url = servers.urls().remove(0);
    let fred = Redis::from(fred(&url).await);
    [("deadpool", deadpool(&url)), ("fred", fred)]
        .map(|(client, redis)| (client, RedisCache::new(&redis.with_timeout(timeout))))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_server_costs_a_few_requests_their_patience_and_the_rest_nothing() {
    let servers = RedisServers::start().await;
    for (client, cache) in both(&servers, TIMEOUT).await {
        wait_until_back(&cache).await;
        while !put(&cache, 1).await {}
        servers.signal(0, "STOP");
        let (mut waited, mut failed) = (0, 0);
        for _ in 0..200 {
            tokio::time::sleep(PAUSE).await;
            let answer = cache.get(NAMESPACE, &digest(1)).await;
            failed += usize::from(answer.is_err());
            waited += usize::from(answer.is_err_and(|error| has_waited(&error)));
        }
        assert_eq!(failed, 200, "{client}");
        assert!(waited <= 10, "{client}: {waited} of 200 requests waited");
        servers.signal(0, "CONT");
        wait_until_back(&cache).await;
        let found = loop {
            if let Ok(found) = cache.get(NAMESPACE, &digest(1)).await {
                break found;
            }
        };
        assert_eq!(found.as_deref(), Some(b"sealed".as_slice()), "{client}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_server_of_a_cluster_costs_little_too() {
    let servers = RedisServers::start_cluster().await;
    let fred = Redis::from(fred_cluster(&servers).await);
    for (client, redis) in [("deadpool", deadpool_cluster(&servers)), ("fred", fred)] {
        let cache = RedisCache::new(&redis);
        wait_until_back(&cache).await;
        for first in 0..=255 {
            put(&cache, first).await;
        }
        servers.signal(1, "STOP");
        let (mut waited, mut failed) = (0, 0);
        for first in (0..=255).cycle().take(600) {
            tokio::time::sleep(PAUSE).await;
            let answer = cache.get(NAMESPACE, &digest(first)).await;
            failed += usize::from(answer.is_err());
            waited += usize::from(answer.is_err_and(|error| has_waited(&error)));
        }
        assert!(failed > 100, "{client}: {failed} of 600 requests got no answer");
        assert!(waited <= 60, "{client}: {waited} of 600 requests waited");
        servers.signal(1, "CONT");
        let all_back = async {
            for first in 0..=255 {
                while cache.get(NAMESPACE, &digest(first)).await.is_err() {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        };
        timeout(PATIENCE, all_back).await.unwrap_or_else(|_| panic!("{client}: not all back"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_was_killed_is_used_again_when_it_is_back() {
    let servers = RedisServers::start().await;
    for (client, cache) in both(&servers, PATIENT).await {
        wait_until_back(&cache).await;
        assert!(put(&cache, 1).await, "{client}");
        servers.signal(0, "KILL");
        for _ in 0..10 {
            assert!(cache.get(NAMESPACE, &digest(1)).await.is_err(), "{client}");
        }
        servers.restart(0).await;
        wait_until_back(&cache).await;
        assert_eq!(cache.get(NAMESPACE, &digest(1)).await.expect("an answer"), None, "{client}");
        // The script is forgotten too.
        assert!(put(&cache, 1).await, "{client}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_starts_late_is_found() {
    let servers = RedisServers::start().await;
    let url = servers.urls().remove(0);
    for client in ["deadpool", "fred"] {
        servers.signal(0, "KILL");
        let redis = match client {
            "deadpool" => deadpool(&url),
            _ => Redis::from(fred_connecting(&url)),
        };
        let cache = RedisCache::new(&redis.with_timeout(PATIENT));
        for _ in 0..5 {
            assert!(!put(&cache, 1).await, "{client}");
        }
        servers.restart(0).await;
        wait_until_back(&cache).await;
        assert!(put(&cache, 1).await, "{client}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wire_that_is_dead_is_noticed_and_used_again() {
    let servers = RedisServers::start().await;
    let proxy = FaultProxy::to(&servers.urls().remove(0)).await;
    let fred = Redis::from(fred(proxy.url()).await);
    for (client, redis) in [("deadpool", deadpool(proxy.url())), ("fred", fred)] {
        let cache = RedisCache::new(&redis);
        wait_until_back(&cache).await;
        // Nothing comes through, and nobody is told; then everything that was held arrives.
        for wire in [Wire::Dead, Wire::Cut] {
            while !put(&cache, 1).await {}
            proxy.set_wire(wire);
            let mut waited = 0;
            for _ in 0..100 {
                tokio::time::sleep(PAUSE).await;
                let error = cache.get(NAMESPACE, &digest(1)).await.expect_err("a dead wire");
                waited += usize::from(has_waited(&error));
            }
            assert!(waited <= 10, "{client}: {waited} of 100 requests waited");
            proxy.set_wire(Wire::Whole);
            wait_until_back(&cache).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_takes_a_frozen_servers_place_is_found() {
    for client in ["deadpool", "fred"] {
        let servers = RedisServers::start_cluster().await;
        let redis = match client {
            "deadpool" => deadpool_cluster(&servers),
            _ => Redis::from(fred_cluster(&servers).await),
        };
        let cache = RedisCache::new(&redis);
        wait_until_back(&cache).await;
        for first in 0..=255 {
            put(&cache, first).await;
        }
        servers.signal(1, "STOP");
        servers.take_over(1, 0);
        let all_there = async {
            for first in 0..=255 {
                while cache.get(NAMESPACE, &digest(first)).await.is_err() {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        };
        timeout(PATIENCE * 3, all_there).await.unwrap_or_else(|_| panic!("{client}: not found"));
        servers.signal(1, "CONT");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slots_that_move_to_another_server_are_followed() {
    let servers = RedisServers::start_cluster().await;
    let fred = Redis::from(fred_cluster(&servers).await);
    for (client, redis) in [("deadpool", deadpool_cluster(&servers)), ("fred", fred)] {
        let cache = RedisCache::new(&redis.with_timeout(PATIENT));
        wait_until_back(&cache).await;
        for first in 0..=255 {
            assert!(put(&cache, first).await, "{client}");
        }
        // Servers 0 to 2 have a third each; the first one's goes to the last, entries and all.
        servers.move_slots(0, 2, 2_000);
        for first in 0..=255 {
            let found = cache.get(NAMESPACE, &digest(first)).await.expect("an answer");
            assert_eq!(found.as_deref(), Some(b"sealed".as_slice()), "{client}");
            assert!(put(&cache, first).await, "{client}");
        }
        servers.move_slots(2, 0, 2_000);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_redis_forgets_is_told_to_it_again() {
    let servers = RedisServers::start().await;
    for (client, cache) in both(&servers, PATIENT).await {
        wait_until_back(&cache).await;
        for forget in ["SCRIPT FLUSH", "FLUSHALL"] {
            assert!(put(&cache, 1).await, "{client}");
            let command: Vec<_> = forget.split(' ').collect();
            assert_eq!(servers.ask(0, &command), "OK");
            assert!(put(&cache, 2).await, "{client}, after {forget}");
            assert!(cache.get(NAMESPACE, &digest(2)).await.expect("an answer").is_some());
        }
    }
}
