//! Times when the store does not answer.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::lease::micros;

/// How long it is remembered that the store did not answer.
const REMEMBERED: Duration = Duration::from_secs(1);

/// The last attempt at the store that failed, if none has succeeded since. In microseconds of
/// uptime, zero for none.
#[derive(Debug, Default)]
pub(crate) struct LastFailure {
    began: AtomicU64,
    /// Until when it is believed that the next attempt would fail too.
    believed_until: AtomicU64,
}

impl LastFailure {
    /// An attempt has failed.
    pub(crate) fn begin(&self, began: Duration, now: Duration) {
        self.began.store(micros(began), Ordering::Relaxed);
        self.believed_until.store(micros(now + REMEMBERED), Ordering::Release);
    }

    /// An attempt has succeeded.
    pub(crate) fn end(&self) {
        // Read first: a store for each load would move the line between all cores.
        if self.believed_until.load(Ordering::Relaxed) > 0 {
            self.believed_until.store(0, Ordering::Release);
        }
    }

    /// An attempt begins. While it is under way, the others go on believing in the failure,
    /// or each of them would wait for a store that may be frozen.
    pub(crate) fn probe(&self, now: Duration, deadline: Duration) {
        if self.believed_until.load(Ordering::Relaxed) > 0 {
            let until = micros(now + deadline + REMEMBERED / 10);
            self.believed_until.fetch_max(until, Ordering::AcqRel);
        }
    }

    /// Whether an attempt that began at `since` or later has failed, and none has succeeded.
    pub(crate) fn is_recent(&self, since: Duration, now: Duration) -> bool {
        micros(now) < self.believed_until.load(Ordering::Acquire)
            && self.began.load(Ordering::Relaxed) >= micros(since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn a_failure_is_believed_for_a_second_and_during_the_next_attempt() {
        let failure = LastFailure::default();
        assert!(!failure.is_recent(at(0), at(0)));
        failure.probe(at(500), at(1_000));
        assert!(!failure.is_recent(at(0), at(600)), "there was no failure yet");
        failure.begin(at(1_000), at(2_000));
        assert!(failure.is_recent(at(1_000), at(2_999)) && !failure.is_recent(at(0), at(3_000)));
        assert!(!failure.is_recent(at(1_001), at(2_500)), "it began before the lease had ended");
        failure.probe(at(3_000), at(1_000));
        assert!(failure.is_recent(at(0), at(4_099)) && !failure.is_recent(at(0), at(4_100)));
        failure.end();
        assert!(!failure.is_recent(at(0), at(3_500)));
    }
}
