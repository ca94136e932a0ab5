//! What instances take ahead of limits: that they ask seldom, and hold nothing for long.

use std::time::Duration;

use keyauth_core::{
    Background, Counted, Limit, LimitDecision, LimitWindow, Limited, LimitedCall, Limiter,
    TryAcquire,
};
use keyauth_ratelimit::FleetLimiter;
use keyauth_redis::RedisLimits;
use keyauth_testkit::RedisServers;
use keyauth_testkit::conformance::limiter::{decide, limited_key};
use tokio::time::{sleep, timeout};

use crate::world::{PATIENT, deadpool, leased};

const PATIENCE: Duration = Duration::from_secs(20);

type Limits = FleetLimiter<RedisLimits>;

/// Whether a call passes without asking anybody.
fn passes_at_once(limiter: &Limits, limited: &Limited) -> bool {
    let call = LimitedCall { limited, cost: 1, report: true };
    matches!(limiter.try_acquire(&call), TryAcquire::Decided(LimitDecision::Within(_)))
}

async fn passes(limiter: &Limits, limited: &Limited) -> bool {
    matches!(decide(limiter, limited, 1).await, LimitDecision::Within(_))
}

async fn used(limiter: &Limits, limited: &Limited) -> Vec<u64> {
    let states = limiter.usage(limited.clone()).await.expect("an answer");
    states.iter().map(|state| state.used).collect()
}

