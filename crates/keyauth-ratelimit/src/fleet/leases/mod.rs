//! What this instance has taken ahead of limits, from which it decides without asking anybody.

#[cfg(test)]
mod adversary;
mod asking;
#[cfg(all(test, shuttle))]
mod interleavings;
mod keeper;
mod stock;

use std::fmt::{self, Debug};
use std::sync::Once;

use foldhash::quality::RandomState;
use keyauth_core::{
    Clock, Limit, LimitDecision, Limited, LimitedCall, LimitedSubject, SystemClock, TryAcquire,
    Within,
};
use papaya::HashMap;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::algorithm::nanos;
use crate::subjects::{KINDS, place, subjects};
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::sync::{Arc, Mutex, MutexGuard, PoisonError};
pub(super) use keeper::keep;
use stock::{Stock, can_be_leased, is_worth_leasing};

/// For how many subjects something is taken ahead. Others ask about each request.
const CAPACITY: usize = 100_000;

/// What was taken ahead, by whose it is.
pub(super) struct Leases {
    subjects: HashMap<LimitedSubject, Arc<Subject>, RandomState>,
    clock: Arc<dyn Clock>,
    /// Whom the keeper is to look at, each at most once until it does. There is one keeper, who has
    /// the other end.
    wanting: UnboundedSender<LimitedSubject>,
    wanted: Arc<tokio::sync::Mutex<UnboundedReceiver<LimitedSubject>>>,
    /// Whether somebody asks for more, and gives back.
    kept: AtomicBool,
    turn: AtomicU64,
    not_started: Once,
    /// Tells it from others in what it has put into records.
    id: u64,
}

/// Whose use the limits of a record count.
type Subjects = [Option<Arc<Subject>>; KINDS];

/// The same, found once for a record, and anew where one of them was forgotten.
struct Found {
    leases: u64,
    subjects: Mutex<Subjects>,
}

/// What was taken ahead of one subject's limits: one lock for it, and for nobody else.
#[derive(Debug, Default)]
struct Subject(Mutex<Stocks>);

#[derive(Debug, Default)]
struct Stocks {
    list: Vec<Stock>,
    /// When the keeper looks at it.
    next_look: u64,
    /// Whether it was taken out of the table.
    forgotten: bool,
}

impl Subject {
    fn lock(&self) -> Option<MutexGuard<'_, Stocks>> {
        let stocks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (!stocks.forgotten).then_some(stocks)
    }
}

impl Stocks {
    /// Where a limit's is, looked for first where it was the last time.
    fn find(&mut self, limit: &Limit, place: usize) -> Option<&mut Stock> {
        let there = self.list.get(place).is_some_and(|stock| stock.is_of(limit));
        let at =
            if there { place } else { self.list.iter().position(|stock| stock.is_of(limit))? };
        self.list.get_mut(at)
    }
}

impl Leases {
    pub(super) fn new() -> Self {
        Self::with_clock(Arc::new(SystemClock::new()))
    }

