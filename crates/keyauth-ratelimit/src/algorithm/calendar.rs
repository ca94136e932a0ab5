//! In a calendar day or month.

use std::time::Duration;

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

    /// Begins the period that it is. A clock that goes back does not lead into one before; where
    /// it goes back by more than a period, what was counted counts as of now.
    fn advance(&mut self, now: Timestamp) {
        if now >= self.period.end {
            self.period = self.unit.period(&self.zone, now);
            self.used = 0;
        } else if self.ahead(now) > self.length() {
            self.period = self.unit.period(&self.zone, now);
        }
    }

    /// How far the period's beginning is away.
    fn ahead(&self, now: Timestamp) -> Duration {
        self.period.start.saturating_duration_since(now)
    }

    fn length(&self) -> Duration {
        self.period.end.saturating_duration_since(self.period.start)
    }

    pub(crate) fn fits(&mut self, now: Timestamp, limit: u64, cost: u64) -> bool {
        self.advance(now);
        limit > 0 && self.used.checked_add(cost).is_some_and(|used| used <= limit)
    }

    /// Counts a call that [fits](Self::fits).
    pub(crate) fn add(&mut self, cost: u64) {
        self.used += cost;
    }

    /// Whether it may be forgotten: not while a clock that was wrong for a moment may come back to
    /// it.
    pub(crate) fn is_idle(&self, now: Timestamp) -> bool {
        self.used == 0 || now >= self.period.end.saturating_add(self.length())
    }

    pub(crate) fn standing(&mut self, now: Timestamp, limit: u64, cost: u64) -> Standing {
        let fits = self.fits(now, limit, cost);
        let end = self.period.end.saturating_duration_since(now);
        // Also for what will not fit then: by the next period somebody may have changed the limit.
        let room = if fits { Room::Now } else { Room::After(end) };
        let resets_after = if self.used == 0 { Duration::ZERO } else { end };
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
