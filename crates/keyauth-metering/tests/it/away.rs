//! Ledgers that are away, or slow, and callers who go away.

use std::time::Duration;

use keyauth_core::{Amount, BudgetMode, KeyStore, LedgerErrorKind, NewKey};
use tokio::time::{sleep, timeout};

use super::world::{PATIENCE, STUCK, World, total, units};

/// No answer is not "no"; what is under way is settled when the ledger is back.
#[tokio::test]
async fn what_ends_while_the_ledger_is_away_is_settled_later() {
    let world = World::new([total(10)]).await;
    let (charge, hold) = world.request().await;
    charge.reserve(units(5)).await.expect("an answer").expect("room");
    world.ledger.be_away(true);
    let (other, _hold) = world.request().await;
    let error = other.reserve(units(1)).await.expect_err("no answer");
    assert_eq!(error.kind(), LedgerErrorKind::Unavailable);
    charge.add(units(4));
    drop(hold);
    sleep(Duration::from_millis(300)).await;
    world.wait_for(Amount::ZERO, units(5)).await;
    world.ledger.be_away(false);
    world.wait_for(units(4), Amount::ZERO).await;
    world.shutdown().await;
}

#[tokio::test]
async fn shutting_down_settles_all_that_has_ended() {
    for mode in [BudgetMode::Hard, BudgetMode::Leased] {
        let world = World::new([total(10_000).in_mode(mode)]).await;
        world.ledger.be_silent(true);
        let asking: Vec<_> = (0..20).map(|_| world.request()).collect();
        world.ledger.be_silent(false);
        for request in asking {
            let (charge, _hold) = request.await;
            charge.reserve(units(9)).await.expect("an answer").expect("room");
            charge.add(units(7));
        }
        let budgets = world.budgets().await;
        let ledger = world.shutdown().await;
        let states = keyauth_core::Ledger::states(&ledger, &budgets).await.expect("an answer");
        assert_eq!((states[0].used, states[0].reserved), (units(140), Amount::ZERO), "{mode:?}");
    }
}

/// Whoever goes away while he waits leaves nothing reserved behind, whatever the ledger had done
/// for him; and nobody waits for longer than a second.
#[tokio::test]
async fn who_goes_away_leaves_nothing_reserved() {
    for mode in [BudgetMode::Hard, BudgetMode::Leased] {
        let world = World::new([total(1_000).in_mode(mode)]).await;
        world.ledger.be_silent(true);
        for _ in 0..5 {
            let (charge, _hold) = world.request().await;
            let gone = timeout(Duration::from_millis(20), charge.reserve(units(1))).await;
            gone.expect_err("it is silent");
        }
        let (charge, _hold) = world.request().await;
        let late = timeout(PATIENCE, charge.reserve(units(1))).await.expect("in time");
        assert_eq!(late.expect_err("no answer").kind(), LedgerErrorKind::Unavailable);
        world.ledger.be_silent(false);
        let budgets = world.budgets().await;
        if mode == BudgetMode::Hard {
            world.wait_for(Amount::ZERO, Amount::ZERO).await;
        }
        let ledger = world.shutdown().await;
        let states = keyauth_core::Ledger::states(&ledger, &budgets).await.expect("an answer");
        assert_eq!((states[0].used, states[0].reserved), Default::default(), "{mode:?}");
    }
}

/// A meter that nobody has shut down gives back what it has taken ahead.
#[tokio::test]
async fn who_is_dropped_gives_back_what_he_took_ahead() {
    let dropped = World::new([total(1_000).in_mode(BudgetMode::Leased)]).await;
    let other = World::of(dropped.store.clone(), dropped.ledger.clone(), dropped.key.clone());
    assert!(dropped.spend(units(5), units(2)).await);
    assert!(other.state().await.reserved > Amount::ZERO);
    drop(dropped);
    other.wait_for(units(2), Amount::ZERO).await;
    other.shutdown().await;
}

/// A server that has gone, and its authenticator with it, has left nothing unsettled when its
/// background work is shut down.
#[tokio::test]
async fn what_ended_last_is_settled_though_the_service_is_gone() {
    for mode in [BudgetMode::Hard, BudgetMode::Leased] {
        let world = World::new([total(100).in_mode(mode)]).await;
        let budgets = world.budgets().await;
        let (charge, hold) = world.request().await;
        charge.reserve(units(5)).await.expect("an answer").expect("room");
        charge.add(units(3));
        world.ledger.be_silent(true);
        drop((charge, hold));
        let ledger = world.ledger.clone();
        let back = ledger.clone();
        tokio::spawn(async move {
            sleep(Duration::from_millis(300)).await;
            back.be_silent(false);
        });
        world.shutdown_without_service().await;
        let states = keyauth_core::Ledger::states(&ledger, &budgets).await.expect("an answer");
        assert_eq!((states[0].used, states[0].reserved), (units(3), Amount::ZERO), "{mode:?}");
    }
}

/// What a ledger has forgotten is booked all the same, once.
#[tokio::test]
async fn what_was_forgotten_is_booked() {
    let world = World::new([total(10)]).await;
    let (charge, hold) = world.request().await;
    charge.reserve(units(4)).await.expect("an answer").expect("room");
    world.ledger.be_forgetful();
    charge.add(units(4));
    drop(hold);
    world.wait_for(units(4), Amount::ZERO).await;
    world.shutdown().await;
}

/// One account that nothing is answered about keeps nobody from another.
#[tokio::test]
async fn an_account_in_trouble_is_in_nobodys_way() {
    let stuck = World::new([total(1_000).named(STUCK)]).await;
    let key = NewKey::named("other").budget(total(1_000));
    let key = stuck.store.issue(key).await.expect("a key");
    let mut waiting = Vec::new();
    for _ in 0..100 {
        let (charge, hold) = stuck.request().await;
        waiting.push(tokio::spawn(async move {
            let _hold = hold;
            charge.reserve(units(1)).await.map(|_| ())
        }));
    }
    tokio::task::yield_now().await;
    for _ in 0..50 {
        assert!(stuck.spend_of(&key, units(1), units(1)).await);
    }
    for one in waiting {
        let error = one.await.expect("no panic").expect_err("no answer");
        assert_eq!(error.kind(), LedgerErrorKind::Unavailable);
    }
}
