//! Changes that the database does not make.

use keyauth_core::{KeyStore, NewKey, StoreErrorKind};
use keyauth_postgres::PostgresStore;
use keyauth_postgres::sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use super::world::{ADMITTED, REVOKED, World, execute};

#[tokio::test]
async fn a_revoke_that_fails_is_told_and_changes_nothing() {
    // R8
    let world = World::create().await;
    let key = world.issue(NewKey::named("any")).await;
    let served = world.serve().await;
    served.wait_for(&key, ADMITTED).await;
    let refuse =
        "ALTER TABLE keyauth.keys ADD CONSTRAINT none CHECK (status <> 'revoked') NOT VALID";
    world.run(refuse).await;
    let error = world.store.revoke(&key).await.expect_err("the database refuses");
    assert_eq!(*error.kind(), StoreErrorKind::Unavailable);
    for _ in 0..20 {
        assert_eq!(served.verify(&key).await, ADMITTED);
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    world.run("ALTER TABLE keyauth.keys DROP CONSTRAINT none").await;
    world.store.revoke(&key).await.expect("revoked");
    served.wait_for(&key, REVOKED).await;
}

#[tokio::test]
async fn a_change_that_meets_another_in_a_deadlock_is_made_all_the_same() {
    let world = World::create().await;
    let key = world.issue(NewKey::named("any")).await;
    // By hand, in the order that the store does not take: the secret, and then its key.
    let mut psql = world.psql().await;
    execute(
        &mut psql,
        "SET deadlock_timeout = '1h'; BEGIN; SELECT FROM keyauth.secrets FOR UPDATE",
    )
    .await;
    // Whoever waits looks once whether it is in a deadlock, after this time. It must be there
    // by then, however slow this machine is.
    let options: PgConnectOptions = world.database.url().parse().expect("a URL");
    let options = options.options([("deadlock_timeout", "5s")]);
    let pool = PgPoolOptions::new().connect_with(options).await.expect("a server");
    let store = PostgresStore::new(pool);
    let id = key.id();
    let rotating =
        tokio::spawn(async move { store.rotate(id, keyauth_core::Rotation::immediate()).await });
    // Until the rotation holds the key and waits for the secret.
    let waiting = "SELECT count(*) FROM pg_stat_activity \
                   WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let count = async || -> i64 {
        let count = sqlx::query_scalar(waiting);
        count.fetch_one(world.store.pool()).await.expect("a count")
    };
    while count().await < 1 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    // Ours is the one that notices, because the other would wait an hour before it looks.
    execute(&mut psql, "UPDATE keyauth.secrets SET ends_at = now(); COMMIT").await;
    let new = rotating.await.expect("no panic").expect("rotated at the second attempt");
    let served = world.serve().await;
    served.wait_for(&new, ADMITTED).await;
}
