//! Migrations: only when asked, once, from every version there was.

use keyauth_core::{Authenticator, KeyStore, LookupErrorKind, NewKey, RequestFacts};
use keyauth_postgres::sqlx::Connection;
use keyauth_postgres::sqlx::postgres::PgConnection;
use keyauth_postgres::{OpenErrorKind, PostgresStore};
use keyauth_testkit::PostgresDatabase;

use super::world::{World, execute};
use super::{ledger, usage};

async fn unmigrated() -> (PostgresStore, PostgresDatabase) {
    let database = PostgresDatabase::create().await;
    let store = PostgresStore::connect(database.url()).await.expect("a server");
    (store.with_schema("MixedCase").expect("a name"), database)
}

#[tokio::test]
async fn eight_at_once_from_every_older_version() {
    let latest = unmigrated().await.0.migrations().len();
    for older in 0..latest {
        let (store, database) = unmigrated().await;
        let mut psql = PgConnection::connect(database.url()).await.expect("a server");
        for migration in store.migrations().into_iter().take(older) {
            execute(&mut psql, format!("BEGIN; {}; COMMIT", migration.sql)).await;
        }
        let pending = store.pending_migrations().await.expect("a list");
        assert_eq!(pending.len(), latest - older);
        let mut migrating = Vec::new();
        for _ in 0..8 {
            let process = PostgresStore::connect(database.url()).await.expect("a server");
            let process = process.with_schema("MixedCase").expect("a name");
            migrating.push(tokio::spawn(async move { process.migrate().await }));
        }
        let mut done = Vec::new();
        for migrating in migrating {
            done.extend(migrating.await.expect("no panic").expect("migrated"));
        }
        let expected: Vec<_> = pending.iter().map(|migration| migration.version).collect();
        assert_eq!(done, expected, "each once, by one of them");
        assert!(store.migrate().await.expect("nothing to do").is_empty());

        let key = store.issue(NewKey::named("first")).await.expect("a valid key");
        let auth = Authenticator::new(store.clone());
        let decision = auth.verify(key.reveal(), &RequestFacts::new()).await;
        assert!(decision.expect("an answer").is_ok());
        ledger::charge_and_reset(&store).await;
        usage::write_and_read(&store, &key).await;
        store.revoke(&key).await.expect("revoked");
        let decision = auth.verify(key.reveal(), &RequestFacts::new()).await;
        assert!(decision.expect("an answer").is_err());
    }
}

#[tokio::test]
async fn schemas_beside_each_other_do_not_meet() {
    let world = World::create().await;
    let other = world.store.clone().with_schema("Other").expect("a name");
    other.migrate().await.expect("migrated");
    let key = other.issue(NewKey::named("of the other")).await.expect("a valid key");
    let auth = Authenticator::new(world.store.clone());
    assert!(auth.verify(key.reveal(), &RequestFacts::new()).await.expect("an answer").is_err());
    let auth = Authenticator::new(other);
    assert!(auth.verify(key.reveal(), &RequestFacts::new()).await.expect("an answer").is_ok());
}

#[tokio::test]
async fn a_newer_schema_is_left_alone() {
    let (store, database) = unmigrated().await;
    store.migrate().await.expect("migrated");
    let mut psql = PgConnection::connect(database.url()).await.expect("a server");
    execute(&mut psql, "INSERT INTO \"MixedCase\".migrations VALUES (99, 'of the future')").await;
    let error = store.migrate().await.expect_err("refused");
    assert!(matches!(error.kind(), OpenErrorKind::NewerSchema { found: 99, .. }), "{error}");
    store.pending_migrations().await.expect_err("refused");
}

#[tokio::test]
async fn without_a_schema_an_error_says_what_makes_one() {
    let (store, _database) = unmigrated().await;
    let draft = store.issuer().draft(NewKey::named("any")).expect("a valid key").into_issued();
    let auth = Authenticator::new(store);
    let error = auth.verify(draft.reveal(), &RequestFacts::new()).await.expect_err("no answer");
    assert_eq!(error.kind(), LookupErrorKind::Unavailable);
    let source = std::error::Error::source(&error).expect("a reason").to_string();
    assert!(source.contains("PostgresStore::migrate"), "{source}");
}

#[tokio::test]
async fn names_of_schemas_that_need_quoting_are_refused() {
    let (store, _database) = unmigrated().await;
    for name in ["", "a-b", "a\"; DROP SCHEMA public; --"] {
        let error = store.clone().with_schema(name).expect_err("refused");
        assert_eq!(error.kind(), OpenErrorKind::InvalidSchemaName);
    }
}
