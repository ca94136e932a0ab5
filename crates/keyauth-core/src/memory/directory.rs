//! Tenants, owners, groups, and who belongs to which.

use super::MemoryStore;
use super::audit::{Kept, Relation};
use super::state::State;
use crate::{
    BoundKeys, Directory, Group, GroupId, GroupUpdate, Key, KeyStatus, Owner, OwnerId, OwnerUpdate,
    Page, Status, StoreError, StoreErrorKind, Subject, Subscription, Tenant, TenantId,
    TenantUpdate,
};

impl Directory for MemoryStore {
    async fn put_tenant(&self, tenant: &Tenant) -> Result<(), StoreError> {
        tenant.check()?;
        self.change(|state| {
            state.set_tenant(tenant);
            Ok(())
        })
    }

    async fn update_tenant(
        &self,
        tenant: &TenantId,
        update: &TenantUpdate,
    ) -> Result<Tenant, StoreError> {
        self.change(|state| {
            let tenant = update.applied_to(found(state.tenants.get(tenant))?)?;
            state.set_tenant(&tenant);
            Ok(tenant)
        })
    }

    async fn tenant(&self, tenant: &TenantId) -> Result<Tenant, StoreError> {
        found(self.read().tenants.get(tenant))
    }

    async fn tenants(&self, page: &Page<TenantId>) -> Result<Vec<Tenant>, StoreError> {
        let state = self.read();
        Ok(part(state.tenants.values().cloned(), page, |tenant| &tenant.id))
    }

    async fn put_owner(&self, owner: &Owner) -> Result<(), StoreError> {
        owner.check()?;
        self.change(|state| {
            state.require_tenant(&owner.tenant)?;
            state.set_owner(owner, Kept::There);
            Ok(())
        })
    }

    async fn update_owner(
        &self,
        tenant: &TenantId,
        owner: &OwnerId,
        update: &OwnerUpdate,
    ) -> Result<Owner, StoreError> {
        self.change(|state| {
            let owner = update.applied_to(state.owner(tenant, owner)?)?;
            state.set_owner(&owner, Kept::There);
            Ok(owner)
        })
    }

    async fn owner(&self, tenant: &TenantId, owner: &OwnerId) -> Result<Owner, StoreError> {
        self.read().owner(tenant, owner)
    }

    async fn owners(
        &self,
        tenant: &TenantId,
        page: &Page<OwnerId>,
    ) -> Result<Vec<Owner>, StoreError> {
        let state = self.read();
        let living = state.owners.iter().filter(|(name, _)| !state.deleted_owners.contains(*name));
        let owners = living.map(|(_, owner)| owner).filter(|owner| owner.tenant == *tenant);
        Ok(part(owners.cloned(), page, |owner| &owner.id))
    }

    async fn delete_owner(&self, tenant: &TenantId, owner: &OwnerId) -> Result<u64, StoreError> {
        let now = self.issuer.now();
        self.change(|state| {
            state.owner(tenant, owner)?;
            let own = |key: &Key| key.tenant == *tenant && key.owner == *owner;
            let keys = state.keys.values_mut().filter(|key| own(key));
            let mut revoked = Vec::new();
            for key in keys.filter(|key| key.status != KeyStatus::Revoked) {
                let old = key.clone();
                key.status = KeyStatus::Revoked;
                key.revoked_at = Some(now);
                key.updated_at = now;
                revoked.push((old, key.clone()));
            }
            state.leave(|(of, _, who)| of == tenant && who == owner);
            let gone = Owner::new(tenant.clone(), owner.clone());
            state.set_owner(&Owner { status: Status::Inactive, ..gone }, Kept::Deleted);
            let count = u64::try_from(revoked.len()).unwrap_or(u64::MAX);
            for (old, key) in revoked {
                state.note_key(Some(&old), &key);
                state.raise(Subject::Key(key.id));
            }
            Ok(count)
        })
    }

    async fn put_group(&self, group: &Group) -> Result<(), StoreError> {
        group.check()?;
        self.change(|state| {
            state.require_tenant(&group.tenant)?;
            state.set_group(group);
            Ok(())
        })
    }

