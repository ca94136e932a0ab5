//! Tenants, owners, groups, and who belongs to which.

use keyauth_core::{
    BoundKeys, Directory, Group, GroupId, GroupUpdate, KeyStore, Owner, OwnerId, OwnerUpdate, Page,
    StoreError, Subscription, Tenant, TenantId, TenantUpdate,
};

use crate::SqliteStore;
use crate::groups::{delete_group, list_groups, list_open_groups, read_group, write_group};
use crate::owners::{delete_owner, list_owners, read_owner, write_owner};
use crate::relations::{Relation, list_members, list_subscriptions};
use crate::statement::require_tenant;
use crate::tenants::{list_tenants, read_tenant, write_tenant};

impl Directory for SqliteStore {
    async fn put_tenant(&self, tenant: &Tenant) -> Result<(), StoreError> {
        tenant.check()?;
        let mut transaction = self.begin().await?;
        write_tenant(&mut transaction, tenant).await?;
        transaction.commit().await
    }

    async fn update_tenant(
        &self,
        tenant: &TenantId,
        update: &TenantUpdate,
    ) -> Result<Tenant, StoreError> {
        let mut transaction = self.begin().await?;
        let old = read_tenant(&mut transaction, tenant).await?;
        let new = update.applied_to(old)?;
        write_tenant(&mut transaction, &new).await?;
        transaction.commit().await?;
        Ok(new)
    }

    async fn tenant(&self, tenant: &TenantId) -> Result<Tenant, StoreError> {
        read_tenant(&mut *self.acquire().await?, tenant).await
    }

    async fn tenants(&self, page: &Page<TenantId>) -> Result<Vec<Tenant>, StoreError> {
        list_tenants(&mut *self.acquire().await?, page).await
    }

    async fn put_owner(&self, owner: &Owner) -> Result<(), StoreError> {
        owner.check()?;
        let mut transaction = self.begin().await?;
        require_tenant(&mut transaction, &owner.tenant).await?;
        write_owner(&mut transaction, owner).await?;
        transaction.commit().await
    }

    async fn update_owner(
        &self,
        tenant: &TenantId,
        owner: &OwnerId,
        update: &OwnerUpdate,
    ) -> Result<Owner, StoreError> {
        let mut transaction = self.begin().await?;
        let old = read_owner(&mut transaction, tenant, owner).await?;
        let new = update.applied_to(old)?;
        write_owner(&mut transaction, &new).await?;
        transaction.commit().await?;
        Ok(new)
    }

    async fn owner(&self, tenant: &TenantId, owner: &OwnerId) -> Result<Owner, StoreError> {
        read_owner(&mut *self.acquire().await?, tenant, owner).await
    }

    async fn owners(
        &self,
        tenant: &TenantId,
        page: &Page<OwnerId>,
    ) -> Result<Vec<Owner>, StoreError> {
        list_owners(&mut *self.acquire().await?, tenant, page).await
    }

    async fn delete_owner(&self, tenant: &TenantId, owner: &OwnerId) -> Result<u64, StoreError> {
        let now = self.issuer().now();
        let mut transaction = self.begin().await?;
        let keys = delete_owner(&mut transaction, (tenant, owner), now).await?;
        transaction.commit().await?;
        Ok(keys)
    }

    async fn put_group(&self, group: &Group) -> Result<(), StoreError> {
        group.check()?;
        let mut transaction = self.begin().await?;
        require_tenant(&mut transaction, &group.tenant).await?;
        write_group(&mut transaction, group).await?;
        transaction.commit().await
    }

    async fn update_group(
        &self,
        tenant: &TenantId,
        group: &GroupId,
        update: &GroupUpdate,
    ) -> Result<Group, StoreError> {
        let mut transaction = self.begin().await?;
        let old = read_group(&mut transaction, tenant, group).await?;
        let new = update.applied_to(old)?;
        write_group(&mut transaction, &new).await?;
        transaction.commit().await?;
        Ok(new)
    }

