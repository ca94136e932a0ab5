//! At an even pace.

use std::time::Duration;

use super::{Room, Standing, nanos};

/// The generic cell rate algorithm (ITU-T I.371): one number, the time at which all that was let
/// through would have come at an even pace.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Smooth {
    arrived: u64,
}

/// A pace, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pace {
    burst: u64,
    /// Between two; rounded up, so that no more than the count fit into the period.
    interval: u64,
    /// How far ahead of the pace one may be.
    tolerance: u64,
}

impl Pace {
    pub(crate) fn new(count: u64, period: Duration, burst: u64) -> Self {
        // At the count zero nothing passes.
        let burst = if count == 0 { 0 } else { burst };
        let interval = nanos(period).div_ceil(count.max(1)).max(1);
        Self { burst, interval, tolerance: burst.saturating_mul(interval) }
    }

    fn time(&self, cost: u64) -> u64 {
        cost.saturating_mul(self.interval)
    }
}

impl Smooth {
    /// How far ahead of the pace it is.
    const fn ahead(self, now: u64) -> u64 {
        self.arrived.saturating_sub(now)
    }

    pub(crate) fn fits(self, now: u64, pace: &Pace, cost: u64) -> bool {
        let after = self.ahead(now).saturating_add(pace.time(cost));
        cost <= pace.burst && after <= pace.tolerance
    }

    /// Counts a call that [fits](Self::fits).
    pub(crate) fn add(&mut self, now: u64, pace: &Pace, cost: u64) {
        self.arrived = self.arrived.max(now).saturating_add(pace.time(cost));
    }

    pub(crate) const fn is_idle(self, now: u64) -> bool {
        self.ahead(now) == 0
    }

    pub(crate) fn standing(self, now: u64, pace: &Pace, cost: u64) -> Standing {
        let ahead = self.ahead(now);
        let remaining = pace.tolerance.saturating_sub(ahead) / pace.interval;
        let until = |cost: u64| {
            let after = ahead.saturating_add(pace.time(cost));
            Duration::from_nanos(after.saturating_sub(pace.tolerance).min(ahead))
        };
        let room = if self.fits(now, pace, cost) {
            Room::Now
        } else if cost > pace.burst {
            Room::Never
        } else {
            Room::After(until(cost))
        };
        let resets_after = if ahead == 0 { Duration::ZERO } else { until(remaining + 1) };
        Standing { used: pace.burst.saturating_sub(remaining), remaining, resets_after, room }
    }
}
