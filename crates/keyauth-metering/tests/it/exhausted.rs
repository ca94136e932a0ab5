//! Budgets that are used up.

use std::time::Duration;

use keyauth_core::{Budget, BudgetMode, BudgetWindow, KeyRef, KeyStore, KeyUpdate, Ledger};

use super::world::{World, total, units};

const FLOOD: usize = 1_000;

async fn flood(world: &World) {
    for _ in 0..FLOOD {
        assert!(!world.spend(units(1), units(1)).await);
    }
}

#[tokio::test]
async fn a_flood_on_what_is_used_up_does_not_reach_the_ledger() {
    for mode in [BudgetMode::Hard, BudgetMode::Leased, BudgetMode::Soft] {
        let world = World::new([total(10).in_mode(mode)]).await;
        assert!(world.spend(units(10), units(10)).await);
        world.ledger.reserved();
        let settled = async {
            while world.spend(units(1), units(0)).await {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(super::world::PATIENCE, settled).await.expect("it is used up");
        world.ledger.reserved();
        flood(&world).await;
        // Once every five seconds, since the ledger may know of a change that nobody was told of.
        let asked = world.ledger.reserved();
        assert!(asked <= 2, "{mode:?}: {asked}");
        world.shutdown().await;
    }
}

/// M2: what is raised works with the next call, and what is reset.
#[tokio::test]
async fn what_is_raised_works_at_once() {
    let world = World::new([total(10)]).await;
    assert!(world.spend(units(10), units(10)).await);
    world.wait_for(units(10), units(0)).await;
    flood(&world).await;
    let key = KeyRef::from(&*world.key);
    let raised = KeyUpdate::new().budgets([total(11)]);
    world.store.update(key, raised).await.expect("raised");
    assert!(world.spend(units(1), units(1)).await);
    world.wait_for(units(11), units(0)).await;
    flood(&world).await;
    // This ledger knows of no versions, so a change of the key says that it was reset.
    let budget = world.budgets().await;
    world.ledger.reset(&budget[0]).await.expect("reset");
    let scoped = KeyUpdate::new().scopes(["any"]);
    world.store.update(KeyRef::from(&*world.key), scoped).await.expect("updated");
    assert!(world.spend(units(1), units(1)).await);
    world.shutdown().await;
}

/// What is told is which budget, and when its window ends.
#[tokio::test]
async fn it_says_which_budget_and_when_to_come_back() {
    let day = Budget::new(units(1), BudgetWindow::Hours(2));
    let world = World::new([total(100), day.clone()]).await;
    assert!(world.spend(units(1), units(1)).await);
    world.wait_for(units(1), units(0)).await;
    // From the ledger, and from memory.
    for _ in 0..2 {
        let (charge, _hold) = world.request().await;
        let refused = charge.reserve(units(1)).await.expect("an answer").expect_err("used up");
        assert_eq!(refused.budgets, [1]);
        let wait = refused.retry_after.expect("it begins anew");
        assert!(
            wait > Duration::from_secs(7_000) && wait <= Duration::from_secs(7_200),
            "{wait:?}"
        );
    }
    let forever = World::new([total(1), day]).await;
    let (charge, _hold) = forever.request().await;
    let refused = charge.reserve(units(2)).await.expect("an answer").expect_err("too much");
    assert_eq!((refused.budgets, refused.retry_after), (vec![0, 1], None));
    world.shutdown().await;
}

/// What is only reserved by others may come back at any moment, so it is asked for.
#[tokio::test]
async fn what_others_hold_is_asked_for_again() {
    let world = World::new([total(10)]).await;
    let (charge, hold) = world.request().await;
    charge.reserve(units(10)).await.expect("an answer").expect("room");
    assert!(!world.spend(units(1), units(1)).await);
    drop(hold);
    world.wait_for(units(0), units(0)).await;
    assert!(world.spend(units(1), units(1)).await);
    world.shutdown().await;
}
