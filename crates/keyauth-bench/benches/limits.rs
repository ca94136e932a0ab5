//! What a decision over limits costs: 1, 4 and 16 of them, in one process and in Redis, on one
//! key and on many, by two threads; beside governor by hand, of which there is one for each limit,
//! asked one after the other.
//!
//! It needs Docker or a `redis-server`, which it starts and ends.

#![expect(clippy::expect_used, clippy::print_stdout, reason = "a program that prints figures")]

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use keyauth_core::{
    Clock, Limit, LimitDecision, Limited, LimitedCall, Limiter, SystemClock, TryAcquire,
};
use keyauth_ratelimit::{FleetLimiter, LocalLimiter};
use keyauth_redis::{Redis, RedisLimits, deadpool_redis};
use keyauth_testkit::RedisServers;
use keyauth_testkit::conformance::limiter::limited_key;

const THREADS: usize = 2;
const ROUNDS: usize = 5;
const PLENTY: u64 = 4_000_000_000;

#[tokio::main]
async fn main() {
    println!("one decision, by {THREADS} threads at once; median of {ROUNDS} rounds");
    for keys in [1, 10_000] {
        for limits in [1, 4, 16] {
            in_one_process(keys, limits);
        }
    }
    tokio::spawn(in_redis()).await.expect("no panic");
}

/// Rolling and smooth in turn.
fn limits(count: usize) -> impl Iterator<Item = Limit> {
    (0..count).map(|number| {
        let limit = if number % 2 == 0 {
            Limit::per_hour(PLENTY)
        } else {
            Limit::smooth(PLENTY, Duration::from_secs(3_600), PLENTY)
        };
        limit.named(format!("limit-{number}"))
    })
}

fn keys(count: usize, of_limits: usize) -> Vec<Limited> {
    (0..count).map(|_| limited_key(limits(of_limits))).collect()
}

fn in_one_process(count: usize, of_limits: usize) {
    let all = keys(count, of_limits);
    let limiter = LocalLimiter::new();
    let ours = |number: usize| {
        let limited = all.get(number % all.len()).expect("a key");
        let decision = limiter.try_acquire(&LimitedCall { limited, cost: 1, report: false });
        assert!(matches!(decision, TryAcquire::Decided(LimitDecision::Within(_))));
    };
    let most = NonZeroU32::MAX;
    let governors: Vec<DefaultKeyedRateLimiter<u64>> = (0..of_limits)
        .map(|_| RateLimiter::keyed(Quota::per_hour(most).allow_burst(most)))
        .collect();
    let by_hand = |number: usize| {
        let key = u64::try_from(number % count).expect("a key");
        assert!(governors.iter().all(|governor| governor.check_key(&key).is_ok()));
    };
    let (mut our_times, mut their_times) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        our_times.push(by_threads(&ours));
        their_times.push(by_threads(&by_hand));
    }
    let [ours, theirs] = [median(our_times), median(their_times)];
    println!(
        "{count:>6} keys, {of_limits:>2} limits: in one process {ours:>9?}, governor by hand \
         {theirs:>9?}: {:.2}",
        ours.as_secs_f64() / theirs.as_secs_f64()
    );
}

/// The time of one call, of many by each thread.
fn by_threads(call: &(impl Fn(usize) + Sync)) -> Duration {
    const CALLS: usize = 200_000;
    let clock = SystemClock::new();
    let began = clock.uptime();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            scope.spawn(move || (0..CALLS).for_each(|number| call(number * THREADS + thread)));
        }
    });
    (clock.uptime() - began) / u32::try_from(CALLS).expect("a count")
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    *times.get(times.len() / 2).expect("times")
}

/// One after the other, beside the same round trip for nothing.
async fn in_redis() {
    const CALLS: usize = 2_000;
    let servers = RedisServers::start().await;
    let pool = deadpool_redis::Config::from_url(servers.urls().remove(0));
    let pool = pool.create_pool(Some(deadpool_redis::Runtime::Tokio1)).expect("a pool");
    let connection = pool.get().await.expect("a connection");
    let connection = deadpool_redis::Connection::take(connection);
    let redis = Redis::from(pool).with_timeout(Duration::from_secs(1));
    let limiter = Arc::new(FleetLimiter::new(RedisLimits::new(&redis)));
    let clock = SystemClock::new();
    for of_limits in [1, 4, 16] {
        let limited = keys(1, of_limits).remove(0);
        let (mut bare, mut shared) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            for _ in 0..CALLS / ROUNDS {
                let began = clock.uptime();
                let mut get = deadpool_redis::redis::Cmd::new();
                get.arg("GET").arg("nothing");
                let nothing: Option<String> =
                    get.query_async(&mut connection.clone()).await.expect("an answer");
                assert!(nothing.is_none());
                bare.push(clock.uptime() - began);
                let began = clock.uptime();
                let call = LimitedCall { limited: &limited, cost: 1, report: false };
                let decision = limiter.acquire(call.to_owned()).await.expect("an answer");
                assert!(matches!(decision, LimitDecision::Within(_)));
                shared.push(clock.uptime() - began);
            }
        }
        let [bare, shared] = [median(bare), median(shared)];
        println!(
            "     1 key,  {of_limits:>2} limits: in Redis       {shared:>9?}, a bare GET     \
             {bare:>9?}: {:.2}",
            shared.as_secs_f64() / bare.as_secs_f64()
        );
    }
}
