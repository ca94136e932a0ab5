//! The cases of [`usage_log_conformance!`](crate::usage_log_conformance).
//!
//! Called by the macro; each takes a store that is a log and its reader as well, and uses keys of its
//! own.

use std::time::Duration;

use keyauth_core::{
    Amount, BatchId, ChangeFeed, FeedReader, IssuedKey, Key, KeyRef, KeyStore, LimitUnit,
    LimitedSubject, NewKey, Period, StoreErrorKind, TimeZone, Timestamp, UsageBatch,
    UsageDimension, UsageEvent, UsageLog, UsageQuery, UsageReader, UsageSums, UsageTotal,
};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::change_feed::{instance, told};

/// The third of June 2026 in UTC, at noon.
const NOON: Timestamp = Timestamp::from_unix_seconds(1_780_488_000);
const HOUR: i64 = 3_600_000_000;
/// Longer than anything takes.
const PATIENCE: Duration = Duration::from_secs(60);

fn later(hours: i64) -> Timestamp {
    Timestamp::from_micros(NOON.as_micros() + hours * HOUR)
}

fn period(from: i64, to: i64) -> Period {
    Period { start: later(from), end: later(to) }
}

/// What the cases take.
pub trait Store: KeyStore + UsageLog + UsageReader {}

impl<S: KeyStore + UsageLog + UsageReader> Store for S {}

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

async fn requests(log: &impl UsageReader, of: &LimitedSubject, period: Period) -> u64 {
    log.total(of, period).await.expect("a total").requests
}

/// M9, M10: a batch is written once, and all of it adds up.
pub async fn a_batch_is_written_once<S: Store>(store: S) {
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

/// What no single call comes to is added up exactly; what no call comes to is cut off, in rows and sums.
pub async fn large_figures_add_up<S: Store>(store: S) {
    const LARGE: u64 = 1 << 40;
    let key = issue(&store).await;
    let cost = Amount::from_fractions(i64::MAX / 8);
    let large = UsageEvent { input: LARGE, output: u64::MAX, cost, ..event(&key, NOON) };
    store.write(&batch(vec![large.clone(), large.clone()])).await.expect("written");
    store.write(&batch(vec![large.clone(), large])).await.expect("written");
    for period in [period(-1, 1), period(-100, 100)] {
        let total = store.total(&of_key(&key), period).await.expect("a total");
        assert_eq!((total.input, total.output), (4 * LARGE, 4 * LARGE));
        assert_eq!(total.cost.as_fractions(), i64::MAX / 8 * 4);
    }
}

/// Totals are those of everybody a key belongs to, and of nobody else.
pub async fn totals_are_of_whom_they_are_asked_for<S: Store>(store: S) {
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
        (LimitedSubject::Key(keyauth_core::TenantId::new("other").expect("a tenant"), key.id()), 0),
        (LimitedSubject::Other("nobody".into()), 0),
    ] {
        assert_eq!(requests(&store, &subject, day).await, expected, "{subject:?}");
    }
}

/// A period ends before its end, wherever in a day that is.
pub async fn periods_are_exact<S: Store + UsageSums>(store: S) {
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
pub async fn use_is_noted_with_a_batch_and_never_goes_back<S: Store>(store: S) {
    let key = issue(&store).await;
    let now = async || store.key(&KeyRef::from(&key)).await.expect("the key");
    let last = async || now().await.last_use.map(|last| last.at);
    assert_eq!(last().await, None);
    let events = [3, 1, 2].map(|hour| event(&key, later(hour))).to_vec();
    store.write(&batch(events)).await.expect("written");
    assert_eq!(last().await, Some(later(3)));
    store.write(&batch(vec![event(&key, later(2))])).await.expect("written");
    assert_eq!(last().await, Some(later(3)));
    store.write(&batch(vec![event(&key, later(4))])).await.expect("written");
    assert_eq!(last().await, Some(later(4)));
    // Using it changes nothing else.
    let used = now().await;
    assert_eq!(used.last_use.and_then(|last| last.from), Some([192, 0, 2, 1].into()));
    let unused = Key { last_use: None, ..used };
    assert_eq!(&unused, key.key());
    let draft = store.issuer().draft(NewKey::named("never")).expect("a key").into_issued();
    store.write(&batch(vec![event(&draft, NOON)])).await.expect("it is recorded all the same");
    assert_eq!(requests(&store, &of_key(&draft), period(-1, 1)).await, 1);
    assert!(store.key(&KeyRef::from(&draft)).await.is_err());
}

/// M8: of uses at once the last one counts, and none that comes within a minute of it.
pub async fn uses_at_once_are_noted_to_the_minute<S: Store + Clone + 'static>(store: S) {
    let key = issue(&store).await;
    let mut writing = JoinSet::new();
    for hour in 0..20 {
        let (store, batch) = (store.clone(), batch(vec![event(&key, later(hour))]));
        // Again where others are in the way for too long.
        writing.spawn(async move { while store.write(&batch).await.is_err() {} });
    }
    timeout(PATIENCE, writing.join_all()).await.expect("all are written");
    let now = async || store.key(&KeyRef::from(&key)).await.expect("the key");
    let last = async || now().await.last_use.map(|last| last.at);
    assert_eq!(last().await, Some(later(19)));
    assert_eq!(requests(&store, &of_key(&key), period(-1, 100)).await, 20);
    let after = |seconds: i64| Timestamp::from_micros(later(19).as_micros() + seconds * 1_000_000);
    for (used, noted) in [(59, 0), (60, 60), (119, 60), (120, 120)] {
        store.write(&batch(vec![event(&key, after(used))])).await.expect("written");
        assert_eq!(last().await, Some(after(noted)), "{used} seconds after it");
    }
}

