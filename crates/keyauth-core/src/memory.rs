//! The reference store, in memory.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::{
    Change, CustomKeys, Directory, Group, GroupAccess, GroupId, InvalidInput, Issuer, Key,
    KeyChanges, KeyDigest, KeyId, KeyLookup, KeyPage, KeyRecord, KeyRef, KeyStatus, KeyStore,
    Keyring, LookupError, NewSecret, Owner, OwnerId, Peek, Problem, SecretId, SecretKind,
    StoreError, StoreErrorKind, Subscription, Tenant, TenantId, Timestamp,
};

/// A store that forgets everything with the process: for tests, and to read what the
/// ports mean. Cloning gives another handle to the same keys.
#[derive(Clone, Debug)]
pub struct MemoryStore {
    issuer: Issuer,
    state: Arc<RwLock<State>>,
}

#[derive(Debug)]
struct State {
    tenants: HashMap<TenantId, Tenant>,
    owners: HashMap<(TenantId, OwnerId), Owner>,
    groups: HashMap<(TenantId, GroupId), Group>,
    members: HashSet<(TenantId, GroupId, OwnerId)>,
    subscriptions: HashMap<(TenantId, GroupId, OwnerId), Subscription>,
    keys: BTreeMap<KeyId, Key>,
    secrets: HashMap<KeyDigest, Secret>,
    /// Records that were looked up since the last change of anything.
    records: HashMap<KeyDigest, Arc<KeyRecord>>,
}

