//! The ledger, and what is under way in it.

use std::sync::Arc;
use std::time::Duration;

use keyauth_core::{
    Amount, ChargeId, Clock, Ledger, LedgerError, LedgerErrorKind, Settled, SystemClock,
};
use papaya::HashSet;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use crate::accounts::Accounts;
use crate::settling::Settlement;

/// How long a reservation lasts without being renewed.
pub(crate) const LASTS: Duration = Duration::from_secs(60);
/// How long a request waits for the ledger.
pub(crate) const PATIENCE: Duration = Duration::from_secs(1);
/// How long an answer is waited for that no request needs.
const DEADLINE: Duration = Duration::from_secs(10);
/// For how many it is asked at once: whoever else waits can go away without having been asked for.
const TURNS: usize = 128;
/// How many reservations are renewed in one call.
const AT_ONCE: usize = 10_000;
/// How long after a settlement that failed the first one is tried again, and the last.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// A ledger, and what this process has under way in it.
#[derive(Debug)]
pub(crate) struct Books<L> {
    pub(crate) ledger: L,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) accounts: Accounts,
    /// Held by those whom the ledger is asked for.
    pub(crate) turns: Arc<Semaphore>,
    /// What is reserved, or may be, and not settled.
    open: HashSet<ChargeId>,
}

impl<L: Ledger> Books<L> {
    pub(crate) fn new(ledger: L, clock: Arc<dyn Clock>) -> Self {
        let turns = Arc::new(Semaphore::new(TURNS));
        Self { ledger, clock, accounts: Accounts::default(), turns, open: HashSet::new() }
    }

    /// A charge is reserved, and is renewed from now on.
    pub(crate) fn open(&self, id: ChargeId) {
        self.open.pin().insert(id);
    }

    /// A charge is not reserved any more.
    pub(crate) fn close(&self, id: &ChargeId) {
        self.open.pin().remove(id);
    }

    /// Renews all that is under way, and says whether that went well.
    pub(crate) async fn renew(&self) -> bool {
        let open: Vec<_> = self.open.pin().iter().cloned().collect();
        // Once at least: that is also when the ledger is tidied.
        let mut chunks = open.chunks(AT_ONCE);
        let mut chunk = chunks.next().unwrap_or_default();
        loop {
            let renewed = timeout(DEADLINE, self.ledger.renew(chunk, LASTS)).await;
            if let Err(error) = renewed.map_err(LedgerError::unavailable).flatten() {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    charges = open.len(),
                    "reservations could not be renewed"
                );
                return false;
            }
            match chunks.next() {
                Some(next) => chunk = next,
                None => return true,
            }
        }
    }

    /// Settles a charge, trying until that is done.
    pub(crate) async fn settle(&self, settlement: Settlement) {
        let mut pause = FIRST_PAUSE;
        loop {
            let error = match timeout(DEADLINE, self.try_settle(&settlement)).await {
                Ok(Ok(settled)) => {
                    self.close(settlement.id());
                    return told_of_overrun(&settlement, &settled);
                }
                Ok(Err(error)) => error,
                Err(error) => LedgerError::unavailable(error),
            };
            match error.kind() {
                LedgerErrorKind::Unavailable => {
                    tracing::debug!(charge = %settlement.id(), %error, "settling is tried again");
                    sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                // Where it is not known whether it was reserved, it was not.
                LedgerErrorKind::Unknown if settlement.amount() == Amount::ZERO => {
                    return self.close(settlement.id());
                }
                _ => {
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        charge = %settlement.id(),
                        amount = %settlement.amount(),
                        "a charge could not be settled"
                    );
                    return self.close(settlement.id());
                }
            }
        }
    }

    async fn try_settle(&self, settlement: &Settlement) -> Result<Settled, LedgerError> {
        match settlement {
            Settlement::Settle { id, amount } => self.ledger.settle(id, *amount).await,
            Settlement::Book(charge) => self.ledger.book(charge).await,
        }
    }
}

fn told_of_overrun(settlement: &Settlement, settled: &Settled) {
    if settled.overrun > Amount::ZERO {
        tracing::warn!(
            charge = %settlement.id(),
            charged = %settled.charged,
            overrun = %settled.overrun,
            "more was made than budgets had room for"
        );
    }
}

/// A name for a charge of this process's own making.
pub(crate) fn new_id() -> Result<ChargeId, LedgerError> {
    ChargeId::generate(SystemClock::new().now()).map_err(LedgerError::unavailable)
}
