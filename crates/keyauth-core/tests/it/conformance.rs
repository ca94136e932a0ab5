//! Core's own adapters against the suites that all must pass.

use keyauth_core::{Issuer, MemoryLedger, MemoryStore, SystemClock};

async fn open(issuer: Issuer) -> (MemoryStore, ()) {
    (MemoryStore::with_issuer(issuer), ())
}

keyauth_testkit::key_store_conformance!(open);
keyauth_testkit::change_feed_conformance!(open);
keyauth_testkit::audit_log_conformance!(open);
keyauth_testkit::create_once_conformance!(open);
keyauth_testkit::import_store_conformance!(open);

async fn ledger() -> (MemoryLedger, ()) {
    (MemoryLedger::new(), ())
}

keyauth_testkit::ledger_conformance!(ledger);

#[test]
fn the_machines_clock_keeps_the_contract() {
    keyauth_testkit::conformance::check_clock(&SystemClock::new());
}
