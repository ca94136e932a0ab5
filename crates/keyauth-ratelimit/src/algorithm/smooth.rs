//! At an even pace.

use std::time::Duration;

use super::{Room, Standing, nanos};

/// The generic cell rate algorithm (ITU-T I.371): the time at which all that was let through would
/// have come at an even pace; and the pace, so that what was let through goes on counting as much
/// where that is changed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Smooth {
    arrived: u64,
    interval: u64,
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
    /// The furthest that anybody may be ahead, some 146 years: beyond, sums would overflow.
    const FURTHEST: u64 = u64::MAX / 4;

    pub(crate) fn new(count: u64, period: Duration, burst: u64) -> Self {
        let interval = nanos(period).div_ceil(count.max(1)).clamp(1, Self::FURTHEST);
        // At the count zero nothing passes.
        let burst = if count == 0 { 0 } else { burst.min(Self::FURTHEST / interval) };
        Self { burst, interval, tolerance: burst * interval }
    }
}

impl Smooth {
    /// How far ahead of the pace it is.
    fn ahead(self, now: u64, pace: &Pace) -> u64 {
        let ahead = self.arrived.saturating_sub(now);
        if ahead == 0 || self.interval == pace.interval {
            return ahead;
        }
        // As many as it was by the pace of before.
        let scaled = u128::from(ahead) * u128::from(pace.interval);
        let scaled = scaled.div_ceil(u128::from(self.interval.max(1)));
        u64::try_from(scaled).unwrap_or(u64::MAX).min(Pace::FURTHEST)
    }

    /// How far ahead it would be after a call, if that may be.
    fn after(self, now: u64, pace: &Pace, cost: u64) -> Option<u64> {
        let after = cost.checked_mul(pace.interval)?.checked_add(self.ahead(now, pace))?;
        (pace.burst > 0 && after <= pace.tolerance).then_some(after)
    }

    pub(crate) fn fits(self, now: u64, pace: &Pace, cost: u64) -> bool {
        self.after(now, pace, cost).is_some()
    }

    /// Counts a call that [fits](Self::fits).
    pub(crate) fn add(&mut self, now: u64, pace: &Pace, cost: u64) {
        if let Some(after) = self.after(now, pace, cost) {
            *self = Self { arrived: now.saturating_add(after), interval: pace.interval };
        }
    }

    pub(crate) const fn is_idle(self, now: u64) -> bool {
        self.arrived <= now
    }

    pub(crate) fn standing(self, now: u64, pace: &Pace, cost: u64) -> Standing {
        let ahead = self.ahead(now, pace);
        let remaining = pace.tolerance.saturating_sub(ahead) / pace.interval;
        let until = |cost: u64| {
            let after = cost.saturating_mul(pace.interval).saturating_add(ahead);
            Duration::from_nanos(after.saturating_sub(pace.tolerance).min(ahead))
        };
        let room = if self.fits(now, pace, cost) {
            Room::Now
        } else if cost > pace.burst || pace.burst == 0 {
            Room::Never
        } else {
            Room::After(until(cost))
        };
        let resets_after = if ahead == 0 { Duration::ZERO } else { until(remaining + 1) };
        Standing { used: pace.burst.saturating_sub(remaining), remaining, resets_after, room }
    }
}
