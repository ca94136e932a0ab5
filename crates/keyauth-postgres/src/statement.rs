//! What statements have in common.

use keyauth_core::{GroupId, OwnerId, StoreError, TenantId};
use sqlx::postgres::{PgArguments, PgConnection, Postgres};
use sqlx::query::Query;

use crate::schema::Schema;

/// A statement with its values.
pub(crate) type Statement<'q> = Query<'q, Postgres, PgArguments>;

/// Runs a statement that gives back nothing.
pub(crate) async fn execute(
    connection: &mut PgConnection,
    statement: Statement<'_>,
) -> Result<(), StoreError> {
    statement.execute(connection).await.map(drop).map_err(StoreError::unavailable)
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
    let statement = schema.sql("SELECT 1 FROM keyauth.owners WHERE tenant = $1 AND id = $2");
    let statement = sqlx::query(statement).bind(tenant.as_str()).bind(owner.as_str());
    require(connection, "owner", statement).await
}

pub(crate) async fn require_group(
    connection: &mut PgConnection,
    schema: &Schema,
    tenant: &TenantId,
    group: &GroupId,
) -> Result<(), StoreError> {
    let statement = schema.sql("SELECT 1 FROM keyauth.groups WHERE tenant = $1 AND id = $2");
    let statement = sqlx::query(statement).bind(tenant.as_str()).bind(group.as_str());
    require(connection, "group", statement).await
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
