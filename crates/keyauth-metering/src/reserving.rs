//! Reserving of all budgets of a charge, or of none.

use std::sync::Arc;

use keyauth_core::{
    Amount, BudgetMode, BudgetState, ChargedBudget, Exhausted, Ledger, LedgerError,
    LedgerErrorKind, MeteredCharge, NamedBy, NewCharge, Reservation, ReserveDecision, Reserved,
    Timestamp, TryReserve,
};

use crate::accounts::Account;
use crate::exhausted::Terms;
use crate::held::Held;
use crate::leases::{Lease, take};
use crate::meter::Inner;

/// A budget that a charge is charged to, and what is known of it here.
struct Charged {
    /// Its place in the record.
    at: usize,
    account: Arc<Account>,
    lease: Lease,
    /// Whether some of it is taken ahead for such a charge.
    is_leased: bool,
}

impl Charged {
    fn of<L: Ledger>(inner: &Inner<L>, charge: &MeteredCharge) -> Vec<Self> {
        let record = &charge.record;
        let uptime = inner.books.clock.uptime();
        let charged = |(at, budget): (usize, ChargedBudget)| {
            let account = inner.books.accounts.of(budget.account(), uptime);
            let counted = record.budgets.get(at)?.counted;
            let terms = Terms::of(record, counted, budget.budget.limit);
            // What has a name may be charged elsewhere: the ledger must know of it.
            let is_leased =
                charge.named_by == NamedBy::Nobody && budget.budget.mode == BudgetMode::Leased;
            Some(Self { at, account, lease: Lease { budget, terms }, is_leased })
        };
        record.charged_budgets().into_iter().enumerate().filter_map(charged).collect()
    }
}

/// Reserves what that can be done for without asking.
pub(crate) fn try_reserve<L: Ledger + 'static>(
    inner: &Arc<Inner<L>>,
    charge: &MeteredCharge,
) -> TryReserve {
    let charged = Charged::of(inner, charge);
    // What has a name may have been charged before, and then costs nothing.
    let known = match charge.named_by {
        NamedBy::Nobody => known(inner, &charged, charge.amount),
        NamedBy::Application => None,
    };
    if let Some(exhausted) = known {
        return TryReserve::Decided(ReserveDecision::Exhausted(exhausted));
    }
    if !inner.queue.is_started() || !charged.iter().all(|one| one.is_leased) {
        return TryReserve::Ask;
    }
    let mut held = Held::new(Arc::clone(inner), charge.named_by);
    for one in charged {
        let taken = one.account.stock().take(charge.amount, &one.lease);
        let Some(taken) = taken else { return TryReserve::Ask };
        held.leased(one.lease.budget, one.account, taken);
    }
    TryReserve::Decided(ReserveDecision::Reserved(Reservation::new(held)))
}

/// Reserves, asking the ledger: in a task of its own, where what is reserved for somebody who has
/// gone away is dropped, and so given back.
pub(crate) async fn reserve<L: Ledger + 'static>(
    inner: &Arc<Inner<L>>,
    charge: MeteredCharge,
) -> Result<ReserveDecision, LedgerError> {
    // Those who wait for their turn have not been asked for yet, and go away without a trace.
    let turns = inner.books.account_turns(&charge.record.charged_budgets()).await;
    let inner = Arc::clone(inner);
    let asking = tokio::spawn(async move {
        let decision = ask(inner, charge).await;
        drop(turns);
        decision
    });
    asking.await.map_err(LedgerError::unavailable)?
}

async fn ask<L: Ledger + 'static>(
    inner: Arc<Inner<L>>,
    charge: MeteredCharge,
) -> Result<ReserveDecision, LedgerError> {
    let (leased, asked): (Vec<_>, Vec<_>) =
        Charged::of(&inner, &charge).into_iter().partition(|one| one.is_leased);
    let mut held = Held::new(Arc::clone(&inner), charge.named_by);
    for one in leased {
        let taken = take(&inner, &one.account, &one.lease, charge.amount).await?;
        let Some(taken) = taken else {
            let known = known(&inner, std::slice::from_ref(&one), charge.amount);
            // It is others who hold what is left, and may give it back.
            let held = || Exhausted { budgets: vec![one.at], retry_after: None };
            return Ok(ReserveDecision::Exhausted(known.unwrap_or_else(held)));
        };
        held.leased(one.lease.budget, one.account, taken);
    }
    if asked.is_empty() {
        return Ok(ReserveDecision::Reserved(Reservation::new(held)));
    }
    let new = NewCharge {
        id: charge.id.clone(),
        budgets: asked.iter().map(|one| one.lease.budget.clone()).collect(),
        amount: charge.amount,
        when_abandoned: charge.when_abandoned,
    };
    let place = inner.queue.place(&new)?;
    match inner.books.reserve(&new).await {
        Ok(Reserved::All(_)) => {
            held.in_ledger(new, place);
            Ok(ReserveDecision::Reserved(Reservation::new(held)))
        }
        Ok(Reserved::Exhausted { budgets, states }) => {
            let refusing = budgets.iter().filter_map(|at| asked.get(*at).zip(states.get(*at)));
            Ok(ReserveDecision::Exhausted(refused(&inner, refusing, charge.amount)))
        }
        Err(error) => {
            if error.kind() == LedgerErrorKind::Unavailable {
                // It may have been reserved all the same, and is given back then.
                held.in_ledger(new, place);
            }
            Err(error)
        }
    }
}

/// What is known to refuse a charge, without asking.
fn known<L: Ledger>(inner: &Inner<L>, charged: &[Charged], amount: Amount) -> Option<Exhausted> {
    let (now, uptime) = (inner.books.clock.now(), inner.books.clock.uptime());
    let (mut budgets, mut ends) = (Vec::new(), Vec::new());
    for one in charged {
        if let Some(known) = one.account.exhaustion(one.lease.terms, amount, now, uptime) {
            budgets.push(one.at);
            ends.push(known.ends_at);
        }
    }
    let retry_after = last(ends, now);
    (!budgets.is_empty()).then_some(Exhausted { budgets, retry_after })
}

/// Takes note of budgets that have refused a charge.
fn refused<'a, L: Ledger>(
    inner: &Inner<L>,
    refusing: impl Iterator<Item = (&'a Charged, &'a BudgetState)>,
    amount: Amount,
) -> Exhausted {
    let (now, uptime) = (inner.books.clock.now(), inner.books.clock.uptime());
    let (mut budgets, mut ends) = (Vec::new(), Vec::new());
    for (one, state) in refusing {
        one.account.refused(one.lease.terms, state, amount, uptime);
        budgets.push(one.at);
        ends.push(state.ends_at);
    }
    Exhausted { budgets, retry_after: last(ends, now) }
}

/// How long until the last of windows ends, if all of them do.
fn last(ends: Vec<Option<Timestamp>>, now: Timestamp) -> Option<std::time::Duration> {
    let ends: Option<Vec<_>> = ends.into_iter().collect();
    ends?.into_iter().max().map(|end| end.saturating_duration_since(now))
}
