//! What this instance has taken ahead of one limit. Times are nanoseconds of uptime.

use std::time::Duration;

use keyauth_core::{
    LeasedFrom, Limit, LimitCount, LimitState, LimitUnit, LimitWindow, SharedLease, UnusedLease,
};

use crate::algorithm::{PARTS, nanos};

/// Below this a part of a window is too short for anything to be used in it that was taken ahead.
const SHORTEST_WINDOW: Duration = Duration::from_secs(10);
/// How long something is kept that is not used, also where its day is not over.
const LONGEST_TERM: u64 = 5_000_000_000;
/// How much must have been used in a term for it to be worth taking ahead.
const LEAST: u64 = 4;
/// What part of a limit all instances together hold at most.
const SHARE: u64 = 10;
/// How many terms nothing is taken after one in which nothing was used of what was there.
const USELESS: u64 = 10;

/// Whether anything is taken ahead of a limit.
pub(super) fn can_be_leased(limit: &Limit) -> bool {
    bound(limit).is_some()
}

/// Whether what one of so many instances may hold is worth it.
pub(super) fn is_worth_leasing(limit: &Limit, instances: u64) -> bool {
    bound(limit).is_some_and(|(count, _)| share(count, instances) >= LEAST)
}

/// How much of a limit each of so many instances may hold; nothing where nobody knows how many.
fn share(count: u64, instances: u64) -> u64 {
    count.checked_div(instances.saturating_mul(SHARE)).unwrap_or_default()
}

/// How much a limit lets through, and for how long something of it is kept at most that was taken
/// ahead; `None` where nothing is.
fn bound(limit: &Limit) -> Option<(u64, u64)> {
    let LimitCount::AtMost(count) = limit.count else { return None };
    match limit.window {
        LimitWindow::Rolling(window) if window >= SHORTEST_WINDOW => {
            Some((count, (nanos(window) / PARTS).min(LONGEST_TERM)))
        }
        LimitWindow::Day | LimitWindow::Month => Some((count, LONGEST_TERM)),
        // An even pace has no part in which something could be used later than it was taken
        // without being more than the pace; and of places at once there are few.
        _ => None,
    }
}

/// What is there of one limit, and what is known of its use.
#[derive(Debug)]
pub(super) struct Stock {
    limit: Limit,
    count: u64,
    term: u64,
    left: u64,
    good_until: u64,
    /// When the part of a window that it is of is over at the latest.
    ends_at: u64,
    from: Option<LeasedFrom>,
    /// Whether anything of it was used, and whether somebody asked all the same.
    used: bool,
    passed_by: bool,
    /// How often what was there was put away for a count that began anew.
    resets: u64,
    /// What is to be given back.
    unused: Vec<UnusedLease>,
    demand: Demand,
    /// Whether the keeper was told that more is wanted, and whether he has asked and there is no
    /// answer yet.
    wanting: bool,
    asked: bool,
    /// Until when nobody has to ask, since there was nothing.
    dry_until: u64,
    /// What was left for all, and when there is more, when somebody was last asked.
    remaining: u64,
    more_at: u64,
}

/// How much is used in a term.
#[derive(Debug, Default)]
struct Demand {
    term: u64,
    used: u64,
    before: u64,
}

impl Demand {
    fn advance(&mut self, term: u64) {
        if term != self.term {
            self.before = if term == self.term + 1 { self.used } else { 0 };
            (self.term, self.used) = (term, 0);
        }
    }
}

impl Stock {
    /// `None` where nothing is taken ahead of the limit.
    pub(super) fn new(limit: &Limit) -> Option<Self> {
        let (count, term) = bound(limit)?;
        Some(Self {
            limit: limit.clone(),
            count,
            term,
            left: 0,
            good_until: 0,
            ends_at: 0,
            from: None,
            used: false,
            passed_by: false,
            resets: 0,
            unused: Vec::new(),
            demand: Demand::default(),
            wanting: false,
            asked: false,
            dry_until: 0,
            remaining: 0,
            more_at: 0,
        })
    }

    /// Whether it is this limit's: not where its count was changed.
    pub(super) fn is_of(&self, limit: &Limit) -> bool {
        self.limit == *limit
    }

    /// Whether it counts where this limit does, which has another count now.
    pub(super) fn is_succeeded_by(&self, limit: &Limit) -> bool {
        let counts_in =
            |limit: &Limit| (limit.name.clone(), limit.unit, limit.window, limit.zone.clone());
        !self.is_of(limit) && counts_in(&self.limit) == counts_in(limit)
    }

    /// What a call counts for the limit.
    pub(super) const fn units(&self, cost: u64) -> u64 {
        match self.limit.unit {
            LimitUnit::Cost => cost,
            _ => 1,
        }
    }

    /// How much of it can be used.
    const fn usable(&self, now: u64) -> u64 {
        if now < self.good_until { self.left } else { 0 }
    }

    /// Whether so much can be used, and there was anything.
    pub(super) const fn has(&self, units: u64, now: u64) -> bool {
        now < self.good_until && self.left >= units
    }

    /// Uses what [is there](Self::has).
    pub(super) const fn take(&mut self, units: u64) {
        self.left = self.left.saturating_sub(units);
        self.used = true;
    }

    /// Notes that so much was used about which somebody else was asked. Says whether more is to be
    /// asked for.
    pub(super) fn note_asked(&mut self, units: u64, now: u64, instances: u64) -> bool {
        self.passed_by |= self.usable(now) > 0;
        self.note(units, now, instances)
    }

