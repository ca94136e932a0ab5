//! The reference store and ledger, in memory.

mod audit;
mod directory;
mod feed;
mod imports;
mod ledger;
mod state;

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

pub use feed::MemoryFeedReader;
pub use ledger::MemoryLedger;

use state::{Secret, State};

use crate::{
    Actor, Change, ChangeObservers, CreateOnce, Issuer, Key, KeyDigest, KeyLookup, KeyOrder,
    KeyPatch, KeyPosition, KeyQuery, KeyRecord, KeyRef, KeyStatus, KeyStore, Keyring, LookupError,
    NewSecret, Patch, Peek, RequestName, StoreError, Subject, Timestamp,
};

/// A store that forgets everything with the process: for tests, and to read what the
/// ports mean. Cloning gives another handle to the same keys.
#[derive(Clone, Debug)]
pub struct MemoryStore {
    issuer: Issuer,
    state: Arc<RwLock<State>>,
    observers: Arc<ChangeObservers>,
    actor: Option<Actor>,
    /// What it creates for.
    request: Option<RequestName>,
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
        Self { issuer, state, observers: Arc::default(), actor: None, request: None }
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
        state.audit.acting.clone_from(&self.actor);
        state.audit.now = self.issuer.now();
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

impl CreateOnce for MemoryStore {
    fn once(&self, request: RequestName) -> Self {
        Self { request: Some(request), ..self.clone() }
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
            state.require_new_request(self.request.as_ref())?;
            state.require_new_secret(&key.tenant, &key.owner, secret)?;
            state.insert_key(key)?;
            state.note_request(self.request.as_ref(), key.id);
            let first = Secret { id: secret.id, key: key.id, ends_at: None };
            state.note_secret((&key.tenant, key.id), None, Some(&first));
            state.secrets.insert(secret.digest, first);
            state.history.push(Change::NewSecret(secret.digest));
            Ok(())
        })
    }

    async fn key(&self, key: &KeyRef) -> Result<Key, StoreError> {
        self.read().key(key).cloned()
    }

    async fn record(&self, key: &KeyRef) -> Result<Option<Arc<KeyRecord>>, StoreError> {
        let state = self.read();
        let id = state.key(key)?.id;
        let mut newest = state.secrets.iter().filter(|(_, secret)| secret.key == id);
        let newest = newest.find(|(_, secret)| secret.ends_at.is_none());
        Ok(newest.and_then(|(digest, _)| state.record(digest)).map(Arc::new))
    }

    async fn keys(&self, query: &KeyQuery) -> Result<Vec<Key>, StoreError> {
        query.check()?;
        let state = self.read();
        let mut keys: Vec<_> = state.keys.values().filter(|key| is_asked_for(key, query)).collect();
        match query.order {
            KeyOrder::Oldest => {}
            KeyOrder::Newest => keys.reverse(),
            // Sorting is stable, and they are in the order of their ids.
            KeyOrder::Name { .. } => keys.sort_by_key(|key| &key.name),
            KeyOrder::Hint { .. } => keys.sort_by_key(|key| key.hint.as_str()),
            KeyOrder::Expiry => keys.sort_by_key(|key| key.expires_at),
        }
        Ok(keys.into_iter().take(query.count.into()).cloned().collect())
    }

    async fn apply(&self, key: &KeyRef, patch: &KeyPatch) -> Result<Key, StoreError> {
        self.change(|state| {
            let old = state.live_key_mut(key)?.clone();
            if let Patch::Set(group) = &patch.group {
                state.require_binding(&old, group, patch.updated_at)?;
            }
            let key = state.live_key_mut(key)?;
            let changed = patch.applied_to(key)?;
            *key = changed.clone();
            state.note_key(Some(&old), &changed);
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
            if key.status == status {
                return Ok(key.clone());
            }
            let old = key.clone();
            key.status = status;
            key.updated_at = now;
            if status == KeyStatus::Revoked {
                key.revoked_at = Some(now);
            }
            let key = key.clone();
            state.note_key(Some(&old), &key);
            state.raise(Subject::Key(key.id));
            Ok(key)
        })
    }

    async fn remove(&self, key: &KeyRef, now: Timestamp) -> Result<(), StoreError> {
        self.change(|state| {
            let old = state.key(key)?.clone();
            let mut removed = old.clone();
            removed.status = KeyStatus::Revoked;
            removed.revoked_at.get_or_insert(now);
            removed.group = None;
            state.note_deleted_key(&old, &removed);
            state.keys.remove(&key.id);
            let secrets = state.secrets.extract_if(|_, secret| secret.key == key.id);
            let mut secrets: Vec<_> = secrets.map(|(_, secret)| secret).collect();
            let imported = state.imported.extract_if(.., |imported| imported.secret.key == key.id);
            secrets.extend(imported.map(|imported| imported.secret));
            for secret in secrets {
                state.note_secret((&key.tenant, key.id), Some(&secret), None);
            }
            state.raise(Subject::Key(key.id));
            Ok(())
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
            state.require_new_request(self.request.as_ref())?;
            state.require_new_secret(&key.tenant, &owner, secret)?;
            state.note_request(self.request.as_ref(), id);
            let mut ended = Vec::new();
            let imported = state.imported.iter_mut().map(|imported| &mut imported.secret);
            let secrets = state.secrets.values_mut().chain(imported);
            for old in secrets.filter(|old| old.key == id) {
                let before = old.clone();
                old.ends_at = Some(match old.ends_at {
                    None => old_ends_at,
                    Some(end) => end.min(secret.created_at),
                });
                ended.push((before, old.clone()));
            }
            for (before, after) in ended {
                state.note_secret((&key.tenant, id), Some(&before), Some(&after));
            }
            let new = Secret { id: secret.id, key: id, ends_at: None };
            state.note_secret((&key.tenant, id), None, Some(&new));
            state.secrets.insert(secret.digest, new);
            state.history.push(Change::NewSecret(secret.digest));
            state.raise(Subject::Key(id));
            let key = state.live_key_mut(key)?;
            let old = key.clone();
            key.hint = secret.hint.clone();
            key.updated_at = secret.created_at;
            let key = key.clone();
            state.note_key(Some(&old), &key);
            Ok(key)
        })
    }
}

