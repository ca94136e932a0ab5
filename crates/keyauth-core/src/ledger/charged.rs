//! All accounts of one charge.

use super::BudgetAccount;
use crate::{
    Amount, BudgetState, ChargedBudget, LedgerError, LedgerErrorKind, Timestamp, WhenAbandoned,
};

/// The accounts that one charge is charged to, taken out of the books together.
///
/// Who keeps them [rolls](BudgetAccount::roll) each before, and puts all of them back after, so
/// that what is done to one is done to all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChargedAccounts(Vec<(ChargedBudget, BudgetAccount)>);

/// What has become of a charge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChargeStatus {
    /// It is reserved, to be renewed before then.
    Reserved {
        /// The first instant it is not.
        until: Timestamp,
    },
    /// It was abandoned, and given back.
    GivenBack,
    /// It was abandoned, and counts as used.
    Lost {
        /// Since when.
        since: Timestamp,
    },
    /// It is settled.
    Settled {
        /// By so much.
        amount: Amount,
        /// So much of which was charged.
        charged: Amount,
    },
}

impl ChargeStatus {
    /// Whether it was abandoned by now, and is not closed yet.
    #[must_use]
    pub fn is_abandoned(self, now: Timestamp) -> bool {
        matches!(self, Self::Reserved { until } if until <= now)
    }

    /// How much of it was settled and charged.
    #[must_use]
    pub const fn charged(self) -> Amount {
        match self {
            Self::Settled { charged, .. } => charged,
            _ => Amount::ZERO,
        }
    }
}

impl ChargedAccounts {
    /// Budgets with their accounts, in the charge's order.
    #[must_use]
    pub const fn new(accounts: Vec<(ChargedBudget, BudgetAccount)>) -> Self {
        Self(accounts)
    }

    /// The accounts, to be put back.
    #[must_use]
    pub fn accounts(&self) -> impl ExactSizeIterator<Item = &(ChargedBudget, BudgetAccount)> {
        self.0.iter()
    }

    /// How the budgets stand.
    #[must_use]
    pub fn states(&self) -> Vec<BudgetState> {
        self.0.iter().map(|(charged, account)| account.state(charged.budget.limit)).collect()
    }

    /// Reserves an amount of all of them, or of none.
    ///
    /// # Errors
    ///
    /// The places of those that have too little left.
    pub fn reserve(&mut self, amount: Amount, now: Timestamp) -> Result<(), Vec<usize>> {
        let refuses = |(at, (charged, account)): (usize, &(ChargedBudget, BudgetAccount))| {
            (!account.has_room(&charged.budget, amount)).then_some(at)
        };
        let refusing: Vec<_> = self.0.iter().enumerate().filter_map(refuses).collect();
        if !refusing.is_empty() {
            return Err(refusing);
        }
        for (charged, account) in &mut self.0 {
            account.begin(&charged.budget, now);
            if charged.is_reserved_of() {
                account.reserved = account.reserved.saturating_add(amount);
            }
        }
        Ok(())
    }

    /// Closes a charge of such an amount that was abandoned.
    pub fn abandon(&mut self, amount: Amount, how: WhenAbandoned, now: Timestamp) -> ChargeStatus {
        self.release(amount);
        if how == WhenAbandoned::GivenBack {
            return ChargeStatus::GivenBack;
        }
        for (charged, account) in &mut self.0 {
            account.begin(&charged.budget, now);
            account.used = account.used.saturating_add(amount);
            account.lost = account.lost.saturating_add(amount);
        }
        ChargeStatus::Lost { since: now }
    }

    /// Books what a charge came to, of which so much was reserved. At nothing it is given back.
    ///
    /// # Errors
    ///
    /// [`Conflict`](LedgerErrorKind::Conflict) where it was settled by another amount.
    pub fn settle(
        &mut self,
        was: ChargeStatus,
        reserved: Amount,
        amount: Amount,
        now: Timestamp,
    ) -> Result<ChargeStatus, LedgerError> {
        match was {
            ChargeStatus::Settled { amount: before, .. } if before == amount => return Ok(was),
            ChargeStatus::Settled { .. } => return Err(LedgerErrorKind::Conflict.into()),
            ChargeStatus::Reserved { .. } => self.release(reserved),
            ChargeStatus::Lost { since } => self.find_again(reserved, since),
            ChargeStatus::GivenBack => {}
        }
        if amount == Amount::ZERO {
            return Ok(ChargeStatus::GivenBack);
        }
        let hard = self.0.iter().filter(|(charged, _)| charged.is_reserved_of());
        let room = hard.map(|(charged, account)| account.state(charged.budget.limit).remaining());
        let granted = room.min().map_or(amount, |room| amount.min(room));
        for (charged, account) in &mut self.0 {
            let more = if charged.is_reserved_of() { granted } else { amount };
            account.begin(&charged.budget, now);
            account.used = account.used.saturating_add(more);
            account.overrun = account.overrun.saturating_add(amount.saturating_sub(more));
        }
        Ok(ChargeStatus::Settled { amount, charged: granted })
    }

    /// What was lost is not: whoever had it was cut off, and says what he has spent. Where a window
    /// has ended since, nothing of it is counted any more.
    fn find_again(&mut self, amount: Amount, since: Timestamp) {
        let is_there = |account: &BudgetAccount| {
            account.lost >= amount && account.began_at.is_some_and(|began| began <= since)
        };
        for (_, account) in self.0.iter_mut().filter(|(_, account)| is_there(account)) {
            account.used = account.used.saturating_sub(amount);
            account.lost = account.lost.saturating_sub(amount);
        }
    }

    fn release(&mut self, amount: Amount) {
        for (_, account) in self.0.iter_mut().filter(|(charged, _)| charged.is_reserved_of()) {
            account.reserved = account.reserved.saturating_sub(amount);
        }
    }
}
