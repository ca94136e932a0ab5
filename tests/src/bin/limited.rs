//! A process that calls limited services: many calls at once, and the times at which those that
//! pass were decided.
//!
//! As arguments it takes Redis's URL, the name of whoever is limited, how many calls pass in a
//! window, how many seconds that is, how many calls it makes, 64 of them at once, and over how
//! many seconds; and `shared`, or `leased` for limits that are taken ahead. It begins with the
//! first line on standard input, and writes a line for each call that passes, of the two times
//! between which it was decided, in microseconds: of Redis where it decides, and of this machine
//! where limits are leased; and at the end how many passed without asking anybody, and to how many
//! there was no answer.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use keyauth_core::{
    Background, Clock, Limit, LimitDecision, LimitWindow, Limited, LimitedCall, LimitedSubject,
    Limiter, SharedLimits, SharedQuestion, SharedVerdict, SystemClock, TryAcquire,
};
use keyauth_ratelimit::{FleetLimiter, WhenAway};
use keyauth_redis::deadpool_redis::{Config, Runtime};
use keyauth_redis::{Redis, RedisLimits};

type BoxError = Box<dyn std::error::Error>;

const AT_ONCE: usize = 64;
const PROCESSES: u64 = 4;

/// What became of calls beside their times.
#[derive(Default)]
struct Tally {
    at_once: AtomicUsize,
    unanswered: AtomicUsize,
}

/// Who decides.
#[derive(Clone)]
enum By {
    Redis(RedisLimits),
    Leases(FleetLimiter<RedisLimits>),
}

impl By {
    /// Between which times a call was decided that passes.
    async fn decide(&self, limited: &Limited, tally: &Tally) -> Option<(u128, u128)> {
        let unanswered = |_| tally.unanswered.fetch_add(1, Ordering::Relaxed);
        match self {
            Self::Redis(limits) => {
                let (limited, lease) = (limited.clone(), Duration::ZERO);
                let seeds = vec![None];
                let question = SharedQuestion { limited, cost: 1, place: 0, lease, seeds };
                // No answer is no passing.
                let decision = limits.decide(&question).await.map_err(unanswered).ok()?;
                let at = u128::try_from(decision.at.as_micros()).ok()?;
                matches!(decision.verdict, SharedVerdict::Within).then_some((at, at))
            }
            Self::Leases(limiter) => {
                let now = || SystemClock::new().uptime().as_micros();
                let call = LimitedCall { limited, cost: 1, report: false };
                let from = now();
                let decision = match limiter.try_acquire(&call) {
                    TryAcquire::Decided(decision) => {
                        tally.at_once.fetch_add(1, Ordering::Relaxed);
                        decision
                    }
                    _ => limiter.acquire(call.to_owned()).await.map_err(unanswered).ok()?,
                };
                matches!(decision, LimitDecision::Within(_)).then(|| (from, now()))
            }
        }
    }
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), BoxError> {
    let [url, name, count, window, calls, seconds, by] =
        <[String; 7]>::try_from(std::env::args().skip(1).collect::<Vec<_>>())
            .map_err(|_| "usage: limited URL NAME COUNT WINDOW CALLS SECONDS shared|leased")?;
    let window = LimitWindow::Rolling(Duration::from_secs(window.parse()?));
    let limit = Limit::new("any", count.parse()?, window);
    let limited = Limited::alone(LimitedSubject::Other(name.into()), [limit]);
    let pool = Config::from_url(url).create_pool(Some(Runtime::Tokio1))?;
    let limits = RedisLimits::new(&Redis::from(pool).with_timeout(Duration::from_secs(1)));
    let limiter = FleetLimiter::new(limits.clone()).when_away(WhenAway::Closed);
    let limiter = limiter.with_instances(PROCESSES).leased();
    let (by, background) = match by.as_str() {
        "leased" => (By::Leases(limiter.clone()), limiter.start()),
        _ => (By::Redis(limits), Background::none()),
    };
    let calls: usize = calls.parse()?;
    let each = u32::try_from(calls.div_ceil(AT_ONCE))?;
    let pause = Duration::from_secs(seconds.parse()?) / each.max(1);
    say("ready")?;
    std::io::stdin().read_line(&mut String::new())?;
    let (left, tally) = (Arc::new(AtomicUsize::new(calls)), Arc::<Tally>::default());
    let mut calling = Vec::new();
    for number in 0..AT_ONCE {
        let (by, left, limited) = (by.clone(), Arc::clone(&left), limited.clone());
        let tally = Arc::clone(&tally);
        // Not all in the same moment, unless they come as fast as they can.
        let first = pause * u32::try_from(number)? / u32::try_from(AT_ONCE)?;
        calling.push(tokio::spawn(async move {
            tokio::time::sleep(first).await;
            while left
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1))
                .is_ok()
            {
                if let Some((from, to)) = by.decide(&limited, &tally).await {
                    let _ = say(&format!("{from} {to}"));
                }
                tokio::time::sleep(pause).await;
            }
        }));
    }
    for called in calling {
        called.await?;
    }
    background.shutdown().await;
    let [at_once, unanswered] =
        [&tally.at_once, &tally.unanswered].map(|count| count.load(Ordering::Relaxed));
    say(&format!("{at_once} {unanswered} in all"))?;
    Ok(())
}

/// At once, so that nothing is unsaid when the process is killed.
fn say(line: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}
