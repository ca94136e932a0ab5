//! What cases work with.

use std::sync::Arc;

use keyauth_core::{
    Authenticator, Clock, Denial, GroupId, IssuedKey, Issuer, KeyPrefix, KeyRecord, KeyStore,
    Keyring, NewKey, OwnerId, Parsed, Pepper, RequestFacts, StoreError, StoreErrorKind, Timestamp,
};

use crate::FakeClock;

/// What a case works with besides the store.
#[derive(Debug)]
pub struct Bench {
    pub(in crate::conformance) clock: Arc<FakeClock>,
}

impl Bench {
    /// A bench, and the issuer to open the store with.
    #[must_use]
    pub fn new() -> (Self, Issuer) {
        let clock = Arc::new(FakeClock::default());
        let issuer = Issuer::new().with_keyring(keyring()).with_clock(Arc::clone(&clock) as _);
        (Self { clock }, issuer)
    }

    pub(in crate::conformance) fn auth<S: KeyStore + Clone + 'static>(
        &self,
        store: &S,
    ) -> Authenticator {
        Authenticator::new(store.clone()).with_clock(Arc::clone(&self.clock) as _)
    }

    /// The decision about a key, without any facts.
    pub(in crate::conformance) async fn decide<S>(&self, store: &S, key: &str) -> Result<(), Denial>
    where
        S: KeyStore + Clone + 'static,
    {
        let decision = self.auth(store).verify(key, &RequestFacts::new()).await;
        decision.expect("the store answers").map(drop)
    }

    /// The record that a lookup finds.
    pub(in crate::conformance) async fn record<S>(&self, store: &S, key: &str) -> Option<KeyRecord>
    where
        S: KeyStore + Clone + 'static,
    {
        let auth = self.auth(store);
        let Parsed::Key(key) = auth.parse(key.as_bytes()) else { panic!("no key of ours") };
        auth.find(key).await.expect("the store answers").map(Arc::unwrap_or_clone)
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

pub(in crate::conformance) fn keyring() -> Keyring {
    let prefix = KeyPrefix::new("sk_live").expect("a prefix");
    let pepper = Pepper::new(1, [1; 32]).expect("a pepper");
    let keyring = Keyring::new().with_prefix(prefix).with_pepper(pepper);
    keyring.and_then(Keyring::with_custom_keys).expect("a keyring")
}

#[track_caller]
pub(in crate::conformance) fn check_kind<T: std::fmt::Debug>(
    outcome: Result<T, StoreError>,
    expected: &StoreErrorKind,
) {
    assert_eq!(outcome.expect_err("must be refused").kind(), expected);
}

/// Asserts that input was refused, with problems of exactly these fields.
#[track_caller]
pub(in crate::conformance) fn check_problems<T: std::fmt::Debug>(
    outcome: Result<T, StoreError>,
    fields: &[&str],
) {
    let error = outcome.expect_err("must be refused");
    let StoreErrorKind::InvalidInput(input) = error.kind() else { panic!("{error:?}") };
    let found: Vec<_> = input.problems().iter().map(|problem| problem.field()).collect();
    assert_eq!(found, fields, "{input}");
}

pub(in crate::conformance) async fn issue(store: &impl KeyStore, new: NewKey) -> IssuedKey {
    store.issue(new).await.expect("a valid key is issued")
}

pub(in crate::conformance) fn owner(id: &str) -> OwnerId {
    OwnerId::new(id).expect("an owner")
}

pub(in crate::conformance) fn group(id: &str) -> GroupId {
    GroupId::new(id).expect("a group")
}
