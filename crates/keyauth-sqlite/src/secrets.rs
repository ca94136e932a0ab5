//! Statements about secrets.

use keyauth_core::{
    CustomKeys, DigestScheme, InvalidInput, KeyId, NewSecret, Problem, SecretKind, StoreError,
    StoreErrorKind, TenantId,
};
use sqlx::sqlite::SqliteConnection;

use crate::row;
use crate::statement::missing;

pub(crate) async fn insert_secret(
    connection: &mut SqliteConnection,
    key: KeyId,
    secret: &NewSecret,
) -> Result<(), StoreError> {
    let (algorithm, pepper) = match secret.scheme {
        DigestScheme::Sha256 => ("sha256", None),
        DigestScheme::HmacSha256(pepper) => ("hmac_sha256", Some(pepper)),
        _ => return Err(StoreError::unavailable("a digest this store cannot keep")),
    };
    let kind = if secret.kind == SecretKind::Custom { "custom" } else { "generated" };
    let inserted = sqlx::query(
        "INSERT INTO secrets (digest, id, key_id, algorithm, pepper, kind, created_at) \
         VALUES (?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(secret.digest.as_bytes().as_slice())
    .bind(secret.id.as_bytes().as_slice())
    .bind(key.as_bytes().as_slice())
    .bind(algorithm)
    .bind(pepper)
    .bind(kind)
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
    let custom_keys: String = custom_keys.ok_or_else(|| missing("tenant"))?;
    let custom_keys: CustomKeys = row::word(&custom_keys).map_err(StoreError::unavailable)?;
    if secret.kind == SecretKind::Custom && custom_keys == CustomKeys::Refused {
        let problem = Problem::new("custom_key", "is not allowed for this tenant");
        return Err(InvalidInput::from(problem).into());
    }
    Ok(())
}
