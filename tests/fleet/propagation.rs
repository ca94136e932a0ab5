//! How long a revoke takes to reach everybody, and that a waiting one has when it returns.

use std::time::Duration;

use keyauth_core::{ChangeFeed, Clock, KeyStore, NewKey, Propagation, SystemClock};
use keyauth_postgres::PostgresStore;
use keyauth_testkit::PostgresDatabase;

use keyauth_tests::Instance;

const PROCESSES: usize = 3;
/// Verifications a second, in each process.
const RATE: u32 = 2_000;
/// For how long they go on when the revoke has returned.
const AFTERWARDS: Duration = Duration::from_millis(50);

/// Prints the figures; `KEYAUTH_REVOKES=1000` for those that are worth comparing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::print_stdout, reason = "figures are for people")]
async fn no_request_that_begins_after_a_waiting_revoke_returned_gets_through() {
    let revokes = std::env::var("KEYAUTH_REVOKES").ok().and_then(|text| text.parse().ok());
    let revokes: usize = revokes.unwrap_or(50);
    let database = PostgresDatabase::create().await;
    let store = PostgresStore::connect(database.url()).await.expect("a server");
    store.migrate().await.expect("a schema");
    let mut instances = Vec::new();
    for at in 0..PROCESSES {
        let name = format!("instance {at}");
        instances.push(
            Instance::start(crate::INSTANCE, database.url(), &name, Duration::from_secs(5)).await,
        );
    }
    let clock = SystemClock::new();
    let (mut taken, mut waited, mut late, mut requests) = (Vec::new(), Vec::new(), 0, 0);
    for _ in 0..revokes {
        let key = store.issue(NewKey::named("short-lived")).await.expect("a key");
        for instance in &mut instances {
            instance.wait_for(key.reveal(), "admitted").await;
            instance.hammer(RATE, key.reveal()).await;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
        let began = clock.uptime();
        let revoked = store.revoke_and_wait(&key, Duration::from_secs(60)).await;
        let (_, propagation) = revoked.expect("revoked");
        let returned = clock.uptime();
        assert_eq!(propagation, Propagation::Acknowledged);
        waited.push(returned - began);
        // Long enough for whatever was under way to come home.
        tokio::time::sleep(AFTERWARDS).await;
        for instance in &mut instances {
            let hammered = instance.hammered().await;
            assert!(hammered.last > returned, "nothing was asked after it had returned");
            taken.push(hammered.first_refused.saturating_sub(began));
            late += u64::from(hammered.last_admitted > returned);
            requests += hammered.count;
        }
    }
    println!("{revokes} revokes, {PROCESSES} processes, {requests} requests");
    println!("from the call to the first refusal: {}", percentiles(&mut taken));
    println!("from the call to its return:        {}", percentiles(&mut waited));
    assert_eq!(late, 0, "requests that began after a waiting revoke had returned got through");
    for instance in instances {
        instance.end().await;
    }
}

fn percentiles(times: &mut [Duration]) -> String {
    times.sort();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100];
    format!("p50 {:?}, p99 {:?}, max {:?}", at(50), at(99), at(100))
}
