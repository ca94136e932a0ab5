//! A store whose lookups go another way.

use std::sync::Arc;

use keyauth_core::{
    Background, BoundKeys, Directory, Group, GroupId, GroupUpdate, Issuer, Key, KeyDigest,
    KeyLookup, KeyPatch, KeyQuery, KeyRecord, KeyRef, KeyStatus, KeyStore, Keyring, LookupError,
    NewSecret, Owner, OwnerId, OwnerUpdate, Page, Peek, StoreError, Subscription, Tenant, TenantId,
    TenantUpdate, Timestamp,
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

    fn forget_unknown(&self, digest: &KeyDigest) {
        self.lookup.forget_unknown(digest);
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

    async fn record(&self, key: &KeyRef) -> Result<Option<Arc<KeyRecord>>, StoreError> {
        self.store.record(key).await
    }

    async fn keys(&self, query: &KeyQuery) -> Result<Vec<Key>, StoreError> {
        self.store.keys(query).await
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

    async fn remove(&self, key: &KeyRef, now: Timestamp) -> Result<(), StoreError> {
        self.store.remove(key, now).await
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

    async fn update_tenant(
        &self,
        tenant: &TenantId,
        update: &TenantUpdate,
    ) -> Result<Tenant, StoreError> {
        self.store.update_tenant(tenant, update).await
    }

    async fn tenant(&self, tenant: &TenantId) -> Result<Tenant, StoreError> {
        self.store.tenant(tenant).await
    }

    async fn tenants(&self, page: &Page<TenantId>) -> Result<Vec<Tenant>, StoreError> {
        self.store.tenants(page).await
    }

    async fn put_owner(&self, owner: &Owner) -> Result<(), StoreError> {
        self.store.put_owner(owner).await
    }

    async fn update_owner(
        &self,
        tenant: &TenantId,
        owner: &OwnerId,
        update: &OwnerUpdate,
    ) -> Result<Owner, StoreError> {
        self.store.update_owner(tenant, owner, update).await
    }

    async fn owner(&self, tenant: &TenantId, owner: &OwnerId) -> Result<Owner, StoreError> {
        self.store.owner(tenant, owner).await
    }

    async fn owners(
        &self,
        tenant: &TenantId,
        page: &Page<OwnerId>,
    ) -> Result<Vec<Owner>, StoreError> {
        self.store.owners(tenant, page).await
    }

    async fn delete_owner(&self, tenant: &TenantId, owner: &OwnerId) -> Result<u64, StoreError> {
        self.store.delete_owner(tenant, owner).await
    }

    async fn put_group(&self, group: &Group) -> Result<(), StoreError> {
        self.store.put_group(group).await
    }

    async fn update_group(
        &self,
        tenant: &TenantId,
        group: &GroupId,
        update: &GroupUpdate,
    ) -> Result<Group, StoreError> {
        self.store.update_group(tenant, group, update).await
    }

    async fn group(&self, tenant: &TenantId, group: &GroupId) -> Result<Group, StoreError> {
        self.store.group(tenant, group).await
    }

    async fn groups(
        &self,
        tenant: &TenantId,
        page: &Page<GroupId>,
    ) -> Result<Vec<Group>, StoreError> {
        self.store.groups(tenant, page).await
    }

    async fn groups_open_to(
        &self,
        tenant: &TenantId,
        owner: &OwnerId,
        page: &Page<GroupId>,
    ) -> Result<Vec<Group>, StoreError> {
        self.store.groups_open_to(tenant, owner, page).await
    }

    async fn delete_group(
        &self,
        tenant: &TenantId,
        group: &GroupId,
        bound: BoundKeys,
    ) -> Result<u64, StoreError> {
        self.store.delete_group(tenant, group, bound).await
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

    async fn members(
        &self,
        tenant: &TenantId,
        group: &GroupId,
        page: &Page<OwnerId>,
    ) -> Result<Vec<OwnerId>, StoreError> {
        self.store.members(tenant, group, page).await
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

    async fn remove_subscription(
        &self,
        tenant: &TenantId,
        group: &GroupId,
        owner: &OwnerId,
    ) -> Result<(), StoreError> {
        self.store.remove_subscription(tenant, group, owner).await
    }

    async fn subscriptions(
        &self,
        tenant: &TenantId,
        group: &GroupId,
        page: &Page<OwnerId>,
    ) -> Result<Vec<(OwnerId, Subscription)>, StoreError> {
        self.store.subscriptions(tenant, group, page).await
    }
}
