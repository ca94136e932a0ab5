//! Whoever takes ahead of need, and gives back what was not used.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use keyauth_core::{Background, LimitedSubject, SharedLeaseQuestion, SharedLimits, UnusedLease};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::{OwnedMutexGuard, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::super::Inner;
use super::super::keeping::{Stop, one_at_a_time};
use super::Leases;
use super::asking::{Asking, Step, Together, ask_in_turn};
use super::stock::Stock;

/// How many subjects are looked at together, and in how many places is asked at once.
const SUBJECTS: usize = 1_024;
const PLACES: usize = 16;
/// How long giving back may take at the end, and how soon it is tried again.
const LEAVE_DEADLINE: Duration = Duration::from_secs(2);
const LEAVE_PAUSE: Duration = Duration::from_millis(100);
/// How long nobody looks where there is nothing to look at.
const IDLE: Duration = Duration::from_secs(60);
/// By how much whoever counts is later at the end of a part than the earliest it can be.
const LATER: u64 = 1_000_000;

/// Takes ahead and gives back until it is told to stop, or the limiter is gone.
pub(crate) fn keep<S: SharedLimits + 'static>(inner: &Arc<Inner<S>>) -> Background {
    let Some(leases) = &inner.leases else { return Background::none() };
    leases.not_started.call_once(|| {});
    let inner = Arc::downgrade(inner);
    one_at_a_time(&leases.wanted, |wanted, stop| async move {
        if let Some(keeper) = Keeper::begin(inner, wanted) {
            keeper.run(stop).await;
        }
    })
}

/// Somebody who does. There is one at a time: the next one begins when he has left.
struct Keeper<S: SharedLimits + 'static> {
    inner: Weak<Inner<S>>,
    wanted: OwnedMutexGuard<UnboundedReceiver<LimitedSubject>>,
    /// Whom to look at, and when.
    due: BinaryHeap<Reverse<(u64, LimitedSubject)>>,
    /// What was asked last of each place, where there was no answer: it may have been done.
    unanswered: HashMap<Together, Step>,
}

impl<S: SharedLimits + 'static> Drop for Keeper<S> {
    fn drop(&mut self) {
        if let Some(leases) = self.inner.upgrade().as_ref().and_then(|inner| inner.leases.as_ref())
        {
            leases.kept.store(false, Ordering::Relaxed);
        }
    }
}

impl<S: SharedLimits + 'static> Keeper<S> {
    fn begin(
        inner: Weak<Inner<S>>,
        wanted: OwnedMutexGuard<UnboundedReceiver<LimitedSubject>>,
    ) -> Option<Self> {
        let limiter = inner.upgrade()?;
        let leases = limiter.leases.as_ref()?;
        leases.kept.store(true, Ordering::Relaxed);
        // What one has left who ended early, as with his runtime.
        leases.forsake_all();
        Some(Self { inner, wanted, due: BinaryHeap::new(), unanswered: HashMap::new() })
    }

    async fn run(mut self, mut stop: Stop) {
        loop {
            let Some(inner) = self.inner.upgrade() else { return };
            let Some(leases) = &inner.leases else { return };
            let until = |at: u64| Duration::from_nanos(at.saturating_sub(leases.now()));
            let due = self.due.peek().map(|Reverse((at, _))| *at);
            let again = self.unanswered.values().map(Step::again_at).min();
            let pause = [due, again].into_iter().flatten().min().map_or(IDLE, until);
            // Not held while it waits: the limiter may go meanwhile.
            drop(inner);
            let mut names = Vec::new();
            tokio::select! {
                _ = self.wanted.recv_many(&mut names, SUBJECTS) => {}
                () = sleep(pause) => {}
                () = &mut stop => break,
            }
            let Some(inner) = self.inner.upgrade() else { return };
            self.look(&inner, names).await;
        }
        if let Some(inner) = self.inner.upgrade()
            && let Some(leases) = &inner.leases
        {
            leases.kept.store(false, Ordering::Relaxed);
            let _ = timeout(LEAVE_DEADLINE, self.leave(&inner, leases)).await;
            leases.subjects.pin().clear();
        }
    }

    /// Gives back all that is here, and what comes as an answer to a question from before.
    async fn leave(&mut self, inner: &Arc<Inner<S>>, leases: &Leases) {
        loop {
            let all = leases.all_that_is_left();
            if all.is_empty() && self.unanswered.is_empty() {
                return;
            }
            self.unanswered.values_mut().for_each(Step::hurry);
            self.ask(inner, all).await;
            if !self.unanswered.is_empty() {
                sleep(LEAVE_PAUSE).await;
            }
        }
    }

    /// Looks at those who want it, and at those whose time it is.
    async fn look(&mut self, inner: &Arc<Inner<S>>, mut names: Vec<LimitedSubject>) {
        let Some(leases) = &inner.leases else { return };
        let now = leases.now();
        while names.len() < SUBJECTS
            && let Some(Reverse((at, _))) = self.due.peek()
            && *at <= now
            && let Some(Reverse((at, name))) = self.due.pop()
        {
            // Unless another time was agreed on since.
            let stocks = leases.subjects.pin().get(&name).map(Arc::clone);
            if stocks.is_some_and(|stocks| stocks.lock().is_some_and(|s| s.next_look == at)) {
                names.push(name);
            }
        }
        names.sort_unstable();
        names.dedup();
        let instances = inner.known_instances();
        let questions = names.iter().flat_map(|name| leases.questions(name, now, instances));
        self.ask(inner, questions.collect()).await;
        let now = leases.now();
        for name in names {
            if let Some(at) = leases.agree(&name, now) {
                self.due.push(Reverse((at, name)));
            }
        }
    }
}

