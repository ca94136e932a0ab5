//! Until when what is cached may be served without asking.

use std::time::Duration;

use crate::sync::atomic::{AtomicU64, Ordering};

/// The right to serve what is cached, given by each poll that succeeded, from when it was
/// sent. Times are uptimes of the machine, which do not stand still when it is suspended.
#[derive(Debug, Default)]
pub(crate) struct Lease {
    /// In microseconds; zero before the first poll and after the last.
    until: AtomicU64,
}

impl Lease {
    /// Whether it holds.
    pub(crate) fn holds(&self, now: Duration) -> bool {
        micros(now) < self.until.load(Ordering::Acquire)
    }

    /// When it ends or ended; `None` where it never began or was given back.
    pub(crate) fn end(&self) -> Option<Duration> {
        let until = self.until.load(Ordering::Acquire);
        (until > 0).then(|| Duration::from_micros(until))
    }

    /// Lets it hold until `until`, if it does not hold for longer already.
    pub(crate) fn renew(&self, until: Duration) {
        self.until.fetch_max(micros(until), Ordering::AcqRel);
    }

    /// Gives it back, for good or until it is renewed.
    pub(crate) fn give_back(&self) {
        self.until.store(0, Ordering::Release);
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
        lease.renew(at(15));
        assert!(lease.holds(at(14)) && !lease.holds(at(15)));
        lease.renew(at(13));
        assert!(lease.holds(at(14)), "a late answer takes nothing away");
        lease.give_back();
        assert!(!lease.holds(at(0)) && lease.end().is_none());
    }
}
