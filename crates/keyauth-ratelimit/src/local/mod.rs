//! Limits of one process.

mod counter;
mod subject;
mod table;

use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use keyauth_core::{
    Clock, LimitDecision, LimitState, Limited, LimitedCall, LimitedSubject, Limiter, LookupError,
    Memo, OwnedCall, Slots, SystemClock, TryAcquire, Within,
};

use crate::algorithm::{Room, Standing};
use crate::answer::exceeded;
use crate::subjects::{KINDS, place, subjects};
use crate::sync::MutexGuard;
use counter::{Asked, Counter, Now, Slot};
use subject::{Counts, Subject};
use table::Table;

/// How many subjects are counted each by itself.
const CAPACITY: usize = 1_000_000;

/// Limits within one process: exact, and decided without waiting for anything.
///
/// Several processes each let through as much. What was used is forgotten with the process, days
/// and months too. Clones count together.
///
/// | kind | bound |
/// | --- | --- |
/// | [rolling](keyauth_core::LimitWindow::Rolling) | never more than the count in any stretch of the window's length; a place is free again one window later, and at most a twentieth of it after that |
/// | [smooth](keyauth_core::LimitWindow::Smooth) | in any stretch of time, the burst and the count's part for that time |
/// | day, month | the count, in each calendar day or month of the zone; a clock that goes back does not open one anew |
/// | at once | the count, at any moment |
///
/// A million subjects are counted at a time. Beyond that, those who come anew count together, as
/// if they were one, until others are idle, and begin with what they have used together then: too
/// strict for some of them, too lax for none.
#[derive(Clone, Debug)]
pub struct LocalLimiter(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    table: Table,
    clock: Arc<dyn Clock>,
}

impl Inner {
    fn new(capacity: usize, clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self { table: Table::new(capacity), clock })
    }
}

/// Those whose use the limits of a record count, found once: a request that brings the same record
/// finds them there, and needs neither their names nor the table. Where there is one alone, he is
/// there himself.
struct Found([Option<Arc<Subject>>; KINDS]);

impl LocalLimiter {
    /// By the machine's clock.
    #[must_use]
    pub fn new() -> Self {
        Self::with_clock(Arc::new(SystemClock::new()))
    }

    /// By another clock.
    #[must_use]
    pub fn with_clock(clock: Arc<dyn Clock>) -> Self {
        Self(Inner::new(CAPACITY, clock))
    }

    /// Counts so many subjects each by itself; a million by default, of some hundred bytes each
    /// and 250 more for each rolling limit.
    #[must_use]
    pub fn with_capacity(self, subjects: usize) -> Self {
        let clock = Arc::clone(&self.0.clock);
        Self(Inner::new(subjects, clock))
    }

    /// How many subjects are counted at present.
    #[must_use]
    pub fn subjects(&self) -> usize {
        self.0.table.len()
    }

    /// What it would decide, without counting anything.
    pub(crate) fn look(&self, call: &LimitedCall<'_>) -> LimitDecision {
        self.locked(call.limited, Look::Only, |locked| {
            let (states, wait) = locked.states(1, call.cost);
            if states.iter().any(|state| state.exceeded) {
                return LimitDecision::Exceeded(exceeded(call.limited, states, wait));
            }
            LimitDecision::Within(Within { states, slots: None })
        })
    }

    /// Decides by one part in so many of each limit.
    pub(crate) fn decide_share(&self, call: &LimitedCall<'_>, share: u64) -> LimitDecision {
        self.locked(call.limited, Look::AndCount, |locked| locked.decide(call, share))
    }

    /// Locks the subjects of all limits and gives them to `decide`, which is one step so.
    fn locked<T>(&self, limited: &Limited, look: Look, decide: impl Fn(&mut Locked<'_>) -> T) -> T {
        let memo = match limited {
            Limited::Key(record) if look == Look::AndCount => Some(&record.memo),
            _ => None,
        };
        if let Some((counts, by)) = memo.and_then(|memo| self.remembered(limited, memo)) {
            return decide(&mut self.now_locked(limited, counts, Some(by)));
        }
        let names = subjects(limited);
        loop {
            let found: [_; KINDS] = std::array::from_fn(|place| {
                let name = names.get(place)?.as_ref()?;
                let subject = match look {
                    Look::Only => self.0.table.look(name),
                    Look::AndCount => self.0.table.get(name, place, &self.0.clock),
                };
                Some((name, subject))
            });
            let mut counts = [const { None }; KINDS];
            let all = found.iter().zip(&mut counts).all(|(found, counts)| {
                let Some((name, subject)) = found else { return true };
                *counts = subject.lock();
                // Neither forgotten, nor given counts of its own meanwhile.
                counts.is_some() && self.0.table.is_current(name, subject)
            });
            if all {
                let decision = decide(&mut self.now_locked(limited, counts, None));
                if let Some(memo) = memo.filter(|memo| memo.is_empty()) {
                    remember(memo, found.map(|found| found.map(|(_, subject)| subject)));
                }
                return decision;
            }
        }
    }

    /// After the locks, so that no subject sees a time before the last one.
    fn now_locked<'a>(
        &'a self,
        limited: &'a Limited,
        counts: [Option<MutexGuard<'a, Counts>>; KINDS],
        by: Option<NonZeroU64>,
    ) -> Locked<'a> {
        let mut locked = Locked { limited, counts, by, now: Now::by(&*self.0.clock) };
        locked.arrange();
        locked
    }

