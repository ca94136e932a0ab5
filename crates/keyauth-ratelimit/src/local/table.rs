//! The subjects of this process.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use foldhash::quality::RandomState;
use keyauth_core::{Clock, LimitedSubject};
use papaya::HashMap;
use tokio::runtime::Handle;

use super::counter::Now;
use super::subject::{Counts, Subject};
use crate::subjects::KINDS;
use crate::sync::{Mutex, PoisonError};

/// How often, in nanoseconds, one who finds the table full looks for who is idle.
const SWEEP: u64 = 10_000_000_000;

type Subjects = HashMap<LimitedSubject, Arc<Subject>, RandomState>;

/// Subjects by name: found without a lock, bounded, and safe when it is full.
#[derive(Debug)]
pub(super) struct Table {
    subjects: Arc<Subjects>,
    capacity: usize,
    /// Tells its subjects from those of others.
    id: u64,
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
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        Self { subjects: Arc::default(), capacity, id, entrance: Mutex::default() }
    }

    pub(super) const fn id(&self) -> u64 {
        self.id
    }

    /// The subject's counts, or those of all for whom there is no room: who counts there must
    /// [make sure](Self::is_current), once they are locked, that it still is where to count.
    pub(super) fn get(
        &self,
        name: &LimitedSubject,
        kind: usize,
        clock: &Arc<dyn Clock>,
    ) -> Arc<Subject> {
        let subjects = self.subjects.pin();
        if let Some(subject) = subjects.get(name) {
            return Arc::clone(subject);
        }
        let now = Now::by(&**clock);
        let mut entrance = self.entrance.lock().unwrap_or_else(PoisonError::into_inner);
        let Entrance { crowds, swept_at } = &mut *entrance;
        #[expect(clippy::indexing_slicing, reason = "there is one for each kind")]
        let crowd = &mut crowds[kind];
        if crowd.as_ref().is_some_and(|crowd| is_idle(crowd, &now)) {
            *crowd = None;
        }
        if subjects.len() >= self.capacity {
            if swept_at.is_none_or(|last| now.uptime.saturating_sub(last) >= SWEEP) {
                *swept_at = Some(now.uptime);
                self.begin_sweep(Arc::clone(clock));
            }
            if subjects.len() >= self.capacity {
                return Arc::clone(crowd.get_or_insert_with(|| Arc::new(Subject::crowd(self.id))));
            }
        }
        // Locked until it is there, so that nobody counts in the crowd for it any more.
        let counts = crowd.as_deref().and_then(Subject::lock);
        let counts = counts.as_ref().map_or_else(Counts::default, |counts| counts.copied());
        let subject = Subject::with(counts, self.id);
        Arc::clone(subjects.get_or_insert(name.clone(), Arc::new(subject)))
    }

    /// Whether counts, which are locked, are still what a subject counts in: its own are, unless
    /// they were forgotten; those of a crowd until it has its own.
    pub(super) fn is_current(&self, name: &LimitedSubject, subject: &Subject) -> bool {
        !subject.is_crowd() || self.subjects.pin().get(name).is_none()
    }

    pub(super) fn find(&self, name: &LimitedSubject) -> Option<Arc<Subject>> {
        self.subjects.pin().get(name).map(Arc::clone)
    }

    /// The subject's counts, or none that anybody else sees.
    pub(super) fn look(&self, name: &LimitedSubject) -> Arc<Subject> {
        self.find(name).unwrap_or_else(|| Arc::new(Subject::new(self.id)))
    }

    /// Forgets who is idle, beside the request that comes first where that can be: it takes as
    /// long as there are subjects.
    fn begin_sweep(&self, clock: Arc<dyn Clock>) {
        match Handle::try_current() {
            Ok(runtime) => {
                let subjects = Arc::clone(&self.subjects);
                runtime.spawn_blocking(move || sweep(&subjects, &*clock));
            }
            Err(_) => sweep(&self.subjects, &*clock),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.subjects.len()
    }
}

/// Forgets who is idle.
fn sweep(subjects: &Subjects, clock: &dyn Clock) {
    let now = Now::by(clock);
    let subjects = subjects.pin();
    for (name, subject) in &subjects {
        if is_idle(subject, &now) {
            subjects.remove(name);
        }
    }
}

/// Whether nothing counts there. Whoever still holds it then finds out, and looks again.
fn is_idle(subject: &Subject, now: &Now<'_>) -> bool {
    subject.lock().is_none_or(|mut counts| counts.tidy(now))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use keyauth_core::Limit;
    use keyauth_testkit::FakeClock;

    use super::super::counter::Asked;
    use super::*;

    /// Lets one pass, if it fits.
    fn passes(subject: &Subject, limit: &Limit, clock: &FakeClock) -> bool {
        let now = Now::by(clock);
        let asked = Asked { limit, share: 1, cost: 1, now: &now };
        let mut counts = subject.lock().expect("it is there");
        counts.arrange(limit, 0, &now);
        let counter = counts.iter_mut().next().expect("it was arranged");
        let fits = counter.fits(&asked);
        counter.add(&asked);
        fits
    }

    #[test]
    fn who_still_holds_what_was_forgotten_finds_out() {
        let table = Table::new(1);
        let fake = Arc::new(FakeClock::default());
        let clock: Arc<dyn Clock> = Arc::clone(&fake) as _;
        let name = || LimitedSubject::Other("any".into());
        let held = table.get(&name(), 0, &clock);
        sweep(&table.subjects, &*fake);
        assert!(held.lock().is_none() && table.len() == 0);
        let again = table.get(&name(), 0, &clock);
        assert!(passes(&again, &Limit::per_second(1), &fake));
        sweep(&table.subjects, &*fake);
        assert!(again.lock().is_some() && table.len() == 1, "what counts is kept");
    }

    #[test]
    fn who_holds_the_crowd_when_he_is_given_a_place_finds_out() {
        let table = Table::new(1);
        let fake = Arc::new(FakeClock::default());
        let clock: Arc<dyn Clock> = Arc::clone(&fake) as _;
        let name = |name: &str| LimitedSubject::Other(name.into());
        let limit = Limit::per_second(2);
        assert!(passes(&table.get(&name("first"), 0, &clock), &limit, &fake));
        fake.advance(Duration::from_millis(900));
        let crowd = table.get(&name("second"), 0, &clock);
        assert!(passes(&crowd, &limit, &fake) && table.is_current(&name("second"), &crowd));
        // The first is idle by now, the crowd is not, and a sweep is due.
        fake.advance(Duration::from_nanos(2 * SWEEP));
        assert!(passes(&crowd, &limit, &fake));
        let own = table.get(&name("second"), 0, &clock);
        assert!(!own.is_crowd() && table.is_current(&name("second"), &own));
        assert!(!table.is_current(&name("second"), &crowd), "what counts there is not his");
        assert!(table.is_current(&name("third"), &crowd));
        let fits = || passes(&own, &limit, &fake);
        assert!(fits() && !fits(), "he begins with what they have used");
    }
}