    async fn update_group(
        &self,
        tenant: &TenantId,
        group: &GroupId,
        update: &GroupUpdate,
    ) -> Result<Group, StoreError> {
        self.change(|state| {
            let group = update.applied_to(state.group(tenant, group)?)?;
            state.set_group(&group);
            Ok(group)
        })
    }

    async fn group(&self, tenant: &TenantId, group: &GroupId) -> Result<Group, StoreError> {
        self.read().group(tenant, group)
    }

    async fn groups(
        &self,
        tenant: &TenantId,
        page: &Page<GroupId>,
    ) -> Result<Vec<Group>, StoreError> {
        let state = self.read();
        let groups = state.groups.values().filter(|group| group.tenant == *tenant);
        Ok(part(groups.cloned(), page, |group| &group.id))
    }

    async fn groups_open_to(
        &self,
        tenant: &TenantId,
        owner: &OwnerId,
        page: &Page<GroupId>,
    ) -> Result<Vec<Group>, StoreError> {
        let (state, now) = (self.read(), self.issuer.now());
        state.owner(tenant, owner)?;
        let is_open = |group: &&Group| {
            let access = state.group_access(tenant, &group.id, owner);
            group.status == Status::Active
                && access.is_some_and(|access| access.admit_owner(now).is_ok())
        };
        let groups = state.groups.values().filter(|group| group.tenant == *tenant);
        Ok(part(groups.filter(is_open).cloned(), page, |group| &group.id))
    }

    async fn delete_group(
        &self,
        tenant: &TenantId,
        group: &GroupId,
        bound: BoundKeys,
    ) -> Result<u64, StoreError> {
        let now = self.issuer.now();
        self.change(|state| {
            state.group(tenant, group)?;
            let is_bound = |key: &Key| {
                key.tenant == *tenant && key.group.as_ref().is_some_and(|of| of == group)
            };
            let keys = state.keys.values().filter(|key| is_bound(key));
            let living = keys.filter(|key| key.status != KeyStatus::Revoked).count();
            let living = u64::try_from(living).unwrap_or(u64::MAX);
            if living > 0 && bound == BoundKeys::Refuse {
                return Err(StoreErrorKind::InUse { keys: living }.into());
            }
            let mut detached = Vec::new();
            for key in state.keys.values_mut().filter(|key| is_bound(key)) {
                let old = key.clone();
                key.group = None;
                key.updated_at = now;
                detached.push((old, key.clone()));
            }
            for (old, key) in detached {
                state.note_key(Some(&old), &key);
                state.raise(Subject::Key(key.id));
            }
            state.leave(|(of, to, _)| of == tenant && to == group);
            let old = state.groups.remove(&(tenant.clone(), group.clone()));
            state.note_group(old.as_ref(), None);
            state.raise(Subject::Group(tenant.clone(), group.clone()));
            Ok(living)
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
            let member = (tenant.clone(), group.clone(), owner.clone());
            if state.members.insert(member.clone()) {
                state.note_membership(&member, false, true);
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
            let member = (tenant.clone(), group.clone(), owner.clone());
            if state.members.remove(&member) {
                state.note_membership(&member, true, false);
                state.raise(Subject::Owner(tenant.clone(), owner.clone()));
            }
            Ok(())
        })
    }

    async fn members(
        &self,
        tenant: &TenantId,
        group: &GroupId,
        page: &Page<OwnerId>,
    ) -> Result<Vec<OwnerId>, StoreError> {
        let state = self.read();
        state.group(tenant, group)?;
        let members = state.members.iter().filter(|(of, list, _)| of == tenant && list == group);
        Ok(part(members.map(|(_, _, owner)| owner.clone()), page, |owner| owner))
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
            let old = state.subscriptions.insert(relation.clone(), subscription);
            state.note_subscription(&relation, old, Some(subscription));
            if old != Some(subscription) {
                state.raise(Subject::Owner(tenant.clone(), owner.clone()));
            }
            Ok(())
        })
    }

    async fn remove_subscription(
        &self,
        tenant: &TenantId,
        group: &GroupId,
        owner: &OwnerId,
    ) -> Result<(), StoreError> {
        self.change(|state| {
            let relation = (tenant.clone(), group.clone(), owner.clone());
            if let Some(old) = state.subscriptions.remove(&relation) {
                state.note_subscription(&relation, Some(old), None);
                state.raise(Subject::Owner(tenant.clone(), owner.clone()));
            }
            Ok(())
        })
    }

    async fn subscriptions(
        &self,
        tenant: &TenantId,
        group: &GroupId,
        page: &Page<OwnerId>,
    ) -> Result<Vec<(OwnerId, Subscription)>, StoreError> {
        let state = self.read();
        state.group(tenant, group)?;
        let subscriptions = state.subscriptions.iter();
        let to_group = subscriptions.filter(|((of, to, _), _)| of == tenant && to == group);
        let to_group = to_group.map(|((_, _, owner), subscription)| (owner.clone(), *subscription));
        Ok(part(to_group, page, |(owner, _)| owner))
    }
}

