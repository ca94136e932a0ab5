//! One account.

use crate::{Amount, Budget, BudgetMode, BudgetState, Timestamp};

/// What stands of one budget of one subject.
///
/// Plain values, for ledgers to keep; what [charges](crate::ChargedAccounts) do to them are the
/// rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BudgetAccount {
    /// When the present window began; `None` before its first charge.
    pub began_at: Option<Timestamp>,
    /// The first instant after it; `None` where there is none.
    pub ends_at: Option<Timestamp>,
    /// How much is used, lost included.
    pub used: Amount,
    /// How much is reserved besides.
    pub reserved: Amount,
    /// How much more was made than could be charged.
    pub overrun: Amount,
    /// How much of what is used nobody has settled.
    pub lost: Amount,
}

impl BudgetAccount {
    /// Begins anew where the window is over. What is reserved stays so.
    pub fn roll(&mut self, now: Timestamp) {
        if self.ends_at.is_some_and(|end| end <= now) {
            self.reset();
        }
    }

    /// Begins anew, as an operator's decision.
    pub fn reset(&mut self) {
        *self = Self { reserved: self.reserved, ..Self::default() };
    }

    /// Takes back what was lost.
    pub fn give_back_lost(&mut self) {
        self.used = self.used.saturating_sub(self.lost);
        self.lost = Amount::ZERO;
    }

    /// How a budget of this limit stands.
    #[must_use]
    pub const fn state(&self, limit: Amount) -> BudgetState {
        let Self { began_at, ends_at, used, reserved, overrun, lost } = *self;
        BudgetState { limit, used, reserved, overrun, lost, began_at, ends_at }
    }

    /// Begins a window where there is none.
    pub(super) fn begin(&mut self, budget: &Budget, now: Timestamp) {
        if self.began_at.is_none() {
            let (began, ends) = budget.window_from(now);
            (self.began_at, self.ends_at) = (Some(began), ends);
        }
    }

    /// Whether there is room for so much more.
    pub(super) fn has_room(&self, budget: &Budget, amount: Amount) -> bool {
        let soft = budget.mode == BudgetMode::Soft;
        self.used < budget.limit && (soft || amount <= self.state(budget.limit).remaining())
    }
}
