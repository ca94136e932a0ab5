//! The subjects of this process.

use std::sync::{Arc, Mutex, PoisonError};

use keyauth_core::LimitedSubject;
use papaya::HashMap;

use super::KINDS;
use super::counter::Now;
use super::subject::Subject;

/// How often, in nanoseconds, one who finds the table full looks for who is idle.
const SWEEP: u64 = 10_000_000_000;

/// Subjects by name: found without a lock, bounded, and safe when it is full.
#[derive(Debug)]
pub(super) struct Table {
    subjects: HashMap<LimitedSubject, Arc<Subject>>,
    capacity: usize,
    /// For those who are not there yet.
    entrance: Mutex<Entrance>,
}

#[derive(Debug, Default)]
struct Entrance {
    /// Where all count together for whom there was no room. Who gets a place of his own then begins
    /// with what they have used together, as long as anything counts there, and not with nothing.
    /// One for each kind, since one decision locks several.
    crowds: [Option<Arc<Subject>>; KINDS],
    swept_at: Option<u64>,
}

impl Table {
    pub(super) fn new(capacity: usize) -> Self {
        Self { subjects: HashMap::new(), capacity, entrance: Mutex::default() }
    }

    /// The subject's counts, or those of all for whom there is no room.
    pub(super) fn get(
        &self,
        name: LimitedSubject,
        kind: usize,
        now: impl FnOnce() -> Now,
    ) -> Arc<Subject> {
        let subjects = self.subjects.pin();
        if let Some(subject) = subjects.get(&name) {
            return Arc::clone(subject);
        }
        let now = now();
        let mut entrance = self.entrance.lock().unwrap_or_else(PoisonError::into_inner);
        let Entrance { crowds, swept_at } = &mut *entrance;
        #[expect(clippy::indexing_slicing, reason = "there is one for each kind")]
        let crowd = &mut crowds[kind];
        if crowd.as_ref().is_some_and(|crowd| is_idle(crowd, now)) {
            *crowd = None;
        }
        if subjects.len() >= self.capacity {
            if swept_at.is_none_or(|last| now.uptime.saturating_sub(last) >= SWEEP) {
                *swept_at = Some(now.uptime);
                self.sweep(now);
            }
            if subjects.len() >= self.capacity {
                return Arc::clone(crowd.get_or_insert_default());
            }
        }
        let counts = crowd.as_deref().and_then(Subject::lock);
        let subject = counts.map_or_else(Subject::default, |counts| counts.copied());
        Arc::clone(subjects.get_or_insert(name, Arc::new(subject)))
    }

    pub(super) fn find(&self, name: &LimitedSubject) -> Option<Arc<Subject>> {
        self.subjects.pin().get(name).map(Arc::clone)
    }

    /// Forgets who is idle.
    pub(super) fn sweep(&self, now: Now) {
        let subjects = self.subjects.pin();
        for (name, subject) in &subjects {
            if is_idle(subject, now) {
                subjects.remove(name);
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        self.subjects.len()
    }
}

/// Whether nothing counts there. Whoever still holds it then finds out, and looks again.
fn is_idle(subject: &Subject, now: Now) -> bool {
    subject.lock().is_none_or(|mut counts| counts.tidy(now))
}

#[cfg(test)]
mod tests {
    use keyauth_core::{Limit, Timestamp};

    use super::super::counter::Asked;
    use super::*;

    #[test]
    fn who_still_holds_what_was_forgotten_finds_out() {
        let table = Table::new(1);
        let now = Now { uptime: 1, wall: Timestamp::from_micros(0) };
        let name = || LimitedSubject::Other("any".into());
        let held = table.get(name(), 0, || now);
        table.sweep(now);
        assert!(held.lock().is_none() && table.len() == 0);
        let again = table.get(name(), 0, || now);
        let limit = Limit::per_second(1);
        let mut counts = again.lock().expect("it is there");
        let asked = Asked { limit: &limit, share: 1, cost: 1, now };
        counts.counter(&limit, 0, now).add(&asked);
        drop(counts);
        table.sweep(now);
        assert!(again.lock().is_some() && table.len() == 1, "what counts is kept");
    }
}
