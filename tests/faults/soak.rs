//! Mixed load for long: memory, file descriptors and tasks stay as they are.

use std::fmt::Write;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::api::Api;
use crate::fleet::Fleet;
use crate::outcomes::USUAL;
use crate::report::{Report, say};
use crate::trial::{Load, Trial};

/// How often it is looked at.
const EVERY: Duration = Duration::from_secs(30);
/// How often one instance ends and begins again, in order and without by turns.
const RESTARTS: Duration = Duration::from_secs(300);
/// How much more may be there in the end than after a quarter of the time.
const MORE: f64 = 1.10;

/// What a process has.
#[derive(Clone, Copy, Debug, Default)]
struct Sample {
    /// Resident, in KiB.
    memory: f64,
    descriptors: f64,
    tasks: f64,
}

/// Load for so long at the highest rate that the machine holds, with changes and restarts.
pub(crate) async fn stays_flat(report: &mut Report, fleet: &mut Fleet, how_long: Duration) {
    let load = Load { pause: Duration::ZERO, askers: 32 };
    let trial = Trial::begin_under(fleet, load, vec![0, 1], 2).await;
    let (began, mut restarted) = (Instant::now(), Instant::now());
    let mut samples = [Vec::new(), Vec::new()];
    let mut restarts = 0;
    while began.elapsed() < how_long {
        sleep(EVERY).await;
        let api = fleet.api();
        for (instance, samples) in samples.iter_mut().enumerate() {
            samples.push(sample(fleet, &api, instance).await);
        }
        say(&format!("  {:.0?}: {:?}", began.elapsed(), samples.each_ref().map(|of| of.last())));
        if restarted.elapsed() >= RESTARTS {
            restarted = Instant::now();
            match restarts % 2 {
                0 => assert!(fleet.instances[2].terminate().await, "it ends well"),
                _ => drop(fleet.instances[2].kill().await),
            }
            fleet.instances[2].start().await;
            restarts += 1;
        }
    }
    let outcomes = trial.end().await;
    let name = format!("soak for {how_long:?}, {restarts} restarts");
    outcomes.check(report, &name, USUAL);
    // A handful more or less is what happens to be under way.
    for (what, slack, of) in [
        ("memory in MiB", 2.0, (|sample| sample.memory / 1_024.0) as fn(&Sample) -> f64),
        ("file descriptors", 16.0, |sample| sample.descriptors),
        ("tasks", 16.0, |sample| sample.tasks),
    ] {
        let (mut figure, mut holds) = (String::new(), true);
        for samples in &samples {
            let quarter = samples.len() / 4;
            let median = |part: &[Sample]| {
                let mut part: Vec<_> = part.iter().map(of).collect();
                part.sort_by(f64::total_cmp);
                part.get(part.len() / 2).copied().unwrap_or_default()
            };
            let before = median(samples.get(quarter..2 * quarter).unwrap_or_default());
            let after = median(samples.get(3 * quarter..).unwrap_or_default());
            let _ = write!(figure, "{before:.0} in the second quarter, {after:.0} in the last; ");
            holds &= after <= before * MORE + slack && before > 0.0;
        }
        let figure = figure.trim_end_matches("; ").to_owned();
        report.row(format!("{name}: {what}"), figure, "a tenth more", holds);
    }
}

async fn sample(fleet: &Fleet, api: &Api, instance: usize) -> Sample {
    let id = fleet.instances[instance].process().id();
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).expect("it runs");
    let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let memory = memory.and_then(|line| line.split_whitespace().next()?.parse().ok());
    let descriptors = std::fs::read_dir(format!("/proc/{id}/fd")).expect("it runs").count();
    Sample {
        memory: memory.unwrap_or_default(),
        descriptors: f64::from(u32::try_from(descriptors).unwrap_or(u32::MAX)),
        tasks: api.metric(instance, "keyauth_tasks", "").await,
    }
}
