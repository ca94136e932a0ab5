//! A gate before or behind a store's lookups, and a wire to it that can be cut.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use keyauth_core::{
    ChangeFeed, ChangeObserver, Continuity, FeedPage, FeedReader, Instance, KeyDigest, KeyLookup,
    KeyRecord, Keyring, LookupError, Peek, Propagation, StoreError, Subject,
};
use tokio::sync::watch;

/// A lookup whose calls a test counts and can hold, and that it can cut off.
///
/// Cloning gives another handle to the same gate.
#[derive(Clone, Debug)]
pub struct Gated<L> {
    inner: L,
    gate: Arc<Gate>,
    here: Here,
}

#[derive(Debug)]
struct Gate {
    calls: AtomicUsize,
    running: AtomicUsize,
    most_running: AtomicUsize,
    polls: AtomicUsize,
    held: watch::Sender<Option<Side>>,
    waiting: watch::Sender<usize>,
    wire: watch::Sender<Wire>,
    feed: watch::Sender<Wire>,
    /// Whether the next page is to say that more has changed than can be told.
    too_many: AtomicBool,
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

/// Whether the store can be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Wire {
    /// It can.
    Whole,
    /// It answers with an error, at once.
    Cut,
    /// It does not answer.
    Dead,
}

/// Whether changes are made in the same process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Here {
    Yes,
    No,
}

impl<L> Gated<L> {
    /// A gate that stands open.
    pub fn new(inner: L) -> Self {
        let gate = Gate {
            calls: AtomicUsize::new(0),
            running: AtomicUsize::new(0),
            most_running: AtomicUsize::new(0),
            polls: AtomicUsize::new(0),
            held: watch::Sender::new(None),
            waiting: watch::Sender::new(0),
            wire: watch::Sender::new(Wire::Whole),
            feed: watch::Sender::new(Wire::Whole),
            too_many: AtomicBool::new(false),
        };
        Self { inner, gate: Arc::new(gate), here: Here::Yes }
    }

    /// The same, as seen by another process than that which makes the changes: nothing is
    /// told at once, and everything by a poll.
    pub fn elsewhere(inner: L) -> Self {
        Self { here: Here::No, ..Self::new(inner) }
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

    /// How many calls there were at once, at most.
    #[must_use]
    pub fn most_at_once(&self) -> usize {
        self.gate.most_running.load(Ordering::SeqCst)
    }

    /// How many polls have brought an answer so far.
    #[must_use]
    pub fn polls(&self) -> usize {
        self.gate.polls.load(Ordering::SeqCst)
    }

    /// Waits until so many more polls have been sent and have brought an answer.
    pub async fn wait_for_polls(&self, count: usize) {
        // The one that may be under way was sent before.
        let enough = self.polls() + count + 1;
        while self.polls() < enough {
            tokio::task::yield_now().await;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Holds calls from now on.
    pub fn hold(&self, side: Side) {
        self.gate.held.send_replace(Some(side));
    }

    /// Lets all calls go, those that wait and those to come.
    pub fn release(&self) {
        self.gate.held.send_replace(None);
    }

    /// Cuts or mends the wire to the store, for lookups and polls.
    pub fn set_wire(&self, wire: Wire) {
        self.gate.wire.send_replace(wire);
        self.set_feed(wire);
    }

    /// Cuts or mends the wire for polls alone.
    pub fn set_feed(&self, wire: Wire) {
        self.gate.feed.send_replace(wire);
    }

    /// Has the next page say that more has changed than can be told.
    pub fn tell_too_many(&self) {
        self.gate.too_many.store(true, Ordering::SeqCst);
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

/// Goes over a wire.
async fn cross(wire: &watch::Sender<Wire>) -> Result<(), LookupError> {
    let mut wire = wire.subscribe();
    let state = wire.wait_for(|wire| *wire != Wire::Dead).await.map(|wire| *wire);
    match state {
        Ok(Wire::Whole) => Ok(()),
        _ => Err(LookupError::unavailable("the wire is cut")),
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

/// Counts a running call, also where it is given up.
struct Running<'a>(&'a Gate);

impl<'a> Running<'a> {
    fn new(gate: &'a Gate) -> Self {
        gate.calls.fetch_add(1, Ordering::SeqCst);
        let running = gate.running.fetch_add(1, Ordering::SeqCst) + 1;
        gate.most_running.fetch_max(running, Ordering::SeqCst);
        Self(gate)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
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
        let _running = Running::new(&self.gate);
        self.pass(Side::Before).await;
        cross(&self.gate.wire).await?;
        let found = self.inner.find(digest).await;
        self.pass(Side::After).await;
        found
    }
}

impl<L: ChangeFeed> ChangeFeed for Gated<L> {
    type Reader = GatedReader<L::Reader>;

    fn reader(&self, instance: Instance) -> Self::Reader {
        GatedReader { inner: self.inner.reader(instance), gate: Arc::clone(&self.gate) }
    }

    fn observe(&self, observer: Weak<dyn ChangeObserver>) {
        if self.here == Here::Yes {
            self.inner.observe(observer);
        }
    }

    async fn propagated(
        &self,
        subject: &Subject,
        timeout: Duration,
    ) -> Result<Propagation, StoreError> {
        self.inner.propagated(subject, timeout).await
    }
}

/// Reads the feed over a wire that a test can cut.
#[derive(Debug)]
pub struct GatedReader<R> {
    inner: R,
    gate: Arc<Gate>,
}

impl<R: FeedReader> FeedReader for GatedReader<R> {
    async fn poll(&mut self) -> Result<FeedPage, LookupError> {
        cross(&self.gate.feed).await?;
        let mut page = self.inner.poll().await?;
        if self.gate.too_many.swap(false, Ordering::SeqCst) {
            page.continuity = Continuity::TooMany;
            page.changes.clear();
        }
        self.gate.polls.fetch_add(1, Ordering::SeqCst);
        Ok(page)
    }

    async fn acknowledge(&mut self) -> Result<(), LookupError> {
        cross(&self.gate.feed).await?;
        self.inner.acknowledge().await
    }

    async fn hint(&mut self) {
        self.inner.hint().await;
    }

    async fn leave(self) {
        self.inner.leave().await;
    }
}
