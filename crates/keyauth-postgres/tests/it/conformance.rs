//! The suites that every store runs.

use keyauth_core::Issuer;
use keyauth_postgres::PostgresStore;
use keyauth_testkit::PostgresDatabase;

async fn open(issuer: Issuer) -> (PostgresStore, PostgresDatabase) {
    let database = PostgresDatabase::create().await;
    let store = PostgresStore::connect(database.url()).await.expect("a server");
    store.migrate().await.expect("a migrated schema");
    (store.with_issuer(issuer), database)
}

async fn open_ledger() -> (PostgresStore, PostgresDatabase) {
    open(Issuer::new()).await
}

keyauth_testkit::key_store_conformance!(open);
keyauth_testkit::change_feed_conformance!(open);
keyauth_testkit::audit_log_conformance!(open);
keyauth_testkit::create_once_conformance!(open);
keyauth_testkit::import_store_conformance!(open);
keyauth_testkit::ledger_conformance!(open_ledger);
keyauth_testkit::usage_log_conformance!(open_ledger);
