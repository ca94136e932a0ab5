//! Hits in the cache that instances share, where this process has nothing cached.

use std::sync::Arc;
use std::time::Duration;

use keyauth_cache::{CacheOptions, CachedLookup};
use keyauth_core::{Authenticator, KeyStore, Limit, MemoryStore, NewKey, RequestFacts};
use keyauth_redis::deadpool_redis::redis::Cmd;
use keyauth_redis::fred::clients::Client;
use keyauth_redis::fred::interfaces::ClientLike;
use keyauth_redis::fred::types::config::{Config, ReconnectPolicy};
use keyauth_redis::fred::types::{Builder, ClusterHash, CustomCommand};
use keyauth_redis::{Redis, RedisCache, deadpool_redis};
use keyauth_testkit::{Gated, RedisServers};

use crate::bench::{Bench, one_by_one};
use crate::report::{Bound, Row};
use crate::rounds::Rounds;

const KEYS: usize = 1_000;
const ROUNDS: usize = 24;

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

fn compare(
    bench: &Bench,
    servers: &Servers,
    redis: &Redis,
    mut bare: impl FnMut() -> Duration,
    what: &'static str,
) -> Row {
    let mut hits =
        || bench.block_on(hits(servers.store.clone(), redis.clone(), Arc::clone(&servers.keys)));
    let rounds = Rounds::run(bench.rounds(ROUNDS), [&mut hits, &mut bare]);
    Row::of(what, &rounds, Bound::AtMost(1.3))
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
    let bare = || {
        let (names, connection) = (Arc::clone(&names), connection.clone());
        bench.block_on(async move {
            one_by_one(names.len(), |number| {
                let (name, mut connection) = (&names[number], connection.clone());
                async move {
                    let mut get = Cmd::new();
                    get.arg("GET").arg(name);
                    let bytes: Vec<u8> = get.query_async(&mut connection).await.expect("an answer");
                    assert!(!bytes.is_empty());
                }
            })
            .await
        })
    };
    let what = "a key from the shared cache, over deadpool-redis; a GET of the same bytes";
    Ok(compare(bench, &servers, &redis, bare, what))
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
    let bare = || {
        let (names, client) = (Arc::clone(&names), client.clone());
        bench.block_on(async move {
            one_by_one(names.len(), |number| {
                let (name, client) = (names[number].clone(), &client);
                async move {
                    let get = CustomCommand::new_static("GET", ClusterHash::FirstKey, false);
                    let bytes: Vec<u8> = client.custom(get, vec![name]).await.expect("an answer");
                    assert!(!bytes.is_empty());
                }
            })
            .await
        })
    };
    let what = "a key from the shared cache, over fred; a GET of the same bytes";
    Ok(compare(bench, &servers, &redis, bare, what))
}
