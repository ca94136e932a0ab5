//! The cases of [`usage_log_conformance!`](crate::usage_log_conformance).
//!
//! Called by the macro; each takes a store that is a log as well, and uses keys of its own.

use std::time::Duration;

use keyauth_core::{
    Amount, BatchId, IssuedKey, KeyRef, KeyStore, LimitUnit, LimitedSubject, NewKey, Period,
    Timestamp, UsageBatch, UsageEvent, UsageLog, UsageSums, UsageTotal,
};

/// The third of June 2026 in UTC, at noon.
const NOON: Timestamp = Timestamp::from_unix_seconds(1_780_488_000);
const HOUR: i64 = 3_600_000_000;

fn later(hours: i64) -> Timestamp {
    Timestamp::from_micros(NOON.as_micros() + hours * HOUR)
}

fn period(from: i64, to: i64) -> Period {
    Period { start: later(from), end: later(to) }
}

async fn issue(store: &impl KeyStore) -> IssuedKey {
    store.issue(NewKey::named("used").owner("ada")).await.expect("a key")
}

/// A call of one unit that takes in two and gives out three.
fn event(key: &IssuedKey, at: Timestamp) -> UsageEvent {
    let KeyRef { tenant, id } = KeyRef::from(key);
    UsageEvent {
        at,
        tenant,
        owner: keyauth_core::OwnerId::new("ada").expect("an owner"),
        group: None,
        key: id,
        route: "GET /".into(),
        resource: "".into(),
        status: 200,
        cost: Amount::from_units(1).expect("an amount"),
        limit_cost: 5,
        input: 2,
        output: 3,
        duration: Duration::from_millis(7),
        address: Some([192, 0, 2, 1].into()),
    }
}

fn batch(events: Vec<UsageEvent>) -> UsageBatch {
    UsageBatch { id: BatchId::begun_at(NOON).expect("randomness"), events }
}

fn of_key(key: &IssuedKey) -> LimitedSubject {
    let KeyRef { tenant, id } = KeyRef::from(key);
    LimitedSubject::Key(tenant, id)
}

async fn requests(log: &impl UsageLog, of: &LimitedSubject, period: Period) -> u64 {
    log.total(of, period).await.expect("a total").requests
}

/// M9, M10: a batch is written once, and all of it adds up.
pub async fn a_batch_is_written_once<S: KeyStore + UsageLog>(store: S) {
    let key = issue(&store).await;
    let failed = UsageEvent { status: 502, ..event(&key, later(1)) };
    let batch = batch(vec![event(&key, NOON), failed, event(&key, later(2))]);
    for _ in 0..3 {
        assert_eq!(store.write(&batch).await.expect("written"), 0);
        let total = store.total(&of_key(&key), period(-100, 100)).await.expect("a total");
        let expected = UsageTotal {
            requests: 3,
            failures: 1,
            cost: Amount::from_units(3).expect("an amount"),
            limit_cost: 15,
            input: 6,
            output: 9,
        };
        assert_eq!(total, expected);
    }
}

/// Totals are those of everybody a key belongs to, and of nobody else.
pub async fn totals_are_of_whom_they_are_asked_for<S: KeyStore + UsageLog>(store: S) {
    let (key, other) = (issue(&store).await, issue(&store).await);
    let group = keyauth_core::GroupId::new("plan").expect("a group");
    let bound = UsageEvent { group: Some(group.clone()), ..event(&key, NOON) };
    let owner = keyauth_core::OwnerId::new("bob").expect("an owner");
    let of_bob = UsageEvent { owner: owner.clone(), ..event(&other, NOON) };
    let events = vec![bound.clone(), event(&key, NOON), event(&other, NOON), of_bob];
    store.write(&batch(events)).await.expect("written");
    let tenant = bound.tenant.clone();
    let day = period(-1, 1);
    for (subject, expected) in [
        (of_key(&key), 2),
        (of_key(&other), 2),
        (LimitedSubject::Owner(tenant.clone(), bound.owner.clone()), 3),
        (LimitedSubject::Owner(tenant.clone(), owner), 1),
        (LimitedSubject::Group(tenant.clone(), group.clone()), 1),
        (LimitedSubject::Member(tenant.clone(), group, bound.owner), 1),
        (LimitedSubject::Tenant(tenant), 4),
        (LimitedSubject::Other("nobody".into()), 0),
    ] {
        assert_eq!(requests(&store, &subject, day).await, expected, "{subject:?}");
    }
}

/// A period ends before its end, wherever in a day that is.
pub async fn periods_are_exact<S: KeyStore + UsageLog + UsageSums>(store: S) {
    let key = issue(&store).await;
    // Three days, an event each hour, from noon to noon.
    let events = (0..72).map(|hour| event(&key, later(hour))).collect();
    store.write(&batch(events)).await.expect("written");
    let of = of_key(&key);
    for (from, to, expected) in [
        (0, 72, 72),
        (-1, 1_000, 72),
        (0, 1, 1),
        (0, 0, 0),
        // Whole days in UTC, and days of zones on either side.
        (12, 36, 24),
        (12, 60, 48),
        (10, 34, 24),
        (17, 41, 24),
        (11, 61, 50),
        (71, 73, 1),
    ] {
        assert_eq!(requests(&store, &of, period(from, to)).await, expected, "{from} to {to}");
    }
    let start = Timestamp::from_micros(NOON.as_micros() + 1);
    let after = Period { start, end: later(2) };
    assert_eq!(requests(&store, &of, after).await, 1, "it begins after the first");
    // What limits begin with where their counts were lost.
    for (unit, expected) in [(LimitUnit::Requests, 24), (LimitUnit::Cost, 120)] {
        let used = store.used(&of, unit, period(10, 34)).await.expect("a sum");
        assert_eq!(used, expected);
    }
}

/// M8: when a key was last used is written once for a batch, never goes back, and no key is made by
/// it.
pub async fn use_is_noted_with_a_batch_and_never_goes_back<S: KeyStore + UsageLog>(store: S) {
    let key = issue(&store).await;
    let last = async || store.key(&KeyRef::from(&key)).await.expect("the key").last_used_at;
    assert_eq!(last().await, None);
    let events = [3, 1, 2].map(|hour| event(&key, later(hour))).to_vec();
    store.write(&batch(events)).await.expect("written");
    assert_eq!(last().await, Some(later(3)));
    store.write(&batch(vec![event(&key, later(2))])).await.expect("written");
    assert_eq!(last().await, Some(later(3)));
    store.write(&batch(vec![event(&key, later(4))])).await.expect("written");
    assert_eq!(last().await, Some(later(4)));
    let draft = store.issuer().draft(NewKey::named("never")).expect("a key").into_issued();
    store.write(&batch(vec![event(&draft, NOON)])).await.expect("it is recorded all the same");
    assert_eq!(requests(&store, &of_key(&draft), period(-1, 1)).await, 1);
    assert!(store.key(&KeyRef::from(&draft)).await.is_err());
}
