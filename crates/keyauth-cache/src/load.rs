//! Loading a record: from the shared cache, then from the store, within bounds.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use keyauth_core::{ChangeFeed, KeyDigest, KeyRecord, LookupError, LookupErrorKind};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use crate::entry::{Entry, Unknown};
use crate::flight::{Failure, Flight, Landed, Place};
use crate::inner::Inner;
use crate::lease::micros;
use crate::marks::Moment;
use crate::observe;

/// How often a record that is older than a change already known is loaded.
const ATTEMPTS: usize = 3;
/// How long it is remembered that the store did not answer.
const FAILURE_REMEMBERED: Duration = Duration::from_secs(1);

/// The turns at asking the store.
#[derive(Debug)]
pub(crate) struct Turns {
    permits: Semaphore,
    waiting: AtomicUsize,
    most_waiting: usize,
    deadline: Duration,
}

impl Turns {
    pub(crate) fn new(at_once: usize, most_waiting: usize, deadline: Duration) -> Self {
        let permits = Semaphore::new(at_once.min(Semaphore::MAX_PERMITS));
        Self { permits, waiting: AtomicUsize::new(0), most_waiting, deadline }
    }

    /// Waits for a turn.
    async fn take(&self) -> Result<SemaphorePermit<'_>, LookupError> {
        if let Ok(permit) = self.permits.try_acquire() {
            return Ok(permit);
        }
        let _waiting = Waiting::enter(self).ok_or_else(LookupError::overloaded)?;
        let turn = timeout(self.deadline, self.permits.acquire()).await;
        turn.map_err(|_| LookupError::overloaded())?.map_err(LookupError::unavailable)
    }
}

/// A place in the queue, given back also where the wait is given up.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn enter(turns: &'a Turns) -> Option<Self> {
        let place = Self(&turns.waiting);
        let before = turns.waiting.fetch_add(1, Ordering::Relaxed);
        (before < turns.most_waiting).then_some(place)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The last time the store did not answer, in microseconds of uptime.
#[derive(Debug, Default)]
pub(crate) struct LastFailure {
    /// When that attempt began.
    began: AtomicU64,
    /// When it failed.
    failed: AtomicU64,
}

impl LastFailure {
    fn note(&self, began: Duration, now: Duration) {
        self.began.store(micros(began), Ordering::Relaxed);
        self.failed.store(micros(now), Ordering::Release);
    }

    /// Whether an attempt that began at `since` or later has failed within the last second.
    pub(crate) fn is_recent(&self, since: Duration, now: Duration) -> bool {
        let failed = self.failed.load(Ordering::Acquire);
        let until = failed.saturating_add(micros(FAILURE_REMEMBERED));
        failed > 0 && micros(now) < until && self.began.load(Ordering::Relaxed) >= micros(since)
    }
}

/// Ends a load whatever becomes of its task.
struct Landing<'a, L> {
    inner: &'a Inner<L>,
    digest: KeyDigest,
    flight: &'a Flight,
}

impl<L> Drop for Landing<'_, L> {
    fn drop(&mut self) {
        // The first to land counts: this is for the case that nothing else did.
        self.inner.flights.land(&self.digest, self.flight, Landed::lost());
    }
}

