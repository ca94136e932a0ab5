//! Places among calls at once, which are the fleet's: renewed while they are held, and given back.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use keyauth_core::{Background, SharedLimits, SharedPlace};
use tokio::runtime::Handle;
use tokio::sync::{Notify, OwnedMutexGuard};
use tokio::time::{sleep, timeout};

use super::Inner;
use super::keeping::{Stop, one_at_a_time};

/// How long a place is kept for a process that no longer renews it.
pub(super) const LEASE: Duration = Duration::from_secs(30);
/// How often places are renewed, and this instance says that it is there.
const RENEW: Duration = Duration::from_secs(10);
/// How soon it is tried again to give places back, and how many wait for that at most.
const RETRY: Duration = Duration::from_secs(1);
const MOST_TO_RETURN: usize = 100_000;
/// How long giving back may take at the end.
const LEAVE_DEADLINE: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(super) struct Places {
    /// Random, so that no two processes give a place the same name.
    process: u64,
    next: AtomicU64,
    state: Mutex<State>,
    returned: Notify,
    /// Whoever renews has it.
    keeper: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Debug, Default)]
struct State {
    held: HashMap<u128, Held>,
    /// Until somebody has said that he has them.
    to_return: Vec<SharedPlace>,
    /// Whether somebody renews, and gives back.
    kept: bool,
}

/// Places of one call.
#[derive(Debug)]
struct Held {
    places: Vec<SharedPlace>,
    /// Whether it is known that they were given. Before, to renew them could take places for a
    /// call that is refused meanwhile.
    given: bool,
}

impl Default for Places {
    fn default() -> Self {
        Self {
            process: RandomState::new().hash_one(std::process::id()),
            next: AtomicU64::new(0),
            state: Mutex::default(),
            returned: Notify::new(),
            keeper: Arc::default(),
        }
    }
}

impl Places {
    /// A name that no other call of any process has.
    pub(super) fn next(&self) -> u128 {
        let next = self.next.fetch_add(1, Ordering::Relaxed);
        u128::from(self.process) << 64 | u128::from(next)
    }

    /// A name that no other process has.
    pub(super) fn holder(&self) -> String {
        format!("{:016x}", self.process)
    }

    /// Notes places that are asked for. Says whether somebody renews them.
    pub(super) fn hold(&self, places: &[SharedPlace]) -> bool {
        let mut state = self.state();
        if let Some(place) = places.first() {
            state.held.insert(place.place, Held { places: places.to_vec(), given: false });
        }
        state.kept
    }

    /// Notes that a call was given its places.
    fn confirm(&self, place: u128) {
        if let Some(held) = self.state().held.get_mut(&place) {
            held.given = true;
        }
    }

    /// Those to be renewed.
    fn given(&self) -> Vec<SharedPlace> {
        let state = self.state();
        let given = state.held.values().filter(|held| held.given);
        given.flat_map(|held| &held.places).cloned().collect()
    }

    /// Gives back those that were let go while they were renewed, which may have come after.
    fn return_revived(&self, mut renewed: Vec<SharedPlace>) {
        let mut state = self.state();
        renewed.retain(|place| !state.held.contains_key(&place.place));
        state.to_return.extend(renewed);
        drop(state);
        self.returned.notify_one();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Places that are held until this is dropped.
pub(super) struct HeldPlaces<S: SharedLimits + 'static> {
    inner: Arc<Inner<S>>,
    places: Vec<SharedPlace>,
}

impl<S: SharedLimits + 'static> HeldPlaces<S> {
    pub(super) const fn new(inner: Arc<Inner<S>>, places: Vec<SharedPlace>) -> Self {
        Self { inner, places }
    }

    /// Has them renewed, where they were given.
    pub(super) fn keep(self) -> Self {
        if let Some(place) = self.places.first() {
            self.inner.places.confirm(place.place);
        }
        self
    }

    /// Gives none back, where none was given.
    pub(super) fn forget(mut self) {
        if let Some(place) = self.places.first() {
            self.inner.places.state().held.remove(&place.place);
        }
        self.places.clear();
    }
}

impl<S: SharedLimits + 'static> Drop for HeldPlaces<S> {
    fn drop(&mut self) {
        let places = std::mem::take(&mut self.places);
        let Some(first) = places.first() else { return };
        // Whoever gives back goes with the limiter, of which this may be the last handle.
        let last = Arc::strong_count(&self.inner) == 1;
        let mut state = self.inner.places.state();
        state.held.remove(&first.place);
        if state.kept && !last {
            state.to_return.extend(places);
            drop(state);
            self.inner.places.returned.notify_one();
        } else if let Ok(runtime) = Handle::try_current() {
            drop(state);
            let inner = Arc::clone(&self.inner);
            runtime.spawn(async move { give_back(&inner, &places).await });
        }
    }
}

