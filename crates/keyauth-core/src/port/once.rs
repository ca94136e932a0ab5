//! Creating something once, however often that is asked for.

use std::time::Duration;

use super::KeyStore;
use crate::{Actor, KeyDigest, KeyId, Keyring, PresentedKey, StoreError, StoreErrorKind, TenantId};

/// Creates keys and secrets once for each request that has a name.
///
/// # Contract
///
/// * What [`insert`](KeyStore::insert), [`add_secret`](KeyStore::add_secret) and
///   [`insert_imported`](crate::ImportStore::insert_imported) do, and that a request of this name has
///   asked for it, is one transaction.
/// * Once it is done they answer [`Repeated`](StoreErrorKind::Repeated) to the same request, and
///   [`RequestNameTaken`](StoreErrorKind::RequestNameTaken) to another of its name, and do nothing:
///   for [`KEPT`](RequestName::KEPT) at least.
/// * What was refused, or failed, can be asked for again.
///
/// Checked by `keyauth_testkit::create_once_conformance!`.
pub trait CreateOnce: KeyStore + Sized {
    /// The same store, which creates for this request alone.
    #[must_use]
    fn once(&self, request: RequestName) -> Self;
}

/// The name that a client has given to a request, so that it can send it again.
///
/// As a store keeps it: digests, of which the one of what is asked for is made like that of a key,
/// since a key may be in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestName {
    /// Of the name, of whoever has given it, and of where.
    pub name: KeyDigest,
    /// Of what is asked for.
    pub fingerprint: KeyDigest,
    /// The same as made under older peppers, and without one.
    older: Vec<KeyDigest>,
}

impl RequestName {
    /// For how long it is known, at least.
    pub const KEPT: Duration = Duration::from_hours(24);

    /// What `actor` calls a request for `content` in a tenant. Others may call theirs the same.
    #[must_use]
    pub fn new(
        keyring: &Keyring,
        (tenant, actor): (&TenantId, &Actor),
        name: &str,
        content: &str,
    ) -> Self {
        // The other two have no spaces in them.
        let name = KeyDigest::plain(format!("{tenant} {actor} {name}").as_bytes());
        let content = PresentedKey::new(content.as_bytes());
        let plain = KeyDigest::plain(content.as_bytes());
        let mut digests = keyring.digests(content).chain([plain]);
        let fingerprint = digests.next().unwrap_or(plain);
        Self { name, fingerprint, older: digests.collect() }
    }

    /// The answer to a request whose name is known already, by the fingerprint of the one that was
    /// done, and the key that came of it: for stores.
    #[must_use]
    pub fn repeated(&self, done: KeyDigest, key: KeyId) -> StoreError {
        let same = done == self.fingerprint || self.older.contains(&done);
        let repeated = StoreErrorKind::Repeated { key };
        if same { repeated.into() } else { StoreErrorKind::RequestNameTaken.into() }
    }
}
