//! Waiting until every instance has heard, and who has not.

use std::time::Duration;

use keyauth_core::{ChangeFeed, FeedReader, Instance, NewKey, Propagation, Subject, TenantId};
use keyauth_postgres::sqlx;
use tokio::time::timeout;

use super::world::{REVOKED, World, instance};

const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_waiting_revoke_returns_when_all_have_acknowledged() {
    let world = World::create().await;
    let served = [world.serve().await, world.serve().await];
    for _ in 0..20 {
        let key = world.issue(NewKey::named("short-lived")).await;
        for served in &served {
            served.wait_for(&key, Ok(Ok(()))).await;
        }
        let (_, propagation) = world.store.revoke_and_wait(&key, PATIENCE).await.expect("revoked");
        assert_eq!(propagation, Propagation::Acknowledged);
        for served in &served {
            assert_eq!(served.verify(&key).await, REVOKED);
        }
    }
    let [first, second] = served;
    first.background.shutdown().await;
    second.background.shutdown().await;
    assert_eq!(registered(&world).await, 0, "who leaves in order is not waited for");
}

async fn registered(world: &World) -> i64 {
    let count = sqlx::query_scalar("SELECT count(*) FROM keyauth.instances");
    count.fetch_one(world.store.pool()).await.expect("a count")
}

#[tokio::test]
async fn who_leaves_in_the_midst_of_a_poll_is_not_waited_for() {
    let world = World::create().await;
    let mut reader = world.store.reader(instance("leaving").0);
    reader.poll().await.expect("a page");
    assert_eq!(registered(&world).await, 1);
    timeout(Duration::ZERO, reader.poll()).await.expect_err("it is given up");
    reader.leave().await;
    assert_eq!(registered(&world).await, 0);
}

#[tokio::test]
async fn who_has_not_acknowledged_is_named() {
    let world = World::create().await;
    let key = world.issue(NewKey::named("short-lived")).await;
    let mut deaf = world.store.reader(instance("deaf").0);
    deaf.poll().await.expect("a page");
    let short = Duration::from_millis(50);
    let (_, propagation) = world.store.revoke_and_wait(&key, short).await.expect("revoked");
    assert_eq!(propagation, Propagation::TimedOut { missing: vec!["deaf".into()] });
    assert!(!propagation.is_complete());
    // A poll that was not acknowledged may not have been applied.
    deaf.poll().await.expect("a page");
    let subject = Subject::Key(key.id());
    let still = world.store.propagated(&subject, short).await.expect("an answer");
    assert_eq!(still, propagation);
    deaf.acknowledge().await.expect("acknowledged");
    let now = world.store.propagated(&subject, short).await.expect("an answer");
    assert_eq!(now, Propagation::Acknowledged);
}

#[tokio::test]
async fn a_tenant_stands_for_all_that_is_in_it() {
    let world = World::create().await;
    world.issue(NewKey::named("changed by hand")).await;
    let mut deaf = world.store.reader(instance("deaf").0);
    deaf.poll().await.expect("a page");
    deaf.acknowledge().await.expect("acknowledged");
    let short = Duration::from_millis(50);
    let (tenant, other) = (TenantId::default(), TenantId::new("other").expect("a tenant"));
    world.run("UPDATE keyauth.keys SET status = 'revoked'").await;
    for (subject, heard) in [
        (Subject::Tenant(tenant), false),
        (Subject::Tenant(other), true),
        (Subject::Everything, false),
    ] {
        let found = world.store.propagated(&subject, short).await.expect("an answer");
        assert_eq!(found.is_complete(), heard, "{subject:?}");
    }
}

#[tokio::test]
async fn terms_longer_than_the_history_are_refused() {
    let world = World::create().await;
    let terms = Instance { grace: Duration::from_secs(3_600), ..instance("patient").0 };
    let mut patient = world.store.reader(terms);
    let error = patient.poll().await.expect_err("it would serve what nobody knows of");
    let error = std::error::Error::source(&error).expect("a source").to_string();
    assert!(error.contains("shorten `max_staleness`"), "{error}");
    world.run("UPDATE keyauth.deployment SET history = '2 hours'").await;
    patient.poll().await.expect("a page");
}

#[tokio::test]
async fn who_cannot_be_serving_any_more_is_not_waited_for() {
    let world = World::create().await;
    let key = world.issue(NewKey::named("short-lived")).await;
    let terms = Instance {
        max_staleness: Duration::from_millis(100),
        grace: Duration::from_millis(100),
        ..instance("killed").0
    };
    let mut killed = world.store.reader(terms);
    killed.poll().await.expect("a page");
    drop(killed);
    let (_, propagation) = world.store.revoke_and_wait(&key, PATIENCE).await.expect("revoked");
    assert_eq!(propagation, Propagation::Elapsed { missing: vec!["killed".into()] });
    assert!(propagation.is_complete());
}

#[tokio::test]
async fn who_is_silent_for_long_is_forgotten_and_comes_back() {
    let world = World::create().await;
    let mut silent = world.store.reader(instance("silent").0);
    silent.poll().await.expect("a page");
    silent.acknowledge().await.expect("acknowledged");
    let (about, clock) = instance("there");
    let mut there = world.store.reader(about);
    let names = async || -> Vec<String> {
        let names = sqlx::query_scalar("SELECT name FROM keyauth.instances ORDER BY name");
        names.fetch_all(world.store.pool()).await.expect("names")
    };
    let mut beat = async |seconds| {
        clock.advance(Duration::from_secs(seconds));
        there.poll().await.expect("a page");
        there.acknowledge().await.expect("acknowledged");
    };
    beat(0).await;
    assert_eq!(names().await, ["silent", "there"]);
    // It may serve for 65 s, and is waited for ten minutes longer.
    beat(664).await;
    assert_eq!(names().await, ["silent", "there"]);
    beat(61).await;
    assert_eq!(names().await, ["there"], "and its own beats are not forgotten");
    silent.poll().await.expect_err("it learns that it was taken for dead");
    silent.poll().await.expect("and is known again before it reads on");
    assert_eq!(names().await, ["silent", "there"]);
}
