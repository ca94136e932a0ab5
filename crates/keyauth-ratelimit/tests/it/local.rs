//! The limiter of one process.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use keyauth_core::{
    Counted, Denial, Limit, LimitState, LimitSubject, Limited, Limiter, NewKey, TimeZone, Timestamp,
};
use keyauth_ratelimit::LocalLimiter;
use keyauth_testkit::FakeClock;

use crate::world::{decide, exceeded, key, limited, passes, passing, within};

fn at(clock: &FakeClock, seconds: i64) {
    clock.set_wall(Timestamp::from_unix_seconds(seconds));
}

fn limiter() -> (LocalLimiter, Arc<FakeClock>) {
    let clock = Arc::new(FakeClock::default());
    (LocalLimiter::with_clock(Arc::clone(&clock) as _), clock)
}

fn used(states: &[LimitState]) -> Vec<u64> {
    states.iter().map(|state| state.used).collect()
}

#[test]
fn a_thousand_at_once_are_counted_exactly() {
    // L1
    let limiter = LocalLimiter::new();
    let limited = key([Limit::per_hour(100)]);
    let passed = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| passed.fetch_add(passing(&limiter, &limited, 125), Ordering::Relaxed));
        }
    });
    assert_eq!(passed.into_inner(), 100);
}

#[test]
fn who_is_refused_by_one_limit_is_counted_by_none() {
    // L2
    let (limiter, _) = limiter();
    let own = NewKey::named("any").owner("ada").group("plan").limit(Limit::per_minute(3));
    let all = [Limit::per_hour(1_000), Limit::per_day(1_000), Limit::at_once(1_000)];
    let limited = limited(own, &all[..1], &all[1..2], &all[2..]);
    let mut kept = Vec::new();
    for _ in 0..3 {
        kept.push(within(decide(&limiter, &limited, 1)));
    }
    for _ in 0..10 {
        let refused = exceeded(decide(&limiter, &limited, 1));
        assert_eq!(refused.denial, Denial::RateLimited);
        assert_eq!(used(&refused.states), [3, 3, 3, 3]);
        let by: Vec<_> = refused.states.iter().map(|state| state.exceeded).collect();
        assert_eq!(by, [true, false, false, false]);
    }
}

#[test]
fn many_subjects_in_one_decision_neither_lock_up_nor_miscount() {
    let limiter = LocalLimiter::new();
    let each = |owner: &str, group: &str| {
        let new = NewKey::named("any").owner(owner).group(group).limit(Limit::per_hour(1_000_000));
        let owner = [Limit::per_hour(700).named("owner")];
        let group = [
            Limit::per_hour(500).named("member").for_each(LimitSubject::Owner),
            Limit::per_hour(1_500).named("group"),
        ];
        limited(new, &owner, &group, &[Limit::per_hour(2_000).named("tenant")])
    };
    let keys: Vec<_> = ["a", "b", "c", "d"]
        .iter()
        .flat_map(|owner| ["x", "y"].map(|group| each(owner, group)))
        .collect();
    let passed: Vec<_> = keys.iter().map(|_| AtomicUsize::new(0)).collect();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (keys, passed, limiter) = (&keys, &passed, &limiter);
            scope.spawn(move || {
                for round in 0..4_000 {
                    let at = (round * 7 + thread * 3) % keys.len();
                    let count = usize::from(passes(limiter, &keys[at]));
                    passed[at].fetch_add(count, Ordering::Relaxed);
                }
            });
        }
    });
    let passed: Vec<_> = passed.into_iter().map(AtomicUsize::into_inner).collect();
    assert_eq!(passed.iter().sum::<usize>(), 2_000, "the tenant's limit was in the way");
    for owner in passed.chunks(2) {
        assert!(owner.iter().all(|member| *member <= 500) && owner.iter().sum::<usize>() <= 700);
    }
    for group in 0..2 {
        assert!(passed.iter().skip(group).step_by(2).sum::<usize>() <= 1_500);
    }
}

