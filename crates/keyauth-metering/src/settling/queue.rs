//! The queue of what is to be booked.

use std::collections::HashMap;

use keyauth_core::{AccountName, Amount, ChargedBudget, LedgerError, NewCharge};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

use super::open::{Open, Opened};
use super::{Basis, Settlement};
use crate::sync::atomic::{AtomicU8, Ordering};
use crate::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// With more than this under way, what was not reserved is added up: there is no request any more
/// that would bound its number.
const MOST: usize = 16_384;

const NEW: u8 = 0;
const STARTED: u8 = 1;
const CLOSED: u8 = 2;

/// A place in the queue, which is taken before something is reserved, so that the end of a request
/// cannot fail. What is under way is bounded by the requests that are.
#[derive(Debug)]
#[must_use = "what is reserved is not renewed without it"]
pub(crate) struct Place {
    opened: Opened,
    sender: UnboundedSender<Settlement>,
}

/// Takes settlements from requests.
#[derive(Debug)]
pub(crate) struct Queue {
    pub(crate) open: Arc<Open>,
    sender: UnboundedSender<Settlement>,
    waiting: Mutex<Option<UnboundedReceiver<Settlement>>>,
    added_up: Mutex<HashMap<Vec<AccountName>, NewCharge>>,
    state: AtomicU8,
}

impl Place {
    /// Books what was reserved.
    pub(crate) fn settle(self, charge: NewCharge, amount: Amount) {
        self.send(charge, amount, Basis::Reservation);
    }

    fn send(self, charge: NewCharge, amount: Amount, basis: Basis) {
        let Self { opened, sender } = self;
        let unsent = sender.send(Settlement { charge, amount, basis, opened: Some(opened) }).err();
        if let Some(error) = unsent {
            let Settlement { charge, amount, .. } = error.0;
            tracing::error!(charge = %charge.id, %amount, "nobody is left to book a charge");
        }
    }
}

impl Queue {
    pub(crate) fn new() -> Self {
        let (sender, waiting) = mpsc::unbounded_channel();
        let waiting = Mutex::new(Some(waiting));
        let state = AtomicU8::new(NEW);
        Self { open: Arc::default(), sender, waiting, added_up: Mutex::default(), state }
    }

    /// For whoever settles, once.
    pub(crate) fn start(&self) -> Option<UnboundedReceiver<Settlement>> {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        self.state.store(STARTED, Ordering::Release);
        Some(waiting)
    }

    /// Nothing is reserved any more.
    pub(crate) fn close(&self) {
        self.state.store(CLOSED, Ordering::Release);
    }

    /// A place for what is about to be reserved.
    pub(crate) fn place(&self, charge: &NewCharge) -> Result<Place, LedgerError> {
        match self.state.load(Ordering::Acquire) {
            STARTED => Ok(self.place_for(charge)),
            NEW => Err(LedgerError::unavailable(
                "nobody settles what is reserved: `Authenticator::start` was not called",
            )),
            _ => Err(LedgerError::unavailable("the meter was shut down")),
        }
    }

    /// Whether something can be reserved.
    pub(crate) fn is_started(&self) -> bool {
        self.state.load(Ordering::Acquire) == STARTED
    }

    /// Books what was not reserved.
    pub(crate) fn book(&self, charge: NewCharge) {
        if self.open.len() < MOST {
            let (place, amount) = (self.place_for(&charge), charge.amount);
            return place.send(charge, amount, Basis::Nothing);
        }
        let names = charge.budgets.iter().map(ChargedBudget::account).collect();
        let mut added_up = self.added_up();
        match added_up.get_mut(&names) {
            Some(sum) => sum.amount = sum.amount.saturating_add(charge.amount),
            None => drop(added_up.insert(names, charge)),
        }
    }

    /// Books what was added up, where there is less under way, or nobody adds any more.
    pub(crate) fn book_added_up(&self) {
        if self.open.len() < MOST || self.state.load(Ordering::Acquire) == CLOSED {
            let added_up = std::mem::take(&mut *self.added_up());
            for charge in added_up.into_values() {
                let (place, amount) = (self.place_for(&charge), charge.amount);
                place.send(charge, amount, Basis::Nothing);
            }
        }
    }

    fn place_for(&self, charge: &NewCharge) -> Place {
        Place { opened: self.open.add(charge.id.clone()), sender: self.sender.clone() }
    }

    fn added_up(&self) -> MutexGuard<'_, HashMap<Vec<AccountName>, NewCharge>> {
        self.added_up.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
