//! What this process holds of one budget.

use std::time::Duration;

use keyauth_core::{Amount, ChargeId, ChargedBudget, NewCharge};

use crate::exhausted::Terms;
use crate::settling::Place;

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
    closed: bool,
}

#[derive(Debug)]
struct Batch {
    charge: NewCharge,
    /// Spent or under way.
    taken: Amount,
    spent: Amount,
    /// How many have something of it under way.
    holders: usize,
    /// Nothing more is taken of it.
    retired: bool,
    /// When it was asked for, in uptime.
    since: Duration,
    /// Where it is settled, in the end.
    place: Place,
}

/// What somebody has taken, batch by batch.
#[derive(Debug, Default)]
#[must_use = "it is to be given back"]
pub(crate) struct Taken(Vec<(ChargeId, Amount)>);

impl Batch {
    fn free(&self) -> Amount {
        if self.retired { Amount::ZERO } else { self.charge.amount.saturating_sub(self.taken) }
    }

    fn is_over(&self) -> bool {
        self.holders == 0 && (self.retired || self.taken == self.charge.amount)
    }
}

impl Stock {
    pub(crate) fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    /// Puts a batch into it that was asked for on such terms, then.
    pub(crate) fn put(&mut self, charge: NewCharge, lease: &Lease, since: Duration, place: Place) {
        self.agree(lease);
        let (taken, spent, holders, retired) = (Amount::ZERO, Amount::ZERO, 0, self.closed);
        self.batches.push(Batch { charge, taken, spent, holders, retired, since, place });
        if self.closed {
            self.settle();
        }
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
                taken.0.push((batch.charge.id.clone(), part));
            }
        }
        Some(taken)
    }

    /// Takes back what was not spent. Says how much was spent beyond what there is.
    #[must_use = "it is to be booked"]
    pub(crate) fn give_back(&mut self, taken: Taken, spent: Amount) -> Amount {
        let mut rest = spent;
        for (id, part) in taken.0 {
            let Some(batch) = self.batches.iter_mut().find(|batch| batch.charge.id == id) else {
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
        self.settle();
        rest
    }

    /// Gives back batches that were asked for before then, and that nobody has anything of: what
    /// somebody holds on to is no reason to keep the rest from others here.
    pub(crate) fn retire(&mut self, before: Duration) {
        let old = |batch: &&mut Batch| batch.since < before && batch.holders == 0;
        self.batches.iter_mut().filter(old).for_each(|batch| batch.retired = true);
        self.settle();
    }

    /// Settles batches that are over by what was spent of each.
    fn settle(&mut self) {
        let over = self.batches.extract_if(.., |batch| batch.is_over());
        for Batch { charge, spent, place, .. } in over {
            place.settle(charge, spent);
        }
    }

    /// Takes nothing any more, and settles all that nobody has anything of; the rest when he gives
    /// it back.
    pub(crate) fn close(&mut self) {
        self.closed = true;
        self.batches.iter_mut().for_each(|batch| batch.retired = true);
        self.settle();
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

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use keyauth_core::{Budget, BudgetMode, BudgetWindow, LimitedSubject, TenantId, WhenAbandoned};
    use proptest::prelude::*;

    use super::*;
    use crate::settling::Queue;

    #[derive(Clone, Debug)]
    enum Step {
        Put(i64),
        Take(i64),
        /// Gives back the oldest that is out, having spent such a part of it in per cent.
        GiveBack(i64),
        Retire,
        Lower,
        Close,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            3 => (1..100_i64).prop_map(Step::Put),
            8 => (0..60_i64).prop_map(Step::Take),
            8 => (0..200_i64).prop_map(Step::GiveBack),
            1 => Just(Step::Retire),
            1 => Just(Step::Lower),
            1 => Just(Step::Close),
        ];
        proptest::collection::vec(step, 1..80)
    }

    fn fractions(fractions: i64) -> Amount {
        Amount::from_fractions(fractions)
    }

    fn lease(limit: i64) -> Lease {
        let limit = fractions(limit);
        let budget = Budget::new(limit, BudgetWindow::Total).in_mode(BudgetMode::Leased);
        let subject = LimitedSubject::Tenant(TenantId::default());
        Lease { budget: ChargedBudget { subject, budget }, terms: Terms::at(limit) }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

        /// Whatever happens, a batch is settled once, by no more than it is; what is settled and
        /// what is beyond add up to what was spent.
        #[test]
        fn what_is_settled_is_what_was_spent(steps in steps()) {
            let queue = Queue::new();
            let mut settled = queue.start().expect("once");
            let mut stock = Stock::default();
            let (mut limit, mut number, mut spent, mut beyond) = (1_000_000, 0, 0, 0);
            let mut amounts = HashMap::new();
            let mut out: Vec<(i64, Taken)> = Vec::new();
            for step in steps {
                match step {
                    Step::Put(amount) => {
                        number += 1;
                        let id = ChargeId::new(format!("batch-{number}")).expect("an id");
                        amounts.insert(id.clone(), amount);
                        let lease = lease(limit);
                        let charge = NewCharge {
                            id,
                            budgets: vec![lease.budget.clone()],
                            amount: fractions(amount),
                            when_abandoned: WhenAbandoned::Lost,
                        };
                        let place = queue.place(&charge).expect("it is started");
                        stock.put(charge, &lease, Duration::from_secs(number), place);
                    }
                    Step::Take(amount) => {
                        let free = stock.free();
                        let taken = stock.take(fractions(amount), &lease(limit));
                        let room = free > Amount::ZERO && fractions(amount) <= free;
                        prop_assert!(taken.is_none() || room, "{free} for {amount}");
                        out.extend(taken.map(|taken| (amount, taken)));
                    }
                    Step::GiveBack(part) if !out.is_empty() => {
                        let (amount, taken) = out.remove(0);
                        let used = amount * part / 100;
                        spent += used;
                        beyond += stock.give_back(taken, fractions(used)).as_fractions();
                    }
                    Step::GiveBack(_) => {}
                    Step::Retire => stock.retire(Duration::from_secs(number)),
                    Step::Lower => limit -= 1,
                    Step::Close => stock.close(),
                }
            }
            for (_, taken) in out {
                beyond += stock.give_back(taken, Amount::ZERO).as_fractions();
            }
            stock.close();
            prop_assert!(stock.is_empty());
            let mut booked = 0;
            while let Ok(settlement) = settled.try_recv() {
                let most = amounts.remove(&settlement.charge.id);
                let most = most.expect("it was put, and is settled once");
                prop_assert!(settlement.amount.as_fractions() <= most);
                booked += settlement.amount.as_fractions();
            }
            prop_assert!(amounts.is_empty(), "all are settled: {amounts:?}");
            prop_assert_eq!(booked + beyond, spent);
        }
    }
}