impl State {
    fn owner(&self, tenant: &TenantId, owner: &OwnerId) -> Result<Owner, StoreError> {
        let name = (tenant.clone(), owner.clone());
        found(self.owners.get(&name).filter(|_| !self.deleted_owners.contains(&name)))
    }

    fn group(&self, tenant: &TenantId, group: &GroupId) -> Result<Group, StoreError> {
        found(self.groups.get(&(tenant.clone(), group.clone())))
    }

    /// Adds a key, and its owner where that is new, or was deleted.
    pub(super) fn insert_key(&mut self, key: &Key) -> Result<(), StoreError> {
        self.require_tenant(&key.tenant)?;
        if let Some(group) = &key.group {
            self.require_binding(key, group, key.created_at)?;
        }
        self.require_room(&key.tenant, &key.owner)?;
        let name = (key.tenant.clone(), key.owner.clone());
        if self.deleted_owners.contains(&name) || !self.owners.contains_key(&name) {
            self.set_owner(&Owner::new(key.tenant.clone(), key.owner.clone()), Kept::There);
        }
        self.note_key(None, key);
        self.keys.insert(key.id, key.clone());
        Ok(())
    }

    /// Takes owners off lists, and their subscriptions away.
    fn leave(&mut self, leaves: impl Fn(&Relation) -> bool) {
        let members: Vec<_> = self.members.extract_if(.., |member| leaves(member)).collect();
        for member in members {
            self.note_membership(&member, true, false);
            self.raise(Subject::Owner(member.0, member.2));
        }
        let subscriptions = self.subscriptions.extract_if(.., |relation, _| leaves(relation));
        for (relation, old) in subscriptions.collect::<Vec<_>>() {
            self.note_subscription(&relation, Some(old), None);
            self.raise(Subject::Owner(relation.0, relation.2));
        }
    }

    fn set_tenant(&mut self, tenant: &Tenant) {
        let old = self.tenants.insert(tenant.id.clone(), tenant.clone());
        self.note_tenant(old.as_ref(), tenant);
        if old.is_some_and(|old| old != *tenant) {
            self.raise(Subject::Tenant(tenant.id.clone()));
        }
    }

    pub(super) fn set_owner(&mut self, owner: &Owner, kept: Kept) {
        let name = (owner.tenant.clone(), owner.id.clone());
        let was = match self.deleted_owners.remove(&name) {
            true => Kept::Deleted,
            false => Kept::There,
        };
        let old = self.owners.insert(name.clone(), owner.clone());
        self.note_owner(old.as_ref().map(|old| (old, was)), (owner, kept));
        if matches!(kept, Kept::Deleted) {
            self.deleted_owners.insert(name.clone());
        }
        if old.is_some_and(|old| old != *owner) {
            self.raise(Subject::Owner(name.0, name.1));
        }
    }

    fn set_group(&mut self, group: &Group) {
        let name = (group.tenant.clone(), group.id.clone());
        let old = self.groups.insert(name.clone(), group.clone());
        self.note_group(old.as_ref(), Some(group));
        if old.is_some_and(|old| old != *group) {
            self.raise(Subject::Group(name.0, name.1));
        }
    }
}

fn found<T: Clone>(value: Option<&T>) -> Result<T, StoreError> {
    value.cloned().ok_or_else(|| StoreErrorKind::NotFound.into())
}

fn part<T, I: Ord>(all: impl Iterator<Item = T>, page: &Page<I>, id: impl Fn(&T) -> &I) -> Vec<T> {
    let behind = |entry: &T| page.after.as_ref().is_none_or(|last| id(entry) > last);
    all.filter(behind).take(page.count.into()).collect()
}
