//! The record of usage, where the file refuses something.

use std::time::Duration;

use keyauth_core::{
    Amount, BatchId, Clock, KeyRef, KeyStore, LimitedSubject, NewKey, OwnerId, SystemClock,
    TimeZone, UsageBatch, UsageEvent, UsageLog, UsageReader,
};
use keyauth_sqlite::{SqliteStore, sqlx};

/// M11: what is refused is set aside alone, and once.
#[tokio::test]
async fn what_is_refused_is_set_aside_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("keys.db");
    let store = SqliteStore::open(&file).await.expect("a file");
    let key = store.issue(NewKey::named("any")).await.expect("a key");
    let KeyRef { tenant, id } = KeyRef::from(&key);
    let pool = sqlx::SqlitePool::connect(file.to_str().expect("a path")).await.expect("the file");
    let refuse = "CREATE TRIGGER refuse BEFORE INSERT ON usage WHEN new.input = 777 \
                  BEGIN SELECT RAISE(ABORT, 'not that one'); END";
    sqlx::query(refuse).execute(&pool).await.expect("a trigger");
    let now = SystemClock::new().now();
    let events = (0..1_000).map(|input| UsageEvent {
        at: now,
        tenant: tenant.clone(),
        owner: OwnerId::default(),
        group: None,
        key: id,
        route: "GET /".into(),
        resource: "".into(),
        status: 200,
        cost: Amount::ZERO,
        limit_cost: 1,
        input,
        output: 0,
        duration: Duration::ZERO,
        address: None,
    });
    let batch =
        UsageBatch { id: BatchId::begun_at(now).expect("randomness"), events: events.collect() };
    assert_eq!(store.write(&batch).await.expect("written"), 1);
    sqlx::query("DROP TRIGGER refuse").execute(&pool).await.expect("no trigger");
    assert_eq!(store.write(&batch).await.expect("it was"), 0);
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
