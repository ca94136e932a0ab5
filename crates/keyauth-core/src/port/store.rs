//! Keeping keys.

use std::sync::Arc;

use crate::{
    IssuedKey, Issuer, Key, KeyLookup, KeyPatch, KeyQuery, KeyRecord, KeyRef, KeyStatus, KeyUpdate,
    NewKey, NewSecret, Rotation, StoreError, Timestamp,
};

/// Keeps keys.
///
/// People call [`issue`](KeyStore::issue), [`update`](KeyStore::update),
/// [`enable`](KeyStore::enable), [`disable`](KeyStore::disable),
/// [`rotate`](KeyStore::rotate), [`revoke`](KeyStore::revoke) and [`delete`](KeyStore::delete),
/// which are the same for every store; a store implements the others.
///
/// # Contract
///
/// * Each call is one transaction: it happens as a whole or not at all, and when it has
///   returned `Ok` it is durable, and the next lookup through this value sees it.
/// * A key of another tenant is [`NotFound`](crate::StoreErrorKind::NotFound), just as one
///   that does not exist.
/// * Nothing brings a revoked key back, nor a deleted one.
/// * A key is bound to a group only where its owner may use that, as
///   [`GroupAccess::check_binding`](crate::GroupAccess::check_binding) says.
/// * A change writes the columns it names and no others.
/// * Only digests arrive here. No store ever sees a plaintext key.
/// * An owner has no more keys than it may, however many are issued at once.
/// * An owner is told [`Taken`](crate::StoreErrorKind::Taken) of custom keys no more often than
///   [`CustomKeyGuesses`](crate::CustomKeyGuesses) says, whatever else it does meanwhile.
///
/// Checked by `keyauth_testkit::key_store_conformance!`.
pub trait KeyStore: KeyLookup {
    /// Makes this store's keys.
    fn issuer(&self) -> &Issuer;

    /// Writes a new key with its first secret, and its owner where that is new.
    ///
    /// # Errors
    ///
    /// [`Taken`](crate::StoreErrorKind::Taken) where the digest exists;
    /// [`TooManyGuesses`](crate::StoreErrorKind::TooManyGuesses) where that was so too often;
    /// [`TooManyKeys`](crate::StoreErrorKind::TooManyKeys);
    /// [`InvalidInput`](crate::StoreErrorKind::InvalidInput) where the tenant or group does
    /// not exist, the owner may not use the group, or the secret is custom and the tenant does
    /// not allow that.
    fn insert(
        &self,
        key: &Key,
        secret: &NewSecret,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Reads a key.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::StoreErrorKind::NotFound) where the tenant has no such key.
    fn key(&self, key: &KeyRef) -> impl Future<Output = Result<Key, StoreError>> + Send;

    /// Reads a key with all that decides about it, by its newest secret; `None` where it has
    /// none yet, being of another system and not presented so far.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::StoreErrorKind::NotFound) where the tenant has no such key.
    fn record(
        &self,
        key: &KeyRef,
    ) -> impl Future<Output = Result<Option<Arc<KeyRecord>>, StoreError>> + Send;

    /// Reads a page of a tenant's keys, by an index for every order: a page costs the same
    /// wherever it is.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](crate::StoreErrorKind::InvalidInput) as [`KeyQuery::check`] says;
    /// [`Unavailable`](crate::StoreErrorKind::Unavailable). An unknown tenant has no keys.
    fn keys(&self, query: &KeyQuery) -> impl Future<Output = Result<Vec<Key>, StoreError>> + Send;

    /// Writes the columns a change names and gives back the key.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::StoreErrorKind::NotFound);
    /// [`Revoked`](crate::StoreErrorKind::Revoked);
    /// [`InvalidInput`](crate::StoreErrorKind::InvalidInput) where the group does not exist or
    /// the owner may not use it, or the key would end before it begins.
    fn apply(
        &self,
        key: &KeyRef,
        patch: &KeyPatch,
    ) -> impl Future<Output = Result<Key, StoreError>> + Send;

    /// Makes a key active, disabled or revoked at `now`, and gives it back.
    ///
    /// Setting what is set already changes nothing, not even a time.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::StoreErrorKind::NotFound);
    /// [`Revoked`](crate::StoreErrorKind::Revoked) where a revoked key is to become anything else.
    fn set_status(
        &self,
        key: &KeyRef,
        status: KeyStatus,
        now: Timestamp,
    ) -> impl Future<Output = Result<Key, StoreError>> + Send;

