//! The gate holds what it should, and lets go.

use std::time::Duration;

use keyauth_core::{Authenticator, Denial, KeyStore, MemoryStore, NewKey, RequestFacts};
use keyauth_testkit::{Gated, Side};

#[tokio::test]
async fn a_held_call_brings_what_it_read_before_or_after() {
    for (side, expected) in [(Side::Before, Some(Denial::KeyRevoked)), (Side::After, None)] {
        let store = MemoryStore::new();
        let key = store.issue(NewKey::named("raced")).await.expect("a key");
        let gated = Gated::new(store.clone());
        gated.hold(side);
        let auth = Authenticator::new(gated.clone());
        let text = key.reveal().to_owned();
        let call = tokio::spawn(async move { auth.verify(&text, &RequestFacts::new()).await });
        let held = tokio::time::timeout(Duration::from_secs(10), gated.wait_for_held(1));
        held.await.expect("the call is held");
        store.revoke(&key).await.expect("revoked");
        gated.release();
        let decision = call.await.expect("no panic").expect("an answer");
        assert_eq!((decision.err(), gated.calls()), (expected, 1), "{side:?}");
    }
}
