//! Statements about keys.

use keyauth_core::{
    AddressSet, GroupId, Key, KeyId, KeyPatch, KeyRef, KeyStatus, Patch, StoreError,
    StoreErrorKind, Timestamp,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::QueryBuilder;
use sqlx::postgres::{PgConnection, Postgres};
use sqlx::types::{Json, Uuid};

use crate::allowance::{ensure_owner, require_room};
use crate::row::{self, key_columns};
use crate::schema::Schema;
use crate::statement::{execute, require_binding};
use crate::time::{PgTime, optional};

pub(crate) fn uuid(id: KeyId) -> Uuid {
    Uuid::from_bytes(*id.as_bytes())
}

pub(crate) async fn read_key(
    connection: &mut PgConnection,
    schema: &Schema,
    key: &KeyRef,
) -> Result<Key, StoreError> {
    const KEY: &str = concat!(
        "SELECT ",
        key_columns!(),
        ", u.last_used_at, host(u.last_used_from) AS last_used_from FROM keyauth.keys AS k \
         LEFT JOIN keyauth.key_usage AS u ON u.key_id = k.id \
         WHERE k.id = $1 AND k.tenant = $2 AND k.deleted_at IS NULL"
    );
    fetch_key(connection, schema, KEY, key).await
}

/// Reads a key that nobody else can change before the transaction ends.
pub(crate) async fn lock_key(
    connection: &mut PgConnection,
    schema: &Schema,
    key: &KeyRef,
) -> Result<Key, StoreError> {
    const KEY: &str = concat!(
        "SELECT ",
        key_columns!(),
        ", u.last_used_at, host(u.last_used_from) AS last_used_from FROM keyauth.keys AS k \
         LEFT JOIN keyauth.key_usage AS u ON u.key_id = k.id \
         WHERE k.id = $1 AND k.tenant = $2 AND k.deleted_at IS NULL FOR NO KEY UPDATE OF k"
    );
    fetch_key(connection, schema, KEY, key).await
}

async fn fetch_key(
    connection: &mut PgConnection,
    schema: &Schema,
    statement: &'static str,
    key: &KeyRef,
) -> Result<Key, StoreError> {
    let statement = sqlx::query(schema.sql(statement));
    row::one(connection, statement.bind(uuid(key.id)).bind(key.tenant.as_str()), row::key).await
}

pub(crate) async fn lock_live_key(
    connection: &mut PgConnection,
    schema: &Schema,
    key: &KeyRef,
) -> Result<Key, StoreError> {
    let key = lock_key(connection, schema, key).await?;
    if key.status == KeyStatus::Revoked { Err(StoreErrorKind::Revoked.into()) } else { Ok(key) }
}

/// Adds a key of a tenant that is there, and its owner where that is new, or was deleted.
pub(crate) async fn insert_key(
    connection: &mut PgConnection,
    schema: &Schema,
    key: &Key,
) -> Result<(), StoreError> {
    ensure_owner(connection, schema, key).await?;
    if let Some(group) = &key.group {
        require_binding(connection, schema, key, group, key.created_at).await?;
    }
    require_room(connection, schema, key).await?;
    let statement = schema.sql(
        "INSERT INTO keyauth.keys (id, tenant, owner, group_id, name, hint, status, scopes, \
         allow_addresses, deny_addresses, endpoints, resources, limits, budgets, metadata, \
         starts_at, expires_at, created_at, updated_at, revoked_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9::text[]::cidr[], $10::text[]::cidr[], $11, \
         $12, $13, $14, $15, $16, $17, $18, $19, $20)",
    );
    let statement = sqlx::query(statement)
        .bind(uuid(key.id))
        .bind(key.tenant.as_str())
        .bind(key.owner.as_str())
        .bind(key.group.as_ref().map(GroupId::as_str))
        .bind(&*key.name)
        .bind(key.hint.as_str())
        .bind(key.status.as_str())
        .bind(texts(&key.scopes)?)
        .bind(networks(&key.addresses.allow))
        .bind(networks(&key.addresses.deny))
        .bind(texts(&key.endpoints)?)
        .bind(texts(&key.resources)?)
        .bind(Json(&key.limits))
        .bind(Json(&key.budgets))
        .bind(Json(&key.metadata))
        .bind(optional(key.starts_at))
        .bind(optional(key.expires_at))
        .bind(PgTime(key.created_at))
        .bind(PgTime(key.updated_at))
        .bind(optional(key.revoked_at));
    execute(connection, statement).await
}

/// Writes the columns that a patch names, and `updated_at`.
pub(crate) async fn update_key(
    connection: &mut PgConnection,
    schema: &Schema,
    id: KeyId,
    patch: &KeyPatch,
) -> Result<(), StoreError> {
    let mut update = QueryBuilder::<Postgres>::new(schema.text("UPDATE keyauth.keys SET "));
    update.push("updated_at = ").push_bind(PgTime(patch.updated_at));
    if let Some(name) = &patch.name {
        update.push(", name = ").push_bind(name.to_string());
    }
    push_texts(&mut update, ", scopes = ", &patch.scopes)?;
    for (column, addresses) in
        [(", allow_addresses = ", &patch.allow), (", deny_addresses = ", &patch.deny)]
    {
        if let Some(addresses) = addresses {
            update.push(column).push_bind(networks(addresses)).push("::text[]::cidr[]");
        }
    }
    push_texts(&mut update, ", endpoints = ", &patch.endpoints)?;
    push_texts(&mut update, ", resources = ", &patch.resources)?;
    if let Some(limits) = &patch.limits {
        update.push(", limits = ").push_bind(Json(limits.clone()));
    }
    if let Some(budgets) = &patch.budgets {
        update.push(", budgets = ").push_bind(Json(budgets.clone()));
    }
    if let Some(metadata) = &patch.metadata {
        update.push(", metadata = ").push_bind(Json(metadata.clone()));
    }
    if patch.group != Patch::Keep {
        let group = patch.group.clone().apply_to(None).map(String::from);
        update.push(", group_id = ").push_bind(group);
    }
    for (column, time) in
        [(", starts_at = ", patch.starts_at), (", expires_at = ", patch.expires_at)]
    {
        if time != Patch::<Timestamp>::Keep {
            update.push(column).push_bind(optional(time.apply_to(None)));
        }
    }
    update.push(" WHERE id = ").push_bind(uuid(id));
    update.build().execute(connection).await.map(drop).map_err(StoreError::unavailable)
}

/// A list that is written as texts, as a column of texts.
fn texts(list: &impl Serialize) -> Result<Vec<String>, StoreError> {
    fn convert<T: DeserializeOwned>(list: &impl Serialize) -> serde_json::Result<T> {
        serde_json::from_value(serde_json::to_value(list)?)
    }
    convert(list).map_err(StoreError::unavailable)
}

fn push_texts(
    update: &mut QueryBuilder<Postgres>,
    assignment: &'static str,
    list: &Option<impl Serialize>,
) -> Result<(), StoreError> {
    if let Some(list) = list {
        update.push(assignment).push_bind(texts(list)?);
    }
    Ok(())
}

fn networks(addresses: &AddressSet) -> Vec<String> {
    addresses.to_texts()
}
