//! Keeping those whom keys belong to.

use crate::{
    BoundKeys, Group, GroupId, GroupUpdate, Owner, OwnerId, OwnerUpdate, StoreError, Subscription,
    Tenant, TenantId, TenantUpdate,
};

/// Keeps tenants, owners and groups, and who belongs to which.
///
/// # Contract
///
/// * Each call is one transaction, and the next lookup through the same value sees it.
/// * `put_*` creates what is not there and replaces what is; `update_*` changes what it names, and
///   nothing else. Keys stay as they are.
/// * What is read or changed and is not there, in this tenant, is
///   [`NotFound`](crate::StoreErrorKind::NotFound).
/// * Pages are in the order of their ids, byte for byte, by an index.
/// * Limits that cannot be, as [`Owner::check`] and its like say, are
///   [`InvalidInput`](crate::StoreErrorKind::InvalidInput), and nothing is changed.
/// * Nothing is created on the way: what a call names besides its subject must exist, or it
///   is [`InvalidInput`](crate::StoreErrorKind::InvalidInput) naming the field.
///
/// Checked by `keyauth_testkit::key_store_conformance!`.
pub trait Directory: Send + Sync {
    /// Creates or replaces a tenant.
    ///
    /// # Errors
    ///
    /// See the contract.
    fn put_tenant(&self, tenant: &Tenant) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Changes what an update names, and gives back the tenant.
    ///
    /// # Errors
    ///
    /// See the contract.
    fn update_tenant(
        &self,
        tenant: &TenantId,
        update: &TenantUpdate,
    ) -> impl Future<Output = Result<Tenant, StoreError>> + Send;

    /// Reads a tenant.
    ///
    /// # Errors
    ///
    /// See the contract.
    fn tenant(&self, tenant: &TenantId) -> impl Future<Output = Result<Tenant, StoreError>> + Send;

    /// Reads tenants.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](crate::StoreErrorKind::Unavailable) alone.
    fn tenants(
        &self,
        page: &Page<TenantId>,
    ) -> impl Future<Output = Result<Vec<Tenant>, StoreError>> + Send;

    /// Creates or replaces an owner. One that was deleted begins anew, without the keys it had.
    ///
    /// # Errors
    ///
    /// See the contract.
    fn put_owner(&self, owner: &Owner) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Changes what an update names, and gives back the owner.
    ///
    /// # Errors
    ///
    /// See the contract.
    fn update_owner(
        &self,
        tenant: &TenantId,
        owner: &OwnerId,
        update: &OwnerUpdate,
    ) -> impl Future<Output = Result<Owner, StoreError>> + Send;

    /// Reads an owner.
    ///
    /// # Errors
    ///
    /// See the contract.
    fn owner(
        &self,
        tenant: &TenantId,
        owner: &OwnerId,
    ) -> impl Future<Output = Result<Owner, StoreError>> + Send;

    /// Reads a tenant's owners.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](crate::StoreErrorKind::Unavailable) alone.
    fn owners(
        &self,
        tenant: &TenantId,
        page: &Page<OwnerId>,
    ) -> impl Future<Output = Result<Vec<Owner>, StoreError>> + Send;

    /// Deletes an owner: its keys are revoked, for good, and it is on no list and has no
    /// subscription. What it has used stays on record. Gives back how many keys that stopped.
    ///
    /// # Errors
    ///
    /// See the contract.
    fn delete_owner(
        &self,
        tenant: &TenantId,
        owner: &OwnerId,
    ) -> impl Future<Output = Result<u64, StoreError>> + Send;

    /// Creates or replaces a group.
    ///
    /// # Errors
    ///
    /// See the contract.
    fn put_group(&self, group: &Group) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Changes what an update names, and gives back the group.
    ///
    /// # Errors
    ///
    /// See the contract.
    fn update_group(
        &self,
        tenant: &TenantId,
        group: &GroupId,
        update: &GroupUpdate,
    ) -> impl Future<Output = Result<Group, StoreError>> + Send;

    /// Reads a group.
    ///
    /// # Errors
    ///
    /// See the contract.
    fn group(
        &self,
        tenant: &TenantId,
        group: &GroupId,
    ) -> impl Future<Output = Result<Group, StoreError>> + Send;

    /// Reads a tenant's groups.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](crate::StoreErrorKind::Unavailable) alone.
    fn groups(
        &self,
        tenant: &TenantId,
        page: &Page<GroupId>,
    ) -> impl Future<Output = Result<Vec<Group>, StoreError>> + Send;

    /// Reads the active groups that keys of an owner may be bound to.
    ///
    /// # Errors
    ///
    /// See the contract.
    fn groups_open_to(
        &self,
        tenant: &TenantId,
        owner: &OwnerId,
        page: &Page<GroupId>,
    ) -> impl Future<Output = Result<Vec<Group>, StoreError>> + Send;

    /// Deletes a group, with its list and its subscriptions. Gives back how many keys were bound
    /// to it, revoked ones aside.
    ///
    /// # Errors
    ///
    /// [`InUse`](crate::StoreErrorKind::InUse) where keys are bound to it that are not revoked, and
    /// are not to be detached.
    fn delete_group(
        &self,
        tenant: &TenantId,
        group: &GroupId,
        bound: BoundKeys,
    ) -> impl Future<Output = Result<u64, StoreError>> + Send;

    /// Reads a group's list.
    ///
    /// # Errors
    ///
    /// See the contract.
    fn members(
        &self,
        tenant: &TenantId,
        group: &GroupId,
        page: &Page<OwnerId>,
    ) -> impl Future<Output = Result<Vec<OwnerId>, StoreError>> + Send;

    /// Puts an owner on a group's list; once is enough.
    ///
    /// # Errors
    ///
    /// See the contract.
    fn add_member(
        &self,
        tenant: &TenantId,
        group: &GroupId,
        owner: &OwnerId,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Takes an owner off a group's list, if it is there.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](crate::StoreErrorKind::Unavailable) alone.
    fn remove_member(
        &self,
        tenant: &TenantId,
        group: &GroupId,
        owner: &OwnerId,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Creates or replaces an owner's subscription to a group.
    ///
    /// # Errors
    ///
    /// See the contract.
    fn put_subscription(
        &self,
        tenant: &TenantId,
        group: &GroupId,
        owner: &OwnerId,
        subscription: Subscription,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Takes an owner's subscription to a group away, if there is one.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](crate::StoreErrorKind::Unavailable) alone.
    fn remove_subscription(
        &self,
        tenant: &TenantId,
        group: &GroupId,
        owner: &OwnerId,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Reads who has subscribed to a group, whether that counts or not.
    ///
    /// # Errors
    ///
    /// See the contract.
    fn subscriptions(
        &self,
        tenant: &TenantId,
        group: &GroupId,
        page: &Page<OwnerId>,
    ) -> impl Future<Output = Result<Vec<(OwnerId, Subscription)>, StoreError>> + Send;
}

/// Which part of a list to read.
#[derive(Clone, Debug)]
pub struct Page<I> {
    /// Only what is behind this one.
    pub after: Option<I>,
    /// At most so many.
    pub count: u16,
}

impl<I> Page<I> {
    /// The first `count`.
    #[must_use]
    pub const fn first(count: u16) -> Self {
        Self { after: None, count }
    }

    /// What is behind the last one read.
    #[must_use]
    pub fn after(self, last: I) -> Self {
        Self { after: Some(last), ..self }
    }
}
