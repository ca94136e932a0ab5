//! What statements have in common.

use keyauth_core::{GroupId, OwnerId, StoreError, TenantId};
use sqlx::query::Query;
use sqlx::sqlite::{Sqlite, SqliteArguments, SqliteConnection};

/// A statement with its values.
pub(crate) type Statement<'q> = Query<'q, Sqlite, SqliteArguments>;

/// Runs a statement that gives back nothing.
pub(crate) async fn execute(
    connection: &mut SqliteConnection,
    statement: Statement<'_>,
) -> Result<(), StoreError> {
    statement.execute(connection).await.map(drop).map_err(StoreError::unavailable)
}

pub(crate) async fn require_tenant(
    connection: &mut SqliteConnection,
    tenant: &TenantId,
) -> Result<(), StoreError> {
    let statement = sqlx::query("SELECT 1 FROM tenants WHERE id = ?").bind(tenant.as_str());
    require(connection, "tenant", statement).await
}

pub(crate) async fn require_owner(
    connection: &mut SqliteConnection,
    tenant: &TenantId,
    owner: &OwnerId,
) -> Result<(), StoreError> {
    let statement = sqlx::query("SELECT 1 FROM owners WHERE tenant = ? AND id = ?")
        .bind(tenant.as_str())
        .bind(owner.as_str());
    require(connection, "owner", statement).await
}

pub(crate) async fn require_group(
    connection: &mut SqliteConnection,
    tenant: &TenantId,
    group: &GroupId,
) -> Result<(), StoreError> {
    let statement = sqlx::query("SELECT 1 FROM groups WHERE tenant = ? AND id = ?")
        .bind(tenant.as_str())
        .bind(group.as_str());
    require(connection, "group", statement).await
}

/// What a call names must be there: the statement must find a row.
async fn require(
    connection: &mut SqliteConnection,
    field: &str,
    statement: Statement<'_>,
) -> Result<(), StoreError> {
    let found = statement.fetch_optional(connection).await.map_err(StoreError::unavailable)?;
    if found.is_some() { Ok(()) } else { Err(StoreError::missing(field)) }
}
