//! What is reserved for one request.

use std::sync::Arc;

use keyauth_core::{Amount, ChargeId, ChargedBudget, Ledger, NewCharge, Settle, WhenAbandoned};

use crate::accounts::Account;
use crate::books::new_id;
use crate::leases::Taken;
use crate::meter::Inner;
use crate::settling::{Place, Settlement};

/// What is reserved of all budgets of one charge.
#[derive(Debug)]
pub(crate) struct Held<L: Ledger> {
    inner: Arc<Inner<L>>,
    /// In the ledger.
    charge: Option<(ChargeId, Place)>,
    /// Of what this process has taken ahead.
    leased: Vec<(ChargedBudget, Arc<Account>, Taken)>,
}

impl<L: Ledger> Held<L> {
    pub(crate) const fn new(inner: Arc<Inner<L>>) -> Self {
        Self { inner, charge: None, leased: Vec::new() }
    }

    pub(crate) fn in_ledger(&mut self, id: ChargeId, place: Place) {
        self.charge = Some((id, place));
    }

    pub(crate) fn leased(&mut self, budget: ChargedBudget, account: Arc<Account>, taken: Taken) {
        self.leased.push((budget, account, taken));
    }

    /// Books it, the first time.
    fn book(&mut self, amount: Amount) {
        if let Some((id, place)) = self.charge.take() {
            place.send(Settlement::Settle { id, amount });
        }
        for (budget, account, taken) in self.leased.drain(..) {
            let beyond = account.stock().give_back(taken, amount);
            if beyond > Amount::ZERO {
                self.inner.book(vec![budget], beyond);
            }
        }
    }
}

impl<L: Ledger + 'static> Settle for Held<L> {
    fn settle(mut self: Box<Self>, amount: Amount) {
        self.book(amount);
    }
}

impl<L: Ledger> Drop for Held<L> {
    fn drop(&mut self) {
        self.book(Amount::ZERO);
    }
}

impl<L: Ledger> Inner<L> {
    /// Books what nothing is reserved for.
    pub(crate) fn book(&self, budgets: Vec<ChargedBudget>, amount: Amount) {
        match new_id() {
            Ok(id) => self.queue.put(Settlement::Book(NewCharge {
                id,
                budgets,
                amount,
                when_abandoned: WhenAbandoned::GivenBack,
            })),
            Err(error) => tracing::error!(%amount, "a charge was not booked: {error}"),
        }
    }
}
