//! A user who may do what `docs/redis.md` says, and no more.

use std::time::Duration;

use keyauth_core::{
    Change, ChangeObserver, Counted, Hints, KeyDigest, Limit, LimitDecision, LimitedCall, Limiter,
    SharedCache, SharedEntry, TryAcquire, Version, Versions,
};
use keyauth_redis::{Redis, RedisCache, RedisHints};
use keyauth_testkit::RedisServers;
use keyauth_testkit::conformance::limiter::{decide, limited_key};
use tokio::time::{sleep, timeout};

use crate::world::{
    PATIENT, clients, deadpool, deadpool_cluster_at, fleet, fred, fred_cluster_as, leased,
};

const PATIENCE: Duration = Duration::from_secs(20);

/// The commands that the document gives: for every server, and for those of a cluster.
fn documented() -> [Vec<&'static str>; 2] {
    let document = include_str!("../../../../docs/redis.md");
    let mut rules = document.lines().filter(|line| line.starts_with("ACL SETUSER"));
    [(); 2].map(|()| rules.next().expect("a rule").split(' ').collect())
}

/// Where the user connects.
fn urls(servers: &RedisServers) -> Vec<String> {
    let with_user = |url: &String| url.replacen("redis://", "redis://keyauth:secret@", 1);
    servers.urls().iter().map(with_user).collect()
}

/// What clients try when they connect, and can do without.
const DISPENSABLE: [&str; 3] = ["client|setinfo", "client|id", "info"];

/// What else the user was refused.
fn denied(servers: &RedisServers, server: usize) -> Vec<String> {
    let log = servers.ask(server, &["ACL", "LOG"]);
    let mut lines = log.lines();
    let mut objects = Vec::new();
    while lines.by_ref().any(|line| line == "object") {
        objects
            .extend(lines.next().filter(|object| !DISPENSABLE.contains(object)).map(str::to_owned));
    }
    objects
}

async fn everything_works(client: &str, redis: &Redis, hints: &RedisHints) {
    let cache = RedisCache::new(redis);
    let digest = KeyDigest::from_bytes([1; 32]);
    let one = Version::new(1);
    let versions = Versions { everything: one, tenant: one, owner: one, group: one, key: one };
    let lifetime = Duration::from_secs(60);
    let entry = SharedEntry { versions, sealed: b"sealed".to_vec(), lifetime };
    cache.put("history", &digest, entry).await.unwrap_or_else(|error| {
        panic!("{client}: {:?}", std::error::Error::source(&error).map(ToString::to_string))
    });
    let found = cache.get("history", &digest).await.expect("an answer");
    assert_eq!(found.as_deref(), Some(b"sealed".as_slice()), "{client}");
    cache.remove("history", &digest).await.expect("removed");
    let (limiter, background) = fleet(redis);
    let limits = [
        Limit::per_hour(9),
        Limit::smooth(9, Duration::from_secs(1), 9),
        Limit::per_day(9),
        Limit::at_once(9),
    ];
    let limited = limited_key(limits);
    let decision = decide(&limiter, &limited, 1).await;
    assert!(matches!(decision, LimitDecision::Within(_)), "{client}");
    drop(decision);
    limiter.usage(limited.clone()).await.expect("an answer");
    let subject = limited.subject(Counted::Key).expect("a key");
    limiter.reset(&subject).await.expect("reset");
    sleep(Duration::from_millis(200)).await;
    background.shutdown().await;
    let (limiter, background) = leased(redis, 1);
    let limited = limited_key([Limit::per_day(10_000)]);
    let mut passed = 0;
    let leased = async {
        let call = LimitedCall { limited: &limited, cost: 1, report: false };
        while let TryAcquire::Ask = limiter.try_acquire(&call) {
            passed += u64::from(limiter.acquire(call.to_owned()).await.is_ok());
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(PATIENCE, leased).await.unwrap_or_else(|_| panic!("{client} leases nothing"));
    background.shutdown().await;
    let states = limiter.usage(limited).await.expect("an answer");
    assert_eq!(
        states.first().map(|state| state.used),
        Some(passed + 1),
        "{client}: all is given back"
    );
    // The first sign is that it listens.
    timeout(PATIENCE, hints.receive()).await.unwrap_or_else(|_| panic!("{client} is deaf"));
    sleep(Duration::from_millis(200)).await;
    hints.changed(&[Change::NewSecrets]);
    timeout(PATIENCE, hints.receive()).await.unwrap_or_else(|_| panic!("{client} is deaf"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_documented_rights_are_enough_for_one_server() {
    let servers = RedisServers::start().await;
    let [rule, _] = documented();
    assert_eq!(servers.ask(0, &rule), "OK");
    let urls = urls(&servers);
    let url = urls.first().expect("a server");
    let redis = deadpool(url).with_timeout(PATIENT);
    everything_works("deadpool", &redis, &RedisHints::over_clients(&redis, clients(&urls))).await;
    let client = fred(url).await;
    let redis = Redis::from(client.clone()).with_timeout(PATIENT);
    everything_works("fred", &redis, &RedisHints::over_fred(&redis, &client)).await;
    assert_eq!(denied(&servers, 0), [""; 0], "nothing else was tried");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_documented_rights_are_enough_for_a_cluster() {
    let servers = RedisServers::start_cluster().await;
    for rule in documented() {
        for server in 0..3 {
            assert_eq!(servers.ask(server, &rule), "OK");
        }
    }
    let urls = urls(&servers);
    let redis = deadpool_cluster_at(urls.clone()).with_timeout(PATIENT);
    everything_works("deadpool", &redis, &RedisHints::over_clients(&redis, clients(&urls))).await;
    let client = fred_cluster_as(&servers, "keyauth", "secret").await;
    let redis = Redis::from(client.clone()).with_timeout(PATIENT);
    everything_works("fred", &redis, &RedisHints::over_fred(&redis, &client)).await;
    for server in 0..3 {
        assert_eq!(denied(&servers, server), [""; 0], "nothing else was tried");
    }
}
