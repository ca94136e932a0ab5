//! Usage is recorded while the database is away: nothing is lost, nothing is there twice, and nobody
//! waits for it.

use std::time::Duration;

use keyauth_core::{
    Amount, Clock, IssuedKey, KeyRef, KeyStore, NewKey, OwnerId, SystemClock, UsageEvent,
};
use keyauth_metering::UsageRecorder;
use keyauth_postgres::PostgresStore;
use keyauth_testkit::{FaultProxy, PostgresServer, Wire};
use tokio::time::{Instant, sleep, timeout};

use crate::told;

/// How many calls end in a millisecond.
const PACE: usize = 2;

/// How long it is away; `KEYAUTH_OUTAGE` for another number of seconds.
fn outage() -> Duration {
    let seconds = std::env::var("KEYAUTH_OUTAGE").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(60))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn usage_outlives_a_database_that_is_away() {
    let server = PostgresServer::start(&[]).await;
    let store = PostgresStore::connect(&server.url()).await.expect("a server");
    store.migrate().await.expect("a schema");
    let key = store.issue(NewKey::named("used").owner("ada")).await.expect("a key");
    let proxy = FaultProxy::to(&server.url()).await;
    let log = PostgresStore::connect(proxy.url()).await.expect("a server");
    let folder = tempfile::tempdir().expect("a folder");
    let recorder = UsageRecorder::spooled(log, folder.path()).expect("a spool");
    let background = recorder.start();
    let mut slowest = Vec::new();
    let mut recorded = 0;
    let mut load = async |lasts| {
        let (count, worst) = record_for(&recorder, &key, lasts).await;
        recorded += count;
        slowest.push(worst);
    };
    load(Duration::from_secs(3)).await;
    let memory_before = memory();
    proxy.set_wire(Wire::Cut);
    // What was under way then was committed, or was not: nobody can say here.
    server.crash_and_restart().await;
    load(outage()).await;
    let memory_after = memory();
    proxy.set_wire(Wire::Whole);
    load(Duration::from_secs(3)).await;
    let since = Instant::now();
    let written = async { while recorder.flush().await.is_err() {} };
    timeout(Duration::from_secs(300), written).await.expect("it is written in the end");
    let caught_up = since.elapsed();
    background.shutdown().await;
    let count = async |statement| {
        let count = sqlx::query_scalar(statement).fetch_one(store.pool()).await;
        usize::try_from(count.map(|count: i64| count).expect("a count")).expect("a count")
    };
    let rows = count("SELECT count(*) FROM keyauth.usage").await;
    let sums = count("SELECT sum(requests)::bigint FROM keyauth.usage_days").await;
    told(format_args!(
        "PostgreSQL away for {:?}: {recorded} calls recorded, {rows} rows, {sums} in sums, {} lost; \
         slowest to record before, meanwhile and after {slowest:?}; memory {memory_before} and then \
         {memory_after} kB; written {caught_up:?} after it was back for three seconds",
        outage(),
        recorder.lost(),
    ));
    assert_eq!((rows, sums, recorder.lost()), (recorded, recorded, 0));
}

/// Records calls at a pace, and says how many, and how long the slowest took.
async fn record_for<U: keyauth_core::UsageLog>(
    recorder: &UsageRecorder<U>,
    key: &IssuedKey,
    lasts: Duration,
) -> (usize, Duration) {
    let clock = SystemClock::new();
    let until = clock.uptime() + lasts;
    let (mut count, mut slowest) = (0, Duration::ZERO);
    while clock.uptime() < until {
        for _ in 0..PACE {
            let event = event(key);
            let before = clock.uptime();
            recorder.record(event);
            slowest = slowest.max(clock.uptime() - before);
            count += 1;
        }
        sleep(Duration::from_millis(1)).await;
    }
    (count, slowest)
}

fn event(key: &IssuedKey) -> UsageEvent {
    let KeyRef { tenant, id } = KeyRef::from(key);
    UsageEvent {
        at: SystemClock::new().now(),
        tenant,
        owner: OwnerId::new("ada").expect("an owner"),
        group: None,
        key: id,
        route: "POST /chat".into(),
        resource: "small-model".into(),
        status: 200,
        cost: Amount::from_fractions(12_345),
        limit_cost: 1,
        input: 100,
        output: 20,
        duration: Duration::from_millis(250),
        address: Some([192, 0, 2, 1].into()),
    }
}

/// What this process has in memory, in kB, where the system tells.
fn memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().split(' ').next()?.parse().ok()).unwrap_or_default()
}