#[test]
fn calls_do_not_move_the_windows_end() {
    // L3, L4
    let (limiter, clock) = limiter();
    let limited = key([Limit::per_minute(2)]);
    assert_eq!(passing(&limiter, &limited, 2), 2);
    let wait = exceeded(decide(&limiter, &limited, 1)).retry_after;
    for _ in 0..10 {
        clock.advance(Duration::from_secs(5));
        assert!(!passes(&limiter, &limited));
    }
    clock.advance(wait - Duration::from_secs(50));
    assert!(passes(&limiter, &limited));
}

#[test]
fn days_are_the_zones_and_survive_a_clock_that_goes_back() {
    // L6, S7
    let (limiter, clock) = limiter();
    let berlin = TimeZone::named("Europe/Berlin").expect("a zone");
    let limited = key([Limit::per_day(2).in_zone(berlin)]);
    // 2026-03-29, on which the clocks go forward: 23 hours from midnight to midnight.
    at(&clock, 1_774_738_800);
    assert_eq!(passing(&limiter, &limited, 5), 2);
    let refused = exceeded(decide(&limiter, &limited, 1));
    assert_eq!(refused.retry_after, Duration::from_secs(23 * 3_600));
    at(&clock, 1_774_738_800 - 3_600);
    assert!(!passes(&limiter, &limited), "a clock that goes back opens no day anew");
    at(&clock, 1_774_738_800 + 23 * 3_600 - 1);
    assert!(!passes(&limiter, &limited));
    at(&clock, 1_774_738_800 + 23 * 3_600);
    assert_eq!(passing(&limiter, &limited, 5), 2);
}

#[tokio::test]
async fn what_is_reset_passes_at_once() {
    // L7
    let (limiter, _) = limiter();
    let limited = key([Limit::per_day(1), Limit::at_once(2)]);
    let under_way = within(decide(&limiter, &limited, 1));
    assert_eq!(exceeded(decide(&limiter, &limited, 1)).denial, Denial::RateLimited);
    limiter.reset(&limited.subject(Counted::Key).expect("a key")).await.expect("reset");
    assert!(passes(&limiter, &limited));
    let states = limiter.usage(limited.clone()).await.expect("an answer");
    assert_eq!(used(&states), [1, 1], "what is under way is not undone");
    drop(under_way);
    assert_eq!(used(&limiter.usage(limited).await.expect("an answer")), [1, 0]);
}

#[test]
fn the_ends_of_the_scale_are_sane() {
    // L8
    let (limiter, clock) = limiter();
    for window in [Limit::per_second(0), Limit::per_day(0), Limit::at_once(0)] {
        let refused = exceeded(decide(&limiter, &key([window]), 1));
        assert!(refused.retry_after >= Duration::from_secs(1));
    }
    let none = Limit::smooth(0, Duration::from_secs(1), 5);
    assert!(!passes(&limiter, &key([none])));
    let slow = Limit::smooth(1, Duration::from_secs(1), 0);
    assert!(!passes(&limiter, &key([slow])), "no burst, no call");
    let largest = [
        Limit::per_second(u64::MAX).of_cost(),
        Limit::smooth(u64::MAX, Duration::from_hours(24), u64::MAX).of_cost().named("smooth"),
        Limit::per_month(u64::MAX).of_cost(),
        Limit::at_once(u64::MAX),
    ];
    let limited = key(largest);
    for _ in 0..3 {
        within(decide(&limiter, &limited, u64::MAX / 16));
        clock.advance(Duration::from_nanos(1));
    }
    assert_eq!(exceeded(decide(&limiter, &limited, u64::MAX)).denial, Denial::RateLimited);
    let unlimited = key([Limit::per_second(0).unlimited()]);
    assert_eq!(passing(&limiter, &unlimited, 10), 10);
    // What costs nothing is let through where there is room for nothing.
    assert_eq!(passing(&limiter, &key([Limit::per_second(1).of_cost()]), 5), 1);
}

