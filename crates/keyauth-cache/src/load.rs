//! Loading a record: from the shared cache, then from the store, within bounds.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use keyauth_core::{ChangeFeed, KeyDigest, KeyRecord, LookupError, LookupErrorKind, Peek};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use crate::bounded::Made;
use crate::entry::{Entry, Unknown};
use crate::flight::{Failure, Flight, Landed, Place};
use crate::inner::Inner;
use crate::marks::Moment;
use crate::observe::{self, Layer};

/// How often a record that is older than a change already known is loaded.
pub(crate) const ATTEMPTS: u32 = 3;

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

/// A load that was begun, and that ends whatever becomes of the task it is moved into: also
/// where that is dropped before it ever runs.
pub(crate) struct Landing<L> {
    pub(crate) cache: Arc<Inner<L>>,
    pub(crate) digest: KeyDigest,
    pub(crate) flight: Arc<Flight>,
}

impl<L> Drop for Landing<L> {
    fn drop(&mut self) {
        // The first to land counts: this is for the case that nothing else did.
        let lost = Landed::lost(self.cache.marks.now());
        self.cache.flights.land(&self.digest, &self.flight, lost);
    }
}

impl<L: ChangeFeed + 'static> Landing<L> {
    /// Sees the load through: in the task of the caller who began it, since one of its own would cost
    /// more than what is done in it; and in one of its own from when the caller goes away.
    pub(crate) fn fly(self) -> Uncancelled {
        Uncancelled(Some(Box::pin(self.load())))
    }

    async fn load(self) {
        let Self { cache, digest, flight } = &self;
        if let Some(landed) = cache.load_from_caches(digest, flight).await {
            cache.flights.land(digest, flight, landed);
            return;
        }
        let (asked_at, origin) = (cache.options.clock.now(), cache.shared.origin());
        let landed = cache.load_from_store(digest, flight).await;
        let fresh = landed.outcome.as_ref().ok().and_then(Clone::clone);
        cache.flights.land(digest, flight, landed);
        if let (Some(record), Some(origin)) = (fresh, origin) {
            let (cache, digest) = (Arc::clone(cache), *digest);
            // Nobody waits for this.
            tokio::spawn(async move {
                cache.shared.put(&origin, &digest, &record, asked_at).await;
            });
        }
    }
}

/// Work that goes on in a task of its own where whoever polls it goes away.
pub(crate) struct Uncancelled(Option<Pin<Box<dyn Future<Output = ()> + Send>>>);

impl Future for Uncancelled {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        // Taken out meanwhile: work that panics is over.
        let Some(mut work) = self.0.take() else { return Poll::Ready(()) };
        let polled = work.as_mut().poll(context);
        if polled.is_pending() {
            self.0 = Some(work);
        }
        polled
    }
}

impl Drop for Uncancelled {
    fn drop(&mut self) {
        if let (Some(rest), Ok(runtime)) = (self.0.take(), Handle::try_current()) {
            runtime.spawn(rest);
        }
    }
}

type Answer = Result<Option<Arc<KeyRecord>>, LookupError>;

