//! Tenants, owners, groups, and who belongs to which.

use keyauth_core::{
    BoundKeys, Directory, Group, GroupId, GroupUpdate, KeyStore, Owner, OwnerId, OwnerUpdate, Page,
    StoreError, Subscription, Tenant, TenantId, TenantUpdate,
};

use crate::PostgresStore;
use crate::groups::{
    delete_group, list_groups, list_open_groups, lock_group, read_group, write_group,
};
use crate::owners::{delete_owner, list_owners, lock_owner, read_owner, write_owner};
use crate::relations::{Relation, list_members, list_subscriptions};
use crate::statement::require_tenant;
use crate::tenants::{list_tenants, lock_tenant, read_tenant, write_tenant};
use crate::transaction::change_with;

impl Directory for PostgresStore {
    async fn put_tenant(&self, tenant: &Tenant) -> Result<(), StoreError> {
        tenant.check()?;
        change_with!(self, |connection| { write_tenant(connection, self.schema(), tenant).await })
    }

    async fn update_tenant(
        &self,
        tenant: &TenantId,
        update: &TenantUpdate,
    ) -> Result<Tenant, StoreError> {
        change_with!(self, |connection| {
            let old = lock_tenant(connection, self.schema(), tenant).await?;
            let new = update.applied_to(old)?;
            write_tenant(connection, self.schema(), &new).await?;
            Ok(new)
        })
    }

    async fn tenant(&self, tenant: &TenantId) -> Result<Tenant, StoreError> {
        read_tenant(&mut *self.acquire().await?, self.schema(), tenant).await
    }

    async fn tenants(&self, page: &Page<TenantId>) -> Result<Vec<Tenant>, StoreError> {
        list_tenants(&mut *self.acquire().await?, self.schema(), page).await
    }

    async fn put_owner(&self, owner: &Owner) -> Result<(), StoreError> {
        owner.check()?;
        change_with!(self, |connection| {
            require_tenant(connection, self.schema(), &owner.tenant).await?;
            write_owner(connection, self.schema(), owner).await
        })
    }

    async fn update_owner(
        &self,
        tenant: &TenantId,
        owner: &OwnerId,
        update: &OwnerUpdate,
    ) -> Result<Owner, StoreError> {
        change_with!(self, |connection| {
            let old = lock_owner(connection, self.schema(), tenant, owner).await?;
            let new = update.applied_to(old)?;
            write_owner(connection, self.schema(), &new).await?;
            Ok(new)
        })
    }

    async fn owner(&self, tenant: &TenantId, owner: &OwnerId) -> Result<Owner, StoreError> {
        read_owner(&mut *self.acquire().await?, self.schema(), tenant, owner).await
    }

    async fn owners(
        &self,
        tenant: &TenantId,
        page: &Page<OwnerId>,
    ) -> Result<Vec<Owner>, StoreError> {
        list_owners(&mut *self.acquire().await?, self.schema(), tenant, page).await
    }

    async fn delete_owner(&self, tenant: &TenantId, owner: &OwnerId) -> Result<u64, StoreError> {
        let now = self.issuer().now();
        change_with!(self, |connection| {
            delete_owner(connection, self.schema(), (tenant, owner), now).await
        })
    }

    async fn put_group(&self, group: &Group) -> Result<(), StoreError> {
        group.check()?;
        change_with!(self, |connection| {
            require_tenant(connection, self.schema(), &group.tenant).await?;
            write_group(connection, self.schema(), group).await
        })
    }

    async fn update_group(
        &self,
        tenant: &TenantId,
        group: &GroupId,
        update: &GroupUpdate,
    ) -> Result<Group, StoreError> {
        change_with!(self, |connection| {
            let old = lock_group(connection, self.schema(), tenant, group).await?;
            let new = update.applied_to(old)?;
            write_group(connection, self.schema(), &new).await?;
            Ok(new)
        })
    }

    async fn group(&self, tenant: &TenantId, group: &GroupId) -> Result<Group, StoreError> {
        read_group(&mut *self.acquire().await?, self.schema(), tenant, group).await
    }

    async fn groups(
        &self,
        tenant: &TenantId,
        page: &Page<GroupId>,
    ) -> Result<Vec<Group>, StoreError> {
        list_groups(&mut *self.acquire().await?, self.schema(), tenant, page).await
    }

    async fn groups_open_to(
        &self,
        tenant: &TenantId,
        owner: &OwnerId,
        page: &Page<GroupId>,
    ) -> Result<Vec<Group>, StoreError> {
        let (mut connection, now) = (self.acquire().await?, self.issuer().now());
        read_owner(&mut connection, self.schema(), tenant, owner).await?;
        list_open_groups(&mut connection, self.schema(), (tenant, owner), now, page).await
    }

    async fn delete_group(
        &self,
        tenant: &TenantId,
        group: &GroupId,
        bound: BoundKeys,
    ) -> Result<u64, StoreError> {
        let now = self.issuer().now();
        change_with!(self, |connection| {
            delete_group(connection, self.schema(), (tenant, group), bound, now).await
        })
    }

    async fn add_member(
        &self,
        tenant: &TenantId,
        group: &GroupId,
        owner: &OwnerId,
    ) -> Result<(), StoreError> {
        let member = Relation { tenant, group, owner };
        change_with!(self, |connection| {
            member.require(connection, self.schema()).await?;
            let add = "INSERT INTO keyauth.memberships (tenant, group_id, owner) \
                       VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
            member.execute(connection, self.schema(), add).await
        })
    }

    async fn remove_member(
        &self,
        tenant: &TenantId,
        group: &GroupId,
        owner: &OwnerId,
    ) -> Result<(), StoreError> {
        let member = Relation { tenant, group, owner };
        change_with!(self, |connection| {
            let remove = "DELETE FROM keyauth.memberships \
                          WHERE tenant = $1 AND group_id = $2 AND owner = $3";
            member.execute(connection, self.schema(), remove).await
        })
    }

    async fn members(
        &self,
        tenant: &TenantId,
        group: &GroupId,
        page: &Page<OwnerId>,
    ) -> Result<Vec<OwnerId>, StoreError> {
        let mut connection = self.acquire().await?;
        read_group(&mut connection, self.schema(), tenant, group).await?;
        list_members(&mut connection, self.schema(), (tenant, group), page).await
    }

    async fn put_subscription(
        &self,
        tenant: &TenantId,
        group: &GroupId,
        owner: &OwnerId,
        subscription: Subscription,
    ) -> Result<(), StoreError> {
        let subscriber = Relation { tenant, group, owner };
        change_with!(self, |connection| {
            subscriber.require(connection, self.schema()).await?;
            subscriber.write_subscription(connection, self.schema(), subscription).await
        })
    }

    async fn remove_subscription(
        &self,
        tenant: &TenantId,
        group: &GroupId,
        owner: &OwnerId,
    ) -> Result<(), StoreError> {
        let subscriber = Relation { tenant, group, owner };
        change_with!(self, |connection| {
            let remove = "DELETE FROM keyauth.subscriptions \
                          WHERE tenant = $1 AND group_id = $2 AND owner = $3";
            subscriber.execute(connection, self.schema(), remove).await
        })
    }

    async fn subscriptions(
        &self,
        tenant: &TenantId,
        group: &GroupId,
        page: &Page<OwnerId>,
    ) -> Result<Vec<(OwnerId, Subscription)>, StoreError> {
        let mut connection = self.acquire().await?;
        read_group(&mut connection, self.schema(), tenant, group).await?;
        list_subscriptions(&mut connection, self.schema(), (tenant, group), page).await
    }
}
