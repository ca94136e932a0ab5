//! The feed, with everything that can happen to a connection and a transaction.

use std::time::Duration;

use keyauth_core::{
    Change, ChangeFeed, Continuity, FeedPage, FeedReader, IssuedKey, KeyId, KeyStore, NewKey,
    Subject,
};
use keyauth_postgres::sqlx::{self, Connection};
use keyauth_postgres::{PostgresFeedReader, PostgresStore};
use keyauth_testkit::{FaultProxy, PostgresServer, Wire};

use super::world::{ADMITTED, REVOKED, Served, World, execute, instance};

/// The keys a page tells of.
fn keys(page: &FeedPage) -> Vec<KeyId> {
    let key = |change: &Change| match change {
        Change::Raised(Subject::Key(id), _) => Some(*id),
        _ => None,
    };
    page.changes.iter().filter_map(key).collect()
}

fn disable(key: &IssuedKey) -> String {
    format!("UPDATE keyauth.keys SET status = 'disabled' WHERE id = '{}'", key.id())
}

#[tokio::test]
async fn changes_are_told_when_they_commit_whatever_their_order() {
    let world = World::create().await;
    let (first, second) =
        (world.issue(NewKey::named("a")).await, world.issue(NewKey::named("b")).await);
    let mut reader = world.store.reader(instance("reader").0);
    reader.poll().await.expect("a page");

    // The one that began first, and has the lower number, commits last.
    let (mut slow, mut quick) = (world.psql().await, world.psql().await);
    let mut slow = slow.begin().await.expect("begun");
    execute(&mut slow, disable(&first)).await;
    let page = reader.poll().await.expect("a page");
    assert_eq!(keys(&page), [], "nothing that may yet be taken back is told");
    execute(&mut quick, disable(&second)).await;
    assert_eq!(keys(&reader.poll().await.expect("a page")), [second.id()]);
    assert_eq!(keys(&reader.poll().await.expect("a page")), []);
    slow.commit().await.expect("committed");
    let page = reader.poll().await.expect("a page");
    assert_eq!((keys(&page), page.continuity), (vec![first.id()], Continuity::Unbroken));

    let mut psql = world.psql().await;
    let mut undone = psql.begin().await.expect("begun");
    execute(&mut undone, "UPDATE keyauth.keys SET status = 'active'").await;
    reader.poll().await.expect("a page");
    undone.rollback().await.expect("rolled back");
    assert_eq!(keys(&reader.poll().await.expect("a page")), [], "it did not happen");
}

#[tokio::test]
async fn a_session_that_ends_is_replaced_and_nothing_is_missed() {
    let world = World::create().await;
    let key = world.issue(NewKey::named("a")).await;
    let mut reader = world.store.reader(instance("reader").0);
    reader.poll().await.expect("a page");
    for _ in 0..3 {
        world
            .run(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
             WHERE datname = current_database() AND pid <> pg_backend_pid()",
            )
            .await;
        world.run("UPDATE keyauth.keys SET status = CASE status WHEN 'active' THEN 'disabled' ELSE 'active' END").await;
        let mut page = reader.poll().await;
        if page.is_err() {
            page = reader.poll().await;
        }
        let page = page.expect("a page from another session");
        assert_eq!(page.continuity, Continuity::Unbroken, "all that is kept is told again");
        assert!(keys(&page).contains(&key.id()));
    }
}

#[tokio::test]
async fn a_connection_that_is_half_open_is_given_up() {
    // F3
    let world = World::create().await;
    let key = world.issue(NewKey::named("a")).await;
    let proxy = FaultProxy::to(world.database.url()).await;
    let through = proxy.url().parse().expect("a URL");
    let store = world.store.clone().with_direct(through);
    let mut reader = store.reader(instance("reader").0);
    reader.poll().await.expect("a page");
    proxy.set_wire(Wire::Dead);
    world.run(disable(&key)).await;
    let waiting = tokio::time::timeout(Duration::from_millis(100), reader.hint()).await;
    assert!(waiting.is_err(), "no sign comes through");
    reader.poll().await.expect_err("given up after a second");
    proxy.set_wire(Wire::Whole);
    let page = reader.poll().await.expect("a page");
    assert_eq!(page.continuity, Continuity::Unbroken);
    assert!(keys(&page).contains(&key.id()));
    proxy.set_wire(Wire::Cut);
    reader.poll().await.expect_err("cut");
    proxy.set_wire(Wire::Whole);
    reader.poll().await.expect("a page");
}

#[tokio::test]
async fn a_served_key_is_refused_although_the_listening_connection_is_half_open() {
    // F3: lookups get through, polls do not.
    let world = World::create().await;
    let key = world.issue(NewKey::named("a")).await;
    let proxy = FaultProxy::to(world.database.url()).await;
    let store = PostgresStore::connect(world.database.url()).await.expect("a server");
    let store = store.with_direct(proxy.url().parse().expect("a URL"));
    let options = keyauth_cache::CacheOptions::new().max_staleness(Duration::from_secs(1));
    let served = Served::start(store, options);
    served.wait_for(&key, ADMITTED).await;
    proxy.set_wire(Wire::Dead);
    world.store.revoke(&key).await.expect("revoked");
    served.wait_for(&key, REVOKED).await;
    proxy.set_wire(Wire::Whole);
    served.background.shutdown().await;
}