    /// Revokes a key where it is not, and takes it out of sight with all its secrets, so that
    /// a custom one can be chosen anew. Its row stays, for those who count, and nothing brings
    /// it back.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::StoreErrorKind::NotFound), also where it is deleted already.
    fn remove(
        &self,
        key: &KeyRef,
        now: Timestamp,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Adds a secret, whose hint becomes the key's.
    ///
    /// The newest secret before it ends at `old_ends_at`; those that had an end already
    /// end when the new one is made, if not earlier.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::StoreErrorKind::NotFound);
    /// [`Revoked`](crate::StoreErrorKind::Revoked);
    /// [`Taken`](crate::StoreErrorKind::Taken);
    /// [`TooManyGuesses`](crate::StoreErrorKind::TooManyGuesses);
    /// [`InvalidInput`](crate::StoreErrorKind::InvalidInput) where the secret is custom and
    /// the tenant does not allow that.
    fn add_secret(
        &self,
        key: &KeyRef,
        secret: &NewSecret,
        old_ends_at: Timestamp,
    ) -> impl Future<Output = Result<Key, StoreError>> + Send;

    /// Issues a key and gives back its text, for the one time it can be had.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](crate::StoreErrorKind::InvalidInput) with every problem, and those of
    /// [`insert`](KeyStore::insert).
    fn issue(&self, new: NewKey) -> impl Future<Output = Result<IssuedKey, StoreError>> + Send {
        async {
            let draft = self.issuer().draft(new)?;
            self.insert(&draft.key, &draft.secret).await?;
            Ok(draft.into_issued())
        }
    }

    /// Changes what an update names, and nothing else.
    ///
    /// # Errors
    ///
    /// Those of [`apply`](KeyStore::apply).
    fn update(
        &self,
        key: impl Into<KeyRef> + Send,
        update: KeyUpdate,
    ) -> impl Future<Output = Result<Key, StoreError>> + Send {
        let key = key.into();
        async move {
            let patch = update.check(self.issuer().now())?;
            self.apply(&key, &patch).await
        }
    }

    /// Lets a disabled key work again.
    ///
    /// # Errors
    ///
    /// Those of [`set_status`](KeyStore::set_status).
    fn enable(
        &self,
        key: impl Into<KeyRef> + Send,
    ) -> impl Future<Output = Result<Key, StoreError>> + Send {
        let key = key.into();
        async move { self.set_status(&key, KeyStatus::Active, self.issuer().now()).await }
    }

    /// Stops a key until it is enabled again.
    ///
    /// # Errors
    ///
    /// Those of [`set_status`](KeyStore::set_status).
    fn disable(
        &self,
        key: impl Into<KeyRef> + Send,
    ) -> impl Future<Output = Result<Key, StoreError>> + Send {
        let key = key.into();
        async move { self.set_status(&key, KeyStatus::Disabled, self.issuer().now()).await }
    }

    /// Stops a key for good, with all its secrets.
    ///
    /// # Errors
    ///
    /// Those of [`set_status`](KeyStore::set_status).
    fn revoke(
        &self,
        key: impl Into<KeyRef> + Send,
    ) -> impl Future<Output = Result<Key, StoreError>> + Send {
        let key = key.into();
        async move { self.set_status(&key, KeyStatus::Revoked, self.issuer().now()).await }
    }

    /// Stops a key for good, and forgets its secrets: they are unknown from then on, and a
    /// custom one is free to be chosen again.
    ///
    /// # Errors
    ///
    /// Those of [`remove`](KeyStore::remove).
    fn delete(
        &self,
        key: impl Into<KeyRef> + Send,
    ) -> impl Future<Output = Result<(), StoreError>> + Send {
        let key = key.into();
        async move { self.remove(&key, self.issuer().now()).await }
    }

    /// Gives a key a new secret and the old one an end.
    ///
    /// # Errors
    ///
    /// Those of [`add_secret`](KeyStore::add_secret), and
    /// [`InvalidInput`](crate::StoreErrorKind::InvalidInput) for a custom secret that is none.
    fn rotate(
        &self,
        key: impl Into<KeyRef> + Send,
        rotation: Rotation,
    ) -> impl Future<Output = Result<IssuedKey, StoreError>> + Send {
        let key = key.into();
        async move {
            // Read for the prefix alone: the decision is the store's.
            let current = self.key(&key).await?;
            let (secret, plaintext, old_ends_at) = self.issuer().rotate(&current, rotation)?;
            let rotated = self.add_secret(&key, &secret, old_ends_at).await?;
            Ok(IssuedKey::new(rotated, plaintext))
        }
    }
}
