//! The parts of a cache, and what they decide together.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use keyauth_core::{
    Change, ChangeFeed, ChangeObserver, Continuity, FeedPage, Instance, KeyDigest, KeyRecord,
    LookupError, Peek,
};
use tokio::time::timeout;

use crate::bounded::Bounded;
use crate::entry::{Entry, Unknown};
use crate::flight::{Begun, Failure, Flights, Late};
use crate::hints::DynHints;
use crate::lease::Lease;
use crate::load::{Landing, Turns};
use crate::marks::Marks;
use crate::observe::{self, Layer};
use crate::outage::LastFailure;
use crate::shared::{DynSharedCache, Shared};
use crate::{CacheOptions, Outage};

/// How often a caller waits for a load, when what came of it may not be told to him.
const ATTEMPTS: usize = 3;

#[derive(Debug)]
pub(crate) struct Inner<L> {
    pub(crate) store: L,
    pub(crate) options: CacheOptions,
    pub(crate) records: Bounded<Entry>,
    pub(crate) unknown: Bounded<Unknown>,
    pub(crate) marks: Marks,
    pub(crate) lease: Lease,
    pub(crate) flights: Flights,
    pub(crate) turns: Turns,
    pub(crate) outage: LastFailure,
    pub(crate) shared: Shared,
    pub(crate) hints: Option<Arc<dyn DynHints>>,
    /// Whether the feed is being read, or once was.
    pub(crate) started: AtomicBool,
    pub(crate) warned: std::sync::Once,
}

impl<L> Inner<L> {
    pub(crate) fn new(
        store: L,
        options: CacheOptions,
        shared: Option<Arc<dyn DynSharedCache>>,
        hints: Option<Arc<dyn DynHints>>,
    ) -> Self {
        Self {
            records: Bounded::new(options.capacity),
            unknown: Bounded::new(options.unknown_capacity),
            marks: Marks::new(options.marks_lifetime()),
            lease: Lease::default(),
            flights: Flights::new(),
            turns: Turns::new(options.loads, options.waiting_loads, options.load_deadline),
            outage: LastFailure::default(),
            shared: Shared::new(shared, Arc::clone(&options.clock), options.lifetime),
            hints,
            started: AtomicBool::new(false),
            warned: std::sync::Once::new(),
            store,
            options,
        }
    }

    pub(crate) fn uptime(&self) -> Duration {
        self.options.clock.uptime()
    }

    pub(crate) fn instance(&self) -> Instance {
        Instance {
            name: Arc::clone(&self.options.name),
            max_staleness: self.options.max_staleness,
            grace: self.options.outage.grace(),
            clock: Arc::clone(&self.options.clock),
        }
    }

    /// What may be served without asking anybody.
    pub(crate) fn peek(&self, digest: &KeyDigest) -> Peek {
        let now = self.uptime();
        if !self.lease.holds(now) {
            return match self.cached_in_outage(digest, now) {
                Some(record) => Peek::Found(record),
                None => Peek::Ask,
            };
        }
        if let Some(record) = self.cached(digest, now) {
            observe::hit(Layer::Process);
            return Peek::Found(record);
        }
        let holds = |unknown: &Unknown| unknown.holds(digest, &self.marks).then_some(());
        if self.unknown.get(digest, now, holds).is_some() {
            observe::hit(Layer::Unknown);
            return Peek::Unknown;
        }
        Peek::Ask
    }

    /// The record, if there is one that is good for every change applied so far.
    fn cached(&self, digest: &KeyDigest, now: Duration) -> Option<Arc<KeyRecord>> {
        // One that is stale is left for the load that follows, which takes its place.
        self.records.get(digest, now, |entry| entry.record(&self.marks).map(Arc::clone))
    }

