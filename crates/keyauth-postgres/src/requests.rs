//! What was asked for under a name, so that it is done once.

use keyauth_core::{CreateOnce, KeyDigest, KeyId, RequestName, StoreError};
use sqlx::Row;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::types::Uuid;

use crate::PostgresStore;
use crate::keys::uuid;
use crate::row::DecodeError;
use crate::schema::Schema;
use crate::statement::{affected, execute};

impl CreateOnce for PostgresStore {
    fn once(&self, request: RequestName) -> Self {
        self.clone().with_request(request)
    }
}

/// Notes that a request is being done, about a key; refuses what was done before. Of two at once the
/// second one waits for what becomes of the first.
pub(crate) async fn note_request(
    connection: &mut PgConnection,
    schema: &Schema,
    request: Option<&RequestName>,
    key: KeyId,
) -> Result<(), StoreError> {
    let Some(request) = request else { return Ok(()) };
    let note = schema.sql(
        "INSERT INTO keyauth.requests (name, fingerprint, key_id) VALUES ($1, $2, $3) \
         ON CONFLICT DO NOTHING",
    );
    let note = sqlx::query(note)
        .bind(request.name.as_bytes().as_slice())
        .bind(request.fingerprint.as_bytes().as_slice())
        .bind(uuid(key));
    if affected(connection, note).await? > 0 {
        return trim(connection, schema).await;
    }
    let done = schema.sql("SELECT fingerprint, key_id FROM keyauth.requests WHERE name = $1");
    let done = sqlx::query(done).bind(request.name.as_bytes().as_slice());
    let done = done.fetch_one(connection).await.map_err(StoreError::unavailable)?;
    let (fingerprint, key) = decode(&done).map_err(StoreError::unavailable)?;
    Err(request.repeated(fingerprint, key))
}

/// Lets a request that came to nothing be done again.
pub(crate) async fn forget_request(
    connection: &mut PgConnection,
    schema: &Schema,
    request: Option<&RequestName>,
) -> Result<(), StoreError> {
    let Some(request) = request else { return Ok(()) };
    let forget = schema.sql("DELETE FROM keyauth.requests WHERE name = $1");
    execute(connection, sqlx::query(forget).bind(request.name.as_bytes().as_slice())).await
}

/// Forgets some that were done long ago: more than come, and few enough not to be waited for.
async fn trim(connection: &mut PgConnection, schema: &Schema) -> Result<(), StoreError> {
    let trim = schema.sql(
        "DELETE FROM keyauth.requests WHERE name IN \
         (SELECT name FROM keyauth.requests WHERE at < now() - $1 ORDER BY at LIMIT 10 \
         FOR UPDATE SKIP LOCKED)",
    );
    execute(connection, sqlx::query(trim).bind(RequestName::KEPT)).await
}

fn decode(row: &PgRow) -> Result<(KeyDigest, KeyId), DecodeError> {
    let fingerprint: &[u8] = row.try_get("fingerprint")?;
    let key: Uuid = row.try_get("key_id")?;
    Ok((KeyDigest::from_bytes(fingerprint.try_into()?), KeyId::from_bytes(key.into_bytes())))
}