fn is_asked_for(key: &Key, query: &KeyQuery) -> bool {
    let begins = match &query.order {
        KeyOrder::Name { prefix } => key.name.starts_with(prefix),
        KeyOrder::Hint { prefix } => key.hint.as_str().starts_with(prefix),
        KeyOrder::Expiry => key.expires_at.is_some(),
        KeyOrder::Oldest | KeyOrder::Newest => true,
    };
    let behind = match (&query.after, &query.order) {
        (None, _) => true,
        (Some(KeyPosition::Issued(last)), KeyOrder::Newest) => key.id < *last,
        (Some(KeyPosition::Issued(last)), _) => key.id > *last,
        (Some(KeyPosition::Text(text, last)), KeyOrder::Hint { .. }) => {
            (key.hint.as_str(), key.id) > (text, *last)
        }
        (Some(KeyPosition::Text(text, last)), _) => (&*key.name, key.id) > (text, *last),
        (Some(KeyPosition::Expiry(end, last)), _) => (key.expires_at, key.id) > (Some(*end), *last),
    };
    key.tenant == query.tenant
        && query.owner.as_ref().is_none_or(|owner| *owner == key.owner)
        && query.group.as_ref().is_none_or(|group| key.group.as_ref() == Some(group))
        && query.status.is_none_or(|status| status == key.status)
        && begins
        && behind
}

/// Whether a change of a key changes what is decided about it. Names and times of change do
/// not; whatever else there is, or will be, does.
fn decides_otherwise(mut old: Key, new: &Key) -> bool {
    old.name = Arc::clone(&new.name);
    old.hint = new.hint.clone();
    old.updated_at = new.updated_at;
    old != *new
}
