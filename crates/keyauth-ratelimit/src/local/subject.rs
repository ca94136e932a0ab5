//! All counts of one subject.

use std::num::NonZeroU64;
use std::slice;

use keyauth_core::Limit;
use smallvec::SmallVec;

use super::counter::{Counter, Now};
use crate::sync::{Mutex, MutexGuard, PoisonError};

/// What one subject has used: one lock for it, and for nobody else.
#[derive(Debug)]
pub(super) struct Subject {
    counts: Mutex<Counts>,
    /// Whether it stands for several, for each of whom there was no room.
    crowd: bool,
    /// The table that it is in, or was.
    table: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counts {
    /// Most have one, which then is where the lock is.
    list: SmallVec<[Counter; 1]>,
    /// By whose limits it was last put in order, and not changed since: who has found it for a
    /// record, and comes again, need not compare names.
    arranged_by: Option<NonZeroU64>,
    /// Whether it was taken out of the table. Whoever still has it must look there again, or
    /// what he counts would be lost.
    forgotten: bool,
}

impl Subject {
    /// One who has used nothing.
    pub(super) fn new(table: u64) -> Self {
        Self::with(Counts::default(), table)
    }

    /// One who has used as much as was counted.
    pub(super) fn with(counts: Counts, table: u64) -> Self {
        Self { counts: Mutex::new(counts), crowd: false, table }
    }

    pub(super) fn crowd(table: u64) -> Self {
        Self { crowd: true, ..Self::new(table) }
    }

    pub(super) const fn is_crowd(&self) -> bool {
        self.crowd
    }

    /// Its counts, unless it was forgotten.
    pub(super) fn lock(&self) -> Option<MutexGuard<'_, Counts>> {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        (!counts.forgotten).then_some(counts)
    }

    /// The same for whoever has it from elsewhere, unless it is another table's.
    pub(super) fn lock_for(&self, table: u64) -> Option<MutexGuard<'_, Counts>> {
        if self.table == table { self.lock() } else { None }
    }
}

impl Counts {
    /// As much as was used: too much for most of those who were counted together, too little for none.
    pub(super) fn copied(&self) -> Self {
        Self { list: self.list.clone(), ..Self::default() }
    }

    /// All of them: first those that were put into their places, one after the other.
    pub(super) fn iter_mut(&mut self) -> slice::IterMut<'_, Counter> {
        self.list.iter_mut()
    }

    /// Puts the count of a limit into its place among those of the same call: looks for it where
    /// it was the last time, and elsewhere.
    pub(super) fn arrange(&mut self, limit: &Limit, place: usize, now: &Now<'_>) {
        if self.list.get(place).is_some_and(|counter| counter.is_of(limit)) {
            return;
        }
        // Those before it are in their places already, so that there are as many.
        let elsewhere = self.list.iter().skip(place).position(|counter| counter.is_of(limit));
        let at = elsewhere.map(|behind| place + behind).unwrap_or_else(|| {
            self.list.push(Counter::new(limit, now));
            self.list.len() - 1
        });
        self.list.swap(at, place);
        self.arranged_by = None;
    }

    /// Whether all counts are in the order of somebody's limits.
    pub(super) fn are_arranged_by(&self, by: NonZeroU64) -> bool {
        self.arranged_by == Some(by)
    }

    /// Notes that they are.
    pub(super) const fn arranged(&mut self, by: NonZeroU64) {
        self.arranged_by = Some(by);
    }

    /// Forgets what is idle, and the subject where that is all. Says whether it is.
    pub(super) fn tidy(&mut self, now: &Now<'_>) -> bool {
        self.arranged_by = None;
        self.list.retain(|counter| !counter.is_idle(now));
        self.forgotten = self.list.is_empty();
        self.forgotten
    }

    /// Forgets what was used, but for what is under way.
    pub(super) fn reset(&mut self) {
        self.arranged_by = None;
        self.list.retain(|counter| counter.is_of_calls_at_once());
    }
}
