//! What is noted of changes that nobody asked a store for.

use keyauth_core::{
    Actor, AuditAction, AuditEntry, AuditLog, AuditQuery, AuditedThing, Budget, BudgetWindow,
    ChargedBudget, KeyStore, KeyUpdate, Ledger, LimitedSubject, NewKey, Subject,
};
use keyauth_postgres::sqlx::{self, AssertSqlSafe};

use super::ledger::{self, reserve, units};
use super::world::{World, execute};

async fn last(world: &World, count: u16) -> Vec<AuditEntry> {
    world.store.audit(&AuditQuery::last_of_all(count)).await.expect("the store answers")
}

#[tokio::test]
async fn statements_by_hand_are_noted_with_who_was_logged_in() {
    let world = World::create().await;
    let key = world.issue(NewKey::named("noted")).await;
    let mut psql = world.psql().await;
    execute(&mut psql, "UPDATE keyauth.keys SET status = 'disabled', hint = 'other'").await;
    let [entry] = &last(&world, 1).await[..] else { panic!("nothing was noted") };
    assert_eq!((entry.what, entry.action), (AuditedThing::Key, AuditAction::Changed));
    assert_eq!((&entry.subject, &entry.actor), (&Subject::Key(key.id()), &None));
    assert_eq!(entry.before.len(), 2, "{entry:?}");
    let user: String =
        sqlx::query_scalar("SELECT session_user::text").fetch_one(&mut psql).await.expect("a user");
    assert_eq!(entry.database_user.as_deref(), Some(user.as_str()));
    // Whoever says by hand who he is, is believed as far as a store is, for as long as he says.
    execute(
        &mut psql,
        "BEGIN; SET LOCAL keyauth_audit.actor = 'ops:joe'; \
         UPDATE keyauth.keys SET status = 'active'; COMMIT; \
         UPDATE keyauth.keys SET status = 'disabled'",
    )
    .await;
    let entries = last(&world, 2).await;
    assert_eq!(entries[1].actor, Some(Actor::new("ops:joe").expect("an actor")));
    assert_eq!(entries[0].actor, None);
    let unprintable = "BEGIN; SET LOCAL keyauth_audit.actor = E'a\\nb'; \
                       UPDATE keyauth.keys SET status = 'active'; COMMIT";
    let refused = sqlx::raw_sql(AssertSqlSafe(unprintable)).execute(&mut psql).await;
    assert!(refused.is_err(), "nobody writes another line into a log");
    execute(&mut psql, "ROLLBACK").await;
    assert_eq!(last(&world, 9).await[0], entries[0]);

    execute(&mut psql, "TRUNCATE keyauth.keys CASCADE").await;
    let entries = last(&world, 2).await;
    for entry in &entries {
        assert_eq!((&entry.subject, entry.action), (&Subject::Everything, AuditAction::Deleted));
        assert_eq!(entry.tenant, None);
    }
}

/// Whoever puts a digest of his own in the place of another has the key; whoever takes another's
/// place on a list is in the group.
#[tokio::test]
async fn what_changes_hands_is_noted() {
    let world = World::create().await;
    let key = world.issue(NewKey::named("noted")).await;
    world.run("UPDATE keyauth.secrets SET digest = sha256('mine')").await;
    let entries = last(&world, 1).await;
    assert_eq!(
        (entries[0].what, &entries[0].subject),
        (AuditedThing::Secret, &Subject::Key(key.id()))
    );
    assert_eq!(entries[0].after.get("digest"), Some(&"hidden".into()), "{entries:?}");
    assert!(entries[0].after.contains_key("id"), "which one: {entries:?}");

    world
        .run(
            "INSERT INTO keyauth.groups (tenant, id) VALUES ('default', 'club'); \
             INSERT INTO keyauth.owners (tenant, id) VALUES ('default', 'ada'), ('default', 'eve'); \
             INSERT INTO keyauth.memberships VALUES ('default', 'club', 'ada'); \
             UPDATE keyauth.memberships SET owner = 'eve'",
        )
        .await;
    let entries = last(&world, 2).await;
    let mut moved: Vec<_> = entries
        .iter()
        .map(|entry| format!("{:?} {:?} {:?}", entry.subject, entry.what, entry.action))
        .collect();
    moved.sort();
    let owner = |id: &str| format!("Owner(TenantId(default), OwnerId({id}))");
    let expected = [
        format!("{} Membership Deleted", owner("ada")),
        format!("{} Membership Created", owner("eve")),
    ];
    assert_eq!(moved, expected);
    assert!(entries.iter().all(|entry| format!("{entry:?}").contains("club")), "{entries:?}");
}

