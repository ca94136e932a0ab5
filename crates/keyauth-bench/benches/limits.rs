//! A decision over 1, 4 and 16 limits in one process, beside governor, of which there is one for
//! each limit, asked one after the other.

#![expect(clippy::expect_used, reason = "a benchmark fails by panicking")]

use std::num::NonZeroU32;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use keyauth_core::{Limit, LimitDecision, Limited, LimitedCall, Limiter, TryAcquire};
use keyauth_ratelimit::LocalLimiter;
use keyauth_testkit::conformance::limiter::limited_key;

const KEYS: usize = 10_000;
const PLENTY: u64 = 4_000_000_000;

type Kind = fn(usize) -> Limit;

fn rolling(_: usize) -> Limit {
    Limit::per_hour(PLENTY)
}

fn smooth(_: usize) -> Limit {
    Limit::smooth(PLENTY, Duration::from_secs(3_600), PLENTY)
}

fn both(number: usize) -> Limit {
    if number.is_multiple_of(2) { rolling(number) } else { smooth(number) }
}

fn limits(criterion: &mut Criterion) {
    for count in [1, 4, 16] {
        let mut group = criterion.benchmark_group(format!("{count} limits, {KEYS} keys"));
        let kinds = [("rolling", rolling as Kind), ("smooth", smooth), ("both in turn", both)];
        for (name, kind) in kinds {
            let named = |number| kind(number).named(format!("limit-{number}"));
            let keys: Vec<Limited> =
                (0..KEYS).map(|_| limited_key((0..count).map(named))).collect();
            let limiter = LocalLimiter::new();
            let mut keys = keys.iter().cycle();
            group.bench_function(name, |bencher| {
                bencher.iter(|| {
                    let limited = keys.next().expect("endless");
                    let call = LimitedCall { limited, cost: 1, report: false };
                    let decision = limiter.try_acquire(&call);
                    assert!(matches!(decision, TryAcquire::Decided(LimitDecision::Within(_))));
                });
            });
        }
        let quota = Quota::per_hour(NonZeroU32::MAX).allow_burst(NonZeroU32::MAX);
        let governors: Vec<DefaultKeyedRateLimiter<usize>> =
            (0..count).map(|_| RateLimiter::keyed(quota)).collect();
        let mut keys = (0..KEYS).cycle();
        group.bench_function("governor", |bencher| {
            bencher.iter(|| {
                let key = keys.next().expect("endless");
                assert!(governors.iter().all(|governor| governor.check_key(&key).is_ok()));
            });
        });
        group.finish();
    }
}

criterion_group!(benches, limits);
criterion_main!(benches);
