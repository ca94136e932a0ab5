//! What a request is charged.

use std::ops::Deref;

use keyauth_core::{Amount, ChargeHold, ChargeId, Denial, Exhausted, LedgerError, LookupErrorKind};

use crate::observe;
use crate::refusal::{Refusal, Shape};

/// What this request is charged, in the request's extensions of every service behind a
/// [`KeyAuth`](crate::KeyAuth) whose authenticator has a
/// [meter](keyauth_core::Authenticator::with_meter).
///
/// It is the [`keyauth_core::Charge`] that it dereferences to, whose methods reserve and count;
/// [`reserve`](Self::reserve) here answers with the refusal to send. It is booked when the response
/// has ended, was dropped or never came.
///
/// With feature `axum` it is a handler's argument.
#[derive(Clone, Debug)]
pub struct Charge {
    charge: keyauth_core::Charge,
    shape: Shape,
}

/// A charge that the layer has opened and holds.
#[derive(Debug)]
pub(crate) struct Open {
    pub(crate) charge: Charge,
    pub(crate) hold: ChargeHold,
}

impl Charge {
    pub(crate) const fn new(charge: keyauth_core::Charge, shape: Shape) -> Self {
        Self { charge, shape }
    }

    /// Reserves what may be made, before it is; again where it turns out to be more.
    ///
    /// # Errors
    ///
    /// The [`Refusal`] to send: 429 `budget_exhausted`, or 503 where nobody could say.
    pub async fn reserve(&self, amount: Amount) -> Result<(), Refusal> {
        let decision = self.charge.reserve(amount).await;
        self.refuse(decision)
    }

    /// The same by a name of the application's; see
    /// [`keyauth_core::Charge::reserve_as`] for what that must not be.
    ///
    /// # Errors
    ///
    /// As [`reserve`](Self::reserve), and 503 where the name is that of another charge.
    pub async fn reserve_as(&self, id: ChargeId, amount: Amount) -> Result<(), Refusal> {
        let decision = self.charge.reserve_as(id, amount).await;
        self.refuse(decision)
    }

    /// What is to be sent in place of an answer.
    pub(crate) fn refuse(
        &self,
        decision: Result<Result<(), Exhausted>, LedgerError>,
    ) -> Result<(), Refusal> {
        match decision {
            Ok(Ok(())) => Ok(()),
            Ok(Err(Exhausted { retry_after, .. })) => {
                let refusal = Refusal::new(Denial::BudgetExhausted, self.shape);
                Err(refusal.with_retry_after(retry_after))
            }
            Err(error) => {
                observe::uncharged(&error);
                Err(Refusal::new(LookupErrorKind::Unavailable, self.shape))
            }
        }
    }
}

impl Deref for Charge {
    type Target = keyauth_core::Charge;

    fn deref(&self) -> &keyauth_core::Charge {
        &self.charge
    }
}
