//! Keys of other systems, until they are presented.

use keyauth_core::{
    Change, ImportStore, ImportedHash, Key, KeyDigest, LookupError, NewImport, NewSecret, SecretId,
    StoreError, StoreErrorKind,
};
use sqlx::Row;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::types::Uuid;

use crate::PostgresStore;
use crate::keys::{insert_key, uuid};
use crate::requests::note_request;
use crate::row::DecodeError;
use crate::schema::Schema;
use crate::statement::{affected, execute, require_tenant};
use crate::time::PgTime;
use crate::transaction::change_with;

impl ImportStore for PostgresStore {
    async fn insert_imported(&self, key: &Key, secret: &NewImport) -> Result<(), StoreError> {
        let schema = self.schema();
        change_with!(self, |connection| {
            note_request(connection, schema, self.request(), key.id).await?;
            require_tenant(connection, schema, &key.tenant).await?;
            require_few_alike(connection, schema, secret).await?;
            insert_key(connection, schema, key).await?;
            let statement = schema.sql(
                "INSERT INTO keyauth.imported_secrets \
                 (id, key_id, lookup, hash, fingerprint, created_at) \
                 VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (fingerprint) DO NOTHING",
            );
            let statement = sqlx::query(statement)
                .bind(Uuid::from_bytes(*secret.id.as_bytes()))
                .bind(uuid(key.id))
                .bind(secret.lookup.as_bytes().as_slice())
                .bind(secret.hash.as_str())
                .bind(secret.fingerprint.as_bytes().as_slice())
                .bind(PgTime(secret.created_at));
            match affected(connection, statement).await? {
                0 => Err(StoreErrorKind::Taken.into()),
                _ => Ok(()),
            }
        })
    }

    async fn imported(
        &self,
        lookups: &[KeyDigest],
    ) -> Result<Vec<(SecretId, ImportedHash)>, LookupError> {
        let found = self
            .schema()
            .sql("SELECT id, hash FROM keyauth.imported_secrets WHERE lookup = ANY ($1) AND hash IS NOT NULL");
        let lookups: Vec<&[u8]> =
            lookups.iter().map(|lookup| lookup.as_bytes().as_slice()).collect();
        let rows = sqlx::query(found).bind(lookups).fetch_all(self.pool()).await;
        let rows = rows.map_err(LookupError::unavailable)?;
        rows.iter().map(decode).collect::<Result<_, _>>().map_err(LookupError::unavailable)
    }

    async fn replace_imported(&self, secret: &NewSecret) -> Result<(), StoreError> {
        let schema = self.schema();
        change_with!(self, |connection| {
            // Whoever changes the key's secrets locks the key first.
            let lock = schema.sql(
                "SELECT FROM keyauth.keys AS k JOIN keyauth.imported_secrets AS i \
                 ON i.key_id = k.id WHERE i.id = $1 FOR NO KEY UPDATE OF k",
            );
            let id = Uuid::from_bytes(*secret.id.as_bytes());
            execute(connection, sqlx::query(lock).bind(id)).await?;
            let statement = schema.sql(
                "WITH presented AS ( \
                 UPDATE keyauth.imported_secrets SET hash = NULL \
                 WHERE id = $1 AND hash IS NOT NULL \
                 RETURNING id, key_id, created_at, ends_at) \
                 INSERT INTO keyauth.secrets \
                 (digest, id, key_id, algorithm, pepper, kind, created_at, ends_at) \
                 SELECT $2, id, key_id, $3, $4, $5, created_at, ends_at FROM presented \
                 ON CONFLICT DO NOTHING",
            );
            let statement = sqlx::query(statement)
                .bind(id)
                .bind(secret.digest.as_bytes().as_slice())
                .bind(secret.scheme.algorithm())
                .bind(secret.scheme.pepper().map(i32::from))
                .bind(secret.kind.as_str());
            execute(connection, statement).await
        })?;
        // Whoever finds it done by another instance may not have been told.
        self.observers().tell(&[Change::NewSecret(secret.digest)]);
        Ok(())
    }
}

/// Refuses what could not be told from others, or not in time. One at a time for each lookup, or
/// many at once would all be the last that is allowed.
async fn require_few_alike(
    connection: &mut PgConnection,
    schema: &Schema,
    secret: &NewImport,
) -> Result<(), StoreError> {
    let lookup = || secret.lookup.as_bytes().as_slice();
    let lock = schema.sql(
        "SELECT pg_advisory_xact_lock(hashtextextended('keyauth import keyauth. ' || encode($1, 'hex'), 0))",
    );
    execute(connection, sqlx::query(lock).bind(lookup())).await?;
    let alike = schema.sql(
        "SELECT count(*) FROM keyauth.imported_secrets WHERE lookup = $1 AND hash IS NOT NULL",
    );
    let alike: i64 = sqlx::query_scalar(alike)
        .bind(lookup())
        .fetch_one(connection)
        .await
        .map_err(StoreError::unavailable)?;
    if usize::try_from(alike).is_ok_and(|alike| alike < PostgresStore::MOST_ALIKE) {
        return Ok(());
    }
    Err(NewImport::too_many_alike().into())
}

fn decode(row: &PgRow) -> Result<(SecretId, ImportedHash), DecodeError> {
    let id = SecretId::from_bytes(row.try_get::<Uuid, _>("id")?.into_bytes());
    Ok((id, row.try_get::<&str, _>("hash")?.parse()?))
}
