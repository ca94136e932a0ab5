//! What an instance says of itself, and does for all.

use std::time::Duration;

use keyauth_core::{Beats, Instance};
use sqlx::sqlite::SqliteConnection;

use crate::SqliteStore;

/// How often changes that are old are looked for.
const TRIM: Duration = Duration::from_secs(60);

/// An instance's row in `instances`.
#[derive(Debug)]
pub(crate) struct Registration {
    store: SqliteStore,
    instance: Instance,
    id: Option<i64>,
    next_beat: Duration,
    next_trim: Duration,
    beats: Beats<i64>,
}

impl Registration {
    pub(crate) fn new(store: SqliteStore, instance: Instance) -> Self {
        Self {
            store,
            instance,
            id: None,
            next_beat: Duration::ZERO,
            next_trim: Duration::ZERO,
            beats: Beats::new(),
        }
    }

    /// Makes the instance known to those who wait for it, if it is not yet.
    pub(crate) async fn register(&mut self) -> Result<(), sqlx::Error> {
        if self.id.is_none() {
            let statement = sqlx::query_scalar(
                "INSERT INTO instances (name, max_staleness_ms, grace_ms) VALUES (?, ?, ?) \
                 RETURNING id",
            );
            let id = statement
                .bind(&*self.instance.name)
                .bind(millis(self.instance.max_staleness))
                .bind(millis(self.instance.grace))
                .fetch_one(self.store.writer())
                .await?;
            self.id = Some(id);
        }
        Ok(())
    }

    pub(crate) async fn is_known_in(
        &self,
        connection: &mut SqliteConnection,
    ) -> Result<bool, sqlx::Error> {
        let statement = sqlx::query("SELECT 1 FROM instances WHERE id = ?").bind(self.id);
        Ok(statement.fetch_optional(connection).await?.is_some())
    }

    pub(crate) fn check(&self, history: Duration) -> Result<(), String> {
        self.instance.check(history)
    }

    pub(crate) const fn forget(&mut self) {
        self.id = None;
    }

    /// Writes down how far the instance has come, where that is news or it is time for a beat;
    /// and now and then trims what is old.
    pub(crate) async fn acknowledge(&mut self, applied: Option<i64>) -> Result<(), sqlx::Error> {
        let now = self.instance.clock.uptime();
        if applied.is_some() || now >= self.next_beat {
            let statement =
                "UPDATE instances SET applied = coalesce(?, applied), beat = beat + 1 WHERE id = ?";
            let statement = sqlx::query(statement).bind(applied).bind(self.id);
            statement.execute(self.store.writer()).await?;
            self.next_beat = now + Beats::<i64>::INTERVAL;
        }
        if now >= self.next_trim {
            self.next_trim = now + TRIM;
            self.trim().await?;
            self.bury(now).await?;
        }
        Ok(())
    }

    pub(crate) async fn leave(&self) -> Result<(), sqlx::Error> {
        let statement = sqlx::query("DELETE FROM instances WHERE id = ?").bind(self.id);
        statement.execute(self.store.writer()).await.map(drop)
    }

    /// Deletes changes that are older than the history that is kept. Who has not read them
    /// finds that out by the number of the last one.
    async fn trim(&self) -> Result<(), sqlx::Error> {
        let mut transaction = self.store.writer().begin_with("BEGIN IMMEDIATE").await?;
        let oldest = self.instance.clock.now().as_micros();
        sqlx::query(
            "UPDATE deployment SET trimmed = max(trimmed, (SELECT coalesce(max(id), 0) \
             FROM invalidations WHERE changed_at < ? - history_ms * 1000))",
        )
        .bind(oldest)
        .execute(&mut *transaction)
        .await?;
        sqlx::query("DELETE FROM invalidations WHERE id <= (SELECT trimmed FROM deployment)")
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await
    }

    /// Forgets instances that have been silent for so long that they cannot be serving.
    async fn bury(&mut self, now: Duration) -> Result<(), sqlx::Error> {
        let others: Vec<(i64, i64, i64)> =
            sqlx::query_as("SELECT id, beat, max_staleness_ms + grace_ms FROM instances")
                .fetch_all(self.store.readers())
                .await?;
        let serves = |millis| Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX));
        let others = others.into_iter().map(|(id, beat, millis)| (id, beat, serves(millis)));
        for (id, beat) in self.beats.silent(others, now) {
            let statement = sqlx::query("DELETE FROM instances WHERE id = ? AND beat = ?");
            statement.bind(id).bind(beat).execute(self.store.writer()).await?;
        }
        Ok(())
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
