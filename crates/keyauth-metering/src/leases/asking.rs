//! Asking the ledger for batches.

use std::time::Duration;

use keyauth_core::{Amount, Ledger, LedgerError, NewCharge, Reserved, WhenAbandoned};

use super::{Lease, Taken};
use crate::accounts::Account;
use crate::books::{LASTS, new_id};
use crate::meter::Inner;
use crate::settling::Settlement;

/// How long a batch is used before what is left of it is given back.
pub(super) const ROTATION: Duration = Duration::from_secs(10);
/// A batch is the hundredth part of the limit, where nothing is known of how much is used.
const FIRST: i64 = 100;
/// It is no more than the eighth part of what is left, so that others get theirs.
const SHARE: i64 = 8;
/// How many seconds' use it is to last for.
const AHEAD: i64 = 5;

/// Takes an amount of a leased budget, asking for more of it where there is not as much: `None`
/// where the ledger has no more either.
pub(crate) async fn take<L: Ledger>(
    inner: &Inner<L>,
    account: &Account,
    lease: &Lease,
    amount: Amount,
) -> Result<Option<Taken>, LedgerError> {
    if let Some(taken) = account.stock().take(amount, lease) {
        return Ok(Some(taken));
    }
    let _turn = account.asking.lock().await;
    if let Some(taken) = account.stock().take(amount, lease) {
        return Ok(Some(taken));
    }
    ask(inner, account, lease, amount, Amount::ZERO).await
}

/// Asks for a batch, for somebody who uses so much in a second, and takes an amount of it. Whoever
/// asks has the account's turn.
pub(super) async fn ask<L: Ledger>(
    inner: &Inner<L>,
    account: &Account,
    lease: &Lease,
    take: Amount,
    lately: Amount,
) -> Result<Option<Taken>, LedgerError> {
    let Inner { books, queue, .. } = inner;
    let needed = take.max(Amount::from_fractions(1));
    let ahead = Amount::from_fractions(lately.as_fractions().saturating_mul(AHEAD));
    let most = account.remaining().map_or(Amount::MAX, |left| part(left, SHARE));
    let mut amount = ahead.max(part(lease.terms.limit, FIRST)).min(most).max(needed);
    loop {
        // For the case that nobody says whether it was reserved.
        let place = queue.place().await?;
        let id = new_id()?;
        let charge = NewCharge {
            id: id.clone(),
            budgets: vec![lease.budget.clone()],
            amount,
            when_abandoned: WhenAbandoned::Lost,
        };
        books.open(id.clone());
        let asked_at = books.clock.uptime();
        match books.ledger.reserve(&charge, LASTS).await {
            Ok(Reserved::All(states)) => {
                states.first().into_iter().for_each(|state| account.stands(state));
                let mut stock = account.stock();
                stock.put((id, amount), lease, asked_at, place);
                return Ok(stock.take(take, lease));
            }
            Ok(Reserved::Exhausted { states, .. }) => {
                books.close(&id);
                let Some(state) = states.first() else { return Ok(None) };
                account.refused(lease.terms, state, take, asked_at);
                let left = state.remaining();
                if amount == needed || left < needed {
                    return Ok(None);
                }
                amount = part(left, SHARE).max(needed);
            }
            Err(error) => {
                // Nothing was spent of it.
                place.send(Settlement::Settle { id, amount: Amount::ZERO });
                return Err(error);
            }
        }
    }
}

fn part(amount: Amount, of: i64) -> Amount {
    Amount::from_fractions(amount.as_fractions() / of)
}
