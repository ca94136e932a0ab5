//! Limits of one process.

mod counter;
mod subject;
mod table;

use std::sync::{Arc, MutexGuard};

use keyauth_core::{
    AppliedLimit, Clock, Counted, Denial, Exceeded, LimitDecision, LimitState, Limited,
    LimitedCall, LimitedSubject, Limiter, LookupError, OwnedCall, Slots, SystemClock, TryAcquire,
    Within,
};

use crate::algorithm::{Room, Standing, nanos};
use counter::{Now, Slot, counted};
use subject::{Counts, Subject};
use table::Table;

/// Whose use can be counted in one decision, in the order in which it is locked.
const ORDER: [Counted; KINDS] =
    [Counted::Key, Counted::Member, Counted::Owner, Counted::Group, Counted::Tenant];
const KINDS: usize = 5;

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
/// if they were one, until others are idle: too strict for some of them, too lax for none.
#[derive(Clone, Debug)]
pub struct LocalLimiter(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    table: Table,
    clock: Arc<dyn Clock>,
}

impl LocalLimiter {
    /// By the machine's clock.
    #[must_use]
    pub fn new() -> Self {
        Self::with_clock(Arc::new(SystemClock::new()))
    }

    /// By another clock.
    #[must_use]
    pub fn with_clock(clock: Arc<dyn Clock>) -> Self {
        Self(Arc::new(Inner { table: Table::new(CAPACITY), clock }))
    }

    /// Counts so many subjects each by itself; a million by default, of some hundred bytes each
    /// and 250 more for each rolling limit.
    #[must_use]
    pub fn with_capacity(self, subjects: usize) -> Self {
        let clock = Arc::clone(&self.0.clock);
        Self(Arc::new(Inner { table: Table::new(subjects), clock }))
    }

    /// How many subjects are counted at present.
    #[must_use]
    pub fn subjects(&self) -> usize {
        self.0.table.len()
    }

    fn now(&self) -> Now {
        let clock = &self.0.clock;
        Now { uptime: nanos(clock.uptime()), wall: clock.now() }
    }

    /// Locks the subjects of all limits and gives them to `decide`, which is one step so.
    fn locked<T>(&self, limited: &Limited, decide: impl Fn(&mut Locked<'_>) -> T) -> T {
        loop {
            let now = self.now();
            let subjects = ORDER.map(|kind| {
                let concerned = kinds(limited).any(|concerned| concerned == kind);
                let name = concerned.then(|| limited.subject(kind)).flatten()?;
                Some(self.0.table.get(name, place(kind), now))
            });
            let mut counts = [const { None }; KINDS];
            let all = subjects.iter().zip(&mut counts).all(|(subject, counts)| {
                *counts = subject.as_deref().and_then(Subject::lock);
                counts.is_some() == subject.is_some()
            });
            if all {
                // After the locks, so that no subject sees a time before the last one.
                return decide(&mut Locked { limited, counts, now: self.now() });
            }
        }
    }
}

/// The kind of whose use each limit counts.
fn kinds(limited: &Limited) -> impl Iterator<Item = Counted> + '_ {
    limited.limits().iter().map(|applied| kind(limited, applied))
}

fn kind(limited: &Limited, applied: &AppliedLimit) -> Counted {
    match limited {
        Limited::Key(_) => applied.counted,
        // One subject, to be locked once.
        _ => Counted::Key,
    }
}

fn place(kind: Counted) -> usize {
    ORDER.iter().position(|other| *other == kind).unwrap_or_default()
}

/// Subjects whose counts nobody else changes for now.
struct Locked<'a> {
    limited: &'a Limited,
    counts: [Option<MutexGuard<'a, Counts>>; KINDS],
    now: Now,
}

impl Locked<'_> {
    /// Calls `each` with the count of each limit.
    fn all(
        &mut self,
        cost: u64,
        mut each: impl FnMut(&mut counter::Counter, &AppliedLimit, u64, Now) -> bool,
    ) -> bool {
        let mut places = [0; KINDS];
        for applied in self.limited.limits() {
            let at = place(kind(self.limited, applied));
            let (Some(Some(counts)), Some(place)) = (self.counts.get_mut(at), places.get_mut(at))
            else {
                // A group's, for a key without one.
                continue;
            };
            let counter = counts.counter(&applied.limit, *place, self.now);
            *place += 1;
            if !each(counter, applied, counted(&applied.limit, cost), self.now) {
                return false;
            }
        }
        true
    }

    fn decide(&mut self, cost: u64, report: bool) -> LimitDecision {
        if !self.all(cost, |counter, applied, cost, now| counter.fits(&applied.limit, cost, now)) {
            return LimitDecision::Exceeded(self.exceeded(cost));
        }
        let mut slots: Vec<Slot> = Vec::new();
        self.all(cost, |counter, applied, cost, now| {
            slots.extend(counter.add(&applied.limit, cost, now));
            true
        });
        LimitDecision::Within(Within {
            states: if report {
                self.states(cost).into_iter().map(|(state, _)| state).collect()
            } else {
                Vec::new()
            },
            slots: (!slots.is_empty()).then(|| Slots::new(slots)),
        })
    }

    fn exceeded(&mut self, cost: u64) -> Exceeded {
        let states = self.states(cost);
        let mut retry_after = std::time::Duration::ZERO;
        let mut denial = Denial::ConcurrencyLimited;
        for ((_, standing), applied) in states.iter().zip(self.limited.limits()) {
            let wait = match standing.room {
                Room::Now => continue,
                Room::After(wait) | Room::Never(wait) => wait,
            };
            retry_after = retry_after.max(wait);
            if applied.limit.window != keyauth_core::LimitWindow::AtOnce {
                denial = Denial::RateLimited;
            }
        }
        let states = states.into_iter().map(|(state, _)| state).collect();
        Exceeded { denial, retry_after, states }
    }

    fn states(&mut self, cost: u64) -> Vec<(LimitState, Standing)> {
        let mut states = Vec::with_capacity(self.limited.limits().len());
        self.all(cost, |counter, applied, cost, now| {
            let standing = counter.standing(&applied.limit, cost, now);
            let Standing { used, remaining, resets_after, room } = standing;
            let exceeded = room != Room::Now;
            let at = states.len();
            states.push((LimitState { at, used, remaining, resets_after, exceeded }, standing));
            true
        });
        states
    }
}

impl Limiter for LocalLimiter {
    fn try_acquire(&self, call: &LimitedCall<'_>) -> TryAcquire {
        TryAcquire::Decided(
            self.locked(call.limited, |locked| locked.decide(call.cost, call.report)),
        )
    }

    async fn acquire(&self, call: OwnedCall) -> Result<LimitDecision, LookupError> {
        Ok(self.locked(&call.limited, |locked| locked.decide(call.cost, call.report)))
    }

    async fn usage(&self, limited: Limited) -> Result<Vec<LimitState>, LookupError> {
        let states = self.locked(&limited, |locked| locked.states(0));
        Ok(states.into_iter().map(|(state, _)| state).collect())
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
