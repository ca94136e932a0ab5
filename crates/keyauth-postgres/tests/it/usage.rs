//! The record of usage, where the database is more than a log: what it refuses, and its partitions.

use std::time::Duration;

use keyauth_core::{
    Amount, BatchId, Clock, IssuedKey, KeyRef, LimitedSubject, NewKey, OwnerId, Period,
    StoreErrorKind, SystemClock, Timestamp, UsageBatch, UsageEvent, UsageLog, UsageQuery,
    UsageReader,
};
use keyauth_postgres::PostgresStore;
use keyauth_postgres::sqlx;
use tokio::task::JoinSet;

use super::world::{World, execute};

const HOUR: i64 = 3_600_000_000;

pub(crate) fn event(key: &IssuedKey, at: Timestamp) -> UsageEvent {
    let KeyRef { tenant, id } = KeyRef::from(key);
    UsageEvent {
        at,
        tenant,
        owner: OwnerId::default(),
        group: None,
        key: id,
        route: "GET /".into(),
        resource: "".into(),
        status: 200,
        cost: Amount::from_units(1).expect("an amount"),
        limit_cost: 1,
        input: 0,
        output: 0,
        duration: Duration::from_millis(1),
        address: Some([192, 0, 2, 1].into()),
    }
}

fn batch(events: Vec<UsageEvent>) -> UsageBatch {
    UsageBatch { id: BatchId::begun_at(SystemClock::new().now()).expect("randomness"), events }
}

async fn count(store: &PostgresStore, statement: &'static str) -> i64 {
    sqlx::query_scalar(statement).fetch_one(store.pool()).await.expect("a count")
}

/// What a service may ask of it.
pub(crate) async fn write_and_read(store: &PostgresStore, key: &IssuedKey) {
    let now = SystemClock::new().now();
    // What is too long for an index, and what no text may have.
    let noise = (0..20_000_u32).map(|n| char::from(b'!' + (n.wrapping_mul(n) % 93) as u8));
    let refused = UsageEvent { resource: noise.collect::<String>().into(), ..event(key, now) };
    let odd = UsageEvent { resource: "\0".into(), ..event(key, Timestamp::from_micros(1)) };
    let set_aside = store.write(&batch(vec![event(key, now), refused, odd])).await;
    assert!(set_aside.expect("written") <= 1);
    let KeyRef { tenant, id } = KeyRef::from(key);
    let start = Timestamp::from_micros(now.as_micros() - HOUR);
    let period = Period { start, end: now.saturating_add(Duration::from_secs(1)) };
    let total = store.total(&LimitedSubject::Key(tenant, id), period).await.expect("a total");
    assert!((1..=2).contains(&total.requests));
    let all = Period { start: Timestamp::from_micros(i64::MIN), end: Timestamp::MAX };
    let KeyRef { tenant, id } = KeyRef::from(key);
    let total = store.total(&LimitedSubject::Key(tenant, id), all).await.expect("a total");
    assert!((2..=3).contains(&total.requests));
    let KeyRef { tenant, id } = KeyRef::from(key);
    let calls = store.calls(&LimitedSubject::Key(tenant, id), all, 100).await.expect("calls");
    assert!((2..=3).contains(&calls.len()));
    store.tidy(None).await.expect("tidied");
    store.tidy(Some(Duration::from_hours(24))).await.expect("tidied");
    let KeyRef { tenant, id } = KeyRef::from(key);
    let of = LimitedSubject::Key(tenant, id);
    store.calls(&of, all, 100).await.expect_err("the oldest is gone");
    assert_eq!(store.calls(&of, period, 100).await.expect("calls").len(), calls.len() - 1);
}

/// M11: what is refused is set aside alone, and once.
#[tokio::test]
async fn what_is_refused_is_set_aside_alone() {
    let world = World::create().await;
    let key = world.issue(NewKey::named("any")).await;
    world.run("ALTER TABLE keyauth.usage ADD CHECK (input <> 777)").await;
    let now = SystemClock::new().now();
    let events = (0..1_000).map(|number| UsageEvent { input: number, ..event(&key, now) });
    let batch = batch(events.collect());
    assert_eq!(world.store.write(&batch).await.expect("written"), 1);
    assert_eq!(count(&world.store, "SELECT count(*) FROM keyauth.usage").await, 999);
    let sums = "SELECT sum(requests)::bigint FROM keyauth.usage_days";
    assert_eq!(count(&world.store, sums).await, 999);
    let (place, set_aside): (i32, String) =
        sqlx::query_as("SELECT place, event FROM keyauth.usage_set_aside")
            .fetch_one(world.store.pool())
            .await
            .expect("it is there");
    assert_eq!(place, 777);
    assert!(set_aside.contains("\"input\":777"), "{set_aside}");
    // Sent again, also when it would be taken as a whole by now.
    world.run("ALTER TABLE keyauth.usage DROP CONSTRAINT usage_input_check").await;
    world.store.write(&batch).await.expect("written");
    assert_eq!(count(&world.store, "SELECT count(*) FROM keyauth.usage").await, 999);
}

