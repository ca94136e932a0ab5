//! Schedules made to exceed a limit, in simulated time: what was let through is looked at in
//! every window there is, and the bound is reached, so that it is the bound.

use std::sync::Arc;
use std::time::Duration;

use keyauth_core::{Clock, Limit, LimitCount, LimitDecision, LimitWindow};
use keyauth_ratelimit::LocalLimiter;
use keyauth_testkit::{FakeClock, Passed};
use proptest::prelude::*;

use crate::world::{decide, key};

/// What was let through, in nanoseconds.
type Log = Vec<Passed>;

fn most_in_any(log: &Log, length: u64) -> u64 {
    Passed::most_in_any(log, i64::try_from(length).expect("a time"))
}

/// Sends calls, each some time after the one before, and logs those that pass. What is refused
/// is tried again when it was told to, and must pass then.
fn run(limit: &Limit, calls: &[(u64, u64)]) -> Log {
    let clock = Arc::new(FakeClock::default());
    let limiter = LocalLimiter::with_clock(Arc::clone(&clock) as _);
    let limited = key([limit.clone()]);
    let (mut now, mut log) = (0, Log::new());
    let mut wait = |nanos: u64| {
        clock.advance(Duration::from_nanos(nanos));
        now += i64::try_from(nanos).expect("a time");
        now
    };
    for (pause, cost) in calls {
        let at = wait(*pause);
        match decide(&limiter, &limited, *cost) {
            LimitDecision::Within(_) => log.push(Passed::at(at, *cost)),
            LimitDecision::Exceeded(exceeded) => {
                let most = match (limit.window, limit.count) {
                    (LimitWindow::Smooth { burst, .. }, _) => burst,
                    (_, LimitCount::AtMost(count)) => count,
                    other => panic!("{other:?}"),
                };
                assert!(exceeded.retry_after > Duration::ZERO);
                if *cost <= most && pause % 3 == 0 {
                    let nanos = u64::try_from(exceeded.retry_after.as_nanos()).expect("a time");
                    let early = wait(nanos - 1);
                    if let LimitDecision::Within(_) = decide(&limiter, &limited, *cost) {
                        panic!("{:?} were too long: {early}", exceeded.retry_after);
                    }
                    let at = wait(1);
                    let retried = decide(&limiter, &limited, *cost);
                    assert!(matches!(retried, LimitDecision::Within(_)), "{exceeded:?}");
                    log.push(Passed::at(at, *cost));
                }
            }
        }
    }
    log
}

const SECOND: u64 = 1_000_000_000;

fn schedule() -> impl Strategy<Value = Vec<(u64, u64)>> {
    let pause = prop_oneof![
        Just(0),
        0..SECOND / 10,
        // The edges of parts and windows, and a moment before and after.
        (1..25_u64, -1..=1_i64)
            .prop_map(|(parts, off)| (SECOND / 20 * parts).saturating_add_signed(off)),
        0..3 * SECOND,
    ];
    prop::collection::vec((pause, 1..4_u64), 1..400)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_rolling_limit_holds_in_every_window(limit in 1..20_u64, calls in schedule()) {
        let window = LimitWindow::Rolling(Duration::from_secs(1));
        let log = run(&Limit::new("any", limit, window).of_cost(), &calls);
        prop_assert!(most_in_any(&log, SECOND) <= limit);
    }

    #[test]
    fn a_smooth_limit_holds_in_every_stretch(
        limit in 1..20_u64,
        burst in 1..10_u64,
        // Also so short that what is left of a division counts.
        period in prop_oneof![Just(SECOND), 1..100_u64],
        calls in schedule(),
    ) {
        let calls: Vec<_> =
            calls.iter().map(|(pause, cost)| (pause * period / SECOND, *cost)).collect();
        let limit_of = Limit::smooth(limit, Duration::from_nanos(period), burst).of_cost();
        let log = run(&limit_of, &calls);
        for length in [1, period.div_ceil(7), period, 5 * period, 50 * period] {
            let bound = burst + length * limit / period;
            prop_assert!(most_in_any(&log, length) <= bound, "in {length} ns");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_day_holds_whatever_the_schedule(limit in 1..20_u64, calls in schedule()) {
        // Days of a zone without changes of its clocks are as long as those of UTC.
        const DAY: u64 = 86_400 * SECOND;
        // In whole microseconds, and none that has the call tried again.
        let hours = |pause: u64| pause / 1_000 * 20_000 * 3_000 + 1_000;
        let calls: Vec<_> = calls.iter().map(|(pause, cost)| (hours(*pause), *cost)).collect();
        let clock = FakeClock::default();
        let first = u64::try_from(clock.now().as_micros()).expect("a time") * 1_000 % DAY;
        let log = run(&Limit::per_day(limit).of_cost(), &calls);
        let most = Passed::most_in_each(&log, i64::try_from(DAY).expect("a time"), i64::try_from(first).expect("a time"));
        prop_assert!(most <= limit);
    }

    #[test]
    fn places_at_once_hold_at_every_moment(
        limit in 0..6_usize,
        // Take one, or give back that of a number.
        steps in prop::collection::vec(proptest::option::of(0..8_usize), 1..400),
    ) {
        let limiter = LocalLimiter::new();
        let limited = key([Limit::at_once(u64::try_from(limit).expect("a count"))]);
        let mut held = Vec::new();
        for step in steps {
            match step {
                Some(place) if place < held.len() => drop(held.swap_remove(place)),
                _ => match decide(&limiter, &limited, 1) {
                    LimitDecision::Within(within) => held.push(within.slots.expect("a place")),
                    LimitDecision::Exceeded(_) => prop_assert_eq!(held.len(), limit, "too early"),
                },
            }
            prop_assert!(held.len() <= limit);
        }
    }
}

#[test]
fn the_bounds_are_reached() {
    let greedy = |limit: &Limit, pause| run(limit, &vec![(pause, 1); 2_000]);
    for count in [1, 7, 100] {
        let log = greedy(&Limit::per_second(count), SECOND / 1_000 + 1);
        assert_eq!(most_in_any(&log, SECOND), count);
    }
    // At once after a pause, and in the stretch that follows.
    let log = greedy(&Limit::smooth(10, Duration::from_secs(1), 5), SECOND / 1_000 + 1);
    assert_eq!(most_in_any(&log, SECOND), 14, "five, and nine more before the second is over");
    assert_eq!(most_in_any(&log, SECOND + 10_000_000), 15);
}

#[test]
fn places_come_back_at_most_a_twentieth_late() {
    for first in [0, 1, SECOND / 40, SECOND / 20 - 1, SECOND / 20] {
        let log = run(&Limit::per_second(1), &[(first, 1), (3, 1)]);
        assert_eq!((log.len(), most_in_any(&log, SECOND)), (2, 1));
        assert_eq!(most_in_any(&log, SECOND + SECOND / 20 + 1), 2, "later than a twentieth");
    }
}