impl Leases {
    /// What to ask for somebody.
    fn questions(&self, name: &LimitedSubject, now: u64, instances: u64) -> Vec<Asking> {
        self.asking(name, |stock| stock.questions(now, instances))
    }

    /// All that is to be given back when nobody wants more.
    pub(super) fn all_that_is_left(&self) -> Vec<Asking> {
        let give_up = |stock: &mut Stock| {
            let unused = stock.give_up().into_iter();
            unused.map(|unused| (0, Some(unused))).collect()
        };
        self.subjects.pin().keys().flat_map(|name| self.asking(name, give_up)).collect()
    }

    /// What is to be asked about each of somebody's limits: how much is wanted, and what is given
    /// back.
    pub(super) fn asking(
        &self,
        name: &LimitedSubject,
        of_each: impl Fn(&mut Stock) -> Vec<(u64, Option<UnusedLease>)>,
    ) -> Vec<Asking> {
        let Some(subject) = self.subjects.pin().get(name).map(Arc::clone) else { return vec![] };
        let Some(mut stocks) = subject.lock() else { return vec![] };
        let mut all = Vec::new();
        for stock in &mut stocks.list {
            let resets = stock.resets();
            for (wanted, unused) in of_each(stock) {
                let (name, limit) = (name.clone(), stock.limit().clone());
                let question = SharedLeaseQuestion { subject: name, limit, wanted, unused };
                all.push(Asking { stocks: Arc::clone(&subject), resets, question });
            }
        }
        all
    }

    /// When to look at somebody again; `None` where he is forgotten.
    fn agree(&self, name: &LimitedSubject, now: u64) -> Option<u64> {
        let table = self.subjects.pin();
        let mut stocks = table.get(name)?.lock()?;
        let mut next = None;
        stocks.list.retain_mut(|stock| {
            let at = stock.next_look(now);
            next = [next, at].into_iter().flatten().min();
            at.is_some()
        });
        match next {
            Some(at) => stocks.next_look = at.saturating_add(LATER),
            None => {
                stocks.forgotten = true;
                table.remove(name);
            }
        }
        next.map(|_| stocks.next_look)
    }
}

impl<S: SharedLimits + 'static> Keeper<S> {
    /// Asks all questions, those of one tenant one after the other; and first what there was no
    /// answer to, in the same turn.
    async fn ask(&mut self, inner: &Arc<Inner<S>>, all: Vec<Asking>) {
        let mut groups: HashMap<Together, Vec<Asking>> = HashMap::new();
        for asking in all {
            groups.entry(Together::of(&asking.question.subject)).or_default().push(asking);
        }
        let now = inner.leases.as_ref().map_or(0, Leases::now);
        for (together, step) in &self.unanswered {
            let again_at = step.again_at();
            if again_at <= now {
                groups.entry(together.clone()).or_default();
            } else if let Some(group) = groups.remove(together) {
                // In turn, and that is not yet.
                group.into_iter().for_each(|asking| asking.put_back(again_at));
            }
        }
        let steps = Arc::new(Semaphore::new(PLACES));
        let mut tasks = JoinSet::new();
        for (together, group) in groups {
            let (inner, steps) = (Arc::clone(inner), Arc::clone(&steps));
            let unanswered = self.unanswered.remove(&together);
            tasks.spawn(async move {
                let _step = steps.acquire().await;
                (together, ask_in_turn(&inner, unanswered, group).await)
            });
        }
        while let Some(asked) = tasks.join_next().await {
            match asked {
                Ok((together, Some(unanswered))) => {
                    self.unanswered.insert(together, unanswered);
                }
                Ok((_, None)) => {}
                Err(error) => {
                    tracing::error!(%error, "what limits are leased by has failed");
                    inner.leases.iter().for_each(Leases::forsake_all);
                }
            }
        }
    }
}
