//! Statements about keys.

use keyauth_core::{
    GroupId, Key, KeyId, KeyPatch, KeyRef, KeyStatus, Patch, StoreError, StoreErrorKind, Timestamp,
};
use serde::Serialize;
use sqlx::QueryBuilder;
use sqlx::sqlite::{Sqlite, SqliteConnection};

use crate::allowance::require_room;
use crate::row::{self, key_columns};
use crate::statement::{execute, require_binding};

pub(crate) async fn read_key(
    connection: &mut SqliteConnection,
    key: &KeyRef,
) -> Result<Key, StoreError> {
    const KEY: &str = concat!(
        "SELECT ",
        key_columns!(),
        ", u.last_used_at, u.last_used_from FROM keys AS k LEFT JOIN key_usage AS u ON u.key_id = k.id \
         WHERE k.id = ? AND k.tenant = ? AND k.deleted_at IS NULL"
    );
    let statement = sqlx::query(KEY).bind(key.id.as_bytes().as_slice()).bind(key.tenant.as_str());
    row::one(connection, statement, row::key).await
}

pub(crate) async fn read_live_key(
    connection: &mut SqliteConnection,
    key: &KeyRef,
) -> Result<Key, StoreError> {
    let key = read_key(connection, key).await?;
    if key.status == KeyStatus::Revoked { Err(StoreErrorKind::Revoked.into()) } else { Ok(key) }
}

/// Adds a key of a tenant that is there, and its owner where that is new, or was deleted.
pub(crate) async fn insert_key(
    connection: &mut SqliteConnection,
    key: &Key,
) -> Result<(), StoreError> {
    if let Some(group) = &key.group {
        require_binding(connection, key, group, key.created_at).await?;
    }
    require_room(connection, key).await?;
    let owner = sqlx::query(
        "INSERT INTO owners (tenant, id, status) VALUES (?, ?, 'active') \
         ON CONFLICT DO UPDATE SET status = 'active', deleted_at = NULL \
         WHERE deleted_at IS NOT NULL",
    )
    .bind(key.tenant.as_str())
    .bind(key.owner.as_str());
    execute(connection, owner).await?;
    let statement = sqlx::query(
        "INSERT INTO keys (id, tenant, owner, group_id, name, hint, status, scopes, \
         allow_addresses, deny_addresses, endpoints, resources, limits, budgets, metadata, \
         starts_at, expires_at, created_at, updated_at, revoked_at) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(key.id.as_bytes().as_slice())
    .bind(key.tenant.as_str())
    .bind(key.owner.as_str())
    .bind(key.group.as_ref().map(GroupId::as_str))
    .bind(&*key.name)
    .bind(key.hint.as_str())
    .bind(key.status.as_str())
    .bind(json(&key.scopes)?)
    .bind(json(&key.addresses.allow)?)
    .bind(json(&key.addresses.deny)?)
    .bind(json(&key.endpoints)?)
    .bind(json(&key.resources)?)
    .bind(json(&key.limits)?)
    .bind(json(&key.budgets)?)
    .bind(json(&key.metadata)?)
    .bind(key.starts_at.map(Timestamp::as_micros))
    .bind(key.expires_at.map(Timestamp::as_micros))
    .bind(key.created_at.as_micros())
    .bind(key.updated_at.as_micros())
    .bind(key.revoked_at.map(Timestamp::as_micros));
    execute(connection, statement).await?;
    Ok(())
}

/// Writes the columns that a change names, and `updated_at`.
pub(crate) async fn update_key(
    connection: &mut SqliteConnection,
    id: KeyId,
    patch: &KeyPatch,
) -> Result<(), StoreError> {
    let mut update = QueryBuilder::<Sqlite>::new("UPDATE keys SET updated_at = ");
    update.push_bind(patch.updated_at.as_micros());
    if let Some(name) = &patch.name {
        update.push(", name = ").push_bind(name.to_string());
    }
    push_json(&mut update, ", scopes = ", &patch.scopes)?;
    push_json(&mut update, ", allow_addresses = ", &patch.allow)?;
    push_json(&mut update, ", deny_addresses = ", &patch.deny)?;
    push_json(&mut update, ", endpoints = ", &patch.endpoints)?;
    push_json(&mut update, ", resources = ", &patch.resources)?;
    push_json(&mut update, ", limits = ", &patch.limits)?;
    push_json(&mut update, ", budgets = ", &patch.budgets)?;
    push_json(&mut update, ", metadata = ", &patch.metadata)?;
    if patch.group != Patch::Keep {
        let group = patch.group.clone().apply_to(None).map(String::from);
        update.push(", group_id = ").push_bind(group);
    }
    for (column, change) in
        [(", starts_at = ", patch.starts_at), (", expires_at = ", patch.expires_at)]
    {
        if change != Patch::Keep {
            update.push(column).push_bind(change.apply_to(None).map(Timestamp::as_micros));
        }
    }
    update.push(" WHERE id = ").push_bind(id.as_bytes().to_vec());
    update.build().execute(connection).await.map_err(StoreError::unavailable)?;
    Ok(())
}

pub(crate) fn json(value: &impl Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(StoreError::unavailable)
}

fn push_json(
    update: &mut QueryBuilder<Sqlite>,
    assignment: &'static str,
    value: &Option<impl Serialize>,
) -> Result<(), StoreError> {
    if let Some(value) = value {
        update.push(assignment).push_bind(json(value)?);
    }
    Ok(())
}
