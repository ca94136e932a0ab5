//! The suites for stores, looked up through the cache.

use keyauth_cache::CachedLookup;
use keyauth_core::{Background, Issuer, KeyLookup, MemoryStore};
use keyauth_testkit::Through;

async fn open(issuer: Issuer) -> (Through<MemoryStore, CachedLookup<MemoryStore>>, Background) {
    let store = MemoryStore::with_issuer(issuer);
    let lookup = CachedLookup::new(store.clone());
    let background = lookup.start();
    (Through { store, lookup }, background)
}

keyauth_testkit::key_store_conformance!(open);
