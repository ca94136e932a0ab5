//! What the layer allocates where the record is at hand: the request's extension.
//!
//! A binary of its own, because whoever listens to the log of a process allocates too.

#![expect(clippy::expect_used, reason = "tests fail by panicking")]

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use keyauth_cache::CachedLookup;
use keyauth_core::{
    Authenticator, IssuedKey, KeyStore, Limit, MemoryStore, NewKey, Parsed, Peek, RequestFacts,
};
use keyauth_ratelimit::{FleetLimiter, LocalLimiter};
use keyauth_redis::deadpool_redis::{Config, Runtime};
use keyauth_redis::{Redis, RedisLimits};
use keyauth_testkit::{RedisServers, at_once};
use keyauth_tower::KeyAuthLayer;
use tower::Service;
use tower_layer::Layer;

#[tokio::test]
async fn a_known_key_costs_the_extension_and_nothing_else() {
    let (auth, key) = keyauth_testkit::authenticator(NewKey::named("valid").scope("a"));
    auth.verify(key.reveal(), &RequestFacts::new()).await.expect("an answer").expect("admitted");
    check(auth, &key, 0);
}

#[tokio::test]
async fn a_cached_key_costs_the_extension_and_nothing_else() {
    let store = MemoryStore::new();
    let key = store.issue(NewKey::named("valid").scope("a")).await.expect("a key");
    let (auth, background) = Authenticator::new(CachedLookup::new(store)).start();
    let Parsed::Key(text) = auth.parse(key.reveal().as_bytes()) else { unreachable!() };
    // Until the first poll has given a lease.
    while !matches!(auth.peek(text), Peek::Found(_)) {
        auth.find(text).await.expect("an answer");
    }
    check(auth, &key, 0);
    background.shutdown().await;
}

#[tokio::test]
async fn limits_of_one_process_cost_nothing_besides() {
    let second = Duration::from_secs(1);
    let new = NewKey::named("valid")
        .limit(Limit::per_minute(1_000_000))
        .limit(Limit::smooth(1_000_000, second, 1_000_000))
        .limit(Limit::per_day(1_000_000));
    let (auth, key) = keyauth_testkit::authenticator(new);
    let auth = auth.with_limiter(LocalLimiter::new());
    auth.verify(key.reveal(), &RequestFacts::new()).await.expect("an answer").expect("admitted");
    check(auth, &key, 0);
}

#[tokio::test]
async fn leased_limits_cost_nothing_besides() {
    let servers = RedisServers::start().await;
    let pool = Config::from_url(servers.urls().remove(0)).create_pool(Some(Runtime::Tokio1));
    let redis = Redis::from(pool.expect("a pool")).with_timeout(Duration::from_secs(1));
    let new =
        NewKey::named("valid").limit(Limit::per_hour(10_000_000)).limit(Limit::per_day(10_000_000));
    let (auth, key) = keyauth_testkit::authenticator(new);
    let limiter = FleetLimiter::new(RedisLimits::new(&redis)).with_instances(2).leased();
    let (auth, background) = auth.with_limiter(limiter).start();
    // As much is taken ahead as was used in a term: far more than what follows, also where one ends
    // in between and little is left.
    for _ in 0..60 * REQUESTS {
        let verified = auth.verify(key.reveal(), &RequestFacts::new()).await;
        verified.expect("an answer").expect("admitted");
        // Whoever takes ahead has this thread too.
        tokio::task::yield_now().await;
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    // Little is left then, once, and the keeper is told so.
    check_after(1, auth, &key, 2);
    background.shutdown().await;
}

const REQUESTS: u64 = 1_000;

/// One allocation a request, and no more than `besides` in all of them.
#[track_caller]
fn check(auth: Authenticator, key: &IssuedKey, besides: u64) {
    check_after(10, auth, key, besides);
}

/// The same, after so many times as many requests for what is set up at the first use.
#[track_caller]
fn check_after(times: u64, auth: Authenticator, key: &IssuedKey, besides: u64) {
    let bare = tower::service_fn(async |request: Request<()>| {
        drop(request);
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
    });
    let mut layered = KeyAuthLayer::new(auth).layer(bare);
    let mut bare = bare;
    let requests = || {
        let request = || {
            let mut request = Request::get("/").body(()).expect("a request");
            let bearer = format!("Bearer {}", key.reveal()).parse().expect("a value");
            request.headers_mut().insert("authorization", bearer);
            // The server's own extension, so that the map itself is not counted.
            request.extensions_mut().insert(0_u8);
            request
        };
        (0..REQUESTS).map(|_| request()).collect::<Vec<_>>()
    };
    // Callsites of the log, for one.
    for request in (0..times).flat_map(|_| requests()) {
        drop(at_once(layered.call(request)));
    }
    let (for_bare, for_layered) = (requests(), requests());
    let without = allocations(move || {
        for_bare.into_iter().for_each(|request| drop(at_once(bare.call(request))));
    });
    // By reference: that the service goes in the end is not the request's doing.
    let with = allocations(|| {
        for_layered.into_iter().for_each(|request| drop(at_once(layered.call(request))));
    });
    let found = (REQUESTS..=REQUESTS + besides).contains(&(with - without));
    assert!(found, "{with} with the layer, {without} without");
}

fn allocations(call: impl FnOnce()) -> u64 {
    allocation_counter::measure(call).count_total
}
