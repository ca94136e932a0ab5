//! Keeping keys.

use crate::{
    IssuedKey, Issuer, Key, KeyId, KeyLookup, KeyPatch, KeyRef, KeyStatus, KeyUpdate, NewKey,
    NewSecret, Rotation, StoreError, TenantId, Timestamp,
};

/// Keeps keys.
///
/// People call [`issue`](KeyStore::issue), [`update`](KeyStore::update),
/// [`enable`](KeyStore::enable), [`disable`](KeyStore::disable),
/// [`rotate`](KeyStore::rotate) and [`revoke`](KeyStore::revoke), which are the same for
/// every store; a store implements the others.
///
/// # Contract
///
/// * Each call is one transaction: it happens as a whole or not at all, and when it has
///   returned `Ok` it is durable, and the next lookup through this value sees it.
/// * A key of another tenant is [`NotFound`](crate::StoreErrorKind::NotFound), just as one
///   that does not exist.
/// * Nothing brings a revoked key back.
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
    /// not exist, or the secret is custom and the tenant does not allow that.
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

    /// Reads a tenant's keys, oldest first.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](crate::StoreErrorKind::Unavailable) alone; an unknown tenant has no keys.
    fn keys(&self, page: &KeyPage) -> impl Future<Output = Result<Vec<Key>, StoreError>> + Send;

    /// Writes the columns a change names and gives back the key.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::StoreErrorKind::NotFound);
    /// [`Revoked`](crate::StoreErrorKind::Revoked);
    /// [`InvalidInput`](crate::StoreErrorKind::InvalidInput) where the group does not exist,
    /// or the key would end before it begins.
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

/// Which of a tenant's keys to read.
#[derive(Clone, Debug)]
pub struct KeyPage {
    /// Whose keys.
    pub tenant: TenantId,
    /// Only those issued after this one.
    pub after: Option<KeyId>,
    /// At most so many.
    pub count: u16,
}

impl KeyPage {
    /// The first `count` keys of a tenant.
    #[must_use]
    pub const fn first(tenant: TenantId, count: u16) -> Self {
        Self { tenant, after: None, count }
    }

    /// The keys behind the last one read.
    #[must_use]
    pub fn after(self, last: KeyId) -> Self {
        Self { after: Some(last), ..self }
    }
}
