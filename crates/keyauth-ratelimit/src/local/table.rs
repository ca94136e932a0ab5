//! The subjects of this process.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use keyauth_core::LimitedSubject;
use papaya::HashMap;

use super::counter::Now;
use super::subject::Subject;

/// How often, in nanoseconds, one who finds the table full looks for what is idle.
const SWEEP: u64 = 10_000_000_000;

/// Subjects by name: read without a lock, bounded, and safe when it is full.
#[derive(Debug)]
pub(super) struct Table {
    subjects: HashMap<LimitedSubject, Arc<Subject>>,
    capacity: usize,
    /// Where all count together for whom there is no room: too strict for some, too lax for none.
    /// One for each kind, since one decision locks several.
    overflow: [Arc<Subject>; super::KINDS],
    swept_at: AtomicU64,
}

impl Table {
    pub(super) fn new(capacity: usize) -> Self {
        let overflow = std::array::from_fn(|_| Arc::default());
        Self { subjects: HashMap::new(), capacity, overflow, swept_at: AtomicU64::new(0) }
    }

    /// The subject's counts; those of everybody else without room where there is none.
    pub(super) fn get(&self, name: LimitedSubject, kind: usize, now: Now) -> Arc<Subject> {
        let subjects = self.subjects.pin();
        if let Some(subject) = subjects.get(&name) {
            return Arc::clone(subject);
        }
        if subjects.len() >= self.capacity && !self.make_room(now) {
            #[expect(clippy::indexing_slicing, reason = "there is one for each kind")]
            return Arc::clone(&self.overflow[kind]);
        }
        Arc::clone(subjects.get_or_insert_with(name, Arc::default))
    }

    pub(super) fn find(&self, name: &LimitedSubject) -> Option<Arc<Subject>> {
        self.subjects.pin().get(name).map(Arc::clone)
    }

    /// Sweeps, if nobody has for a while. Says whether there is room.
    fn make_room(&self, now: Now) -> bool {
        let last = self.swept_at.load(Ordering::Relaxed);
        let due = last == 0 || now.uptime.saturating_sub(last) >= SWEEP;
        let mine = due && {
            let swap = self.swept_at.compare_exchange(
                last,
                now.uptime.max(1),
                Ordering::Relaxed,
                Ordering::Relaxed,
            );
            swap.is_ok()
        };
        if mine {
            self.sweep(now);
        }
        self.subjects.len() < self.capacity
    }

    /// Forgets who is idle.
    pub(super) fn sweep(&self, now: Now) {
        let subjects = self.subjects.pin();
        for (name, subject) in &subjects {
            // In this order: whoever comes in between finds that it is forgotten and looks again.
            if subject.lock().is_none_or(|mut counts| counts.tidy(now)) {
                subjects.remove(name);
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        self.subjects.len()
    }
}
