//! In a calendar day or month.

use keyauth_core::{Period, TimeZone, Timestamp};

use super::{Room, Standing};

/// A count that begins anew with each period.
#[derive(Clone, Debug)]
pub(crate) struct Calendar {
    unit: Unit,
    zone: TimeZone,
    period: Period,
    used: u64,
}

/// Which period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    Day,
    Month,
}

impl Calendar {
    pub(crate) fn new(unit: Unit, zone: TimeZone, now: Timestamp) -> Self {
        let period = unit.period(&zone, now);
        Self { unit, zone, period, used: 0 }
    }

    pub(crate) fn is_of(&self, unit: Unit, zone: &TimeZone) -> bool {
        self.unit == unit && self.zone == *zone
    }

    /// Begins the period that it is. A clock that goes back does not lead into one before.
    fn advance(&mut self, now: Timestamp) {
        if now >= self.period.end {
            self.period = self.unit.period(&self.zone, now);
            self.used = 0;
        }
    }

    pub(crate) fn fits(&mut self, now: Timestamp, limit: u64, cost: u64) -> bool {
        self.advance(now);
        self.used.checked_add(cost).is_some_and(|used| used <= limit)
    }

    /// Counts a call that [fits](Self::fits).
    pub(crate) fn add(&mut self, cost: u64) {
        self.used += cost;
    }

    pub(crate) fn is_idle(&mut self, now: Timestamp) -> bool {
        self.advance(now);
        self.used == 0
    }

    pub(crate) fn standing(&mut self, now: Timestamp, limit: u64, cost: u64) -> Standing {
        let fits = self.fits(now, limit, cost);
        let end = self.period.end.saturating_duration_since(now);
        // Also for what will not fit then: by the next period somebody may have changed the limit.
        let room = if fits { Room::Now } else { Room::After(end) };
        let resets_after = if self.used == 0 { std::time::Duration::ZERO } else { end };
        let remaining = limit.saturating_sub(self.used);
        Standing { used: self.used, remaining, resets_after, room }
    }
}

impl Unit {
    fn period(self, zone: &TimeZone, at: Timestamp) -> Period {
        match self {
            Self::Day => zone.day(at),
            Self::Month => zone.month(at),
        }
    }
}
