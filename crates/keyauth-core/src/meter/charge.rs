//! The handle that services have.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::recorded::Recorded;
use super::tally::{Booking, Tally};
use crate::auth::DynMeter;
use crate::{
    Amount, CallDetails, ChargeId, Clock, Exhausted, KeyRecord, LedgerError, LedgerErrorKind,
    MeteredCharge, NamedBy, ReserveDecision, SystemClock, TryReserve, WhenAbandoned,
};

/// What one request is charged: reserved beforehand, counted on the way, and booked when it ends.
///
/// A middleware opens it and holds it until the response has ended; the service counts. Prices are
/// the service's own: what they are [multiplied by](crate::RateMultiplier) for the key is done
/// here. Clones are one charge.
///
/// * What was counted is charged, however the call ends: whoever hangs up early pays for what was
///   made.
/// * Where nothing was counted, what is reserved is charged if the service has answered, and
///   nothing if it failed or did not.
/// * What is counted beyond what is reserved is charged as far as budgets have room. The rest is
///   booked as overrun. [`is_spent`](Self::is_spent) says when to stop.
/// * What is counted after the charge was closed is lost, so whoever goes on beyond the response
///   [holds](Self::hold) it.
#[derive(Clone)]
pub struct Charge(Arc<Open>);

struct Open {
    meter: Arc<dyn DynMeter>,
    record: Arc<KeyRecord>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    tally: Tally,
    /// Where the meter records calls.
    recorded: Option<Recorded>,
    holds: usize,
    closed: bool,
}

/// How a service has answered, by its status; see [`Charge::answered`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "there is no other way")]
pub enum Answered {
    /// It did what it was asked to, or said why not: what is reserved is charged where nothing was
    /// counted.
    Served(u16),
    /// It has failed, or somebody has refused before it was asked: nothing is.
    Failed(u16),
}

/// Keeps a [`Charge`] open. It is closed, and booked, when the last one is dropped.
#[must_use = "dropped, it closes the charge"]
#[derive(Debug)]
pub struct ChargeHold(Charge);

impl Charge {
    /// Opens a charge, and holds it.
    pub(crate) fn open(
        meter: Arc<dyn DynMeter>,
        record: Arc<KeyRecord>,
        details: Option<CallDetails>,
    ) -> (Self, ChargeHold) {
        let recorded = details.map(Recorded::begin);
        let state = Mutex::new(State { holds: 1, recorded, ..State::default() });
        let charge = Self(Arc::new(Open { meter, record, state }));
        (charge.clone(), ChargeHold(charge))
    }

    /// Reserves what may be made: before it is. Again where it turns out to be more.
    ///
    /// The outer result says whether there is an answer, the inner one which. Of a key without
    /// budgets everything can be reserved.
    ///
    /// # Errors
    ///
    /// [`Invalid`](crate::LedgerErrorKind::Invalid) for a negative amount, and
    /// [`Unavailable`](crate::LedgerErrorKind::Unavailable), also where the charge is closed.
    pub async fn reserve(&self, amount: Amount) -> Result<Result<(), Exhausted>, LedgerError> {
        self.reserve_named(None, amount, WhenAbandoned::GivenBack).await
    }

    /// The same by a name that the application has for what is charged, so that it is charged once
    /// however often that is tried.
    ///
    /// The name must never be one that a client has chosen: whoever could choose one that was
    /// charged already would not be charged at all. It is the same for all tenants.
    ///
    /// # Errors
    ///
    /// As [`reserve`](Self::reserve), and [`Conflict`](crate::LedgerErrorKind::Conflict) where the
    /// name is that of a charge of another amount, or to other budgets.
    pub async fn reserve_as(
        &self,
        id: ChargeId,
        amount: Amount,
    ) -> Result<Result<(), Exhausted>, LedgerError> {
        self.reserve_named(Some(id), amount, WhenAbandoned::GivenBack).await
    }

    /// Reserves what is spent with the answer to it, by a name or without: whoever hears of it makes
    /// what it pays for, elsewhere. So it counts as used, on a line of its own, where this process
    /// ends before it is booked, and where it has a name and nobody knows whether it was reserved; the
    /// same name books it after all.
    ///
    /// # Errors
    ///
    /// Those of [`reserve`](Self::reserve), and of [`reserve_as`](Self::reserve_as) with a name.
    pub async fn spend(
        &self,
        id: Option<ChargeId>,
        amount: Amount,
    ) -> Result<Result<(), Exhausted>, LedgerError> {
        self.reserve_named(id, amount, WhenAbandoned::Lost).await
    }

