//! Statements about tenants.

use keyauth_core::{Page, StoreError, Tenant, TenantId};
use sqlx::Row;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::types::Json;

use crate::row::{DecodeError, all, count, json, one};
use crate::schema::Schema;
use crate::statement::execute;

const TENANTS: &str =
    "SELECT id, status, custom_keys, max_keys_per_owner, limits, budgets FROM keyauth.tenants ";

pub(crate) async fn read_tenant(
    connection: &mut PgConnection,
    schema: &Schema,
    tenant: &TenantId,
) -> Result<Tenant, StoreError> {
    let statement = schema.joined(&[TENANTS, "WHERE id = $1"]);
    one(connection, sqlx::query(statement).bind(tenant.as_str()), decode).await
}

/// Reads a tenant that nobody else can change before the transaction ends.
pub(crate) async fn lock_tenant(
    connection: &mut PgConnection,
    schema: &Schema,
    tenant: &TenantId,
) -> Result<Tenant, StoreError> {
    let statement = schema.joined(&[TENANTS, "WHERE id = $1 FOR NO KEY UPDATE"]);
    one(connection, sqlx::query(statement).bind(tenant.as_str()), decode).await
}

pub(crate) async fn list_tenants(
    connection: &mut PgConnection,
    schema: &Schema,
    page: &Page<TenantId>,
) -> Result<Vec<Tenant>, StoreError> {
    let statement = schema.joined(&[TENANTS, "WHERE id > $1 ORDER BY id LIMIT $2"]);
    let statement = sqlx::query(statement)
        .bind(page.after.as_ref().map_or("", TenantId::as_str))
        .bind(i64::from(page.count));
    all(connection, statement, decode).await
}

pub(crate) async fn write_tenant(
    connection: &mut PgConnection,
    schema: &Schema,
    tenant: &Tenant,
) -> Result<(), StoreError> {
    let statement = schema.sql(
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
}

fn decode(row: &PgRow) -> Result<Tenant, DecodeError> {
    Ok(Tenant {
        id: TenantId::new(row.try_get::<&str, _>("id")?)?,
        status: row.try_get::<&str, _>("status")?.parse()?,
        custom_keys: row.try_get::<&str, _>("custom_keys")?.parse()?,
        max_keys_per_owner: count(row, "max_keys_per_owner")?,
        limits: json(row, "limits")?,
        budgets: json(row, "budgets")?,
    })
}
