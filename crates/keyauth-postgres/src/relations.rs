//! Statements about who is on a group's list, and who has subscribed to it.

use keyauth_core::{GroupId, OwnerId, Page, StoreError, Subscription, TenantId};
use sqlx::Row;
use sqlx::postgres::PgConnection;

use crate::row::{all, time};
use crate::schema::Schema;
use crate::statement::{execute, require_group, require_owner};
use crate::time::optional;

/// An owner and a group of a tenant.
#[derive(Clone, Copy)]
pub(crate) struct Relation<'a> {
    pub(crate) tenant: &'a TenantId,
    pub(crate) group: &'a GroupId,
    pub(crate) owner: &'a OwnerId,
}

impl Relation<'_> {
    /// Runs a statement about the relation, whose columns are its first three values.
    pub(crate) async fn execute(
        self,
        connection: &mut PgConnection,
        schema: &Schema,
        statement: &'static str,
    ) -> Result<(), StoreError> {
        let statement = sqlx::query(schema.sql(statement))
            .bind(self.tenant.as_str())
            .bind(self.group.as_str())
            .bind(self.owner.as_str());
        execute(connection, statement).await
    }

    /// Both must be there until the transaction ends.
    pub(crate) async fn require(
        self,
        connection: &mut PgConnection,
        schema: &Schema,
    ) -> Result<(), StoreError> {
        require_group(connection, schema, self.tenant, self.group).await?;
        require_owner(connection, schema, self.tenant, self.owner).await
    }

    pub(crate) async fn write_subscription(
        self,
        connection: &mut PgConnection,
        schema: &Schema,
        subscription: Subscription,
    ) -> Result<(), StoreError> {
        let statement = schema.sql(
            "INSERT INTO keyauth.subscriptions (tenant, group_id, owner, status, ends_at) \
             VALUES ($1, $2, $3, $4, $5) ON CONFLICT (tenant, group_id, owner) \
             DO UPDATE SET status = excluded.status, ends_at = excluded.ends_at",
        );
        let statement = sqlx::query(statement)
            .bind(self.tenant.as_str())
            .bind(self.group.as_str())
            .bind(self.owner.as_str())
            .bind(subscription.status.as_str())
            .bind(optional(subscription.ends_at));
        execute(connection, statement).await
    }
}

pub(crate) async fn list_members(
    connection: &mut PgConnection,
    schema: &Schema,
    (tenant, group): (&TenantId, &GroupId),
    page: &Page<OwnerId>,
) -> Result<Vec<OwnerId>, StoreError> {
    let statement = schema.sql(
        "SELECT owner FROM keyauth.memberships WHERE tenant = $1 AND group_id = $2 AND owner > $3 \
         ORDER BY owner LIMIT $4",
    );
    let statement = sqlx::query(statement)
        .bind(tenant.as_str())
        .bind(group.as_str())
        .bind(page.after.as_ref().map_or("", OwnerId::as_str))
        .bind(i64::from(page.count));
    all(connection, statement, |row| Ok(OwnerId::new(row.try_get::<&str, _>("owner")?)?)).await
}

pub(crate) async fn list_subscriptions(
    connection: &mut PgConnection,
    schema: &Schema,
    (tenant, group): (&TenantId, &GroupId),
    page: &Page<OwnerId>,
) -> Result<Vec<(OwnerId, Subscription)>, StoreError> {
    let statement = schema.sql(
        "SELECT owner, status, ends_at FROM keyauth.subscriptions \
         WHERE tenant = $1 AND group_id = $2 AND owner > $3 ORDER BY owner LIMIT $4",
    );
    let statement = sqlx::query(statement)
        .bind(tenant.as_str())
        .bind(group.as_str())
        .bind(page.after.as_ref().map_or("", OwnerId::as_str))
        .bind(i64::from(page.count));
    let decode = |row: &_| {
        let status = Row::try_get::<&str, _>(row, "status")?.parse()?;
        let subscription = Subscription { status, ends_at: time(row, "ends_at")? };
        Ok((OwnerId::new(Row::try_get::<&str, _>(row, "owner")?)?, subscription))
    };
    all(connection, statement, decode).await
}
