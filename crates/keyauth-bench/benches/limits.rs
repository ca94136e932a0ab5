//! What a decision over limits costs: 1, 4 and 16 of them, on one key and on many, by two threads
//! at once; in one process, from leases, and in Redis. Beside governor by hand, of which there is
//! one for each limit, asked one after the other, and `tower_governor`, of which there is one layer
//! for each.
//!
//! It needs Docker or a `redis-server`, which it starts and ends.

#![expect(clippy::expect_used, clippy::print_stdout, reason = "a program that prints figures")]

use std::convert::Infallible;
use std::fmt::Display;
use std::num::NonZeroU32;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use axum::body::Body;
use governor::clock::QuantaInstant;
use governor::middleware::NoOpMiddleware;
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use http::{Request, Response};
use keyauth_core::{
    Clock, Limit, LimitDecision, Limited, LimitedCall, Limiter, SystemClock, TryAcquire,
};
use keyauth_ratelimit::{FleetLimiter, LocalLimiter};
use keyauth_redis::{Redis, RedisLimits, deadpool_redis};
use keyauth_testkit::RedisServers;
use keyauth_testkit::conformance::limiter::limited_key;
use keyauth_tower::RateLimitLayer;
use tokio::runtime::Handle;
use tower::service_fn;
use tower_governor::GovernorError;
use tower_governor::governor::GovernorConfigBuilder;
use tower_governor::key_extractor::KeyExtractor;
use tower_governor::{GovernorLayer, governor::GovernorConfig};
use tower_layer::Layer;
use tower_service::Service;

const THREADS: usize = 2;
const ROUNDS: usize = 5;
/// By each thread in a round.
const CALLS: usize = 200_000;
const PLENTY: u64 = 4_000_000_000;

#[tokio::main]
async fn main() {
    println!("one decision, by {THREADS} threads at once; median of {ROUNDS} rounds");
    let runtime = Handle::current();
    let all = move || {
        for count in [1, 10_000] {
            for limits in [1, 4, 16] {
                in_one_process(count, limits);
            }
            smooth_alone(count);
        }
        as_layers();
        runtime.block_on(in_redis());
    };
    tokio::task::spawn_blocking(all).await.expect("no panic");
}

/// Rolling, and one of another kind, in turn.
fn limits(count: usize, other: fn() -> Limit) -> impl Iterator<Item = Limit> {
    (0..count).map(move |number| {
        let limit = if number % 2 == 0 { Limit::per_hour(PLENTY) } else { other() };
        limit.named(format!("limit-{number}"))
    })
}

fn smooth() -> Limit {
    Limit::smooth(PLENTY, Duration::from_secs(3_600), PLENTY)
}

fn keys(count: usize, of_limits: usize, other: fn() -> Limit) -> Vec<Limited> {
    (0..count).map(|_| limited_key(limits(of_limits, other))).collect()
}

fn governors(count: usize) -> Vec<DefaultKeyedRateLimiter<u64>> {
    let quota = Quota::per_hour(NonZeroU32::MAX).allow_burst(NonZeroU32::MAX);
    (0..count).map(|_| RateLimiter::keyed(quota)).collect()
}

fn in_one_process(count: usize, of_limits: usize) {
    let all = keys(count, of_limits, smooth);
    let limiter = LocalLimiter::new();
    let ours = |number: usize| {
        let limited = all.get(number % all.len()).expect("a key");
        let decision = limiter.try_acquire(&LimitedCall { limited, cost: 1, report: false });
        assert!(matches!(decision, TryAcquire::Decided(LimitDecision::Within(_))));
    };
    let governors = governors(of_limits);
    let by_hand = |number: usize| {
        let key = u64::try_from(number % count).expect("a key");
        assert!(governors.iter().all(|governor| governor.check_key(&key).is_ok()));
    };
    let [ours, theirs] = in_turn([&|| by_threads(&ours), &|| by_threads(&by_hand)]);
    told(
        format_args!("{count:>6} keys, {of_limits:>2} limits, in one process"),
        ours,
        "governor",
        theirs,
    );
}

