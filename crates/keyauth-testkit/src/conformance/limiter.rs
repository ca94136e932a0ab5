//! The cases of [`limiter_conformance!`](crate::limiter_conformance).
//!
//! Called by the macro; each takes a limiter, and makes subjects that nobody else uses.

#![expect(clippy::indexing_slicing, reason = "tests fail by panicking")]

use std::sync::Arc;
use std::time::Duration;

use keyauth_core::{
    Counted, Denial, Exceeded, Issuer, KeyRecord, Limit, LimitDecision, LimitSubject, Limited,
    LimitedCall, LimitedSubject, Limiter, Memo, NewKey, RateMultiplier, SecretId, Status,
    TryAcquire, Versions, Within,
};
use tokio::time::{sleep, timeout};

/// Longer than any answer takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// A new key, as limits see it: by its own, and those of its owner, group and tenant.
///
/// # Panics
///
/// Where the key is not valid.
#[must_use]
pub fn limited(new: NewKey, owner: &[Limit], group: &[Limit], tenant: &[Limit]) -> Limited {
    let key = Issuer::new().draft(new).expect("a valid key").key;
    Limited::Key(Arc::new(KeyRecord {
        secret: SecretId::from_bytes([1; 16]),
        secret_ends_at: None,
        tenant: Status::Active,
        owner: Status::Active,
        group: None,
        limits: key.applied_limits(owner, group, tenant),
        budgets: Box::default(),
        rate_multiplier: RateMultiplier::ONE,
        versions: Versions::default(),
        memo: Memo::default(),
        key,
    }))
}

/// A new key with limits of its own.
#[must_use]
pub fn limited_key(limits: impl IntoIterator<Item = Limit>) -> Limited {
    limited(limits.into_iter().fold(NewKey::named("limited"), NewKey::limit), &[], &[], &[])
}

/// What a limiter says to a call, waiting where that is needed.
///
/// # Panics
///
/// Where there is no answer.
pub async fn decide(limiter: &impl Limiter, limited: &Limited, cost: u64) -> LimitDecision {
    let call = LimitedCall { limited, cost, report: true };
    match limiter.try_acquire(&call) {
        TryAcquire::Decided(decision) => decision,
        _ => limiter.acquire(call.to_owned()).await.expect("an answer"),
    }
}

async fn within(limiter: &impl Limiter, limited: &Limited, cost: u64) -> Within {
    match decide(limiter, limited, cost).await {
        LimitDecision::Within(within) => within,
        LimitDecision::Exceeded(exceeded) => panic!("{exceeded:?}"),
    }
}

async fn exceeded(limiter: &impl Limiter, limited: &Limited, cost: u64) -> Exceeded {
    match decide(limiter, limited, cost).await {
        LimitDecision::Exceeded(exceeded) => exceeded,
        LimitDecision::Within(_) => panic!("it is within"),
    }
}

async fn passing(limiter: &impl Limiter, limited: &Limited, calls: usize) -> usize {
    let mut passing = 0;
    for _ in 0..calls {
        let decision = decide(limiter, limited, 1).await;
        passing += usize::from(matches!(decision, LimitDecision::Within(_)));
    }
    passing
}

/// L1: however many ask at once, a limit lets through what it says: no more, and in the end no
/// less.
pub async fn a_limit_lets_through_exactly_its_count<L: Limiter + Clone + 'static>(limiter: L) {
    const COUNT: usize = 300;
    let (hour, count) = (Duration::from_hours(1), 300);
    for limit in [Limit::per_hour(count), Limit::smooth(1, hour, count), Limit::per_month(count)] {
        let limited = limited_key([limit]);
        let mut asking = Vec::new();
        for _ in 0..20 {
            let (limiter, limited) = (limiter.clone(), limited.clone());
            asking.push(tokio::spawn(async move { passing(&limiter, &limited, 20).await }));
        }
        let mut passed = 0;
        for asked in asking {
            passed += asked.await.expect("no panic");
        }
        let last = async {
            while passed < COUNT {
                passed += passing(&limiter, &limited, 1).await;
            }
        };
        timeout(PATIENCE, last).await.unwrap_or_else(|_| panic!("{:?}", limited.limits()));
        passed += passing(&limiter, &limited, 20).await;
        assert_eq!(passed, COUNT, "{:?}", limited.limits());
    }
}