#[test]
fn places_at_once_come_back_when_the_last_holder_lets_go() {
    // L9
    let (limiter, _) = limiter();
    let limited = key([Limit::at_once(2)]);
    let first = within(decide(&limiter, &limited, 1)).slots.expect("a place");
    let second = within(decide(&limiter, &limited, 1)).slots.expect("a place");
    let refused = exceeded(decide(&limiter, &limited, 1));
    assert_eq!(refused.denial, Denial::ConcurrencyLimited);
    let kept = first.clone();
    drop(first);
    assert!(!passes(&limiter, &limited));
    drop(kept);
    assert!(passes(&limiter, &limited));
    let panicked = std::thread::spawn(move || {
        let _held = second;
        panic!("on purpose");
    });
    panicked.join().expect_err("it panicked");
    assert!(passes(&limiter, &limited));
}

#[test]
fn the_table_is_bounded_and_full_is_safe() {
    let clock = Arc::new(FakeClock::default());
    let limiter = LocalLimiter::with_clock(Arc::clone(&clock) as _).with_capacity(10);
    let all: Vec<_> = (0..30).map(|_| key([Limit::per_minute(3)])).collect();
    let passed: Vec<_> = all.iter().map(|limited| passing(&limiter, limited, 5)).collect();
    assert_eq!(limiter.subjects(), 10);
    assert_eq!(passed[..10], [3; 10], "who was there before is not pushed out");
    assert_eq!(passed[10..].iter().sum::<usize>(), 3, "the others count as one");
    assert!(all.iter().all(|limited| !passes(&limiter, limited)), "nobody begins anew");
    clock.advance(Duration::from_secs(70));
    let passed: Vec<_> = all.iter().map(|limited| passing(&limiter, limited, 5)).collect();
    assert_eq!(passed[..10], [3; 10]);
    assert_eq!(limiter.subjects(), 10);
}

#[test]
fn in_a_runtime_room_is_made_beside_the_requests() {
    // One thread for what blocks, which is busy until it is let go.
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.max_blocking_threads(1).enable_time().build().expect("a runtime");
    runtime.block_on(async {
        let (busy, let_go) = std::sync::mpsc::channel::<()>();
        tokio::task::spawn_blocking(move || let_go.recv());
        let clock = Arc::new(FakeClock::default());
        let limiter = LocalLimiter::with_clock(Arc::clone(&clock) as _).with_capacity(10);
        let all: Vec<_> = (0..20).map(|_| key([Limit::per_minute(3)])).collect();
        let first = all.iter().take(10).map(|limited| passing(&limiter, limited, 5));
        assert_eq!(first.collect::<Vec<_>>(), [3; 10]);
        clock.advance(Duration::from_secs(70));
        passes(&limiter, &all[10]);
        assert_ne!(limiter.subjects(), 1, "whoever comes first does not wait for it");
        drop(busy);
        let room = async {
            while limiter.subjects() != 1 {
                passes(&limiter, &all[10]);
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), room).await.expect("room");
    });
}

#[test]
fn who_was_counted_with_others_does_not_begin_anew_when_there_is_room() {
    let clock = Arc::new(FakeClock::default());
    let limiter = LocalLimiter::with_clock(Arc::clone(&clock) as _).with_capacity(1);
    let [first, second] = [(); 2].map(|()| key([Limit::per_minute(3)]));
    assert_eq!(passing(&limiter, &first, 5), 3);
    clock.advance(Duration::from_secs(30));
    assert_eq!(passing(&limiter, &second, 5), 3);
    clock.advance(Duration::from_secs(35));
    assert!(!passes(&limiter, &second), "the first is idle, and its place free");
    let third = key([Limit::per_minute(3)]);
    assert!(!passes(&limiter, &third), "for whom there was no room either");
    clock.advance(Duration::from_secs(30));
    assert_eq!(passing(&limiter, &second, 5), 3);
    assert_eq!(limiter.subjects(), 1);
}