/// One smooth limit, beside the least that could be: a word for each key, without a lock.
fn smooth_alone(count: usize) {
    let all: Vec<_> = (0..count).map(|_| limited_key([smooth()])).collect();
    let limiter = LocalLimiter::new();
    let ours = |number: usize| {
        let limited = all.get(number % all.len()).expect("a key");
        let decision = limiter.try_acquire(&LimitedCall { limited, cost: 1, report: false });
        assert!(matches!(decision, TryAcquire::Decided(LimitDecision::Within(_))));
    };
    let words: papaya::HashMap<usize, AtomicU64> =
        (0..count).map(|key| (key, AtomicU64::new(0))).collect();
    let clock = SystemClock::new();
    let by_word = |number: usize| {
        let words = words.pin();
        let now = u64::try_from(clock.uptime().as_nanos()).expect("a time");
        let next = |arrived: u64| {
            let after = arrived.max(now) + 1;
            (after - now < 3_600_000_000_000).then_some(after)
        };
        let word = words.get(&(number % count)).expect("a key");
        let passed = word.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
        assert!(passed.is_ok());
    };
    let [ours, word] = in_turn([&|| by_threads(&ours), &|| by_threads(&by_word)]);
    told(format_args!("{count:>6} keys, smooth alone, in one process"), ours, "a word", word);
}

/// As layers, which find the client in a header.
fn as_layers() {
    let ours = |of_limits| {
        RateLimitLayer::new(LocalLimiter::new(), limits(of_limits, smooth)).by(|head| {
            let client = head.headers.get("client")?.to_str().ok()?;
            Some(client.to_owned())
        })
    };
    let echo =
        service_fn(async |_: Request<String>| Ok::<_, Infallible>(Response::new(Body::empty())));
    macro_rules! compare {
        ($limits:literal, $governed:expr) => {
            let (ours, theirs) = (ours($limits).layer(echo), $governed);
            let [ours, theirs] = in_turn([&|| by_threads(&|at| call(&ours, at)), &|| {
                by_threads(&|at| call(&theirs, at))
            }]);
            told(
                format_args!("  1000 keys, {:>2} limits, as a layer", $limits),
                ours,
                "tower_governor",
                theirs,
            );
        };
    }
    compare!(1, governed().layer(echo));
    compare!(4, four(echo));
    compare!(16, four(four(four(four(echo)))));
}

/// Four layers around a service.
fn four<S>(
    inner: S,
) -> impl Service<Request<String>, Response = Response<Body>, Error = Infallible> + Clone
where
    S: Service<Request<String>, Response = Response<Body>, Error = Infallible> + Clone,
{
    governed().layer(governed().layer(governed().layer(governed().layer(inner))))
}

/// Where `tower_governor` finds the client.
#[derive(Clone)]
struct InHeader;

impl KeyExtractor for InHeader {
    type Key = String;

    fn extract<T>(&self, request: &Request<T>) -> Result<String, GovernorError> {
        let client = request.headers().get("client").and_then(|value| value.to_str().ok());
        client.map(str::to_owned).ok_or(GovernorError::UnableToExtractKey)
    }
}

fn governed() -> GovernorLayer<InHeader, NoOpMiddleware<QuantaInstant>, Body> {
    let mut config = GovernorConfigBuilder::default().key_extractor(InHeader);
    let config: Option<GovernorConfig<_, _>> =
        config.period(Duration::from_nanos(1)).burst_size(u32::MAX).finish();
    GovernorLayer::new(config.expect("a quota"))
}

/// One request, which needs no waiting.
fn call<S>(service: &S, number: usize)
where
    S: Service<Request<String>> + Clone,
{
    let request = Request::builder().header("client", format!("client-{}", number % 1_000));
    let request = request.body(String::new()).expect("a request");
    let mut context = Context::from_waker(Waker::noop());
    let mut service = service.clone();
    assert!(matches!(service.poll_ready(&mut context), Poll::Ready(Ok(()))));
    assert!(matches!(pin!(service.call(request)).poll(&mut context), Poll::Ready(Ok(_))));
}

async fn in_redis() {
    let servers = RedisServers::start().await;
    let pool = deadpool_redis::Config::from_url(servers.urls().remove(0));
    let pool = pool.create_pool(Some(deadpool_redis::Runtime::Tokio1)).expect("a pool");
    let redis = Redis::from(pool.clone()).with_timeout(Duration::from_secs(1));
    let runtime = Handle::current();
    tokio::task::spawn_blocking(move || {
        for count in [1, 100] {
            for of_limits in [1, 4, 16] {
                leased(&runtime, &redis, count, of_limits);
            }
        }
        for of_limits in [1, 4, 16] {
            shared(&runtime, &redis, &pool, of_limits);
        }
    })
    .await
    .expect("no panic");
}

