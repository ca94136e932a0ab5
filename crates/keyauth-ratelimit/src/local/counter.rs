//! One count: of one subject, for the limit of one name.

use std::cell::OnceCell;
use std::time::Duration;

use keyauth_core::{Clock, Limit, LimitCount, LimitUnit, LimitWindow, Timestamp};

use crate::algorithm::{Calendar, Pace, Rolling, Room, Smooth, Standing, Unit, nanos};
use crate::answer::SOON;
use crate::sync::Arc;
use crate::sync::atomic::{AtomicU64, Ordering};

/// The present, by both clocks.
#[derive(Debug)]
pub(super) struct Now<'a> {
    clock: &'a dyn Clock,
    /// Nanoseconds of uptime, for windows of some length.
    pub(super) uptime: u64,
    wall: OnceCell<Timestamp>,
}

impl<'a> Now<'a> {
    pub(super) fn by(clock: &'a dyn Clock) -> Self {
        Self { clock, uptime: nanos(clock.uptime()), wall: OnceCell::new() }
    }

    /// The time of day, for calendars; read once, and not where there are none.
    fn wall(&self) -> Timestamp {
        *self.wall.get_or_init(|| self.clock.now())
    }
}

/// What is asked of a count.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    pub(super) limit: &'a Limit,
    /// What part of the limit is ours: one in so many.
    pub(super) share: u64,
    pub(super) cost: u64,
    pub(super) now: &'a Now<'a>,
}

#[derive(Clone, Debug)]
pub(super) struct Counter {
    name: Box<str>,
    unit: LimitUnit,
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    Rolling(Rolling),
    Smooth(Smooth),
    Calendar(Calendar),
    /// Shared with the places that were given out.
    AtOnce(Arc<AtomicU64>),
    /// One of a later version, which lets nothing through.
    Unknown,
}

/// A place among calls at once, until it is dropped.
#[derive(Debug)]
pub(super) struct Slot(Arc<AtomicU64>);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Counter {
    pub(super) fn new(limit: &Limit, now: &Now<'_>) -> Self {
        let calendar = |unit| Kind::Calendar(Calendar::new(unit, limit.zone.clone(), now.wall()));
        let kind = match limit.window {
            LimitWindow::Rolling(window) => Kind::Rolling(Rolling::new(window)),
            LimitWindow::Smooth { .. } => Kind::Smooth(Smooth::default()),
            LimitWindow::Day => calendar(Unit::Day),
            LimitWindow::Month => calendar(Unit::Month),
            LimitWindow::AtOnce => Kind::AtOnce(Arc::default()),
            _ => Kind::Unknown,
        };
        Self { name: limit.name.as_str().into(), unit: limit.unit, kind }
    }

    /// Whether it is this limit's. That goes on when the limit's count is changed.
    pub(super) fn is_of(&self, limit: &Limit) -> bool {
        let same_kind = match (&self.kind, limit.window) {
            (Kind::Rolling(rolling), LimitWindow::Rolling(window)) => rolling.window() == window,
            (Kind::Smooth(_), LimitWindow::Smooth { .. })
            | (Kind::AtOnce(_), LimitWindow::AtOnce) => true,
            (Kind::Calendar(calendar), LimitWindow::Day) => calendar.is_of(Unit::Day, &limit.zone),
            (Kind::Calendar(calendar), LimitWindow::Month) => {
                calendar.is_of(Unit::Month, &limit.zone)
            }
            (Kind::Unknown, LimitWindow::Day | LimitWindow::Month | LimitWindow::AtOnce) => false,
            (Kind::Unknown, LimitWindow::Rolling(_) | LimitWindow::Smooth { .. }) => false,
            (Kind::Unknown, _) => true,
            _ => false,
        };
        same_kind && self.unit == limit.unit && *self.name == *limit.name
    }

