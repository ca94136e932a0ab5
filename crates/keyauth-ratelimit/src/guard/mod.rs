//! Holding up those who try keys.

mod shared;

use std::sync::Arc;
use std::time::Duration;

use keyauth_core::{
    AppliedLimit, Clock, Counted, Guard, Limit, LimitDecision, LimitWindow, Limited, LimitedCall,
    LimitedSubject, SharedLimits, SystemClock,
};

use crate::LocalLimiter;
use shared::Shared;

/// Holds up clients that have failed too often with keys that nobody has issued: in any stretch of
/// a window's length a client may fail as often as said, and is refused then until the window
/// lets him go. Within one process, unless it is [shared](Self::shared_by); clones count together.
///
/// A generated key cannot be guessed. This is for custom keys, which people have thought of, and
/// for the load that trying makes.
///
/// A million clients are remembered. Beyond that those who come anew are not held up, and nobody
/// who is remembered is forgotten for them.
#[derive(Clone, Debug)]
pub struct FailedAttempts {
    limiter: LocalLimiter,
    limits: Arc<[AppliedLimit]>,
    shared: Option<Shared>,
    clock: Arc<dyn Clock>,
}

impl FailedAttempts {
    /// At most `count` failures in any stretch of a window's length, of which one at least is
    /// allowed. Those that come beside each other, before the last one has been counted, are looked
    /// up too.
    #[must_use]
    pub fn new(count: u64, window: Duration) -> Self {
        Self::with_clock(count, window, Arc::new(SystemClock::new()))
    }

    /// By another clock.
    #[must_use]
    pub fn with_clock(count: u64, window: Duration, clock: Arc<dyn Clock>) -> Self {
        let limit = Limit::new("failures", count.max(1), LimitWindow::Rolling(window));
        Self {
            limiter: LocalLimiter::with_clock(Arc::clone(&clock)),
            limits: Arc::from([AppliedLimit { limit, counted: Counted::Key }]),
            shared: None,
            clock,
        }
    }

    /// Counts with all others that count in the same place, like Redis, and within this process as
    /// well.
    ///
    /// No request waits for it: each failure is told beside the request, of 64 at a time; more than
    /// that count in this process alone, and so does everything while nobody answers. A client may
    /// fail once more in each process that has not heard of him, and with what he has under way.
    #[must_use]
    pub fn shared_by(self, limits: impl SharedLimits + 'static) -> Self {
        Self { shared: Some(Shared::new(limits)), ..self }
    }

    fn limited(&self, client: &str) -> Limited {
        Limited::Subject(LimitedSubject::Other(client.into()), Arc::clone(&self.limits))
    }
}

impl Guard for FailedAttempts {
    fn held_up(&self, client: &str) -> Option<Duration> {
        let call = LimitedCall { limited: &self.limited(client), cost: 1, report: false };
        let here = match self.limiter.look(&call) {
            LimitDecision::Exceeded(exceeded) => Some(exceeded.retry_after),
            LimitDecision::Within(_) => None,
        };
        let shared = self.shared.as_ref();
        here.max(shared.and_then(|shared| shared.held_up(client, self.clock.uptime())))
    }

    fn failed(&self, client: &str) {
        let call = LimitedCall { limited: &self.limited(client), cost: 1, report: false };
        let _ = self.limiter.decide_share(&call, 1);
        if let Some(shared) = &self.shared {
            shared.failed(client, &self.limits, &self.clock);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_clients_has_nobody_forgotten_and_holds_up_no_other() {
        let guard = FailedAttempts::new(3, Duration::from_secs(3_600));
        let guard = FailedAttempts { limiter: LocalLimiter::new().with_capacity(2), ..guard };
        for _ in 0..3 {
            assert_eq!(guard.held_up("first"), None);
            guard.failed("first");
        }
        for client in 0..100 {
            for _ in 0..5 {
                guard.failed(&client.to_string());
            }
        }
        assert!(guard.held_up("first").is_some(), "he is remembered");
        assert_eq!(guard.held_up("another"), None, "who has done nothing");
        assert_eq!(guard.limiter.subjects(), 2);
    }
}
