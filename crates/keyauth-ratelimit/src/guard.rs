//! Holding up those who try keys.

use std::sync::Arc;
use std::time::Duration;

use keyauth_core::{
    AppliedLimit, Clock, Counted, Guard, Limit, LimitDecision, LimitWindow, Limited, LimitedCall,
};

use crate::LocalLimiter;

/// Holds up clients that have failed too often with keys that nobody has issued: in any stretch of
/// a window's length a client may fail as often as said, and is refused then until the window
/// lets him go. Within one process; clones count together.
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
}

impl FailedAttempts {
    /// At most `count` failures in any stretch of a window's length.
    #[must_use]
    pub fn new(count: u64, window: Duration) -> Self {
        Self::over(LocalLimiter::new(), count, window)
    }

    /// By another clock.
    #[must_use]
    pub fn with_clock(count: u64, window: Duration, clock: Arc<dyn Clock>) -> Self {
        Self::over(LocalLimiter::with_clock(clock), count, window)
    }

    fn over(limiter: LocalLimiter, count: u64, window: Duration) -> Self {
        let limit = Limit::new("failures", count, LimitWindow::Rolling(window));
        Self { limiter, limits: Arc::from([AppliedLimit { limit, counted: Counted::Key }]) }
    }

    fn limited(&self, client: &str) -> Limited {
        Limited::Other(client.into(), Arc::clone(&self.limits))
    }
}

impl Guard for FailedAttempts {
    fn held_up(&self, client: &str) -> Option<Duration> {
        let call = LimitedCall { limited: &self.limited(client), cost: 1, report: false };
        match self.limiter.look(&call) {
            LimitDecision::Exceeded(exceeded) => Some(exceeded.retry_after),
            LimitDecision::Within(_) => None,
        }
    }

    fn failed(&self, client: &str) {
        let call = LimitedCall { limited: &self.limited(client), cost: 1, report: false };
        let _ = self.limiter.decide_share(&call, 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_clients_has_nobody_forgotten_and_holds_up_no_other() {
        let limiter = LocalLimiter::new().with_capacity(2);
        let guard = FailedAttempts::over(limiter, 3, Duration::from_secs(3_600));
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
