//! The reference store and ledger, in memory.

mod feed;
mod ledger;
mod state;

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

pub use feed::MemoryFeedReader;
pub use ledger::MemoryLedger;

use state::{Secret, State};

use crate::{
    Change, ChangeObservers, Directory, Group, GroupId, Issuer, Key, KeyDigest, KeyLookup, KeyPage,
    KeyPatch, KeyRecord, KeyRef, KeyStatus, KeyStore, Keyring, LookupError, NewSecret, Owner,
    OwnerId, Patch, Peek, StoreError, Subject, Subscription, Tenant, TenantId, Timestamp,
};

/// A store that forgets everything with the process: for tests, and to read what the
/// ports mean. Cloning gives another handle to the same keys.
#[derive(Clone, Debug)]
pub struct MemoryStore {
    issuer: Issuer,
    state: Arc<RwLock<State>>,
    observers: Arc<ChangeObservers>,
}

impl MemoryStore {
    /// An empty store with the default tenant and owner.
    #[must_use]
    pub fn new() -> Self {
        Self::with_issuer(Issuer::new())
    }

    /// An empty store whose keys are made by `issuer`.
    #[must_use]
    pub fn with_issuer(issuer: Issuer) -> Self {
        let state = Arc::new(RwLock::new(State::new()));
        Self { issuer, state, observers: Arc::default() }
    }

