//! Statements about what owners may: how many keys they have, and how often they guess.

use keyauth_core::{
    CustomKeyGuesses, Key, NewSecret, SecretKind, StoreError, StoreErrorKind, Timestamp,
};
use sqlx::sqlite::SqliteConnection;

use crate::statement::execute;

/// Whether a custom key can be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    Free,
    /// It is in use, and that it was chosen is noted, once that is committed.
    Taken,
}

/// Looks whether a secret is in use, where an owner may choose one.
pub(crate) async fn choose(
    connection: &mut SqliteConnection,
    key: &Key,
    secret: &NewSecret,
) -> Result<Choice, StoreError> {
    if secret.kind != SecretKind::Custom {
        return Ok(Choice::Free);
    }
    let now = secret.created_at;
    let since = CustomKeyGuesses::since(now);
    let latest: Vec<i64> = sqlx::query_scalar(
        "SELECT at FROM (SELECT at FROM custom_key_guesses \
         WHERE tenant = ? AND owner = ? AND at > ? ORDER BY at DESC LIMIT ?) ORDER BY at",
    )
    .bind(key.tenant.as_str())
    .bind(key.owner.as_str())
    .bind(since.as_micros())
    .bind(CustomKeyGuesses::MOST)
    .fetch_all(&mut *connection)
    .await
    .map_err(StoreError::unavailable)?;
    let latest: Vec<_> = latest.into_iter().map(Timestamp::from_micros).collect();
    CustomKeyGuesses::check(&latest, now)?;
    let taken = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM secrets WHERE digest = ?)")
        .bind(secret.digest.as_bytes().as_slice());
    if !taken.fetch_one(&mut *connection).await.map_err(StoreError::unavailable)? {
        return Ok(Choice::Free);
    }
    let forget =
        sqlx::query("DELETE FROM custom_key_guesses WHERE tenant = ? AND owner = ? AND at <= ?")
            .bind(key.tenant.as_str())
            .bind(key.owner.as_str())
            .bind(since.as_micros());
    execute(connection, forget).await?;
    let note = sqlx::query("INSERT INTO custom_key_guesses (tenant, owner, at) VALUES (?, ?, ?)")
        .bind(key.tenant.as_str())
        .bind(key.owner.as_str())
        .bind(now.as_micros());
    execute(connection, note).await?;
    Ok(Choice::Taken)
}

/// Refuses a key beyond as many as its owner may have.
pub(crate) async fn require_room(
    connection: &mut SqliteConnection,
    key: &Key,
) -> Result<(), StoreError> {
    let most: Option<i64> = sqlx::query_scalar(
        "SELECT coalesce(o.max_keys, t.max_keys_per_owner) FROM tenants AS t \
         LEFT JOIN owners AS o ON o.tenant = t.id AND o.id = ?2 WHERE t.id = ?1",
    )
    .bind(key.tenant.as_str())
    .bind(key.owner.as_str())
    .fetch_one(&mut *connection)
    .await
    .map_err(StoreError::unavailable)?;
    let Some(most) = most else { return Ok(()) };
    let count: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM keys \
         WHERE tenant = ? AND owner = ? AND deleted_at IS NULL AND status <> 'revoked'",
    )
    .bind(key.tenant.as_str())
    .bind(key.owner.as_str())
    .fetch_one(connection)
    .await
    .map_err(StoreError::unavailable)?;
    if count < most {
        return Ok(());
    }
    let most = u32::try_from(most).unwrap_or(u32::MAX);
    Err(StoreErrorKind::TooManyKeys { most }.into())
}
