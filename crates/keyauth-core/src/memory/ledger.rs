//! The reference ledger.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::{
    AccountName, Amount, BudgetAccount, BudgetState, ChargeId, ChargeStatus, ChargedAccounts,
    ChargedBudget, Clock, Ledger, LedgerError, LedgerErrorKind, NewCharge, Reserved, Settled,
    SystemClock, Timestamp,
};

/// A ledger that forgets everything with the process: for tests, and to read what the port means.
/// Clones are one.
#[derive(Clone, Debug)]
pub struct MemoryLedger {
    clock: Arc<dyn Clock>,
    books: Arc<Mutex<Books>>,
}

#[derive(Debug, Default)]
struct Books {
    accounts: HashMap<AccountName, BudgetAccount>,
    charges: HashMap<ChargeId, (NewCharge, ChargeStatus)>,
}

impl MemoryLedger {
    /// By the machine's clock.
    #[must_use]
    pub fn new() -> Self {
        Self::with_clock(Arc::new(SystemClock::new()))
    }

    /// By another clock.
    #[must_use]
    pub fn with_clock(clock: Arc<dyn Clock>) -> Self {
        Self { clock, books: Arc::default() }
    }

    /// The books, as they are now: what was abandoned is closed, and what has ended begins anew.
    fn open(&self) -> (MutexGuard<'_, Books>, Timestamp) {
        let mut books = self.books.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.now();
        books.accounts.values_mut().for_each(|account| account.roll(now));
        books.close_abandoned(now);
        (books, now)
    }
}

impl Default for MemoryLedger {
    fn default() -> Self {
        Self::new()
    }
}

impl Books {
    fn take_out(&self, budgets: &[ChargedBudget]) -> ChargedAccounts {
        let account = |charged: &ChargedBudget| {
            let account = self.accounts.get(&charged.account()).copied();
            (charged.clone(), account.unwrap_or_default())
        };
        ChargedAccounts::new(budgets.iter().map(account).collect())
    }

    fn put_back(&mut self, accounts: &ChargedAccounts) {
        let named = accounts.accounts().map(|(charged, account)| (charged.account(), *account));
        self.accounts.extend(named);
    }

    /// An account, of which nothing is to be lost any more.
    fn forgive(&mut self, budget: &ChargedBudget) -> &mut BudgetAccount {
        let name = budget.account();
        for (charge, status) in self.charges.values_mut() {
            let concerned = charge.budgets.iter().any(|charged| charged.account() == name);
            if concerned && matches!(status, ChargeStatus::Lost { .. }) {
                *status = ChargeStatus::GivenBack;
            }
        }
        self.accounts.entry(name).or_default()
    }

    fn settle(
        &mut self,
        charge: NewCharge,
        status: ChargeStatus,
        amount: Amount,
        now: Timestamp,
    ) -> Result<Settled, LedgerError> {
        let mut accounts = self.take_out(&charge.budgets);
        let status = accounts.settle(status, charge.amount, amount, now)?;
        self.put_back(&accounts);
        self.charges.insert(charge.id.clone(), (charge, status));
        let charged = status.charged();
        let overrun = amount.saturating_sub(charged);
        Ok(Settled { charged, overrun, states: accounts.states() })
    }

    fn close_abandoned(&mut self, now: Timestamp) {
        let charges = self.charges.values();
        let abandoned = charges.filter(|(_, status)| status.is_abandoned(now));
        for charge in abandoned.map(|(new, _)| new.clone()).collect::<Vec<_>>() {
            let mut accounts = self.take_out(&charge.budgets);
            let status = accounts.abandon(charge.amount, charge.when_abandoned, now);
            self.put_back(&accounts);
            self.charges.insert(charge.id.clone(), (charge, status));
        }
    }
}

impl Ledger for MemoryLedger {
    async fn reserve(&self, charge: &NewCharge, lasts: Duration) -> Result<Reserved, LedgerError> {
        charge.check()?;
        let (mut books, now) = self.open();
        let mut accounts = books.take_out(&charge.budgets);
        let reserved_until = now.saturating_add(lasts);
        match books.charges.get_mut(&charge.id) {
            Some((known, _)) if !known.is_same(charge) => {
                return Err(LedgerErrorKind::Conflict.into());
            }
            None | Some((_, ChargeStatus::GivenBack)) => {}
            Some((_, status)) => {
                if let ChargeStatus::Reserved { until } = status {
                    *until = reserved_until.max(*until);
                }
                return Ok(Reserved::All(accounts.states()));
            }
        }
        if let Err(budgets) = accounts.reserve(charge.amount, now) {
            return Ok(Reserved::Exhausted { budgets, states: accounts.states() });
        }
        books.put_back(&accounts);
        let status = ChargeStatus::Reserved { until: reserved_until };
        books.charges.insert(charge.id.clone(), (charge.clone(), status));
        Ok(Reserved::All(accounts.states()))
    }

    async fn tidy(&self) -> Result<(), LedgerError> {
        drop(self.open());
        Ok(())
    }

    async fn renew(&self, charges: &[ChargeId], lasts: Duration) -> Result<(), LedgerError> {
        let (mut books, now) = self.open();
        for id in charges {
            if let Some((_, ChargeStatus::Reserved { until })) = books.charges.get_mut(id) {
                *until = now.saturating_add(lasts);
            }
        }
        Ok(())
    }

    async fn settle(&self, id: &ChargeId, amount: Amount) -> Result<Settled, LedgerError> {
        if amount < Amount::ZERO {
            return Err(LedgerErrorKind::Invalid.into());
        }
        let (mut books, now) = self.open();
        let known = books.charges.get(id).cloned();
        let (charge, status) = known.ok_or(LedgerErrorKind::Unknown)?;
        books.settle(charge, status, amount, now)
    }

    async fn book(&self, charge: &NewCharge) -> Result<Settled, LedgerError> {
        charge.check()?;
        let (mut books, now) = self.open();
        let (charge, status) = match books.charges.get(&charge.id) {
            Some((known, _)) if !known.is_same(charge) => {
                return Err(LedgerErrorKind::Conflict.into());
            }
            Some(known) => known.clone(),
            None => (charge.clone(), ChargeStatus::GivenBack),
        };
        let amount = charge.amount;
        books.settle(charge, status, amount, now)
    }

    async fn states(&self, budgets: &[ChargedBudget]) -> Result<Vec<BudgetState>, LedgerError> {
        let (books, _) = self.open();
        Ok(books.take_out(budgets).states())
    }

    async fn reset(&self, budget: &ChargedBudget) -> Result<(), LedgerError> {
        let (mut books, _) = self.open();
        books.forgive(budget).reset();
        Ok(())
    }

    async fn give_back_lost(&self, budget: &ChargedBudget) -> Result<(), LedgerError> {
        let (mut books, _) = self.open();
        books.forgive(budget).give_back_lost();
        Ok(())
    }
}
