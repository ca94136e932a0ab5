//! Tenants, owners, groups, and who belongs to which.

use keyauth_core::{
    Directory, Group, GroupId, Owner, OwnerId, StoreError, Subscription, Tenant, TenantId,
    Timestamp,
};

use crate::SqliteStore;
use crate::keys::json;
use crate::statement::{execute, require_group, require_owner, require_tenant};

impl Directory for SqliteStore {
    async fn put_tenant(&self, tenant: &Tenant) -> Result<(), StoreError> {
        tenant.check()?;
        let mut transaction = self.begin().await?;
        let statement = sqlx::query(
            "INSERT INTO tenants (id, status, custom_keys, max_keys_per_owner, limits, budgets) \
             VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET status = excluded.status, \
             custom_keys = excluded.custom_keys, \
             max_keys_per_owner = excluded.max_keys_per_owner, limits = excluded.limits, \
             budgets = excluded.budgets",
        )
        .bind(tenant.id.as_str())
        .bind(tenant.status.as_str())
        .bind(tenant.custom_keys.as_str())
        .bind(tenant.max_keys_per_owner)
        .bind(json(&tenant.limits)?)
        .bind(json(&tenant.budgets)?);
        execute(&mut transaction, statement).await?;
        transaction.commit().await
    }

    async fn put_owner(&self, owner: &Owner) -> Result<(), StoreError> {
        owner.check()?;
        let mut transaction = self.begin().await?;
        require_tenant(&mut transaction, &owner.tenant).await?;
        let statement = sqlx::query(
            "INSERT INTO owners (tenant, id, status, max_keys, limits, budgets, rate_multiplier) \
             VALUES (?, ?, ?, ?, ?, ?, ?) \
             ON CONFLICT (tenant, id) DO UPDATE SET status = excluded.status, \
             max_keys = excluded.max_keys, limits = excluded.limits, budgets = excluded.budgets, \
             rate_multiplier = excluded.rate_multiplier",
        )
        .bind(owner.tenant.as_str())
        .bind(owner.id.as_str())
        .bind(owner.status.as_str())
        .bind(owner.max_keys)
        .bind(json(&owner.limits)?)
        .bind(json(&owner.budgets)?)
        .bind(owner.rate_multiplier.map(String::from));
        execute(&mut transaction, statement).await?;
        transaction.commit().await
    }

    async fn put_group(&self, group: &Group) -> Result<(), StoreError> {
        group.check()?;
        let mut transaction = self.begin().await?;
        require_tenant(&mut transaction, &group.tenant).await?;
        let statement = sqlx::query(
            "INSERT INTO groups (tenant, id, kind, status, limits, budgets, rate_multiplier) \
             VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (tenant, id) DO UPDATE \
             SET kind = excluded.kind, status = excluded.status, limits = excluded.limits, \
             budgets = excluded.budgets, rate_multiplier = excluded.rate_multiplier",
        )
        .bind(group.tenant.as_str())
        .bind(group.id.as_str())
        .bind(group.kind.as_str())
        .bind(group.status.as_str())
        .bind(json(&group.limits)?)
        .bind(json(&group.budgets)?)
        .bind(group.rate_multiplier.to_string());
        execute(&mut transaction, statement).await?;
        transaction.commit().await
    }

    async fn add_member(
        &self,
        tenant: &TenantId,
        group: &GroupId,
        owner: &OwnerId,
    ) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        require_group(&mut transaction, tenant, group).await?;
        require_owner(&mut transaction, tenant, owner).await?;
        let statement = sqlx::query(
            "INSERT INTO memberships (tenant, group_id, owner) VALUES (?, ?, ?) \
             ON CONFLICT DO NOTHING",
        )
        .bind(tenant.as_str())
        .bind(group.as_str())
        .bind(owner.as_str());
        execute(&mut transaction, statement).await?;
        transaction.commit().await
    }

    async fn remove_member(
        &self,
        tenant: &TenantId,
        group: &GroupId,
        owner: &OwnerId,
    ) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        let statement =
            sqlx::query("DELETE FROM memberships WHERE tenant = ? AND group_id = ? AND owner = ?")
                .bind(tenant.as_str())
                .bind(group.as_str())
                .bind(owner.as_str());
        execute(&mut transaction, statement).await?;
        transaction.commit().await
    }

    async fn put_subscription(
        &self,
        tenant: &TenantId,
        group: &GroupId,
        owner: &OwnerId,
        subscription: Subscription,
    ) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        require_group(&mut transaction, tenant, group).await?;
        require_owner(&mut transaction, tenant, owner).await?;
        let statement = sqlx::query(
            "INSERT INTO subscriptions (tenant, group_id, owner, status, ends_at) \
             VALUES (?, ?, ?, ?, ?) ON CONFLICT (tenant, group_id, owner) \
             DO UPDATE SET status = excluded.status, ends_at = excluded.ends_at",
        )
        .bind(tenant.as_str())
        .bind(group.as_str())
        .bind(owner.as_str())
        .bind(subscription.status.as_str())
        .bind(subscription.ends_at.map(Timestamp::as_micros));
        execute(&mut transaction, statement).await?;
        transaction.commit().await
    }
}