#[derive(Debug)]
struct Secret {
    id: SecretId,
    key: KeyId,
    ends_at: Option<Timestamp>,
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
        let tenant = Tenant::new(TenantId::default());
        let owner = Owner::new(TenantId::default(), OwnerId::default());
        let state = State {
            owners: HashMap::from([((tenant.id.clone(), owner.id.clone()), owner)]),
            tenants: HashMap::from([(tenant.id.clone(), tenant)]),
            groups: HashMap::new(),
            members: HashSet::new(),
            subscriptions: HashMap::new(),
            keys: BTreeMap::new(),
            secrets: HashMap::new(),
            records: HashMap::new(),
        };
        Self { issuer, state: Arc::new(RwLock::new(state)) }
    }

    // A panic while the lock was held cannot leave a change half done: every change is
    // checked first and then made by calls that do not panic.
    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a change after which every record is read anew.
    fn change<T>(
        &self,
        change: impl FnOnce(&mut State) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut state = self.write();
        state.records.clear();
        change(&mut state)
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl State {
    fn record(&self, digest: &KeyDigest) -> Option<KeyRecord> {
        let secret = self.secrets.get(digest)?;
        let key = Key { last_used_at: None, ..self.keys.get(&secret.key)?.clone() };
        let tenant = self.tenants.get(&key.tenant)?.status;
        let owner = self.owners.get(&(key.tenant.clone(), key.owner.clone()))?.status;
        let group = match &key.group {
            Some(id) => Some(self.group_access(&key, id)?),
            None => None,
        };
        Some(KeyRecord {
            key,
            secret: secret.id,
            secret_ends_at: secret.ends_at,
            tenant,
            owner,
            group,
        })
    }

    fn group_access(&self, key: &Key, id: &GroupId) -> Option<GroupAccess> {
        let group = self.groups.get(&(key.tenant.clone(), id.clone()))?;
        let relation = (key.tenant.clone(), id.clone(), key.owner.clone());
        Some(GroupAccess {
            status: group.status,
            kind: group.kind,
            member: self.members.contains(&relation),
            subscription: self.subscriptions.get(&relation).copied(),
        })
    }

    fn key(&self, key: &KeyRef) -> Result<&Key, StoreError> {
        let found = self.keys.get(&key.id).filter(|found| found.tenant == key.tenant);
        found.ok_or_else(|| StoreErrorKind::NotFound.into())
    }

    fn key_mut(&mut self, key: &KeyRef) -> Result<&mut Key, StoreError> {
        let found = self.keys.get_mut(&key.id).filter(|found| found.tenant == key.tenant);
        found.ok_or_else(|| StoreErrorKind::NotFound.into())
    }

    /// The key, unless it is revoked.
    fn live_key_mut(&mut self, key: &KeyRef) -> Result<&mut Key, StoreError> {
        let found = self.key_mut(key)?;
        match found.status {
            KeyStatus::Revoked => Err(StoreErrorKind::Revoked.into()),
            KeyStatus::Active | KeyStatus::Disabled => Ok(found),
        }
    }

    fn require_tenant(&self, id: &TenantId) -> Result<&Tenant, StoreError> {
        self.tenants.get(id).ok_or_else(|| missing("tenant"))
    }

    fn require_owner(&self, tenant: &TenantId, id: &OwnerId) -> Result<(), StoreError> {
        let exists = self.owners.contains_key(&(tenant.clone(), id.clone()));
        if exists { Ok(()) } else { Err(missing("owner")) }
    }

    fn require_group(&self, tenant: &TenantId, id: &GroupId) -> Result<(), StoreError> {
        let exists = self.groups.contains_key(&(tenant.clone(), id.clone()));
        if exists { Ok(()) } else { Err(missing("group")) }
    }

    /// Whether a secret may be added for a tenant.
    fn require_new_secret(&self, tenant: &TenantId, secret: &NewSecret) -> Result<(), StoreError> {
        let tenant = self.require_tenant(tenant)?;
        if secret.kind == SecretKind::Custom && tenant.custom_keys == CustomKeys::Refused {
            let problem = Problem::new("custom_key", "is not allowed for this tenant");
            return Err(InvalidInput::from(problem).into());
        }
        if self.secrets.contains_key(&secret.digest) {
            return Err(StoreErrorKind::Taken.into());
        }
        Ok(())
    }
}

fn missing(field: &str) -> StoreError {
    InvalidInput::from(Problem::new(field, "does not exist")).into()
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
            state.require_new_secret(&key.tenant, secret)?;
            if let Some(group) = &key.group {
                state.require_group(&key.tenant, group)?;
            }
            let owner = || Owner::new(key.tenant.clone(), key.owner.clone());
            state.owners.entry((key.tenant.clone(), key.owner.clone())).or_insert_with(owner);
            let first = Secret { id: secret.id, key: key.id, ends_at: None };
            state.secrets.insert(secret.digest, first);
            state.keys.insert(key.id, key.clone());
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

    async fn apply(&self, key: &KeyRef, changes: &KeyChanges) -> Result<Key, StoreError> {
        self.change(|state| {
            state.live_key_mut(key)?;
            if let Change::Set(group) = &changes.group {
                state.require_group(&key.tenant, group)?;
            }
            let key = state.live_key_mut(key)?;
            let changed = changes.applied_to(key)?;
            *key = changed.clone();
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
            let id = state.live_key_mut(key)?.id;
            state.require_new_secret(&key.tenant, secret)?;
            for old in state.secrets.values_mut().filter(|old| old.key == id) {
                old.ends_at = Some(match old.ends_at {
                    None => old_ends_at,
                    Some(end) => end.min(secret.created_at),
                });
            }
            let new = Secret { id: secret.id, key: id, ends_at: None };
            state.secrets.insert(secret.digest, new);
            let key = state.live_key_mut(key)?;
            key.hint = secret.hint.clone();
            key.updated_at = secret.created_at;
            Ok(key.clone())
        })
    }

    async fn mark_used(&self, key: KeyId, at: Timestamp) -> Result<(), StoreError> {
        // Use is no change: records that were handed out stay good.
        if let Some(key) = self.write().keys.get_mut(&key) {
            key.last_used_at = key.last_used_at.max(Some(at));
        }
        Ok(())
    }
}

impl Directory for MemoryStore {
    async fn put_tenant(&self, tenant: &Tenant) -> Result<(), StoreError> {
        self.change(|state| {
            state.tenants.insert(tenant.id.clone(), tenant.clone());
            Ok(())
        })
    }

    async fn put_owner(&self, owner: &Owner) -> Result<(), StoreError> {
        self.change(|state| {
            state.require_tenant(&owner.tenant)?;
            state.owners.insert((owner.tenant.clone(), owner.id.clone()), owner.clone());
            Ok(())
        })
    }

    async fn put_group(&self, group: &Group) -> Result<(), StoreError> {
        self.change(|state| {
            state.require_tenant(&group.tenant)?;
            state.groups.insert((group.tenant.clone(), group.id.clone()), group.clone());
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
            state.members.insert((tenant.clone(), group.clone(), owner.clone()));
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
            state.members.remove(&(tenant.clone(), group.clone(), owner.clone()));
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
            state.subscriptions.insert(relation, subscription);
            Ok(())
        })
    }
}
