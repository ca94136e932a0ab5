//! Limits that a fleet counts in Redis: days that are lost (L12), places, and instances.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use keyauth_core::{
    Counted, Limit, LimitDecision, LimitUnit, Limited, LimitedCall, LimitedSubject, Limiter,
    LookupError, Period, SharedLimits, SharedPlace, SharedQuestion, TryAcquire, UsageSums,
};
use keyauth_ratelimit::{FleetLimiter, WhenAway};
use keyauth_redis::{Redis, RedisLimits};
use keyauth_testkit::RedisServers;
use keyauth_testkit::conformance::limiter::{decide, limited_key};
use tokio::time::{sleep, timeout};

use crate::world::{PATIENT, deadpool, fleet, fred, leased};

const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) async fn both(servers: &RedisServers) -> [(&'static str, Redis); 2] {
    let url = servers.urls().remove(0);
    [("deadpool", deadpool(&url)), ("fred", Redis::from(fred(&url).await))]
}

/// What a limiter says: yes, no, or nothing.
pub(crate) async fn ask(limiter: &FleetLimiter<RedisLimits>, limited: &Limited) -> Option<bool> {
    let call = LimitedCall { limited, cost: 1, report: false };
    let decision = match limiter.try_acquire(&call) {
        TryAcquire::Decided(decision) => decision,
        _ => limiter.acquire(call.to_owned()).await.ok()?,
    };
    Some(matches!(decision, LimitDecision::Within(_)))
}

pub(crate) async fn passing(
    limiter: &FleetLimiter<RedisLimits>,
    limited: &Limited,
    calls: usize,
) -> usize {
    let mut passing = 0;
    for _ in 0..calls {
        passing += usize::from(ask(limiter, limited).await == Some(true));
    }
    passing
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scripts_that_are_forgotten_are_sent_again_and_count_on() {
    let servers = RedisServers::start().await;
    for (client, redis) in both(&servers).await {
        let limiter = FleetLimiter::new(RedisLimits::new(&redis.with_timeout(PATIENT)));
        let limiter = limiter.when_away(WhenAway::Closed);
        let limited = limited_key([Limit::per_hour(5), Limit::at_once(100)]);
        let mut kept = Vec::new();
        for _ in 0..5 {
            assert_eq!(servers.ask(0, &["SCRIPT", "FLUSH"]), "OK");
            match decide(&limiter, &limited, 1).await {
                LimitDecision::Within(within) => kept.push(within),
                LimitDecision::Exceeded(exceeded) => panic!("{client}: {exceeded:?}"),
            }
        }
        assert_eq!(ask(&limiter, &limited).await, Some(false), "{client}");
    }
}

/// What was recorded, which a test says.
#[derive(Clone, Debug, Default)]
struct Recorded(Arc<AtomicUsize>);

impl UsageSums for Recorded {
    async fn used(&self, _: &LimitedSubject, _: LimitUnit, _: Period) -> Result<u64, LookupError> {
        match self.0.load(Ordering::Relaxed) {
            usize::MAX => Err(LookupError::unavailable("the database is away")),
            used => Ok(used.try_into().expect("a count")),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn losing_redis_reopens_no_day_and_no_month() {
    // L12
    let servers = RedisServers::start().await;
    for (client, redis) in both(&servers).await {
        let recorded = Recorded::default();
        let limiter = FleetLimiter::new(RedisLimits::new(&redis.with_timeout(PATIENT)))
            .with_usage_sums(recorded.clone());
        for limit in [Limit::per_day(5), Limit::per_month(5)] {
            recorded.0.store(0, Ordering::Relaxed);
            let limited = limited_key([limit]);
            assert_eq!(passing(&limiter, &limited, 3).await, 3, "{client}");
            recorded.0.store(3, Ordering::Relaxed);
            assert_eq!(servers.ask(0, &["FLUSHALL"]), "OK");
            assert_eq!(passing(&limiter, &limited, 9).await, 2, "{client}");
            assert_eq!(servers.ask(0, &["FLUSHALL"]), "OK");
            recorded.0.store(usize::MAX, Ordering::Relaxed);
            let call = LimitedCall { limited: &limited, cost: 1, report: false }.to_owned();
            limiter.acquire(call).await.expect_err("nobody knows what was used");
            limiter.usage(limited.clone()).await.expect_err("nobody knows what was used");
            // A refusal keeps what was asked for; and what is reset begins with nothing (L7).
            recorded.0.store(5, Ordering::Relaxed);
            assert_eq!(ask(&limiter, &limited).await, Some(false), "{client}");
            recorded.0.store(usize::MAX, Ordering::Relaxed);
            assert_eq!(ask(&limiter, &limited).await, Some(false), "{client}");
            limiter.reset(&limited.subject(Counted::Key).expect("a key")).await.expect("reset");
            assert_eq!(passing(&limiter, &limited, 9).await, 5, "{client}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_reset_anywhere_passes_everywhere() {
    // L7
    let servers = RedisServers::start().await;
    let url = servers.urls().remove(0);
    let redis = || deadpool(&url).with_timeout(PATIENT);
    let (plain, leasing) = (fleet(&redis()), leased(&redis(), 1));
    let other = RedisLimits::new(&redis());
    for limiter in [&plain.0, &leasing.0] {
        for limit in [Limit::per_hour(200), Limit::per_month(200)] {
            let limited = limited_key([limit]);
            let mut passed = 0;
            while ask(limiter, &limited).await == Some(true) {
                passed += 1;
            }
            assert!((180..=200).contains(&passed), "{passed}");
            other.reset(&limited.subject(Counted::Key).expect("a key")).await.expect("reset");
            assert_eq!(ask(limiter, &limited).await, Some(true));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn instances_are_counted_and_share_what_there_is() {
    let servers = RedisServers::start().await;
    let url = servers.urls().remove(0);
    let mut fleet = Vec::new();
    for _ in 0..4 {
        let redis = deadpool(&url).with_timeout(Duration::from_millis(300));
        let limiter = FleetLimiter::new(RedisLimits::new(&redis));
        let background = limiter.start();
        fleet.push((limiter, background));
    }
    let counted = async {
        while servers.ask(0, &["ZCARD", "keyauth:instances"]) != "4" {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, counted).await.expect("four");
    // Those that beat first have counted fewer, until they beat again.
    let (limiter, background) = fleet.pop().expect("the last one");
    background.shutdown().await;
    let background = limiter.start();
    let quarter = async {
        loop {
            sleep(Duration::from_millis(500)).await;
            servers.signal(0, "STOP");
            let limits = [Limit::per_hour(10), Limit::per_hour(3), Limit::per_hour(0)];
            let mut passed = Vec::new();
            for limit in limits {
                passed.push(passing(&limiter, &limited_key([limit]), 20).await);
            }
            servers.signal(0, "CONT");
            // A fourth of it, and at least one.
            if passed == [2, 1, 0] {
                break;
            }
        }
    };
    timeout(PATIENCE, quarter).await.expect("four are counted");
    background.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_places_of_a_process_that_died_come_back() {
    let servers = RedisServers::start().await;
    let redis = deadpool(&servers.urls().remove(0)).with_timeout(PATIENT);
    let limiter = FleetLimiter::new(RedisLimits::new(&redis)).when_away(WhenAway::Closed);
    let background = limiter.start();
    let limited = limited_key([Limit::at_once(1)]);
    let LimitDecision::Within(dead) = decide(&limiter, &limited, 1).await else { panic!("free") };
    // It never gives them back.
    std::mem::forget(dead);
    let names = servers.ask(0, &["KEYS", "*at_once*"]);
    let score = servers.ask(0, &["ZRANGE", &names, "0", "-1", "WITHSCORES"]);
    let ends: i64 = score.lines().last().and_then(|end| end.parse().ok()).expect("when");
    let seconds: i64 = servers.ask(0, &["TIME"]).lines().next().expect("now").parse().expect("it");
    assert!((25..=31).contains(&(ends / 1_000_000 - seconds)), "half a minute");
    assert_eq!(ask(&limiter, &limited).await, Some(false));
    let long_ago = servers.ask(0, &["ZADD", &names, "1", score.lines().next().expect("one")]);
    assert_eq!(long_ago, "0", "as if that had passed");
    assert_eq!(ask(&limiter, &limited).await, Some(true));
    background.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn places_that_nobody_waits_for_any_more_are_given_back() {
    let servers = RedisServers::start().await;
    for (client, redis) in both(&servers).await {
        let limiter = FleetLimiter::new(RedisLimits::new(&redis)).when_away(WhenAway::Closed);
        let background = limiter.start();
        let limited = limited_key([Limit::at_once(1)]);
        let free = async || {
            while ask(&limiter, &limited).await != Some(true) {
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(PATIENCE, free()).await.unwrap_or_else(|_| panic!("{client}: not free"));
        // The answer is late, and the server does as it was told when it goes on.
        servers.signal(0, "STOP");
        assert_eq!(ask(&limiter, &limited).await, None, "{client}");
        servers.signal(0, "CONT");
        timeout(PATIENCE, free()).await.unwrap_or_else(|_| panic!("{client}: not free"));
        // The caller goes away before there is one.
        for _ in 0..20 {
            let call = LimitedCall { limited: &limited, cost: 1, report: false }.to_owned();
            let asking = tokio::spawn({
                let limiter = limiter.clone();
                async move { limiter.acquire(call).await }
            });
            tokio::task::yield_now().await;
            asking.abort();
            let _ = asking.await;
        }
        timeout(PATIENCE, free()).await.unwrap_or_else(|_| panic!("{client}: not free"));
        background.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_with_one_place_keeps_no_other() {
    let servers = RedisServers::start().await;
    let redis = deadpool(&servers.urls().remove(0)).with_timeout(PATIENT);
    let limits = RedisLimits::new(&redis);
    let limited = limited_key([Limit::at_once(1), Limit::at_once(9).named("other")]);
    let places = SharedPlace::all_of(&limited, 7);
    let minute = Duration::from_secs(60);
    limits.keep(&places, minute).await.expect("those that were lost too");
    assert_eq!(limits.look(&question(&limited)).await.expect("an answer").states[0].used, 1);
    // Somebody else's, under our name.
    let first = servers.ask(0, &["KEYS", "*at_once:at_once"]);
    assert_eq!(servers.ask(0, &["SET", &first, "mine"]), "OK");
    limits.keep(&places, minute).await.expect_err("one of them");
    limits.give_back(&places).await.expect_err("one of them");
    let other = servers.ask(0, &["KEYS", "*at_once:other"]);
    assert_eq!(other, "", "the other one is given back");
}

fn question(limited: &Limited) -> SharedQuestion {
    let (limited, lease) = (limited.clone(), Duration::from_secs(30));
    SharedQuestion { limited, cost: 0, place: 0, lease, seeds: Vec::new() }
}
