//! The cases of [`ledger_conformance!`](crate::ledger_conformance).
//!
//! Called by the macro; each takes a ledger, and charges budgets that nobody else has.

#![expect(clippy::indexing_slicing, reason = "tests fail by panicking")]

use std::time::Duration;

use keyauth_core::{
    Amount, Budget, BudgetMode, BudgetState, BudgetWindow, ChargeId, ChargedBudget, Issuer, Ledger,
    LedgerErrorKind, LimitedSubject, NewCharge, OwnerId, Reserved, Settled, TenantId,
    WhenAbandoned,
};
use tokio::time::{sleep, timeout};

/// Longer than any answer takes.
const PATIENCE: Duration = Duration::from_secs(20);
const MINUTE: Duration = Duration::from_secs(60);

fn units(units: i64) -> Amount {
    Amount::from_units(units).expect("an amount")
}

/// A name that no other test has.
fn unique(name: &str) -> String {
    let draft = Issuer::new().draft(keyauth_core::NewKey::named("any")).expect("a key");
    format!("{name}-{}", draft.key.id)
}

/// A budget of a new owner.
fn owned(budget: Budget) -> ChargedBudget {
    let owner = OwnerId::new(unique("owner")).expect("an owner");
    ChargedBudget { subject: LimitedSubject::Owner(TenantId::default(), owner), budget }
}

fn total(limit: i64) -> ChargedBudget {
    owned(Budget::new(units(limit), BudgetWindow::Total))
}

fn charge(budgets: &[&ChargedBudget], amount: Amount) -> NewCharge {
    NewCharge {
        id: ChargeId::new(unique("charge")).expect("an id"),
        budgets: budgets.iter().map(|budget| (*budget).clone()).collect(),
        amount,
        when_abandoned: WhenAbandoned::GivenBack,
    }
}

async fn reserve(ledger: &impl Ledger, charge: &NewCharge) -> Option<Vec<BudgetState>> {
    match ledger.reserve(charge, MINUTE).await.expect("an answer") {
        Reserved::All(states) => Some(states),
        Reserved::Exhausted { .. } => None,
    }
}

async fn settle(ledger: &impl Ledger, charge: &NewCharge, amount: Amount) -> Settled {
    ledger.settle(&charge.id, amount).await.expect("an answer")
}

async fn state(ledger: &impl Ledger, budget: &ChargedBudget) -> BudgetState {
    let states = ledger.states(std::slice::from_ref(budget)).await.expect("an answer");
    *states.first().expect("one")
}

async fn check(ledger: &impl Ledger, budget: &ChargedBudget, used: i64, reserved: i64) {
    let state = state(ledger, budget).await;
    assert_eq!((state.used, state.reserved), (units(used), units(reserved)));
}

/// What is reserved is given back by what it comes to.
pub async fn what_is_reserved_is_settled_by_what_it_came_to<L: Ledger>(ledger: L) {
    let budget = total(100);
    check(&ledger, &budget, 0, 0).await;
    assert_eq!(state(&ledger, &budget).await.began_at, None);
    let first = charge(&[&budget], units(60));
    let states = reserve(&ledger, &first).await.expect("room");
    assert_eq!((states[0].reserved, states[0].remaining()), (units(60), units(40)));
    assert_eq!(reserve(&ledger, &charge(&[&budget], units(41))).await, None);
    let second = charge(&[&budget], units(40));
    reserve(&ledger, &second).await.expect("room");
    check(&ledger, &budget, 0, 100).await;
    let settled = settle(&ledger, &first, units(25)).await;
    assert_eq!((settled.charged, settled.overrun), (units(25), Amount::ZERO));
    check(&ledger, &budget, 25, 40).await;
    // Given back as a whole.
    settle(&ledger, &second, Amount::ZERO).await;
    check(&ledger, &budget, 25, 0).await;
    let state = state(&ledger, &budget).await;
    assert!(state.began_at.is_some() && state.ends_at.is_none());
}