    /// The record, if the store was asked since the lease has ended, gave no answer, and
    /// what is cached may be served instead.
    fn cached_in_outage(&self, digest: &KeyDigest, now: Duration) -> Option<Arc<KeyRecord>> {
        let Outage::ServeCached(grace) = self.options.outage else { return None };
        let end = self.lease.end().filter(|end| now < *end + grace)?;
        if !self.outage.is_recent(end, now) {
            return None;
        }
        let record = self.cached(digest, now)?;
        if self.options.strict_tenants.contains(&record.key.tenant) {
            return None;
        }
        observe::hit(Layer::Outage);
        Some(record)
    }

    /// Applies what a poll brought that was sent at `sent`. Says whether it has given a lease.
    pub(crate) fn apply_page(&self, page: &FeedPage, sent: Duration) -> Leased {
        let another_history = self.shared.follow(&page.origin);
        let unbroken = page.continuity == Continuity::Unbroken;
        if another_history {
            self.lease.give_back();
            self.marks.change_history();
        } else if page.continuity == Continuity::Broken {
            self.marks.break_off();
        }
        if page.continuity == Continuity::TooMany {
            self.marks.forget(self.uptime());
        }
        if another_history || !unbroken {
            if self.records.len() > 0 {
                observe::broke_off();
            }
            self.records.clear();
            self.unknown.clear();
        }
        self.marks.apply(&page.changes, self.uptime());
        if another_history {
            // What this process has changed since the poll was sent was marked in the history
            // before. The next poll brings it again.
            return Leased::NotYet;
        }
        if unbroken {
            page.ages.iter().copied().for_each(observe::propagated);
        }
        // Only now: under a lease, all changes that the poll has seen are applied.
        self.lease.renew(sent + self.options.max_staleness);
        Leased::Yes
    }

    /// Does what is better not done on the way of a request: frees what has gone.
    pub(crate) fn tidy(&self) {
        self.marks.tidy();
    }
}

/// Whether a poll has given a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leased {
    Yes,
    NotYet,
}

impl<L: ChangeFeed + 'static> Inner<L> {
    /// Finds a record by waiting for a load: its own, or that of somebody else.
    pub(crate) async fn find(
        self: &Arc<Self>,
        digest: &KeyDigest,
    ) -> Result<Option<Arc<KeyRecord>>, LookupError> {
        if !self.started.load(Ordering::Relaxed) {
            self.warned.call_once(observe::not_started);
        }
        for _ in 0..ATTEMPTS {
            // Somebody else's load may have come home since the caller has peeked.
            match self.peek(digest) {
                Peek::Found(record) => return Ok(Some(record)),
                Peek::Unknown => return Ok(None),
                _ => {}
            }
            let leased = self.lease.holds(self.uptime());
            let late = if leased { Late::Join } else { Late::LoadAnew };
            let (flight, place, begun) = self.flights.join(digest, late);
            match begun {
                Begun::Here => {
                    let (cache, flight) = (Arc::clone(self), Arc::clone(&flight));
                    Landing { cache, digest: *digest, flight }.fly().await;
                }
                Begun::ByAnother => observe::shared_load(),
            }
            let Ok(landed) = timeout(self.options.longest_load(), flight.landed()).await else {
                self.flights.remove(digest, &flight);
                continue;
            };
            let Some(landed) = landed else { continue };
            if self.may_tell(digest, &landed, place) {
                return landed.outcome.or_else(|failure| self.serve_in_outage(digest, failure));
            }
        }
        Err(LookupError::unavailable("the key changed faster than it could be read"))
    }

    /// What is told when there is no answer from the store.
    fn serve_in_outage(
        &self,
        digest: &KeyDigest,
        failure: Failure,
    ) -> Result<Option<Arc<KeyRecord>>, LookupError> {
        let cached = self.cached_in_outage(digest, self.uptime());
        cached.map(Some).ok_or_else(|| failure.into())
    }
}

impl<L: Send + Sync> ChangeObserver for Inner<L> {
    fn changed(&self, changes: &[Change]) {
        self.marks.apply(changes, self.uptime());
    }
}
