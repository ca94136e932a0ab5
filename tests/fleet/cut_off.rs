//! Processes that cannot hear.

use std::time::Duration;

use keyauth_core::{ChangeFeed, Clock, KeyStore, NewKey, Propagation, Subject, SystemClock};
use keyauth_postgres::PostgresStore;
use keyauth_testkit::{FaultProxy, PostgresDatabase, Wire};

use keyauth_tests::Instance;

async fn world() -> (PostgresStore, PostgresDatabase) {
    let database = PostgresDatabase::create().await;
    let store = PostgresStore::connect(database.url()).await.expect("a server");
    store.migrate().await.expect("a schema");
    (store, database)
}

/// A key is admitted before that, since whoever has not polled asks the store; and whoever has not
/// is waited for by nobody.
async fn wait_until_polled_by(count: i64, store: &PostgresStore) {
    let serving = "SELECT count(*) FROM keyauth.instances WHERE applied IS NOT NULL";
    let serving = || sqlx::query_scalar::<_, i64>(serving).fetch_one(store.pool());
    while serving().await.expect("a count") < count {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_process_that_was_stopped_serves_nothing_before_it_has_polled() {
    // F5, with a staleness of one second in place of five, so that three are long.
    let (store, database) = world().await;
    let second = Duration::from_secs(1);
    let mut stopped = Instance::start(crate::INSTANCE, database.url(), "stopped", second).await;
    for _ in 0..3 {
        let key = store.issue(NewKey::named("short-lived")).await.expect("a key");
        stopped.wait_for(key.reveal(), "admitted").await;
        stopped.signal("-STOP").await;
        store.revoke(&key).await.expect("revoked");
        tokio::time::sleep(3 * second).await;
        // What it is asked while it is stopped is the first that it sees.
        stopped.command(&format!("verify {}", key.reveal())).await;
        stopped.signal("-CONT").await;
        assert_eq!(stopped.answer().await, "key_revoked");
    }
    stopped.end().await;
}

#[tokio::test]
async fn a_process_that_is_cut_off_alone_is_named_and_mends_itself() {
    // F4
    let (store, database) = world().await;
    let proxy = FaultProxy::to(database.url()).await;
    let second = Duration::from_secs(1);
    let mut cut_off = Instance::start(crate::INSTANCE, proxy.url(), "cut off", second).await;
    let mut other = Instance::start(crate::INSTANCE, database.url(), "other", second).await;
    let key = store.issue(NewKey::named("short-lived")).await.expect("a key");
    cut_off.wait_for(key.reveal(), "admitted").await;
    other.wait_for(key.reveal(), "admitted").await;
    wait_until_polled_by(2, &store).await;
    for wire in [Wire::Dead, Wire::Cut] {
        proxy.set_wire(wire);
        let (_, propagation) =
            store.revoke_and_wait(&key, 2 * second).await.expect("revoked all the same");
        assert_eq!(other.verify(key.reveal()).await, "key_revoked");
        assert_eq!(propagation, Propagation::TimedOut { missing: vec!["cut off".into()] });
        // It has been told nothing, and the store does not answer.
        let unknown = store.issuer().draft(NewKey::named("unknown")).expect("a key").into_issued();
        assert_eq!(cut_off.verify(unknown.reveal()).await, "unavailable", "never a 401");
    }
    proxy.set_wire(Wire::Whole);
    cut_off.wait_for(key.reveal(), "key_revoked").await;
    other.end().await;
    cut_off.end().await;
}

#[tokio::test]
async fn a_process_that_was_killed_is_waited_for_and_no_longer_than_it_could_serve() {
    let (store, database) = world().await;
    let second = Duration::from_secs(1);
    let killed = Instance::start(crate::INSTANCE, database.url(), "killed", second).await;
    wait_until_polled_by(1, &store).await;
    killed.signal("-KILL").await;
    let key = store.issue(NewKey::named("short-lived")).await.expect("a key");
    let (_, propagation) = store.revoke_and_wait(&key, 2 * second).await.expect("revoked");
    // It is to be waited for as long as it may bridge an outage: a minute by default.
    assert_eq!(propagation, Propagation::TimedOut { missing: vec!["killed".into()] });
}

#[tokio::test]
async fn a_process_that_is_cut_off_serves_no_longer_than_a_wait_without_its_answer() {
    let (store, database) = world().await;
    let proxy = FaultProxy::to(database.url()).await;
    let (second, clock) = (Duration::from_secs(1), SystemClock::new());
    let mut cut_off =
        Instance::start_with_grace(crate::INSTANCE, proxy.url(), "cut off", second, 3 * second)
            .await;
    wait_until_polled_by(1, &store).await;
    for wire in [Wire::Dead, Wire::Cut] {
        // Twice, since the first may be told by a poll that the dead wire has held up, whose lease
        // is over when it comes home.
        for _ in 0..2 {
            let key = store.issue(NewKey::named("any")).await.expect("a key");
            let heard = store.propagated(&Subject::Key(key.id()), 60 * second).await;
            assert_eq!(heard.expect("an answer"), Propagation::Acknowledged);
        }
        let key = store.issue(NewKey::named("short-lived")).await.expect("a key");
        cut_off.wait_for(key.reveal(), "admitted").await;
        proxy.set_wire(wire);
        cut_off.hammer(500, key.reveal()).await;
        let began = clock.uptime();
        let (_, propagation) = store.revoke_and_wait(&key, 60 * second).await.expect("revoked");
        let returned = clock.uptime();
        assert_eq!(propagation, Propagation::Elapsed { missing: vec!["cut off".into()] });
        // Two requests that get no answer, one of which began after the return.
        tokio::time::sleep(3 * second).await;
        let hammered = cut_off.hammered().await;
        assert!(hammered.last_admitted > began + 2 * second, "it did serve while it might");
        assert!(hammered.last_admitted < returned, "and not when the wait was over");
        assert!(hammered.last > returned);
        proxy.set_wire(Wire::Whole);
    }
    cut_off.end().await;
}
