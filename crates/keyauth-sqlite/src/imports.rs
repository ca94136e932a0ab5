//! Keys of other systems, until they are presented.

use keyauth_core::{
    ImportStore, ImportedHash, Key, KeyDigest, LookupError, NewImport, NewSecret, SecretId,
    StoreError, StoreErrorKind,
};
use sqlx::sqlite::{Sqlite, SqliteConnection, SqliteRow};
use sqlx::{QueryBuilder, Row};

use crate::SqliteStore;
use crate::keys::insert_key;
use crate::row::DecodeError;
use crate::statement::{affected, execute, require_tenant};

impl ImportStore for SqliteStore {
    async fn insert_imported(&self, key: &Key, secret: &NewImport) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        require_tenant(&mut transaction, &key.tenant).await?;
        require_few_alike(&mut transaction, secret).await?;
        insert_key(&mut transaction, key).await?;
        let statement = sqlx::query(
            "INSERT INTO imported_secrets (id, key_id, lookup, hash, created_at) \
             VALUES (?, ?, ?, ?, ?)",
        )
        .bind(secret.id.as_bytes().as_slice())
        .bind(key.id.as_bytes().as_slice())
        .bind(secret.lookup.as_bytes().as_slice())
        .bind(secret.hash.as_str())
        .bind(secret.created_at.as_micros());
        execute(&mut transaction, statement).await?;
        transaction.commit().await
    }

    async fn imported(
        &self,
        lookups: &[KeyDigest],
    ) -> Result<Vec<(SecretId, ImportedHash)>, LookupError> {
        let mut found =
            QueryBuilder::<Sqlite>::new("SELECT id, hash FROM imported_secrets WHERE lookup IN (");
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
             WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM secrets WHERE digest = ?2)",
        )
        .bind(secret.id.as_bytes().as_slice())
        .bind(secret.digest.as_bytes().as_slice())
        .bind(secret.scheme.algorithm())
        .bind(secret.scheme.pepper().map(i32::from))
        .bind(secret.kind.as_str());
        if affected(&mut transaction, statement).await? == 1 {
            let gone = sqlx::query("DELETE FROM imported_secrets WHERE id = ?");
            execute(&mut transaction, gone.bind(secret.id.as_bytes().as_slice())).await?;
        }
        transaction.commit().await
    }
}

/// Refuses what could not be told from others, or not in time.
async fn require_few_alike(
    connection: &mut SqliteConnection,
    secret: &NewImport,
) -> Result<(), StoreError> {
    let alike: i64 = sqlx::query_scalar("SELECT count(*) FROM imported_secrets WHERE lookup = ?")
        .bind(secret.lookup.as_bytes().as_slice())
        .fetch_one(connection)
        .await
        .map_err(StoreError::unavailable)?;
    if !secret.hash.algorithm().is_slow() && alike > 0 {
        return Err(StoreErrorKind::Taken.into());
    }
    if usize::try_from(alike).is_ok_and(|alike| alike < SqliteStore::MOST_ALIKE) {
        return Ok(());
    }
    Err(NewImport::too_many_alike().into())
}

fn decode(row: &SqliteRow) -> Result<(SecretId, ImportedHash), DecodeError> {
    let id = SecretId::from_bytes(row.try_get::<&[u8], _>("id")?.try_into()?);
    Ok((id, row.try_get::<&str, _>("hash")?.parse()?))
}