#[tokio::test]
async fn a_change_of_many_is_noted_of_each() {
    let world = World::create().await;
    world
        .run(
            "INSERT INTO keyauth.keys (id, tenant, owner, name, hint) \
             SELECT gen_random_uuid(), 'default', 'default', 'one of many', 'sk' \
             FROM generate_series(1, 5000)",
        )
        .await;
    world.run("UPDATE keyauth.keys SET status = 'disabled', name = 'renamed'").await;
    world.run("UPDATE keyauth.keys SET status = 'disabled'").await;
    let count = "SELECT count(*) FROM keyauth.audit WHERE action = 'changed' \
                 AND after = '{\"name\": \"renamed\", \"status\": \"disabled\"}'";
    let count = sqlx::query_scalar(count).fetch_one(world.store.pool()).await;
    assert_eq!(count.ok(), Some(5_000_i64));
    let all = sqlx::query_scalar("SELECT count(*) FROM keyauth.audit WHERE action = 'changed'");
    assert_eq!(all.fetch_one(world.store.pool()).await.ok(), Some(5_000_i64), "and once");
}

/// A connection that a pool lends to others says nothing of whoever had it before.
#[tokio::test]
async fn nobody_acts_as_who_came_before() {
    let world = World::create().await;
    let key = world.issue(NewKey::named("noted")).await;
    let acting = world.store.acting_as(Actor::new("admin").expect("an actor"));
    for round in 0..10 {
        let update = || KeyUpdate::new().name(format!("name {round}"));
        acting.update(&key, update()).await.expect("valid");
        acting.update(&key, KeyUpdate::new().group("none")).await.expect_err("no such group");
        world.store.update(&key, update().scopes([format!("s:{round}")])).await.expect("valid");
        let entries = last(&world, 2).await;
        assert_eq!((entries[0].actor.is_some(), entries[1].actor.is_some()), (false, true));
    }
}

#[tokio::test]
async fn that_a_budget_was_reset_is_noted() {
    let world = World::create().await;
    let seen = last(&world, 100).await.len();
    ledger::charge_and_reset(&world.store.acting_as(Actor::new("ops").expect("an actor"))).await;
    let entries = last(&world, 100).await;
    let resets: Vec<_> = entries[..entries.len() - seen]
        .iter()
        .filter(|entry| entry.what == AuditedThing::Budget)
        .collect();
    let [reset] = resets[..] else { panic!("{entries:?}") };
    assert_eq!(reset.actor.as_ref().map(Actor::as_str), Some("ops"));
    assert_eq!(reset.before.get("used"), Some(&1_000_000_000.into()), "ten units");
    assert_eq!(reset.after.get("used"), Some(&0.into()));
}

/// A window that ends is nobody's doing, and neither is a late settling.
#[tokio::test]
async fn what_is_used_is_not_noted() {
    let world = World::create().await;
    let store = &world.store;
    let day = Budget::new(units(10), BudgetWindow::Day);
    let budget = ChargedBudget { subject: LimitedSubject::Other("nobody".into()), budget: day };
    let seen = last(&world, 100).await.len();
    for _ in 0..3 {
        let charge = reserve(store, &budget, units(10)).await.expect("a window of its own");
        world.run("UPDATE keyauth.accounts SET ends_at = now() - interval '1 second'").await;
        store.settle(&charge, units(10)).await.expect("settled");
        assert_eq!(reserve(store, &budget, units(10)).await, None, "it is of the present window");
        world.run("UPDATE keyauth.accounts SET ends_at = now() - interval '1 second'").await;
    }
    assert_eq!(last(&world, 100).await.len(), seen);
    // Of a subject that is nobody's, too, it is noted that it was begun anew.
    let charge = reserve(store, &budget, units(10)).await.expect("room");
    store.settle(&charge, units(7)).await.expect("settled");
    store.reset(&budget).await.expect("reset");
    store.reset(&budget).await.expect("nothing is left to reset");
    let entries = last(&world, 100).await;
    assert_eq!(entries.len() - seen, 1, "{entries:?}");
    assert_eq!((&entries[0].subject, &entries[0].tenant), (&Subject::Everything, &None));
    assert_eq!(entries[0].before.get("used"), Some(&700_000_000.into()));
}
