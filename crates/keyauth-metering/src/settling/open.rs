//! What is under way.

use keyauth_core::ChargeId;
use papaya::HashMap;
use tokio::sync::Notify;

use crate::sync::Arc;
use crate::sync::atomic::{AtomicU64, Ordering};

/// Charges that are reserved, or may be, and those that wait to be settled.
#[derive(Debug, Default)]
pub(crate) struct Open {
    /// By numbers, since several may have reserved one charge by its name.
    charges: HashMap<u64, ChargeId>,
    next: AtomicU64,
    fewer: Notify,
}

/// One of them, until it is dropped.
#[derive(Debug)]
pub(super) struct Opened {
    open: Arc<Open>,
    number: u64,
}

impl Open {
    pub(super) fn add(self: &Arc<Self>, id: ChargeId) -> Opened {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.charges.pin().insert(number, id);
        Opened { open: Arc::clone(self), number }
    }

    pub(crate) fn len(&self) -> usize {
        self.charges.len()
    }

    pub(crate) fn charges(&self) -> Vec<ChargeId> {
        self.charges.pin().values().cloned().collect()
    }

    /// Ready when nothing is under way.
    pub(crate) async fn none(&self) {
        loop {
            let fewer = self.fewer.notified();
            if self.charges.is_empty() {
                return;
            }
            fewer.await;
        }
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.open.charges.pin().remove(&self.number);
        self.open.fewer.notify_waiters();
    }
}
