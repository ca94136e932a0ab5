//! Statements about owners.

use keyauth_core::{Owner, OwnerId, Page, StoreError, TenantId, Timestamp};
use sqlx::Row;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use crate::keys::json as to_json;
use crate::row::{DecodeError, all, json, one};
use crate::statement::{affected, execute, joined};

const OWNERS: &str = "SELECT tenant, id, status, max_keys, limits, budgets, \
     rate_multiplier AS rate_multiplier FROM owners \
     WHERE deleted_at IS NULL AND tenant = ?1 ";

pub(crate) async fn read_owner(
    connection: &mut SqliteConnection,
    tenant: &TenantId,
    owner: &OwnerId,
) -> Result<Owner, StoreError> {
    let statement = sqlx::query(joined(&[OWNERS, "AND id = ?2"]));
    one(connection, statement.bind(tenant.as_str()).bind(owner.as_str()), decode).await
}

pub(crate) async fn list_owners(
    connection: &mut SqliteConnection,
    tenant: &TenantId,
    page: &Page<OwnerId>,
) -> Result<Vec<Owner>, StoreError> {
    let statement = joined(&[OWNERS, "AND id > ?2 ORDER BY id LIMIT ?3"]);
    let statement = sqlx::query(statement)
        .bind(tenant.as_str())
        .bind(page.after.as_ref().map_or("", OwnerId::as_str))
        .bind(page.count);
    all(connection, statement, decode).await
}

/// Whoever was deleted is there again.
pub(crate) async fn write_owner(
    connection: &mut SqliteConnection,
    owner: &Owner,
) -> Result<(), StoreError> {
    let statement = "INSERT INTO owners \
         (tenant, id, status, max_keys, limits, budgets, rate_multiplier) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) \
         ON CONFLICT (tenant, id) DO UPDATE SET status = excluded.status, \
         max_keys = excluded.max_keys, limits = excluded.limits, budgets = excluded.budgets, \
         rate_multiplier = excluded.rate_multiplier, deleted_at = NULL";
    let statement = sqlx::query(statement)
        .bind(owner.tenant.as_str())
        .bind(owner.id.as_str())
        .bind(owner.status.as_str())
        .bind(owner.max_keys)
        .bind(to_json(&owner.limits)?)
        .bind(to_json(&owner.budgets)?)
        .bind(owner.rate_multiplier.map(String::from));
    execute(connection, statement).await
}

/// Revokes an owner's keys and takes it out of sight. Says how many keys that stopped.
pub(crate) async fn delete_owner(
    connection: &mut SqliteConnection,
    (tenant, owner): (&TenantId, &OwnerId),
    now: Timestamp,
) -> Result<u64, StoreError> {
    read_owner(connection, tenant, owner).await?;
    let keys = "UPDATE keys SET status = 'revoked', revoked_at = ?3, updated_at = ?3 \
         WHERE tenant = ?1 AND owner = ?2 AND deleted_at IS NULL AND status <> 'revoked'";
    let keys = sqlx::query(keys).bind(tenant.as_str()).bind(owner.as_str()).bind(now.as_micros());
    let revoked = affected(connection, keys).await?;
    for relations in [
        "DELETE FROM memberships WHERE tenant = ?1 AND owner = ?2",
        "DELETE FROM subscriptions WHERE tenant = ?1 AND owner = ?2",
    ] {
        let relations = sqlx::query(relations);
        execute(connection, relations.bind(tenant.as_str()).bind(owner.as_str())).await?;
    }
    // What it may have set goes, so that whoever is called so next does not have it.
    let gone = "UPDATE owners SET status = 'inactive', deleted_at = ?3, max_keys = NULL, \
         limits = '[]', budgets = '[]', rate_multiplier = NULL WHERE tenant = ?1 AND id = ?2";
    let gone = sqlx::query(gone).bind(tenant.as_str()).bind(owner.as_str()).bind(now.as_micros());
    execute(connection, gone).await?;
    Ok(revoked)
}

fn decode(row: &SqliteRow) -> Result<Owner, DecodeError> {
    let rate_multiplier: Option<&str> = row.try_get("rate_multiplier")?;
    Ok(Owner {
        tenant: TenantId::new(row.try_get::<&str, _>("tenant")?)?,
        id: OwnerId::new(row.try_get::<&str, _>("id")?)?,
        status: row.try_get::<&str, _>("status")?.parse()?,
        max_keys: row.try_get("max_keys")?,
        limits: json(row, "limits")?,
        budgets: json(row, "budgets")?,
        rate_multiplier: rate_multiplier.map(str::parse).transpose()?,
    })
}
