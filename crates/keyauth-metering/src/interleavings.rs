//! The small parts under many interleavings:
//! `RUSTFLAGS="--cfg shuttle" cargo test -p keyauth-metering --lib`.

use std::time::Duration;

use keyauth_core::{
    Amount, Budget, BudgetMode, BudgetWindow, ChargeId, ChargedBudget, LimitedSubject, NewCharge,
    TenantId, WhenAbandoned,
};
use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::sync::Arc;
use shuttle::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use shuttle::{Config, Runner, thread};

use crate::accounts::Accounts;
use crate::exhausted::Terms;
use crate::leases::Lease;
use crate::settling::Queue;

const ROUNDS: usize = 10_000;

/// Tries a test in many interleavings: in random ones, and in those that let one thread wait for long
/// at few places.
fn check(test: impl Fn() + Clone + Send + Sync + 'static) {
    let mut config = Config::new();
    config.stack_size = 1 << 21;
    Runner::new(RandomScheduler::new(ROUNDS), config.clone()).run(test.clone());
    Runner::new(PctScheduler::new(3, ROUNDS), config).run(test);
}

fn amount(fractions: i64) -> Amount {
    Amount::from_fractions(fractions)
}

fn lease() -> Lease {
    let limit = amount(1_000);
    let budget = Budget::new(limit, BudgetWindow::Total).in_mode(BudgetMode::Leased);
    let subject = LimitedSubject::Tenant(TenantId::default());
    Lease { budget: ChargedBudget { subject, budget }, terms: Terms::at(limit) }
}

fn charge(name: &str, fractions: i64) -> NewCharge {
    let (id, budgets) = (ChargeId::new(name).expect("an id"), vec![lease().budget]);
    NewCharge { id, budgets, amount: amount(fractions), when_abandoned: WhenAbandoned::Lost }
}

/// Leases: whoever takes, gives back, takes ahead, retires and forgets, in whatever order: what is
/// settled is what was spent, no batch is settled twice, and none is forgotten.
#[test]
fn what_was_taken_ahead_is_settled_by_what_was_spent() {
    check(|| {
        let (accounts, queue) = (Arc::new(Accounts::default()), Arc::new(Queue::new()));
        let mut settled = queue.start().expect("once");
        let spent = Arc::new(AtomicI64::new(0));
        let put = Arc::new(AtomicU64::new(0));
        let of = |accounts: &Accounts| accounts.of(lease().budget.account(), Duration::ZERO);
        let keeper = {
            let (accounts, queue, put) =
                (Arc::clone(&accounts), Arc::clone(&queue), Arc::clone(&put));
            thread::spawn(move || {
                for number in 0..2 {
                    let account = of(&accounts);
                    let charge = charge(&format!("batch-{number}"), 10);
                    let place = queue.place(&charge).expect("it is started");
                    put.fetch_add(1, Ordering::SeqCst);
                    account.stock().put(charge, &lease(), Duration::from_secs(number), place);
                }
            })
        };
        let tidier = {
            let accounts = Arc::clone(&accounts);
            thread::spawn(move || {
                for number in 0..2 {
                    for account in accounts.all() {
                        account.stock().retire(Duration::from_secs(number));
                    }
                    accounts.tidy(Duration::from_secs(600));
                }
            })
        };
        let takers: Vec<_> = (1..=2)
            .map(|part| {
                let (accounts, spent) = (Arc::clone(&accounts), Arc::clone(&spent));
                thread::spawn(move || {
                    for _ in 0..2 {
                        let account = of(&accounts);
                        let taken = account.stock().take(amount(6), &lease());
                        let Some(taken) = taken else { continue };
                        thread::yield_now();
                        let beyond = account.stock().give_back(taken, amount(part * 3));
                        assert_eq!(beyond, Amount::ZERO);
                        spent.fetch_add(part * 3, Ordering::SeqCst);
                    }
                })
            })
            .collect();
        keeper.join().expect("no panic");
        tidier.join().expect("no panic");
        takers.into_iter().for_each(|taker| taker.join().expect("no panic"));
        accounts.all().iter().for_each(|account| account.stock().close());
        let (mut booked, mut batches) = (0, Vec::new());
        while let Ok(settlement) = settled.try_recv() {
            assert!(!batches.contains(&settlement.charge.id), "settled twice");
            assert!(settlement.amount <= settlement.charge.amount);
            batches.push(settlement.charge.id.clone());
            booked += settlement.amount.as_fractions();
        }
        assert_eq!(batches.len() as u64, put.load(Ordering::SeqCst), "none is forgotten");
        assert_eq!(booked, spent.load(Ordering::SeqCst));
    });
}

/// The guard of a reservation: what has a place is settled, whenever the meter is closed, and the end
/// waits for all that is under way, and for no more.
#[test]
fn what_has_a_place_is_settled_and_waited_for() {
    check(|| {
        let queue = Arc::new(Queue::new());
        let mut settled = queue.start().expect("once");
        let placed = Arc::new(AtomicI64::new(0));
        let callers: Vec<_> = (1..=3)
            .map(|number| {
                let (queue, placed) = (Arc::clone(&queue), Arc::clone(&placed));
                thread::spawn(move || {
                    let charge = charge(&format!("charge-{number}"), number);
                    // Not any more where it was closed before.
                    let Ok(place) = queue.place(&charge) else { return };
                    placed.fetch_add(number, Ordering::SeqCst);
                    thread::yield_now();
                    place.settle(charge, amount(number));
                })
            })
            .collect();
        queue.close();
        callers.into_iter().for_each(|caller| caller.join().expect("no panic"));
        let mut booked = 0;
        while let Ok(settlement) = settled.try_recv() {
            assert!(queue.open.len() > 0, "it is under way until it is booked");
            booked += settlement.amount.as_fractions();
        }
        assert_eq!(booked, placed.load(Ordering::SeqCst));
        assert_eq!(queue.open.len(), 0);
        assert!(queue.place(&charge("late", 1)).is_err());
    });
}
