//! F2: PostgreSQL is not as it should be. What is cached is served, what is not known is not guessed,
//! and what was acknowledged holds.

use std::time::Duration;

use serde_json::json;
use tokio::time::sleep;

use crate::fleet::Fleet;
use crate::outcomes::{Outcomes, USUAL};
use crate::report::Report;
use crate::sql;
use crate::trial::Trial;

/// Away for a while: what is cached goes on, and no usage is lost.
pub(crate) async fn is_down(report: &mut Report, fleet: &Fleet, how_long: Duration) {
    let trial = Trial::begin(fleet).await;
    sleep(Duration::from_secs(2)).await;
    fleet.postgres.kill();
    sleep(how_long).await;
    fleet.postgres.restart().await;
    fleet.wait_until_whole().await;
    sleep(Duration::from_secs(2)).await;
    let outcomes = trial.end().await;
    let name = format!("F2 PostgreSQL down for {how_long:?}");
    outcomes.check(report, &name, USUAL);
    let (not, of) = outcomes.steady_not_admitted();
    report.never(format!("{name}: cached keys not let through"), not, of);
    usage_is_whole(report, fleet, &name, &outcomes).await;
}

/// Killed again and again, while changes are committed.
pub(crate) async fn is_killed_during_commits(report: &mut Report, fleet: &Fleet, times: usize) {
    let trial = Trial::begin(fleet).await;
    for _ in 0..times {
        sleep(Duration::from_millis(1_500)).await;
        fleet.postgres.crash_and_restart().await;
        fleet.wait_until_whole().await;
    }
    let outcomes = trial.end().await;
    let name = format!("F2 PostgreSQL killed {times} times during commits");
    outcomes.check(report, &name, USUAL);
    usage_is_whole(report, fleet, &name, &outcomes).await;
}

/// All connections wait: for a lock that somebody else holds, and then for a server that is frozen.
pub(crate) async fn has_no_connection_to_give(report: &mut Report, fleet: &Fleet) {
    let trial = Trial::begin(fleet).await;
    sleep(Duration::from_secs(1)).await;
    let url = fleet.postgres.url();
    let lock =
        "BEGIN; LOCK TABLE keyauth.keys IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(6); COMMIT";
    sql::execute(&url, lock).await.expect("locked");
    fleet.wait_until_whole().await;
    fleet.postgres.freeze();
    sleep(Duration::from_secs(6)).await;
    fleet.postgres.thaw();
    fleet.wait_until_whole().await;
    sleep(Duration::from_secs(1)).await;
    let outcomes = trial.end().await;
    let name = "F2 PostgreSQL's pool exhausted, by a lock and by a frozen server";
    let waited =
        (0..fleet.instances.len()).map(|at| outcomes.unknown_unanswered(at)).sum::<usize>();
    assert!(waited + outcomes.undone > 0, "nobody had to wait: the scenario has shown nothing");
    outcomes.check(report, name, USUAL);
    let (not, of) = outcomes.steady_not_admitted();
    report.never(format!("{name}: cached keys not let through"), not, of);
    usage_is_whole(report, fleet, name, &outcomes).await;
}

/// Changes that meet others in a deadlock (40P01) are made all the same, and once.
pub(crate) async fn finds_deadlocks(report: &mut Report, fleet: &Fleet) {
    const OWNERS: usize = 12;
    let (api, url) = (fleet.api(), fleet.postgres.url());
    let deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
    for statement in ["ALTER SYSTEM SET deadlock_timeout = '20ms'", "SELECT pg_reload_conf()"] {
        sql::execute(&url, statement).await.expect("it is found sooner");
    }
    let before = sql::number(&url, deadlocks).await;
    let trial = Trial::begin(fleet).await;
    let (mut undone, mut unanswered) = (0, 0);
    for number in 0..OWNERS {
        let owner = format!("deadlocked-{number}");
        let mut keys = Vec::new();
        for _ in 0..10 {
            let body = json!({"name": "deadlocked", "owner": owner});
            keys.push(api.issue(0, &body).await.expect("a key"));
        }
        // In the other order, over and over, while it is deleted.
        let opposed = format!(
            "DO $$ DECLARE one record; BEGIN FOR one IN SELECT id FROM keyauth.keys \
             WHERE owner = '{owner}' ORDER BY id DESC LOOP \
             UPDATE keyauth.keys SET name = 'opposed' WHERE id = one.id; \
             PERFORM pg_sleep(0.01); END LOOP; END $$"
        );
        let opposing = async {
            for _ in 0..3 {
                // It may be the one that has to give way.
                let _ = sql::execute(&url, &opposed).await;
            }
        };
        let deleting = async {
            sleep(Duration::from_millis(30)).await;
            api.delete(number % 3, &format!("/v1/owners/{owner}")).await
        };
        let (deleted, ()) = tokio::join!(deleting, opposing);
        unanswered += usize::from(deleted.is_err());
        for key in &keys {
            undone += usize::from(deleted.is_ok() && api.admits(number % 3, &key.secret).await);
        }
    }
    let deadlocks = sql::number(&url, deadlocks).await - before;
    assert!(deadlocks > 0, "the scenario has shown nothing");
    for statement in ["ALTER SYSTEM RESET deadlock_timeout", "SELECT pg_reload_conf()"] {
        sql::execute(&url, statement).await.expect("it is found as late as before");
    }
    let outcomes = trial.end().await;
    let name = "F2 deadlocks (40P01)";
    outcomes.check(report, name, USUAL);
    let of =
        format!("{OWNERS} owners with 10 keys, {deadlocks} deadlocks, {unanswered} unanswered");
    report.never(format!("{name}: keys that live on after they were deleted"), undone, of);
}

