//! All counts of one subject.

use keyauth_core::Limit;

use super::counter::{Counter, Now};
use crate::sync::{Mutex, MutexGuard, PoisonError};

/// What one subject has used: one lock for it, and for nobody else.
#[derive(Debug, Default)]
pub(super) struct Subject {
    counts: Mutex<Counts>,
    /// Whether it stands for several, for each of whom there was no room.
    crowd: bool,
}

#[derive(Debug, Default)]
pub(super) struct Counts {
    list: Vec<Counter>,
    /// Whether it was taken out of the table. Whoever still has it must look there again, or
    /// what he counts would be lost.
    forgotten: bool,
}

impl Subject {
    pub(super) fn crowd() -> Self {
        Self { crowd: true, ..Self::default() }
    }

    pub(super) const fn is_crowd(&self) -> bool {
        self.crowd
    }

    /// Its counts, unless it was forgotten.
    pub(super) fn lock(&self) -> Option<MutexGuard<'_, Counts>> {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        (!counts.forgotten).then_some(counts)
    }
}

impl Counts {
    /// A subject that has used as much: too much for most of those who were counted together, too
    /// little for none.
    pub(super) fn copied(&self) -> Subject {
        let counts = Mutex::new(Self { list: self.list.clone(), forgotten: false });
        Subject { counts, crowd: false }
    }

    /// The count of a limit, looked for where it was the last time.
    pub(super) fn counter(&mut self, limit: &Limit, place: usize, now: Now) -> &mut Counter {
        let there = |list: &[Counter], at: usize| list.get(at).is_some_and(|c| c.is_of(limit));
        let at = if there(&self.list, place) {
            place
        } else if let Some(at) = self.list.iter().position(|counter| counter.is_of(limit)) {
            at
        } else {
            self.list.push(Counter::new(limit, now));
            self.list.len() - 1
        };
        #[expect(clippy::indexing_slicing, reason = "it was found there, or just put there")]
        &mut self.list[at]
    }

    /// Forgets what is idle, and the subject where that is all. Says whether it is.
    pub(super) fn tidy(&mut self, now: Now) -> bool {
        self.list.retain_mut(|counter| !counter.is_idle(now));
        self.forgotten = self.list.is_empty();
        self.forgotten
    }

    /// Forgets what was used, but for what is under way.
    pub(super) fn reset(&mut self) {
        self.list.retain(Counter::is_of_calls_at_once);
    }
}