/// M1: however many charge at once, a hard budget is not exceeded, and adds up.
pub async fn charges_at_once_never_exceed_a_hard_budget<L: Ledger + Clone + 'static>(ledger: L) {
    let budget = total(100);
    let mut charging = Vec::new();
    for task in 0..16_i64 {
        let (ledger, budget) = (ledger.clone(), budget.clone());
        charging.push(tokio::spawn(async move {
            let mut settled = Amount::ZERO;
            for number in 0..12 {
                let most = Amount::from_fractions(100_000_007 * (1 + (task + number) % 5));
                let charge = charge(&[&budget], most);
                if reserve(&ledger, &charge).await.is_none() {
                    continue;
                }
                let part = Amount::from_fractions(most.as_fractions() / (1 + number % 3));
                settled = settled.saturating_add(settle(&ledger, &charge, part).await.charged);
                let state = state(&ledger, &budget).await;
                let all = state.used.saturating_add(state.reserved);
                assert!(all <= state.limit, "{state:?}");
            }
            settled
        }));
    }
    let mut settled = Amount::ZERO;
    for charged in charging {
        settled = settled.saturating_add(charged.await.expect("no panic"));
    }
    let state = state(&ledger, &budget).await;
    assert_eq!((state.used, state.reserved, state.overrun), (settled, Amount::ZERO, Amount::ZERO));
}

/// M12: of three budgets the one that binds refuses for all.
pub async fn a_charge_is_made_of_all_its_budgets_or_of_none<L: Ledger + Clone + 'static>(
    ledger: L,
) {
    let budgets = [total(1_000), total(10), total(500)];
    let mut charging = Vec::new();
    for turn in 0..32_usize {
        let (ledger, budgets) = (ledger.clone(), budgets.clone());
        charging.push(tokio::spawn(async move {
            // In any order: who locks them must not wait for each other.
            let order = [turn % 3, (turn + 1) % 3, (turn + 2) % 3].map(|at| &budgets[at]);
            let charge = charge(&order, units(1));
            match ledger.reserve(&charge, MINUTE).await.expect("an answer") {
                Reserved::All(_) => {
                    settle(&ledger, &charge, units(1)).await;
                    1
                }
                Reserved::Exhausted { budgets: refusing, states } => {
                    let binding = order.iter().position(|one| **one == budgets[1]);
                    assert_eq!(refusing, [binding.expect("it is there")]);
                    assert_eq!(states.len(), 3);
                    0
                }
            }
        }));
    }
    let mut charged = 0;
    for one in charging {
        charged += one.await.expect("no panic");
    }
    assert_eq!(charged, 10);
    for budget in &budgets {
        check(&ledger, budget, 10, 0).await;
    }
}

/// M4, M6: what is asked twice is done once.
pub async fn what_is_asked_twice_is_done_once<L: Ledger>(ledger: L) {
    let (budget, other) = (total(100), total(100));
    let first = charge(&[&budget], units(10));
    for _ in 0..3 {
        reserve(&ledger, &first).await.expect("room");
        check(&ledger, &budget, 0, 10).await;
    }
    let conflict = async |charge: &NewCharge| {
        let refused = ledger.reserve(charge, MINUTE).await;
        assert_eq!(refused.expect_err("another charge").kind(), LedgerErrorKind::Conflict);
    };
    conflict(&NewCharge { amount: units(11), ..first.clone() }).await;
    conflict(&NewCharge { budgets: vec![other.clone()], ..first.clone() }).await;
    let settled = settle(&ledger, &first, units(7)).await;
    assert_eq!(settle(&ledger, &first, units(7)).await, settled);
    reserve(&ledger, &first).await.expect("it was");
    check(&ledger, &budget, 7, 0).await;
    for amount in [units(8), Amount::ZERO] {
        let refused = ledger.settle(&first.id, amount).await;
        assert_eq!(refused.expect_err("another amount").kind(), LedgerErrorKind::Conflict);
    }
    check(&ledger, &budget, 7, 0).await;
    check(&ledger, &other, 0, 0).await;
    // What nothing was made of can be tried again by the same name.
    let again = charge(&[&budget], units(20));
    for _ in 0..2 {
        reserve(&ledger, &again).await.expect("room");
        check(&ledger, &budget, 7, 20).await;
        for _ in 0..2 {
            assert_eq!(settle(&ledger, &again, Amount::ZERO).await.charged, Amount::ZERO);
            check(&ledger, &budget, 7, 0).await;
        }
    }
    reserve(&ledger, &again).await.expect("room");
    assert_eq!(settle(&ledger, &again, units(20)).await.charged, units(20));
    check(&ledger, &budget, 27, 0).await;
    let nobody = ChargeId::new(unique("nobody")).expect("an id");
    let unknown = ledger.settle(&nobody, units(1)).await.expect_err("nobody's");
    assert_eq!(unknown.kind(), LedgerErrorKind::Unknown);
}

