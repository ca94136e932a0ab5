//! Signs between instances that something has changed.

use std::fmt::Debug;

use crate::ChangeObserver;

/// Gives signs to other instances that a poll would be worth while, and hears theirs: beside
/// those of the feed itself, such as where `LISTEN` does not come through.
///
/// It observes the store that changes are made with, and lets the others know of each without
/// waiting for anything; a sign carries nothing. One that is lost costs a wait for the next
/// poll, one that is doubled, false or forged costs a poll.
pub trait Hints: ChangeObserver + Debug {
    /// Waits for a sign. May be dropped at any await.
    fn receive(&self) -> impl Future<Output = ()> + Send;
}