/// R10: and no cache is told of it.
pub async fn using_a_key_is_no_change<S: Store + ChangeFeed>(store: S) {
    let key = issue(&store).await;
    let mut reader = store.reader(instance());
    reader.poll().await.expect("the store answers");
    reader.acknowledge().await.expect("the store answers");
    store.write(&batch(vec![event(&key, NOON), event(&key, later(2))])).await.expect("written");
    assert_eq!(told(&mut reader).await, (Vec::new(), 0));
}

/// By the hour, the day and the month, told apart by what was used, and of some of it alone.
pub async fn series_add_up<S: Store>(store: S) {
    let (key, other) = (issue(&store).await, issue(&store).await);
    let of_tenant = LimitedSubject::Tenant(KeyRef::from(&key).tenant);
    // Three days, a call each hour, from noon to noon, by turns of three models.
    let model = |hour: i64| match hour % 3 {
        0 => "small",
        1 => "large",
        _ => "",
    };
    let call = |hour: i64| UsageEvent { resource: model(hour).into(), ..event(&key, later(hour)) };
    let mut events: Vec<_> = (0..72).map(call).collect();
    events.push(UsageEvent { route: "GET /other".into(), ..event(&other, later(30)) });
    store.write(&batch(events)).await.expect("written");

    let all = period(0, 72);
    let requests = async |query: UsageQuery| -> Vec<u64> {
        let lines = store.usage(&query).await.expect("lines");
        lines.iter().map(|line| line.used.requests).collect()
    };
    let of = || of_key(&key);
    let berlin = TimeZone::named("Europe/Berlin").expect("a zone");
    let daily = |zone: &TimeZone| UsageQuery::daily(of(), all, zone).expect("few");
    assert_eq!(requests(daily(&TimeZone::UTC)).await, [12, 24, 24, 12]);
    assert_eq!(requests(daily(&berlin)).await, [10, 24, 24, 14]);
    let hourly = UsageQuery::hourly(of(), period(-5, 100)).expect("few");
    let lines = store.usage(&hourly).await.expect("lines");
    assert_eq!(lines.len(), 72, "none of what was not used");
    assert_eq!(lines.first().expect("a line").period, period(0, 1));
    assert!(lines.iter().all(|line| line.used.requests == 1 && line.used.output == 3));
    let monthly = UsageQuery::monthly(of_tenant.clone(), all, &berlin).expect("few");
    assert_eq!(requests(monthly).await, [73]);

    let by_resource = daily(&TimeZone::UTC).by(UsageDimension::Resource);
    let lines = store.usage(&by_resource).await.expect("lines");
    let found: Vec<_> = lines
        .iter()
        .map(|line| (line.period.start, line.resource.as_deref(), line.used.requests))
        .take(4)
        .collect();
    let (first, second) = (NOON, later(12));
    let expected = [
        (first, Some(""), 4),
        (first, Some("large"), 4),
        (first, Some("small"), 4),
        (second, Some(""), 8),
    ];
    assert_eq!(found, expected);
    assert!(lines.iter().all(|line| line.key.is_none() && line.route.is_none()));
    let large = || UsageQuery::total(of_tenant.clone(), all).of_resource("large");
    assert_eq!(requests(large()).await, [24]);
    assert_eq!(requests(large().of_route("GET /other")).await, [0; 0]);
    assert_eq!(requests(large().of_route("GET /")).await, [24]);

    let mut apart = UsageQuery::total(of_tenant, all);
    for dimension in [UsageDimension::Route, UsageDimension::Key, UsageDimension::Owner] {
        apart = apart.by(dimension);
    }
    let lines = store.usage(&apart).await.expect("lines");
    let mut found: Vec<_> =
        lines.iter().map(|line| (line.key, line.route.as_deref(), line.used.requests)).collect();
    found.sort_by_key(|line| line.2);
    let expected = [(Some(other.id()), Some("GET /other"), 1), (Some(key.id()), Some("GET /"), 72)];
    assert_eq!(found, expected);
    assert!(lines.iter().all(|line| line.owner.as_ref().is_some_and(|o| o.as_str() == "ada")));

    let nobody = UsageQuery::total(LimitedSubject::Other("nobody".into()), all);
    assert_eq!(requests(nobody).await, [0; 0]);
    assert!(UsageQuery::hourly(of(), period(0, 10_000)).is_err(), "too many");
}

