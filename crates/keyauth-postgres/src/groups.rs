//! Statements about groups.

use keyauth_core::{
    BoundKeys, Group, GroupId, OwnerId, Page, StoreError, StoreErrorKind, TenantId, Timestamp,
};
use sqlx::Row;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::types::Json;

use crate::row::{DecodeError, all, json, one};
use crate::schema::Schema;
use crate::statement::execute;
use crate::time::PgTime;

const GROUPS: &str = "SELECT g.tenant, g.id, g.kind, g.status, g.limits, g.budgets, \
     g.rate_multiplier::text AS rate_multiplier FROM keyauth.groups AS g ";

pub(crate) async fn read_group(
    connection: &mut PgConnection,
    schema: &Schema,
    tenant: &TenantId,
    group: &GroupId,
) -> Result<Group, StoreError> {
    let statement = sqlx::query(schema.joined(&[GROUPS, "WHERE g.tenant = $1 AND g.id = $2"]));
    one(connection, statement.bind(tenant.as_str()).bind(group.as_str()), decode).await
}

/// Reads a group that nobody else can change before the transaction ends.
pub(crate) async fn lock_group(
    connection: &mut PgConnection,
    schema: &Schema,
    tenant: &TenantId,
    group: &GroupId,
) -> Result<Group, StoreError> {
    let only = "WHERE g.tenant = $1 AND g.id = $2 FOR NO KEY UPDATE";
    let statement = sqlx::query(schema.joined(&[GROUPS, only]));
    one(connection, statement.bind(tenant.as_str()).bind(group.as_str()), decode).await
}

pub(crate) async fn list_groups(
    connection: &mut PgConnection,
    schema: &Schema,
    tenant: &TenantId,
    page: &Page<GroupId>,
) -> Result<Vec<Group>, StoreError> {
    let part = "WHERE g.tenant = $1 AND g.id > $2 ORDER BY g.id LIMIT $3";
    let statement = sqlx::query(schema.joined(&[GROUPS, part]))
        .bind(tenant.as_str())
        .bind(page.after.as_ref().map_or("", GroupId::as_str))
        .bind(i64::from(page.count));
    all(connection, statement, decode).await
}

/// The active groups that keys of an owner may be bound to, as
/// [`GroupAccess::admit_owner`](keyauth_core::GroupAccess::admit_owner) says.
pub(crate) async fn list_open_groups(
    connection: &mut PgConnection,
    schema: &Schema,
    (tenant, owner): (&TenantId, &OwnerId),
    now: Timestamp,
    page: &Page<GroupId>,
) -> Result<Vec<Group>, StoreError> {
    let open = "LEFT JOIN keyauth.memberships AS m \
         ON m.tenant = g.tenant AND m.group_id = g.id AND m.owner = $2 \
         LEFT JOIN keyauth.subscriptions AS u \
         ON u.tenant = g.tenant AND u.group_id = g.id AND u.owner = $2 \
         WHERE g.tenant = $1 AND g.id > $4 AND g.status = 'active' AND CASE g.kind \
         WHEN 'standard' THEN true WHEN 'exclusive' THEN m.owner IS NOT NULL \
         ELSE u.status = 'active' AND coalesce($3 < u.ends_at, true) END \
         ORDER BY g.id LIMIT $5";
    let statement = sqlx::query(schema.joined(&[GROUPS, open]))
        .bind(tenant.as_str())
        .bind(owner.as_str())
        .bind(PgTime(now))
        .bind(page.after.as_ref().map_or("", GroupId::as_str))
        .bind(i64::from(page.count));
    all(connection, statement, decode).await
}

pub(crate) async fn write_group(
    connection: &mut PgConnection,
    schema: &Schema,
    group: &Group,
) -> Result<(), StoreError> {
    let statement = schema.sql(
        "INSERT INTO keyauth.groups (tenant, id, kind, status, limits, budgets, rate_multiplier) \
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
}

/// Deletes a group. Says how many keys were bound to it that were not revoked.
pub(crate) async fn delete_group(
    connection: &mut PgConnection,
    schema: &Schema,
    (tenant, group): (&TenantId, &GroupId),
    bound: BoundKeys,
    now: Timestamp,
) -> Result<u64, StoreError> {
    // Whoever is binding a key to it, and made sure of it, is waited for.
    let held = schema.sql("SELECT FROM keyauth.groups WHERE tenant = $1 AND id = $2 FOR UPDATE");
    let held = sqlx::query(held).bind(tenant.as_str()).bind(group.as_str());
    let held = held.fetch_optional(&mut *connection).await.map_err(StoreError::unavailable)?;
    if held.is_none() {
        return Err(StoreErrorKind::NotFound.into());
    }
    let keys = schema.sql(
        "SELECT count(*) FROM keyauth.keys \
         WHERE tenant = $1 AND group_id = $2 AND status <> 'revoked'",
    );
    let keys = sqlx::query_scalar(keys).bind(tenant.as_str()).bind(group.as_str());
    let keys: i64 = keys.fetch_one(&mut *connection).await.map_err(StoreError::unavailable)?;
    let keys = u64::try_from(keys).unwrap_or_default();
    if keys > 0 && bound == BoundKeys::Refuse {
        return Err(StoreErrorKind::InUse { keys }.into());
    }
    let detach = schema.sql(
        "UPDATE keyauth.keys SET group_id = NULL, updated_at = $3 \
         WHERE tenant = $1 AND group_id = $2",
    );
    let detach = sqlx::query(detach).bind(tenant.as_str()).bind(group.as_str()).bind(PgTime(now));
    execute(connection, detach).await?;
    let delete = schema.sql("DELETE FROM keyauth.groups WHERE tenant = $1 AND id = $2");
    execute(connection, sqlx::query(delete).bind(tenant.as_str()).bind(group.as_str())).await?;
    Ok(keys)
}

fn decode(row: &PgRow) -> Result<Group, DecodeError> {
    Ok(Group {
        tenant: TenantId::new(row.try_get::<&str, _>("tenant")?)?,
        id: GroupId::new(row.try_get::<&str, _>("id")?)?,
        kind: row.try_get::<&str, _>("kind")?.parse()?,
        status: row.try_get::<&str, _>("status")?.parse()?,
        limits: json(row, "limits")?,
        budgets: json(row, "budgets")?,
        rate_multiplier: row.try_get::<&str, _>("rate_multiplier")?.parse()?,
    })
}
