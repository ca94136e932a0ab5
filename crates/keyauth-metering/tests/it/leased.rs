//! Budgets that are taken ahead.

use std::sync::Arc;
use std::time::Duration;

use keyauth_core::{
    Amount, BudgetMode, Clock, Ledger, MemoryLedger, MemoryStore, NewCharge, Reserved,
    WhenAbandoned,
};
use keyauth_metering::LedgerMeter;
use keyauth_testkit::FakeClock;

use super::world::{LATE, Watched, World, total, units};

const CALLS: i64 = 1_000;

#[tokio::test]
async fn most_calls_ask_nobody_and_all_of_them_are_charged() {
    let world = World::new([total(10_000).in_mode(BudgetMode::Leased)]).await;
    for call in 0..CALLS {
        assert!(world.spend(units(3), units(1 + call % 3)).await);
    }
    let asked = world.ledger.reserved();
    assert!(asked < 100, "{asked} of {CALLS}");
    let budgets = world.budgets().await;
    let ledger = world.shutdown().await;
    let states = ledger.states(&budgets).await.expect("an answer");
    let all: i64 = (0..CALLS).map(|call| 1 + call % 3).sum();
    assert_eq!(
        (states[0].used, states[0].reserved, states[0].overrun),
        (units(all), Amount::ZERO, Amount::ZERO)
    );
}

/// M1: four processes, many at once, cancels and all: what is charged adds up, and never exceeds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_at_once_never_exceed_it() {
    let first = World::new([total(500).in_mode(BudgetMode::Leased)]).await;
    let ledger = first.ledger.clone();
    let budgets = first.budgets().await;
    let mut worlds = vec![Arc::new(first)];
    for _ in 0..3 {
        let first = &worlds[0];
        let other = World::of(first.store.clone(), ledger.clone(), first.key.clone());
        worlds.push(Arc::new(other));
    }
    let mut calls = Vec::new();
    for caller in 0..32_usize {
        let world = Arc::clone(&worlds[caller % 4]);
        calls.push(tokio::spawn(async move {
            let mut spent = Amount::ZERO;
            for call in 0..40_i64 {
                let (charge, hold) = world.request().await;
                let most = units(1 + call % 4);
                match call % 7 {
                    // Who goes away at once.
                    0 => drop(tokio::time::timeout(Duration::ZERO, charge.reserve(most)).await),
                    _ if charge.reserve(most).await.expect("an answer").is_ok() => {
                        let part = Amount::from_fractions(most.as_fractions() / 3);
                        charge.add(part);
                        spent = spent.saturating_add(part);
                    }
                    _ => {}
                }
                drop(hold);
                tokio::task::yield_now().await;
            }
            spent
        }));
    }
    let mut spent = Amount::ZERO;
    for call in calls {
        spent = spent.saturating_add(call.await.expect("no panic"));
        let state = ledger.states(&budgets).await.expect("an answer")[0];
        assert!(state.used.saturating_add(state.reserved) <= state.limit, "{state:?}");
    }
    for world in worlds {
        Arc::into_inner(world).expect("no caller is left").shutdown().await;
    }
    let state = ledger.states(&budgets).await.expect("an answer")[0];
    assert_eq!((state.used, state.reserved, state.overrun), (spent, Amount::ZERO, Amount::ZERO));
    assert!(spent > units(100), "{spent}");
}

/// What is reserved long after it was asked for comes back, and is not lost.
#[tokio::test(start_paused = true)]
async fn what_is_reserved_too_late_comes_back() {
    let world = World::new([total(100).in_mode(BudgetMode::Leased)]).await;
    world.ledger.be_late(true);
    let (charge, hold) = world.request().await;
    charge.reserve(units(1)).await.expect_err("no answer");
    drop((charge, hold));
    world.ledger.be_late(false);
    tokio::time::sleep(LATE - Duration::from_secs(2)).await;
    assert_eq!(world.state().await.reserved, Amount::ZERO);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_ne!(world.state().await.reserved, Amount::ZERO, "by then it is");
    tokio::time::sleep(Duration::from_secs(10)).await;
    let state = world.state().await;
    assert_eq!((state.used, state.reserved), (Amount::ZERO, Amount::ZERO));
}

