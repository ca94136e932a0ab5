//! Statements about secrets.

use keyauth_core::{CustomKeys, KeyId, NewSecret, StoreError, StoreErrorKind, TenantId, Timestamp};
use sqlx::postgres::PgConnection;
use sqlx::types::Uuid;

use crate::keys::uuid;
use crate::schema::Schema;
use crate::statement::execute;
use crate::time::PgTime;

pub(crate) async fn insert_secret(
    connection: &mut PgConnection,
    schema: &Schema,
    key: KeyId,
    secret: &NewSecret,
) -> Result<(), StoreError> {
    let statement = schema.sql(
        "INSERT INTO keyauth.secrets (digest, id, key_id, algorithm, pepper, kind, created_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
    );
    let inserted = sqlx::query(statement)
        .bind(secret.digest.as_bytes().as_slice())
        .bind(Uuid::from_bytes(*secret.id.as_bytes()))
        .bind(uuid(key))
        .bind(secret.scheme.algorithm())
        .bind(secret.scheme.pepper().map(i32::from))
        .bind(secret.kind.as_str())
        .bind(PgTime(secret.created_at))
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
    connection: &mut PgConnection,
    schema: &Schema,
    (key, new): (KeyId, &NewSecret),
    ends_at: Timestamp,
) -> Result<(), StoreError> {
    for statement in [
        "UPDATE keyauth.secrets \
         SET ends_at = CASE WHEN ends_at IS NULL THEN $1 ELSE least(ends_at, $2) END \
         WHERE key_id = $3",
        "UPDATE keyauth.imported_secrets \
         SET ends_at = CASE WHEN ends_at IS NULL THEN $1 ELSE least(ends_at, $2) END \
         WHERE key_id = $3",
    ] {
        let statement = sqlx::query(schema.sql(statement))
            .bind(PgTime(ends_at))
            .bind(PgTime(new.created_at))
            .bind(uuid(key));
        execute(connection, statement).await?;
    }
    Ok(())
}

/// The tenant must exist, and allow custom keys where the secret is one.
pub(crate) async fn require_secret_allowed(
    connection: &mut PgConnection,
    schema: &Schema,
    tenant: &TenantId,
    secret: &NewSecret,
) -> Result<(), StoreError> {
    let statement = schema.sql("SELECT custom_keys FROM keyauth.tenants WHERE id = $1");
    let custom_keys = sqlx::query_scalar(statement)
        .bind(tenant.as_str())
        .fetch_optional(connection)
        .await
        .map_err(StoreError::unavailable)?;
    let custom_keys: String = custom_keys.ok_or_else(|| StoreError::missing("tenant"))?;
    let custom_keys: CustomKeys = custom_keys.parse().map_err(StoreError::unavailable)?;
    Ok(secret.check_allowed(custom_keys)?)
}
