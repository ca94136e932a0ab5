//! The SQLite store against the suites that every store must pass.

use keyauth_core::Issuer;
use keyauth_sqlite::SqliteStore;
use tempfile::TempDir;

async fn open(issuer: Issuer) -> (SqliteStore, TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let store = SqliteStore::open(folder.path().join("keys.db")).await.expect("a new file");
    (store.with_issuer(issuer), folder)
}

async fn open_ledger() -> (SqliteStore, TempDir) {
    open(Issuer::new()).await
}

keyauth_testkit::key_store_conformance!(open);
keyauth_testkit::change_feed_conformance!(open);
keyauth_testkit::audit_log_conformance!(open);
keyauth_testkit::create_once_conformance!(open);
keyauth_testkit::import_store_conformance!(open);
keyauth_testkit::ledger_conformance!(open_ledger);
keyauth_testkit::usage_log_conformance!(open_ledger);
