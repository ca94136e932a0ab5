//! Somebody with limits, and what a limiter says to him.

use std::sync::Arc;

use keyauth_core::{
    Exceeded, Issuer, KeyRecord, Limit, LimitDecision, Limited, LimitedCall, Limiter, NewKey,
    SecretId, Status, TryAcquire, Versions, Within,
};

/// A record with limits of its own and of those it belongs to.
pub(crate) fn record(
    new: NewKey,
    owner: &[Limit],
    group: &[Limit],
    tenant: &[Limit],
) -> Arc<KeyRecord> {
    let key = Issuer::new().draft(new).expect("a valid key").key;
    Arc::new(KeyRecord {
        secret: SecretId::from_bytes([1; 16]),
        secret_ends_at: None,
        tenant: Status::Active,
        owner: Status::Active,
        group: None,
        limits: key.applied_limits(owner, group, tenant),
        versions: Versions::default(),
        key,
    })
}

/// A key with limits.
pub(crate) fn key(limits: impl IntoIterator<Item = Limit>) -> Limited {
    let mut new = NewKey::named("limited");
    for limit in limits {
        new = new.limit(limit);
    }
    Limited::Key(record(new, &[], &[], &[]))
}

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
