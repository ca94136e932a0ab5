//! Writing the record of what was used.

use std::ops::DerefMut;
use std::time::Duration;

use keyauth_core::{
    GroupId, KeyStore, LimitUnit, LimitedSubject, LookupError, Period, StoreError, Timestamp,
    UsageBatch, UsageEvent, UsageLog, UsageReader, UsageSums,
};
use sqlx::sqlite::SqliteConnection;

use crate::SqliteStore;
use crate::keys::json;

/// A day in UTC, in microseconds.
const DAY: i64 = 86_400_000_000;
/// How long nobody sends a batch again, in microseconds.
const BATCHES_ARE_KNOWN_FOR: i64 = 30 * DAY;
/// More than that is nobody's count: sums of it stay exact.
const MOST: u64 = 1 << 53;
/// How long a request waits for what a limit begins with.
const SUMS_DEADLINE: Duration = Duration::from_secs(1);

impl UsageLog for SqliteStore {
    async fn write(&self, batch: &UsageBatch) -> Result<usize, StoreError> {
        let transaction = self.writer().begin_with("BEGIN IMMEDIATE").await;
        let mut transaction = transaction.map_err(StoreError::unavailable)?;
        let set_aside = write(transaction.deref_mut(), batch, self.issuer().now()).await;
        let set_aside = set_aside.map_err(StoreError::unavailable)?;
        transaction.commit().await.map_err(StoreError::unavailable)?;
        Ok(set_aside)
    }

    async fn tidy(&self, keep_calls_for: Option<Duration>) -> Result<(), StoreError> {
        let now = self.issuer().now().as_micros();
        let micros = |time: Duration| i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
        sqlx::query("DELETE FROM usage_batches WHERE written_at < ?")
            .bind(now - BATCHES_ARE_KNOWN_FOR)
            .execute(self.writer())
            .await
            .map_err(StoreError::unavailable)?;
        let Some(keep) = keep_calls_for else { return Ok(()) };
        let day = now.saturating_sub(micros(keep)).div_euclid(DAY);
        loop {
            // A few at a time: whoever else writes comes in between.
            let deleted = sqlx::query(
                "DELETE FROM usage WHERE rowid IN \
                 (SELECT rowid FROM usage WHERE at < ? ORDER BY at LIMIT 1000)",
            )
            .bind(day * DAY)
            .execute(self.writer())
            .await
            .map_err(StoreError::unavailable)?;
            if deleted.rows_affected() == 0 {
                return Ok(());
            }
        }
    }
}

impl UsageSums for SqliteStore {
    async fn used(
        &self,
        subject: &LimitedSubject,
        unit: LimitUnit,
        period: Period,
    ) -> Result<u64, LookupError> {
        let total = tokio::time::timeout(SUMS_DEADLINE, self.total(subject, period)).await;
        let total = total.map_err(LookupError::unavailable)?.map_err(LookupError::unavailable)?;
        Ok(total.counted(unit))
    }
}

/// Writes a batch. What the database refuses of it undoes nothing else, and is set aside.
async fn write(
    connection: &mut SqliteConnection,
    batch: &UsageBatch,
    now: Timestamp,
) -> Result<usize, StoreError> {
    let new = sqlx::query("INSERT OR IGNORE INTO usage_batches (id, written_at) VALUES (?, ?)")
        .bind(batch.id.as_bytes().as_slice())
        .bind(now.as_micros())
        .execute(&mut *connection)
        .await
        .map_err(StoreError::unavailable)?;
    if new.rows_affected() == 0 {
        return Ok(0);
    }
    let mut set_aside = 0;
    for (place, event) in batch.events.iter().enumerate() {
        match write_event(connection, event).await {
            Ok(()) => {}
            Err(error) if is_refused(&error) => {
                set_aside += 1;
                sqlx::query("INSERT INTO usage_set_aside VALUES (?, ?, ?, ?)")
                    .bind(batch.id.as_bytes().as_slice())
                    .bind(i64::try_from(place).unwrap_or(i64::MAX))
                    .bind(json(event)?)
                    .bind(error.to_string())
                    .execute(&mut *connection)
                    .await
                    .map_err(StoreError::unavailable)?;
            }
            Err(error) => return Err(StoreError::unavailable(error)),
        }
    }
    Ok(set_aside)
}

async fn write_event(
    connection: &mut SqliteConnection,
    event: &UsageEvent,
) -> Result<(), sqlx::Error> {
    let whole = |number: u64| i64::try_from(number.min(MOST)).unwrap_or(i64::MAX);
    let group = event.group.as_ref().map_or("", GroupId::as_str);
    let address = event.address.map(|address| address.to_string());
    sqlx::query("INSERT INTO usage VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")
        .bind(event.at.as_micros())
        .bind(event.tenant.as_str())
        .bind(event.owner.as_str())
        .bind(group)
        .bind(event.key.as_bytes().as_slice())
        .bind(&*event.route)
        .bind(&*event.resource)
        .bind(i64::from(event.status))
        .bind(event.cost.as_fractions())
        .bind(whole(event.limit_cost))
        .bind(whole(event.input))
        .bind(whole(event.output))
        .bind(i64::try_from(event.duration.as_micros()).unwrap_or(i64::MAX))
        .bind(&address)
        .execute(&mut *connection)
        .await?;
    sqlx::query(
        "INSERT INTO usage_days VALUES (?, ?, ?, ?, ?, ?, ?, 1, ?, ?, ?, ?, ?) \
         ON CONFLICT (key_id, day, tenant, owner, group_id, route, resource) DO UPDATE SET \
         requests = requests + 1, failures = failures + excluded.failures, \
         cost = cost + excluded.cost, limit_cost = limit_cost + excluded.limit_cost, \
         input = input + excluded.input, output = output + excluded.output",
    )
    .bind(event.at.as_micros().div_euclid(DAY))
    .bind(event.tenant.as_str())
    .bind(event.owner.as_str())
    .bind(group)
    .bind(event.key.as_bytes().as_slice())
    .bind(&*event.route)
    .bind(&*event.resource)
    .bind(event.has_failed())
    .bind(event.cost.as_fractions())
    .bind(whole(event.limit_cost))
    .bind(whole(event.input))
    .bind(whole(event.output))
    .execute(&mut *connection)
    .await?;
    // To the minute, so that a busy key is not written with each call.
    sqlx::query(
        "INSERT INTO key_usage (key_id, last_used_at, last_used_from) \
         SELECT id, ?, ? FROM keys WHERE id = ? \
         ON CONFLICT (key_id) DO UPDATE \
         SET last_used_at = excluded.last_used_at, last_used_from = excluded.last_used_from \
         WHERE excluded.last_used_at >= last_used_at + 60000000",
    )
    .bind(event.at.as_micros())
    .bind(&address)
    .bind(event.key.as_bytes().as_slice())
    .execute(connection)
    .await
    .map(drop)
}

/// Whether the database does not take some value, now or later: `SQLITE_CONSTRAINT`,
/// `SQLITE_MISMATCH` and `SQLITE_TOOBIG` in the last byte of its codes.
fn is_refused(error: &sqlx::Error) -> bool {
    const REFUSED: [u32; 3] = [18, 19, 20];
    let code = error.as_database_error().and_then(|error| error.code());
    let code = code.and_then(|code| code.parse::<u32>().ok());
    code.is_some_and(|code| REFUSED.contains(&(code & 0xff)))
}
