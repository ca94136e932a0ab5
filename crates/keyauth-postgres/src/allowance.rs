//! Statements about what owners may: how many keys they have, and how often they guess.

use keyauth_core::{CustomKeyGuesses, Key, NewSecret, SecretKind, StoreError, StoreErrorKind};
use sqlx::postgres::PgConnection;

use crate::PostgresStore;
use crate::schema::Schema;
use crate::statement::execute;
use crate::time::PgTime;
use crate::transaction::change_with;

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
    // One at a time, or many at once would all be the last that is allowed.
    let lock = schema.sql(
        "SELECT pg_advisory_xact_lock(hashtextextended('keyauth guess keyauth. ' || $1 || ' ' || $2, 0))",
    );
    let lock = sqlx::query(lock).bind(key.tenant.as_str()).bind(key.owner.as_str());
    execute(connection, lock).await?;
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
    note_guess(connection, schema, key, secret).await?;
    Ok(Choice::Taken)
}

async fn note_guess(
    connection: &mut PgConnection,
    schema: &Schema,
    key: &Key,
    secret: &NewSecret,
) -> Result<(), StoreError> {
    let forget = schema.sql(
        "DELETE FROM keyauth.custom_key_guesses WHERE tenant = $1 AND owner = $2 AND at <= $3",
    );
    let since = CustomKeyGuesses::since(secret.created_at);
    let forget =
        sqlx::query(forget).bind(key.tenant.as_str()).bind(key.owner.as_str()).bind(PgTime(since));
    execute(connection, forget).await?;
    let note = schema
        .sql("INSERT INTO keyauth.custom_key_guesses (tenant, owner, at) VALUES ($1, $2, $3)");
    let note = sqlx::query(note)
        .bind(key.tenant.as_str())
        .bind(key.owner.as_str())
        .bind(PgTime(secret.created_at));
    execute(connection, note).await
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
         WHERE tenant = $1 AND owner = $2 AND status <> 'revoked'",
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

impl PostgresStore {
    /// Notes a guess that was found out only when it was written: somebody else has taken it meanwhile.
    pub(crate) async fn note_lost_race<T>(
        &self,
        key: &Key,
        secret: &NewSecret,
        outcome: Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let lost = outcome.as_ref().err().is_some_and(|e| *e.kind() == StoreErrorKind::Taken);
        if lost && secret.kind == SecretKind::Custom {
            let schema = self.schema();
            change_with!(self, |connection| { note_guess(connection, schema, key, secret).await })?;
        }
        outcome
    }
}
