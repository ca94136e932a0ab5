//! At most so many in any stretch of a length.

use std::time::Duration;

use super::{Room, Standing, nanos};

/// Into how many parts a window is cut.
pub(crate) const PARTS: u64 = 20;
/// One more than fit into the window: the oldest is only partly in it, and counts in full.
const KEPT: usize = 21;

/// Counts in parts of a window.
///
/// What was let through at `t` is counted until the part it came in has left the window as a
/// whole. So whatever stretch of one window's length is looked at, the last call let through in
/// it was compared with all the others in it: never more than the limit. A place is free again
/// one window after it was taken, and at most one part later.
///
/// Most calls come before the newest part ends, and need nothing of the others. So those are
/// elsewhere, and the counts of a call with many limits lie close together.
#[derive(Clone, Debug)]
pub(crate) struct Rolling {
    /// When the newest part ends.
    ends_at: u64,
    total: u64,
    /// What came in the newest part.
    latest: u64,
    parts: Box<Parts>,
}

#[derive(Clone, Debug)]
struct Parts {
    window: Duration,
    /// Of a part, in nanoseconds; rounded up, so that all parts together are no shorter.
    width: u64,
    newest: u64,
    /// What came in each part, but for the newest.
    counts: [u64; KEPT],
}

impl Parts {
    fn count(&mut self, part: u64) -> &mut u64 {
        let at = usize::try_from(part % (PARTS + 1)).unwrap_or_default();
        #[expect(clippy::indexing_slicing, reason = "a remainder is below its divisor")]
        &mut self.counts[at]
    }
}

impl Rolling {
    pub(crate) fn new(window: Duration) -> Self {
        let width = nanos(window).div_ceil(PARTS).max(1);
        let parts = Box::new(Parts { window, width, newest: 0, counts: [0; KEPT] });
        Self { ends_at: width, total: 0, latest: 0, parts }
    }

    pub(crate) const fn window(&self) -> Duration {
        self.parts.window
    }

    /// Forgets what has left the window. Time does not go back.
    fn advance(&mut self, now: u64) {
        if now < self.ends_at {
            return;
        }
        let parts = &mut *self.parts;
        let current = now / parts.width;
        *parts.count(parts.newest) = std::mem::take(&mut self.latest);
        if current - parts.newest > PARTS {
            parts.counts = [0; KEPT];
            self.total = 0;
        } else {
            for part in parts.newest + 1..=current {
                self.total -= std::mem::take(parts.count(part));
            }
        }
        parts.newest = current;
        self.ends_at = (current + 1).saturating_mul(parts.width);
    }

    pub(crate) fn fits(&mut self, now: u64, limit: u64, cost: u64) -> bool {
        self.advance(now);
        limit > 0 && self.total.checked_add(cost).is_some_and(|total| total <= limit)
    }

    /// Counts a call that [fits](Self::fits).
    pub(crate) fn add(&mut self, cost: u64) {
        self.total += cost;
        self.latest += cost;
    }

    pub(crate) fn is_idle(&mut self, now: u64) -> bool {
        self.advance(now);
        self.total == 0
    }

    pub(crate) fn standing(&mut self, now: u64, limit: u64, cost: u64) -> Standing {
        let room = if self.fits(now, limit, cost) {
            Room::Now
        } else if cost > limit || limit == 0 {
            Room::Never
        } else {
            let above = self.total.saturating_add(cost) - limit;
            Room::After(self.until_free(now, above))
        };
        Standing {
            used: self.total,
            remaining: limit.saturating_sub(self.total),
            resets_after: self.until_free(now, 1),
            room,
        }
    }

    /// When so much of what is counted will have left the window, or all of it.
    fn until_free(&mut self, now: u64, wanted: u64) -> Duration {
        let parts = &mut *self.parts;
        *parts.count(parts.newest) = self.latest;
        let mut freed = 0;
        let mut last = None;
        for part in parts.newest.saturating_sub(PARTS)..=parts.newest {
            let count = *parts.count(part);
            if count > 0 && freed < wanted {
                freed += count;
                last = Some(part);
            }
        }
        let end = last.map(|part| (part + PARTS + 1).saturating_mul(parts.width));
        Duration::from_nanos(end.map_or(0, |end| end.saturating_sub(now)))
    }
}