/// Says whether they were taken.
async fn give_back<S: SharedLimits>(inner: &Inner<S>, places: &[SharedPlace]) -> bool {
    let given = inner.shared.give_back(places).await;
    if let Err(error) = &given {
        tracing::debug!(%error, "places could not be given back yet");
    }
    given.is_ok()
}

/// Renews places and gives them back, until it is told to stop or the limiter is gone.
pub(super) fn keep<S: SharedLimits + 'static>(inner: &Arc<Inner<S>>) -> Background {
    inner.not_started.call_once(|| {});
    let (limiter, name) = (Arc::downgrade(inner), inner.places.holder());
    one_at_a_time(&inner.places.keeper, |one, stop| async move {
        if let Some(keeping) = Keeping::begin(limiter, one) {
            keeping.run(name, stop).await;
        }
    })
}

/// Somebody who keeps places. Where he ends early, as with his runtime, another one can begin.
struct Keeping<S: SharedLimits + 'static> {
    inner: Weak<Inner<S>>,
    /// The next one begins when he has left.
    #[expect(dead_code, reason = "it is had, not used")]
    one: OwnedMutexGuard<()>,
}

impl<S: SharedLimits + 'static> Drop for Keeping<S> {
    fn drop(&mut self) {
        if let Some(inner) = self.inner.upgrade() {
            inner.places.state().kept = false;
        }
    }
}

impl<S: SharedLimits + 'static> Keeping<S> {
    fn begin(inner: Weak<Inner<S>>, one: OwnedMutexGuard<()>) -> Option<Self> {
        inner.upgrade()?.places.state().kept = true;
        Some(Self { inner, one })
    }

    async fn run(self, name: String, stop: Stop) {
        tokio::select! {
            // Beside each other: neither has to wait for the other's answer. Each ends when the
            // limiter is gone, the first one of them with its next renewal.
            () = self.renew(&name) => {}
            () = self.give_back() => {}
            () = stop => {}
        }
        if let Some(inner) = self.inner.upgrade() {
            inner.places.state().kept = false;
            let places = std::mem::take(&mut inner.places.state().to_return);
            let leaving = async {
                give_back(&inner, &places).await;
                let _ = inner.shared.beat(&name, Duration::ZERO).await;
            };
            let _ = timeout(LEAVE_DEADLINE, leaving).await;
        }
    }

    async fn renew(&self, name: &str) {
        while let Some(inner) = self.inner.upgrade() {
            match inner.shared.beat(name, LEASE).await {
                Ok(count) => inner.instances.store(count.max(1), Ordering::Relaxed),
                Err(error) => tracing::debug!(%error, "the instances could not be counted"),
            }
            let given = inner.places.given();
            if let Err(error) = inner.shared.keep(&given, LEASE).await {
                tracing::debug!(%error, "places could not be renewed");
            }
            inner.places.return_revived(given);
            // Not held while it waits: the limiter may go meanwhile.
            drop(inner);
            sleep(RENEW).await;
        }
    }

    async fn give_back(&self) {
        while let Some(inner) = self.inner.upgrade() {
            // They stay there until they were taken, and nobody else takes them out.
            let places = inner.places.state().to_return.clone();
            let pause = if places.is_empty() || give_back(&inner, &places).await {
                inner.places.state().to_return.drain(..places.len());
                None
            } else {
                let mut state = inner.places.state();
                let excess = state.to_return.len().saturating_sub(MOST_TO_RETURN);
                // These come back by themselves sooner than anybody gets there.
                state.to_return.drain(..excess);
                Some(RETRY)
            };
            let places = Arc::clone(&inner.places);
            drop(inner);
            match pause {
                Some(pause) => sleep(pause).await,
                None if places.state().to_return.is_empty() => places.returned.notified().await,
                None => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use keyauth_core::LimitedSubject;

    use super::*;

    #[test]
    fn only_places_that_were_given_and_are_still_held_are_renewed() {
        let places = Places::default();
        let one = |place| SharedPlace {
            subject: LimitedSubject::Other("any".into()),
            limit: "at_once".to_owned(),
            place,
        };
        for place in [1, 2] {
            places.hold(&[one(place)]);
        }
        assert_eq!(places.given(), [], "nobody knows yet whether they were given");
        places.confirm(1);
        assert_eq!(places.given(), [one(1)]);
        // The first is let go while both are renewed, which may take it once more.
        places.confirm(2);
        places.state().held.remove(&1);
        places.return_revived(vec![one(1), one(2)]);
        assert_eq!(places.state().to_return, [one(1)]);
    }
}
