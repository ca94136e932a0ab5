//! Keeping those whom keys belong to.

use crate::{Group, GroupId, Owner, OwnerId, StoreError, Subscription, Tenant, TenantId};

/// Keeps tenants, owners and groups, and who belongs to which.
///
/// # Contract
///
/// * Each call is one transaction, and the next lookup through the same value sees it.
/// * `put_*` creates what is not there and replaces what is. Keys stay as they are.
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

    /// Creates or replaces an owner.
    ///
    /// # Errors
    ///
    /// See the contract.
    fn put_owner(&self, owner: &Owner) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Creates or replaces a group.
    ///
    /// # Errors
    ///
    /// See the contract.
    fn put_group(&self, group: &Group) -> impl Future<Output = Result<(), StoreError>> + Send;

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
}
