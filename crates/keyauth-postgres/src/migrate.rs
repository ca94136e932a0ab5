//! The schema and its history.

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection};

use crate::schema::Schema;
use crate::{OpenError, OpenErrorKind, PostgresStore};

/// Every migration there ever was, oldest first. Those that were released never change.
const MIGRATIONS: &[(i64, &str, &str)] = &[
    (1, "keys", include_str!("../migrations/0001_keys.sql")),
    (2, "changes", include_str!("../migrations/0002_changes.sql")),
    (3, "limits", include_str!("../migrations/0003_limits.sql")),
    (4, "budgets", include_str!("../migrations/0004_budgets.sql")),
    (5, "usage", include_str!("../migrations/0005_usage.sql")),
    (6, "owners", include_str!("../migrations/0006_owners.sql")),
    (7, "lifecycle", include_str!("../migrations/0007_lifecycle.sql")),
    (8, "requests", include_str!("../migrations/0008_requests.sql")),
    (9, "quicker budgets", include_str!("../migrations/0009_quicker_budgets.sql")),
    (10, "kept plans", include_str!("../migrations/0010_kept_plans.sql")),
];

/// The version that this code reads and writes.
const LATEST: i64 = match MIGRATIONS {
    [.., (version, _, _)] => *version,
    [] => 0,
};

/// A step from one version of the schema to the next.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Migration {
    /// The version it leads to.
    pub version: i64,
    /// What it is about.
    pub name: &'static str,
    /// Plain SQL for one transaction, which also notes that it was run: whoever may not give
    /// the service the right to do so can run it with `psql --single-transaction`.
    pub sql: String,
}

impl PostgresStore {
    /// All migrations for this store's schema, oldest first, whether they were run or not.
    #[must_use]
    pub fn migrations(&self) -> Vec<Migration> {
        let migration = |(version, name, sql): &(i64, &'static str, &str)| Migration {
            version: *version,
            name,
            sql: self.schema().text(sql),
        };
        MIGRATIONS.iter().map(migration).collect()
    }

    /// The migrations that [`migrate`](Self::migrate) would run.
    ///
    /// # Errors
    ///
    /// Those of [`migrate`](Self::migrate).
    pub async fn pending_migrations(&self) -> Result<Vec<Migration>, OpenError> {
        let mut connection = self.connect_directly().await?;
        let found = version(&mut connection, self.schema()).await?;
        refuse_newer(found)?;
        let _ = connection.close().await;
        let pending = |migration: &Migration| migration.version > found;
        Ok(self.migrations().into_iter().filter(pending).collect())
    }

    /// Brings the schema up to date, creating it where there is none: all or nothing. Where
    /// several processes call it, one does the work and the others wait for it. Whoever did it
    /// owns the schema; `docs/revocation.md` lists the rights that another role needs. Gives back
    /// the versions it has moved to.
    ///
    /// # Errors
    ///
    /// [`NewerSchema`](OpenErrorKind::NewerSchema) where a newer version of keyauth has been
    /// here, and nothing is changed; [`Unavailable`](OpenErrorKind::Unavailable).
    pub async fn migrate(&self) -> Result<Vec<i64>, OpenError> {
        let mut connection = self.connect_directly().await?;
        let done = self.migrate_on(&mut connection).await;
        let _ = connection.close().await;
        done
    }

    async fn migrate_on(&self, connection: &mut PgConnection) -> Result<Vec<i64>, OpenError> {
        let mut transaction = connection.begin().await.map_err(OpenError::unavailable)?;
        // By name, so that schemas of their own do not wait for each other. The prefix keeps
        // out of the way of the locks of other applications.
        sqlx::query(
            "SELECT pg_advisory_xact_lock(hashtextextended('keyauth migrations ' || $1, 0))",
        )
        .bind(self.schema().name())
        .execute(&mut *transaction)
        .await
        .map_err(OpenError::unavailable)?;
        let found = version(&mut transaction, self.schema()).await?;
        refuse_newer(found)?;
        let mut done = Vec::new();
        for (version, name, sql) in MIGRATIONS.iter().filter(|(version, ..)| *version > found) {
            tracing::info!(version, name, schema = self.schema().name(), "migrating");
            let sql = AssertSqlSafe(self.schema().text(sql));
            let run = sqlx::raw_sql(sql).execute(&mut *transaction).await;
            run.map_err(OpenError::unavailable)?;
            done.push(*version);
        }
        transaction.commit().await.map_err(OpenError::unavailable)?;
        Ok(done)
    }

    async fn connect_directly(&self) -> Result<PgConnection, OpenError> {
        PgConnection::connect_with(self.direct()).await.map_err(OpenError::unavailable)
    }
}

fn refuse_newer(found: i64) -> Result<(), OpenError> {
    if found > LATEST {
        return Err(OpenErrorKind::NewerSchema { found, known: LATEST }.into());
    }
    Ok(())
}

/// The newest migration the schema has seen; zero for none.
async fn version(connection: &mut PgConnection, schema: &Schema) -> Result<i64, OpenError> {
    let table = format!("\"{}\".migrations", schema.name());
    let exists = sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL").bind(table);
    if !exists.fetch_one(&mut *connection).await.map_err(OpenError::unavailable)? {
        return Ok(0);
    }
    let newest = schema.sql("SELECT coalesce(max(version), 0) FROM keyauth.migrations");
    sqlx::query_scalar(newest).fetch_one(connection).await.map_err(OpenError::unavailable)
}
