//! Signs of other instances, beside those that the feed gives.

use std::fmt::Debug;
use std::future;
use std::pin::Pin;
use std::sync::Arc;

use keyauth_core::{ChangeObserver, Hints};

/// [`Hints`] behind a pointer.
pub(crate) trait DynHints: ChangeObserver + Debug {
    fn receive(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
}

impl<H: Hints> DynHints for H {
    fn receive(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(Hints::receive(self))
    }
}

/// Waits for a sign, for ever where none are given.
pub(crate) async fn receive(hints: Option<&Arc<dyn DynHints>>) {
    match hints {
        Some(hints) => hints.receive().await,
        None => future::pending().await,
    }
}
