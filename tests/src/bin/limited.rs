//! A process that calls limited services as fast as it may: many calls at once, and the times at
//! which those that pass were decided.
//!
//! As arguments it takes Redis's URL, the name of whoever is limited, how many calls a second
//! pass, and how many calls it makes, 64 of them at once. It begins with the first line on
//! standard input, and writes a line for each call that passes, in microseconds of Redis's time,
//! and `done` at the end.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use keyauth_core::{
    AppliedLimit, Counted, Limit, Limited, SharedLimits, SharedQuestion, SharedVerdict,
};
use keyauth_redis::deadpool_redis::{Config, Runtime};
use keyauth_redis::{Redis, RedisLimits};

type BoxError = Box<dyn std::error::Error>;

const AT_ONCE: usize = 64;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), BoxError> {
    let [url, name, count, calls] =
        <[String; 4]>::try_from(std::env::args().skip(1).collect::<Vec<_>>())
            .map_err(|_| "usage: limited URL NAME COUNT CALLS")?;
    let limit = AppliedLimit { limit: Limit::per_second(count.parse()?), counted: Counted::Key };
    let limited = Limited::Other(name.into(), Arc::from([limit]));
    let pool = Config::from_url(url).create_pool(Some(Runtime::Tokio1))?;
    let limits = RedisLimits::new(&Redis::from(pool).with_timeout(Duration::from_secs(1)));
    say("ready")?;
    std::io::stdin().read_line(&mut String::new())?;
    let left = Arc::new(AtomicUsize::new(calls.parse()?));
    let mut calling = Vec::new();
    for _ in 0..AT_ONCE {
        let (limits, left, limited) = (limits.clone(), Arc::clone(&left), limited.clone());
        calling.push(tokio::spawn(async move {
            let seeds = vec![None];
            let lease = Duration::ZERO;
            let question = SharedQuestion { limited, cost: 1, place: 0, lease, seeds };
            while left
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1))
                .is_ok()
            {
                // No answer is no passing.
                let Ok(decision) = limits.decide(&question).await else { continue };
                if matches!(decision.verdict, SharedVerdict::Within) {
                    let _ = say(&decision.at.as_micros().to_string());
                }
            }
        }));
    }
    for called in calling {
        called.await?;
    }
    say("done")?;
    Ok(())
}

/// At once, so that nothing is unsaid when the process is killed.
fn say(line: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}
