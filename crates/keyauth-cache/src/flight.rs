//! One load for all who wait for the same key.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

use keyauth_core::{KeyDigest, KeyRecord, LookupError, LookupErrorKind};
use tokio::sync::watch;

use crate::marks::Moment;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::sync::{Arc, Mutex, MutexGuard, PoisonError};

const SHARDS: usize = 64;

/// The loads under way, by digest.
#[derive(Debug)]
pub(crate) struct Flights {
    shards: [Mutex<HashMap<KeyDigest, Arc<Flight>>>; SHARDS],
    hasher: RandomState,
    next_id: AtomicU64,
}

/// One load: queued, then sent, then over.
#[derive(Debug)]
pub(crate) struct Flight {
    id: u64,
    /// Whether it was sent. Written and read under the shard's lock.
    sent: AtomicBool,
    landed: watch::Sender<Option<Landed>>,
}

/// What came of a load.
#[derive(Clone, Debug)]
pub(crate) struct Landed {
    pub(crate) outcome: Result<Option<Arc<KeyRecord>>, Failure>,
    /// Since when it is so.
    pub(crate) asked: Moment,
}

/// An error for everybody who waits.
#[derive(Clone, Debug)]
pub(crate) struct Failure(Arc<LookupError>);

/// How a caller stands to a load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// It waited before the load was sent, so that the load has seen what it may ask for.
    Early,
    /// It came when the load was under way already.
    Late,
}

impl Flights {
    pub(crate) fn new() -> Self {
        Self {
            shards: std::array::from_fn(|_| Mutex::default()),
            hasher: RandomState::new(),
            next_id: AtomicU64::new(0),
        }
    }

    /// Joins the load of a digest, or begins one where there is none, or where that under
    /// way was sent and `late` callers cannot do with it. Says whether it has begun one,
    /// which the caller must then see to.
    pub(crate) fn join(&self, digest: &KeyDigest, late: Late) -> (Arc<Flight>, Place, Begun) {
        let mut shard = self.shard(digest);
        if let Some(found) = shard.get(digest) {
            let sent = found.sent.load(Ordering::Relaxed);
            let place = if sent { Place::Late } else { Place::Early };
            if place == Place::Early || late == Late::Join {
                return (Arc::clone(found), place, Begun::ByAnother);
            }
            // Whoever waits for it goes on waiting; nobody finds it any more.
        }
        let flight = Arc::new(Flight {
            id: self.next_id.fetch_add(1, Ordering::Relaxed),
            sent: AtomicBool::new(false),
            landed: watch::Sender::new(None),
        });
        shard.insert(*digest, Arc::clone(&flight));
        (flight, Place::Early, Begun::Here)
    }

    /// Notes that a load is sent now: under the lock, so that nobody is early who came after.
    pub(crate) fn send(&self, digest: &KeyDigest, flight: &Flight) {
        let _shard = self.shard(digest);
        flight.sent.store(true, Ordering::Relaxed);
    }

    /// Ends a load. Who comes after this begins another one.
    pub(crate) fn land(&self, digest: &KeyDigest, flight: &Flight, landed: Landed) {
        self.remove(digest, flight);
        flight.landed.send_if_modified(|before| {
            let first = before.is_none();
            if first {
                *before = Some(landed);
            }
            first
        });
    }

    /// Has whoever comes after this begin another load.
    pub(crate) fn remove(&self, digest: &KeyDigest, flight: &Flight) {
        let mut shard = self.shard(digest);
        if shard.get(digest).is_some_and(|current| current.id == flight.id) {
            shard.remove(digest);
        }
    }

    fn shard(&self, digest: &KeyDigest) -> MutexGuard<'_, HashMap<KeyDigest, Arc<Flight>>> {
        let shards = u64::try_from(SHARDS).unwrap_or(u64::MAX);
        let at = usize::try_from(self.hasher.hash_one(digest) % shards).unwrap_or_default();
        #[expect(clippy::indexing_slicing, reason = "a remainder is below its divisor")]
        lock(&self.shards[at])
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What those do who come when a load was sent already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Late {
    /// Join it.
    Join,
    /// Begin another.
    LoadAnew,
}

/// Who has begun a load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begun {
    Here,
    ByAnother,
}

impl Flight {
    /// Waits until it is over.
    pub(crate) async fn landed(&self) -> Option<Landed> {
        let mut landed = self.landed.subscribe();
        // The sender is in `self`, so the channel is open.
        landed.wait_for(Option::is_some).await.ok().and_then(|landed| landed.clone())
    }
}

impl Landed {
    /// What those get who wait for a load whose task has panicked or was aborted.
    pub(crate) fn lost(asked: Moment) -> Self {
        let error = LookupError::unavailable("the task that loaded the key is gone");
        Self { outcome: Err(error.into()), asked }
    }
}

impl Failure {
    pub(crate) fn kind(&self) -> LookupErrorKind {
        self.0.kind()
    }
}

impl From<LookupError> for Failure {
    fn from(error: LookupError) -> Self {
        Self(Arc::new(error))
    }
}

impl From<Failure> for LookupError {
    fn from(failure: Failure) -> Self {
        match failure.kind() {
            LookupErrorKind::Overloaded => Self::overloaded(),
            _ => Self::unavailable(failure.0),
        }
    }
}
