//! Asking the ledger for batches.

use std::time::Duration;

use keyauth_core::{Amount, Ledger, LedgerError, NewCharge, Reserved, WhenAbandoned};

use super::{Lease, Taken};
use crate::accounts::Account;
use crate::books::new_id;
use crate::meter::Inner;

/// How long a batch is used before what is left of it is given back.
pub(super) const ROTATION: Duration = Duration::from_secs(10);
/// A batch is the hundredth part of the limit, where nothing is known of how much is used.
const FIRST: i64 = 100;
/// It is no more than the eighth part of what is left, so that others get theirs.
const SHARE: i64 = 8;
/// How often somebody asks for whom others have taken it from under his nose.
const ATTEMPTS: usize = 3;
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
    let _asking = account.asking.lock().await;
    // Others may take what was asked for here, without asking.
    for _ in 0..ATTEMPTS {
        if let Some(taken) = account.stock().take(amount, lease) {
            return Ok(Some(taken));
        }
        let short = amount.saturating_sub(account.stock().free());
        if account.has_just_refused(short, inner.books.clock.uptime())
            || !ask(inner, account, lease, short, Amount::ZERO).await?
        {
            return Ok(None);
        }
    }
    Ok(account.stock().take(amount, lease))
}

/// Asks for a batch of so much at least, for somebody who uses so much in a second, and says whether
/// there is one. Whoever asks is alone at the account.
pub(super) async fn ask<L: Ledger>(
    inner: &Inner<L>,
    account: &Account,
    lease: &Lease,
    short: Amount,
    lately: Amount,
) -> Result<bool, LedgerError> {
    let Inner { books, queue, .. } = inner;
    let needed = short.max(Amount::from_fractions(1));
    let ahead = Amount::from_fractions(lately.as_fractions().saturating_mul(AHEAD));
    let most = account.remaining().map_or(Amount::MAX, |left| part(left, SHARE));
    let mut amount = ahead.max(part(lease.terms.limit, FIRST)).min(most).max(needed);
    loop {
        let charge = NewCharge {
            id: new_id()?,
            budgets: vec![lease.budget.clone()],
            amount,
            when_abandoned: WhenAbandoned::Lost,
        };
        let place = queue.place(&charge)?;
        let asked_at = books.clock.uptime();
        match books.reserve(&charge).await {
            Ok(Reserved::All(states)) => {
                states.first().into_iter().for_each(|state| account.stands(state));
                account.stock().put(charge, lease, asked_at, place);
                return Ok(true);
            }
            Ok(Reserved::Exhausted { states, .. }) => {
                let Some(state) = states.first() else { return Ok(false) };
                account.refused(lease.terms, state, short, asked_at);
                let left = state.remaining();
                if amount == needed || left < needed {
                    return Ok(false);
                }
                amount = part(left, SHARE).max(needed);
            }
            Err(error) => {
                // If it was reserved, nothing was spent of it.
                place.settle(charge, Amount::ZERO);
                return Err(error);
            }
        }
    }
}

fn part(amount: Amount, of: i64) -> Amount {
    Amount::from_fractions(amount.as_fractions() / of)
}
