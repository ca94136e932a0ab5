//! The small parts under many interleavings:
//! `RUSTFLAGS="--cfg shuttle" cargo test -p keyauth-ratelimit --lib`.

use keyauth_core::{Limit, LimitDecision, Limited, LimitedCall, Limiter, SystemClock, TryAcquire};
use keyauth_testkit::conformance::limiter::limited_key;
use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::sync::Arc;
use shuttle::sync::atomic::{AtomicU64, Ordering};
use shuttle::{Config, Runner, thread};

use crate::LocalLimiter;

const ROUNDS: usize = 20_000;

/// Tries a test in many interleavings: in random ones, and in those that let one thread wait for long
/// at few places.
pub(crate) fn check(test: impl Fn() + Clone + Send + Sync + 'static) {
    let mut config = Config::new();
    config.stack_size = 1 << 21;
    Runner::new(RandomScheduler::new(ROUNDS), config.clone()).run(test.clone());
    Runner::new(PctScheduler::new(3, ROUNDS), config).run(test);
}

fn decide(limiter: &LocalLimiter, limited: &Limited) -> LimitDecision {
    let call = LimitedCall { limited, cost: 1, report: false };
    match limiter.try_acquire(&call) {
        TryAcquire::Decided(decision) => decision,
        _ => unreachable!("there is nobody to ask"),
    }
}

/// Slots: never more calls at once than there are places, and every place comes back, in whatever
/// order calls begin and end.
#[test]
fn places_are_given_once_and_come_back() {
    check(|| {
        let limiter = LocalLimiter::with_clock(Arc::new(SystemClock::new()));
        let limited = limited_key([Limit::at_once(2)]);
        let (limiter, limited) = (Arc::new(limiter), Arc::new(limited));
        let under_way = Arc::new(AtomicU64::new(0));
        let callers: Vec<_> = (0..3)
            .map(|_| {
                let (limiter, limited) = (Arc::clone(&limiter), Arc::clone(&limited));
                let under_way = Arc::clone(&under_way);
                thread::spawn(move || {
                    for _ in 0..2 {
                        let LimitDecision::Within(within) = decide(&limiter, &limited) else {
                            continue;
                        };
                        assert!(under_way.fetch_add(1, Ordering::SeqCst) < 2);
                        thread::yield_now();
                        under_way.fetch_sub(1, Ordering::SeqCst);
                        drop(within);
                    }
                })
            })
            .collect();
        callers.into_iter().for_each(|caller| caller.join().expect("no panic"));
        let both = [decide(&limiter, &limited), decide(&limiter, &limited)];
        assert!(both.iter().all(|one| matches!(one, LimitDecision::Within(_))), "all are back");
    });
}

/// One decision over all limits: of those that are asked at once as many pass as the tightest allows,
/// and no other limit counts one that has not.
#[test]
fn as_many_pass_as_the_tightest_allows() {
    check(|| {
        let limiter = Arc::new(LocalLimiter::with_clock(Arc::new(SystemClock::new())));
        let tight = Limit::per_hour(2).named("tight");
        let wide = Limit::per_hour(9).named("wide");
        let limited = Arc::new(limited_key([wide, tight]));
        let passed = Arc::new(AtomicU64::new(0));
        let callers: Vec<_> = (0..4)
            .map(|_| {
                let (limiter, limited) = (Arc::clone(&limiter), Arc::clone(&limited));
                let passed = Arc::clone(&passed);
                thread::spawn(move || {
                    if matches!(decide(&limiter, &limited), LimitDecision::Within(_)) {
                        passed.fetch_add(1, Ordering::SeqCst);
                    }
                })
            })
            .collect();
        callers.into_iter().for_each(|caller| caller.join().expect("no panic"));
        assert_eq!(passed.load(Ordering::SeqCst), 2);
        let call = LimitedCall { limited: &limited, cost: 0, report: true };
        let TryAcquire::Decided(LimitDecision::Exceeded(exceeded)) = limiter.try_acquire(&call)
        else {
            unreachable!("it is used up")
        };
        let used: Vec<_> = exceeded.states.iter().map(|state| state.used).collect();
        assert_eq!(used, [2, 2]);
    });
}
