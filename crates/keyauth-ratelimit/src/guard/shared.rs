//! Failures that several processes count.

use std::fmt::{self, Debug};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use keyauth_core::{
    AppliedLimit, Clock, LimitDecision, Limited, LimitedSubject, Limiter, OwnedCall, SharedLimits,
};
use papaya::HashMap;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use crate::{FleetLimiter, WhenAway};

/// How many clients are remembered whom others have held up.
const CAPACITY: usize = 1_000_000;
/// How many failures are told at once. More than that are counted here alone.
const AT_ONCE: usize = 64;

/// How often, in seconds, one who finds no room looks for who is not held up any more.
const SWEEP: u64 = 10;

type Telling = Pin<Box<dyn Future<Output = Option<Duration>> + Send>>;

/// What all count together, and what is known of it here.
#[derive(Clone)]
pub(super) struct Shared {
    /// Counts a failure, and says for how long whoever it was is held up.
    tell: Arc<dyn Fn(OwnedCall) -> Telling + Send + Sync>,
    telling: Arc<Semaphore>,
    held: Arc<Held>,
}

/// Whom others have held up.
#[derive(Debug, Default)]
struct Held {
    /// Until when, by uptime.
    until: HashMap<Box<str>, Duration>,
    swept_at: AtomicU64,
}

impl Shared {
    pub(super) fn new(limits: impl SharedLimits + 'static) -> Self {
        // By a share of so few failures a mistake would hold somebody up.
        let limiter = Arc::new(FleetLimiter::new(limits).when_away(WhenAway::Closed));
        let tell = move |call: OwnedCall| -> Telling {
            let limiter = Arc::clone(&limiter);
            Box::pin(async move {
                match limiter.acquire(call).await {
                    Ok(LimitDecision::Exceeded(exceeded)) => Some(exceeded.retry_after),
                    // The last one that was free.
                    Ok(LimitDecision::Within(within)) => {
                        let full = within.states.iter().find(|state| state.remaining == 0);
                        full.map(|state| state.resets_after)
                    }
                    Err(error) => {
                        tracing::debug!(%error, "a failed attempt is counted in this process alone");
                        None
                    }
                }
            })
        };
        let (telling, held) = (Arc::new(Semaphore::new(AT_ONCE)), Arc::default());
        Self { tell: Arc::new(tell), telling, held }
    }

    pub(super) fn held_up(&self, client: &str, now: Duration) -> Option<Duration> {
        let until = self.held.until.pin();
        until.get(client)?.checked_sub(now).filter(|wait| !wait.is_zero())
    }

    /// Tells all, beside whatever the caller does.
    pub(super) fn failed(
        &self,
        client: &str,
        limits: &Arc<[AppliedLimit]>,
        clock: &Arc<dyn Clock>,
    ) {
        let (Ok(runtime), Ok(telling)) =
            (Handle::try_current(), Arc::clone(&self.telling).try_acquire_owned())
        else {
            return;
        };
        // By a name of its own, which no layer that limits addresses has.
        let name = format!("failures:{client}");
        let limited = Limited::Subject(LimitedSubject::Other(name.into()), Arc::clone(limits));
        let told = (self.tell)(OwnedCall { limited, cost: 1, report: true });
        let (held, clock, client) = (Arc::clone(&self.held), Arc::clone(clock), client.into());
        runtime.spawn(async move {
            if let Some(wait) = told.await {
                held.insert(client, wait, clock.uptime());
            }
            drop(telling);
        });
    }
}

impl Held {
    /// Holds a client up, if there is room.
    fn insert(&self, client: Box<str>, wait: Duration, now: Duration) {
        let until = self.until.pin();
        if until.len() >= CAPACITY && self.is_time_to_sweep(now) {
            until.retain(|_, until| *until > now);
        }
        if until.len() < CAPACITY {
            until.insert(client, now.saturating_add(wait));
        }
    }

    fn is_time_to_sweep(&self, now: Duration) -> bool {
        let (now, last) = (now.as_secs(), self.swept_at.load(Ordering::Relaxed));
        now >= last.saturating_add(SWEEP)
            && self
                .swept_at
                .compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }
}

impl Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("held", &self.held.until.len()).finish_non_exhaustive()
    }
}
