//! Booking what requests came to, behind their backs.

mod queue;
mod settler;

pub(crate) use queue::{Place, Queue, Waiting};
pub(crate) use settler::settle;

use keyauth_core::{Amount, ChargeId, NewCharge};

/// What is to be booked.
#[derive(Debug)]
pub(crate) enum Settlement {
    /// What a reservation came to.
    Settle {
        /// Whose.
        id: ChargeId,
        /// How much.
        amount: Amount,
    },
    /// What was made without one.
    Book(NewCharge),
}

impl Settlement {
    pub(crate) const fn id(&self) -> &ChargeId {
        match self {
            Self::Settle { id, .. } => id,
            Self::Book(charge) => &charge.id,
        }
    }

    pub(crate) const fn amount(&self) -> Amount {
        match self {
            Self::Settle { amount, .. } => *amount,
            Self::Book(charge) => charge.amount,
        }
    }
}
