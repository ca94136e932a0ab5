//! A store whose lookups go another way.

use std::sync::Arc;

use keyauth_core::{
    Background, Directory, Group, GroupId, Issuer, Key, KeyDigest, KeyLookup, KeyPage, KeyPatch,
    KeyRecord, KeyRef, KeyStatus, KeyStore, Keyring, LookupError, NewSecret, Owner, OwnerId, Peek,
    StoreError, Subscription, Tenant, TenantId, Timestamp,
};

/// A store that is changed directly and looked up through something in front of it, so that
/// the suites for stores can be run through a cache.
#[derive(Clone, Debug)]
pub struct Through<S, L> {
    /// What is changed.
    pub store: S,
    /// What is asked.
    pub lookup: L,
}

impl<S: KeyStore, L: KeyLookup> KeyLookup for Through<S, L> {
    fn keyring(&self) -> &Keyring {
        self.lookup.keyring()
    }

    fn peek(&self, digest: &KeyDigest) -> Peek {
        self.lookup.peek(digest)
    }

    async fn find(&self, digest: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, LookupError> {
        self.lookup.find(digest).await
    }

    fn start(&self) -> Background {
        self.lookup.start()
    }
}

impl<S: KeyStore, L: KeyLookup> KeyStore for Through<S, L> {
    fn issuer(&self) -> &Issuer {
        self.store.issuer()
    }

    async fn insert(&self, key: &Key, secret: &NewSecret) -> Result<(), StoreError> {
        self.store.insert(key, secret).await
    }

    async fn key(&self, key: &KeyRef) -> Result<Key, StoreError> {
        self.store.key(key).await
    }

    async fn keys(&self, page: &KeyPage) -> Result<Vec<Key>, StoreError> {
        self.store.keys(page).await
    }

    async fn apply(&self, key: &KeyRef, patch: &KeyPatch) -> Result<Key, StoreError> {
        self.store.apply(key, patch).await
    }

    async fn set_status(
        &self,
        key: &KeyRef,
        status: KeyStatus,
        now: Timestamp,
    ) -> Result<Key, StoreError> {
        self.store.set_status(key, status, now).await
    }

    async fn add_secret(
        &self,
        key: &KeyRef,
        secret: &NewSecret,
        old_ends_at: Timestamp,
    ) -> Result<Key, StoreError> {
        self.store.add_secret(key, secret, old_ends_at).await
    }
}

impl<S: Directory, L: Send + Sync> Directory for Through<S, L> {
    async fn put_tenant(&self, tenant: &Tenant) -> Result<(), StoreError> {
        self.store.put_tenant(tenant).await
    }

    async fn put_owner(&self, owner: &Owner) -> Result<(), StoreError> {
        self.store.put_owner(owner).await
    }

    async fn put_group(&self, group: &Group) -> Result<(), StoreError> {
        self.store.put_group(group).await
    }

    async fn add_member(
        &self,
        tenant: &TenantId,
        group: &GroupId,
        owner: &OwnerId,
    ) -> Result<(), StoreError> {
        self.store.add_member(tenant, group, owner).await
    }

    async fn remove_member(
        &self,
        tenant: &TenantId,
        group: &GroupId,
        owner: &OwnerId,
    ) -> Result<(), StoreError> {
        self.store.remove_member(tenant, group, owner).await
    }

    async fn put_subscription(
        &self,
        tenant: &TenantId,
        group: &GroupId,
        owner: &OwnerId,
        subscription: Subscription,
    ) -> Result<(), StoreError> {
        self.store.put_subscription(tenant, group, owner, subscription).await
    }
}