/// What comes to more than was reserved is charged as far as there is room in all budgets.
pub async fn what_comes_to_more_is_charged_as_far_as_there_is_room<L: Ledger>(ledger: L) {
    let (wide, tight) = (total(100), total(20));
    let other = charge(&[&tight], units(5));
    reserve(&ledger, &other).await.expect("room");
    let first = charge(&[&wide, &tight], units(10));
    reserve(&ledger, &first).await.expect("room");
    let settled = settle(&ledger, &first, units(18)).await;
    assert_eq!((settled.charged, settled.overrun), (units(15), units(3)));
    check(&ledger, &wide, 15, 0).await;
    check(&ledger, &tight, 15, 5).await;
    assert_eq!(state(&ledger, &tight).await.overrun, units(3));
    assert_eq!(settle(&ledger, &first, units(18)).await.overrun, units(3), "booked once");
    settle(&ledger, &other, units(5)).await;
    let tight_state = state(&ledger, &tight).await;
    assert_eq!((tight_state.used, tight_state.overrun), (units(20), units(3)));
    for amount in [Amount::ZERO, Amount::from_fractions(1)] {
        assert_eq!(reserve(&ledger, &charge(&[&tight], amount)).await, None, "it is exhausted");
    }
}

/// What was made without having been reserved is charged as far as there is room, and once.
pub async fn what_was_not_reserved_is_booked_as_far_as_there_is_room<L: Ledger>(ledger: L) {
    let (wide, tight) = (total(100), total(10));
    let running = charge(&[&tight], units(3));
    reserve(&ledger, &running).await.expect("room");
    let made = charge(&[&wide, &tight], units(8));
    for _ in 0..2 {
        let booked = ledger.book(&made).await.expect("booked");
        assert_eq!((booked.charged, booked.overrun), (units(7), units(1)));
        check(&ledger, &wide, 7, 0).await;
        check(&ledger, &tight, 7, 3).await;
    }
    let other = ledger.book(&NewCharge { amount: units(9), ..made }).await;
    assert_eq!(other.expect_err("another amount").kind(), LedgerErrorKind::Conflict);
    let booked = ledger.book(&running).await.expect("it is reserved");
    assert_eq!(booked.charged, units(3));
    check(&ledger, &tight, 10, 0).await;
}

/// A soft budget refuses where it is used up, and is charged whatever it comes to.
pub async fn soft_budgets_are_charged_whatever_it_comes_to<L: Ledger>(ledger: L) {
    let soft = Budget::new(units(10), BudgetWindow::Total).in_mode(BudgetMode::Soft);
    let (soft, hard) = (owned(soft), total(1_000));
    let [first, second] = [(); 2].map(|()| charge(&[&soft, &hard], units(8)));
    reserve(&ledger, &first).await.expect("room");
    reserve(&ledger, &second).await.expect("nothing is reserved of it");
    check(&ledger, &soft, 0, 0).await;
    check(&ledger, &hard, 0, 16).await;
    settle(&ledger, &first, units(8)).await;
    settle(&ledger, &second, units(9)).await;
    check(&ledger, &soft, 17, 0).await;
    check(&ledger, &hard, 17, 0).await;
    assert_eq!(state(&ledger, &soft).await.remaining(), Amount::ZERO);
    assert_eq!(reserve(&ledger, &charge(&[&soft, &hard], Amount::ZERO)).await, None);
    check(&ledger, &hard, 17, 0).await;
}

