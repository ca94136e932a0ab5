//! Whoever books what is in the queue.

use std::sync::Arc;
use std::time::Duration;

use keyauth_core::{Amount, Ledger, LedgerError, LedgerErrorKind, Settled, WhenAbandoned};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::{Basis, Settlement};
use crate::books::{Books, DEADLINE, LASTS};

/// How long after a settlement that failed the first one is tried again, and the last.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Settles until nobody is left who could reserve: also what is under way when that is so.
pub(crate) async fn settle<L: Ledger + 'static>(
    books: Arc<Books<L>>,
    mut waiting: UnboundedReceiver<Settlement>,
) {
    let mut settling = JoinSet::new();
    let mut goes_on = true;
    while goes_on || !settling.is_empty() {
        tokio::select! {
            Some(_) = settling.join_next() => {}
            next = waiting.recv(), if goes_on => match next {
                Some(settlement) => {
                    let books = Arc::clone(&books);
                    settling.spawn(async move { settle_one(&books, settlement).await });
                }
                None => goes_on = false,
            },
        }
    }
}

/// Settles a charge, trying until that is done. Whoever waits to try again is in nobody's way.
async fn settle_one<L: Ledger>(books: &Books<L>, mut settlement: Settlement) {
    let (mut pause, mut unknown_for) = (FIRST_PAUSE, Duration::from_secs(5));
    loop {
        let turns = books.turns(&settlement.charge.budgets).await;
        let asked = timeout(DEADLINE, try_settle(books, &settlement)).await;
        drop(turns);
        let error = match asked.map_err(LedgerError::unavailable).flatten() {
            Ok(settled) => return tell_of_overrun(&settlement, &settled),
            Err(error) => error,
        };
        let Settlement { charge, amount, basis, opened } = &mut settlement;
        match error.kind() {
            LedgerErrorKind::Unavailable => {
                tracing::debug!(charge = %charge.id, %error, "settling is tried again");
                sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
            // Where it was not known whether it was reserved, it was not; or its reservation is still
            // on its way, and would be lost where nobody gave it back.
            LedgerErrorKind::Unknown if *amount == Amount::ZERO => {
                if charge.when_abandoned != WhenAbandoned::Lost || unknown_for > LASTS {
                    return;
                }
                // Most likely there is nothing to wait for.
                *opened = None;
                sleep(unknown_for).await;
                unknown_for *= 2;
            }
            // A ledger that has forgotten it, as a replica that was promoted.
            LedgerErrorKind::Unknown if *basis == Basis::Reservation => {
                charge.amount = *amount;
                *basis = Basis::Nothing;
            }
            _ => {
                let error = &error as &dyn std::error::Error;
                tracing::error!(error, charge = %charge.id, %amount, "a charge was not settled");
                return;
            }
        }
    }
}

async fn try_settle<L: Ledger>(
    books: &Books<L>,
    settlement: &Settlement,
) -> Result<Settled, LedgerError> {
    match settlement.basis {
        Basis::Reservation => books.ledger.settle(&settlement.charge.id, settlement.amount).await,
        Basis::Nothing => books.ledger.book(&settlement.charge).await,
    }
}

fn tell_of_overrun(settlement: &Settlement, settled: &Settled) {
    if settled.overrun > Amount::ZERO {
        tracing::warn!(
            charge = %settlement.charge.id,
            charged = %settled.charged,
            overrun = %settled.overrun,
            "more was made than budgets had room for"
        );
    }
}
