//! The reference ledger.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::{
    Amount, Budget, BudgetMode, BudgetState, BudgetWindow, ChargeId, ChargedBudget, Clock, Ledger,
    LedgerError, LedgerErrorKind, LimitedSubject, NewCharge, Reserved, Settled, SystemClock,
    Timestamp, WhenAbandoned,
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
    accounts: HashMap<AccountName, Account>,
    charges: HashMap<ChargeId, Charge>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct AccountName {
    subject: LimitedSubject,
    budget: String,
    window: BudgetWindow,
    zone: String,
}

/// What stands of one budget of one subject.
#[derive(Clone, Copy, Debug, Default)]
struct Account {
    window: Option<(Timestamp, Option<Timestamp>)>,
    used: Amount,
    reserved: Amount,
    overrun: Amount,
    lost: Amount,
}

#[derive(Debug)]
struct Charge {
    new: NewCharge,
    status: Status,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    Reserved { until: Timestamp },
    GivenBack,
    Lost,
    Settled { amount: Amount, charged: Amount },
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

impl Account {
    /// Begins anew where the window is over.
    fn roll(&mut self, now: Timestamp) {
        if self.window.is_some_and(|(_, ends)| ends.is_some_and(|ends| ends <= now)) {
            *self = Self { reserved: self.reserved, ..Self::default() };
        }
    }

    fn state(&self, limit: Amount) -> BudgetState {
        BudgetState {
            limit,
            used: self.used,
            reserved: self.reserved,
            overrun: self.overrun,
            lost: self.lost,
            began_at: self.window.map(|(began, _)| began),
            ends_at: self.window.and_then(|(_, ends)| ends),
        }
    }

    /// Whether there is room for so much more.
    fn has_room(&self, budget: &Budget, amount: Amount) -> bool {
        let all = self.used.checked_add(self.reserved).and_then(|all| all.checked_add(amount));
        let soft = budget.mode == BudgetMode::Soft;
        self.used < budget.limit && (soft || all.is_some_and(|all| all <= budget.limit))
    }
}

/// Whether what a charge may come to is reserved of a budget.
fn is_reserved_of(charged: &ChargedBudget) -> bool {
    charged.budget.mode != BudgetMode::Soft
}

impl Books {
    fn account(&mut self, charged: &ChargedBudget) -> &mut Account {
        self.accounts.entry(AccountName::of(charged)).or_default()
    }

    fn states(&self, budgets: &[ChargedBudget]) -> Vec<BudgetState> {
        let state = |charged: &ChargedBudget| {
            let account = self.accounts.get(&AccountName::of(charged)).copied();
            account.unwrap_or_default().state(charged.budget.limit)
        };
        budgets.iter().map(state).collect()
    }

    fn close_abandoned(&mut self, now: Timestamp) {
        let Self { accounts, charges } = self;
        for charge in charges.values_mut() {
            if !matches!(charge.status, Status::Reserved { until } if until <= now) {
                continue;
            }
            let lost = charge.new.when_abandoned == WhenAbandoned::Lost;
            for charged in &charge.new.budgets {
                let account = accounts.entry(AccountName::of(charged)).or_default();
                if is_reserved_of(charged) {
                    account.reserved = account.reserved.saturating_sub(charge.new.amount);
                }
                if lost {
                    account.used = account.used.saturating_add(charge.new.amount);
                    account.lost = account.lost.saturating_add(charge.new.amount);
                }
            }
            charge.status = if lost { Status::Lost } else { Status::GivenBack };
        }
    }

    fn reserve(&mut self, charge: &NewCharge, now: Timestamp, lasts: Duration) -> Reserved {
        let refusing = |(at, charged): (usize, &ChargedBudget)| {
            let account = self.accounts.get(&AccountName::of(charged)).copied();
            let has_room = account.unwrap_or_default().has_room(&charged.budget, charge.amount);
            (!has_room).then_some(at)
        };
        let budgets: Vec<_> = charge.budgets.iter().enumerate().filter_map(refusing).collect();
        if !budgets.is_empty() {
            return Reserved::Exhausted { budgets, states: self.states(&charge.budgets) };
        }
        for charged in &charge.budgets {
            let account = self.account(charged);
            account.window.get_or_insert_with(|| charged.budget.window_from(now));
            if is_reserved_of(charged) {
                account.reserved = account.reserved.saturating_add(charge.amount);
            }
        }
        let status = Status::Reserved { until: now.saturating_add(lasts) };
        self.charges.insert(charge.id.clone(), Charge { new: charge.clone(), status });
        Reserved::All(self.states(&charge.budgets))
    }

