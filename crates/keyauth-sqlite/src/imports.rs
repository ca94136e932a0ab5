//! Keys of other systems, until they are presented.

use keyauth_core::{
    Change, ImportStore, ImportedHash, Key, KeyDigest, LookupError, NewImport, NewSecret, SecretId,
    StoreError, StoreErrorKind,
};
use sqlx::sqlite::{Sqlite, SqliteConnection, SqliteRow};
use sqlx::{QueryBuilder, Row};

use crate::SqliteStore;
use crate::keys::insert_key;
use crate::requests::note_request;
use crate::row::DecodeError;
use crate::statement::{affected, execute, require_tenant};

impl ImportStore for SqliteStore {
    async fn insert_imported(&self, key: &Key, secret: &NewImport) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        let now = secret.created_at;
        note_request(&mut transaction, self.request(), (key.id, now)).await?;
        require_tenant(&mut transaction, &key.tenant).await?;
        require_few_alike(&mut transaction, secret).await?;
        insert_key(&mut transaction, key).await?;
        let statement = sqlx::query(
            "INSERT INTO imported_secrets (id, key_id, lookup, hash, fingerprint, created_at) \
             VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (fingerprint) DO NOTHING",
        )
        .bind(secret.id.as_bytes().as_slice())
        .bind(key.id.as_bytes().as_slice())
        .bind(secret.lookup.as_bytes().as_slice())
        .bind(secret.hash.as_str())
        .bind(secret.fingerprint.as_bytes().as_slice())
        .bind(secret.created_at.as_micros());
        match affected(&mut transaction, statement).await? {
            0 => Err(StoreErrorKind::Taken.into()),
            _ => transaction.commit().await,
        }
    }

    async fn imported(
        &self,
        lookups: &[KeyDigest],
    ) -> Result<Vec<(SecretId, ImportedHash)>, LookupError> {
        let mut found = QueryBuilder::<Sqlite>::new(
            "SELECT id, hash FROM imported_secrets WHERE hash IS NOT NULL AND lookup IN (",
        );
        let mut separated = found.separated(", ");
        for lookup in lookups {
            separated.push_bind(lookup.as_bytes().to_vec());
        }
        found.push(")");
        let rows = found.build().fetch_all(self.readers()).await;
        let rows = rows.map_err(LookupError::unavailable)?;
        rows.iter().map(decode).collect::<Result<_, _>>().map_err(LookupError::unavailable)
    }

    async fn replace_imported(&self, secret: &NewSecret) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        let statement = sqlx::query(
            "INSERT INTO secrets \
             (digest, id, key_id, algorithm, pepper, kind, created_at, ends_at) \
             SELECT ?2, id, key_id, ?3, ?4, ?5, created_at, ends_at FROM imported_secrets \
             WHERE id = ?1 AND hash IS NOT NULL ON CONFLICT DO NOTHING",
        )
        .bind(secret.id.as_bytes().as_slice())
        .bind(secret.digest.as_bytes().as_slice())
        .bind(secret.scheme.algorithm())
        .bind(secret.scheme.pepper().map(i32::from))
        .bind(secret.kind.as_str());
        execute(&mut transaction, statement).await?;
        let presented = sqlx::query(
            "UPDATE imported_secrets SET hash = NULL WHERE id = ? AND hash IS NOT NULL",
        );
        let id = secret.id.as_bytes().as_slice();
        execute(&mut transaction, presented.bind(id)).await?;
        transaction.commit().await?;
        // Whoever finds it done by another process may not have been told.
        self.observers().tell(&[Change::NewSecret(secret.digest)]);
        Ok(())
    }
}

/// Refuses what could not be told from others, or not in time.
async fn require_few_alike(
    connection: &mut SqliteConnection,
    secret: &NewImport,
) -> Result<(), StoreError> {
    let alike: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM imported_secrets WHERE lookup = ? AND hash IS NOT NULL",
    )
    .bind(secret.lookup.as_bytes().as_slice())
    .fetch_one(connection)
    .await
    .map_err(StoreError::unavailable)?;
    if usize::try_from(alike).is_ok_and(|alike| alike < SqliteStore::MOST_ALIKE) {
        return Ok(());
    }
    Err(NewImport::too_many_alike().into())
}

fn decode(row: &SqliteRow) -> Result<(SecretId, ImportedHash), DecodeError> {
    let id = SecretId::from_bytes(row.try_get::<&[u8], _>("id")?.try_into()?);
    Ok((id, row.try_get::<&str, _>("hash")?.parse()?))
}
