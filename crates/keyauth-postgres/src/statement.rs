//! What statements have in common.

use keyauth_core::{GroupId, Key, OwnerId, StoreError, TenantId, Timestamp};
use sqlx::postgres::{PgArguments, PgConnection, Postgres};
use sqlx::query::Query;

use crate::row::group_access;
use crate::schema::Schema;

/// A statement with its values.
pub(crate) type Statement<'q> = Query<'q, Postgres, PgArguments>;

/// Runs a statement, and says how many rows it was about.
pub(crate) async fn affected(
    connection: &mut PgConnection,
    statement: Statement<'_>,
) -> Result<u64, StoreError> {
    let done = statement.execute(connection).await.map_err(StoreError::unavailable)?;
    Ok(done.rows_affected())
}

/// Runs a statement that gives back nothing.
pub(crate) async fn execute(
    connection: &mut PgConnection,
    statement: Statement<'_>,
) -> Result<(), StoreError> {
    affected(connection, statement).await.map(drop)
}

pub(crate) async fn require_tenant(
    connection: &mut PgConnection,
    schema: &Schema,
    tenant: &TenantId,
) -> Result<(), StoreError> {
    let statement = schema.sql("SELECT 1 FROM keyauth.tenants WHERE id = $1");
    require(connection, "tenant", sqlx::query(statement).bind(tenant.as_str())).await
}

pub(crate) async fn require_owner(
    connection: &mut PgConnection,
    schema: &Schema,
    tenant: &TenantId,
    owner: &OwnerId,
) -> Result<(), StoreError> {
    let statement = schema.sql(
        "SELECT 1 FROM keyauth.owners WHERE tenant = $1 AND id = $2 AND deleted_at IS NULL \
         FOR KEY SHARE",
    );
    let statement = sqlx::query(statement).bind(tenant.as_str()).bind(owner.as_str());
    require(connection, "owner", statement).await
}

pub(crate) async fn require_group(
    connection: &mut PgConnection,
    schema: &Schema,
    tenant: &TenantId,
    group: &GroupId,
) -> Result<(), StoreError> {
    let statement =
        schema.sql("SELECT 1 FROM keyauth.groups WHERE tenant = $1 AND id = $2 FOR KEY SHARE");
    let statement = sqlx::query(statement).bind(tenant.as_str()).bind(group.as_str());
    require(connection, "group", statement).await
}

/// The group must be there until the transaction ends, and the key's owner may use it.
pub(crate) async fn require_binding(
    connection: &mut PgConnection,
    schema: &Schema,
    key: &Key,
    group: &GroupId,
    now: Timestamp,
) -> Result<(), StoreError> {
    let statement = schema.sql(
        "SELECT g.status AS group_status, g.kind AS group_kind, m.owner IS NOT NULL AS member, \
         u.status AS subscription_status, u.ends_at AS subscription_ends_at \
         FROM keyauth.groups AS g \
         LEFT JOIN keyauth.memberships AS m \
         ON m.tenant = g.tenant AND m.group_id = g.id AND m.owner = $3 \
         LEFT JOIN keyauth.subscriptions AS u \
         ON u.tenant = g.tenant AND u.group_id = g.id AND u.owner = $3 \
         WHERE g.tenant = $1 AND g.id = $2 FOR KEY SHARE OF g",
    );
    let found = sqlx::query(statement)
        .bind(key.tenant.as_str())
        .bind(group.as_str())
        .bind(key.owner.as_str())
        .fetch_optional(connection)
        .await
        .map_err(StoreError::unavailable)?;
    let found = found.ok_or_else(|| StoreError::missing("group"))?;
    Ok(group_access(&found).map_err(StoreError::unavailable)?.check_binding(now)?)
}

/// What a call names must be there: the statement must find a row.
async fn require(
    connection: &mut PgConnection,
    field: &str,
    statement: Statement<'_>,
) -> Result<(), StoreError> {
    let found = statement.fetch_optional(connection).await.map_err(StoreError::unavailable)?;
    if found.is_some() { Ok(()) } else { Err(StoreError::missing(field)) }
}
