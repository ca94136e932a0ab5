//! Changes: one transaction each, tried again where the database says so.

use keyauth_core::{Change, StoreError, StoreErrorKind};
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnection, Postgres};
use sqlx::{PgTransaction, Transaction};
use std::error::Error;

use crate::PostgresStore;
use crate::change::change;

/// How often a change is tried that met others in a deadlock.
pub(crate) const ATTEMPTS: u32 = 5;

/// Makes a change: runs `$work` in a transaction, and again where that met with others.
///
/// A macro, because the bound that a closure's future is `Send` cannot be written yet.
macro_rules! change_with {
    ($store:expr, |$connection:ident| $work:block) => {{
        let mut attempt = 0;
        loop {
            let mut transaction = $store.begin().await?;
            let $connection = &mut *transaction;
            let outcome: Result<_, StoreError> = async { $work }.await;
            if let Some(outcome) = $store.conclude(transaction, outcome, &mut attempt).await {
                break outcome;
            }
        }
    }};
}
pub(crate) use change_with;

impl PostgresStore {
    pub(crate) async fn begin(&self) -> Result<Transaction<'static, Postgres>, StoreError> {
        let mut transaction = self.pool().begin().await.map_err(StoreError::unavailable)?;
        if let Some(actor) = self.actor() {
            // For the triggers, and for this transaction alone.
            sqlx::query("SELECT set_config('keyauth_audit.actor', $1, true)")
                .bind(actor.as_str())
                .execute(&mut *transaction)
                .await
                .map_err(StoreError::unavailable)?;
        }
        Ok(transaction)
    }

    /// A connection to read with.
    pub(crate) async fn acquire(&self) -> Result<PoolConnection<Postgres>, StoreError> {
        self.pool().acquire().await.map_err(StoreError::unavailable)
    }

    /// Commits what went well, and tells of the changes that were made. `None` means that it
    /// is to be tried again.
    pub(crate) async fn conclude<T>(
        &self,
        mut transaction: PgTransaction<'static>,
        outcome: Result<T, StoreError>,
        attempt: &mut u32,
    ) -> Option<Result<T, StoreError>> {
        let outcome = match outcome {
            Ok(value) => match self.changes_of(&mut transaction).await {
                Ok(changes) => self.commit(transaction, changes).await.map(|()| value),
                Err(error) => Err(error),
            },
            Err(error) => {
                // Where that fails, the connection does not go back to the pool.
                let _ = transaction.rollback().await;
                Err(error)
            }
        };
        *attempt += 1;
        match &outcome {
            Err(error) if *attempt < ATTEMPTS && is_transient_change(error) => None,
            _ => Some(outcome),
        }
    }

    /// In a task of its own: a caller that goes away must not make what it has changed
    /// remain untold.
    async fn commit(
        &self,
        transaction: PgTransaction<'static>,
        changes: Vec<Change>,
    ) -> Result<(), StoreError> {
        let store = self.clone();
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

    /// What the triggers have told of in this transaction.
    async fn changes_of(&self, connection: &mut PgConnection) -> Result<Vec<Change>, StoreError> {
        if self.observers().is_empty() {
            return Ok(Vec::new());
        }
        let statement = self.schema().sql(
            "SELECT kind, tenant, subject, version, digest FROM keyauth.invalidations \
             WHERE xid = pg_current_xact_id_if_assigned()",
        );
        let rows = sqlx::query(statement).fetch_all(connection).await;
        let rows = rows.map_err(StoreError::unavailable)?;
        rows.iter().map(change).collect::<Result<_, _>>().map_err(StoreError::unavailable)
    }
}

/// Whether a change can be tried again.
fn is_transient_change(error: &StoreError) -> bool {
    let source = match error.kind() {
        StoreErrorKind::Unavailable => error.source(),
        _ => None,
    };
    source.and_then(|source| source.downcast_ref::<sqlx::Error>()).is_some_and(is_transient)
}

/// Whether the database has rolled back for the sake of another transaction: deadlocks and
/// serialization failures (SQLSTATE 40P01, 40001). Nothing has happened then.
pub(crate) fn is_transient(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    code.is_some_and(|code| matches!(code.as_ref(), "40001" | "40P01"))
}
