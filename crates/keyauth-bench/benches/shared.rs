//! A hit in the shared cache, beside a bare `GET` of the same bytes; and what a record weighs.
//!
//! It needs Docker or a `redis-server`, which it starts and ends.

#![expect(clippy::expect_used, clippy::print_stdout, reason = "a program that prints figures")]

use std::sync::Arc;
use std::time::Duration;

use keyauth_cache::{CacheOptions, CachedLookup};
use keyauth_core::{
    Authenticator, Clock, KeyRecord, KeyStore, Limit, MemoryStore, NewKey, RequestFacts,
    SystemClock,
};
use keyauth_redis::deadpool_redis::redis::Cmd;
use keyauth_redis::deadpool_redis::redis::aio::MultiplexedConnection;
use keyauth_redis::fred::clients::Client;
use keyauth_redis::fred::interfaces::ClientLike;
use keyauth_redis::fred::types::config::{Config, ReconnectPolicy};
use keyauth_redis::fred::types::{Builder, ClusterHash, CustomCommand};
use keyauth_redis::{Redis, RedisCache, deadpool_redis};
use keyauth_testkit::{Gated, RedisServers};

const KEYS: usize = 4_000;
const ROUNDS: usize = 5;
const AT_ONCE: usize = 64;

#[tokio::main]
async fn main() {
    weigh().await;
    // As requests run: in tasks, where the runtime's own thread would be woken for each answer.
    tokio::spawn(both()).await.expect("no panic");
}

async fn both() {
    let servers = RedisServers::start().await;
    let url = servers.urls().remove(0);
    let store = MemoryStore::new();
    let mut keys = Vec::new();
    for _ in 0..KEYS {
        keys.push(store.issue(typical()).await.expect("a key").reveal().to_owned());
    }
    let keys: Arc<[String]> = keys.into();

    let pool = deadpool_redis::Config::from_url(&url);
    let pool = pool.create_pool(Some(deadpool_redis::Runtime::Tokio1)).expect("a pool");
    let connection = pool.get().await.expect("a connection");
    let connection = deadpool_redis::Connection::take(connection);
    let mut builder = Builder::from_config(Config::from_url(&url).expect("a URL"));
    builder.set_policy(ReconnectPolicy::new_constant(0, 100));
    let client = builder.build().expect("a client");
    client.init().await.expect("a server");

    fill(&store, &Redis::from(pool.clone()), &keys, &connection).await;
    let names: Arc<[Vec<u8>]> = names(&connection).await.into();
    println!("\n{KEYS} keys, {ROUNDS} rounds; one after the other, and {AT_ONCE} at once");
    compare("deadpool", &store, &Redis::from(pool), &keys, {
        let names = Arc::clone(&names);
        move |number| {
            let (names, connection) = (Arc::clone(&names), connection.clone());
            async move { bare_deadpool(names.get(number).expect("a name"), connection).await }
        }
    })
    .await;
    compare("fred", &store, &Redis::from(client.clone()), &keys, move |number| {
        let (names, client) = (Arc::clone(&names), client.clone());
        async move { bare_fred(names.get(number).expect("a name"), &client).await }
    })
    .await;
}

fn typical() -> NewKey {
    NewKey::named("production, eu-west")
        .owner("customer-4711")
        .scope("reports:read")
        .scope("reports:write")
        .allow_address("192.0.2.0/24")
        .limit(Limit::per_minute(600))
        .metadata("plan", "pro")
}

/// What a typical record takes in JSON and in MessagePack, in bytes and in time.
async fn weigh() {
    let store = MemoryStore::new();
    let key = store.issue(typical()).await.expect("a key");
    let auth = Authenticator::new(store);
    let facts = facts();
    let admitted = auth.verify(key.reveal(), &facts);
    let record = admitted.await.expect("an answer").expect("admitted").record().clone();
    let json = |record: &KeyRecord| serde_json::to_vec(record).expect("JSON");
    let packed = |record: &KeyRecord| rmp_serde::to_vec(record).expect("MessagePack");
    let named = |record: &KeyRecord| rmp_serde::to_vec_named(record).expect("MessagePack");
    println!("a record         bytes   to write   to read");
    let (bytes, write) = timed(|| json(&record));
    let (read, time) = timed(|| serde_json::from_slice::<KeyRecord>(&bytes).expect("JSON"));
    assert_eq!(read, record);
    println!("JSON              {:>4} {write:>10?} {time:>9?}", bytes.len());
    for (name, bytes, write) in [
        ("MessagePack", packed(&record), timed(|| packed(&record)).1),
        ("  with names", named(&record), timed(|| named(&record)).1),
    ] {
        let (read, time) = timed(|| rmp_serde::from_slice::<KeyRecord>(&bytes));
        let read = read.map_or("not read back".to_owned(), |read| {
            if read == record { format!("{time:?}") } else { "differs".to_owned() }
        });
        println!("{name:<15}   {:>4} {write:>10?} {read:>9}", bytes.len());
    }
}

fn timed<T>(mut work: impl FnMut() -> T) -> (T, Duration) {
    const TIMES: u32 = 20_000;
    let clock = SystemClock::new();
    let began = clock.uptime();
    for _ in 1..TIMES {
        std::hint::black_box(work());
    }
    (work(), (clock.uptime() - began) / TIMES)
}