/// L2: a call that one limit refuses is counted by none.
pub async fn a_call_that_one_limit_refuses_is_counted_by_none<L: Limiter>(limiter: L) {
    let tenant = format!("tenant-{:?}", Issuer::new().now().as_micros());
    let new = NewKey::named("any").tenant(&tenant).owner("ada").group("plan");
    let limited = limited(
        new.limit(Limit::per_day(3)),
        &[Limit::per_hour(100), Limit::smooth(1, Duration::from_hours(1), 100)],
        &[Limit::per_month(100), Limit::per_minute(100).for_each(LimitSubject::Owner)],
        &[Limit::at_once(100)],
    );
    let mut kept = Vec::new();
    for _ in 0..3 {
        kept.push(within(&limiter, &limited, 1).await);
    }
    for _ in 0..5 {
        let refused = exceeded(&limiter, &limited, 1).await;
        assert_eq!(refused.denial, Denial::RateLimited);
        let stand: Vec<_> = refused.states.iter().map(|s| (s.at, s.used, s.exceeded)).collect();
        let mut expected: Vec<_> = (0..6).map(|at| (at, 3, false)).collect();
        expected[0].2 = true;
        assert_eq!(stand, expected);
    }
    assert_eq!(kept.last().expect("three").states.iter().map(|s| s.used).max(), Some(3));
}

/// L4: who is told to wait passes then, and not much earlier.
pub async fn who_waits_as_told_passes<L: Limiter>(limiter: L) {
    for limit in [Limit::per_second(2), Limit::smooth(4, Duration::from_secs(1), 2)] {
        let limited = limited_key([limit.of_cost()]);
        within(&limiter, &limited, 2).await;
        let refused = exceeded(&limiter, &limited, 2).await;
        assert!(refused.retry_after > Duration::from_millis(100), "{refused:?}");
        assert!(refused.retry_after < Duration::from_millis(1_100), "{refused:?}");
        sleep(refused.retry_after).await;
        within(&limiter, &limited, 2).await;
    }
}

/// Limits of cost take what a call costs, and one that is too large takes nothing.
pub async fn costs_are_taken_as_a_whole<L: Limiter>(limiter: L) {
    let hour = Duration::from_hours(1);
    for limit in [Limit::per_hour(10), Limit::smooth(1, hour, 10), Limit::per_day(10)] {
        let limited = limited_key([limit.of_cost(), Limit::per_day(1_000).named("calls")]);
        assert_eq!(within(&limiter, &limited, 7).await.states[0].remaining, 3);
        for cost in [4, 11, u64::MAX] {
            let refused = exceeded(&limiter, &limited, cost).await;
            assert!(refused.retry_after > Duration::ZERO);
            assert_eq!(refused.states[0].used, 7, "{cost}");
        }
        let last = within(&limiter, &limited, 3).await;
        assert_eq!((last.states[0].remaining, last.states[1].used), (0, 2));
    }
}

/// L8: nothing passes a limit of zero, and the largest hold.
pub async fn the_ends_of_the_scale_are_sane<L: Limiter>(limiter: L) {
    let second = Duration::from_secs(1);
    for none in [
        Limit::per_second(0),
        Limit::smooth(0, second, 5),
        Limit::smooth(5, second, 0),
        Limit::per_day(0),
        Limit::at_once(0),
    ] {
        let refused = exceeded(&limiter, &limited_key([none]), 1).await;
        assert!(refused.retry_after > Duration::ZERO);
    }
    let largest = limited_key([
        Limit::per_second(u64::MAX).of_cost(),
        Limit::smooth(u64::MAX, Duration::from_hours(24), u64::MAX).of_cost().named("smooth"),
        Limit::per_month(u64::MAX).of_cost(),
        Limit::at_once(u64::MAX),
    ]);
    for cost in [1, 0, 1 << 40] {
        within(&limiter, &largest, cost).await;
    }
}

