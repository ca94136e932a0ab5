//! The ledger, and how it is asked.

use std::sync::Arc;
use std::time::Duration;

use keyauth_core::{
    ChargeId, ChargedBudget, Clock, Ledger, LedgerError, NewCharge, Reserved, SystemClock,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::accounts::Accounts;

/// How long a reservation lasts without being renewed.
pub(crate) const LASTS: Duration = Duration::from_secs(60);
/// How long a request waits for the ledger.
pub(crate) const PATIENCE: Duration = Duration::from_secs(1);
/// How long an answer is waited for that no request waits for any more.
pub(crate) const DEADLINE: Duration = Duration::from_secs(10);
/// For how many it is asked at once, so that lookups find a connection besides.
const TURNS: usize = 16;
/// How many reservations are renewed in one call.
const AT_ONCE: usize = 10_000;

/// A turn at the ledger, and at accounts in it.
pub(crate) type Turns = Vec<OwnedSemaphorePermit>;

/// A ledger, and what this process knows of it.
#[derive(Debug)]
pub(crate) struct Books<L> {
    pub(crate) ledger: L,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) accounts: Accounts,
    turns: Arc<Semaphore>,
}

impl<L: Ledger> Books<L> {
    pub(crate) fn new(ledger: L, clock: Arc<dyn Clock>) -> Self {
        let turns = Arc::new(Semaphore::new(TURNS));
        Self { ledger, clock, accounts: Accounts::default(), turns }
    }

    /// Waits for a turn at these accounts: in one order, so that nobody waits in a circle. They come
    /// before the one at the ledger, which nobody has who waits for an account.
    pub(crate) async fn account_turns(&self, budgets: &[ChargedBudget]) -> Turns {
        let uptime = self.clock.uptime();
        let mut names: Vec<_> = budgets.iter().map(ChargedBudget::account).collect();
        names.sort_unstable();
        let mut turns = Turns::with_capacity(names.len() + 1);
        for name in names {
            let account = self.accounts.of(name, uptime);
            turns.extend(Arc::clone(&account.turns).acquire_owned().await);
        }
        turns
    }

    /// Waits for a turn at these accounts and at the ledger.
    pub(crate) async fn turns(&self, budgets: &[ChargedBudget]) -> Turns {
        let mut turns = self.account_turns(budgets).await;
        turns.extend(Arc::clone(&self.turns).acquire_owned().await);
        turns
    }

    /// Asks the ledger to reserve, in turn.
    pub(crate) async fn reserve(&self, charge: &NewCharge) -> Result<Reserved, LedgerError> {
        let _turn = self.turns.acquire().await;
        let asked = timeout(DEADLINE, self.ledger.reserve(charge, LASTS)).await;
        asked.map_err(LedgerError::unavailable).flatten()
    }

    /// Renews what is under way, and says whether that went well.
    pub(crate) async fn renew(&self, charges: &[ChargeId]) -> bool {
        for chunk in charges.chunks(AT_ONCE) {
            let renewed = timeout(DEADLINE, self.ledger.renew(chunk, LASTS)).await;
            if let Err(error) = renewed.map_err(LedgerError::unavailable).flatten() {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, charges = charges.len(), "reservations are not renewed");
                return false;
            }
        }
        true
    }

    /// Has the ledger put itself in order.
    pub(crate) async fn tidy(&self) {
        let tidied = timeout(DEADLINE, self.ledger.tidy()).await;
        if let Err(error) = tidied.map_err(LedgerError::unavailable).flatten() {
            tracing::debug!(%error, "the ledger could not be tidied");
        }
    }
}

/// A name for a charge of this process's own making.
pub(crate) fn new_id() -> Result<ChargeId, LedgerError> {
    ChargeId::generate(SystemClock::new().now()).map_err(LedgerError::unavailable)
}