    async fn group(&self, tenant: &TenantId, group: &GroupId) -> Result<Group, StoreError> {
        read_group(&mut *self.acquire().await?, tenant, group).await
    }

    async fn groups(
        &self,
        tenant: &TenantId,
        page: &Page<GroupId>,
    ) -> Result<Vec<Group>, StoreError> {
        list_groups(&mut *self.acquire().await?, tenant, page).await
    }

    async fn groups_open_to(
        &self,
        tenant: &TenantId,
        owner: &OwnerId,
        page: &Page<GroupId>,
    ) -> Result<Vec<Group>, StoreError> {
        let (mut connection, now) = (self.acquire().await?, self.issuer().now());
        read_owner(&mut connection, tenant, owner).await?;
        list_open_groups(&mut connection, (tenant, owner), now, page).await
    }

    async fn delete_group(
        &self,
        tenant: &TenantId,
        group: &GroupId,
        bound: BoundKeys,
    ) -> Result<u64, StoreError> {
        let mut transaction = self.begin().await?;
        let now = self.issuer().now();
        let keys = delete_group(&mut transaction, (tenant, group), bound, now).await?;
        transaction.commit().await?;
        Ok(keys)
    }

    async fn add_member(
        &self,
        tenant: &TenantId,
        group: &GroupId,
        owner: &OwnerId,
    ) -> Result<(), StoreError> {
        let member = Relation { tenant, group, owner };
        let mut transaction = self.begin().await?;
        member.require(&mut transaction).await?;
        let add = "INSERT INTO memberships (tenant, group_id, owner) \
                   VALUES (?, ?, ?) ON CONFLICT DO NOTHING";
        member.execute(&mut transaction, add).await?;
        transaction.commit().await
    }

    async fn remove_member(
        &self,
        tenant: &TenantId,
        group: &GroupId,
        owner: &OwnerId,
    ) -> Result<(), StoreError> {
        let member = Relation { tenant, group, owner };
        let mut transaction = self.begin().await?;
        let remove = "DELETE FROM memberships \
                  WHERE tenant = ? AND group_id = ? AND owner = ?";
        member.execute(&mut transaction, remove).await?;
        transaction.commit().await
    }

    async fn members(
        &self,
        tenant: &TenantId,
        group: &GroupId,
        page: &Page<OwnerId>,
    ) -> Result<Vec<OwnerId>, StoreError> {
        let mut connection = self.acquire().await?;
        read_group(&mut connection, tenant, group).await?;
        list_members(&mut connection, (tenant, group), page).await
    }

    async fn put_subscription(
        &self,
        tenant: &TenantId,
        group: &GroupId,
        owner: &OwnerId,
        subscription: Subscription,
    ) -> Result<(), StoreError> {
        let subscriber = Relation { tenant, group, owner };
        let mut transaction = self.begin().await?;
        subscriber.require(&mut transaction).await?;
        subscriber.write_subscription(&mut transaction, subscription).await?;
        transaction.commit().await
    }

    async fn remove_subscription(
        &self,
        tenant: &TenantId,
        group: &GroupId,
        owner: &OwnerId,
    ) -> Result<(), StoreError> {
        let subscriber = Relation { tenant, group, owner };
        let mut transaction = self.begin().await?;
        let remove = "DELETE FROM subscriptions \
                  WHERE tenant = ? AND group_id = ? AND owner = ?";
        subscriber.execute(&mut transaction, remove).await?;
        transaction.commit().await
    }

    async fn subscriptions(
        &self,
        tenant: &TenantId,
        group: &GroupId,
        page: &Page<OwnerId>,
    ) -> Result<Vec<(OwnerId, Subscription)>, StoreError> {
        let mut connection = self.acquire().await?;
        read_group(&mut connection, tenant, group).await?;
        list_subscriptions(&mut connection, (tenant, group), page).await
    }
}