/// What one process took ahead and does not use comes to the others, and what it does use shows.
#[tokio::test(start_paused = true)]
async fn what_is_not_used_comes_back() {
    let clock = Arc::new(FakeClock::default());
    let world = World::new([total(100).in_mode(BudgetMode::Leased)]).await;
    let process = || {
        let meter = LedgerMeter::with_clock(world.ledger.clone(), Arc::clone(&clock) as _);
        World::with_meter(world.store.clone(), meter, world.ledger.clone(), world.key.clone())
    };
    let (here, there) = (process(), process());
    assert!(here.spend(units(60), units(1)).await);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(!there.spend(units(60), units(1)).await, "it is here");
    assert_eq!(there.state().await.used, Amount::ZERO);
    clock.advance(Duration::from_secs(11));
    tokio::time::sleep(Duration::from_secs(2)).await;
    let state = there.state().await;
    assert_eq!((state.used, state.reserved), (units(1), Amount::ZERO));
    assert!(there.spend(units(60), units(1)).await);
    here.shutdown().await;
    there.shutdown().await;
}

/// What a process held when it died is lost: used, on a line of its own, until an operator gives it
/// back. Settled and lost add up to used.
#[tokio::test]
async fn what_the_dead_have_held_is_lost() {
    let clock = Arc::new(FakeClock::at(keyauth_core::SystemClock::new().now()));
    let ledger = MemoryLedger::with_clock(Arc::clone(&clock) as _);
    let mut watched = Watched::default();
    watched.ledger = ledger;
    let budget = total(100).in_mode(BudgetMode::Leased);
    let dead = World::over(MemoryStore::new(), watched, [budget]).await;
    assert!(dead.spend(units(10), units(3)).await);
    let held = dead.state().await.reserved;
    assert!(held >= units(10), "{held}");
    // Nothing of it is settled any more: its ledger is gone for it.
    let live = World::of(dead.store.clone(), dead.ledger.clone(), dead.key.clone());
    dead.ledger.be_away(true);
    std::mem::forget(dead);
    clock.advance(Duration::from_secs(61));
    let state = live.state().await;
    assert_eq!((state.used, state.lost, state.reserved), (held, held, Amount::ZERO));
    let budgets = live.budgets().await;
    live.ledger.give_back_lost(&budgets[0]).await.expect("given back");
    assert_eq!(live.state().await.used, Amount::ZERO);
}

/// What others make when they hear the answer is spent with it: where a process dies before that is
/// booked it is lost, and not given back; and it is booked once by whoever tries it again.
#[tokio::test]
async fn what_the_dead_have_spent_is_not_given_back() {
    let clock = Arc::new(FakeClock::at(keyauth_core::SystemClock::new().now()));
    let mut watched = Watched::default();
    watched.ledger = MemoryLedger::with_clock(Arc::clone(&clock) as _);
    let dead = World::over(MemoryStore::new(), watched, [total(100)]).await;
    let named = || keyauth_core::ChargeId::new("invoice-7").expect("an id");
    for (id, amount) in [(None, 3), (Some(named()), 5)] {
        let (charge, hold) = dead.request().await;
        charge.spend(id, units(amount)).await.expect("an answer").expect("room");
        std::mem::forget((charge, hold));
    }
    let (reserved, hold) = dead.request().await;
    reserved.reserve(units(7)).await.expect("an answer").expect("room");
    std::mem::forget((reserved, hold));
    let live = World::of(dead.store.clone(), dead.ledger.clone(), dead.key.clone());
    std::mem::forget(dead);
    clock.advance(Duration::from_secs(61));
    let state = live.state().await;
    assert_eq!((state.used, state.lost, state.reserved), (units(8), units(8), Amount::ZERO));
    let (charge, hold) = live.request().await;
    charge.spend(Some(named()), units(5)).await.expect("an answer").expect("room");
    charge.answered(keyauth_core::Answered::Served(200));
    drop((charge, hold));
    while live.state().await.lost != units(3) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(live.state().await.used, units(8));
}

/// A budget that was lowered below what was taken ahead is not spent from there.
#[tokio::test]
async fn what_was_lowered_is_asked_for_anew() {
    use keyauth_core::{KeyRef, KeyStore, KeyUpdate};
    let world = World::new([total(100).in_mode(BudgetMode::Leased)]).await;
    assert!(world.spend(units(50), units(1)).await);
    let lowered = KeyUpdate::new().budgets([total(5).in_mode(BudgetMode::Leased)]);
    world.store.update(KeyRef::from(&*world.key), lowered).await.expect("lowered");
    assert!(!world.spend(units(6), units(6)).await);
    let budgets = world.budgets().await;
    let ledger = world.shutdown().await;
    let states = ledger.states(&budgets).await.expect("an answer");
    assert_eq!((states[0].used, states[0].reserved), (units(1), Amount::ZERO));
    let charge = NewCharge {
        id: keyauth_core::ChargeId::new("after").expect("an id"),
        budgets,
        amount: units(4),
        when_abandoned: WhenAbandoned::GivenBack,
    };
    let reserved = ledger.reserve(&charge, Duration::from_secs(60)).await.expect("an answer");
    assert!(matches!(reserved, Reserved::All(_)));
}
