//! Work that goes on beside requests.

use std::fmt;
use std::pin::Pin;

/// What an [`Authenticator`](crate::Authenticator) does beside requests, once it was
/// [started](crate::Authenticator::start): polling for changes, for one.
///
/// Dropping it stops nothing: the work ends by itself when its authenticator and all else
/// that needs it are gone. Keep it to end the work in order, at the end of `main`.
#[derive(Default)]
#[must_use = "keep it, and await its `shutdown` at the end of `main`"]
pub struct Background(Vec<Pin<Box<dyn Future<Output = ()> + Send>>>);

impl Background {
    /// Nothing to do.
    pub fn none() -> Self {
        Self::default()
    }

    /// Work that has been spawned, and how to end it: `shutdown` is polled when that is
    /// wanted, and ready when the work has ended.
    pub fn new(shutdown: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(vec![Box::pin(shutdown)])
    }

    /// This work and other work, ended in this order.
    pub fn and(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    /// Ends the work and waits until it has ended.
    pub async fn shutdown(self) {
        for part in self.0 {
            part.await;
        }
    }
}

impl fmt::Debug for Background {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Background").field("parts", &self.0.len()).finish()
    }
}
