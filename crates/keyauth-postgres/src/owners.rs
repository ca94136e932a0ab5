//! Statements about owners.

use keyauth_core::{Owner, OwnerId, Page, StoreError, StoreErrorKind, TenantId, Timestamp};
use sqlx::Row;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::types::Json;

use crate::row::{DecodeError, all, count, json, one};
use crate::schema::Schema;
use crate::statement::{affected, execute};
use crate::time::PgTime;

const OWNERS: &str = "SELECT tenant, id, status, max_keys, limits, budgets, \
     rate_multiplier::text AS rate_multiplier FROM keyauth.owners \
     WHERE deleted_at IS NULL AND tenant = $1 ";

pub(crate) async fn read_owner(
    connection: &mut PgConnection,
    schema: &Schema,
    tenant: &TenantId,
    owner: &OwnerId,
) -> Result<Owner, StoreError> {
    let statement = sqlx::query(schema.joined(&[OWNERS, "AND id = $2"]));
    one(connection, statement.bind(tenant.as_str()).bind(owner.as_str()), decode).await
}

/// Reads an owner that nobody else can change before the transaction ends.
pub(crate) async fn lock_owner(
    connection: &mut PgConnection,
    schema: &Schema,
    tenant: &TenantId,
    owner: &OwnerId,
) -> Result<Owner, StoreError> {
    let statement = sqlx::query(schema.joined(&[OWNERS, "AND id = $2 FOR NO KEY UPDATE"]));
    one(connection, statement.bind(tenant.as_str()).bind(owner.as_str()), decode).await
}

pub(crate) async fn list_owners(
    connection: &mut PgConnection,
    schema: &Schema,
    tenant: &TenantId,
    page: &Page<OwnerId>,
) -> Result<Vec<Owner>, StoreError> {
    let statement = schema.joined(&[OWNERS, "AND id > $2 ORDER BY id LIMIT $3"]);
    let statement = sqlx::query(statement)
        .bind(tenant.as_str())
        .bind(page.after.as_ref().map_or("", OwnerId::as_str))
        .bind(i64::from(page.count));
    all(connection, statement, decode).await
}

/// Whoever was deleted is there again.
pub(crate) async fn write_owner(
    connection: &mut PgConnection,
    schema: &Schema,
    owner: &Owner,
) -> Result<(), StoreError> {
    let statement = schema.sql(
        "INSERT INTO keyauth.owners \
         (tenant, id, status, max_keys, limits, budgets, rate_multiplier) \
         VALUES ($1, $2, $3, $4, $5, $6, $7::text::numeric) \
         ON CONFLICT (tenant, id) DO UPDATE SET status = excluded.status, \
         max_keys = excluded.max_keys, limits = excluded.limits, budgets = excluded.budgets, \
         rate_multiplier = excluded.rate_multiplier, deleted_at = NULL",
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
}

/// Revokes an owner's keys and takes it out of sight. Says how many keys that stopped.
pub(crate) async fn delete_owner(
    connection: &mut PgConnection,
    schema: &Schema,
    (tenant, owner): (&TenantId, &OwnerId),
    now: Timestamp,
) -> Result<u64, StoreError> {
    // Whoever is issuing a key for it, and made sure of it, is waited for.
    let held = schema.sql(
        "SELECT FROM keyauth.owners WHERE tenant = $1 AND id = $2 AND deleted_at IS NULL \
         FOR UPDATE",
    );
    let held = sqlx::query(held).bind(tenant.as_str()).bind(owner.as_str());
    let held = held.fetch_optional(&mut *connection).await.map_err(StoreError::unavailable)?;
    if held.is_none() {
        return Err(StoreErrorKind::NotFound.into());
    }
    let keys = schema.sql(
        "UPDATE keyauth.keys SET status = 'revoked', revoked_at = $3, updated_at = $3 \
         WHERE tenant = $1 AND owner = $2 AND deleted_at IS NULL AND status <> 'revoked'",
    );
    let keys = sqlx::query(keys).bind(tenant.as_str()).bind(owner.as_str()).bind(PgTime(now));
    let revoked = affected(connection, keys).await?;
    for relations in [
        "DELETE FROM keyauth.memberships WHERE tenant = $1 AND owner = $2",
        "DELETE FROM keyauth.subscriptions WHERE tenant = $1 AND owner = $2",
    ] {
        let relations = sqlx::query(schema.sql(relations));
        execute(connection, relations.bind(tenant.as_str()).bind(owner.as_str())).await?;
    }
    // What it may have set goes, so that whoever is called so next does not have it.
    let gone = schema.sql(
        "UPDATE keyauth.owners SET status = 'inactive', deleted_at = $3, max_keys = NULL, \
         limits = '[]', budgets = '[]', rate_multiplier = NULL WHERE tenant = $1 AND id = $2",
    );
    let gone = sqlx::query(gone).bind(tenant.as_str()).bind(owner.as_str()).bind(PgTime(now));
    execute(connection, gone).await?;
    Ok(revoked)
}

fn decode(row: &PgRow) -> Result<Owner, DecodeError> {
    let rate_multiplier: Option<&str> = row.try_get("rate_multiplier")?;
    Ok(Owner {
        tenant: TenantId::new(row.try_get::<&str, _>("tenant")?)?,
        id: OwnerId::new(row.try_get::<&str, _>("id")?)?,
        status: row.try_get::<&str, _>("status")?.parse()?,
        max_keys: count(row, "max_keys")?,
        limits: json(row, "limits")?,
        budgets: json(row, "budgets")?,
        rate_multiplier: rate_multiplier.map(str::parse).transpose()?,
    })
}