    pub(super) fn with_clock(clock: Arc<dyn Clock>) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let (wanting, wanted) = unbounded_channel();
        Self {
            subjects: HashMap::default(),
            clock,
            wanting,
            wanted: Arc::new(tokio::sync::Mutex::new(wanted)),
            kept: AtomicBool::new(false),
            turn: AtomicU64::new(0),
            not_started: Once::new(),
            id: NEXT.fetch_add(1, Ordering::Relaxed),
        }
    }

    fn now(&self) -> u64 {
        nanos(self.clock.uptime())
    }

    /// Decides by what is there, if that is enough for all limits.
    pub(super) fn try_acquire(&self, call: &LimitedCall<'_>, instances: u64) -> TryAcquire {
        self.decide(call, instances).map_or(TryAcquire::Ask, TryAcquire::Decided)
    }

    fn decide(&self, call: &LimitedCall<'_>, instances: u64) -> Option<LimitDecision> {
        let limits = call.limited.limits();
        if !self.is_kept() || !limits.iter().all(|applied| can_be_leased(&applied.limit)) {
            return None;
        }
        if let Limited::Key(record) = call.limited
            && let Some((found, _)) = record.memo.get::<Found>()
            && found.leases == self.id
        {
            let mut subjects = found.subjects.lock().unwrap_or_else(PoisonError::into_inner);
            let decision = self.decide_by(&subjects, call, instances);
            if decision.is_some() {
                return decision;
            }
            // Nothing is there, or what is there is another one's by now.
            *subjects = self.find_all(call.limited)?;
        }
        let subjects = self.find_all(call.limited)?;
        let decision = self.decide_by(&subjects, call, instances);
        if let Limited::Key(record) = call.limited
            && record.memo.is_empty()
        {
            let found = Found { leases: self.id, subjects: Mutex::new(subjects) };
            record.memo.set(Arc::new(found));
        }
        decision
    }

    /// Those whose use the limits count; `None` where nothing is taken ahead for one of them.
    fn find_all(&self, limited: &Limited) -> Option<Subjects> {
        let table = self.subjects.pin();
        let mut found = [const { None }; KINDS];
        for (name, found) in subjects(limited).iter().zip(&mut found) {
            if let Some(name) = name {
                *found = Some(Arc::clone(table.get(name)?));
            }
        }
        Some(found)
    }

    /// Decides by what is there of these.
    fn decide_by(
        &self,
        found: &Subjects,
        call: &LimitedCall<'_>,
        instances: u64,
    ) -> Option<LimitDecision> {
        let limits = call.limited.limits();
        let mut locked = [const { None }; KINDS];
        for (subject, locked) in found.iter().zip(&mut locked) {
            if let Some(subject) = subject {
                *locked = Some(subject.lock()?);
            }
        }
        // After the locks: what is good until now was not put there later.
        let now = self.now();
        let mut of_all = |each: &mut dyn FnMut(usize, usize, &mut Stock)| {
            let mut places = [0; KINDS];
            for (number, applied) in limits.iter().enumerate() {
                let at = place(call.limited.counted(applied));
                let (Some(Some(stocks)), Some(place)) = (locked.get_mut(at), places.get_mut(at))
                else {
                    // A group's, for a key without one.
                    continue;
                };
                let stock = stocks.find(&applied.limit, *place)?;
                *place += 1;
                each(number, at, stock);
            }
            Some(())
        };
        let mut enough = true;
        of_all(&mut |_, _, stock| enough &= stock.has(stock.units(call.cost), now))?;
        if !enough {
            return None;
        }
        let (mut wanting, mut states) = ([false; KINDS], Vec::new());
        if call.report {
            states.reserve(limits.len());
        }
        of_all(&mut |number, at, stock| {
            let units = stock.units(call.cost);
            stock.take(units);
            if stock.note(units, now, instances)
                && let Some(wanting) = wanting.get_mut(at)
            {
                *wanting = true;
            }
            if call.report {
                states.push(stock.state(number, now));
            }
        })?;
        drop(locked);
        if wanting.contains(&true) {
            for (name, wanting) in subjects(call.limited).into_iter().zip(wanting) {
                if let (Some(name), true) = (name, wanting) {
                    let _ = self.wanting.send(name);
                }
            }
        }
        Some(LimitDecision::Within(Within { states, slots: None }))
    }

    /// Notes what a call has used about which somebody was asked.
    pub(super) fn note(&self, limited: &Limited, cost: u64, instances: u64) {
        let limits = limited.limits();
        if !limits.iter().all(|applied| can_be_leased(&applied.limit)) {
            return;
        }
        if !self.is_kept() {
            self.not_started.call_once(|| {
                tracing::warn!(
                    "limits are to be leased, and nobody takes anything ahead, so each request \
                     asks; call `Limiter::start`, as `Authenticator::start` does"
                );
            });
            return;
        }
        if !limits.iter().all(|applied| is_worth_leasing(&applied.limit, instances)) {
            return;
        }
        for applied in limited.limits() {
            let limit = &applied.limit;
            let Some(name) = limited.subject(limited.counted(applied)) else { continue };
            let Some((subject, new)) = self.subject(&name) else { continue };
            let Some(mut stocks) = subject.lock() else { continue };
            let mut new = new;
            if stocks.find(limit, 0).is_none() {
                for old in stocks.list.iter_mut().filter(|old| old.is_succeeded_by(limit)) {
                    old.retire();
                    new = true;
                }
                stocks.list.extend(Stock::new(limit));
            }
            let now = self.now();
            let stock = stocks.find(limit, 0);
            let wanting =
                stock.is_some_and(|stock| stock.note_asked(stock.units(cost), now, instances));
            drop(stocks);
            if wanting || new {
                let _ = self.wanting.send(name);
            }
        }
    }

    /// A subject, and whether it is new; `None` where there is no room.
    fn subject(&self, name: &LimitedSubject) -> Option<(Arc<Subject>, bool)> {
        let table = self.subjects.pin();
        if let Some(subject) = table.get(name) {
            return Some((Arc::clone(subject), false));
        }
        if table.len() >= CAPACITY {
            return None;
        }
        let subject = Arc::<Subject>::default();
        let there = table.get_or_insert(name.clone(), Arc::clone(&subject));
        Some((Arc::clone(there), Arc::ptr_eq(there, &subject)))
    }

    /// Puts away what was taken ahead for somebody whose counts begin anew.
    pub(super) fn reset(&self, name: &LimitedSubject) {
        if let Some(mut stocks) = self.subjects.pin().get(name).and_then(|subject| subject.lock()) {
            stocks.list.iter_mut().for_each(Stock::reset);
        }
    }

    /// Nobody waits for answers any more: everybody is looked at anew.
    fn forsake_all(&self) {
        for (name, subject) in &self.subjects.pin() {
            if let Some(mut stocks) = subject.lock() {
                stocks.list.iter_mut().for_each(Stock::forsaken);
            }
            let _ = self.wanting.send(name.clone());
        }
    }

    fn is_kept(&self) -> bool {
        self.kept.load(Ordering::Relaxed)
    }
}

impl Debug for Leases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leases").field("subjects", &self.subjects.len()).finish_non_exhaustive()
    }
}