    /// Notes that so much was used. Says whether more is to be asked for.
    pub(super) fn note(&mut self, units: u64, now: u64, instances: u64) -> bool {
        self.demand.advance(now / self.term);
        self.demand.used = self.demand.used.saturating_add(units);
        let wanted = self.target(now, instances);
        let low = wanted > 0 && self.usable(now) <= wanted / 2;
        let tell = low && !self.wanting && !self.asked && now >= self.dry_until;
        self.wanting |= tell;
        tell
    }

    /// How much there should be: what was used in a term, but of the limit no more than a part of
    /// which each instance has one.
    fn target(&mut self, now: u64, instances: u64) -> u64 {
        self.demand.advance(now / self.term);
        let used = self.demand.used.max(self.demand.before);
        let wanted = used.min(share(self.count, instances));
        if wanted < LEAST { 0 } else { wanted }
    }

    /// What to ask for, and what to give back, which is not here any more then: once for more, and
    /// as often as there is something to give back.
    pub(super) fn questions(
        &mut self,
        now: u64,
        instances: u64,
    ) -> Vec<(u64, Option<UnusedLease>)> {
        if now >= self.good_until {
            if self.left > 0 && self.passed_by && !self.used {
                // As where another limit of the same calls has nothing here.
                self.dry_until = now.saturating_add(USELESS.saturating_mul(self.term));
            }
            self.put_away();
        }
        self.wanting = false;
        let wanted = match now >= self.dry_until && !self.asked {
            true => self.target(now, instances).saturating_sub(self.left),
            false => 0,
        };
        let mut unused = std::mem::take(&mut self.unused).into_iter();
        let first = (wanted, unused.next());
        self.asked |= wanted > 0;
        if first == (0, None) {
            return Vec::new();
        }
        std::iter::once(first).chain(unused.map(|unused| (0, Some(unused)))).collect()
    }

    /// A question to which there is no answer, with what of it is here still; nobody asks before.
    pub(super) fn unsent(&mut self, wanted: u64, unused: Option<UnusedLease>, before: u64) {
        self.asked &= wanted == 0;
        self.unused.extend(unused);
        self.dry_until = self.dry_until.max(before);
    }

    /// All that is here, which is not any more then.
    pub(super) fn give_up(&mut self) -> Vec<UnusedLease> {
        self.put_away();
        std::mem::take(&mut self.unused)
    }

    /// Nobody waits for an answer any more.
    pub(super) const fn forsaken(&mut self) {
        (self.wanting, self.asked) = (false, false);
    }

    /// What is left is for somebody else.
    fn put_away(&mut self) {
        let amount = std::mem::take(&mut self.left);
        (self.good_until, self.ends_at) = (0, 0);
        if let Some(from) = self.from.take()
            && amount > 0
        {
            self.unused.push(UnusedLease { from, amount });
        }
    }

    /// What is left, and what is on its way, is of a count that begins anew.
    pub(super) fn reset(&mut self) {
        self.put_away();
        self.resets += 1;
        self.dry_until = 0;
    }

    /// Nobody decides by this limit any more, which has another count now.
    pub(super) fn retire(&mut self) {
        self.put_away();
        self.demand = Demand::default();
    }

    /// How often it was [reset](Self::reset), for whoever asks.
    pub(super) const fn resets(&self) -> u64 {
        self.resets
    }

    /// What came of it that so much was asked for, then, and after so many resets.
    pub(super) fn answered(
        &mut self,
        wanted: u64,
        asked_at: u64,
        resets: u64,
        lease: &SharedLease,
    ) {
        self.asked = false;
        (self.remaining, self.more_at) =
            (lease.remaining, asked_at.saturating_add(nanos(lease.resets_after)));
        if lease.granted < wanted {
            let pause = nanos(lease.resets_after).clamp(self.term / 10, self.term);
            self.dry_until = self.dry_until.max(asked_at.saturating_add(pause));
        }
        if lease.granted == 0 {
            return;
        }
        if resets != self.resets {
            // Of the count of before, or of the new one: whoever counts knows.
            self.unused.push(UnusedLease { from: lease.from, amount: lease.granted });
            return;
        }
        if self.from != Some(lease.from) {
            self.put_away();
            self.from = Some(lease.from);
            (self.used, self.passed_by) = (false, false);
        }
        self.left += lease.granted;
        let good_for = nanos(lease.good_for).min(self.term);
        // Clocks do not all go at the same pace. Of two answers about one part each is early
        // enough.
        let good_until = asked_at.saturating_add(good_for - good_for / 1_000);
        self.good_until = self.good_until.max(good_until);
        self.ends_at = self.ends_at.max(asked_at.saturating_add(good_for));
    }

    /// How the limit stands, as far as is known.
    pub(super) fn state(&self, at: usize, now: u64) -> LimitState {
        let count = self.count;
        let remaining = self.remaining.saturating_add(self.left).min(count);
        let resets_after = Duration::from_nanos(self.more_at.saturating_sub(now));
        LimitState { at, used: count - remaining, remaining, resets_after, exceeded: false }
    }

    /// When the keeper should look at it again; `None` where it can be forgotten.
    pub(super) fn next_look(&mut self, now: u64) -> Option<u64> {
        self.demand.advance(now / self.term);
        let idle = self.demand.used == 0 && self.demand.before == 0;
        if !self.unused.is_empty() {
            Some(now.saturating_add(self.term / 2))
        } else if self.left > 0 {
            Some(self.ends_at)
        } else if idle && !self.asked {
            None
        } else {
            Some(now.saturating_add(self.term))
        }
    }

    pub(super) const fn limit(&self) -> &Limit {
        &self.limit
    }
}

#[cfg(test)]
mod tests;
