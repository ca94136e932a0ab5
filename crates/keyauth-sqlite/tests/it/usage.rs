//! The record of usage, where the file refuses something.

use std::path::Path;
use std::time::Duration;

use keyauth_core::{
    Amount, BatchId, Clock, IssuedKey, KeyRef, KeyStore, LimitedSubject, NewKey, OwnerId,
    StoreErrorKind, SystemClock, TimeZone, Timestamp, UsageBatch, UsageEvent, UsageLog,
    UsageReader,
};
use keyauth_sqlite::{SqliteStore, sqlx};
use tokio::task::JoinSet;
use tokio::time::timeout;

fn event(key: &IssuedKey, at: Timestamp) -> UsageEvent {
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
        cost: Amount::ZERO,
        limit_cost: 1,
        input: 0,
        output: 0,
        duration: Duration::ZERO,
        address: None,
    }
}

fn batch(events: Vec<UsageEvent>) -> UsageBatch {
    UsageBatch { id: BatchId::begun_at(SystemClock::new().now()).expect("randomness"), events }
}

/// The file as others see it.
async fn by_hand(file: &Path) -> sqlx::SqlitePool {
    sqlx::SqlitePool::connect(file.to_str().expect("a path")).await.expect("the file")
}

async fn count(pool: &sqlx::SqlitePool, statement: &'static str) -> i64 {
    sqlx::query_scalar(statement).fetch_one(pool).await.expect("a count")
}

/// M11: what is refused is set aside alone, and once.
#[tokio::test]
async fn what_is_refused_is_set_aside_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("keys.db");
    let store = SqliteStore::open(&file).await.expect("a file");
    let key = store.issue(NewKey::named("any")).await.expect("a key");
    let pool = by_hand(&file).await;
    let refuse = "CREATE TRIGGER refuse BEFORE INSERT ON usage WHEN new.input = 777 \
                  BEGIN SELECT RAISE(ABORT, 'not that one'); END";
    sqlx::query(refuse).execute(&pool).await.expect("a trigger");
    let now = SystemClock::new().now();
    let events = (0..1_000).map(|input| UsageEvent { input, ..event(&key, now) });
    let batch = batch(events.collect());
    assert_eq!(store.write(&batch).await.expect("written"), 1);
    sqlx::query("DROP TRIGGER refuse").execute(&pool).await.expect("no trigger");
    assert_eq!(store.write(&batch).await.expect("it was"), 0);
    let KeyRef { tenant, id } = KeyRef::from(&key);
    let of = LimitedSubject::Key(tenant, id);
    let today = TimeZone::UTC.day(now);
    let total = store.total(&of, today).await.expect("a total");
    assert_eq!((total.requests, total.input), (999, (0..1_000).sum::<u64>() - 777));
    assert_eq!(store.calls(&of, today, 2_000).await.expect("calls").len(), 999);
    let (place, event, reason): (i64, String, String) =
        sqlx::query_as("SELECT place, event, reason FROM usage_set_aside")
            .fetch_one(&pool)
            .await
            .expect("one");
    assert_eq!(place, 777);
    assert!(event.contains("\"input\":777") && reason.contains("not that one"), "{event} {reason}");
}

/// M8: first uses at once are noted by one write.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn first_uses_at_once_are_noted_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("keys.db");
    let store = SqliteStore::open(&file).await.expect("a file");
    let key = store.issue(NewKey::named("any")).await.expect("a key");
    let pool = by_hand(&file).await;
    let watch = "CREATE TABLE writes (at INTEGER); \
                 CREATE TRIGGER first_use AFTER INSERT ON key_usage \
                 BEGIN INSERT INTO writes VALUES (new.last_used_at); END; \
                 CREATE TRIGGER later_use AFTER UPDATE ON key_usage \
                 BEGIN INSERT INTO writes VALUES (new.last_used_at); END";
    sqlx::raw_sql(watch).execute(&pool).await.expect("triggers");
    let now = SystemClock::new().now();
    let mut writing = JoinSet::new();
    for _ in 0..20 {
        let (store, batch) = (store.clone(), batch(vec![event(&key, now)]));
        // Again where others are in the way for too long.
        writing.spawn(async move { while store.write(&batch).await.is_err() {} });
    }
    timeout(Duration::from_secs(60), writing.join_all()).await.expect("all are written");
    assert_eq!(count(&pool, "SELECT count(*) FROM usage").await, 20);
    assert_eq!(count(&pool, "SELECT count(*) FROM writes").await, 1);
}

/// M8: where a use cannot be noted, nothing of its batch is written, and so nothing lost: whoever
/// records tries again, behind the requests' backs.
#[tokio::test]
async fn a_use_that_cannot_be_noted_is_written_later() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("keys.db");
    let store = SqliteStore::open(&file).await.expect("a file");
    let key = store.issue(NewKey::named("any")).await.expect("a key");
    let pool = by_hand(&file).await;
    let batch = batch(vec![event(&key, SystemClock::new().now())]);
    let run = async |statement: &'static str| {
        sqlx::raw_sql(statement).execute(&pool).await.expect("done");
    };
    run("ALTER TABLE key_usage RENAME TO away").await;
    let error = store.write(&batch).await.expect_err("it cannot be noted");
    assert_eq!(*error.kind(), StoreErrorKind::Unavailable);
    assert_eq!(count(&pool, "SELECT count(*) FROM usage").await, 0);
    run("ALTER TABLE away RENAME TO key_usage").await;
    for _ in 0..2 {
        assert_eq!(store.write(&batch).await.expect("written"), 0);
    }
    assert_eq!(count(&pool, "SELECT count(*) FROM usage").await, 1);
    assert_eq!(count(&pool, "SELECT count(*) FROM key_usage").await, 1);
}
