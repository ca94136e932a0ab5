//! Tenants, owners, groups, and who belongs to which.

use keyauth_core::{
    Directory, Group, GroupId, Owner, OwnerId, StoreError, Subscription, Tenant, TenantId,
};

use sqlx::types::Json;

use crate::PostgresStore;
use crate::statement::{execute, require_group, require_owner, require_tenant};
use crate::time::optional;
use crate::transaction::change_with;

impl Directory for PostgresStore {
    async fn put_tenant(&self, tenant: &Tenant) -> Result<(), StoreError> {
        tenant.check()?;
        change_with!(self, |connection| {
            let statement = self.schema().sql(
                "INSERT INTO keyauth.tenants \
                 (id, status, custom_keys, max_keys_per_owner, limits, budgets) \
                 VALUES ($1, $2, $3, $4, $5, $6) \
                 ON CONFLICT (id) DO UPDATE SET status = excluded.status, \
                 custom_keys = excluded.custom_keys, \
                 max_keys_per_owner = excluded.max_keys_per_owner, limits = excluded.limits, \
                 budgets = excluded.budgets",
            );
            let statement = sqlx::query(statement)
                .bind(tenant.id.as_str())
                .bind(tenant.status.as_str())
                .bind(tenant.custom_keys.as_str())
                .bind(tenant.max_keys_per_owner.map(i64::from))
                .bind(Json(&tenant.limits))
                .bind(Json(&tenant.budgets));
            execute(connection, statement).await
        })
    }

    async fn put_owner(&self, owner: &Owner) -> Result<(), StoreError> {
        owner.check()?;
        change_with!(self, |connection| {
            require_tenant(connection, self.schema(), &owner.tenant).await?;
            let statement = self.schema().sql(
                "INSERT INTO keyauth.owners \
                 (tenant, id, status, max_keys, limits, budgets, rate_multiplier) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7::text::numeric) \
                 ON CONFLICT (tenant, id) DO UPDATE SET status = excluded.status, \
                 max_keys = excluded.max_keys, limits = excluded.limits, budgets = excluded.budgets, \
                 rate_multiplier = excluded.rate_multiplier",
            );
            let statement = sqlx::query(statement)
                .bind(owner.tenant.as_str())
                .bind(owner.id.as_str())
                .bind(owner.status.as_str())
                .bind(owner.max_keys.map(i64::from))
                .bind(Json(&owner.limits))
                .bind(Json(&owner.budgets))
                .bind(owner.rate_multiplier.map(String::from));
            execute(connection, statement).await
        })
    }

    async fn put_group(&self, group: &Group) -> Result<(), StoreError> {
        group.check()?;
        change_with!(self, |connection| {
            require_tenant(connection, self.schema(), &group.tenant).await?;
            let statement = self.schema().sql(
                "INSERT INTO keyauth.groups \
                 (tenant, id, kind, status, limits, budgets, rate_multiplier) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7::text::numeric) \
                 ON CONFLICT (tenant, id) DO UPDATE \
                 SET kind = excluded.kind, status = excluded.status, limits = excluded.limits, \
                 budgets = excluded.budgets, rate_multiplier = excluded.rate_multiplier",
            );
            let statement = sqlx::query(statement)
                .bind(group.tenant.as_str())
                .bind(group.id.as_str())
                .bind(group.kind.as_str())
                .bind(group.status.as_str())
                .bind(Json(&group.limits))
                .bind(Json(&group.budgets))
                .bind(group.rate_multiplier.to_string());
            execute(connection, statement).await
        })
    }

    async fn add_member(
        &self,
        tenant: &TenantId,
        group: &GroupId,
        owner: &OwnerId,
    ) -> Result<(), StoreError> {
        change_with!(self, |connection| {
            require_group(connection, self.schema(), tenant, group).await?;
            require_owner(connection, self.schema(), tenant, owner).await?;
            let statement = self.schema().sql(
                "INSERT INTO keyauth.memberships (tenant, group_id, owner) VALUES ($1, $2, $3) \
                 ON CONFLICT DO NOTHING",
            );
            let statement = sqlx::query(statement)
                .bind(tenant.as_str())
                .bind(group.as_str())
                .bind(owner.as_str());
            execute(connection, statement).await
        })
    }

    async fn remove_member(
        &self,
        tenant: &TenantId,
        group: &GroupId,
        owner: &OwnerId,
    ) -> Result<(), StoreError> {
        change_with!(self, |connection| {
            let statement = self.schema().sql(
                "DELETE FROM keyauth.memberships WHERE tenant = $1 AND group_id = $2 AND owner = $3",
            );
            let statement = sqlx::query(statement)
                .bind(tenant.as_str())
                .bind(group.as_str())
                .bind(owner.as_str());
            execute(connection, statement).await
        })
    }

    async fn put_subscription(
        &self,
        tenant: &TenantId,
        group: &GroupId,
        owner: &OwnerId,
        subscription: Subscription,
    ) -> Result<(), StoreError> {
        change_with!(self, |connection| {
            require_group(connection, self.schema(), tenant, group).await?;
            require_owner(connection, self.schema(), tenant, owner).await?;
            let statement = self.schema().sql(
                "INSERT INTO keyauth.subscriptions (tenant, group_id, owner, status, ends_at) \
                 VALUES ($1, $2, $3, $4, $5) ON CONFLICT (tenant, group_id, owner) \
                 DO UPDATE SET status = excluded.status, ends_at = excluded.ends_at",
            );
            let statement = sqlx::query(statement)
                .bind(tenant.as_str())
                .bind(group.as_str())
                .bind(owner.as_str())
                .bind(subscription.status.as_str())
                .bind(optional(subscription.ends_at));
            execute(connection, statement).await
        })
    }
}
