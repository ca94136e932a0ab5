//! What the store remembers, and what it must find before it changes that.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Arc, OnceLock};

use super::audit::Audit;
use super::feed::History;
use crate::{
    Change, CustomKeyGuesses, Group, GroupAccess, GroupId, ImportedHash, Key, KeyDigest, KeyId,
    KeyRecord, KeyRef, KeyStatus, Memo, NewSecret, Origin, Owner, OwnerId, RequestName, SecretId,
    SecretKind, StoreError, StoreErrorKind, Subject, Subscription, Tenant, TenantId, Timestamp,
    Version, Versions,
};

#[derive(Debug)]
pub(super) struct State {
    pub(super) tenants: BTreeMap<TenantId, Tenant>,
    pub(super) owners: BTreeMap<(TenantId, OwnerId), Owner>,
    /// Those of the owners that are there for the sake of their revoked keys alone.
    pub(super) deleted_owners: HashSet<(TenantId, OwnerId)>,
    pub(super) groups: BTreeMap<(TenantId, GroupId), Group>,
    pub(super) members: BTreeSet<(TenantId, GroupId, OwnerId)>,
    pub(super) subscriptions: BTreeMap<(TenantId, GroupId, OwnerId), Subscription>,
    pub(super) keys: BTreeMap<KeyId, Key>,
    pub(super) secrets: HashMap<KeyDigest, Secret>,
    /// Of keys of other systems, until they are presented.
    pub(super) imported: Vec<Imported>,
    /// When owners have chosen custom keys that were in use.
    pub(super) guesses: HashMap<(TenantId, OwnerId), Vec<Timestamp>>,
    /// Records that were looked up since the last change of anything.
    pub(super) records: HashMap<KeyDigest, Arc<KeyRecord>>,
    /// The last version that was given to any subject, so that every change has its own.
    pub(super) version: Version,
    /// Of those subjects that ever changed.
    pub(super) versions: HashMap<Subject, Version>,
    pub(super) history: History,
    pub(super) audit: Audit,
    /// What was asked for under a name, by that.
    pub(super) requests: HashMap<KeyDigest, (KeyDigest, KeyId)>,
    pub(super) origin: OnceLock<Origin>,
}

#[derive(Clone, Debug)]
pub(super) struct Secret {
    pub(super) id: SecretId,
    pub(super) key: KeyId,
    pub(super) ends_at: Option<Timestamp>,
}

#[derive(Debug)]
pub(super) struct Imported {
    pub(super) lookup: KeyDigest,
    /// None where it was presented.
    pub(super) hash: Option<ImportedHash>,
    pub(super) fingerprint: KeyDigest,
    pub(super) secret: Secret,
}

impl State {
    /// The default tenant and owner.
    pub(super) fn new() -> Self {
        let tenant = Tenant::new(TenantId::default());
        let owner = Owner::new(TenantId::default(), OwnerId::default());
        Self {
            owners: BTreeMap::from([((tenant.id.clone(), owner.id.clone()), owner)]),
            tenants: BTreeMap::from([(tenant.id.clone(), tenant)]),
            deleted_owners: HashSet::new(),
            groups: BTreeMap::new(),
            members: BTreeSet::new(),
            subscriptions: BTreeMap::new(),
            keys: BTreeMap::new(),
            secrets: HashMap::new(),
            imported: Vec::new(),
            guesses: HashMap::new(),
            records: HashMap::new(),
            version: Version::ZERO,
            versions: HashMap::new(),
            history: History::default(),
            audit: Audit::default(),
            requests: HashMap::new(),
            origin: OnceLock::new(),
        }
    }

    pub(super) fn record(&self, digest: &KeyDigest) -> Option<KeyRecord> {
        let secret = self.secrets.get(digest)?;
        let key = self.keys.get(&secret.key)?.clone();
        let tenant = self.tenants.get(&key.tenant)?;
        let owner = self.owners.get(&(key.tenant.clone(), key.owner.clone()))?;
        let (access, group) = match &key.group {
            Some(id) => {
                let found = self.groups.get(&(key.tenant.clone(), id.clone()))?;
                (self.group_access(&key.tenant, id, &key.owner), Some(found))
            }
            None => (None, None),
        };
        let group_limits = group.map_or([].as_slice(), |group| &group.limits);
        let group_budgets = group.map_or([].as_slice(), |group| &group.budgets);
        let group_rate = group.map(|group| group.rate_multiplier);
        let mut record = KeyRecord {
            limits: key.applied_limits(&owner.limits, group_limits, &tenant.limits),
            budgets: key.applied_budgets(&owner.budgets, group_budgets, &tenant.budgets),
            rate_multiplier: owner.rate_multiplier.or(group_rate).unwrap_or_default(),
            key,
            secret: secret.id,
            secret_ends_at: secret.ends_at,
            tenant: tenant.status,
            owner: owner.status,
            group: access,
            versions: Versions::default(),
            memo: Memo::default(),
        };
        record.versions = self.versions_of(&record);
        Some(record)
    }

    fn versions_of(&self, record: &KeyRecord) -> Versions {
        let mut versions = Versions::default();
        for (subject, _) in record.subjects() {
            let version = self.versions.get(&subject).copied().unwrap_or_default();
            match subject {
                Subject::Everything => versions.everything = version,
                Subject::Tenant(_) => versions.tenant = version,
                Subject::Owner(..) => versions.owner = version,
                Subject::Group(..) => versions.group = version,
                Subject::Key(_) => versions.key = version,
            }
        }
        versions
    }