/// M15: a reservation lasts as long as it is renewed, and comes back when it is not.
pub async fn reservations_come_back_when_nobody_renews_them<L: Ledger>(ledger: L) {
    let budget = total(10);
    let (kept, left) = (charge(&[&budget], units(4)), charge(&[&budget], units(6)));
    let short = Duration::from_millis(500);
    for charge in [&kept, &left] {
        let reserved = ledger.reserve(charge, short).await.expect("an answer");
        assert!(matches!(reserved, Reserved::All(_)));
    }
    ledger.renew(std::slice::from_ref(&kept.id), MINUTE).await.expect("renewed");
    let given_back = async {
        while state(&ledger, &budget).await.reserved != units(4) {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, given_back).await.expect("given back");
    // To reserve it again is to renew it.
    let again = charge(&[&budget], units(1));
    ledger.reserve(&again, short).await.expect("an answer");
    reserve(&ledger, &again).await.expect("it is");
    sleep(short).await;
    check(&ledger, &budget, 0, 5).await;
    settle(&ledger, &again, Amount::ZERO).await;
    // One that is over cannot be renewed, and is settled as far as there is room.
    ledger.renew(std::slice::from_ref(&left.id), MINUTE).await.expect("nothing happens");
    check(&ledger, &budget, 0, 4).await;
    reserve(&ledger, &charge(&[&budget], units(3))).await.expect("what was given back");
    let late = settle(&ledger, &left, units(5)).await;
    assert_eq!((late.charged, late.overrun), (units(3), units(2)));
    settle(&ledger, &kept, units(4)).await;
    check(&ledger, &budget, 7, 3).await;
}

/// What was abandoned where nobody knows how much of it was spent counts as used.
pub async fn what_is_lost_counts_as_used<L: Ledger>(ledger: L) {
    let budget = total(10);
    let lost = NewCharge { when_abandoned: WhenAbandoned::Lost, ..charge(&[&budget], units(6)) };
    lose(&ledger, &lost, &budget).await;
    let after = state(&ledger, &budget).await;
    assert_eq!((after.used, after.lost), (units(6), units(6)));
    // Whoever had it comes back, and says how much it was: the rest was not lost after all.
    let settled = settle(&ledger, &lost, units(4)).await;
    assert_eq!((settled.charged, settled.overrun), (units(4), Amount::ZERO));
    let after = state(&ledger, &budget).await;
    assert_eq!((after.used, after.lost), (units(4), Amount::ZERO));
    // And nothing of it, where nothing was spent.
    let lost = NewCharge { id: ChargeId::new(unique("other")).expect("an id"), ..lost };
    lose(&ledger, &lost, &budget).await;
    settle(&ledger, &lost, Amount::ZERO).await;
    let after = state(&ledger, &budget).await;
    assert_eq!((after.used, after.lost), (units(4), Amount::ZERO));
    // An operator gives back what nobody comes back for; who does is charged all the same.
    let lost = NewCharge { id: ChargeId::new(unique("third")).expect("an id"), ..lost };
    lose(&ledger, &lost, &budget).await;
    let other = NewCharge { amount: units(1), ..lost.clone() };
    let other = NewCharge { id: ChargeId::new(unique("fourth")).expect("an id"), ..other };
    assert_eq!(reserve(&ledger, &other).await, None);
    ledger.give_back_lost(&budget).await.expect("given back");
    let after = state(&ledger, &budget).await;
    assert_eq!((after.used, after.lost), (units(4), Amount::ZERO));
    lose(&ledger, &other, &budget).await;
    assert_eq!(settle(&ledger, &lost, units(3)).await.charged, units(3));
    let after = state(&ledger, &budget).await;
    assert_eq!((after.used, after.lost), (units(8), units(1)));
}

/// Reserves a charge that nobody settles.
async fn lose(ledger: &impl Ledger, charge: &NewCharge, budget: &ChargedBudget) {
    let before = state(ledger, budget).await.lost;
    ledger.reserve(charge, Duration::from_millis(100)).await.expect("an answer");
    let counted = async {
        while state(ledger, budget).await.lost == before {
            ledger.tidy().await.expect("tidied");
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, counted).await.expect("it is over");
}

/// M2: what is raised or reset counts with the next call.
pub async fn what_is_raised_or_reset_counts_at_once<L: Ledger>(ledger: L) {
    let budget = total(10);
    let all = charge(&[&budget], units(10));
    reserve(&ledger, &all).await.expect("room");
    settle(&ledger, &all, units(10)).await;
    assert_eq!(reserve(&ledger, &charge(&[&budget], units(1))).await, None);
    let mut raised = budget.clone();
    raised.budget.limit = units(11);
    let running = charge(&[&raised], units(1));
    reserve(&ledger, &running).await.expect("one more");
    assert_eq!(reserve(&ledger, &charge(&[&raised], units(1))).await, None);
    ledger.reset(&budget).await.expect("reset");
    check(&ledger, &budget, 0, 1).await;
    reserve(&ledger, &charge(&[&budget], units(9))).await.expect("all but what is reserved");
    settle(&ledger, &running, units(1)).await;
    check(&ledger, &budget, 1, 9).await;
}

/// Budgets of one name are one only by the same window of the same subject.
pub async fn budgets_of_one_name_are_told_apart<L: Ledger>(ledger: L) {
    let day = owned(Budget::new(units(10), BudgetWindow::Day).named("any"));
    let hours = Budget::new(units(10), BudgetWindow::Hours(5)).named("any");
    let hours = ChargedBudget { budget: hours, ..day.clone() };
    let others = owned(day.budget.clone());
    let charge = charge(&[&day], units(3));
    reserve(&ledger, &charge).await.expect("room");
    settle(&ledger, &charge, units(3)).await;
    let state = state(&ledger, &day).await;
    let (began, ends) = (state.began_at.expect("a day"), state.ends_at.expect("a day"));
    assert_eq!(ends.as_micros() - began.as_micros(), 86_400_000_000);
    for other in [&hours, &others] {
        check(&ledger, other, 0, 0).await;
    }
}

/// Negative amounts are refused, and the largest neither overflow nor pass.
pub async fn the_ends_of_the_scale_of_money_are_sane<L: Ledger>(ledger: L) {
    let (none, largest) = (Amount::from_fractions(-1), Amount::from_fractions(i64::MAX));
    let budget = total(10);
    let negative = ledger.reserve(&charge(&[&budget], none), MINUTE).await;
    assert_eq!(negative.expect_err("negative").kind(), LedgerErrorKind::Invalid);
    for budgets in [vec![], vec![&budget, &budget]] {
        let refused = ledger.reserve(&charge(&budgets, units(1)), MINUTE).await;
        assert_eq!(refused.expect_err("none, or twice").kind(), LedgerErrorKind::Invalid);
    }
    let one = charge(&[&budget], units(1));
    reserve(&ledger, &one).await.expect("room");
    let negative = ledger.settle(&one.id, none).await.expect_err("negative");
    assert_eq!(negative.kind(), LedgerErrorKind::Invalid);
    assert_eq!(reserve(&ledger, &charge(&[&budget], largest)).await, None);
    let settled = settle(&ledger, &one, largest).await;
    assert_eq!(settled.charged, units(10));
    check(&ledger, &budget, 10, 0).await;
    let zero = total(0);
    for amount in [Amount::ZERO, units(1)] {
        assert_eq!(reserve(&ledger, &charge(&[&zero], amount)).await, None, "it lets nothing pass");
    }
    let everything = owned(Budget::new(largest, BudgetWindow::Total));
    let all = charge(&[&everything], largest);
    reserve(&ledger, &all).await.expect("room");
    assert_eq!(reserve(&ledger, &charge(&[&everything], Amount::from_fractions(1))).await, None);
    settle(&ledger, &all, largest).await;
    assert_eq!(state(&ledger, &everything).await.used, largest);
}
