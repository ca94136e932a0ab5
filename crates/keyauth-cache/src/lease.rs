//! Until when what is cached may be served without asking.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The right to serve what is cached, given by each poll that succeeded, from when it was
/// sent. Times are uptimes of the machine, which do not stand still when it is suspended.
#[derive(Debug, Default)]
pub(crate) struct Lease {
    /// In microseconds; zero before the first poll.
    until: AtomicU64,
    /// How often it had ended before it was renewed.
    gaps: AtomicU64,
}

/// The state of a lease when something began.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held {
    held: bool,
    gaps: u64,
}

impl Lease {
    /// Whether it holds.
    pub(crate) fn holds(&self, now: Duration) -> bool {
        micros(now) < self.until.load(Ordering::Acquire)
    }

    /// When it ends or ended; `None` where it never began.
    pub(crate) fn end(&self) -> Option<Duration> {
        let until = self.until.load(Ordering::Acquire);
        (until > 0).then(|| Duration::from_micros(until))
    }

    /// The state to compare with later.
    pub(crate) fn state(&self, now: Duration) -> Held {
        // A gap is counted before the lease is renewed. Read the other way round, the count
        // can be too old, never too new, and the comparison later fails.
        let gaps = self.gaps.load(Ordering::Acquire);
        Held { held: self.holds(now), gaps }
    }

    /// Whether it has been held all the time from then to `now`.
    pub(crate) fn unbroken(&self, then: Held, now: Duration) -> bool {
        then.held && self.holds(now) && self.gaps.load(Ordering::Acquire) == then.gaps
    }

    /// Lets it hold until `until`, if it does not hold for longer already. Called by one
    /// task alone.
    pub(crate) fn renew(&self, until: Duration, now: Duration) {
        if !self.holds(now) {
            self.gaps.fetch_add(1, Ordering::AcqRel);
        }
        self.until.fetch_max(micros(until), Ordering::AcqRel);
    }

    /// Ends it.
    pub(crate) fn end_now(&self, now: Duration) {
        self.until.fetch_min(micros(now), Ordering::AcqRel);
    }
}

pub(crate) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn it_holds_from_poll_to_poll() {
        let lease = Lease::default();
        assert!(!lease.holds(at(0)) && lease.end().is_none());
        lease.renew(at(15), at(11));
        assert!(lease.holds(at(14)) && !lease.holds(at(15)));
        let then = lease.state(at(14));
        lease.renew(at(19), at(14));
        assert!(lease.unbroken(then, at(18)), "renewed in time");
        assert!(!lease.unbroken(then, at(19)), "over");
        lease.renew(at(25), at(21));
        assert!(lease.holds(at(24)) && !lease.unbroken(then, at(24)), "there was a gap");
        let without = Lease::default().state(at(1));
        assert!(!lease.unbroken(without, at(24)), "not held to begin with");
    }

    #[test]
    fn a_late_answer_takes_nothing_away() {
        let lease = Lease::default();
        lease.renew(at(20), at(15));
        lease.renew(at(18), at(16));
        assert!(lease.holds(at(19)));
        lease.end_now(at(17));
        assert!(!lease.holds(at(17)));
    }
}