    // A panic while the lock was held cannot leave a change half done: every change is
    // checked first and then made by calls that do not panic.
    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a change after which every record is read anew, and tells of it.
    fn change<T>(
        &self,
        change: impl FnOnce(&mut State) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut state = self.write();
        state.records.clear();
        let told = state.history.told();
        let outcome = change(&mut state);
        let changes: Vec<_> = state.history.since(told).cloned().collect();
        // Still under the lock: whoever finds that nothing is left to change may count on
        // everybody having been told.
        self.observers.tell(&changes);
        outcome
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl KeyLookup for MemoryStore {
    fn keyring(&self) -> &Keyring {
        self.issuer.keyring()
    }

    fn peek(&self, digest: &KeyDigest) -> Peek {
        match self.read().records.get(digest) {
            Some(record) => Peek::Found(Arc::clone(record)),
            None => Peek::Ask,
        }
    }

    async fn find(&self, digest: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, LookupError> {
        let mut state = self.write();
        let Some(record) = state.record(digest).map(Arc::new) else {
            return Ok(None);
        };
        state.records.insert(*digest, Arc::clone(&record));
        Ok(Some(record))
    }
}

impl KeyStore for MemoryStore {
    fn issuer(&self) -> &Issuer {
        &self.issuer
    }

    async fn insert(&self, key: &Key, secret: &NewSecret) -> Result<(), StoreError> {
        self.change(|state| {
            state.require_tenant(&key.tenant)?;
            if let Some(group) = &key.group {
                state.require_group(&key.tenant, group)?;
            }
            state.require_room(&key.tenant, &key.owner)?;
            state.require_new_secret(&key.tenant, &key.owner, secret)?;
            let owner = || Owner::new(key.tenant.clone(), key.owner.clone());
            state.owners.entry((key.tenant.clone(), key.owner.clone())).or_insert_with(owner);
            let first = Secret { id: secret.id, key: key.id, ends_at: None };
            state.secrets.insert(secret.digest, first);
            state.keys.insert(key.id, key.clone());
            state.history.push(Change::NewSecret(secret.digest));
            Ok(())
        })
    }

    async fn key(&self, key: &KeyRef) -> Result<Key, StoreError> {
        self.read().key(key).cloned()
    }

    async fn keys(&self, page: &KeyPage) -> Result<Vec<Key>, StoreError> {
        let state = self.read();
        let after = |key: &&Key| page.after.is_none_or(|last| key.id > last);
        let keys = state.keys.values().filter(|key| key.tenant == page.tenant).filter(after);
        Ok(keys.take(page.count.into()).cloned().collect())
    }

    async fn apply(&self, key: &KeyRef, patch: &KeyPatch) -> Result<Key, StoreError> {
        self.change(|state| {
            state.live_key_mut(key)?;
            if let Patch::Set(group) = &patch.group {
                state.require_group(&key.tenant, group)?;
            }
            let key = state.live_key_mut(key)?;
            let changed = patch.applied_to(key)?;
            let old = std::mem::replace(key, changed.clone());
            if decides_otherwise(old, &changed) {
                state.raise(Subject::Key(changed.id));
            }
            Ok(changed)
        })
    }

    async fn set_status(
        &self,
        key: &KeyRef,
        status: KeyStatus,
        now: Timestamp,
    ) -> Result<Key, StoreError> {
        self.change(|state| {
            let key = match status {
                KeyStatus::Revoked => state.key_mut(key)?,
                KeyStatus::Active | KeyStatus::Disabled => state.live_key_mut(key)?,
            };
            if key.status != status {
                key.status = status;
                key.updated_at = now;
                if status == KeyStatus::Revoked {
                    key.revoked_at = Some(now);
                }
                let key = key.clone();
                state.raise(Subject::Key(key.id));
                return Ok(key);
            }
            Ok(key.clone())
        })
    }

    async fn add_secret(
        &self,
        key: &KeyRef,
        secret: &NewSecret,
        old_ends_at: Timestamp,
    ) -> Result<Key, StoreError> {
        self.change(|state| {
            let Key { id, owner, .. } = state.live_key_mut(key)?.clone();
            state.require_new_secret(&key.tenant, &owner, secret)?;
            for old in state.secrets.values_mut().filter(|old| old.key == id) {
                old.ends_at = Some(match old.ends_at {
                    None => old_ends_at,
                    Some(end) => end.min(secret.created_at),
                });
            }
            let new = Secret { id: secret.id, key: id, ends_at: None };
            state.secrets.insert(secret.digest, new);
            state.history.push(Change::NewSecret(secret.digest));
            state.raise(Subject::Key(id));
            let key = state.live_key_mut(key)?;
            key.hint = secret.hint.clone();
            key.updated_at = secret.created_at;
            Ok(key.clone())
        })
    }
}

impl Directory for MemoryStore {
    async fn put_tenant(&self, tenant: &Tenant) -> Result<(), StoreError> {
        tenant.check()?;
        self.change(|state| {
            let old = state.tenants.insert(tenant.id.clone(), tenant.clone());
            if old.is_some_and(|old| old != *tenant) {
                state.raise(Subject::Tenant(tenant.id.clone()));
            }
            Ok(())
        })
    }

    async fn put_owner(&self, owner: &Owner) -> Result<(), StoreError> {
        owner.check()?;
        self.change(|state| {
            state.require_tenant(&owner.tenant)?;
            let name = (owner.tenant.clone(), owner.id.clone());
            let old = state.owners.insert(name.clone(), owner.clone());
            if old.is_some_and(|old| old != *owner) {
                state.raise(Subject::Owner(name.0, name.1));
            }
            Ok(())
        })
    }

    async fn put_group(&self, group: &Group) -> Result<(), StoreError> {
        group.check()?;
        self.change(|state| {
            state.require_tenant(&group.tenant)?;
            let name = (group.tenant.clone(), group.id.clone());
            let old = state.groups.insert(name.clone(), group.clone());
            if old.is_some_and(|old| old != *group) {
                state.raise(Subject::Group(name.0, name.1));
            }
            Ok(())
        })
    }

    async fn add_member(
        &self,
        tenant: &TenantId,
        group: &GroupId,
        owner: &OwnerId,
    ) -> Result<(), StoreError> {
        self.change(|state| {
            state.require_group(tenant, group)?;
            state.require_owner(tenant, owner)?;
            if state.members.insert((tenant.clone(), group.clone(), owner.clone())) {
                state.raise(Subject::Owner(tenant.clone(), owner.clone()));
            }
            Ok(())
        })
    }

    async fn remove_member(
        &self,
        tenant: &TenantId,
        group: &GroupId,
        owner: &OwnerId,
    ) -> Result<(), StoreError> {
        self.change(|state| {
            if state.members.remove(&(tenant.clone(), group.clone(), owner.clone())) {
                state.raise(Subject::Owner(tenant.clone(), owner.clone()));
            }
            Ok(())
        })
    }

    async fn put_subscription(
        &self,
        tenant: &TenantId,
        group: &GroupId,
        owner: &OwnerId,
        subscription: Subscription,
    ) -> Result<(), StoreError> {
        self.change(|state| {
            state.require_group(tenant, group)?;
            state.require_owner(tenant, owner)?;
            let relation = (tenant.clone(), group.clone(), owner.clone());
            let old = state.subscriptions.insert(relation, subscription);
            if old != Some(subscription) {
                state.raise(Subject::Owner(tenant.clone(), owner.clone()));
            }
            Ok(())
        })
    }
}

/// Whether a change of a key changes what is decided about it. Names and times of change do
/// not; whatever else there is, or will be, does.
fn decides_otherwise(mut old: Key, new: &Key) -> bool {
    old.name = Arc::clone(&new.name);
    old.hint = new.hint.clone();
    old.updated_at = new.updated_at;
    old != *new
}