/// M8: first uses at once are noted by one write.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn first_uses_at_once_are_noted_once() {
    let world = World::create().await;
    let key = world.issue(NewKey::named("any")).await;
    let watch = "CREATE TABLE public.writes (at timestamptz); \
                 CREATE FUNCTION public.note_write() RETURNS trigger LANGUAGE plpgsql AS \
                 'BEGIN INSERT INTO public.writes VALUES (new.last_used_at); RETURN NULL; END'; \
                 CREATE TRIGGER note_write AFTER INSERT OR UPDATE ON keyauth.key_usage \
                 FOR EACH ROW EXECUTE FUNCTION public.note_write()";
    world.run(watch).await;
    let now = SystemClock::new().now();
    let mut writing = JoinSet::new();
    for _ in 0..20 {
        let (store, batch) = (world.store.clone(), batch(vec![event(&key, now)]));
        // Again where others are in the way for too long.
        writing.spawn(async move { while store.write(&batch).await.is_err() {} });
    }
    let written = tokio::time::timeout(Duration::from_secs(60), writing.join_all()).await;
    written.expect("all are written");
    assert_eq!(count(&world.store, "SELECT count(*) FROM keyauth.usage").await, 20);
    assert_eq!(count(&world.store, "SELECT count(*) FROM public.writes").await, 1);
}

/// M8: where a use cannot be noted, nothing of its batch is written, and so nothing lost: whoever
/// records tries again, behind the requests' backs.
#[tokio::test]
async fn a_use_that_cannot_be_noted_is_written_later() {
    let world = World::create().await;
    let key = world.issue(NewKey::named("any")).await;
    let batch = batch(vec![event(&key, SystemClock::new().now())]);
    world.run("ALTER TABLE keyauth.key_usage RENAME TO away").await;
    let error = world.store.write(&batch).await.expect_err("it cannot be noted");
    assert_eq!(*error.kind(), StoreErrorKind::Unavailable);
    assert_eq!(count(&world.store, "SELECT count(*) FROM keyauth.usage").await, 0);
    world.run("ALTER TABLE keyauth.away RENAME TO key_usage").await;
    for _ in 0..2 {
        assert_eq!(world.store.write(&batch).await.expect("written"), 0);
    }
    assert_eq!(count(&world.store, "SELECT count(*) FROM keyauth.usage").await, 1);
    assert_eq!(count(&world.store, "SELECT count(*) FROM keyauth.key_usage").await, 1);
}

/// Days that are detached leave their sums, and their tables.
#[tokio::test]
async fn days_are_detached_and_their_sums_stay() {
    let world = World::create().await;
    let store = &world.store;
    let key = world.issue(NewKey::named("any")).await;
    let now = SystemClock::new().now();
    let today = now.as_micros() - now.as_micros().rem_euclid(24 * HOUR);
    let day = |ago: i64| Timestamp::from_micros(today - ago * 24 * HOUR);
    let events = (0..4).flat_map(|ago| [event(&key, day(ago)), event(&key, day(ago))]).collect();
    store.write(&batch(events)).await.expect("written");
    let KeyRef { tenant, id } = KeyRef::from(&key);
    let all = Period { start: day(10), end: day(-1) };
    let total = async || {
        let subject = LimitedSubject::Key(tenant.clone(), id);
        store.total(&subject, all).await.expect("a total").requests
    };
    assert_eq!(total().await, 8);
    let detached: Vec<String> =
        sqlx::query_scalar("SELECT keyauth.detach_usage(((now() AT TIME ZONE 'UTC')::date) - 1)")
            .fetch_all(store.pool())
            .await
            .expect("detached");
    assert_eq!(detached.len(), 2, "{detached:?}");
    assert_eq!(count(store, "SELECT count(*) FROM keyauth.usage").await, 4);
    assert_eq!(total().await, 8, "sums stay");
    let ahead = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'keyauth.usage'::regclass";
    assert_eq!(count(store, ahead).await, 4, "yesterday, today, and the next two days");
    for table in detached {
        let left = format!("SELECT count(*) FROM {table}");
        let left = sqlx::query_scalar(sqlx::AssertSqlSafe(left)).fetch_one(store.pool()).await;
        assert_eq!(left.ok(), Some(2_i64), "{table}");
    }
}

/// Who waits while days are detached is not answered by what is left.
#[tokio::test]
async fn what_is_detached_while_somebody_waits_is_missed() {
    let world = World::create().await;
    let store = &world.store;
    let key = world.issue(NewKey::named("any")).await;
    let now = SystemClock::new().now();
    let day = |ago: i64| Timestamp::from_micros(now.as_micros() - ago * 24 * HOUR);
    let events = (0..4).map(|ago| event(&key, day(ago))).collect();
    store.write(&batch(events)).await.expect("written");
    let KeyRef { tenant, id } = KeyRef::from(&key);
    let of = LimitedSubject::Key(tenant, id);
    let all = Period { start: day(3), end: day(-1) };
    let hours = UsageQuery::hourly(of.clone(), all).expect("few");
    assert_eq!(store.usage(&hours).await.expect("lines").len(), 4);

    let mut psql = world.psql().await;
    let detach = "BEGIN; SELECT keyauth.detach_usage(((now() AT TIME ZONE 'UTC')::date) - 1)";
    execute(&mut psql, detach).await;
    let readers = [store.clone(), store.clone()];
    let [summing, listing] = readers.map(|store| {
        let (of, hours) = (of.clone(), hours.clone());
        (store, of, hours)
    });
    let summing = tokio::spawn(async move { summing.0.usage(&summing.2).await.map(drop) });
    let listing = tokio::spawn(async move { listing.0.calls(&listing.1, all, 9).await.map(drop) });
    let waiting = "SELECT count(*) FROM pg_stat_activity \
                   WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let waits = async {
        while count(store, waiting).await < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), waits).await.expect("both wait for a lock");
    execute(&mut psql, "COMMIT").await;
    for waited in [summing, listing] {
        let refused = waited.await.expect("no panic").expect_err("some of it is gone");
        assert!(matches!(refused.kind(), StoreErrorKind::InvalidInput(_)), "{refused}");
    }
}