/// An instance that has nothing cached, once it has polled.
async fn cold(store: &MemoryStore, redis: &Redis) -> (Authenticator, Gated<MemoryStore>) {
    let gate = Gated::elsewhere(store.clone());
    let options = CacheOptions::new().poll_interval(Duration::from_millis(10));
    let lookup = CachedLookup::with_options(gate.clone(), options);
    let (auth, background) = Authenticator::new(lookup.with_shared(RedisCache::new(redis))).start();
    // It polls on for as long as the program runs.
    std::mem::forget(background);
    gate.wait_for_polls(1).await;
    (auth, gate)
}

fn facts() -> RequestFacts<'static> {
    RequestFacts::new().with_address([192, 0, 2, 1].into())
}

/// Has all records put there.
async fn fill(
    store: &MemoryStore,
    redis: &Redis,
    keys: &[String],
    connection: &MultiplexedConnection,
) {
    let (auth, _) = cold(store, redis).await;
    for key in keys {
        auth.verify(key, &facts()).await.expect("an answer").expect("admitted");
    }
    while names(connection).await.len() < keys.len() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn names(connection: &MultiplexedConnection) -> Vec<Vec<u8>> {
    let mut all = Cmd::new();
    all.arg("KEYS").arg("*");
    all.query_async(&mut connection.clone()).await.expect("an answer")
}

async fn bare_deadpool(name: &[u8], mut connection: MultiplexedConnection) {
    let mut get = Cmd::new();
    get.arg("GET").arg(name);
    let bytes: Vec<u8> = get.query_async(&mut connection).await.expect("an answer");
    assert!(!bytes.is_empty());
}

async fn bare_fred(name: &[u8], client: &Client) {
    let get = CustomCommand::new_static("GET", ClusterHash::FirstKey, false);
    let bytes: Vec<u8> = client.custom(get, vec![name]).await.expect("an answer");
    assert!(!bytes.is_empty());
}

async fn compare<F, B>(
    client: &str,
    store: &MemoryStore,
    redis: &Redis,
    keys: &Arc<[String]>,
    bare: F,
) where
    F: Fn(usize) -> B + Send + Sync + Clone + 'static,
    B: Future<Output = ()> + Send,
{
    let (mut bare_times, mut hit_times) = (Vec::new(), Vec::new());
    let (mut bare_rates, mut hit_rates) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        bare_times.extend(one_by_one(&bare).await);
        let (auth, gate) = cold(store, redis).await;
        hit_times.extend(one_by_one(&hit(&auth, keys)).await);
        assert_eq!(gate.calls(), 0, "the store is not asked");
        bare_rates.push(many_at_once(bare.clone()).await);
        let (auth, gate) = cold(store, redis).await;
        hit_rates.push(many_at_once(hit(&auth, keys)).await);
        assert_eq!(gate.calls(), 0, "the store is not asked");
    }
    let median = |times: &mut Vec<Duration>| {
        times.sort();
        *times.get(times.len() / 2).expect("times")
    };
    let (bare_p50, hit_p50) = (median(&mut bare_times), median(&mut hit_times));
    let (bare_time, hit_time) = (median(&mut bare_rates), median(&mut hit_rates));
    let rate = |time: Duration| KEYS as f64 / time.as_secs_f64();
    println!(
        "{client:<9} GET p50 {bare_p50:>9?}, hit p50 {hit_p50:>9?}: {:.2}; GET {:>6.0}/s, hit {:>6.0}/s: {:.2}",
        hit_p50.as_secs_f64() / bare_p50.as_secs_f64(),
        rate(bare_time),
        rate(hit_time),
        hit_time.as_secs_f64() / bare_time.as_secs_f64(),
    );
}

fn hit(
    auth: &Authenticator,
    keys: &Arc<[String]>,
) -> impl Fn(usize) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync + Clone + 'static
{
    let (auth, keys) = (auth.clone(), Arc::clone(keys));
    move |number| {
        let (auth, keys) = (auth.clone(), Arc::clone(&keys));
        Box::pin(async move {
            let key = keys.get(number).expect("a key");
            auth.verify(key, &facts()).await.expect("an answer").expect("admitted");
        })
    }
}

async fn one_by_one<B: Future<Output = ()>>(call: &impl Fn(usize) -> B) -> Vec<Duration> {
    let clock = SystemClock::new();
    let mut times = Vec::new();
    for number in 0..KEYS {
        let began = clock.uptime();
        call(number).await;
        times.push(clock.uptime() - began);
    }
    times
}

async fn many_at_once<F, B>(call: F) -> Duration
where
    F: Fn(usize) -> B + Send + Sync + Clone + 'static,
    B: Future<Output = ()> + Send,
{
    let clock = SystemClock::new();
    let began = clock.uptime();
    let mut calling = Vec::new();
    for first in 0..AT_ONCE {
        let call = call.clone();
        calling.push(tokio::spawn(async move {
            for number in (first..KEYS).step_by(AT_ONCE) {
                call(number).await;
            }
        }));
    }
    for called in calling {
        called.await.expect("no panic");
    }
    clock.uptime() - began
}
