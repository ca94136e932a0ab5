//! What was asked for under a name, so that it is done once.

use keyauth_core::{CreateOnce, KeyDigest, KeyId, RequestName, StoreError, Timestamp};
use sqlx::Row;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use crate::SqliteStore;
use crate::row::DecodeError;
use crate::statement::{affected, execute};

impl CreateOnce for SqliteStore {
    fn once(&self, request: RequestName) -> Self {
        self.clone().with_request(request)
    }
}

/// Notes that a request is being done, about a key; refuses what was done before.
pub(crate) async fn note_request(
    connection: &mut SqliteConnection,
    request: Option<&RequestName>,
    (key, now): (KeyId, Timestamp),
) -> Result<(), StoreError> {
    let Some(request) = request else { return Ok(()) };
    let note = sqlx::query(
        "INSERT INTO requests (name, fingerprint, key_id, at) VALUES (?, ?, ?, ?) \
         ON CONFLICT DO NOTHING",
    )
    .bind(request.name.as_bytes().as_slice())
    .bind(request.fingerprint.as_bytes().as_slice())
    .bind(key.as_bytes().as_slice())
    .bind(now.as_micros());
    if affected(connection, note).await? > 0 {
        return trim(connection, now).await;
    }
    let done = sqlx::query("SELECT fingerprint, key_id FROM requests WHERE name = ?");
    let done = done.bind(request.name.as_bytes().as_slice()).fetch_one(connection).await;
    let done = done.map_err(StoreError::unavailable)?;
    let (fingerprint, key) = decode(&done).map_err(StoreError::unavailable)?;
    Err(request.repeated(fingerprint, key))
}

/// Lets a request that came to nothing be done again.
pub(crate) async fn forget_request(
    connection: &mut SqliteConnection,
    request: Option<&RequestName>,
) -> Result<(), StoreError> {
    let Some(request) = request else { return Ok(()) };
    let forget = sqlx::query("DELETE FROM requests WHERE name = ?");
    execute(connection, forget.bind(request.name.as_bytes().as_slice())).await
}

/// Forgets some that were done long ago: more than come, and few enough not to be waited for.
async fn trim(connection: &mut SqliteConnection, now: Timestamp) -> Result<(), StoreError> {
    let kept = i64::try_from(RequestName::KEPT.as_micros()).unwrap_or(i64::MAX);
    let trim = sqlx::query(
        "DELETE FROM requests WHERE name IN \
         (SELECT name FROM requests WHERE at < ? ORDER BY at LIMIT 10)",
    );
    execute(connection, trim.bind(now.as_micros().saturating_sub(kept))).await
}

fn decode(row: &SqliteRow) -> Result<(KeyDigest, KeyId), DecodeError> {
    let fingerprint: &[u8] = row.try_get("fingerprint")?;
    let key: &[u8] = row.try_get("key_id")?;
    Ok((KeyDigest::from_bytes(fingerprint.try_into()?), KeyId::from_bytes(key.try_into()?)))
}