impl<L: ChangeFeed + 'static> Inner<L> {
    /// What caches answer to a load, if they do.
    async fn load_from_caches(&self, digest: &KeyDigest, flight: &Flight) -> Option<Landed> {
        if !self.lease.holds(self.uptime()) {
            return None;
        }
        // Before any cache is asked, which those who come later must not profit from without a
        // lease. What is sent without one is sent when it is the load's turn.
        self.flights.send(digest, flight);
        let asked = self.marks.now();
        let found = self.ask_caches(digest, asked).await?;
        Some(Landed { outcome: Ok(found), asked })
    }

    async fn load_from_store(&self, digest: &KeyDigest, flight: &Flight) -> Landed {
        let mut asked = self.marks.now();
        let outcome = match self.turns.take().await {
            Ok(_turn) => {
                self.flights.send(digest, flight);
                asked = self.marks.now();
                self.ask_store(digest).await
            }
            Err(error) => Err(error),
        };
        observe::loaded(match &outcome {
            Ok(Some(_)) => "found",
            Ok(None) => "unknown",
            Err(error) => error.kind().code(),
        });
        Landed { outcome: outcome.map_err(Failure::from), asked }
    }

    /// What caches know, if they know and there is a lease: this process's, since another
    /// load may have landed after the caller looked, and then the shared one.
    async fn ask_caches(
        &self,
        digest: &KeyDigest,
        asked: Moment,
    ) -> Option<Option<Arc<KeyRecord>>> {
        let now = self.uptime();
        if !self.lease.holds(now) {
            return None;
        }
        match self.peek(digest) {
            Peek::Found(record) => return Some(Some(record)),
            Peek::Unknown => return Some(None),
            _ => {}
        }
        let origin = self.shared.origin().filter(|_| self.marks.are_complete(now))?;
        let record = Arc::new(self.shared.get(&origin, digest).await?);
        // A caller who was not polled for long enough has outlived the marks that it may lack.
        if self.uptime() > now + self.options.longest_load() {
            return None;
        }
        if self.keep(digest, &record, asked) {
            observe::hit(Layer::Shared);
            return Some(Some(record));
        }
        observe::rejected_fill("shared");
        self.shared.remove(&origin, digest).await;
        None
    }

    /// Asks the store until the answer is no older than what is known already.
    async fn ask_store(&self, digest: &KeyDigest) -> Answer {
        for attempt in 0..ATTEMPTS {
            let asked = self.marks.now();
            let now = self.uptime();
            // Only under a lease, and with all marks, would it be noticed that it is stale.
            let lax = attempt == 0 && self.lease.holds(now) && self.marks.are_complete(now);
            match self.ask_once(digest, lax).await {
                Ok(Some(record)) if self.keep(digest, &record, asked) => {
                    return Ok(Some(record));
                }
                Ok(Some(_)) => observe::rejected_fill("store"),
                Ok(None) => {
                    let (now, lifetime) = (self.uptime(), self.options.unknown_lifetime);
                    let unknown = |_: Option<&_>| Made::New(Unknown::since(asked));
                    self.unknown.put(*digest, now, lifetime, unknown);
                    return Ok(None);
                }
                Err(error) => return Err(error),
            }
        }
        let stale = "the store's answers are older than changes already known";
        Err(LookupError::unavailable(stale))
    }

    async fn ask_once(&self, digest: &KeyDigest, lax: bool) -> Answer {
        let began = self.uptime();
        let deadline = self.options.load_deadline;
        self.outage.probe(began, deadline);
        let answer = async {
            if lax {
                self.store.find_perhaps_stale(digest).await
            } else {
                self.store.find(digest).await
            }
        };
        let answer = timeout(deadline, answer).await.map_err(LookupError::unavailable).flatten();
        match &answer {
            Ok(_) => self.outage.end(),
            Err(error) if error.kind() == LookupErrorKind::Unavailable => {
                self.outage.begin(began, self.uptime());
            }
            Err(_) => {}
        }
        answer
    }

    /// Caches a record that was asked for at a moment, unless it is stale already.
    fn keep(&self, digest: &KeyDigest, record: &Arc<KeyRecord>, asked: Moment) -> bool {
        self.records.put(*digest, self.uptime(), self.options.lifetime, |old| {
            let Some(entry) = Entry::new(Arc::clone(record), asked, &self.marks) else {
                return Made::Nothing;
            };
            match old {
                // A load that was slow must not put its older record over a newer one.
                Some(old) if old.outlives(&entry, &self.marks) => return Made::Kept,
                Some(old) if old.record(&self.marks).is_none() => observe::evicted("stale"),
                _ => {}
            }
            Made::New(entry)
        })
    }

    /// Whether what came of a load may be told to a caller who came early or late.
    pub(crate) fn may_tell(&self, digest: &KeyDigest, landed: &Landed, place: Place) -> bool {
        // What comes of a load is true for those who waited before it was sent: the store is
        // asked then, and caches only under a lease. For those who came later it may be older
        // than a change made before they came. Under a lease such a change has left its mark,
        // or is younger than `max_staleness`.
        let late = place == Place::Late;
        // The lease first: what it rests on has been applied before it was given.
        let leased = self.lease.holds(self.uptime());
        let now = self.marks.now();
        let may = !late || (leased && now.breaks == landed.asked.breaks);
        match &landed.outcome {
            Ok(Some(record)) => may && self.marks.admit(record, now),
            Ok(None) => may && (!late || Unknown::since(landed.asked).holds(digest, &self.marks)),
            Err(_) => true,
        }
    }
}
