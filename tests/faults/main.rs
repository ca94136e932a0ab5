//! A fleet of `keyauth serve` over PostgreSQL and Redis, while something goes wrong: F1 to F9, with
//! the promises that are to hold meanwhile checked at the end.
//!
//!     just faults                                         # all of it, half an hour at least
//!     cargo test -p keyauth-tests --test faults           # a short selection
//!     cargo test -p keyauth-tests --test faults -- --all redis   # those with this in their names
//!
//! It ends with a row for each promise, also as `target/keyauth-faults.json`, and fails where one does
//! not hold.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod api;
mod cut_off;
mod failover;
mod fleet;
mod flood;
mod limits;
mod money;
mod outcomes;
mod postgres;
mod processes;
mod redis;
mod report;
mod soak;
mod sql;
mod timing;
mod trial;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use fleet::Fleet;
use keyauth_testkit::fake_time_library;
use report::{Report, say};
use tokio::time::timeout;

const INSTANCES: usize = 3;
/// Longer than everything takes.
const PATIENCE: Duration = Duration::from_secs(2 * 3_600);

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--list") {
        return ExitCode::SUCCESS;
    }
    let all = arguments.iter().any(|argument| argument == "--all");
    let named: Vec<_> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    let chosen = Chosen { all, named: named.into_iter().cloned().collect() };
    // The client wants one, though it speaks without.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.expect("threads");
    let mut report = Report::default();
    // What is there so far is told, whatever comes between.
    let ended = catch_unwind(AssertUnwindSafe(|| {
        runtime.block_on(async {
            tokio::select! {
                ended = timeout(PATIENCE, run(&chosen, &mut report)) => ended.is_ok(),
                _ = tokio::signal::ctrl_c() => false,
            }
        })
    }));
    report.sum_up();
    match ended {
        Ok(true) => {}
        Ok(false) => report.broken_off("it was ended, or has taken too long"),
        Err(_) => report.broken_off("a panic"),
    }
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("keyauth-faults.json");
    if report.finish(&file) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What is to be run.
struct Chosen {
    all: bool,
    named: Vec<String>,
}

impl Chosen {
    /// Whether that is something by this name, which is in the short selection or not.
    fn has(&self, name: &str, in_short: bool) -> bool {
        let meant = self.named.is_empty() || self.named.iter().any(|named| name.contains(named));
        let chosen = meant && (self.all || in_short || !self.named.is_empty());
        if chosen {
            say(&format!("== {name}"));
        }
        chosen
    }
}

impl Chosen {
    /// Whether it is asked for by just this name.
    fn has_named(&self, name: &str) -> bool {
        self.named.iter().any(|named| named == name) && self.has(name, false)
    }
}

async fn run(chosen: &Chosen, report: &mut Report) {
    let mut fleet = Fleet::start(INSTANCES).await;
    let (seconds, minute) = (Duration::from_secs, Duration::from_secs(60));
    if chosen.has("revokes arrive", false) {
        cut_off::revokes_arrive(report, &fleet, 200).await;
    }
    for fault in redis::Fault::ALL {
        if chosen.has(&format!("redis {fault:?}"), matches!(fault, redis::Fault::Frozen)) {
            redis::goes_wrong(report, &fleet, fault).await;
        }
    }
    if chosen.has("redis down at start", false) {
        redis::is_down_at_start(report, &mut fleet).await;
    }
    if chosen.has("postgres down for a minute", false) {
        postgres::is_down(report, &fleet, minute).await;
    }
    if chosen.has("postgres killed during commits", true) {
        let times = if chosen.all { 5 } else { 1 };
        postgres::is_killed_during_commits(report, &fleet, times).await;
    }
    if chosen.has("postgres pool exhausted", false) {
        postgres::has_no_connection_to_give(report, &fleet).await;
    }
    if chosen.has("postgres deadlocks", false) {
        postgres::finds_deadlocks(report, &fleet).await;
    }
    if chosen.has("postgres disk full", false) {
        postgres::disk_is_full(report, &fleet).await;
    }
    if chosen.has("feed half open", false) {
        cut_off::feed_is_half_open(report, &fleet).await;
    }
    if chosen.has("one cut off", true) {
        let how_long = if chosen.all { seconds(75) } else { seconds(4) };
        cut_off::one_is_cut_off(report, &fleet, how_long).await;
    }
    if chosen.has("one cut off serves no longer than it may", false) {
        cut_off::serves_no_longer_than_it_may(report, &fleet).await;
    }
    if chosen.has("one cut off, strictly", false) {
        cut_off::serves_no_longer_than_it_may_strictly(report, &fleet).await;
    }
    if chosen.has("one stopped", true) {
        let how_long = if chosen.all { seconds(30) } else { seconds(8) };
        cut_off::one_is_stopped(report, &fleet, how_long).await;
    }
    if chosen.has("one told to stop", true) {
        processes::one_is_told_to_stop(report, &mut fleet).await;
    }
    // Of how much time something was lost is no matter for a test on a machine that does much else.
    if chosen.has("one killed", false) {
        processes::one_is_killed(report, &mut fleet, 10).await;
    }
    if chosen.has("limits", false) {
        limits::hold(report, &mut fleet).await;
    }
    if chosen.has("money", false) {
        money::is_spent_once(report, &mut fleet).await;
    }
    if chosen.has("flood", false) {
        flood::pushes_nothing_out(report, &fleet, 1_000_000).await;
    }
    if chosen.has("clocks", false) {
        match fake_time_library() {
            Some(library) => {
                processes::clocks_differ(report, &mut fleet, &library).await;
                limits::hold_when_the_clock_of_redis_jumps(report, &library).await;
            }
            None => report.row("F7, F8 clocks", "not run: libfaketime is not here", "", false),
        }
    }
    if chosen.has("timing", false) {
        timing::tells_nothing_over_http(report, &fleet).await;
        timing::tells_nothing_in_process(report).await;
    }
    // An hour, where it is asked for by its name.
    if chosen.has_named("soak") {
        let minutes = std::env::var("KEYAUTH_SOAK").ok().and_then(|text| text.parse().ok());
        let how_long = Duration::from_secs(60 * minutes.unwrap_or(60));
        soak::stays_flat(report, &mut fleet, how_long).await;
    }
    if chosen.has("failover numbers come again", false) {
        failover::numbers_come_again(report, &fleet).await;
    }
    if chosen.has("failover to a replica", false) {
        failover::a_replica_lags_and_is_promoted(report, &fleet).await;
    }
}
