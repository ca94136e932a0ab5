//! Hits in the cache that instances share, where this process has nothing cached.

use std::fmt::Debug;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use keyauth_cache::{CacheOptions, CachedLookup};
use keyauth_core::{
    Authenticator, KeyRecord, KeyStore, Limit, MemoryStore, NewKey, RequestFacts, Timestamp,
};
use keyauth_redis::deadpool_redis::redis::Cmd;
use keyauth_redis::fred::clients::Client;
use keyauth_redis::fred::interfaces::ClientLike;
use keyauth_redis::fred::types::config::{Config, ReconnectPolicy};
use keyauth_redis::fred::types::{Builder, ClusterHash, CustomCommand};
use keyauth_redis::{Redis, RedisCache, deadpool_redis};
use keyauth_testkit::{Gated, RedisServers};
use rmp_serde::from_slice;
use sha2::Sha256;
use tokio::time::timeout;

use crate::awake::Awake;
use crate::bench::{Bench, one_by_one};
use crate::report::{Bound, Row};
use crate::rounds::Rounds;

const KEYS: usize = 500;
const ROUNDS: usize = 48;
/// What careful people give a cache.
const DEADLINE: Duration = Duration::from_secs(2);
/// What stands before a record: versions, a format, and an HMAC-SHA-256.
const HEAD_LEN: usize = 40 + 1 + 32;

type Names = Arc<[Vec<u8>]>;

struct Servers {
    url: String,
    store: MemoryStore,
    keys: Arc<[String]>,
    pool: deadpool_redis::Pool,
    _running: RedisServers,
}

async fn start() -> Servers {
    let running = RedisServers::start().await;
    let url = running.urls().remove(0);
    let store = MemoryStore::new();
    let mut keys = Vec::new();
    for _ in 0..KEYS {
        let new = NewKey::named("production, eu-west")
            .owner("customer-4711")
            .scope("reports:read")
            .scope("reports:write")
            .allow_address("192.0.2.0/24")
            .limit(Limit::per_minute(600))
            .metadata("plan", "pro");
        keys.push(store.issue(new).await.expect("a key").reveal().to_owned());
    }
    let pool = deadpool_redis::Config::from_url(&url);
    let pool = pool.create_pool(Some(deadpool_redis::Runtime::Tokio1)).expect("a pool");
    Servers { url, store, keys: keys.into(), pool, _running: running }
}

