//! Statements about secrets.

use keyauth_core::{CustomKeys, KeyId, NewSecret, StoreError, StoreErrorKind, TenantId, Timestamp};
use sqlx::sqlite::SqliteConnection;

use crate::statement::execute;

pub(crate) async fn insert_secret(
    connection: &mut SqliteConnection,
    key: KeyId,
    secret: &NewSecret,
) -> Result<(), StoreError> {
    let inserted = sqlx::query(
        "INSERT INTO secrets (digest, id, key_id, algorithm, pepper, kind, created_at) \
         VALUES (?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(secret.digest.as_bytes().as_slice())
    .bind(secret.id.as_bytes().as_slice())
    .bind(key.as_bytes().as_slice())
    .bind(secret.scheme.algorithm())
    .bind(secret.scheme.pepper().map(i32::from))
    .bind(secret.kind.as_str())
    .bind(secret.created_at.as_micros())
    .execute(connection)
    .await;
    match inserted {
        Ok(_) => Ok(()),
        Err(sqlx::Error::Database(error)) if error.is_unique_violation() => {
            Err(StoreErrorKind::Taken.into())
        }
        Err(error) => Err(StoreError::unavailable(error)),
    }
}

/// Gives the secrets of a key that is rotated an end.
pub(crate) async fn end_secrets(
    connection: &mut SqliteConnection,
    (key, new): (KeyId, &NewSecret),
    ends_at: Timestamp,
) -> Result<(), StoreError> {
    for statement in [
        "UPDATE secrets SET ends_at = \
         CASE WHEN ends_at IS NULL THEN ? ELSE min(ends_at, ?) END WHERE key_id = ?",
        "UPDATE imported_secrets SET ends_at = \
         CASE WHEN ends_at IS NULL THEN ? ELSE min(ends_at, ?) END WHERE key_id = ?",
    ] {
        let statement = sqlx::query(statement)
            .bind(ends_at.as_micros())
            .bind(new.created_at.as_micros())
            .bind(key.as_bytes().as_slice());
        execute(connection, statement).await?;
    }
    Ok(())
}

/// The tenant must exist, and allow custom keys where the secret is one.
pub(crate) async fn require_secret_allowed(
    connection: &mut SqliteConnection,
    tenant: &TenantId,
    secret: &NewSecret,
) -> Result<(), StoreError> {
    let custom_keys = sqlx::query_scalar("SELECT custom_keys FROM tenants WHERE id = ?")
        .bind(tenant.as_str())
        .fetch_optional(connection)
        .await
        .map_err(StoreError::unavailable)?;
    let custom_keys: String = custom_keys.ok_or_else(|| StoreError::missing("tenant"))?;
    let custom_keys: CustomKeys = custom_keys.parse().map_err(StoreError::unavailable)?;
    Ok(secret.check_allowed(custom_keys)?)
}
