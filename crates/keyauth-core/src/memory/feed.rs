//! Telling of changes.

use std::collections::VecDeque;
use std::future;
use std::sync::{Arc, PoisonError, RwLock, Weak};
use std::time::Duration;

use super::MemoryStore;
use super::state::State;
use crate::{
    Change, ChangeFeed, ChangeObserver, Continuity, FeedPage, FeedReader, Instance, LookupError,
    Origin, Propagation, SealKey, StoreError, Subject,
};

/// The last changes, and how many there ever were.
#[derive(Debug, Default)]
pub(super) struct History {
    told: u64,
    kept: VecDeque<Change>,
}

impl History {
    /// How many changes are kept for those who come late.
    const KEPT: usize = 10_000;

    pub(super) const fn told(&self) -> u64 {
        self.told
    }

    pub(super) fn push(&mut self, change: Change) {
        if self.kept.len() == Self::KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back(change);
        self.told += 1;
    }

    /// How many changes came before the first one that is kept.
    fn forgotten(&self) -> u64 {
        self.told.saturating_sub(u64::try_from(self.kept.len()).unwrap_or(u64::MAX))
    }

    /// The changes behind the first `told`, as far as they are kept.
    pub(super) fn since(&self, told: u64) -> impl Iterator<Item = &Change> {
        let skipped = usize::try_from(told.saturating_sub(self.forgotten())).unwrap_or(usize::MAX);
        self.kept.iter().skip(skipped)
    }
}

/// Reads the changes of a [`MemoryStore`].
#[derive(Debug)]
pub struct MemoryFeedReader {
    state: Arc<RwLock<State>>,
    /// How many changes it has read; none before the first poll.
    read: Option<u64>,
}

impl FeedReader for MemoryFeedReader {
    async fn poll(&mut self) -> Result<FeedPage, LookupError> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let history = &state.history;
        let unbroken = self.read.is_some_and(|read| read >= history.forgotten());
        let continuity = if unbroken { Continuity::Unbroken } else { Continuity::Broken };
        let changes: Vec<_> = history.since(self.read.unwrap_or(0)).cloned().collect();
        self.read = Some(history.told());
        let origin = match state.origin.get() {
            Some(origin) => origin.clone(),
            None => {
                let origin = new_origin()?;
                state.origin.get_or_init(|| origin).clone()
            }
        };
        let ages = vec![Duration::ZERO; changes.len()];
        Ok(FeedPage { continuity, origin, changes, ages })
    }

    async fn acknowledge(&mut self) -> Result<(), LookupError> {
        Ok(())
    }

    async fn hint(&mut self) {
        // Those in this process are told at once, and there is nobody else.
        future::pending().await
    }

    async fn leave(self) {}
}

impl ChangeFeed for MemoryStore {
    type Reader = MemoryFeedReader;

    fn reader(&self, _: Instance) -> MemoryFeedReader {
        MemoryFeedReader { state: Arc::clone(&self.state), read: None }
    }

    fn observe(&self, observer: Weak<dyn ChangeObserver>) {
        self.observers.add(observer);
    }

    async fn propagated(&self, _: &Subject, _: Duration) -> Result<Propagation, StoreError> {
        // Whoever observes has applied a change before the call that made it returned.
        Ok(Propagation::Acknowledged)
    }
}

/// No two stores share a history, so each takes a name of its own when it is first read.
fn new_origin() -> Result<Origin, LookupError> {
    let (mut name, mut seal) = ([0; 16], [0; 32]);
    let filled = getrandom::fill(&mut name).and_then(|()| getrandom::fill(&mut seal));
    filled.map_err(LookupError::unavailable)?;
    let name = format!("memory-{:032x}", u128::from_ne_bytes(name));
    Ok(Origin { name: name.into(), seal: SealKey::from_bytes(seal) })
}
