//! What is spent of budgets.

use std::error::Error;
use std::fmt::{self, Debug};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    Amount, AppliedBudget, Budget, BudgetMode, ChargeId, KeyRecord, LimitedSubject, StoreError,
    Timestamp,
};

/// Keeps what is spent of budgets: reserved before something is made, and settled by what it came
/// to.
///
/// # Contract
///
/// * A charge is reserved of all its budgets or of none, and settled in all of them, in one step.
/// * What is used and reserved of a [hard](crate::BudgetMode::Hard) budget together never exceeds
///   its limit, whatever the concurrency; so what is used never does.
/// * A charge is reserved once and settled once: the same again changes nothing and says the same,
///   and the same id with another amount, or of other budgets, is a
///   [conflict](LedgerErrorKind::Conflict).
/// * Time is the ledger's own. A window begins anew in whatever call comes after its end, and never
///   goes back to an earlier one. What is reserved then stays so.
/// * A reservation that is over without having been [renewed](Ledger::renew) or settled is given
///   back, or booked as lost where the charge [says so](WhenAbandoned::Lost).
/// * Exhausted is what it answers, and nothing that it keeps: a limit that was raised, or what was
///   [reset](Ledger::reset), counts with the next call. Where the subject has a
///   [version](crate::Version), resetting raises it.
/// * A charge is known for a day at least after it was closed; then its id is as good as new.
/// * All that was settled and all that was lost add up to what is used, to the last fraction, since
///   the window began.
///
/// Checked by `keyauth_testkit::ledger_conformance!`.
pub trait Ledger: Debug + Send + Sync {
    /// Reserves what a charge may come to, for so long; where it is reserved already, for as long
    /// from now.
    ///
    /// Of a [soft](crate::BudgetMode::Soft) budget nothing is reserved; it refuses where it is used
    /// up.
    ///
    /// # Errors
    ///
    /// [`Conflict`](LedgerErrorKind::Conflict), [`Invalid`](LedgerErrorKind::Invalid) as
    /// [`NewCharge::check`] says, and [`Unavailable`](LedgerErrorKind::Unavailable).
    fn reserve(
        &self,
        charge: &NewCharge,
        lasts: Duration,
    ) -> impl Future<Output = Result<Reserved, LedgerError>> + Send;

    /// Closes what was abandoned, of anybody, and forgets what was closed long ago: to be called now
    /// and then.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](LedgerErrorKind::Unavailable) alone.
    fn tidy(&self) -> impl Future<Output = Result<(), LedgerError>> + Send;

    /// Keeps reservations for longer, from now on; those that are over stay so.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](LedgerErrorKind::Unavailable) alone.
    fn renew(
        &self,
        charges: &[ChargeId],
        lasts: Duration,
    ) -> impl Future<Output = Result<(), LedgerError>> + Send;

    /// Books what a charge came to, and gives back the rest of what was reserved. At zero all of it
    /// is given back, and the same charge can be reserved again.
    ///
    /// What was lost is found again by this: whoever had it was not dead.
    ///
    /// Where it came to more, or what was reserved is over, as much is used of hard budgets as all
    /// of them have room for. What is beyond is told as [overrun](Settled::overrun), and booked as
    /// that.
    ///
    /// # Errors
    ///
    /// [`Unknown`](LedgerErrorKind::Unknown) for a charge that was never reserved,
    /// [`Conflict`](LedgerErrorKind::Conflict) for one that was settled by another amount,
    /// [`Invalid`](LedgerErrorKind::Invalid) for a negative amount, and
    /// [`Unavailable`](LedgerErrorKind::Unavailable).
    fn settle(
        &self,
        charge: &ChargeId,
        amount: Amount,
    ) -> impl Future<Output = Result<Settled, LedgerError>> + Send;

    /// Books what was made without having been reserved, as if that had been given back: as much is
    /// used of hard budgets as all of them have room for, and the rest is overrun.
    ///
    /// # Errors
    ///
    /// Those of [`reserve`](Ledger::reserve) and [`settle`](Ledger::settle), of which it is both.
    fn book(&self, charge: &NewCharge)
    -> impl Future<Output = Result<Settled, LedgerError>> + Send;

    /// How budgets stand, in their order.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](LedgerErrorKind::Unavailable) alone; of what nobody has used, nothing is.
    fn states(
        &self,
        budgets: &[ChargedBudget],
    ) -> impl Future<Output = Result<Vec<BudgetState>, LedgerError>> + Send;

    /// Begins a budget anew, as an operator's decision: nothing of it is used, overrun or lost
    /// then. What is reserved stays so.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](LedgerErrorKind::Unavailable) alone.
    fn reset(&self, budget: &ChargedBudget)
    -> impl Future<Output = Result<(), LedgerError>> + Send;

    /// Gives back what was lost of a budget, as an operator's decision. Whoever had it and comes back
    /// after all is charged what he settles.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](LedgerErrorKind::Unavailable) alone.
    fn give_back_lost(
        &self,
        budget: &ChargedBudget,
    ) -> impl Future<Output = Result<(), LedgerError>> + Send;
}

/// A budget, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChargedBudget {
    /// Whose use it bounds.
    pub subject: LimitedSubject,
    /// The budget. What is used stands by its name, window and zone, and goes on when its limit or
    /// mode is changed.
    pub budget: Budget,
}

/// A charge that is to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewCharge {
    /// Its name, which no other charge has.
    pub id: ChargeId,
    /// All budgets that it is charged to.
    pub budgets: Vec<ChargedBudget>,
    /// What it may come to.
    pub amount: Amount,
    /// What becomes of it when nobody settles it.
    pub when_abandoned: WhenAbandoned,
}