    #[inline]
    pub(super) fn fits(&mut self, asked: &Asked<'_>) -> bool {
        let (count, cost, now) = (asked.count(), asked.units(), asked.now);
        match &mut self.kind {
            Kind::Rolling(rolling) => rolling.fits(now.uptime, count, cost),
            Kind::Smooth(smooth) => smooth.fits(now.uptime, &asked.pace(), cost),
            Kind::Calendar(calendar) => calendar.fits(now.wall(), count, cost),
            Kind::AtOnce(under_way) => under_way.load(Ordering::Relaxed) < count,
            Kind::Unknown => false,
        }
    }

    /// Counts a call that fits.
    #[inline]
    pub(super) fn add(&mut self, asked: &Asked<'_>) -> Option<Slot> {
        let cost = asked.units();
        match &mut self.kind {
            Kind::Rolling(rolling) => rolling.add(cost),
            Kind::Smooth(smooth) => smooth.add(asked.now.uptime, &asked.pace(), cost),
            Kind::Calendar(calendar) => calendar.add(cost),
            Kind::AtOnce(under_way) => {
                under_way.fetch_add(1, Ordering::Relaxed);
                return Some(Slot(Arc::clone(under_way)));
            }
            Kind::Unknown => {}
        }
        None
    }

    pub(super) fn standing(&mut self, asked: &Asked<'_>) -> Standing {
        let (count, cost, now) = (asked.count(), asked.units(), asked.now);
        match &mut self.kind {
            Kind::Rolling(rolling) => rolling.standing(now.uptime, count, cost),
            Kind::Smooth(smooth) => smooth.standing(now.uptime, &asked.pace(), cost),
            Kind::Calendar(calendar) => calendar.standing(now.wall(), count, cost),
            Kind::AtOnce(under_way) => {
                let used = under_way.load(Ordering::Relaxed);
                let room = if used < count { Room::Now } else { Room::After(SOON) };
                let remaining = count.saturating_sub(used);
                let resets_after = if used == 0 { Duration::ZERO } else { SOON };
                Standing { used, remaining, resets_after, room }
            }
            Kind::Unknown => {
                let (used, remaining, resets_after) = (0, 0, Duration::ZERO);
                Standing { used, remaining, resets_after, room: Room::Never }
            }
        }
    }

    /// Whether nothing would change if it were forgotten.
    pub(super) fn is_idle(&mut self, now: &Now<'_>) -> bool {
        match &mut self.kind {
            Kind::Rolling(rolling) => rolling.is_idle(now.uptime),
            Kind::Smooth(smooth) => smooth.is_idle(now.uptime),
            Kind::Calendar(calendar) => calendar.is_idle(now.wall()),
            Kind::AtOnce(under_way) => under_way.load(Ordering::Relaxed) == 0,
            Kind::Unknown => true,
        }
    }

    /// Whether it counts what is under way, which no reset makes undone.
    pub(super) const fn is_of_calls_at_once(&self) -> bool {
        matches!(self.kind, Kind::AtOnce(_))
    }
}

impl Asked<'_> {
    /// What the call counts for the limit.
    const fn units(&self) -> u64 {
        match self.limit.unit {
            LimitUnit::Cost => self.cost,
            _ => 1,
        }
    }

    /// How much there is: of what is shared at least one, unless there is nothing.
    fn count(&self) -> u64 {
        match self.limit.count {
            LimitCount::AtMost(count) => self.part(count),
            LimitCount::Unlimited => u64::MAX,
            // One of a later version lets nothing through.
            _ => 0,
        }
    }

    fn pace(&self) -> Pace {
        match self.limit.window {
            LimitWindow::Smooth { period, burst } => {
                Pace::new(self.count(), period, self.part(burst))
            }
            _ => Pace::new(0, Duration::ZERO, 0),
        }
    }

    fn part(&self, whole: u64) -> u64 {
        if self.share <= 1 { whole } else { (whole / self.share).max(whole.min(1)) }
    }
}