/// No room for what is written: changes fail and say so, and what was acknowledged holds.
pub(crate) async fn disk_is_full(report: &mut Report, fleet: &Fleet) {
    let url = fleet.postgres.url();
    let disk = fleet.postgres.small_disk();
    let folder = disk.folder();
    sql::execute(&url, &format!("CREATE TABLESPACE small LOCATION '{folder}'"))
        .await
        .expect("room");
    let moved = "ALTER TABLE keyauth.keys SET TABLESPACE small; \
                 ALTER TABLE keyauth.secrets SET TABLESPACE small; \
                 ALTER TABLE keyauth.invalidations SET TABLESPACE small";
    sql::execute(&url, moved).await.expect("moved");
    let trial = Trial::begin(fleet).await;
    sleep(Duration::from_secs(1)).await;
    disk.fill();
    sleep(Duration::from_secs(8)).await;
    disk.free();
    fleet.wait_until_whole().await;
    sleep(Duration::from_secs(1)).await;
    let outcomes = trial.end().await;
    let name = "F2 PostgreSQL's disk full";
    assert!(outcomes.undone > 0, "there was room: the scenario has shown nothing");
    outcomes.check(report, name, USUAL);
    let (not, of) = outcomes.steady_not_admitted();
    report.never(format!("{name}: cached keys not let through"), not, of);
    let back = "ALTER TABLE keyauth.keys SET TABLESPACE pg_default; \
                ALTER TABLE keyauth.secrets SET TABLESPACE pg_default; \
                ALTER TABLE keyauth.invalidations SET TABLESPACE pg_default";
    sql::execute(&url, back).await.expect("moved back");
    sql::execute(&url, "DROP TABLESPACE small").await.expect("nothing is left there");
}

/// Every call is on record that was answered, and none twice.
pub(crate) async fn usage_is_whole(
    report: &mut Report,
    fleet: &Fleet,
    name: &str,
    outcomes: &Outcomes,
) {
    let Usage { calls, lost, twice } = usage(fleet, outcomes).await;
    report.totals.usage += calls;
    report.totals.usage_lost += lost;
    report.totals.usage_twice += twice;
    report.never(format!("{name}: calls not on record"), lost, calls);
    report.never(format!("{name}: calls on record twice"), twice, calls);
}

/// What is on record of the calls of a trial.
pub(crate) struct Usage {
    pub(crate) calls: usize,
    /// Of each key, how many were let through and are not there.
    pub(crate) lost: usize,
    /// And how many are there that were not asked for, or that sums of days have and others not.
    pub(crate) twice: usize,
}

/// Reads it when all that waits is written, and nothing more comes.
pub(crate) async fn usage(fleet: &Fleet, outcomes: &Outcomes) -> Usage {
    let url = fleet.postgres.url();
    let expected = outcomes.steady_calls(fleet.instances.len());
    let mut recorded = Vec::new();
    let mut unchanged = 0;
    // What waits is written within seconds; what is lost, never.
    for _ in 0..60 {
        let now = sql::recorded(&url, &outcomes.steady).await;
        unchanged = if now == recorded { unchanged + 1 } else { 0 };
        recorded = now;
        let all = expected.iter().zip(&recorded).all(|([least, _], [calls, _])| calls >= least);
        if unchanged >= if all { 3 } else { 20 } {
            break;
        }
        sleep(Duration::from_millis(500)).await;
    }
    let mut usage = Usage { calls: 0, lost: 0, twice: 0 };
    for ([least, most], [calls, sums]) in expected.iter().zip(&recorded) {
        usage.calls += calls;
        usage.lost += least.saturating_sub(*calls);
        usage.twice += calls.saturating_sub(*most) + sums.abs_diff(*calls);
    }
    usage
}
