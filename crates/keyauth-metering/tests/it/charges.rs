//! What requests are charged, however they end.

use std::sync::Arc;
use std::time::Duration;

use keyauth_core::{
    Amount, Answered, Authenticator, Budget, BudgetMode, CallDetails, ChargeId, Directory, Group,
    GroupId, GroupKind, KeyStore, LedgerErrorKind, MemoryStore, NewKey, Owner, OwnerId,
    RequestFacts, TenantId,
};
use keyauth_metering::LedgerMeter;
use keyauth_testkit::FakeClock;

use super::world::{Watched, World, total, units};

#[tokio::test]
async fn what_was_counted_is_charged_and_the_rest_given_back() {
    let world = World::new([total(10)]).await;
    let (charge, hold) = world.request().await;
    charge.reserve(units(6)).await.expect("an answer").expect("room");
    world.wait_for(Amount::ZERO, units(6)).await;
    assert!(!charge.is_spent());
    charge.add(units(1));
    charge.add(units(1));
    // Whoever goes on beyond the response holds it.
    let beyond = charge.hold();
    drop(hold);
    charge.add(units(1));
    world.wait_for(Amount::ZERO, units(6)).await;
    drop(beyond);
    world.wait_for(units(3), Amount::ZERO).await;
    // Nobody settles what comes later, so nothing is reserved.
    charge.add(units(5));
    let error = charge.reserve(units(1)).await.expect_err("it is closed");
    assert_eq!(error.kind(), LedgerErrorKind::Unavailable);
    drop(charge.hold());
    let ledger = world.shutdown().await;
    assert_eq!(ledger.reserved(), 1);
}

#[tokio::test]
async fn where_nothing_was_counted_an_answer_costs_what_was_reserved() {
    let world = World::new([total(10)]).await;
    let (charge, hold) = world.request().await;
    charge.reserve(units(2)).await.expect("an answer").expect("room");
    charge.answered(Answered::Served(200));
    drop(hold);
    world.wait_for(units(2), Amount::ZERO).await;
    let (charge, hold) = world.request().await;
    charge.reserve(units(2)).await.expect("an answer").expect("room");
    drop(hold);
    world.wait_for(units(2), Amount::ZERO).await;
    // Nothing was reserved, and so nothing is charged.
    let (charge, hold) = world.request().await;
    charge.answered(Answered::Served(200));
    drop(hold);
    let ledger = world.shutdown().await;
    assert_eq!(ledger.reserved(), 2);
}

/// What is beyond what was reserved is charged as far as there is room; so is what was not.
#[tokio::test]
async fn what_is_beyond_is_charged_as_far_as_there_is_room() {
    let world = World::new([total(10)]).await;
    let (charge, hold) = world.request().await;
    charge.reserve(units(4)).await.expect("an answer").expect("room");
    charge.add(units(4));
    assert!(charge.is_spent(), "it is time to stop, or to reserve more");
    charge.reserve(units(2)).await.expect("an answer").expect("room");
    assert!(!charge.is_spent());
    charge.add(units(3));
    assert!(charge.is_spent());
    drop(hold);
    world.wait_for(units(7), Amount::ZERO).await;
    let (charge, hold) = world.request().await;
    charge.add(units(5));
    drop(hold);
    world.wait_for(units(10), Amount::ZERO).await;
    assert_eq!(world.state().await.overrun, units(2));
    assert!(!world.spend(units(1), units(1)).await);
    world.shutdown().await;
}

#[tokio::test]
async fn prices_are_multiplied_by_what_the_group_or_the_owner_says() {
    let store = MemoryStore::new();
    let tenant = TenantId::default();
    let plan = GroupId::new("plan").expect("a group");
    let group = Group::new(tenant.clone(), plan, GroupKind::Standard);
    let rate_multiplier = "0.5".parse().expect("a multiplier");
    store.put_group(&Group { rate_multiplier, ..group }).await.expect("a group");
    let key = NewKey::named("priced").owner("ada").group("plan").budget(total(100));
    let key = store.issue(key).await.expect("a key");
    let world = World::of(store.clone(), Watched::default(), key.into());
    assert!(world.spend(units(8), units(5)).await);
    world.wait_for("2.5".parse().expect("an amount"), Amount::ZERO).await;
    let owner = Owner::new(tenant, OwnerId::new("ada").expect("an owner"));
    let rate_multiplier = Some("3".parse().expect("a multiplier"));
    store.put_owner(&Owner { rate_multiplier, ..owner }).await.expect("an owner");
    let (charge, hold) = world.request().await;
    charge.reserve(units(7)).await.expect("an answer").expect("room");
    world.wait_for("2.5".parse().expect("an amount"), units(21)).await;
    charge.set(units(5));
    drop(hold);
    world.wait_for("17.5".parse().expect("an amount"), Amount::ZERO).await;
    world.shutdown().await;
}

