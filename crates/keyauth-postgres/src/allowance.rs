//! Statements about what owners may: how many keys they have, and how often they guess.

use keyauth_core::{CustomKeyGuesses, Key, NewSecret, SecretKind, StoreError, StoreErrorKind};
use sqlx::postgres::PgConnection;

use crate::schema::Schema;
use crate::statement::execute;
use crate::time::PgTime;

/// Whether a custom key can be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    Free,
    /// It is in use, and that it was chosen is noted, once that is committed.
    Taken,
}

impl Choice {
    /// For whoever has committed it.
    pub(crate) fn require_free(self) -> Result<(), StoreError> {
        match self {
            Self::Free => Ok(()),
            Self::Taken => Err(StoreErrorKind::Taken.into()),
        }
    }
}

/// Looks whether a secret is in use, where an owner may choose one.
pub(crate) async fn choose(
    connection: &mut PgConnection,
    schema: &Schema,
    key: &Key,
    secret: &NewSecret,
) -> Result<Choice, StoreError> {
    if secret.kind != SecretKind::Custom {
        return Ok(Choice::Free);
    }
    // One at a time, or many at once would all be the last that is allowed. And one at a time for
    // each secret: whoever loses it to another owner has guessed too.
    let owner = schema.sql(
        "SELECT pg_advisory_xact_lock(hashtextextended('keyauth guess keyauth. ' || $1 || ' ' || $2, 0))",
    );
    let owner = sqlx::query(owner).bind(key.tenant.as_str()).bind(key.owner.as_str());
    execute(connection, owner).await?;
    let digest = schema.sql(
        "SELECT pg_advisory_xact_lock(hashtextextended('keyauth secret keyauth. ' || encode($1, 'hex'), 0))",
    );
    execute(connection, sqlx::query(digest).bind(secret.digest.as_bytes().as_slice())).await?;
    let now = secret.created_at;
    let latest = schema.sql(
        "SELECT at FROM (SELECT at FROM keyauth.custom_key_guesses \
         WHERE tenant = $1 AND owner = $2 AND at > $3 ORDER BY at DESC LIMIT $4) AS latest \
         ORDER BY at",
    );
    let latest: Vec<PgTime> = sqlx::query_scalar(latest)
        .bind(key.tenant.as_str())
        .bind(key.owner.as_str())
        .bind(PgTime(CustomKeyGuesses::since(now)))
        .bind(i64::from(CustomKeyGuesses::MOST))
        .fetch_all(&mut *connection)
        .await
        .map_err(StoreError::unavailable)?;
    let latest: Vec<_> = latest.into_iter().map(|at| at.0).collect();
    CustomKeyGuesses::check(&latest, now)?;
    let taken = schema.sql("SELECT EXISTS (SELECT FROM keyauth.secrets WHERE digest = $1)");
    let taken = sqlx::query_scalar(taken).bind(secret.digest.as_bytes().as_slice());
    if !taken.fetch_one(&mut *connection).await.map_err(StoreError::unavailable)? {
        return Ok(Choice::Free);
    }
    let forget = schema.sql(
        "DELETE FROM keyauth.custom_key_guesses WHERE tenant = $1 AND owner = $2 AND at <= $3",
    );
    let forget = sqlx::query(forget)
        .bind(key.tenant.as_str())
        .bind(key.owner.as_str())
        .bind(PgTime(CustomKeyGuesses::since(now)));
    execute(connection, forget).await?;
    let note = schema
        .sql("INSERT INTO keyauth.custom_key_guesses (tenant, owner, at) VALUES ($1, $2, $3)");
    let note =
        sqlx::query(note).bind(key.tenant.as_str()).bind(key.owner.as_str()).bind(PgTime(now));
    execute(connection, note).await?;
    Ok(Choice::Taken)
}

/// Makes sure that a key's owner is there, and is not deleted before the transaction ends. One
/// that was deleted begins anew.
pub(crate) async fn ensure_owner(
    connection: &mut PgConnection,
    schema: &Schema,
    key: &Key,
) -> Result<(), StoreError> {
    // It waits for whoever deletes the owner, and not for whoever changes it.
    let owner = schema.sql(
        "SELECT deleted_at IS NOT NULL FROM keyauth.owners WHERE tenant = $1 AND id = $2 \
         FOR KEY SHARE",
    );
    let owner = sqlx::query_scalar(owner).bind(key.tenant.as_str()).bind(key.owner.as_str());
    let deleted: Option<bool> =
        owner.fetch_optional(&mut *connection).await.map_err(StoreError::unavailable)?;
    if deleted == Some(false) {
        return Ok(());
    }
    // Held from here on, also where somebody else has made it meanwhile.
    let statement = schema.sql(
        "INSERT INTO keyauth.owners (tenant, id) VALUES ($1, $2) \
         ON CONFLICT (tenant, id) DO UPDATE SET status = 'active', deleted_at = NULL \
         WHERE owners.deleted_at IS NOT NULL",
    );
    let statement = sqlx::query(statement).bind(key.tenant.as_str()).bind(key.owner.as_str());
    execute(connection, statement).await
}

/// Refuses a key beyond as many as its owner may have. Whoever asks holds the owner until the end.
pub(crate) async fn require_room(
    connection: &mut PgConnection,
    schema: &Schema,
    key: &Key,
) -> Result<(), StoreError> {
    let most = schema.sql(
        "SELECT coalesce(o.max_keys, t.max_keys_per_owner) FROM keyauth.tenants AS t \
         LEFT JOIN keyauth.owners AS o ON o.tenant = t.id AND o.id = $2 WHERE t.id = $1",
    );
    let most: Option<i64> = sqlx::query_scalar(most)
        .bind(key.tenant.as_str())
        .bind(key.owner.as_str())
        .fetch_one(&mut *connection)
        .await
        .map_err(StoreError::unavailable)?;
    let Some(most) = most else { return Ok(()) };
    let lock =
        schema.sql("SELECT FROM keyauth.owners WHERE tenant = $1 AND id = $2 FOR NO KEY UPDATE");
    let lock = sqlx::query(lock).bind(key.tenant.as_str()).bind(key.owner.as_str());
    execute(connection, lock).await?;
    let count = schema.sql(
        "SELECT count(*) FROM keyauth.keys \
         WHERE tenant = $1 AND owner = $2 AND deleted_at IS NULL AND status <> 'revoked'",
    );
    let count: i64 = sqlx::query_scalar(count)
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