impl<L: ChangeFeed + 'static> Inner<L> {
    /// Sees a load through. A task of its own, which no caller that goes away can cancel.
    pub(crate) async fn fly(self: Arc<Self>, digest: KeyDigest, flight: Arc<Flight>) {
        let landing = Landing { inner: &self, digest, flight: &flight };
        let asked_at = self.clock().now();
        let landed = self.load(&digest, &flight).await;
        let fresh = match &landed {
            Landed { outcome: Ok(Some(record)), shared: false, .. } => Some(Arc::clone(record)),
            _ => None,
        };
        self.flights.land(&digest, &flight, landed);
        drop(landing);
        // Nobody waits for this any more.
        if let Some(record) = fresh {
            self.shared.put(&digest, &record, asked_at).await;
        }
    }

    async fn load(&self, digest: &KeyDigest, flight: &Flight) -> Landed {
        let asked = self.marks.now();
        if self.lease.holds(self.uptime()) {
            // The lease lets late callers share what comes of this, whoever answers.
            self.send(digest, flight);
            if let Some(record) = self.shared.get(digest).await.map(Arc::new) {
                if self.keep(digest, Arc::clone(&record), asked) {
                    return Landed { outcome: Ok(Some(record)), shared: true, asked };
                }
                observe::rejected_fill("shared");
            }
        }
        let (outcome, asked) = match self.turns.take().await {
            Ok(_turn) => {
                self.send(digest, flight);
                self.ask_store(digest).await
            }
            Err(error) => (Err(error), asked),
        };
        observe::loaded(match &outcome {
            Ok(Some(_)) => "found",
            Ok(None) => "unknown",
            Err(error) if error.kind() == LookupErrorKind::Overloaded => "overloaded",
            Err(_) => "unavailable",
        });
        Landed { outcome: outcome.map_err(Failure::from), shared: false, asked }
    }

    fn send(&self, digest: &KeyDigest, flight: &Flight) {
        self.flights.send(digest, flight, || self.lease.state(self.uptime()));
    }

    /// Asks the store until the answer is no older than what is known already. Says at
    /// which moment it was asked.
    async fn ask_store(&self, digest: &KeyDigest) -> (Answer, Moment) {
        let mut asked = self.marks.now();
        for attempt in 0..ATTEMPTS {
            asked = self.marks.now();
            // Only under a lease would it be noticed that an answer is stale.
            let lax = attempt == 0 && self.lease.holds(self.uptime());
            match self.ask_once(digest, lax).await {
                Ok(Some(record)) if self.keep(digest, Arc::clone(&record), asked) => {
                    return (Ok(Some(record)), asked);
                }
                Ok(Some(_)) => observe::rejected_fill("store"),
                // A replica that has not heard of a secret yet.
                Ok(None) if lax && self.marks.may_be_new_since(digest, 0) => {}
                Ok(None) => {
                    self.unknown.insert(*digest, Unknown::since(asked));
                    return (Ok(None), asked);
                }
                Err(error) => return (Err(error), asked),
            }
        }
        let stale = "the store's answers are older than changes already known";
        (Err(LookupError::unavailable(stale)), asked)
    }

    async fn ask_once(&self, digest: &KeyDigest, lax: bool) -> Answer {
        let began = self.uptime();
        let answer = async {
            if lax {
                self.store.find_perhaps_stale(digest).await
            } else {
                self.store.find(digest).await
            }
        };
        let answer = timeout(self.options.load_deadline, answer).await;
        let answer = answer.map_err(LookupError::unavailable).flatten();
        if let Err(error) = &answer
            && error.kind() == LookupErrorKind::Unavailable
        {
            self.last_failure.note(began, self.uptime());
        }
        answer
    }

    /// Caches a record that was asked for at a moment, unless it is stale already.
    fn keep(&self, digest: &KeyDigest, record: Arc<KeyRecord>, asked: Moment) -> bool {
        let Some(entry) = Entry::new(record, asked, &self.marks).map(Arc::new) else {
            return false;
        };
        // A load that was slow must not put its older record over a newer one.
        self.records.entry(*digest).and_upsert_with(|old| match old.map(moka::Entry::into_value) {
            Some(old) if !old.is_outdated_by(&entry) => old,
            _ => entry,
        });
        true
    }

    /// Whether what came of a load may be told to a caller who came early or late.
    pub(crate) fn may_tell(
        &self,
        digest: &KeyDigest,
        flight: &Flight,
        landed: &Landed,
        place: Place,
    ) -> bool {
        // What the store says to somebody who waited before it was asked is true for him,
        // lease or no lease. All else may be older than a change made before he came, and
        // only a lease without a gap says that such a change would be known here.
        let late = place == Place::Late;
        let leased = || flight.sent().is_some_and(|sent| self.lease.unbroken(sent, self.uptime()));
        match &landed.outcome {
            Ok(Some(record)) => ((!late && !landed.shared) || leased()) && self.marks.admit(record),
            Ok(None) => {
                !late || (leased() && Unknown::since(landed.asked).holds(digest, &self.marks))
            }
            Err(_) => true,
        }
    }
}

type Answer = Result<Option<Arc<KeyRecord>>, LookupError>;