/// From what was taken ahead, most of it.
fn leased(runtime: &Handle, redis: &Redis, count: usize, of_limits: usize) {
    let all = keys(count, of_limits, || Limit::per_day(PLENTY));
    let limiter = FleetLimiter::new(RedisLimits::new(redis)).leased();
    let _entered = runtime.enter();
    let background = limiter.start();
    let asked = AtomicUsize::new(0);
    let ours = |number: usize| {
        let limited = all.get(number % all.len()).expect("a key");
        let call = LimitedCall { limited, cost: 1, report: false };
        let decision = match limiter.try_acquire(&call) {
            TryAcquire::Decided(decision) => decision,
            _ => {
                asked.fetch_add(1, Ordering::Relaxed);
                runtime.block_on(limiter.acquire(call.to_owned())).expect("an answer")
            }
        };
        assert!(matches!(decision, LimitDecision::Within(_)));
    };
    let governors = governors(of_limits);
    let by_hand = |number: usize| {
        let key = u64::try_from(number % count).expect("a key");
        assert!(governors.iter().all(|governor| governor.check_key(&key).is_ok()));
    };
    // Once for what is used to be known.
    by_threads(&ours);
    asked.store(0, Ordering::Relaxed);
    let [ours, theirs] = in_turn([&|| by_threads(&ours), &|| by_threads(&by_hand)]);
    let asked = asked.into_inner();
    let calls = THREADS * ROUNDS * CALLS;
    told(
        format_args!("{count:>6} keys, {of_limits:>2} limits, leased ({asked} of {calls} asked)"),
        ours,
        "governor",
        theirs,
    );
    runtime.block_on(background.shutdown());
}

/// By two at once, each one call after the other, beside the same round trip for nothing.
fn shared(runtime: &Handle, redis: &Redis, pool: &deadpool_redis::Pool, of_limits: usize) {
    const CALLS: usize = 400;
    let limiter = FleetLimiter::new(RedisLimits::new(redis));
    let limited = keys(1, of_limits, smooth).remove(0);
    let clock = SystemClock::new();
    let by_two = |one: &(dyn Fn() + Sync)| {
        let began = clock.uptime();
        std::thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| (0..CALLS).for_each(|_| one()));
            }
        });
        (clock.uptime() - began) / u32::try_from(CALLS).expect("a count")
    };
    let decide = || {
        let call = LimitedCall { limited: &limited, cost: 1, report: false };
        let decision = runtime.block_on(limiter.acquire(call.to_owned())).expect("an answer");
        assert!(matches!(decision, LimitDecision::Within(_)));
    };
    let get = || {
        let nothing: Option<String> = runtime.block_on(async {
            let mut connection = pool.get().await.expect("a connection");
            let mut get = deadpool_redis::redis::Cmd::new();
            get.arg("GET").arg("nothing");
            get.query_async(&mut connection).await.expect("an answer")
        });
        assert!(nothing.is_none());
    };
    let [ours, bare] = in_turn([&|| by_two(&decide), &|| by_two(&get)]);
    told(format_args!("     1 key,  {of_limits:>2} limits, in Redis"), ours, "a bare GET", bare);
}

/// The time of one call, of many by each thread.
fn by_threads(call: &(impl Fn(usize) + Sync)) -> Duration {
    let clock = SystemClock::new();
    let began = clock.uptime();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            scope.spawn(move || (0..CALLS).for_each(|number| call(number * THREADS + thread)));
        }
    });
    (clock.uptime() - began) / u32::try_from(CALLS).expect("a count")
}

/// The median of each, taken in turn, so that what else the machine does meets both.
fn in_turn(what: [&dyn Fn() -> Duration; 2]) -> [Duration; 2] {
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        for (what, times) in what.iter().zip(&mut times) {
            times.push(what());
        }
    }
    times.map(|mut times| {
        times.sort();
        *times.get(times.len() / 2).expect("times")
    })
}

fn told(what: impl Display, ours: Duration, other: &str, theirs: Duration) {
    let ratio = ours.as_secs_f64() / theirs.as_secs_f64();
    println!("{what}: {ours:?}, {other} {theirs:?}: {ratio:.2}");
}
