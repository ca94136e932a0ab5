//! Changes: one transaction each.

use std::ops::{Deref, DerefMut};

use keyauth_core::StoreError;
use sqlx::Transaction;
use sqlx::pool::PoolConnection;
use sqlx::sqlite::{Sqlite, SqliteConnection};

use crate::SqliteStore;
use crate::change::change;

/// A change under way, and what there was to tell before it.
pub(crate) struct ChangeTransaction<'s> {
    store: &'s SqliteStore,
    transaction: Transaction<'static, Sqlite>,
    told_before: i64,
}

impl SqliteStore {
    /// Begins a change. Immediately, because a transaction that turns from reading to
    /// writing fails at once where another is writing, instead of waiting.
    pub(crate) async fn begin(&self) -> Result<ChangeTransaction<'_>, StoreError> {
        let transaction = self.writer().begin_with("BEGIN IMMEDIATE").await;
        let mut transaction = transaction.map_err(StoreError::unavailable)?;
        let told = sqlx::query_scalar(LAST_CHANGE).fetch_one(&mut *transaction).await;
        let told_before = told.map_err(StoreError::unavailable)?;
        if let Some(actor) = self.actor() {
            // For the triggers.
            let act = sqlx::query("INSERT INTO acting (actor) VALUES (?)").bind(actor.as_str());
            act.execute(&mut *transaction).await.map_err(StoreError::unavailable)?;
        }
        Ok(ChangeTransaction { store: self, transaction, told_before })
    }

    /// A connection to read with.
    pub(crate) async fn acquire(&self) -> Result<PoolConnection<Sqlite>, StoreError> {
        self.readers().acquire().await.map_err(StoreError::unavailable)
    }
}

/// The last change there ever was, trimmed or not.
pub(crate) const LAST_CHANGE: &str =
    "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'invalidations'";

impl ChangeTransaction<'_> {
    /// Makes the change final, and tells of it: in a task of its own, since a caller that goes
    /// away must not make what it has changed remain untold.
    pub(crate) async fn commit(mut self) -> Result<(), StoreError> {
        if self.store.actor().is_some() {
            let done = sqlx::query("DELETE FROM acting").execute(&mut *self.transaction);
            done.await.map_err(StoreError::unavailable)?;
        }
        let rows = sqlx::query(
            "SELECT kind, tenant, subject, version, digest FROM invalidations WHERE id > ?",
        )
        .bind(self.told_before)
        .fetch_all(&mut *self.transaction)
        .await
        .map_err(StoreError::unavailable)?;
        let changes = rows.iter().map(change).collect::<Result<Vec<_>, _>>();
        let changes = changes.map_err(StoreError::unavailable)?;
        let (store, transaction) = (self.store.clone(), self.transaction);
        let committed = tokio::spawn(async move {
            let telling = store.telling().read().await;
            transaction.commit().await.map_err(StoreError::unavailable)?;
            store.observers().tell(&changes);
            drop(telling);
            if changes.is_empty() {
                // What this call has found done may not have been told of yet.
                drop(store.telling().write().await);
            }
            Ok(())
        });
        committed.await.map_err(StoreError::unavailable)?
    }
}

impl Deref for ChangeTransaction<'_> {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        &self.transaction
    }
}

impl DerefMut for ChangeTransaction<'_> {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        &mut self.transaction
    }
}
