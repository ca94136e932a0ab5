//! The memory store against the suites that every store must pass.

use keyauth_core::{Issuer, MemoryStore};

async fn open(issuer: Issuer) -> (MemoryStore, ()) {
    (MemoryStore::with_issuer(issuer), ())
}

keyauth_testkit::key_store_conformance!(open);