impl NewCharge {
    /// Whether it can be reserved: for ledgers.
    ///
    /// # Errors
    ///
    /// [`Invalid`](LedgerErrorKind::Invalid) for a negative amount, for no budget, and for one
    /// account twice.
    pub fn check(&self) -> Result<(), LedgerError> {
        let mut names: Vec<_> = self.budgets.iter().map(ChargedBudget::account).collect();
        names.sort_unstable();
        names.dedup();
        let complete = !names.is_empty() && names.len() == self.budgets.len();
        if complete && self.amount >= Amount::ZERO {
            Ok(())
        } else {
            Err(LedgerErrorKind::Invalid.into())
        }
    }

    /// Whether two are the same: limits and modes may have changed meanwhile.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        let names = |charge: &Self| charge.budgets.iter().map(ChargedBudget::account).collect();
        let (one, two): (Vec<_>, Vec<_>) = (names(self), names(other));
        self.amount == other.amount && one == two
    }
}

impl ChargedBudget {
    /// Whether what a charge may come to is reserved of it: of soft ones nothing is.
    #[must_use]
    pub fn is_reserved_of(&self) -> bool {
        self.budget.mode != BudgetMode::Soft
    }
}

impl KeyRecord {
    /// The budgets that the key's use is charged to, and whose they are.
    #[must_use]
    pub fn charged_budgets(&self) -> Vec<ChargedBudget> {
        let charged = |AppliedBudget { budget, counted }: &AppliedBudget| {
            Some(ChargedBudget { subject: self.key.limited(*counted)?, budget: budget.clone() })
        };
        self.budgets.iter().filter_map(charged).collect()
    }
}

/// What becomes of a reservation that is neither renewed nor settled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum WhenAbandoned {
    /// It is given back: nothing was made of it, or nobody can say.
    #[default]
    GivenBack,
    /// It counts as used, on a line of its own: whoever had it has spent of it, and nobody knows
    /// how much.
    Lost,
}

/// What a ledger says to a charge.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "it is reserved or not")]
pub enum Reserved {
    /// It is reserved, of all its budgets, which stand so after it.
    All(Vec<BudgetState>),
    /// It is not, of any of them.
    Exhausted {
        /// Which ones have too little left, by their places among the charge's.
        budgets: Vec<usize>,
        /// How all of them stand.
        states: Vec<BudgetState>,
    },
}

/// What became of a charge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    /// How much of it is used of each of its hard budgets. Of soft ones all is.
    pub charged: Amount,
    /// How much more it came to.
    pub overrun: Amount,
    /// How its budgets stand after it.
    pub states: Vec<BudgetState>,
}

/// How a budget stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BudgetState {
    /// How much may be used.
    pub limit: Amount,
    /// How much is, lost included.
    pub used: Amount,
    /// How much is reserved besides.
    pub reserved: Amount,
    /// How much more than it was charged for was made.
    pub overrun: Amount,
    /// How much of what is used nobody has settled.
    pub lost: Amount,
    /// When its window began; `None` before the first charge.
    pub began_at: Option<Timestamp>,
    /// When it ends; `None` where it does not, or has not begun.
    pub ends_at: Option<Timestamp>,
}

impl BudgetState {
    /// How much is left.
    #[must_use]
    pub const fn remaining(&self) -> Amount {
        let taken = self.used.saturating_add(self.reserved);
        let left = self.limit.saturating_sub(taken);
        if left.as_fractions() < 0 { Amount::ZERO } else { left }
    }
}

/// A ledger did not do what it was asked to. Nothing was done in part.
#[derive(Debug)]
pub struct LedgerError {
    kind: LedgerErrorKind,
    source: Option<Box<dyn Error + Send + Sync>>,
}

/// Why a ledger did not do what it was asked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LedgerErrorKind {
    /// The charge's id is that of another charge.
    Conflict,
    /// There is no such charge.
    Unknown,
    /// An amount is negative, or the budgets are none, or one of them is there twice; or one of them
    /// has a time zone that the ledger does not know.
    Invalid,
    /// The ledger could not be asked, did not answer in time, or answered nonsense. It may have
    /// done what it was asked to, and can be asked again.
    Unavailable,
}

impl LedgerError {
    /// The ledger could not be asked, because of `source`.
    pub fn unavailable(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { kind: LedgerErrorKind::Unavailable, source: Some(source.into()) }
    }

    /// What was asked can never be done, because of `source`.
    pub fn invalid(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { kind: LedgerErrorKind::Invalid, source: Some(source.into()) }
    }

    /// What to branch on.
    #[must_use]
    pub const fn kind(&self) -> LedgerErrorKind {
        self.kind
    }
}

impl From<LedgerErrorKind> for LedgerError {
    fn from(kind: LedgerErrorKind) -> Self {
        Self { kind, source: None }
    }
}

/// A store that keeps the books as well gave no answer.
impl From<StoreError> for LedgerError {
    fn from(error: StoreError) -> Self {
        Self::unavailable(error)
    }
}

impl fmt::Display for LedgerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            LedgerErrorKind::Conflict => "another charge has the same id",
            LedgerErrorKind::Unknown => "there is no such charge",
            LedgerErrorKind::Invalid => {
                "a charge needs an amount that is not negative, and budgets, each of them once"
            }
            LedgerErrorKind::Unavailable => "the ledger gave no answer",
        })
    }
}

impl Error for LedgerError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn Error + 'static))
    }
}