    /// The subjects that were found for a record, locked; `None` where nothing was, or one of them was
    /// forgotten meanwhile.
    fn remembered<'a>(
        &self,
        limited: &Limited,
        memo: &'a Memo,
    ) -> Option<([Option<MutexGuard<'a, Counts>>; KINDS], NonZeroU64)> {
        let mut counts = [const { None }; KINDS];
        if let Some((subject, number)) = memo.get::<Subject>() {
            let at = place(limited.counted(limited.limits().first()?));
            *counts.get_mut(at)? = Some(subject.lock_for(self.0.table.id())?);
            return Some((counts, number));
        }
        let (Found(subjects), number) = memo.get::<Found>()?;
        for (subject, counts) in subjects.iter().zip(&mut counts) {
            if let Some(subject) = subject {
                *counts = Some(subject.lock_for(self.0.table.id())?);
            }
        }
        Some((counts, number))
    }
}

/// Puts those who were found where the next request with the same record looks.
fn remember(memo: &Memo, subjects: [Option<Arc<Subject>>; KINDS]) {
    // Where several count together for now, each of them gets his own later.
    if !subjects.iter().flatten().any(|subject| subject.is_crowd()) {
        let mut all = subjects.iter().flatten();
        match (all.next(), all.next()) {
            (Some(alone), None) => memo.set(Arc::clone(alone)),
            _ => memo.set(Arc::new(Found(subjects))),
        }
    }
}

/// What subjects are locked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    /// To see how they stand: those that are not there are not put there.
    Only,
    AndCount,
}

/// Subjects whose counts nobody else changes for now.
struct Locked<'a> {
    limited: &'a Limited,
    counts: [Option<MutexGuard<'a, Counts>>; KINDS],
    /// By what was found for the record, if anything was.
    by: Option<NonZeroU64>,
    now: Now<'a>,
}

impl Locked<'_> {
    /// Has all counts stand in the order of the limits.
    fn arrange(&mut self) {
        let arranged = |by| self.counts.iter().flatten().all(|counts| counts.are_arranged_by(by));
        if self.by.is_some_and(arranged) {
            return;
        }
        let mut places = [0; KINDS];
        for applied in self.limited.limits() {
            let at = place(self.limited.counted(applied));
            let (Some(Some(counts)), Some(place)) = (self.counts.get_mut(at), places.get_mut(at))
            else {
                // A group's, for a key without one.
                continue;
            };
            counts.arrange(&applied.limit, *place, &self.now);
            *place += 1;
        }
        if let Some(by) = self.by {
            self.counts.iter_mut().flatten().for_each(|counts| counts.arranged(by));
        }
    }

    /// Calls `each` with the count of each limit, as long as it says so. Says whether it did.
    fn all(
        &mut self,
        share: u64,
        cost: u64,
        mut each: impl FnMut(usize, &mut Counter, &Asked<'_>) -> bool,
    ) -> bool {
        let mut counters =
            self.counts.each_mut().map(|counts| counts.as_mut().map(|counts| counts.iter_mut()));
        for (number, applied) in self.limited.limits().iter().enumerate() {
            let at = place(self.limited.counted(applied));
            let Some(Some(counters)) = counters.get_mut(at) else {
                // A group's, for a key without one.
                continue;
            };
            #[expect(clippy::expect_used, reason = "a limit must not be passed over")]
            let counter = counters.next().expect("there is one for each, as they were arranged");
            let asked = Asked { limit: &applied.limit, share, cost, now: &self.now };
            if !each(number, counter, &asked) {
                return false;
            }
        }
        true
    }

    fn decide(&mut self, call: &LimitedCall<'_>, share: u64) -> LimitDecision {
        if !self.all(share, call.cost, |_, counter, asked| counter.fits(asked)) {
            let (states, wait) = self.states(share, call.cost);
            return LimitDecision::Exceeded(exceeded(self.limited, states, wait));
        }
        let mut slots: Vec<Slot> = Vec::new();
        self.all(share, call.cost, |_, counter, asked| {
            slots.extend(counter.add(asked));
            true
        });
        let states = if call.report { self.states(share, call.cost).0 } else { Vec::new() };
        let slots = (!slots.is_empty()).then(|| Slots::new(slots));
        LimitDecision::Within(Within { states, slots })
    }

    /// How the limits stand, and when a call would pass.
    fn states(&mut self, share: u64, cost: u64) -> (Vec<LimitState>, Option<Duration>) {
        let mut states = Vec::with_capacity(self.limited.limits().len());
        let mut passes_after = Some(Duration::ZERO);
        self.all(share, cost, |at, counter, asked| {
            let Standing { used, remaining, resets_after, room } = counter.standing(asked);
            passes_after = match room {
                Room::Now => passes_after,
                Room::After(wait) => passes_after.map(|other| other.max(wait)),
                Room::Never => None,
            };
            let exceeded = room != Room::Now;
            states.push(LimitState { at, used, remaining, resets_after, exceeded });
            true
        });
        (states, passes_after)
    }
}

impl Limiter for LocalLimiter {
    fn try_acquire(&self, call: &LimitedCall<'_>) -> TryAcquire {
        TryAcquire::Decided(self.decide_share(call, 1))
    }

    async fn acquire(&self, call: OwnedCall) -> Result<LimitDecision, LookupError> {
        Ok(self.decide_share(&call.borrow(), 1))
    }

    async fn usage(&self, limited: Limited) -> Result<Vec<LimitState>, LookupError> {
        Ok(self.locked(&limited, Look::Only, |locked| locked.states(1, 0).0))
    }

    async fn reset(&self, subject: &LimitedSubject) -> Result<(), LookupError> {
        if let Some(mut counts) = self.0.table.find(subject).as_deref().and_then(Subject::lock) {
            counts.reset();
        }
        Ok(())
    }
}

impl Default for LocalLimiter {
    fn default() -> Self {
        Self::new()
    }
}
