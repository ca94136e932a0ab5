//! Those who are told of a store's changes at once.

use std::fmt;
use std::sync::{Mutex, PoisonError, Weak};

use crate::{Change, ChangeObserver};

/// The observers of a store, for those who implement
/// [`ChangeFeed::observe`](crate::ChangeFeed::observe).
#[derive(Default)]
pub struct ChangeObservers(Mutex<Vec<Weak<dyn ChangeObserver>>>);

impl ChangeObservers {
    /// Adds one, and forgets those that are gone.
    pub fn add(&self, observer: Weak<dyn ChangeObserver>) {
        let mut observers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        observers.retain(|known| known.strong_count() > 0);
        observers.push(observer);
    }

    /// Whether there is nobody to tell.
    pub fn is_empty(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Tells them all.
    pub fn tell(&self, changes: &[Change]) {
        if changes.is_empty() {
            return;
        }
        let observers = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for observer in observers.iter().filter_map(Weak::upgrade) {
            observer.changed(changes);
        }
    }
}

impl fmt::Debug for ChangeObservers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChangeObservers(..)")
    }
}
