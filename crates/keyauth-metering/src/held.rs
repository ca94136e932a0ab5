//! What is reserved for one request.

use std::sync::Arc;

use keyauth_core::{
    Amount, BudgetMode, ChargedBudget, Ledger, NamedBy, NewCharge, Settle, WhenAbandoned,
};

use crate::accounts::Account;
use crate::books::new_id;
use crate::leases::Taken;
use crate::meter::Inner;
use crate::settling::Place;

/// What is reserved of all budgets of one charge.
#[derive(Debug)]
pub(crate) struct Held<L: Ledger> {
    inner: Arc<Inner<L>>,
    named_by: NamedBy,
    /// In the ledger.
    charge: Option<(NewCharge, Place)>,
    /// Of what this process has taken ahead.
    leased: Vec<(ChargedBudget, Arc<Account>, Taken)>,
}

impl<L: Ledger> Held<L> {
    pub(crate) const fn new(inner: Arc<Inner<L>>, named_by: NamedBy) -> Self {
        Self { inner, named_by, charge: None, leased: Vec::new() }
    }

    pub(crate) fn in_ledger(&mut self, charge: NewCharge, place: Place) {
        self.charge = Some((charge, place));
    }

    pub(crate) fn leased(&mut self, budget: ChargedBudget, account: Arc<Account>, taken: Taken) {
        self.leased.push((budget, account, taken));
    }

    /// Books it, the first time.
    fn book(&mut self, amount: Amount) {
        let given_back = amount == Amount::ZERO;
        match self.charge.take() {
            // Somebody else may have reserved it by its name, and goes on: it lapses by itself.
            Some(_) if given_back && self.named_by == NamedBy::Application => {}
            Some((charge, place)) => place.settle(charge, amount),
            None => {}
        }
        for (budget, account, taken) in self.leased.drain(..) {
            let beyond = account.stock().give_back(taken, amount);
            self.inner.book_in_ledger(vec![budget], beyond);
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
    /// Books what nothing is reserved for: of leased budgets from what was taken ahead, as far as
    /// there is any.
    pub(crate) fn book(&self, budgets: Vec<ChargedBudget>, amount: Amount) {
        let is_leased = |budget: &ChargedBudget| budget.budget.mode == BudgetMode::Leased;
        let (leased, others): (Vec<_>, Vec<_>) = budgets.into_iter().partition(is_leased);
        for budget in leased {
            let account = self.books.accounts.of(budget.account(), self.books.clock.uptime());
            let beyond = account.stock().give_back(Taken::default(), amount);
            self.book_in_ledger(vec![budget], beyond);
        }
        self.book_in_ledger(others, amount);
    }

    fn book_in_ledger(&self, budgets: Vec<ChargedBudget>, amount: Amount) {
        if amount == Amount::ZERO || budgets.is_empty() {
            return;
        }
        match new_id() {
            Ok(id) => {
                let when_abandoned = WhenAbandoned::GivenBack;
                self.queue.book(NewCharge { id, budgets, amount, when_abandoned });
            }
            Err(error) => tracing::error!(%amount, "a charge was not booked: {error}"),
        }
    }
}
