//! The queue of what is to be booked.

use std::sync::{Mutex, OnceLock, PoisonError};

use keyauth_core::LedgerError;
use tokio::runtime::Handle;
use tokio::sync::mpsc::{self, OwnedPermit, Receiver, Sender};
use tokio::time::timeout;

use super::Settlement;
use crate::books::PATIENCE;

/// How many may be reserved, or wait to be settled, at once.
const CAPACITY: usize = 65_536;

/// A place in the queue, which is taken before something is reserved.
pub(crate) type Place = OwnedPermit<Settlement>;

/// What waits to be settled.
pub(crate) type Waiting = Receiver<Settlement>;

/// Takes settlements from requests.
#[derive(Debug)]
pub(crate) struct Queue {
    sender: Sender<Settlement>,
    waiting: Mutex<Option<Waiting>>,
    /// Where what does not fit is waited with; empty until somebody settles.
    runtime: OnceLock<Handle>,
}

impl Queue {
    pub(crate) fn new() -> Self {
        let (sender, waiting) = mpsc::channel(CAPACITY);
        Self { sender, waiting: Mutex::new(Some(waiting)), runtime: OnceLock::new() }
    }

    /// For whoever settles, once.
    pub(crate) fn start(&self) -> Option<Waiting> {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        let _ = self.runtime.set(Handle::current());
        Some(waiting)
    }

    /// A place for what is about to be reserved.
    pub(crate) async fn place(&self) -> Result<Place, LedgerError> {
        if self.runtime.get().is_none() {
            return Err(LedgerError::unavailable(
                "nobody settles what is reserved: `Authenticator::start` was not called",
            ));
        }
        let place = timeout(PATIENCE, self.sender.clone().reserve_owned()).await;
        let full = |_| LedgerError::unavailable("too much is waiting to be settled");
        place.map_err(full)?.map_err(|_| LedgerError::unavailable("it was shut down"))
    }

    /// Whether somebody settles.
    pub(crate) fn is_started(&self) -> bool {
        self.runtime.get().is_some() && !self.sender.is_closed()
    }

    /// Takes what has no place, without waiting: where the queue is full, in a task of its own.
    pub(crate) fn put(&self, settlement: Settlement) {
        let settlement = match self.sender.try_send(settlement) {
            Ok(()) => return,
            Err(error) => error.into_inner(),
        };
        if let (Some(runtime), false) = (self.runtime.get(), self.sender.is_closed()) {
            let sender = self.sender.clone();
            runtime.spawn(async move {
                if let Err(error) = sender.send(settlement).await {
                    lost(&error.0);
                }
            });
            return;
        }
        lost(&settlement);
    }
}

/// Nobody is left who could book it.
pub(super) fn lost(settlement: &Settlement) {
    tracing::error!(
        charge = %settlement.id(),
        amount = %settlement.amount(),
        "a charge was not booked, since the meter was shut down"
    );
}