/// More lines than anybody reads are refused, and nothing is left out silently.
pub async fn too_many_lines_are_refused<S: Store>(store: S) {
    let key = issue(&store).await;
    let call = |number| UsageEvent { resource: format!("{number}").into(), ..event(&key, NOON) };
    let events = (0..=UsageQuery::MOST_LINES).map(call).collect();
    store.write(&batch(events)).await.expect("written");
    let all = || UsageQuery::total(of_key(&key), period(-1, 1)).by(UsageDimension::Resource);
    let refused = store.usage(&all()).await.expect_err("too many");
    assert!(matches!(refused.kind(), StoreErrorKind::InvalidInput(_)), "{refused}");
    let one = store.usage(&all().of_resource("7")).await.expect("lines");
    assert_eq!(one.len(), 1);
}

/// Page by page each call is read once, and as it was written.
pub async fn calls_are_read_in_order<S: Store>(store: S) {
    let (key, other) = (issue(&store).await, issue(&store).await);
    // Three at once, each minute.
    let at = |minute: i64| Timestamp::from_micros(NOON.as_micros() + minute * 60_000_000);
    let call = |number: i64| UsageEvent {
        input: u64::try_from(number).expect("a number"),
        group: (number % 2 == 0).then(|| keyauth_core::GroupId::new("plan").expect("a group")),
        address: (number % 5 != 0).then(|| "2001:db8::1".parse().expect("an address")),
        status: if number % 7 == 0 { 0 } else { 200 },
        resource: "model, \"large\"".into(),
        ..event(&key, at(number / 3))
    };
    let mut events: Vec<_> = (0..60).map(call).collect();
    let written = events.clone();
    events.reverse();
    events.push(event(&other, at(3)));
    store.write(&batch(events)).await.expect("written");
    for count in [1, 4, 7, 1_000] {
        let mut found = Vec::new();
        let mut rest = Period { start: at(0), end: at(20) };
        loop {
            let page = store.calls(&of_key(&key), rest, count).await.expect("calls");
            let Some(last) = page.last() else { break };
            assert!(page.len() < usize::try_from(count).expect("a count") + 3, "{}", page.len());
            assert!(page.is_sorted_by_key(|call| call.at));
            rest.start = Timestamp::from_micros(last.at.as_micros() + 1);
            found.extend(page);
        }
        found.sort_by_key(|call| call.input);
        assert_eq!(found, written, "{count} at a time");
    }
    let tenant = KeyRef::from(&key).tenant;
    let some = Period { start: at(3), end: at(4) };
    let of = |of: LimitedSubject| {
        let store = &store;
        async move { store.calls(&of, some, 100).await.expect("calls").len() }
    };
    assert_eq!(of(of_key(&key)).await, 3);
    assert_eq!(of(LimitedSubject::Tenant(tenant.clone())).await, 4);
    let plan = keyauth_core::GroupId::new("plan").expect("a group");
    assert_eq!(of(LimitedSubject::Group(tenant, plan)).await, 1);
    assert_eq!(of(LimitedSubject::Other("nobody".into())).await, 0);
}

/// Calls go when they were kept long enough, by days; sums of them stay.
pub async fn calls_go_and_sums_stay<S: Store>(store: S) {
    let key = issue(&store).await;
    let now = store.issuer().now().as_micros();
    let ago = |days: i64| Timestamp::from_micros(now - days * 24 * HOUR);
    let of = of_key(&key);
    let events = [10, 9, 4, 0].map(|days| event(&key, ago(days))).to_vec();
    store.write(&batch(events)).await.expect("written");
    let all = Period { start: ago(20), end: ago(-2) };
    let calls = async |since: i64| {
        let period = Period { start: ago(since), ..all };
        store.calls(&of, period, 100).await.map(|calls| calls.len())
    };
    store.tidy(None).await.expect("tidied");
    store.tidy(Some(Duration::MAX)).await.expect("tidied");
    assert_eq!(calls(20).await.expect("calls"), 4);
    store.tidy(Some(Duration::from_secs(7 * 86_400))).await.expect("tidied");
    assert_eq!(calls(6).await.expect("calls"), 2);
    // Of what is there in part nothing is said.
    let refused = calls(9).await.expect_err("they are gone");
    assert!(matches!(refused.kind(), StoreErrorKind::InvalidInput(_)), "{refused}");
    let hours = UsageQuery::hourly(of.clone(), Period { start: ago(9), ..all }).expect("few");
    let refused = store.usage(&hours).await.expect_err("they are gone");
    assert!(matches!(refused.kind(), StoreErrorKind::InvalidInput(_)), "{refused}");
    let midnight = TimeZone::UTC.day(ago(20)).start;
    let whole = Period { start: midnight, ..all };
    assert_eq!(requests(&store, &of, whole).await, 4, "their sums stay");
    store.tidy(Some(Duration::ZERO)).await.expect("tidied");
    let today = Period { start: TimeZone::UTC.day(ago(0)).start, ..all };
    let calls = store.calls(&of, today, 100).await.expect("calls");
    assert_eq!(calls.len(), 1, "today's are still to come");
    assert_eq!(requests(&store, &of, whole).await, 4, "their sums stay");
}