/// A count goes on when its limit is changed.
pub async fn a_limit_that_is_changed_goes_on_counting<L: Limiter>(limiter: L) {
    let Limited::Key(before) = limited_key([Limit::per_day(2)]) else { panic!("it is a key") };
    let mut after = (*before).clone();
    after.limits[0].limit = Limit::per_day(5);
    let (before, after) = (Limited::Key(before), Limited::Key(Arc::new(after)));
    assert_eq!(passing(&limiter, &before, 5).await, 2);
    assert_eq!(passing(&limiter, &after, 5).await, 3);
    assert_eq!(passing(&limiter, &before, 1).await, 0);
}

/// L9: a place among calls at once is taken until its last holder lets go.
pub async fn places_at_once_come_back<L: Limiter>(limiter: L) {
    let limited = limited_key([Limit::at_once(2)]);
    let first = within(&limiter, &limited, 1).await.slots.expect("a place");
    let _second = within(&limiter, &limited, 1).await.slots.expect("a place");
    let refused = exceeded(&limiter, &limited, 1).await;
    assert_eq!(refused.denial, Denial::ConcurrencyLimited);
    let kept = first.clone();
    drop(first);
    assert_eq!(passing(&limiter, &limited, 3).await, 0);
    drop(kept);
    let free = async {
        while passing(&limiter, &limited, 1).await == 0 {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, free).await.expect("a place");
}

/// L7: what was used is told, and forgotten when it is reset, but for what is under way.
pub async fn what_was_used_is_told_and_reset<L: Limiter>(limiter: L) {
    let limited = limited_key([Limit::per_day(1), Limit::per_minute(9), Limit::at_once(9)]);
    let used = async || {
        let states = limiter.usage(limited.clone()).await.expect("an answer");
        states.iter().map(|state| state.used).collect::<Vec<_>>()
    };
    assert_eq!(used().await, [0, 0, 0]);
    let _under_way = within(&limiter, &limited, 1).await;
    assert_eq!(passing(&limiter, &limited, 3).await, 0);
    assert_eq!(used().await, [1, 1, 1], "to look changes nothing");
    let subject = limited.subject(Counted::Key).expect("a key");
    limiter.reset(&subject).await.expect("reset");
    assert_eq!(used().await, [0, 0, 1]);
    assert_eq!(passing(&limiter, &limited, 3).await, 1);
}

/// L11: names that look alike are not one.
pub async fn names_that_look_alike_are_not_one<L: Limiter>(limiter: L) {
    let hour = Duration::from_hours(1);
    let limits: Arc<[_]> = match limited_key([Limit::per_hour(1)]) {
        Limited::Key(record) => record.limits.clone().into(),
        other => panic!("{other:?}"),
    };
    let unique = Issuer::new().now().as_micros();
    for name in ["a", "a:b", "{a}", "}", "a\n", "a ", "%61", "", "a\0", "\u{e4}"] {
        let other = Limited::Subject(
            LimitedSubject::Other(format!("{name}{unique}").into()),
            Arc::clone(&limits),
        );
        assert_eq!(passing(&limiter, &other, 2).await, 1, "{name:?}");
    }
    // Nor limits of one name that count something else.
    let minute = Limit::per_minute(1).named("any");
    let others = [
        Limit::smooth(1, hour, 1).named("any"),
        Limit::per_day(1).named("any"),
        Limit::per_minute(1).named("any").of_cost(),
        Limit::per_hour(1).named("any"),
    ];
    let Limited::Key(record) = limited_key([minute]) else { panic!("it is a key") };
    let with = |limit: &Limit| {
        let mut record = (*record).clone();
        record.limits[0].limit = limit.clone();
        Limited::Key(Arc::new(record))
    };
    assert_eq!(passing(&limiter, &Limited::Key(Arc::clone(&record)), 2).await, 1);
    for other in &others {
        assert_eq!(passing(&limiter, &with(other), 2).await, 1, "{other:?}");
    }
}