/// Makes calls until one passes at once, and says how many passed.
async fn warm(limiter: &Limits, limited: &Limited) -> u64 {
    let mut passed = 0;
    let warming = async {
        while !passes_at_once(limiter, limited) {
            passed += u64::from(passes(limiter, limited).await);
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(PATIENCE, warming).await.expect("something is taken ahead");
    passed + 1
}

async fn instances(servers: &RedisServers, count: usize) -> Vec<(Limits, Background)> {
    let url = servers.urls().remove(0);
    let redis = || deadpool(&url).with_timeout(PATIENT);
    // Those that beat first have counted fewer, until they beat again.
    let known = u64::try_from(count).expect("a count");
    let fleet: Vec<_> = (0..count).map(|_| leased(&redis(), known)).collect();
    let counted = async {
        while servers.ask(0, &["ZCARD", "keyauth:instances"]) != count.to_string() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, counted).await.expect("all of them");
    fleet
}

/// How many scripts it has run.
fn scripts(servers: &RedisServers) -> u64 {
    let stats = servers.ask(0, &["INFO", "commandstats"]);
    let line = stats.lines().find_map(|line| line.strip_prefix("cmdstat_evalsha:calls="));
    line.and_then(|line| line.split(',').next()?.parse().ok()).expect("how many")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn most_calls_ask_nobody_and_all_are_counted() {
    let servers = RedisServers::start().await;
    let (limiter, background) = instances(&servers, 1).await.remove(0);
    let limited = limited_key([
        Limit::per_hour(20_000),
        Limit::per_day(20_000),
        Limit::new("ten", 20_000, LimitWindow::Rolling(Duration::from_secs(10))),
    ]);
    let before = scripts(&servers);
    for _ in 0..2_000 {
        assert!(passes(&limiter, &limited).await);
    }
    let asked = scripts(&servers) - before;
    assert!(asked < 500, "{asked} scripts for 2000 calls");
    background.shutdown().await;
    assert_eq!(used(&limiter, &limited).await, [2_000; 3], "what was left is given back");
    assert!(!passes_at_once(&limiter, &limited), "nothing is taken any more");
    assert!(passes(&limiter, &limited).await);
    let _background = limiter.start();
    warm(&limiter, &limited).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_uses_is_given_back() {
    let servers = RedisServers::start().await;
    let (limiter, _background) = instances(&servers, 1).await.remove(0);
    let window = LimitWindow::Rolling(Duration::from_secs(10));
    let limited = limited_key([Limit::new("ten", 1_000, window)]);
    let passed = warm(&limiter, &limited).await;
    let given_back = async {
        while used(&limiter, &limited).await != [passed] {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, given_back).await.expect("given back");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn instances_hold_a_tenth_at_most_and_use_all_there_is() {
    let servers = RedisServers::start().await;
    let fleet = instances(&servers, 3).await;
    let limited = limited_key([Limit::per_hour(600)]);
    // Two that have much to do, one of which stops then.
    let mut passed = 0;
    for (limiter, _) in fleet.iter().take(2) {
        for _ in 0..100 {
            passed += u64::from(passes(limiter, &limited).await);
        }
    }
    let counted = used(&fleet[2].0, &limited).await[0];
    assert!(counted <= passed + 60, "{counted} are counted where {passed} passed");
    // The third may use what they do not hold, at once.
    let mut refused = 0;
    while refused < 20 {
        let within = passes(&fleet[2].0, &limited).await;
        (passed, refused) = (passed + u64::from(within), refused + u64::from(!within));
    }
    assert!((540..=600).contains(&passed), "{passed}");
    // And all when they have given that back.
    let all = async {
        while passed < 600 {
            passed += u64::from(passes(&fleet[2].0, &limited).await);
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, all).await.expect("what was given back");
    for (limiter, _) in &fleet {
        assert!(!passes(limiter, &limited).await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_held_when_redis_is_away_is_given_back_when_it_answers() {
    let servers = RedisServers::start().await;
    let (limiter, _background) = instances(&servers, 1).await.remove(0);
    // It is not over before the day is.
    let limited = limited_key([Limit::per_day(10_000)]);
    let mut passed = warm(&limiter, &limited).await;
    for stays_away in [false, true] {
        // Sent, and answered too late; or not sent at all for long.
        servers.signal(0, "STOP");
        let away = async {
            while passes_at_once(&limiter, &limited) {
                passed += 1;
                sleep(Duration::from_millis(100)).await;
            }
        };
        timeout(PATIENCE, away).await.expect("what is here is good for 5 s");
        if stays_away {
            sleep(Duration::from_secs(2)).await;
        }
        servers.signal(0, "CONT");
        let given_back = async {
            loop {
                let states = limiter.usage(limited.clone()).await;
                if states.is_ok_and(|states| states[0].used == passed) {
                    break;
                }
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(PATIENCE, given_back).await.expect("given back, once");
        passed += warm(&limiter, &limited).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_or_a_reset_is_not_decided_by_what_was_taken_before() {
    let servers = RedisServers::start().await;
    let (limiter, _background) = instances(&servers, 1).await.remove(0);
    let limited = limited_key([Limit::per_hour(10_000)]);
    let mut passed = 0;
    while passed < 200 {
        passed += u64::from(passes(&limiter, &limited).await);
    }
    passed += warm(&limiter, &limited).await;
    let with_count = |count| {
        let Limited::Key(record) = &limited else { panic!("it is a key") };
        let mut record = (**record).clone();
        record.limits[0].limit = Limit::per_hour(count);
        Limited::Key(record.into())
    };
    // The limit is lowered: nothing of what is here is used.
    assert!(!passes(&limiter, &with_count(0)).await);
    // More is counted than that, until what is here is given back.
    let holding = async {
        while used(&limiter, &limited).await[0] <= passed + 10 {
            passed += u64::from(passes(&limiter, &limited).await);
        }
        passed
    };
    let passed = timeout(PATIENCE, holding).await.expect("it holds something");
    let lower = with_count(passed + 10);
    let all = async {
        for _ in 0..10 {
            while !passes(&limiter, &lower).await {
                sleep(Duration::from_millis(5)).await;
            }
        }
    };
    timeout(PATIENCE, all).await.expect("what was held is given back");
    assert!(!passes(&limiter, &lower).await);
    let lower = with_count(1_000);
    warm(&limiter, &lower).await;
    limiter.reset(&limited.subject(Counted::Key).expect("a key")).await.expect("reset");
    assert!(!passes_at_once(&limiter, &lower), "by a count that was reset");
    assert!(passes(&limiter, &lower).await);
    warm(&limiter, &lower).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_begins_while_another_one_leaves_goes_on() {
    let servers = RedisServers::start().await;
    let (limiter, mut background) = instances(&servers, 1).await.remove(0);
    let limited = limited_key([Limit::per_day(10_000)]);
    let mut passed = 0;
    for _ in 0..5 {
        passed += warm(&limiter, &limited).await;
        let leaving = tokio::spawn(background.shutdown());
        background = limiter.start();
        leaving.await.expect("no panic");
    }
    passed += warm(&limiter, &limited).await;
    // One that nobody keeps an eye on ends nothing.
    drop(limiter.start());
    background.shutdown().await;
    let last = limiter.start();
    passed += warm(&limiter, &limited).await;
    last.shutdown().await;
    let all = async {
        while used(&limiter, &limited).await != [passed] {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, all).await.expect("all is given back");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_would_not_be_used_is_not_taken() {
    let servers = RedisServers::start().await;
    let (limiter, _background) = instances(&servers, 1).await.remove(0);
    // The second one is too small for anything to be taken ahead of it.
    let limited = limited_key([Limit::per_hour(10_000), Limit::per_day(39)]);
    for _ in 0..39 {
        assert!(passes(&limiter, &limited).await && !passes_at_once(&limiter, &limited));
    }
    assert_eq!(used(&limiter, &limited).await, [39; 2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_leased_limit_refuses_is_counted_by_none() {
    // L2
    let servers = RedisServers::start().await;
    let (limiter, background) = instances(&servers, 1).await.remove(0);
    let limited = limited_key([Limit::per_hour(10_000), Limit::per_day(100)]);
    let mut passed = 0;
    for _ in 0..500 {
        passed += u64::from(passes(&limiter, &limited).await);
    }
    background.shutdown().await;
    assert!(passed >= 90);
    assert_eq!(used(&limiter, &limited).await, [passed; 2]);
    while passes(&limiter, &limited).await {
        passed += 1;
    }
    assert_eq!(passed, 100);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_with_one_count_keeps_no_other_from_being_leased() {
    let servers = RedisServers::start().await;
    let (limiter, background) = instances(&servers, 1).await.remove(0);
    let limited = limited_key([Limit::per_hour(10_000)]);
    let wrong = limited_key([Limit::per_hour(10_000)]);
    warm(&limiter, &wrong).await;
    let Limited::Key(record) = &wrong else { panic!("it is a key") };
    let name = servers.ask(0, &["KEYS", &format!("*:key:{}", record.key.id)]);
    // Somebody else's, under our name.
    assert_eq!(servers.ask(0, &["SET", &name, "mine"]), "OK");
    for _ in 0..20 {
        warm(&limiter, &limited).await;
        let call = LimitedCall { limited: &wrong, cost: 1, report: false };
        if let TryAcquire::Ask = limiter.try_acquire(&call) {
            limiter.acquire(call.to_owned()).await.expect_err("no answer");
        }
        sleep(Duration::from_millis(100)).await;
    }
    background.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_taken_ahead_is_asked_for() {
    let servers = RedisServers::start().await;
    let (limiter, _background) = instances(&servers, 1).await.remove(0);
    let hour = Duration::from_hours(1);
    let short = Limit::new("short", 10_000, LimitWindow::Rolling(Duration::from_millis(9_999)));
    for limit in [short, Limit::smooth(9_999, hour, 9_999), Limit::at_once(99_999)] {
        let limited = limited_key([limit, Limit::per_hour(10_000)]);
        for _ in 0..50 {
            assert!(!passes_at_once(&limiter, &limited));
            assert!(passes(&limiter, &limited).await);
        }
        assert_eq!(used(&limiter, &limited).await[1], 50);
    }
}
