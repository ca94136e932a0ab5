//! Somebody with limits, and what a limiter says to him.

use keyauth_core::{Exceeded, LimitDecision, Limited, LimitedCall, Limiter, TryAcquire, Within};
pub(crate) use keyauth_testkit::conformance::limiter::{limited, limited_key as key};

pub(crate) fn decide(limiter: &impl Limiter, limited: &Limited, cost: u64) -> LimitDecision {
    match limiter.try_acquire(&LimitedCall { limited, cost, report: true }) {
        TryAcquire::Decided(decision) => decision,
        other => panic!("{other:?}"),
    }
}

/// Whether one call passes.
pub(crate) fn passes(limiter: &impl Limiter, limited: &Limited) -> bool {
    matches!(decide(limiter, limited, 1), LimitDecision::Within(_))
}

/// How many of so many calls pass.
pub(crate) fn passing(limiter: &impl Limiter, limited: &Limited, calls: usize) -> usize {
    (0..calls).filter(|_| passes(limiter, limited)).count()
}

#[track_caller]
pub(crate) fn within(decision: LimitDecision) -> Within {
    match decision {
        LimitDecision::Within(within) => within,
        LimitDecision::Exceeded(exceeded) => panic!("{exceeded:?}"),
    }
}

#[track_caller]
pub(crate) fn exceeded(decision: LimitDecision) -> Exceeded {
    match decision {
        LimitDecision::Exceeded(exceeded) => exceeded,
        LimitDecision::Within(_) => panic!("it is within"),
    }
}
