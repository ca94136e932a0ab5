//! What stands in Redis, by which names.

use std::time::Duration;

use keyauth_cache::CachedLookup;
use keyauth_core::{Authenticator, KeyStore, MemoryStore, NewKey, Parsed, Peek, RequestFacts};
use keyauth_redis::{Redis, RedisCache};
use keyauth_testkit::RedisServers;

use crate::world::{PATIENT, deadpool, fred};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_and_values_hold_nothing_of_a_key() {
    // C16
    let servers = RedisServers::start().await;
    let url = servers.urls().remove(0);
    for redis in [deadpool(&url), Redis::from(fred(&url).await)] {
        look_at(&servers, redis.with_timeout(PATIENT)).await;
        assert_eq!(servers.ask(0, &["FLUSHALL"]), "OK");
        assert_eq!(servers.ask(0, &["CONFIG", "RESETSTAT"]), "OK");
        assert_eq!(servers.ask(0, &["SCRIPT", "FLUSH"]), "OK");
    }
}

async fn look_at(servers: &RedisServers, redis: Redis) {
    let redis = redis.with_prefix("app").expect("a prefix");
    let store = MemoryStore::new();
    let lookup = CachedLookup::new(store.clone()).with_shared(RedisCache::new(&redis));
    let (auth, background) = Authenticator::new(lookup).start();
    // What is asked for before the first poll is not put there.
    let first = store.issue(NewKey::named("first")).await.expect("a key");
    let Parsed::Key(text) = auth.parse(first.reveal().as_bytes()) else { unreachable!() };
    while !matches!(auth.peek(text), Peek::Found(_)) {
        auth.find(text).await.expect("an answer");
    }
    let mut keys = vec![first];
    for _ in 0..20 {
        let key = store.issue(NewKey::named("any")).await.expect("a key");
        let unknown = store.issuer().draft(NewKey::named("unknown")).expect("a key").into_issued();
        // One that nobody has issued, and one with a slip of the pen.
        let malformed = format!("{}0", key.reveal());
        for text in [key.reveal(), unknown.reveal(), &malformed] {
            auth.verify(text, &RequestFacts::new()).await.expect("an answer").ok();
        }
        keys.push(key);
    }
    let mut names = String::new();
    for _ in 0..200 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        names = servers.ask(0, &["KEYS", "*"]);
        if names.lines().count() >= 20 {
            break;
        }
    }
    assert!(names.lines().count() >= 20, "{names}");
    for name in names.lines() {
        let (head, digest) = name.split_once('{').expect("a tag");
        assert!(head.starts_with("app:record:"), "{name}");
        assert_eq!(digest.len(), 65, "{name}");
        let value = servers.ask(0, &["GET", name]);
        assert!(value.len() > 100, "a record");
        let ttl: i64 = servers.ask(0, &["PTTL", name]).parse().expect("a time");
        assert!((1..=900_000).contains(&ttl), "{ttl} ms");
        for key in &keys {
            let secret = key.reveal().rsplit('_').next().expect("its secret part");
            assert!(!name.contains(secret) && !value.contains(secret));
        }
    }
    let count = names.lines().count();
    assert!(count <= 21, "{count} entries: unknown keys leave none");
    // The script is sent in full once, and called by its SHA-1 from then on.
    let stats = servers.ask(0, &["INFO", "commandstats"]);
    let calls = |command: &str| -> usize {
        let line = format!("cmdstat_{command}:calls=");
        let found = stats.lines().find_map(|stat| stat.strip_prefix(&line)?.split(',').next());
        found.and_then(|calls| calls.parse().ok()).unwrap_or(0)
    };
    assert!(calls("eval") < 5 && calls("evalsha") >= count, "{stats}");
    background.shutdown().await;
    assert!(Redis::with_prefix(redis, "a{b").is_err());
}