/// Has all records put there, and says under which names.
async fn fill(servers: &Servers, redis: &Redis) -> Names {
    let (auth, _) = cold(&servers.store, redis).await;
    for key in servers.keys.iter() {
        auth.verify(key, &facts()).await.expect("an answer").expect("admitted");
    }
    loop {
        let mut connection = servers.pool.get().await.expect("a connection");
        let mut all = Cmd::new();
        all.arg("KEYS").arg("*");
        let names: Vec<Vec<u8>> = all.query_async(&mut connection).await.expect("an answer");
        if names.len() >= servers.keys.len() {
            return names.into();
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn facts() -> RequestFacts<'static> {
    RequestFacts::new().with_address([192, 0, 2, 1].into())
}

/// An instance that has nothing cached, once it has polled.
async fn cold(store: &MemoryStore, redis: &Redis) -> (Authenticator, Gated<MemoryStore>) {
    let gate = Gated::elsewhere(store.clone());
    let options = CacheOptions::new().poll_interval(Duration::from_millis(100));
    let lookup = CachedLookup::with_options(gate.clone(), options);
    let (auth, background) = Authenticator::new(lookup.with_shared(RedisCache::new(redis))).start();
    // It polls for as long as the authenticator is there.
    drop(background);
    gate.wait_for_polls(1).await;
    (auth, gate)
}

/// Has each key verified by an instance that has never seen it.
async fn hits(store: MemoryStore, redis: Redis, keys: Arc<[String]>) -> Duration {
    let (auth, gate) = cold(&store, &redis).await;
    let time = one_by_one(keys.len(), |number| {
        let (auth, key) = (&auth, &keys[number]);
        async move {
            auth.verify(key, &facts()).await.expect("an answer").expect("admitted");
        }
    })
    .await;
    assert_eq!(gate.calls(), 0, "the store is not asked");
    time
}

/// What is done with a bare `GET` and its answer.
#[derive(Clone, Copy)]
enum How {
    Bare,
    /// As whoever relies on it would: within a deadline, nobody else's word believed, decoded.
    Opened,
}

impl How {
    async fn get<E: Debug>(self, answer: impl Future<Output = Result<Vec<u8>, E>>) {
        match self {
            Self::Bare => assert!(!answer.await.expect("an answer").is_empty()),
            Self::Opened => {
                let bytes = timeout(DEADLINE, answer).await.expect("in time").expect("an answer");
                let (head, content) = bytes.split_at(HEAD_LEN);
                let mac = Hmac::<Sha256>::new_from_slice(&[7; 32]).expect("a key");
                // Sealed with another key, so that it is only seen that it differs.
                mac.chain_update(content).verify_slice(&head[HEAD_LEN - 32..]).expect_err("sealed");
                let opened: (Timestamp, KeyRecord) = from_slice(content).expect("a record");
                black_box(Arc::new(opened));
            }
        }
    }
}

/// Hits, and beside them what it takes to `get` the same bytes.
fn compare(
    bench: &Bench,
    servers: &Servers,
    redis: &Redis,
    get: impl Fn(How) -> Duration,
    what: &'static str,
) -> Row {
    let mut hits =
        || bench.block_on(hits(servers.store.clone(), redis.clone(), Arc::clone(&servers.keys)));
    let _awake = Awake::start();
    let (mut opened, mut bare) = (|| get(How::Opened), || get(How::Bare));
    let rounds = Rounds::run(bench.rounds(ROUNDS), [&mut hits, &mut opened, &mut bare]);
    let by_hand = rounds.median(|[_, opened, bare]| opened / bare);
    let row = Row::of(what, &rounds, Bound::AtMost(1.3));
    row.note(&format!("a GET with a deadline, whose answer is checked and decoded, {by_hand:.2}"))
}

pub(crate) fn deadpool(bench: &Bench) -> Result<Row, String> {
    let servers = bench.block_on(start());
    let redis = Redis::from(servers.pool.clone());
    let servers = Arc::new(servers);
    let (names, connection) = bench.block_on({
        let (servers, redis) = (Arc::clone(&servers), redis.clone());
        async move {
            let connection = servers.pool.get().await.expect("a connection");
            // Out of the pool, which would ask the server before each use whether it is there.
            let connection = deadpool_redis::Connection::take(connection);
            (fill(&servers, &redis).await, connection)
        }
    });
    let get = |how: How| {
        let (names, connection) = (Arc::clone(&names), connection.clone());
        bench.block_on(async move {
            one_by_one(names.len(), |number| {
                let (name, mut connection) = (&names[number], connection.clone());
                async move {
                    let mut get = Cmd::new();
                    get.arg("GET").arg(name);
                    how.get(get.query_async(&mut connection)).await;
                }
            })
            .await
        })
    };
    let what = "a key from the shared cache, over deadpool-redis; a GET of the same bytes";
    Ok(compare(bench, &servers, &redis, get, what))
}

pub(crate) fn fred(bench: &Bench) -> Result<Row, String> {
    let servers = Arc::new(bench.block_on(start()));
    let (client, names) = bench.block_on({
        let servers = Arc::clone(&servers);
        async move {
            let mut builder = Builder::from_config(Config::from_url(&servers.url).expect("a URL"));
            builder.set_policy(ReconnectPolicy::new_constant(0, 100));
            let client: Client = builder.build().expect("a client");
            client.init().await.expect("a server");
            let names = fill(&servers, &Redis::from(client.clone())).await;
            (client, names)
        }
    });
    let redis = Redis::from(client.clone());
    let get = |how: How| {
        let (names, client) = (Arc::clone(&names), client.clone());
        bench.block_on(async move {
            let all = one_by_one(names.len(), |number| {
                let (name, client) = (names[number].clone(), &client);
                async move {
                    let get = CustomCommand::new_static("GET", ClusterHash::FirstKey, false);
                    how.get(client.custom(get, vec![name])).await;
                }
            });
            // Large.
            Box::pin(all).await
        })
    };
    let what = "a key from the shared cache, over fred; a GET of the same bytes";
    Ok(compare(bench, &servers, &redis, get, what))
}
