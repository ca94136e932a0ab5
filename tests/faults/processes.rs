//! F6, F7: instances that end, in order and without, and whose clocks differ.

use std::path::Path;
use std::time::Duration;

use keyauth_tests::history::Outcome;
use tokio::time::sleep;

use crate::fleet::Fleet;
use crate::outcomes::{USUAL, is_steady};
use crate::postgres::{usage, usage_is_whole};
use crate::report::Report;
use crate::trial::Trial;

/// Told to stop while its buffers are full: nothing is lost.
pub(crate) async fn one_is_told_to_stop(report: &mut Report, fleet: &mut Fleet) {
    let trial = Trial::begin_changing(fleet, vec![1, 2], 5).await;
    sleep(Duration::from_secs(2)).await;
    let well = fleet.instances[0].terminate().await;
    sleep(Duration::from_secs(1)).await;
    fleet.instances[0].start().await;
    fleet.wait_until_whole().await;
    sleep(Duration::from_secs(1)).await;
    let outcomes = trial.end().await;
    let name = "F6 SIGTERM with full buffers";
    outcomes.check(report, name, USUAL);
    report.never(format!("{name}: ends in error"), usize::from(!well), 1);
    usage_is_whole(report, fleet, name, &outcomes).await;
}

/// Killed under load, and started again over the same spool.
pub(crate) async fn one_is_killed(report: &mut Report, fleet: &mut Fleet, times: usize) {
    let (mut lost, mut twice, mut calls) = (0, 0, 0);
    let mut longest = Duration::ZERO;
    for _ in 0..times {
        let trial = Trial::begin_changing(fleet, vec![1, 2], 5).await;
        let began = trial.began();
        sleep(Duration::from_secs(2)).await;
        let killed = fleet.instances[0].kill().await.duration_since(began);
        sleep(Duration::from_millis(500)).await;
        fleet.instances[0].start().await;
        fleet.wait_until_whole().await;
        let outcomes = trial.end().await;
        outcomes.check(report, "F6 kill -9 under load", USUAL);
        let of = usage(fleet, &outcomes).await;
        let missing = of.lost;
        twice += of.twice;
        calls += of.calls;
        lost += missing;
        fleet.forget_the_dead().await;
        // The last answers that it gave are those that it had no time to write down, and the very
        // last came when it was killed.
        let mut answered: Vec<_> = outcomes.history.asked.iter().collect();
        answered.retain(|asked| {
            asked.instance == 0
                && asked.outcome == Outcome::Admitted
                && asked.end <= killed
                && is_steady(asked.key)
        });
        answered.sort_by_key(|asked| std::cmp::Reverse(asked.end));
        let first = missing.checked_sub(1).and_then(|first| answered.get(first));
        if let Some((first, last)) = first.zip(answered.first()) {
            longest = longest.max(last.end.saturating_sub(first.end));
        }
    }
    let bound = Duration::from_millis(10);
    let figure = format!("{longest:.1?}: {lost} of {calls} calls, {times} times");
    report.row(
        "usage lost on kill -9, the spool's disk surviving",
        figure,
        "10 ms",
        longest <= bound,
    );
    report.never("F6 kill -9: calls on record twice", twice, calls);
    report.totals.usage_twice += twice;
}

/// Two instances more, whose clocks are two and a half minutes slow and fast.
pub(crate) async fn clocks_differ(report: &mut Report, fleet: &mut Fleet, library: &Path) {
    let library = library.to_str().expect("a name in UTF-8");
    for offset in ["-150", "+150"] {
        let variables =
            [("LD_PRELOAD", library), ("FAKETIME", offset), ("FAKETIME_DONT_FAKE_MONOTONIC", "1")];
        fleet.add(&variables).await;
    }
    let (api, mut minutes) = (fleet.api(), Vec::new());
    for instance in 2..fleet.instances.len() {
        let date = api.date(instance).await;
        // As far as the minutes, of which more than two lie between them.
        minutes.push(date[..date.len() - ":00 GMT".len()].to_owned());
    }
    minutes.dedup();
    assert_eq!(minutes.len(), 3, "{minutes:?}: the scenario has shown nothing");
    let trial = Trial::begin(fleet).await;
    sleep(Duration::from_secs(8)).await;
    let outcomes = trial.end().await;
    let name = "F7 clocks that differ by five minutes";
    outcomes.check(report, name, USUAL);
    let (not, of) = outcomes.steady_not_admitted();
    report.never(format!("{name}: good keys not let through"), not, of);
    usage_is_whole(report, fleet, name, &outcomes).await;
    for _ in 0..2 {
        assert!(fleet.instances.pop().expect("they were added").terminate().await);
    }
}
