//! F1: Redis is not as it should be. Nobody who has a good key may notice.

use std::time::Duration;

use keyauth_testkit::{Flow, Way};
use tokio::time::sleep;

use crate::fleet::Fleet;
use crate::outcomes::USUAL;
use crate::report::Report;
use crate::trial::Trial;

/// What goes wrong.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    Killed,
    Frozen,
    Slow,
    Flushed,
    ScriptsLost,
    OutOfMemory,
    ReadOnly,
}

impl Fault {
    pub(crate) const ALL: [Self; 7] = [
        Self::Killed,
        Self::Frozen,
        Self::Slow,
        Self::Flushed,
        Self::ScriptsLost,
        Self::OutOfMemory,
        Self::ReadOnly,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Killed => "killed",
            Self::Frozen => "frozen",
            Self::Slow => "2 s slow",
            Self::Flushed => "FLUSHALL",
            Self::ScriptsLost => "SCRIPT FLUSH",
            Self::OutOfMemory => "out of memory",
            Self::ReadOnly => "read-only",
        }
    }

    fn begin(self, fleet: &Fleet) {
        let ask = |command: &[&str]| fleet.redis.ask(0, command);
        let told = match self {
            Self::Killed => return fleet.redis.signal(0, "KILL"),
            Self::Frozen => return fleet.redis.signal(0, "STOP"),
            Self::Slow => {
                for instance in &fleet.instances {
                    instance.redis.set_flow(Way::ToServer, Flow::Late(Duration::from_secs(2)));
                }
                return;
            }
            Self::Flushed => ask(&["FLUSHALL"]),
            Self::ScriptsLost => ask(&["SCRIPT", "FLUSH"]),
            Self::OutOfMemory => ask(&["CONFIG", "SET", "maxmemory", "1"]),
            Self::ReadOnly => ask(&["REPLICAOF", "127.0.0.1", "1"]),
        };
        assert_eq!(told, "OK");
    }

    async fn end(self, fleet: &Fleet) {
        match self {
            Self::Killed => fleet.redis.restart(0).await,
            Self::Frozen => fleet.redis.signal(0, "CONT"),
            Self::Slow => {
                for instance in &fleet.instances {
                    instance.redis.set_flow(Way::ToServer, Flow::Free);
                }
            }
            Self::Flushed | Self::ScriptsLost => {}
            Self::OutOfMemory => {
                assert_eq!(fleet.redis.ask(0, &["CONFIG", "SET", "maxmemory", "0"]), "OK");
            }
            Self::ReadOnly => assert_eq!(fleet.redis.ask(0, &["REPLICAOF", "NO", "ONE"]), "OK"),
        }
    }
}

/// One fault under load, and that it is over.
pub(crate) async fn goes_wrong(report: &mut Report, fleet: &Fleet, fault: Fault) {
    let trial = Trial::begin(fleet).await;
    sleep(Duration::from_secs(1)).await;
    fault.begin(fleet);
    sleep(Duration::from_secs(5)).await;
    fault.end(fleet).await;
    sleep(Duration::from_secs(2)).await;
    let outcomes = trial.end().await;
    let name = format!("F1 Redis {}", fault.name());
    outcomes.check(report, &name, USUAL);
    let (not, of) = outcomes.steady_not_admitted();
    report.totals.good_refused_by_redis += not;
    report.totals.good_asked_without_redis += of;
    report.never(format!("{name}: good keys not let through"), not, of);
}

/// Instances that begin while Redis is not there.
pub(crate) async fn is_down_at_start(report: &mut Report, fleet: &mut Fleet) {
    fleet.redis.signal(0, "KILL");
    for instance in &mut fleet.instances {
        assert!(instance.terminate().await, "it ends well");
        instance.start().await;
    }
    let trial = Trial::begin(fleet).await;
    sleep(Duration::from_secs(4)).await;
    fleet.redis.restart(0).await;
    sleep(Duration::from_secs(2)).await;
    let outcomes = trial.end().await;
    outcomes.check(report, "F1 Redis down at start", USUAL);
    let (not, of) = outcomes.steady_not_admitted();
    report.totals.good_refused_by_redis += not;
    report.totals.good_asked_without_redis += of;
    report.never("F1 Redis down at start: good keys not let through", not, of);
}
