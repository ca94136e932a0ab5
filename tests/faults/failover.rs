//! F9: another PostgreSQL than before, or an older state of it.

use std::time::Duration;

use keyauth_testkit::Wire;
use keyauth_tests::history::Bounds;
use tokio::time::sleep;

use crate::fleet::Fleet;
use crate::outcomes::USUAL;
use crate::report::Report;
use crate::sql;
use crate::trial::Trial;

/// Killed so that transaction numbers come again.
pub(crate) async fn numbers_come_again(report: &mut Report, fleet: &Fleet) {
    let url = fleet.postgres.url();
    let next = "SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint";
    sql::execute(&url, "CREATE TABLE scratch ()").await.expect("a table");
    let trial = Trial::begin(fleet).await;
    let mut came_again = 0;
    for _ in 0..3 {
        sleep(Duration::from_secs(1)).await;
        // Numbers that are given out and over with, of which nothing is on disk when it ends: no
        // commit of anybody's takes them there.
        trial.pause(true);
        sleep(Duration::from_secs(3)).await;
        let taken = url.clone();
        let burning = tokio::spawn(async move {
            let burn = "DO $$ BEGIN FOR round IN 1..300 LOOP BEGIN \
                        INSERT INTO scratch DEFAULT VALUES; RAISE division_by_zero; \
                        EXCEPTION WHEN division_by_zero THEN NULL; END; END LOOP; \
                        PERFORM pg_sleep(60); END $$";
            let _ = sql::execute(&taken, burn).await;
        });
        // Everybody polls meanwhile, and has seen numbers that are not there any more afterwards.
        sleep(Duration::from_millis(2_500)).await;
        let before = sql::number(&url, next).await;
        fleet.postgres.crash_and_restart().await;
        burning.abort();
        trial.pause(false);
        let after = sql::number(&url, next).await;
        came_again += (before - after).max(0);
        fleet.wait_until_whole().await;
    }
    let outcomes = trial.end().await;
    let name = format!("F9 PostgreSQL killed, {came_again} transaction numbers come again");
    outcomes.check(report, &name, USUAL);
    assert!(came_again > 0, "the scenario has shown nothing");
}

/// Instances whose lookups go to a replica that lags, and then to it as the new primary.
pub(crate) async fn a_replica_lags_and_is_promoted(report: &mut Report, fleet: &Fleet) {
    let replica = fleet.postgres.start_replica().await;
    let lagging = &fleet.instances[0];
    lagging.database.lead_to(&replica);
    renew(&lagging.database).await;
    let trial = Trial::begin_changing(fleet, vec![1, 2], 5).await;
    for _ in 0..3 {
        sql::execute(&replica, "SELECT pg_wal_replay_pause()").await.expect("it lags");
        sleep(Duration::from_secs(3)).await;
        sql::execute(&replica, "SELECT pg_wal_replay_resume()").await.expect("it follows");
        sleep(Duration::from_secs(1)).await;
    }
    sql::execute(&replica, "SELECT pg_wal_replay_pause()").await.expect("it lags");
    let outcomes = trial.end().await;
    // Of new keys it does not know until it has heard of them.
    let bounds = Bounds { arrival: Duration::from_secs(3_600), ..USUAL };
    outcomes.check(report, "F9 lookups sent to a replica that lags", bounds);
    sql::execute(&replica, "SELECT pg_wal_replay_resume()").await.expect("it follows");

    // Whoever asks a replica can change nothing.
    let trial = Trial::begin_changing(fleet, vec![1, 2], 5).await;
    let keys = trial.watch(1, 12).await;
    for key in &keys[..6] {
        trial.revoke_watched(1, *key).await;
    }
    trial.hold_changes(true).await;
    // What it has not heard of when the primary is gone is lost, which nobody can mend.
    let heard = "SELECT (pg_last_wal_replay_lsn() = pg_last_wal_receive_lsn())::int::bigint";
    while sql::number(&replica, heard).await == 0 {
        sleep(Duration::from_millis(50)).await;
    }
    sleep(Duration::from_secs(1)).await;

    // The old one is still there, and nobody asks it any more.
    sql::execute(&replica, "SELECT pg_promote()").await.expect("promoted");
    for instance in &fleet.instances {
        for proxy in [&instance.database, &instance.feed] {
            proxy.lead_to(&replica);
            renew(proxy).await;
        }
    }
    fleet.wait_until_whole().await;
    for key in &keys[6..] {
        trial.revoke_watched(1, *key).await;
    }
    trial.hold_changes(false).await;
    sleep(Duration::from_secs(6)).await;
    let outcomes = trial.end().await;
    let name = "F9 a replica is promoted under load";
    outcomes.check(report, name, USUAL);
    let (not, of) = outcomes.steady_not_admitted();
    report.never(format!("{name}: good keys not let through"), not, of);
}

/// Breaks the connections that there are.
async fn renew(proxy: &keyauth_testkit::FaultProxy) {
    proxy.set_wire(Wire::Cut);
    sleep(Duration::from_millis(100)).await;
    proxy.set_wire(Wire::Whole);
}