    async fn reserve_named(
        &self,
        id: Option<ChargeId>,
        amount: Amount,
        when_abandoned: WhenAbandoned,
    ) -> Result<Result<(), Exhausted>, LedgerError> {
        let named_by = if id.is_some() { NamedBy::Application } else { NamedBy::Nobody };
        let id = match id {
            Some(id) => id,
            None => generate()?,
        };
        let Open { meter, record, .. } = &*self.0;
        if amount < Amount::ZERO {
            return Err(LedgerErrorKind::Invalid.into());
        }
        if self.state().closed {
            return Err(closed());
        }
        if record.budgets.is_empty() {
            return Ok(Ok(()));
        }
        let amount = record.rate_multiplier.apply(amount);
        let record = Arc::clone(record);
        let charge = MeteredCharge { id, named_by, record, amount, when_abandoned };
        let decision = match meter.try_reserve(&charge) {
            TryReserve::Decided(decision) => decision,
            TryReserve::Ask => Arc::clone(meter).reserve(charge).await?,
        };
        Ok(match decision {
            ReserveDecision::Exhausted(exhausted) => Err(exhausted),
            ReserveDecision::Reserved(reservation) => {
                let mut state = self.state();
                if state.closed {
                    return Err(closed());
                }
                state.tally.reserve(amount, reservation);
                Ok(())
            }
        })
    }

    /// Counts more that was made; less where it is negative.
    pub fn add(&self, amount: Amount) {
        self.count(|tally| tally.add(amount));
    }

    /// Counts this in place of all that was counted before.
    pub fn set(&self, amount: Amount) {
        self.count(|tally| tally.set(amount));
    }

    /// Whether as much was counted as is reserved, so that whatever is made beyond may not be paid
    /// for: time to stop, or to reserve more. Never so where the key has no budgets.
    #[must_use]
    pub fn is_spent(&self) -> bool {
        let Open { record, .. } = &*self.0;
        let state = self.state();
        let counted = state.tally.counted(record.rate_multiplier);
        !record.budgets.is_empty() && counted > Amount::ZERO && counted >= state.tally.reserved()
    }

    /// Names what is used, a model say, for the record of usage: its first 256 bytes, without control
    /// characters.
    pub fn uses(&self, resource: &str) {
        self.note(|recorded| recorded.uses(resource));
    }

    /// Counts what has gone in, in units of the service's, for the record of usage: tokens, say.
    pub fn add_input(&self, units: u64) {
        self.note(|recorded| recorded.input = recorded.input.saturating_add(units));
    }

    /// Counts what has come out.
    pub fn add_output(&self, units: u64) {
        self.note(|recorded| recorded.output = recorded.output.saturating_add(units));
    }

    /// Notes how the service has answered: for middleware.
    pub fn answered(&self, how: Answered) {
        let (Answered::Served(code) | Answered::Failed(code)) = how;
        self.note(|recorded| recorded.status = code);
        if let Answered::Served(_) = how {
            self.state().tally.answer();
        }
    }

    /// Keeps it open for longer than the response: for work that goes on behind it.
    pub fn hold(&self) -> ChargeHold {
        self.state().holds += 1;
        ChargeHold(self.clone())
    }

    fn note(&self, note: impl FnOnce(&mut Recorded)) {
        if let Some(recorded) = &mut self.state().recorded {
            note(recorded);
        }
    }

    fn count(&self, count: impl FnOnce(&mut Tally)) {
        let mut state = self.state();
        if state.closed {
            drop(state);
            tracing::warn!(
                key = %self.0.record.key.id,
                "something was counted after its charge was closed; `Charge::hold` keeps it open"
            );
            return;
        }
        count(&mut state.tally);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn generate() -> Result<ChargeId, LedgerError> {
    ChargeId::generate(SystemClock::new().now()).map_err(LedgerError::unavailable)
}

/// Nobody would settle what is reserved then.
fn closed() -> LedgerError {
    LedgerError::unavailable("the charge is closed; `Charge::hold` keeps it open")
}

impl ChargeHold {
    /// What it holds.
    #[must_use]
    pub const fn charge(&self) -> &Charge {
        &self.0
    }
}

impl Drop for ChargeHold {
    fn drop(&mut self) {
        let Open { meter, record, .. } = &*self.0.0;
        let mut state = self.0.state();
        state.holds = state.holds.saturating_sub(1);
        if state.holds > 0 || state.closed {
            return;
        }
        state.closed = true;
        let Booking { settled, unreserved, all } = state.tally.close(record.rate_multiplier);
        let recorded = state.recorded.take();
        drop(state);
        if let Some(recorded) = recorded {
            meter.record(recorded.end(record, all));
        }
        for (reservation, amount) in settled {
            reservation.settle(amount);
        }
        if unreserved == Amount::ZERO || record.budgets.is_empty() {
            return;
        }
        match generate() {
            Ok(id) => meter.book(MeteredCharge {
                id,
                named_by: NamedBy::Nobody,
                record: Arc::clone(record),
                amount: unreserved,
                when_abandoned: WhenAbandoned::GivenBack,
            }),
            Err(error) => {
                tracing::error!(key = %record.key.id, %unreserved, "{error}");
            }
        }
    }
}

impl fmt::Debug for Charge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Charge")
            .field("key", &self.0.record.key.id)
            .field("state", &self.0.state)
            .finish_non_exhaustive()
    }
}
