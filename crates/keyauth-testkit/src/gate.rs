//! A gate before or behind a lookup.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use keyauth_core::{KeyDigest, KeyLookup, KeyRecord, Keyring, LookupError, Peek};
use tokio::sync::watch;

/// A lookup whose calls a test counts and can hold.
///
/// Cloning gives another handle to the same gate.
#[derive(Clone, Debug)]
pub struct Gated<L> {
    inner: L,
    gate: Arc<Gate>,
}

#[derive(Debug)]
struct Gate {
    calls: AtomicUsize,
    held: watch::Sender<Option<Side>>,
    waiting: watch::Sender<usize>,
}

/// Where a call is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Side {
    /// Before the store is asked.
    Before,
    /// With the store's answer in hand, before it is given back.
    After,
}

impl<L> Gated<L> {
    /// A gate that stands open.
    pub fn new(inner: L) -> Self {
        let gate = Gate {
            calls: AtomicUsize::new(0),
            held: watch::Sender::new(None),
            waiting: watch::Sender::new(0),
        };
        Self { inner, gate: Arc::new(gate) }
    }

    /// The lookup behind the gate.
    pub const fn inner(&self) -> &L {
        &self.inner
    }

    /// How many calls came so far. Peeks are not calls.
    #[must_use]
    pub fn calls(&self) -> usize {
        self.gate.calls.load(Ordering::SeqCst)
    }

    /// Holds calls from now on.
    pub fn hold(&self, side: Side) {
        self.gate.held.send_replace(Some(side));
    }

    /// Lets all calls go, those that wait and those to come.
    pub fn release(&self) {
        self.gate.held.send_replace(None);
    }

    /// Waits until so many calls are held.
    pub async fn wait_for_held(&self, count: usize) {
        let mut waiting = self.gate.waiting.subscribe();
        // The sender is in `self`, so the channel is open.
        let _ = waiting.wait_for(|waiting| *waiting >= count).await;
    }

    async fn pass(&self, side: Side) {
        let mut held = self.gate.held.subscribe();
        if *held.borrow() != Some(side) {
            return;
        }
        let _counted = Counted::new(&self.gate.waiting);
        let _ = held.wait_for(|held| *held != Some(side)).await;
    }
}

/// Counts a held call for as long as it is held, also where it is given up.
struct Counted<'a>(&'a watch::Sender<usize>);

impl<'a> Counted<'a> {
    fn new(waiting: &'a watch::Sender<usize>) -> Self {
        waiting.send_modify(|waiting| *waiting += 1);
        Self(waiting)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|waiting| *waiting -= 1);
    }
}

impl<L: KeyLookup> KeyLookup for Gated<L> {
    fn keyring(&self) -> &Keyring {
        self.inner.keyring()
    }

    fn peek(&self, digest: &KeyDigest) -> Peek {
        // What is held must be asked for: nothing gets around the gate.
        match *self.gate.held.borrow() {
            None => self.inner.peek(digest),
            Some(_) => Peek::Ask,
        }
    }

    async fn find(&self, digest: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, LookupError> {
        self.gate.calls.fetch_add(1, Ordering::SeqCst);
        self.pass(Side::Before).await;
        let found = self.inner.find(digest).await;
        self.pass(Side::After).await;
        found
    }
}
