//! What this process holds of one budget.

use std::time::Duration;

use keyauth_core::{Amount, ChargeId, ChargedBudget};

use crate::exhausted::Terms;

/// A leased budget, as a record has it.
#[derive(Clone, Debug)]
pub(crate) struct Lease {
    pub(crate) budget: ChargedBudget,
    pub(crate) terms: Terms,
}

/// Batches that were taken ahead, and what has been spent of them.
///
/// A batch is a reservation of its own in the ledger. What is taken of it is spent or comes back to
/// it, so that what it is settled by is what was spent: no more than the batch, whatever happens.
#[derive(Debug, Default)]
pub(crate) struct Stock {
    batches: Vec<Batch>,
    /// What they were taken for.
    lease: Option<Lease>,
    /// How much was taken since the keeper last looked.
    taken_lately: Amount,
}

#[derive(Debug)]
struct Batch {
    id: ChargeId,
    amount: Amount,
    /// Spent or under way.
    taken: Amount,
    spent: Amount,
    /// How many have something of it under way.
    holders: usize,
    /// Nothing more is taken of it.
    retired: bool,
    /// When it was asked for, in uptime.
    since: Duration,
}

/// What somebody has taken, batch by batch.
#[derive(Debug, Default)]
#[must_use = "it is to be given back"]
pub(crate) struct Taken(Vec<(ChargeId, Amount)>);

impl Batch {
    fn free(&self) -> Amount {
        if self.retired { Amount::ZERO } else { self.amount.saturating_sub(self.taken) }
    }

    fn is_over(&self) -> bool {
        self.holders == 0 && (self.retired || self.taken == self.amount)
    }
}

impl Stock {
    pub(crate) fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    /// Puts a batch into it that was asked for on such terms.
    pub(crate) fn put(&mut self, id: ChargeId, amount: Amount, lease: &Lease, since: Duration) {
        self.agree(lease);
        let (taken, spent) = (Amount::ZERO, Amount::ZERO);
        self.batches.push(Batch { id, amount, taken, spent, holders: 0, retired: false, since });
    }

    /// What is left of it.
    pub(crate) fn free(&self) -> Amount {
        self.batches.iter().fold(Amount::ZERO, |all, batch| all.saturating_add(batch.free()))
    }

    /// Whether there is as much; for nothing, whether there is anything.
    pub(crate) fn can_take(&self, amount: Amount) -> bool {
        let free = self.free();
        free > Amount::ZERO && amount <= free
    }

    /// Takes an amount, if there is as much.
    pub(crate) fn take(&mut self, amount: Amount, lease: &Lease) -> Option<Taken> {
        self.agree(lease);
        if !self.can_take(amount) {
            return None;
        }
        self.taken_lately = self.taken_lately.saturating_add(amount);
        let mut taken = Taken::default();
        let mut rest = amount;
        for batch in &mut self.batches {
            let part = batch.free().min(rest);
            if part > Amount::ZERO {
                batch.taken = batch.taken.saturating_add(part);
                batch.holders += 1;
                rest = rest.saturating_sub(part);
                taken.0.push((batch.id.clone(), part));
            }
        }
        Some(taken)
    }

    /// Takes back what was not spent. Says how much was spent beyond what there is.
    #[must_use = "it is to be booked"]
    pub(crate) fn give_back(&mut self, taken: Taken, spent: Amount) -> Amount {
        let mut rest = spent;
        for (id, part) in taken.0 {
            let Some(batch) = self.batches.iter_mut().find(|batch| batch.id == id) else {
                continue;
            };
            let spent = part.min(rest);
            rest = rest.saturating_sub(spent);
            batch.spent = batch.spent.saturating_add(spent);
            batch.taken = batch.taken.saturating_sub(part.saturating_sub(spent));
            batch.holders -= 1;
        }
        for batch in &mut self.batches {
            let more = batch.free().min(rest);
            rest = rest.saturating_sub(more);
            batch.spent = batch.spent.saturating_add(more);
            batch.taken = batch.taken.saturating_add(more);
        }
        rest
    }

    /// Takes no more of batches that were asked for before then.
    pub(crate) fn retire(&mut self, before: Duration) {
        for batch in self.batches.iter_mut().filter(|batch| batch.since < before) {
            batch.retired = true;
        }
    }

    /// Batches that are over, and what was spent of each.
    pub(crate) fn take_over(&mut self) -> Vec<(ChargeId, Amount)> {
        let over = self.batches.extract_if(.., |batch| batch.is_over());
        over.map(|batch| (batch.id, batch.spent)).collect()
    }

    /// How much was taken since this was last asked.
    pub(crate) fn taken_lately(&mut self) -> Amount {
        std::mem::take(&mut self.taken_lately)
    }

    /// What it was last used for.
    pub(crate) fn lease(&self) -> Option<Lease> {
        self.lease.clone()
    }

    /// What was taken on other terms is given back: a budget that was lowered, or reset.
    fn agree(&mut self, lease: &Lease) {
        if self.lease.as_ref().is_some_and(|before| before.terms == lease.terms) {
            return;
        }
        self.batches.iter_mut().for_each(|batch| batch.retired = true);
        self.lease = Some(lease.clone());
    }
}
