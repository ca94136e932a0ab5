//! Places among calls at once, which are the fleet's: renewed while they are held, and given back.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use keyauth_core::{Background, SharedLimits, SharedPlace};
use tokio::runtime::Handle;
use tokio::sync::{Notify, oneshot};
use tokio::time::{sleep, timeout};

use super::Inner;

/// How long a place is kept for a process that no longer renews it.
pub(super) const LEASE: Duration = Duration::from_secs(30);
/// How often places are renewed, and this instance says that it is there.
const RENEW: Duration = Duration::from_secs(10);
/// How long giving back may take at the end.
const LEAVE_DEADLINE: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(super) struct Places {
    /// Random, so that no two processes give a place the same name.
    process: u64,
    next: AtomicU64,
    state: Mutex<State>,
    returned: Notify,
    /// Whether somebody renews.
    kept: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    held: HashMap<u128, Vec<SharedPlace>>,
    to_return: Vec<SharedPlace>,
}

impl Default for Places {
    fn default() -> Self {
        Self {
            process: RandomState::new().hash_one(std::process::id()),
            next: AtomicU64::new(0),
            state: Mutex::default(),
            returned: Notify::new(),
            kept: AtomicBool::new(false),
        }
    }
}

impl Places {
    /// A name that no other call of any process has.
    pub(super) fn next(&self) -> u128 {
        let next = self.next.fetch_add(1, Ordering::Relaxed);
        u128::from(self.process) << 64 | u128::from(next)
    }

    pub(super) fn hold(&self, places: &[SharedPlace]) {
        if let Some(place) = places.first() {
            self.state().held.insert(place.place, places.to_vec());
        }
    }

    pub(super) fn are_kept(&self) -> bool {
        self.kept.load(Ordering::Relaxed)
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
}

impl<S: SharedLimits + 'static> Drop for HeldPlaces<S> {
    fn drop(&mut self) {
        let (places, all) = (std::mem::take(&mut self.places), &self.inner.places);
        if let Some(place) = places.first() {
            all.state().held.remove(&place.place);
        }
        if all.are_kept() {
            all.state().to_return.extend(places);
            all.returned.notify_one();
        } else if let Ok(runtime) = Handle::try_current() {
            let inner = Arc::clone(&self.inner);
            runtime.spawn(async move { give_back(&inner, &places).await });
        }
    }
}

async fn give_back<S: SharedLimits>(inner: &Inner<S>, places: &[SharedPlace]) {
    if let Err(error) = inner.shared.give_back(places).await {
        tracing::debug!(%error, "places could not be given back, and come back by themselves");
    }
}

/// Renews places and gives them back, until it is told to stop or the limiter is gone.
pub(super) fn keep<S: SharedLimits + 'static>(inner: &Arc<Inner<S>>) -> Background {
    if inner.places.kept.swap(true, Ordering::AcqRel) {
        return Background::none();
    }
    let name = format!("{:016x}", inner.places.process);
    let (stop, stopped) = oneshot::channel();
    let keeping = tokio::spawn(run(Arc::downgrade(inner), name, stopped));
    Background::new(async move {
        let _ = stop.send(());
        let _ = keeping.await;
    })
}

async fn run<S: SharedLimits + 'static>(
    inner: Weak<Inner<S>>,
    name: String,
    stop: oneshot::Receiver<()>,
) {
    tokio::select! {
        () = keep_on(&inner, &name) => {}
        // That nobody waits for the end any more is no reason to end.
        Ok(()) = stop => {}
    }
    if let Some(inner) = inner.upgrade() {
        inner.places.kept.store(false, Ordering::Release);
        let places = std::mem::take(&mut inner.places.state().to_return);
        let _ = timeout(LEAVE_DEADLINE, give_back(&inner, &places)).await;
    }
}

async fn keep_on<S: SharedLimits + 'static>(inner: &Weak<Inner<S>>, name: &str) {
    loop {
        let Some(strong) = inner.upgrade() else { return };
        match strong.shared.beat(name, LEASE).await {
            Ok(count) => strong.instances.store(count.max(1), Ordering::Relaxed),
            Err(error) => tracing::debug!(%error, "the instances could not be counted"),
        }
        let held: Vec<_> = strong.places.state().held.values().flatten().cloned().collect();
        if let Err(error) = strong.shared.keep(&held, LEASE).await {
            tracing::debug!(%error, "places could not be renewed");
        }
        let places = Arc::clone(&strong.places);
        // Not held while it waits: the limiter may go meanwhile.
        drop(strong);
        let renewing = sleep(RENEW);
        tokio::pin!(renewing);
        loop {
            tokio::select! {
                () = &mut renewing => break,
                () = places.returned.notified() => {
                    let returned = std::mem::take(&mut places.state().to_return);
                    let Some(strong) = inner.upgrade() else { return };
                    give_back(&strong, &returned).await;
                }
            }
        }
    }
}