/// M4: what the application has a name for is charged once, here and elsewhere.
#[tokio::test]
async fn what_has_a_name_is_charged_once() {
    let leased = Budget { name: "leased".to_owned(), mode: BudgetMode::Leased, ..total(10) };
    let here = World::new([total(10), leased]).await;
    let there = World::of(here.store.clone(), here.ledger.clone(), here.key.clone());
    let name = ChargeId::new("invoice-7").expect("a name");
    for world in [&here, &there, &here] {
        let (charge, hold) = world.request().await;
        charge.reserve_as(name.clone(), units(4)).await.expect("an answer").expect("room");
        charge.set(units(3));
        drop(hold);
        world.wait_for(units(3), Amount::ZERO).await;
    }
    let (charge, _hold) = here.request().await;
    let other = charge.reserve_as(name, units(5)).await.expect_err("another charge");
    assert_eq!(other.kind(), LedgerErrorKind::Conflict);
    let negative = charge.reserve(units(-1)).await.expect_err("negative");
    assert_eq!(negative.kind(), LedgerErrorKind::Invalid);
    let states = here.ledger.ledger.clone();
    let states = keyauth_core::Ledger::states(&states, &here.budgets().await).await;
    let used: Vec<_> = states.expect("an answer").iter().map(|state| state.used).collect();
    assert_eq!(used, [units(3), units(3)]);
    there.shutdown().await;
}

/// M4: who has the same name and fails takes nothing away from who goes on.
#[tokio::test]
async fn a_name_that_fails_here_goes_on_there() {
    let here = World::new([total(10)]).await;
    let there = World::of(here.store.clone(), here.ledger.clone(), here.key.clone());
    let name = ChargeId::new("job").expect("a name");
    let (going_on, hold) = here.request().await;
    going_on.reserve_as(name.clone(), units(4)).await.expect("an answer").expect("room");
    let (fails, failed) = there.request().await;
    fails.reserve_as(name.clone(), units(4)).await.expect("an answer").expect("it is reserved");
    drop(failed);
    let (conflicts, _hold) = here.request().await;
    conflicts.reserve_as(name, units(5)).await.expect_err("another amount");
    here.wait_for(units(0), units(4)).await;
    there.shutdown().await;
    going_on.add(units(4));
    drop(hold);
    here.wait_for(units(4), units(0)).await;
    here.shutdown().await;
}

#[tokio::test]
async fn a_key_without_budgets_reserves_everything_and_asks_nobody() {
    let world = World::new([]).await;
    let (charge, hold) = world.request().await;
    charge.reserve(Amount::MAX).await.expect("an answer").expect("nothing refuses");
    charge.add(Amount::MAX);
    assert!(!charge.is_spent());
    drop(hold);
    assert_eq!(world.shutdown().await.reserved(), 0);
}

/// Nothing is reserved that nobody would settle.
#[tokio::test]
async fn a_meter_that_was_not_started_reserves_nothing() {
    let store = MemoryStore::new();
    let key = store.issue(NewKey::named("any").budget(total(1))).await.expect("a key");
    let ledger = Watched::default();
    let auth = Authenticator::new(store).with_meter(LedgerMeter::new(ledger.clone()));
    let verified = auth.verify(key.reveal(), &RequestFacts::new()).await.expect("an answer");
    let (charge, _hold) =
        auth.charge(&verified.expect("admitted"), CallDetails::default).expect("there is a meter");
    let error = charge.reserve(units(1)).await.expect_err("nobody settles");
    let source = std::error::Error::source(&error).expect("a source").to_string();
    assert!(source.contains("Authenticator::start"), "{source}");
    assert_eq!(ledger.reserved(), 0);
}

/// M15: a stream of minutes keeps what it has reserved.
#[tokio::test(start_paused = true)]
async fn what_is_under_way_is_renewed() {
    let clock = Arc::new(FakeClock::default());
    let ledger = Watched::by(Arc::clone(&clock) as _);
    let world = World::over(MemoryStore::new(), ledger, [total(10)]).await;
    let (charge, hold) = world.request().await;
    charge.reserve(units(6)).await.expect("an answer").expect("room");
    let before = world.ledger.renewed();
    for _ in 0..300 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        clock.advance(Duration::from_secs(1));
    }
    let renewed = world.ledger.renewed() - before;
    assert!((14..=16).contains(&renewed), "{renewed} times in five minutes");
    assert_eq!(world.state().await.reserved, units(6));
    charge.add(units(6));
    drop(hold);
    assert_eq!(world.shutdown().await.reserved(), 1);
}
