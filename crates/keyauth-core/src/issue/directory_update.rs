//! What people ask for when they change a tenant, an owner or a group.

use crate::{
    Budget, CustomKeys, Group, GroupKind, InvalidInput, Limit, Owner, Patch, RateMultiplier,
    Status, Tenant,
};

/// A change to a tenant. What is not named stays as it is; an empty list clears.
#[derive(Clone, Debug, Default)]
pub struct TenantUpdate {
    /// Whether its keys work.
    pub status: Option<Status>,
    /// Whether it may bring keys of its own making.
    pub custom_keys: Option<CustomKeys>,
    /// How many keys each of its owners may have.
    pub max_keys_per_owner: Patch<u32>,
    /// Its limits.
    pub limits: Option<Vec<Limit>>,
    /// Its budgets.
    pub budgets: Option<Vec<Budget>>,
}

impl TenantUpdate {
    /// The tenant as the change leaves it: for stores.
    ///
    /// # Errors
    ///
    /// Those of [`Tenant::check`].
    pub fn applied_to(&self, old: Tenant) -> Result<Tenant, InvalidInput> {
        let tenant = Tenant {
            id: old.id,
            status: self.status.unwrap_or(old.status),
            custom_keys: self.custom_keys.unwrap_or(old.custom_keys),
            max_keys_per_owner: self.max_keys_per_owner.apply_to(old.max_keys_per_owner),
            limits: self.limits.clone().unwrap_or(old.limits),
            budgets: self.budgets.clone().unwrap_or(old.budgets),
        };
        tenant.check().map(|()| tenant)
    }
}

/// A change to an owner. What is not named stays as it is; an empty list clears.
#[derive(Clone, Debug, Default)]
pub struct OwnerUpdate {
    /// Whether its keys work.
    pub status: Option<Status>,
    /// How many keys it may have.
    pub max_keys: Patch<u32>,
    /// Its limits.
    pub limits: Option<Vec<Limit>>,
    /// Its budgets.
    pub budgets: Option<Vec<Budget>>,
    /// What its keys are charged is multiplied by.
    pub rate_multiplier: Patch<RateMultiplier>,
}

impl OwnerUpdate {
    /// The owner as the change leaves it: for stores.
    ///
    /// # Errors
    ///
    /// Those of [`Owner::check`].
    pub fn applied_to(&self, old: Owner) -> Result<Owner, InvalidInput> {
        let owner = Owner {
            tenant: old.tenant,
            id: old.id,
            status: self.status.unwrap_or(old.status),
            max_keys: self.max_keys.apply_to(old.max_keys),
            limits: self.limits.clone().unwrap_or(old.limits),
            budgets: self.budgets.clone().unwrap_or(old.budgets),
            rate_multiplier: self.rate_multiplier.apply_to(old.rate_multiplier),
        };
        owner.check().map(|()| owner)
    }
}

/// A change to a group. What is not named stays as it is; an empty list clears.
#[derive(Clone, Debug, Default)]
pub struct GroupUpdate {
    /// Who may use it. Keys that are bound to it stay so, and are refused where their owner may not.
    pub kind: Option<GroupKind>,
    /// Whether keys bound to it work.
    pub status: Option<Status>,
    /// Its limits.
    pub limits: Option<Vec<Limit>>,
    /// Its budgets.
    pub budgets: Option<Vec<Budget>>,
    /// What keys bound to it are charged is multiplied by.
    pub rate_multiplier: Option<RateMultiplier>,
}

impl GroupUpdate {
    /// The group as the change leaves it: for stores.
    ///
    /// # Errors
    ///
    /// Those of [`Group::check`].
    pub fn applied_to(&self, old: Group) -> Result<Group, InvalidInput> {
        let group = Group {
            tenant: old.tenant,
            id: old.id,
            kind: self.kind.unwrap_or(old.kind),
            status: self.status.unwrap_or(old.status),
            limits: self.limits.clone().unwrap_or(old.limits),
            budgets: self.budgets.clone().unwrap_or(old.budgets),
            rate_multiplier: self.rate_multiplier.unwrap_or(old.rate_multiplier),
        };
        group.check().map(|()| group)
    }
}

/// What becomes of keys that are bound to a group that is deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum BoundKeys {
    /// The group stays, unless they are all revoked.
    #[default]
    Refuse,
    /// They go on without a group, and so without its limits and its restrictions.
    Detach,
}
