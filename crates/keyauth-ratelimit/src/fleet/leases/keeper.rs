//! Whoever takes ahead of need, and gives back what was not used.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use keyauth_core::{Background, LimitedSubject, SharedLeaseQuestion, SharedLimits, TenantId};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::super::Inner;
use super::stock::Stock;
use super::{Leases, Subject};

/// How many limits are asked about in one step, and in how many steps at once.
const QUESTIONS: usize = 64;
const STEPS: usize = 16;
/// How long giving back may take at the end.
const LEAVE_DEADLINE: Duration = Duration::from_secs(2);
/// How long nobody looks where there is nothing to look at.
const IDLE: Duration = Duration::from_secs(60);
/// By how much whoever counts is later at the end of a part than the earliest it can be.
const LATER: u64 = 1_000_000;

/// Takes ahead and gives back until it is told to stop, or the limiter is gone.
pub(crate) fn keep<S: SharedLimits + 'static>(inner: &Arc<Inner<S>>) -> Background {
    let Some(leases) = &inner.leases else { return Background::none() };
    if leases.kept.swap(true, Ordering::Relaxed) {
        return Background::none();
    }
    // What an earlier one has left, which nobody would look at.
    leases.subjects.pin().clear();
    let keeper = Keeper { inner: Arc::downgrade(inner), due: BinaryHeap::new() };
    let (stop, stopped) = oneshot::channel();
    let task = tokio::spawn(keeper.run(stopped));
    Background::new(async move {
        let _ = stop.send(());
        let _ = task.await;
    })
}

/// Somebody who does. Where he ends early, as with his runtime, another one can begin.
struct Keeper<S: SharedLimits + 'static> {
    inner: Weak<Inner<S>>,
    /// Whom to look at, and when.
    due: BinaryHeap<Reverse<(u64, LimitedSubject)>>,
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
    async fn run(mut self, mut stop: oneshot::Receiver<()>) {
        let mut forever = false;
        loop {
            let Some(inner) = self.inner.upgrade() else { return };
            let Some(leases) = &inner.leases else { return };
            let pause = self.due.peek().map_or(IDLE, |Reverse((at, _))| {
                Duration::from_nanos(at.saturating_sub(leases.now()))
            });
            let wanted = Arc::clone(&leases.wanted);
            // Not held while it waits: the limiter may go meanwhile.
            drop(inner);
            let mut names = Vec::new();
            let mut wanted = wanted.lock().await;
            tokio::select! {
                _ = wanted.recv_many(&mut names, QUESTIONS * STEPS) => {}
                () = sleep(pause) => {}
                told = &mut stop, if !forever => match told {
                    Ok(()) => break,
                    // That nobody waits for the end any more is no reason to end.
                    Err(_) => forever = true,
                },
            }
            drop(wanted);
            let Some(inner) = self.inner.upgrade() else { return };
            self.look(&inner, names).await;
        }
        if let Some(inner) = self.inner.upgrade()
            && let Some(leases) = &inner.leases
        {
            leases.kept.store(false, Ordering::Relaxed);
            let _ = timeout(LEAVE_DEADLINE, ask(&inner, leave(leases))).await;
        }
    }

    /// Looks at those who want it, and at those whose time it is.
    async fn look(&mut self, inner: &Arc<Inner<S>>, mut names: Vec<LimitedSubject>) {
        let Some(leases) = &inner.leases else { return };
        let now = leases.now();
        while let Some(Reverse((at, _))) = self.due.peek()
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
        ask(inner, questions.collect()).await;
        let now = leases.now();
        for name in names {
            if let Some(at) = leases.agree(&name, now) {
                self.due.push(Reverse((at, name)));
            }
        }
    }
}

/// A question about a limit, and whose answer it is.
struct Asking {
    subject: Arc<Subject>,
    question: SharedLeaseQuestion,
}

impl Leases {
    /// What to ask for somebody.
    fn questions(&self, name: &LimitedSubject, now: u64, instances: u64) -> Vec<Asking> {
        let Some(subject) = self.subjects.pin().get(name).map(Arc::clone) else { return vec![] };
        let Some(mut stocks) = subject.lock() else { return vec![] };
        let asking = |stock: &mut Stock| {
            let limit = stock.limit().clone();
            let questions = stock.questions(now, instances).into_iter();
            let asking = questions.map(|(wanted, unused)| Asking {
                subject: Arc::clone(&subject),
                question: SharedLeaseQuestion {
                    subject: name.clone(),
                    limit: limit.clone(),
                    wanted,
                    unused,
                },
            });
            asking.collect::<Vec<_>>()
        };
        stocks.list.iter_mut().flat_map(asking).collect()
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

/// All that is left, to be given back.
fn leave(leases: &Leases) -> Vec<Asking> {
    let table = leases.subjects.pin();
    let mut all = Vec::new();
    for name in table.keys() {
        // At the end of time everything is over, and nobody wants more.
        all.extend(leases.questions(name, u64::MAX, 0));
    }
    table.clear();
    all
}

/// Asks all questions, those of one tenant one after the other.
async fn ask<S: SharedLimits + 'static>(inner: &Arc<Inner<S>>, all: Vec<Asking>) {
    /// Whose are counted in one place.
    #[derive(PartialEq, Eq, Hash)]
    enum Together {
        Tenant(TenantId),
        Alone(LimitedSubject),
    }
    let mut groups: HashMap<Together, Vec<Asking>> = HashMap::new();
    for asking in all {
        let subject = &asking.question.subject;
        let together = match subject.tenant() {
            Some(tenant) => Together::Tenant(tenant.clone()),
            None => Together::Alone(subject.clone()),
        };
        groups.entry(together).or_default().push(asking);
    }
    let steps = Arc::new(Semaphore::new(STEPS));
    let mut tasks = JoinSet::new();
    for (_, group) in groups {
        let (inner, steps) = (Arc::clone(inner), Arc::clone(&steps));
        tasks.spawn(async move {
            let _step = steps.acquire().await;
            for some in group.chunks(QUESTIONS) {
                ask_some(&inner, some).await;
            }
        });
    }
    while tasks.join_next().await.is_some() {}
}

async fn ask_some<S: SharedLimits>(inner: &Inner<S>, some: &[Asking]) {
    let Some(leases) = &inner.leases else { return };
    let turn = leases.turn.fetch_add(1, Ordering::Relaxed) + 1;
    let questions: Vec<_> = some.iter().map(|asking| asking.question.clone()).collect();
    let asked_at = leases.now();
    let answers = inner.shared.lease(&inner.places.holder(), turn, &questions).await;
    if let Err(error) = &answers {
        tracing::debug!(%error, "nothing could be taken ahead");
    }
    let answers = answers.unwrap_or_default();
    for (at, asking) in some.iter().enumerate() {
        let Asking { subject, question } = asking;
        if question.wanted > 0
            && let Some(mut stocks) = subject.lock()
            && let Some(stock) = stocks.find(&question.limit, 0)
        {
            stock.answered(question.wanted, asked_at, answers.get(at));
        }
    }
}