    /// Makes all records of a subject stale.
    pub(super) fn raise(&mut self, subject: Subject) {
        self.version = self.version.next();
        self.versions.insert(subject.clone(), self.version);
        self.history.push(Change::Raised(subject, self.version));
    }

    pub(super) fn group_access(
        &self,
        tenant: &TenantId,
        id: &GroupId,
        owner: &OwnerId,
    ) -> Option<GroupAccess> {
        let group = self.groups.get(&(tenant.clone(), id.clone()))?;
        let relation = (tenant.clone(), id.clone(), owner.clone());
        Some(GroupAccess {
            status: group.status,
            kind: group.kind,
            member: self.members.contains(&relation),
            subscription: self.subscriptions.get(&relation).copied(),
        })
    }

    pub(super) fn key(&self, key: &KeyRef) -> Result<&Key, StoreError> {
        let found = self.keys.get(&key.id).filter(|found| found.tenant == key.tenant);
        found.ok_or_else(|| StoreErrorKind::NotFound.into())
    }

    pub(super) fn key_mut(&mut self, key: &KeyRef) -> Result<&mut Key, StoreError> {
        let found = self.keys.get_mut(&key.id).filter(|found| found.tenant == key.tenant);
        found.ok_or_else(|| StoreErrorKind::NotFound.into())
    }

    /// The key, unless it is revoked.
    pub(super) fn live_key_mut(&mut self, key: &KeyRef) -> Result<&mut Key, StoreError> {
        let found = self.key_mut(key)?;
        match found.status {
            KeyStatus::Revoked => Err(StoreErrorKind::Revoked.into()),
            KeyStatus::Active | KeyStatus::Disabled => Ok(found),
        }
    }

    pub(super) fn require_tenant(&self, id: &TenantId) -> Result<&Tenant, StoreError> {
        self.tenants.get(id).ok_or_else(|| StoreError::missing("tenant"))
    }

    pub(super) fn require_owner(&self, tenant: &TenantId, id: &OwnerId) -> Result<(), StoreError> {
        let name = (tenant.clone(), id.clone());
        let exists = self.owners.contains_key(&name) && !self.deleted_owners.contains(&name);
        if exists { Ok(()) } else { Err(StoreError::missing("owner")) }
    }

    pub(super) fn require_group(&self, tenant: &TenantId, id: &GroupId) -> Result<(), StoreError> {
        let exists = self.groups.contains_key(&(tenant.clone(), id.clone()));
        if exists { Ok(()) } else { Err(StoreError::missing("group")) }
    }

    /// Whether a key may be bound to a group.
    pub(super) fn require_binding(
        &self,
        key: &Key,
        group: &GroupId,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let access = self.group_access(&key.tenant, group, &key.owner);
        Ok(access.ok_or_else(|| StoreError::missing("group"))?.check_binding(now)?)
    }

    /// Refuses a request that was done before.
    pub(super) fn require_new_request(
        &self,
        request: Option<&RequestName>,
    ) -> Result<(), StoreError> {
        let done = request.and_then(|request| Some((request, self.requests.get(&request.name)?)));
        done.map_or(Ok(()), |(request, (done, key))| Err(request.repeated(*done, *key)))
    }

    /// Remembers that a request was done.
    pub(super) fn note_request(&mut self, request: Option<&RequestName>, key: KeyId) {
        if let Some(RequestName { name, fingerprint, .. }) = request {
            self.requests.insert(*name, (*fingerprint, key));
        }
    }

    /// Whether a secret may be added for an owner. That it is in use is noted.
    pub(super) fn require_new_secret(
        &mut self,
        tenant: &TenantId,
        owner: &OwnerId,
        secret: &NewSecret,
    ) -> Result<(), StoreError> {
        secret.check_allowed(self.require_tenant(tenant)?.custom_keys)?;
        let is_taken = self.secrets.contains_key(&secret.digest);
        if secret.kind == SecretKind::Custom {
            let now = secret.created_at;
            let guesses = self.guesses.entry((tenant.clone(), owner.clone())).or_default();
            guesses.retain(|guess| *guess > CustomKeyGuesses::since(now));
            CustomKeyGuesses::check(guesses, now)?;
            if is_taken {
                guesses.push(now);
            }
        }
        if is_taken { Err(StoreErrorKind::Taken.into()) } else { Ok(()) }
    }

    /// Whether an owner may have another key.
    pub(super) fn require_room(
        &self,
        tenant: &TenantId,
        owner: &OwnerId,
    ) -> Result<(), StoreError> {
        let own = self.owners.get(&(tenant.clone(), owner.clone())).and_then(|own| own.max_keys);
        let Some(most) = own.or(self.require_tenant(tenant)?.max_keys_per_owner) else {
            return Ok(());
        };
        let counts = |key: &&Key| {
            key.tenant == *tenant && key.owner == *owner && key.status != KeyStatus::Revoked
        };
        let count = self.keys.values().filter(counts).count();
        let room = u32::try_from(count).is_ok_and(|count| count < most);
        if room { Ok(()) } else { Err(StoreErrorKind::TooManyKeys { most }.into()) }
    }
}
