//! The schema and its history.

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, SqlStr, SqlitePool};

use crate::{OpenError, OpenErrorKind};

const TABLE: &str = "_keyauth_migrations";

/// Every migration there ever was, oldest first. Those that were released never change.
const MIGRATIONS: [(i64, &str, &str); 8] = [
    (1, "keys", include_str!("../migrations/0001_keys.sql")),
    (2, "changes", include_str!("../migrations/0002_changes.sql")),
    (3, "limits", include_str!("../migrations/0003_limits.sql")),
    (4, "budgets", include_str!("../migrations/0004_budgets.sql")),
    (5, "usage", include_str!("../migrations/0005_usage.sql")),
    (6, "owners", include_str!("../migrations/0006_owners.sql")),
    (7, "lifecycle", include_str!("../migrations/0007_lifecycle.sql")),
    (8, "requests", include_str!("../migrations/0008_requests.sql")),
];

/// The version that this code reads and writes.
const LATEST: i64 = match MIGRATIONS.as_slice() {
    [.., (version, _, _)] => *version,
    [] => 0,
};

fn migrator() -> Migrator {
    let migrations = MIGRATIONS.map(|(version, description, sql)| {
        let sql = SqlStr::from_static(sql);
        Migration::new(version, description.into(), MigrationType::Simple, sql, false)
    });
    let mut migrator = Migrator::with_migrations(migrations.to_vec());
    migrator.dangerous_set_table_name(TABLE);
    migrator
}

/// Brings the schema up to date; does nothing where it is.
pub(crate) async fn run(pool: &SqlitePool) -> Result<(), OpenError> {
    // The driver's own migration lock does nothing for SQLite. This one makes processes
    // that start together wait for each other, and makes it all or nothing.
    let transaction = pool.begin_with("BEGIN IMMEDIATE").await;
    let mut transaction = transaction.map_err(OpenError::unavailable)?;
    refuse_newer(applied(&mut transaction).await?)?;
    // What `run` calls too, behind a bound that makes the future of `open` not `Send`.
    migrator().run_direct(None, &mut *transaction, false).await.map_err(OpenError::unavailable)?;
    transaction.commit().await.map_err(OpenError::unavailable)
}

/// Makes sure that the schema is the one this code knows.
pub(crate) async fn check(pool: &SqlitePool) -> Result<(), OpenError> {
    let mut connection = pool.acquire().await.map_err(OpenError::unavailable)?;
    let found = applied(&mut connection).await?;
    refuse_newer(found)?;
    if found < LATEST {
        return Err(OpenErrorKind::OlderSchema { found, known: LATEST }.into());
    }
    Ok(())
}

fn refuse_newer(found: i64) -> Result<(), OpenError> {
    if found > LATEST {
        return Err(OpenErrorKind::NewerSchema { found, known: LATEST }.into());
    }
    Ok(())
}

/// The newest migration the file has seen; zero for none.
async fn applied(connection: &mut SqliteConnection) -> Result<i64, OpenError> {
    let exists = sqlx::query("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?")
        .bind(TABLE)
        .fetch_optional(&mut *connection)
        .await
        .map_err(OpenError::unavailable)?;
    if exists.is_none() {
        return Ok(0);
    }
    let newest = format!("SELECT coalesce(max(version), 0) FROM {TABLE}");
    let newest = sqlx::query_scalar(AssertSqlSafe(newest)).fetch_one(connection);
    newest.await.map_err(OpenError::unavailable)
}