#[tokio::test]
async fn a_change_is_a_hint_and_without_hints_there_are_polls() {
    let world = World::create().await;
    let key = world.issue(NewKey::named("a")).await;
    let mut reader = world.store.reader(instance("reader").0);
    reader.poll().await.expect("a page");
    world.run(disable(&key)).await;
    let hinted = tokio::time::timeout(Duration::from_secs(20), reader.hint()).await;
    assert!(hinted.is_ok());
    assert_eq!(keys(&reader.poll().await.expect("a page")), [key.id()]);

    // As behind a pooler that passes on no notifications.
    world.run("ALTER TABLE keyauth.invalidations DISABLE TRIGGER hint").await;
    let key = world.issue(NewKey::named("b")).await;
    let served = world.serve().await;
    served.wait_for(&key, ADMITTED).await;
    world.store.revoke(&key).await.expect("revoked");
    served.wait_for(&key, REVOKED).await;
}

#[tokio::test]
async fn what_may_have_been_trimmed_unread_breaks_the_feed() {
    let world = World::create().await;
    let (about, clock) = instance("reader");
    let mut reader = world.store.reader(about);
    assert_eq!(reader.poll().await.expect("a page").continuity, Continuity::Broken, "the first");
    clock.advance(Duration::from_secs(29 * 60));
    assert_eq!(reader.poll().await.expect("a page").continuity, Continuity::Unbroken);
    clock.advance(Duration::from_secs(31 * 60));
    assert_eq!(
        reader.poll().await.expect("a page").continuity,
        Continuity::Broken,
        "half of an hour"
    );
    assert_eq!(reader.poll().await.expect("a page").continuity, Continuity::Unbroken);
}

#[tokio::test]
async fn changes_are_kept_for_the_history_and_then_trimmed() {
    let world = World::create().await;
    world.issue(NewKey::named("a")).await;
    let (about, clock) = instance("reader");
    let mut reader = world.store.reader(about);
    let kept = async |reader: &mut PostgresFeedReader| -> i64 {
        clock.advance(Duration::from_secs(61));
        reader.poll().await.expect("a page");
        reader.acknowledge().await.expect("acknowledged");
        let count = sqlx::query_scalar("SELECT count(*) FROM keyauth.invalidations");
        count.fetch_one(world.store.pool()).await.expect("a count")
    };
    let all = kept(&mut reader).await;
    assert!(all > 0);
    // Long ago written, and just now seen: as when a transaction was long.
    world.run("UPDATE keyauth.invalidations SET changed_at = now() - interval '1 day', seen_at = NULL").await;
    assert_eq!(kept(&mut reader).await, all);
    world.run("UPDATE keyauth.invalidations SET seen_at = now() - interval '59 minutes'").await;
    assert_eq!(kept(&mut reader).await, all);
    world.run("UPDATE keyauth.invalidations SET seen_at = now() - interval '61 minutes'").await;
    assert_eq!(kept(&mut reader).await, 0);
}

#[tokio::test]
async fn the_age_of_a_change_is_that_of_its_commit_where_the_server_knows() {
    let long = Duration::from_secs(1);
    for (setting, from_commit) in [("on", true), ("off", false)] {
        let setting = format!("track_commit_timestamp={setting}");
        let server = PostgresServer::start(&[&setting]).await;
        let store = PostgresStore::connect(&server.url()).await.expect("a server");
        store.migrate().await.expect("a schema");
        let key = store.issue(NewKey::named("a")).await.expect("a key");
        let mut reader = store.reader(instance("reader").0);
        assert!(reader.poll().await.expect("a page").ages.is_empty(), "nobody knows of the past");
        let mut transaction = store.pool().begin().await.expect("begun");
        execute(&mut transaction, disable(&key)).await;
        tokio::time::sleep(long).await;
        transaction.commit().await.expect("committed");
        let page = reader.poll().await.expect("a page");
        assert_eq!(keys(&page), [key.id()]);
        let age = page.ages.first().expect("its age");
        assert_eq!(*age < long, from_commit, "{setting}: {age:?}");
    }
}

#[tokio::test]
async fn another_namespace_is_another_history() {
    let world = World::create().await;
    let mut reader = world.store.reader(instance("reader").0);
    let before = reader.poll().await.expect("a page").origin;
    world.run("UPDATE keyauth.deployment SET namespace = gen_random_uuid()").await;
    reader.poll().await.expect_err("the session was of another one");
    let page = reader.poll().await.expect("a page");
    assert_eq!(page.continuity, Continuity::Broken);
    assert_ne!(page.origin, before);
    assert!(!format!("{:?}", page.origin).contains("seal: ["), "the seal never prints");
}

#[tokio::test]
async fn a_replica_is_no_place_to_read_the_feed() {
    // Told apart by what it says of itself: here by a function in the way of the real one.
    let world = World::create().await;
    world
        .run(
            "CREATE SCHEMA fake; CREATE FUNCTION fake.pg_is_in_recovery() RETURNS boolean \
               LANGUAGE sql AS 'SELECT true'",
        )
        .await;
    let options = world.database.url().parse::<sqlx::postgres::PgConnectOptions>().expect("a URL");
    let store = world
        .store
        .clone()
        .with_direct(options.options([("search_path", "fake,pg_catalog,public")]));
    let mut reader = store.reader(instance("reader").0);
    let error = reader.poll().await.expect_err("refused");
    let source = std::error::Error::source(&error).expect("a reason").to_string();
    assert!(source.contains("replica"), "{source}");
}