    /// Books a charge, what is reserved of which is given back. Says how much is charged.
    fn book(
        &mut self,
        charge: &NewCharge,
        status: Status,
        amount: Amount,
        now: Timestamp,
    ) -> Amount {
        if let Status::Reserved { .. } = status {
            for charged in charge.budgets.iter().filter(|charged| is_reserved_of(charged)) {
                let account = self.account(charged);
                account.reserved = account.reserved.saturating_sub(charge.amount);
            }
        }
        // What was lost is used already; how much of it was spent is known now.
        let found = if status == Status::Lost { amount.min(charge.amount) } else { Amount::ZERO };
        let further = amount.saturating_sub(found);
        let hard = charge.budgets.iter().filter(|charged| is_reserved_of(charged));
        let room = hard.map(|charged| {
            let account = self.accounts.get(&AccountName::of(charged)).copied();
            account.unwrap_or_default().state(charged.budget.limit).remaining()
        });
        let granted = room.min().map_or(further, |room| further.min(room));
        for charged in &charge.budgets {
            let more = if is_reserved_of(charged) { granted } else { further };
            let account = self.account(charged);
            account.window.get_or_insert_with(|| charged.budget.window_from(now));
            account.used = account.used.saturating_add(more);
            account.overrun = account.overrun.saturating_add(further.saturating_sub(more));
            account.lost = account.lost.saturating_sub(found.min(account.lost));
        }
        found.saturating_add(granted)
    }
}

impl AccountName {
    fn of(charged: &ChargedBudget) -> Self {
        let Budget { name, window, zone, .. } = &charged.budget;
        Self {
            subject: charged.subject.clone(),
            budget: name.clone(),
            window: *window,
            zone: zone.name().to_owned(),
        }
    }
}

/// Whether two are the same charge: limits and modes may have changed meanwhile.
fn is_same(one: &NewCharge, other: &NewCharge) -> bool {
    let names = |charge: &NewCharge| charge.budgets.iter().map(AccountName::of).collect::<Vec<_>>();
    one.amount == other.amount && names(one) == names(other)
}

impl Ledger for MemoryLedger {
    async fn reserve(&self, charge: &NewCharge, lasts: Duration) -> Result<Reserved, LedgerError> {
        if charge.amount < Amount::ZERO {
            return Err(LedgerErrorKind::Invalid.into());
        }
        let (mut books, now) = self.open();
        match books.charges.get(&charge.id) {
            Some(known) if !is_same(&known.new, charge) => Err(LedgerErrorKind::Conflict.into()),
            Some(known) if known.status != Status::GivenBack => {
                Ok(Reserved::All(books.states(&charge.budgets)))
            }
            _ => Ok(books.reserve(charge, now, lasts)),
        }
    }

    async fn renew(&self, charges: &[ChargeId], lasts: Duration) -> Result<(), LedgerError> {
        let (mut books, now) = self.open();
        for id in charges {
            if let Some(Charge { status: Status::Reserved { until }, .. }) =
                books.charges.get_mut(id)
            {
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
        let Some(Charge { new, status }) = books.charges.get(id) else {
            return Err(LedgerErrorKind::Unknown.into());
        };
        let (new, status) = (new.clone(), *status);
        let charged = match status {
            Status::Settled { amount: before, charged } if before == amount => charged,
            Status::Settled { .. } => return Err(LedgerErrorKind::Conflict.into()),
            _ => books.book(&new, status, amount, now),
        };
        let (states, overrun) = (books.states(&new.budgets), amount.saturating_sub(charged));
        books
            .charges
            .insert(id.clone(), Charge { new, status: Status::Settled { amount, charged } });
        Ok(Settled { charged, overrun, states })
    }

    async fn states(&self, budgets: &[ChargedBudget]) -> Result<Vec<BudgetState>, LedgerError> {
        let (books, _) = self.open();
        Ok(books.states(budgets))
    }

    async fn reset(&self, budget: &ChargedBudget) -> Result<(), LedgerError> {
        let (mut books, _) = self.open();
        let account = books.account(budget);
        *account = Account { reserved: account.reserved, ..Account::default() };
        Ok(())
    }
}
