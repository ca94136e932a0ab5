//! Reserving and settling what requests cost, on their way.

use std::fmt::{self, Debug};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::{Amount, Background, ChargeId, KeyRecord, LedgerError, UsageEvent, WhenAbandoned};

/// Has budgets decide about what a request may cost, and books what it came to.
///
/// Between requests and a [`Ledger`](crate::Ledger): it renews what is under way, remembers what is
/// exhausted, and books behind the request's back.
///
/// # Contract
///
/// * What is reserved is settled, as soon as the ledger can be reached, by the amount that
///   [`Reservation::settle`] says, or by nothing where that is dropped: by somebody whom neither
///   end of the call waits for.
/// * A reservation is renewed as long as it is not settled and the process lives.
/// * What is exhausted may be remembered, until the window ends, the limit changes, or the version
///   of the budget's subject in the record does.
/// * [`try_reserve`](Meter::try_reserve) and [`book`](Meter::book) neither block nor wait.
pub trait Meter: Debug + Send + Sync {
    /// Reserves, if that needs no waiting.
    fn try_reserve(&self, charge: &MeteredCharge) -> TryReserve;

    /// Reserves what [`try_reserve`](Meter::try_reserve) could not.
    ///
    /// # Errors
    ///
    /// Those of [`Ledger::reserve`](crate::Ledger::reserve).
    fn reserve(
        &self,
        charge: MeteredCharge,
    ) -> impl Future<Output = Result<ReserveDecision, LedgerError>> + Send;

    /// Books what was made without having been reserved: as far as there is room.
    fn book(&self, charge: MeteredCharge);

    /// Whether it records calls, and so wants their [details](CallDetails).
    fn is_recording(&self) -> bool {
        false
    }

    /// Records a call that has ended; without waiting.
    fn record(&self, _: UsageEvent) {}

    /// Starts what it does beside requests:
    /// [`Authenticator::start`](crate::Authenticator::start) does, and who uses it without an
    /// authenticator must.
    fn start(&self) -> Background;
}

/// What is recorded of a call besides what it came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallDetails {
    /// What was called, as the service names it; empty where that is unknown.
    pub route: Arc<str>,
    /// Where it came from, where that is known.
    pub address: Option<IpAddr>,
    /// What limits of cost counted it as.
    pub limit_cost: u64,
}

/// What a request may come to, or has.
#[derive(Clone, Debug)]
pub struct MeteredCharge {
    /// Its name.
    pub id: ChargeId,
    /// Who has named it.
    pub named_by: NamedBy,
    /// Whose request, and the budgets that it is charged to.
    pub record: Arc<KeyRecord>,
    /// How much.
    pub amount: Amount,
    /// What becomes of it where this process ends before it is settled. Of what is leased it is lost
    /// in any case.
    pub when_abandoned: WhenAbandoned,
}

/// Who has given a charge its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "there is nobody else")]
pub enum NamedBy {
    /// It was made up, and nobody will try it again.
    Nobody,
    /// The application, which may try it again, here or elsewhere: the ledger must know of it.
    Application,
}

/// What can be said at once.
#[derive(Debug)]
#[non_exhaustive]
pub enum TryReserve {
    /// The decision.
    Decided(ReserveDecision),
    /// Somebody else must be asked: see [`Meter::reserve`].
    Ask,
}

/// Whether there is as much left of all budgets.
#[derive(Debug)]
#[expect(clippy::exhaustive_enums, reason = "a decision is a yes or a no")]
pub enum ReserveDecision {
    /// There is, and it is reserved.
    Reserved(Reservation),
    /// There is not, and nothing is.
    Exhausted(Exhausted),
}

/// Budgets that have too little left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exhausted {
    /// Which ones, by their places in the record.
    pub budgets: Vec<usize>,
    /// When all of them have begun anew; `None` where one of them never does.
    pub retry_after: Option<Duration>,
}

/// What is reserved for a request. Dropping it gives it back.
#[must_use = "dropped, it is given back"]
pub struct Reservation(Box<dyn Settle>);

/// Whatever books what a reservation came to.
pub trait Settle: Send + Sync {
    /// Books it, without waiting.
    fn settle(self: Box<Self>, amount: Amount);
}

impl Reservation {
    /// One that is settled, or dropped, with `settle`.
    pub fn new(settle: impl Settle + 'static) -> Self {
        Self(Box::new(settle))
    }

    /// Books what it came to, which may be more; without waiting.
    pub fn settle(self, amount: Amount) {
        self.0.settle(amount);
    }
}

impl Debug for Reservation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reservation")
    }
}