#[test]
fn those_who_go_on_calling_have_places_of_their_own_when_there_is_room() {
    let clock = Arc::new(FakeClock::default());
    let limiter = LocalLimiter::with_clock(Arc::clone(&clock) as _).with_capacity(4);
    let first: Vec<_> = (0..4).map(|_| key([Limit::per_minute(10)])).collect();
    for limited in &first {
        assert!(passes(&limiter, limited));
    }
    // They are gone, and others never pause for long enough that nothing would count.
    let others = [(); 2].map(|()| key([Limit::per_minute(10)]));
    let mut passed = [0; 2];
    for _ in 0..60 {
        clock.advance(Duration::from_secs(6));
        for (limited, passed) in others.iter().zip(&mut passed) {
            *passed += passing(&limiter, limited, 2);
        }
    }
    assert!(passed.iter().all(|passed| (45..=62).contains(passed)), "{passed:?} in six minutes");
}

#[test]
fn a_pace_that_is_changed_goes_on_with_as_many() {
    let (limiter, clock) = limiter();
    let Limited::Key(before) = key([Limit::smooth(1, Duration::from_hours(24), 1)]) else {
        panic!("it is a key")
    };
    let with = |limit: Limit| {
        let mut record = (*before).clone();
        record.limits.iter_mut().for_each(|applied| applied.limit = limit.clone());
        Limited::Key(Arc::new(record))
    };
    let second = Duration::from_secs(1);
    assert!(passes(&limiter, &Limited::Key(Arc::clone(&before))));
    let faster = with(Limit::smooth(10, second, 10));
    assert_eq!(passing(&limiter, &faster, 20), 9, "the one from before counts");
    let none = with(Limit::smooth(0, second, 10));
    assert!(!passes(&limiter, &none));
    assert_eq!(passing(&limiter, &faster, 20), 0, "what was used is not undone");
    clock.advance(second);
    assert_eq!(passing(&limiter, &faster, 20), 10);
}

#[test]
fn a_clock_that_was_wrong_for_a_moment_neither_opens_a_day_nor_closes_it_for_years() {
    let (limiter, clock) = limiter();
    let limited = key([Limit::per_day(2)]);
    let now = 1_780_488_000;
    assert_eq!(passing(&limiter, &limited, 5), 2);
    at(&clock, now + 100 * 365 * 86_400);
    assert_eq!(passing(&limiter, &limited, 5), 2, "one further count");
    at(&clock, now);
    let refused = exceeded(decide(&limiter, &limited, 1));
    assert!(refused.retry_after <= Duration::from_hours(24), "{:?}", refused.retry_after);
    at(&clock, now + 86_400);
    assert_eq!(passing(&limiter, &limited, 5), 2);
}

#[test]
fn nothing_passes_a_count_of_zero_not_even_what_costs_nothing() {
    let (limiter, _) = limiter();
    let second = Duration::from_secs(1);
    for limit in [Limit::per_day(0), Limit::per_second(0), Limit::smooth(0, second, 1)] {
        exceeded(decide(&limiter, &key([limit.of_cost()]), 0));
    }
    // Bursts that no number could hold are held all the same.
    let huge = key([Limit::smooth(1, Duration::from_hours(1), u64::MAX).of_cost()]);
    within(decide(&limiter, &huge, 1_000_000));
    exceeded(decide(&limiter, &huge, u64::MAX));
    let passed = (0..10).filter(|_| {
        matches!(decide(&limiter, &huge, 1_000_000), keyauth_core::LimitDecision::Within(_))
    });
    assert!(passed.count() < 2);
}

#[test]
fn who_is_forgotten_while_others_look_is_not_counted_twice() {
    let clock = Arc::new(FakeClock::default());
    let limiter = LocalLimiter::with_clock(Arc::clone(&clock) as _).with_capacity(2);
    let limited = key([Limit::per_minute(100)]);
    let others: Vec<_> = (0..16).map(|_| key([Limit::per_minute(1)])).collect();
    for _ in 0..200 {
        // Idle for long enough to be forgotten, while somebody begins anew.
        clock.advance(Duration::from_secs(120));
        let passed = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope
                    .spawn(|| passed.fetch_add(passing(&limiter, &limited, 80), Ordering::Relaxed));
            }
            scope.spawn(|| others.iter().filter(|other| passes(&limiter, other)).count());
        });
        assert!(passed.into_inner() <= 100);
    }
}
