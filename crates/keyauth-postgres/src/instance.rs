//! What an instance says of itself, and does for all.

use std::time::Duration;

use keyauth_core::{Beats, Instance};
use sqlx::Row;
use sqlx::postgres::PgListener;
use sqlx::types::Uuid;

use crate::schema::Schema;

/// How often changes that are old are looked for.
const TRIM: Duration = Duration::from_secs(60);
/// How many are trimmed at once, so that it takes no longer than a poll may wait.
const TRIM_BATCH: i64 = 5_000;

/// An instance's row in `instances`.
#[derive(Debug)]
pub(crate) struct Registration {
    schema: Schema,
    instance: Instance,
    id: Option<Uuid>,
    next_beat: Duration,
}

impl Registration {
    pub(crate) const fn new(schema: Schema, instance: Instance) -> Self {
        Self { schema, instance, id: None, next_beat: Duration::ZERO }
    }

    pub(crate) fn uptime(&self) -> Duration {
        self.instance.clock.uptime()
    }

    pub(crate) const fn is_known(&self) -> bool {
        self.id.is_some()
    }

    /// The id of the row, or one that no row has.
    pub(crate) fn id(&self) -> Uuid {
        self.id.unwrap_or(Uuid::nil())
    }

    pub(crate) const fn forget(&mut self) {
        self.id = None;
    }

    pub(crate) fn check(&self, history: Duration) -> Result<(), String> {
        self.instance.check(history)
    }

    /// Makes the instance known to those who wait for it. Before its first poll, so that
    /// nothing it could go on serving is older than its row.
    pub(crate) async fn register(&mut self, listener: &mut PgListener) -> Result<(), sqlx::Error> {
        let statement = self.schema.sql(
            "INSERT INTO keyauth.instances (name, max_staleness_ms, grace_ms) \
             VALUES ($1, $2, $3) RETURNING id",
        );
        let row = sqlx::query(statement)
            .bind(&*self.instance.name)
            .bind(millis(self.instance.max_staleness))
            .bind(millis(self.instance.grace))
            .fetch_one(listener)
            .await?;
        self.id = Some(row.try_get("id")?);
        Ok(())
    }

    /// Writes down how far the instance has come, where that is news or it is time for a beat.
    pub(crate) async fn acknowledge(
        &mut self,
        listener: &mut PgListener,
        applied: &mut Option<String>,
    ) -> Result<(), sqlx::Error> {
        let now = self.uptime();
        if applied.is_none() && now < self.next_beat {
            return Ok(());
        }
        let statement = self.schema.sql(
            "UPDATE keyauth.instances \
             SET applied = coalesce($2::text::pg_snapshot, applied), beat = beat + 1 WHERE id = $1",
        );
        let statement = sqlx::query(statement).bind(self.id()).bind(applied.as_deref());
        statement.execute(listener).await?;
        *applied = None;
        self.next_beat = now + Beats::<Uuid>::INTERVAL;
        Ok(())
    }

    pub(crate) async fn leave(&self, listener: &mut PgListener) -> Result<(), sqlx::Error> {
        let statement = self.schema.sql("DELETE FROM keyauth.instances WHERE id = $1");
        sqlx::query(statement).bind(self.id()).execute(listener).await.map(drop)
    }
}

/// Trimming what is old, and forgetting who is gone. Every instance does it for all.
#[derive(Debug)]
pub(crate) struct Housekeeping {
    schema: Schema,
    next: Duration,
    beats: Beats<Uuid>,
}

impl Housekeeping {
    pub(crate) fn new(schema: Schema) -> Self {
        Self { schema, next: Duration::ZERO, beats: Beats::new() }
    }

    pub(crate) async fn run_if_due(
        &mut self,
        listener: &mut PgListener,
        now: Duration,
        history: Duration,
    ) -> Result<(), sqlx::Error> {
        if now < self.next {
            return Ok(());
        }
        self.next = now + TRIM;
        let more = self.trim(listener, history).await?;
        if more {
            self.next = now;
        }
        self.bury(listener, now).await
    }

    /// Stamps changes that were not seen before and deletes those stamped long enough ago: a
    /// change counts from when others could see it, not from when it was written. Says
    /// whether there is more to do.
    async fn trim(
        &self,
        listener: &mut PgListener,
        history: Duration,
    ) -> Result<bool, sqlx::Error> {
        let stamp = self.schema.sql(
            "UPDATE keyauth.invalidations SET seen_at = clock_timestamp() WHERE id IN ( \
             SELECT id FROM keyauth.invalidations WHERE seen_at IS NULL \
             ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED)",
        );
        let stamped = sqlx::query(stamp).bind(TRIM_BATCH).execute(&mut *listener).await?;
        let delete = self.schema.sql(
            "DELETE FROM keyauth.invalidations WHERE id IN ( \
             SELECT id FROM keyauth.invalidations \
             WHERE seen_at < clock_timestamp() - $2 * interval '1 millisecond' \
             ORDER BY seen_at LIMIT $1 FOR UPDATE SKIP LOCKED)",
        );
        let delete = sqlx::query(delete).bind(TRIM_BATCH).bind(millis(history));
        let deleted = delete.execute(listener).await?;
        let full = u64::try_from(TRIM_BATCH).unwrap_or(u64::MAX);
        Ok(stamped.rows_affected() >= full || deleted.rows_affected() >= full)
    }

    /// Forgets instances that have been silent for so long that they cannot be serving.
    async fn bury(&mut self, listener: &mut PgListener, now: Duration) -> Result<(), sqlx::Error> {
        let others =
            self.schema.sql("SELECT id, beat, max_staleness_ms + grace_ms FROM keyauth.instances");
        let others: Vec<(Uuid, i64, i64)> =
            sqlx::query_as(others).fetch_all(&mut *listener).await?;
        let serves = |millis| Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX));
        let others = others.into_iter().map(|(id, beat, millis)| (id, beat, serves(millis)));
        for (id, beat) in self.beats.silent(others, now) {
            let gone = self.schema.sql("DELETE FROM keyauth.instances WHERE id = $1 AND beat = $2");
            sqlx::query(gone).bind(id).bind(beat).execute(&mut *listener).await?;
        }
        Ok(())
    }
}

pub(crate) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
